"""Every notebook of the book runs, with the profile `smoke`, in a copy of the repository: about a minute in all.

`pytest -m "not smoke"` leaves it out.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from training import STUDY, write_acted_and_runs

from emo_ssl.evidence.record import keep
from emo_ssl.evidence.report import evaluate
from emo_ssl.study.run import study
from tools import execution, notebooks

pytestmark = [
    pytest.mark.smoke,
    pytest.mark.timeout(1200),  # all notebooks are executed within the first of these tests
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
ROOT = Path(__file__).parents[2]
STEMS = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
RECORDED = "05-real-speech"
ADDRESSES = re.compile(r"/(?:home|root|Users|tmp|work|mnt)/")
SHOWN = {
    "01-data": (8, 12),
    "02-pretraining": (5, 8),
    "03-label-budgets": (5, 10),
    "04-per-emotion": (4, 10),
    "05-real-speech": (8, 16),
    "06-your-recordings": (3, 13),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """What the notebooks are executed from, and nothing that was ever made from it."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("notebooks", "results", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def acted(tmp_path_factory, one_thread):
    """A tiny recorded study of acted voices and its corpus, without the second protocol and small budgets."""
    folder = tmp_path_factory.mktemp("acted")
    segments, runs = write_acted_and_runs(folder)
    study(segments, runs, folder / "study", STUDY, "cpu")
    evaluate(folder / "study")
    keep(folder / "study", folder / "kept", "as before", segments)
    return {"recorded": str(folder / "kept"), "corpus": str(folder / "corpus")}


@pytest.fixture(scope="module")
def outcome(repository, acted):
    """05 recomputes a part of a study as well, which takes a corpus that `smoke` cannot name."""
    found = notebooks.find(repository, "smoke")
    return execution.execute_all(
        repository,
        [replace(n, parameters=n.parameters | acted) if n.stem == RECORDED else n for n in found],
    )


@pytest.fixture(params=STEMS)
def executed(request, repository, outcome):
    page = repository / "build" / "executed" / "smoke" / f"{request.param}.ipynb"
    assert page.is_file(), (repository / "build" / "logs" / f"{request.param}.log").read_text()
    return request.param, nbformat.read(page, 4)


def outputs(page, kind: str) -> list[str]:
    found = [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[kind] for output in found if kind in output.get("data", {})]


def test_all_of_them_succeed(outcome):
    assert outcome == execution.Outcome()


def test_every_cell_ran_and_none_complained(executed, repository):
    stem, page = executed
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    stored = nbformat.read(repository / "notebooks" / f"{stem}.ipynb", 4).cells
    assert len(cells) == sum(cell.cell_type == "code" for cell in stored) + 1  # the profile's parameters
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", f"{cell.id}: {output.get('text')}"


def test_shows_its_figures_and_tables(executed):
    stem, page = executed
    figures = [cell for cell in page.cells if "figure" in cell.metadata.get("mystnb", {})]
    assert len(figures) == SHOWN[stem][0]
    for cell in figures:
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 1, f"{cell.id} shows {len(pictures)} pictures"
    assert len(outputs(page, "text/html")) >= SHOWN[stem][1]


def test_leaks_no_path(executed):
    stem, page = executed
    shown = "".join(outputs(page, "text/html") + outputs(page, "text/plain"))
    assert not ADDRESSES.search(shown)
    assert ("say nothing about people" in shown) != (stem == "05-real-speech")


def test_says_plain_numbers(executed):
    records = [
        output
        for cell in executed[1].cells
        for output in cell.get("outputs", [])
        if "scrapbook" in output.get("metadata", {})
    ]
    names = [record.metadata.scrapbook.name for record in records]
    assert len(set(names)) == len(names) >= 15
    for record in records:
        said = record.data["application/papermill.record/text/plain"]
        assert re.fullmatch(r"-?\d[\d.e+-]*|nan|'[^']*'", said) and "\\" not in said, said


def test_every_exercise_is_solved(executed):
    for cell in executed[1].cells:
        if cell.cell_type == "code" and cell.id.startswith("solution"):
            assert any("text/html" in output.get("data", {}) for output in cell.outputs), cell.id


def test_pages_share_what_they_compute(executed, repository):
    # corpora: 01's own, its exercise's, and that of the others
    # three pretraining runs, the first of which 02 shows, and that of 06; one study of them for 03 and 04
    for kind, most in {"corpora": 3, "runs": 4, "studies": 1, "evidence": 1}.items():
        found = repository / "build" / kind
        assert not found.exists() or 1 <= len(list(found.iterdir())) <= most, kind


def by_hand(repository: Path, notebook: str, folder: str, *parameters: str) -> None:
    """Papermill's own command, which knows nothing of ours."""
    page = repository / "by-hand.ipynb"
    command = [sys.executable, "-m", "papermill", notebook, str(page), "--no-progress-bar", *parameters]
    done = subprocess.run(command, cwd=repository / folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "say nothing about people" in "".join(outputs(nbformat.read(page, 4), "text/html"))


def test_by_hand_it_finds_the_same_repository_from_every_folder(repository, outcome):
    """In `notebooks/` JupyterLab runs it too."""
    before = {path.name for path in (repository / "build" / "corpora").iterdir()}
    by_hand(repository, "notebooks/01-data.ipynb", ".", "-p", "videos", "8")
    by_hand(repository, "01-data.ipynb", "notebooks", "-p", "videos", "8")
    assert {path.name for path in (repository / "build" / "corpora").iterdir()} == before
    assert not (repository / "notebooks" / "build").exists()
