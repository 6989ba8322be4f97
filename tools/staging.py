"""What is rendered: a mirror of the repository that holds the pages' sources, outputs and stamps, and nothing else.

The mirror is what makes edit and launch links right: Sphinx derives them from a page's path in its sources.
"""

import base64
import hashlib
import re
import shutil
from importlib import metadata
from pathlib import Path
from typing import Any

from emo_ssl.utils import io as files
from emo_ssl.utils import progress
from emo_ssl.utils.io import UserError
from tools import notebooks

STAGE = "build/stage"
MADE = "book/_static/made"  # figures of notebooks, for prose pages
MATHJAX = "tex-svg.js"
CORPUS = re.compile(r'data-corpus="([0-9a-f]+)"')  # workspace.notice says it of the corpus of a page
NAMED = ("emo-ssl", "torch", "numpy")


def mathjax() -> Path:
    """The formula renderer, out of the package that carries it: an offline page must not ask the network for it."""
    for entry in metadata.files("sphinx-mathjax-offline") or []:
        if entry.name == MATHJAX:
            return Path(entry.locate())
    raise UserError(
        f"sphinx-mathjax-offline has no {MATHJAX}; run: pip install --force-reinstall sphinx-mathjax-offline"
    )


def stage(root: Path, found: list[notebooks.Notebook]) -> Path:
    import nbformat

    target = root / STAGE
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target / "book", ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    (target / notebooks.FOLDER).mkdir()
    wanted = pictures_wanted(target)
    for notebook in found:
        executed = notebooks.executed(root, notebook)
        page = notebooks.with_outputs(notebook, executed)
        page.cells.append(stamp(executed))
        files.write_bytes(target / notebooks.FOLDER / notebook.path.name, nbformat.writes(page).encode())
        # Prose pages show figures of notebooks too, and Sphinx hands only text from page to page
        for name, picture in pictures_of(page):
            if name in wanted:
                made = target / MADE / f"{name}.png"
                made.parent.mkdir(parents=True, exist_ok=True)
                made.write_bytes(picture)
    script = target / "book" / "_static" / "mathjax" / MATHJAX
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax(), script)
    for path in root.glob("CHANGELOG.md"):  # a page includes it
        shutil.copyfile(path, target / path.name)
    return target


def pictures_wanted(target: Path) -> set[str]:
    """Names of the notebooks' figures that prose pages ask for."""
    pages = [path.read_text("utf-8") for path in (target / "book").glob("*.md")]
    return {name for page in pages for name in re.findall(rf"{Path(MADE).name}/([\w-]+)\.png", page)}


def pictures_of(page: Any) -> list[tuple[str, bytes]]:
    """The figures of an executed notebook that have a name, as PNG."""
    found = []
    for cell in page.cells:
        name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
        images = [output.get("data", {}).get("image/png") for output in cell.get("outputs", [])]
        found += [(name, base64.b64decode(image)) for image in images if name and image]
    return found


def stamp(executed: Any) -> Any:
    """How a page was made, as its last cell; the stored notebook never has it."""
    from nbformat.v4 import new_markdown_cell

    run = executed.metadata.get(notebooks.RUN, {})
    corpus = CORPUS.search("".join(html_of(executed)))
    versions = [f"{name} {run.get('versions', {}).get(name, 'unknown')}" for name in NAMED]
    words = [
        f"Profile {run.get('profile', 'unknown')}",
        *([f"corpus `{corpus[1]}`"] if corpus else []),
        *versions,
        f"executed in {progress.duration(run.get('seconds', 0))} on {device(run.get('hardware', {}))}",
    ]
    return new_markdown_cell(f":::{{div}} stamp\n{' · '.join(words)}\n:::", id="stamp")


def html_of(executed: Any) -> list[str]:
    found = [output for cell in executed.cells for output in cell.get("outputs", [])]
    return ["".join(output.get("data", {}).get("text/html", "")) for output in found]


def device(hardware: dict) -> str:
    if hardware.get("device") == "cpu":
        cores = hardware.get("cores")
        return f"{cores} processor core{'s' if cores != 1 else ''} ({hardware.get('name')})"
    return str(hardware.get("name", "an unknown device"))


def tree_hash(folder: Path) -> str:
    """sha256 over names and contents of a folder."""
    digest = hashlib.sha256()
    for path in sorted(entry for entry in folder.rglob("*") if entry.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{notebooks.sha256(path)}\0".encode())
    return digest.hexdigest()
