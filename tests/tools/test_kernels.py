"""Kernels that are forked: they find imported what notebooks import, and end with the process that executes them."""

import os
import subprocess
import sys

import pytest
from book_tree import PARAMETERS, ROOT, code, write_contents, write_notebook

from tools import kernels, notebooks

pytestmark = pytest.mark.skipif(not kernels.CAN_FORK, reason="kernels are forked on Linux only")


def test_what_cells_import():
    sources = ["import a.b, c as d\nfrom e import f", "%pip install g", "def h():\n    import i", "import c"]
    assert kernels.imported_by(sources) == ["a.b", "c", "e", "e.f", "i"]
    assert kernels.imported_by([]) == []


@pytest.mark.slow
def test_a_forked_kernel(tree):
    """Modules are there before the first cell; one that fails at import fails in its cell, where it can be caught."""
    (tree / "breaks.py").write_text("raise ValueError('at import')")
    first = code("import sys\nprint('colorsys' in sys.modules)")
    caught = code("try:\n    import breaks\nexcept ValueError as problem:\n    print(problem)")
    drawn = code("from matplotlib import pyplot\nimport colorsys\n_ = pyplot.plot([1, 2])")
    write_notebook(tree, "01-first", PARAMETERS, first, caught, drawn)
    write_notebook(tree, "02-second", code("1"))
    write_contents(tree, "01-first", "02-second")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [ROOT, ROOT / "src", tree]))}
    command = [sys.executable, "-m", "tools.book", "--only", "01"]  # a process of its own: it forks from one server
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    _, _, *cells = notebooks.read(tree / "build" / "executed" / "demo" / "01-first.ipynb").cells
    assert [cell.outputs[0].text for cell in cells[:2]] == ["True\n", "at import\n"]
    assert [list(output.data) for output in cells[2].outputs] == [["image/png", "text/plain"]]
