"""The book's notebooks as they are stored: what a page owes its reader."""

import ast
import re
import statistics
from pathlib import Path

import nbformat
import pytest
import yaml

from tools import notebooks

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
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
    shown = [cell for cell in cells(path, "code") if "setup" not in cell.metadata.get("tags", [])]
    sizes = [len(cell.source.splitlines()) for cell in shown]
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
    assert {"corpus", "seed", "profile"} <= set(notebooks.declared_parameters(found))
    first = next(cell for cell in found.code_cells() if "setup" not in cell.metadata.get("tags", []))
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
