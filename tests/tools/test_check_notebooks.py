"""The checks of the book's sources: good sources pass, and every check is shown one that it refuses."""

import pytest
from book_tree import PARAMETERS, ROOT, SHOW, TITLE, code, text, write_notebook
from nbformat.v4 import new_output

from tools import check_notebooks
from tools.check_notebooks import typed_numbers


@pytest.mark.parametrize(
    ("markdown", "numbers"),
    [
        ("", []),
        ("It gained .28 points, from -0.02 to +0.04.", [".28", "0.02", "0.04"]),
        ("Of 1,234.5 frames, 1,234 are left.", ["1,234.5"]),
        ("Nearly 95 % and 20% and 3 per cent.", ["95 %", "20%", "3 per cent"]),
        ("| seeds | 0.754 | 7 |\n- an item of 0.1\n:::{note}\nIt is 0.3.\n:::", ["0.754", "0.1", "0.3"]),
        ("```{tip}\nIt is 0.3.\n```\nAnd 0.4.", ["0.3", "0.4"]),
        ("Three raters, 24 speakers, 0 to 3, the 1. of May.", []),
        ("Release 1.0.4 of it, on 10.0.0.1, with v2.5.", []),
        ("See {numref}`figure-0.5` and {doc}`page-of-0.5`.", []),
        ("As `0.5` or ``a `0.5` b``.", []),
        ("See [0.5 in a table](x.md#a-0.5), <https://x.org/0.5>, https://x.org/0.5 and ![of 0.5](a.png).", []),
        ("```bash\nrun --share 0.5\n```\n\n```{code-block} python\nx = 0.5\n```", []),
        ("---\nversion: 0.5\n---\n:::{table} Words\n:widths: 0.5 0.5\n\n| a |\n:::\n% of 0.5\n\n<!-- of\n0.5 -->", []),
        ("They found 0.5, e.g. here {cite:p}`someone2020`. We found 0.6.", ["0.6"]),
        ("We found 0.6. They found 0.5, see {cite:t}`someone2020`.", ["0.6"]),
        ("Cited {cite:p}`someone2020`\n\nand in another paragraph 0.5", ["0.5"]),
        ("Python 3.11, 3.12 or 3.13, under CC BY 4.0 or CC BY-NC-SA 4.0.", []),
        ("Version 2.5 reached 0.5.", ["0.5"]),
        ("With 95 % intervals, and an interval of 95 %; 95 % of the intervals.", ["95 %"]),
    ],
)
def test_typed_numbers(markdown, numbers):
    assert typed_numbers(markdown) == numbers


def ran(cell):
    cell.outputs = [new_output("stream", text="old")]
    return cell


def counted(cell):
    cell.execution_count = 3
    return cell


NOTEBOOK = "notebooks/01-first.ipynb"
FAULTS = {
    "an output": (lambda tree: write_notebook(tree, "01-first", ran(code("1"))), f"{NOTEBOOK}: the cell c"),
    "a count": (lambda tree: write_notebook(tree, "01-first", counted(code("1"))), "stored with outputs or a count"),
    "a long cell": (lambda tree: write_notebook(tree, "01-first", code("x = 1\n" * 31)), "more than 30 lines"),
    "a number": (
        lambda tree: write_notebook(tree, "01-first", text("It is 0.5.")),
        f"{NOTEBOOK}: 0.5 is typed by hand",
    ),
    "a number on a page": (lambda tree: (tree / "book/index.md").write_text("It is 12 %."), "book/index.md: 12 % is"),
    "a page too many": (lambda tree: (tree / "book/other.md").write_text("# Other"), "book/other.md is not in it"),
    "a notebook too many": (lambda tree: write_notebook(tree, "02-second", SHOW), "02-second.ipynb is not in it"),
}


def test_good_sources(tree):
    write_notebook(tree, "01-first", TITLE, PARAMETERS, code("x = 1\n" * 30))
    (tree / "book" / "_static" / "notes.md").write_text("no page, 0.5\n")
    assert check_notebooks.pages_of(tree) == ["book/index", "notebooks/01-first"]
    assert check_notebooks.problems(tree) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_sources(tree, fault):
    plant, complaint = FAULTS[fault]
    plant(tree)
    (problem,) = check_notebooks.problems(tree)
    assert complaint in problem and "\n" not in problem


def test_the_sources_of_this_book():
    assert check_notebooks.problems(ROOT) == []
