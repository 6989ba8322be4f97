"""The cell that installs the project where a notebook comes alone, as on Colab."""

import importlib.util
from types import SimpleNamespace

import nbformat
import pytest
from book_tree import ROOT, load

import emo_ssl

set_up = load("set_up_cells")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_the_set_up_cell_of_this_repository_after_their_title(path):
    cells = nbformat.read(path, 4).cells
    places = [i for i, cell in enumerate(cells) if "setup" in cell.metadata.get("tags", [])]
    assert places == [1] and cells[1].source == set_up.source(ROOT), "run make format"


@pytest.mark.parametrize("there", [True, False])
def test_it_installs_only_where_nothing_is_there(there, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if there and name == "emo_ssl" else None)
    ran = []
    shell = SimpleNamespace(system=ran.append, run_line_magic=lambda name, line: ran.append(f"%{name} {line}"))
    exec(compile(set_up.source(ROOT), "cell", "exec"), {"get_ipython": lambda: shell})
    assert [command.split(" ")[0] for command in ran] == ([] if there else ["git", "%cd"])
    assert there or f"clone -qb v{emo_ssl.__version__} https" in ran[0]  # a release, which does not change
