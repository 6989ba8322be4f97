"""The book's notebooks as they are stored, and one that runs: what a page owes its reader."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest
import yaml
from training import PRETRAIN, STUDY, write_acted

from emo_ssl import execution, notebooks
from emo_ssl.evidence import evaluate
from emo_ssl.pretrain import pretrain
from emo_ssl.recorded import keep
from emo_ssl.study import study

ROOT = Path(__file__).parents[1]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESSES = re.compile(r"/(?:home|root|Users|tmp|work|mnt)/")
DRAWN = re.compile(r"^(?:figures\.(?!table)|curves\.|pictures\.|heard\.|panels\.)", re.MULTILINE)
each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def text_of(path: Path) -> str:
    return "\n".join(cell.source for cell in cells(path, "markdown"))


def test_there_are_notebooks():
    assert ROOT / "notebooks" / "01-data.ipynb" in PATHS


@each
def test_stored_without_outputs(path):
    for cell in cells(path, "code"):
        assert not cell.outputs and cell.execution_count is None, cell.id
        assert set(cell.metadata) <= {"tags", "mystnb"}, f"{cell.id}: {set(cell.metadata)}"


@each
def test_cells_are_small(path):
    sizes = [len(cell.source.splitlines()) for cell in cells(path, "code")]
    assert len(sizes) <= 25
    assert max(sizes) <= 25 and statistics.median(sizes) <= 8


@each
def test_no_classes_and_no_long_functions(path):
    for cell in cells(path, "code"):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef), cell.id
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 6, f"{cell.id}: {node.name} belongs into the library"


@each
def test_parameters_have_one_cell_near_the_top(path):
    found = notebooks.Notebook(path, nbformat.read(path, 4))
    assert {"corpus", "seed", "profile"} <= notebooks.declared_parameters(found)
    first = found.code_cells()[0]
    assert "parameters" in first.metadata.tags
    # papermill understands one assignment a line; an equals sign in a comment confuses it
    assert all(line.count("=") == 1 for line in first.source.splitlines())


@each
def test_every_figure_has_number_caption_and_alt(path):
    drawn = [cell for cell in cells(path, "code") if DRAWN.search(cell.source)]
    names = []
    for cell in drawn:
        said = cell.metadata.get("mystnb", {})
        figure, alt = said.get("figure", {}), said.get("image", {}).get("alt", "")
        assert re.fullmatch(r"fig-[a-z-]+", figure.get("name", "")), cell.id
        assert len(figure["caption"]) > 30 and len(alt) > 60 and alt != figure["caption"], cell.id
        assert DRAWN.search(cell.source.splitlines()[-1]) or cell.source.endswith("\n)"), cell.id
        names.append(figure["name"])
    assert len(set(names)) == len(names)
    for name in names:
        assert f"{{numref}}`{name}`" in text_of(path), f"no sentence reads {name}"


@each
def test_every_number_in_the_text_is_said_by_a_cell(path):
    code = "\n".join(cell.source for cell in cells(path, "code"))
    said = set(re.findall(r"(\w+)=", "\n".join(re.findall(r"\bsay\(([^#]*?)\)$", code, re.MULTILINE | re.DOTALL))))
    used = set(re.findall(r"\{glue:text\}`(\w+)(?::[^`]*)?`", text_of(path)))
    assert used and used <= said, used - said


@each
def test_findings_hold_no_typed_number(path):
    found = re.search(r"## What we found\n(.*?)(?=\n## |\Z)", text_of(path), re.DOTALL)[1]
    bare = re.sub(r"\{glue:text\}`[^`]*`", "", found)
    assert not re.search(r"\d+\.\d+|\d+ ?%", bare)


@each
def test_page_keeps_its_shape(path):
    text = text_of(path)
    title = text.splitlines()[0]
    assert re.fullmatch(r"# \d+\. \S.*", title) and int(path.stem[:2]) == int(re.search(r"\d+", title)[0])
    for part in (":::{admonition}", "**Question.**", "## What we found", "## Exercises", "**Next:**"):
        assert part in text, part
    exercises = re.findall(r"```\{exercise\}\n:label: (\S+)", text)
    assert 2 <= len(exercises) <= 4
    assert re.findall(r"```\{solution-start\} (\S+)", text) == exercises
    assert text.count("```{solution-end}") == len(exercises)


@each
def test_toc_has_it(path):
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    assert f"'notebooks/{path.stem}'" in str(toc)


def outputs(page, kind: str) -> list[str]:
    found = [output for cell in page.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[kind] for output in found if kind in output.get("data", {})]


# Small enough for seconds, large enough for three small budgets; 03 and 04 share what they compute
TINY_STUDY = {"videos": 16, "steps": 4, "budgets": [28, 32, 36], "seeds": 2, "label_steps": 2}
TINY = {
    "01-data": {"videos": 8},
    "02-pretraining": {"videos": 16, "steps": 4},
    "03-label-budgets": TINY_STUDY,
    "04-per-emotion": TINY_STUDY,
    "05-real-speech": {},  # shows the study of the fixture `acted`
    "06-your-recordings": {"speakers": 3, "each": 1, "steps": 4, "labels": 4},
}
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
    folder = tmp_path_factory.mktemp("repository")
    (folder / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
    (folder / "notebooks").mkdir()
    return folder


@pytest.fixture(scope="module")
def acted(tmp_path_factory, one_thread):
    """A tiny recorded study of acted voices and its corpus, without the second protocol and small budgets."""
    folder = tmp_path_factory.mktemp("acted")
    segments = write_acted(folder / "corpus")
    runs = [folder / f"run{fold}" for fold in segments.folds]
    for fold, run in zip(segments.folds, runs, strict=True):
        pretrain([segments], run, PRETRAIN, fold=fold, device="cpu")
    study(segments, runs, folder / "study", STUDY, "cpu")
    evaluate(folder / "study")
    keep(folder / "study", folder / "kept", "as before", segments)
    return {"recorded": str(folder / "kept"), "corpus": str(folder / "corpus")}


@pytest.fixture(scope="module", params=[path.stem for path in PATHS])
def executed(request, repository):
    """A page on a tiny corpus, in a repository of its own, from the folder in which JupyterLab would run it."""
    import papermill

    page = repository / f"{request.param}.ipynb"
    papermill.execute_notebook(
        ROOT / "notebooks" / page.name,
        page,
        parameters=TINY[request.param] or request.getfixturevalue("acted"),
        cwd=repository / "notebooks",
        kernel_name="python3",
        progress_bar=False,
        engine_name=execution.register_engine(),
    )
    assert [entry.name for entry in (repository / "notebooks").iterdir()] == []
    return request.param, nbformat.read(page, 4)


quiet = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@quiet
def test_runs_on_a_tiny_corpus(executed):
    stem, page = executed
    figures = [cell for cell in page.cells if "figure" in cell.metadata.get("mystnb", {})]
    assert len(figures) == SHOWN[stem][0]
    for cell in figures:
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == 1, f"{cell.id} shows {len(pictures)} pictures"
    assert len(outputs(page, "text/html")) >= SHOWN[stem][1]


@quiet
def test_leaks_no_stderr_and_no_path(executed):
    stem, page = executed
    for cell in page.cells:
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", f"{cell.id}: {output.get('text')}"
    shown = "".join(outputs(page, "text/html") + outputs(page, "text/plain"))
    assert not ADDRESSES.search(shown)
    assert ("say nothing about people" in shown) != (stem == "05-real-speech")


@quiet
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


@quiet
def test_every_exercise_is_solved(executed):
    for cell in executed[1].cells:
        if cell.cell_type == "code" and cell.id.startswith("solution"):
            assert any("text/html" in output.get("data", {}) for output in cell.outputs), cell.id


@quiet
def test_pages_share_what_they_compute(executed, repository):
    # corpora: 01's own, its exercise's, and that of the others
    # three pretraining runs, the first of which 02 shows, and that of 06; one study of them for 03 and 04
    for kind, most in {"corpora": 3, "runs": 4, "studies": 1, "evidence": 1}.items():
        found = repository / "build" / kind
        assert not found.exists() or 1 <= len(list(found.iterdir())) <= most, kind
