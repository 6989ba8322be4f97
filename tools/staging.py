"""What is rendered: a mirror of the repository that holds the pages' sources and outputs, and nothing else.

The mirror is what makes edit and launch links right: Sphinx derives them from a page's path in its sources.
"""

import base64
import copy
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from emo_ssl.utils import io as files
from tools import notebooks
from tools.notebooks import Notebook

STAGE = "build/stage"
MADE = "book/_static/made"  # figures of notebooks that prose pages show
MATHJAX = "mathjax/tex-svg.js"
STAMPED = ("emo-ssl", "torch", "numpy")
FOR_JUPYTERLAB = "emo_ssl_aside"  # in the metadata of an output that the book leaves out


def stage(root: Path, found: list[Notebook]) -> Path:
    import nbformat

    target = root / STAGE
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target / "book", ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    prose = "".join(path.read_text("utf-8") for path in (target / "book").glob("*.md"))
    for folder in (notebooks.FOLDER, MADE, "book/_static/mathjax"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for notebook in found:
        page = with_outputs(notebook, notebooks.read(notebook.executed))
        (target / notebooks.FOLDER / notebook.path.name).write_text(nbformat.writes(page), encoding="utf-8")
        for name, picture in pictures_of(page).items():
            if f"{name}.png" in prose:
                (target / MADE / f"{name}.png").write_bytes(picture)
    # formulas are rendered out of a package: an offline page must not ask the network for it
    mathjax = metadata.distribution("sphinx-mathjax-offline").locate_file(f"sphinx-mathjax-offline/static/{MATHJAX}")
    shutil.copyfile(mathjax, target / "book/_static" / MATHJAX)
    for path in root.glob("CHANGELOG.md"):  # a page includes it
        shutil.copyfile(path, target / path.name)
    return target


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
        cell.outputs = [output for output in source.outputs if FOR_JUPYTERLAB not in output.get("metadata", {})]
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


def pictures_of(page: Any) -> dict[str, bytes]:
    """The named figures of an executed notebook: Sphinx hands text from page to page, and no pictures."""
    found = {}
    for cell in notebooks.code_cells(page):
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        for output in cell.outputs:
            if name and "image/png" in output.get("data", {}):
                found[name] = base64.b64decode(output.data["image/png"])
    return found


def key_of(root: Path, target: Path) -> str:
    """Of all that the rendered pages depend on."""
    sources = [path for path in sorted(target.rglob("*")) if path.is_file()]
    sources += [root / "_config.yml", root / notebooks.LOCK, *sorted(Path(__file__).parent.glob("*.py"))]
    return files.hash_of([[path.name, files.fingerprint(path)] for path in sources])
