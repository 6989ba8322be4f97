"""A repository as small as the book's machinery allows: one notebook, one page, one module."""

import importlib.util
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]


def code(source: str, *tags: str, **metadata):
    return new_code_cell(source, id=f"c{abs(hash(source)) % 10**8}", metadata={"tags": list(tags), **metadata})


def text(source: str):
    return new_markdown_cell(source, id=f"t{abs(hash(source)) % 10**8}")


TITLE = text("# 1. First")
PARAMETERS = code('seed = 0\nvideos = 4\nrate = 0.5\ncorpus = ""\nprofile = "demo"', "parameters")
SHOW = code("print('videos', videos, 'seed', seed)")


def write_notebook(root: Path, name: str, *cells) -> Path:
    path = root / "notebooks" / f"{name}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path)
    return path


def write_profile(root: Path, content: str, name: str = "demo") -> None:
    (root / "notebooks" / "profiles" / f"{name}.yml").write_text(content, encoding="utf-8")


def write_room(root: Path, path: str, source: str) -> None:
    file = root / "src" / "emo_ssl" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")


def write_contents(root: Path, *names: str) -> None:
    chapters = "".join(f"  - file: notebooks/{name}\n" for name in names)
    (root / "book" / "_toc.yml").write_text(f"format: jb-book\nroot: book/index\nchapters:\n{chapters}")


def write_tree(root: Path) -> Path:
    for folder in ("notebooks/profiles", "book/_static"):
        (root / folder).mkdir(parents=True)
    for name in ("_config.yml", "book/_static/custom.css", "book/_static/mend.js"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    write_room(root, "core/corpus.py", "x = 1\n")
    (root / "requirements.lock").write_text("a==1\n")
    (root / "book" / "references.bib").write_text("")
    (root / "book" / "index.md").write_text("# Front\n\nSee [](../notebooks/01-first.ipynb).\n")
    write_contents(root, "01-first")
    write_notebook(root, "01-first", TITLE, PARAMETERS, SHOW)
    write_profile(root, "01-first: {videos: 7}\n")
    return root


def load(name: str):
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
