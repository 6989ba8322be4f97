"""Every notebook of the book runs, with the profile `smoke`, in a copy of the repository: about two minutes in all."""

import shutil

import nbformat
import pytest
from book_tree import ROOT

from tools import notebooks

pytestmark = [pytest.mark.smoke, pytest.mark.timeout(1200)]  # all notebooks are executed for the first of these tests
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """What the notebooks are executed from, and nothing that was ever made from it."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("notebooks", "results", "src"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for name in ("_config.yml", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder)
    notebooks.execute_all(notebooks.find(folder, "smoke"), folder)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_runs_and_none_complains(name, repository):
    path = repository / "build" / "executed" / "smoke" / f"{name}.ipynb"
    assert path.is_file(), f"{name} failed; see what was printed"
    cells = notebooks.code_cells(nbformat.read(path, 4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [(cell.id, output) for cell in cells for output in cell.outputs]
    assert [(where, output.text) for where, output in outputs if output.get("name") == "stderr"] == []
    drawn = [cell for cell in cells if "figure" in cell.metadata.get("mystnb", {})]
    assert drawn
    for cell in drawn:
        assert any("image/png" in output.get("data", {}) for output in cell.outputs), f"{cell.id} shows no picture"
        assert len(cell.metadata.mystnb.image.alt) > 60, f"{cell.id} has no words for its picture"


def test_pages_share_what_they_compute(repository):
    """Three pretraining runs, the first of which 02b shows, and that of 06; one study of them for 03b and 04."""
    for kind, most in {"runs": 4, "studies": 1}.items():
        assert 1 <= len(list((repository / "build" / kind).iterdir())) <= most, kind
