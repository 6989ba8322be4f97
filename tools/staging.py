"""What is rendered: a mirror of the repository that holds the pages' sources and outputs, and nothing else.

The mirror is what makes edit and launch links right: Sphinx derives them from a page's path in its sources.
"""

import copy
import filecmp
import os
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from emo_ssl.utils import io as files
from tools import notebooks
from tools.notebooks import Notebook

STAGE = "build/stage"
PAGES = (".md", ".ipynb")
MATHJAX = "mathjax/tex-svg.js"
STAMPED = ("emo-ssl", "torch", "numpy")


def stage(root: Path, found: list[Notebook]) -> Path:
    import nbformat

    target, before = root / STAGE, root / f"{STAGE}.old"
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        os.rename(target, before)
    shutil.copytree(root / "book", target / "book", ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    for folder in (notebooks.FOLDER, "book/_static/mathjax"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for notebook in found:
        page = with_outputs(notebook, notebooks.read(notebook.executed))
        (target / notebooks.FOLDER / notebook.path.name).write_text(nbformat.writes(page), encoding="utf-8")
    # formulas are rendered out of a package: an offline page must not ask the network for it
    mathjax = metadata.distribution("sphinx-mathjax-offline").locate_file(f"sphinx-mathjax-offline/static/{MATHJAX}")
    shutil.copyfile(mathjax, target / "book/_static" / MATHJAX)
    for path in root.glob("CHANGELOG.md"):  # a page includes it
        shutil.copyfile(path, target / path.name)
    keep_times(target, before)
    shutil.rmtree(before, ignore_errors=True)
    return target


def keep_times(target: Path, before: Path) -> None:
    """Of files that are as they were, for Sphinx reads those again that are younger than what it knows of them."""
    for path in target.rglob("*"):
        old = before / path.relative_to(target)
        if path.is_file() and old.is_file() and filecmp.cmp(path, old, shallow=False):
            shutil.copystat(old, path)


def with_outputs(notebook: Notebook, executed: Any) -> Any:
    """The notebook as it stands now, the outputs of its execution, the injected parameters and a stamp."""
    ran = iter(notebooks.code_cells(executed))
    page = copy.deepcopy(notebook.content)
    page.cells = []
    for cell in copy.deepcopy(notebook.content.cells):
        page.cells.append(cell)
        if cell.cell_type != "code":
            continue
        source = next(ran)
        cell.outputs = source.outputs
        cell.execution_count = source.execution_count
        if notebooks.PARAMETERS in notebooks.tags(cell) and notebook.parameters:
            injected = next(ran)
            label = {"code_prompt_show": "Set by the profile", "code_prompt_hide": "Hide"}
            injected.metadata = {"tags": [notebooks.INJECTED, "hide-input"], "mystnb": label}
            page.cells.append(injected)
    page.cells.append(stamp(executed.metadata[notebooks.RECORD]["run"]))
    return page


def stamp(run: dict) -> Any:
    """How a page was made, as its last cell; the stored notebook never has it."""
    from nbformat.v4 import new_markdown_cell

    versions = [f"{name} {run['versions'].get(name, 'unknown')}" for name in STAMPED]
    words = [f"Profile {run['profile']}", *versions, f"executed in {run['seconds']:.0f} s"]
    return new_markdown_cell(f":::{{div}} stamp\n{' · '.join(words)}\n:::", id="stamp")


def keys_of(root: Path, target: Path) -> tuple[str, str]:
    """Of all that the rendered pages depend on; and of what they share, their own words left out."""
    sources = [path for path in sorted(target.rglob("*")) if path.is_file()]
    sources += [root / "_config.yml", root / notebooks.LOCK, *sorted(Path(__file__).parent.glob("*.py"))]
    every = [[os.path.relpath(path, root), files.fingerprint(path)] for path in sources]
    shared = [[name, "" if name.endswith(PAGES) else content] for name, content in every]
    return files.hash_of(every), files.hash_of(shared)
