"""Whether a notebook, as it is stored, has the shape that every page keeps: small cells, findings, exercises."""

import ast
import re
import statistics
from collections.abc import Iterator
from typing import Any

from tools import notebooks
from tools.check_prose import excerpt, typed_numbers, without_code

CELLS, LINES, MEDIAN_LINES, FUNCTION_LINES = 25, 25, 8, 6
EXERCISES = (2, 4)
FINDINGS = "What we found"
DIRECTIVE = r"^\s*(?:`{3,}|:{3,})\{%s\}[ \t]*%s"
OPTIONS = r"((?:\n[ \t]*:[\w-]+:[^\n]*)*)"
EXERCISE = re.compile(DIRECTIVE % ("exercise(?:-start)?", r"[^\n]*") + OPTIONS, re.MULTILINE)
SOLUTION = re.compile(DIRECTIVE % ("solution(-start)?", r"([^\s`]*)[^\n]*") + OPTIONS, re.MULTILINE)
SOLUTION_END = re.compile(DIRECTIVE % ("solution-end", ""), re.MULTILINE)
IN_CODE = "\0"  # stands for a code cell in the text of a page

Problems = Iterator[tuple[str, str]]  # (place within the notebook, what is wrong and what to do)


def problems_of_cells(name: str, cells: list) -> list[str]:
    checks = (stored_bare, sizes, definitions, parameters, findings, exercises)
    return [f"{name}{place}: {words}" for check in checks for place, words in check(cells)]


def place_of(cells: list, cell: Any) -> str:
    number = next(i for i, other in enumerate(cells, start=1) if other is cell)
    return f", cell {number} (`{excerpt(cell.source) or 'empty'}`)"


def code_cells(cells: list) -> list:
    return [cell for cell in cells if cell.cell_type == "code"]


def prose_of(cells: list) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def stored_bare(cells: list) -> Problems:
    for cell in code_cells(cells):
        if cell.outputs or cell.execution_count is not None:
            yield place_of(cells, cell), "outputs or a count are stored; clear all outputs and save it."


def sizes(cells: list) -> Problems:
    """Comments and blank lines count: a reader has to pass them as well. The set-up cell is shown to nobody."""
    code = [cell for cell in code_cells(cells) if notebooks.SET_UP not in notebooks.tags(cell)]
    lines = [len(cell.source.splitlines()) for cell in code]
    if len(code) > CELLS:
        yield "", f"{len(code)} code cells where {CELLS} are the most; divide the page or move code into the library."
    if code and statistics.median(lines) > MEDIAN_LINES:
        middle = statistics.median(lines)
        yield "", f"the median code cell has {middle:g} lines where {MEDIAN_LINES} are the most; shorten some cells."
    for cell, count in zip(code, lines, strict=True):
        if count > LINES:
            yield place_of(cells, cell), f"{count} lines where {LINES} are the most; divide the cell."


def definitions(cells: list) -> Problems:
    for cell in code_cells(cells):
        # magics are no Python; a cell magic makes a whole cell something else
        lines = [] if cell.source.startswith("%%") else cell.source.splitlines()
        source = "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)
        try:
            tree = ast.parse(source)
        except SyntaxError as problem:
            yield place_of(cells, cell), f"it is not Python ({problem.msg}); mend it."
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                yield place_of(cells, cell), f"it defines the class {node.name}; move it into the library."
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                count = node.end_lineno - first + 1
                if count > FUNCTION_LINES:
                    words = f"the function {node.name} has {count} lines where {FUNCTION_LINES} are the most"
                    yield place_of(cells, cell), f"{words}; move it into the library."


def parameters(cells: list) -> Problems:
    count = sum(notebooks.PARAMETERS in notebooks.tags(cell) for cell in code_cells(cells))
    if count != 1:
        yield (
            "",
            f"{count or 'no'} code cells are tagged `{notebooks.PARAMETERS}`; tag the one that a profile overrides.",
        )


def headings(markdown: str) -> list[tuple[int, str]]:
    """(level, text) of the headings, in order; a # in code is none."""
    found = [re.match(r"(#{1,6})\s+(.*?)\s*#*$", line) for line in without_code(markdown)]
    return [(len(heading[1]), heading[2]) for heading in found if heading]


def section(markdown: str, title: str) -> str | None:
    """The prose below a heading, up to the next one of its level or above; None where there is no such heading."""
    prose = "\n".join(without_code(markdown))
    begin = re.search(rf"^(#+)\s+{re.escape(title)}\s*$", prose, re.MULTILINE)
    if begin is None:
        return None
    rest = prose[begin.end() :]
    end = re.search(rf"^#{{1,{len(begin[1])}}}\s", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def findings(cells: list) -> Problems:
    text = section(prose_of(cells), FINDINGS)
    if text is None or not text.strip():
        yield "", f"no section “{FINDINGS}” with text in it; write what the page has shown, with glued numbers."
    for number, sentence in typed_numbers(text or ""):
        words = f"{number} is typed by hand in “{excerpt(sentence)}”"
        yield f", “{FINDINGS}”", f"{words}; glue it from the cell that computes it, or cite its source."


def exercises(cells: list) -> Problems:
    """Each exercise has a label, each label a solution that is folded and holds code, which `make book` executes."""
    text = "\n".join(cell.source if cell.cell_type == "markdown" else IN_CODE for cell in cells)
    found = [re.search(r":label:\s*(\S+)", options) for options in EXERCISE.findall(text)]
    fewest, most = EXERCISES
    if not fewest <= len(found) <= most:
        yield "", f"{len(found)} exercises where {fewest} to {most} are wanted; write some or leave some out."
    if not all(found):
        yield ", “Exercises”", "an exercise has no `:label:`, by which its solution could name it; add one."
    solutions = {solution[2]: solution for solution in SOLUTION.finditer(text)}
    for label in (label[1] for label in found if label):
        place, solution = f", exercise {label}", solutions.get(label)
        if solution is None:
            yield place, f"it has no solution; add one that begins with `{{solution-start}} {label}`."
            continue
        if not re.search(r":class:.*\bdropdown\b", solution[3]):
            yield place, "its solution is not folded; give it `:class: dropdown`."
        end = SOLUTION_END.search(text, solution.end())
        if solution[1] and end is None:
            yield place, "its solution does not end; close it with `{solution-end}`."
        elif not solution[1] or IN_CODE not in text[solution.end() : end.start()]:
            words = "its solution holds no code that is executed"
            yield place, f"{words}; put a code cell between `{{solution-start}}` and `{{solution-end}}`."
