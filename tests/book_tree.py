"""A repository as small as the book's machinery allows: one notebook, one page, one module."""

import copy
import shutil
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import notebooks

ROOT = Path(__file__).parents[1]


def code(source: str, *tags: str, **metadata):
    return new_code_cell(source, id=f"c{abs(hash(source)) % 10**8}", metadata={"tags": list(tags), **metadata})


def text(source: str):
    return new_markdown_cell(source, id=f"t{abs(hash(source)) % 10**8}")


PARAMETERS = code("seed = 0\nvideos: int = 4", "parameters")
SHOW = code("print('videos', videos, 'seed', seed)")


def exercise(label: str) -> list:
    solution = f"```{{solution-start}} {label}\n:class: dropdown\n```"
    asked = f"```{{exercise}}\n:label: {label}\n\nWhy?\n```\n\n{solution}"
    end = new_markdown_cell("```{solution-end}\n```", id=f"end-{label}")
    return [text(asked), code(f"print('{label}')"), end]


# What the book's checks want at the end of a page
OWED = [text("## What we found\n\nIt runs."), text("## Exercises"), *exercise("one"), *exercise("two")]


def write_notebook(root: Path, stem: str, *cells, **links) -> Path:
    """`links`: what its metadata says of the notebooks before it and of what it reads, `after` and `inputs`."""
    path = root / "notebooks" / f"{stem}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel} | ({"emo_ssl": links} if links else {})
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), path)
    return path


def write_profile(root: Path, content: str, name: str = "demo") -> None:
    (root / "notebooks" / "profiles" / f"{name}.yml").write_text(content, encoding="utf-8")


def write_toc(root: Path, *stems: str) -> None:
    chapters = "".join(f"      - file: notebooks/{stem}\n" for stem in stems)
    head = "format: jb-book\nroot: book/index\nparts:\n  - caption: One\n    chapters:\n"
    (root / "book" / "_toc.yml").write_text(head + chapters)


def write_tree(root: Path) -> Path:
    for folder in ("notebooks/profiles", "book", "src/emo_ssl"):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", root)
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    (root / "src" / "emo_ssl" / "thing.py").write_text("x = 1\n")
    (root / "requirements.lock").write_text("a==1\n")
    write_toc(root, "01-first")
    (root / "book" / "index.md").write_text("# Front\n\nSee [](../notebooks/01-first.ipynb).\n")
    (root / "book" / "references.bib").write_text("")
    write_notebook(root, "01-first", text("# 1. First"), PARAMETERS, SHOW)
    write_profile(root, "01-first: {videos: 7}\n")
    return root


def only_notebook(root: Path) -> notebooks.Notebook:
    (found,) = notebooks.find(root)
    return found


def executed(root: Path, stem: str = "01-first", profile: str = "demo") -> Path:
    return root / "build" / "executed" / profile / f"{stem}.ipynb"


def printed(path: Path) -> str:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


def played(root: Path, notebook: notebooks.Notebook, *log_and_watch):
    """In place of a kernel, where only the order of things matters."""
    return copy.deepcopy(notebook.content)


def refuse_to_run(*arguments):
    raise AssertionError("nothing should be executed here")
