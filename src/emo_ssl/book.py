"""`emo-ssl book`: notebooks are executed, everything is staged under its repository path, Jupyter Book renders it.

The staged mirror is what makes edit and launch links right: Sphinx derives them from a page's path in its sources.
"""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from emo_ssl import execution, files, notebooks, profiles
from emo_ssl.errors import UserError

CONFIG, TOC = "_config.yml", "book/_toc.yml"
STAGE, RENDER, SITE = "build/stage", "build/render", "build/site"
RENDER_LOG = "build/logs/render.log"
MATHJAX = "tex-svg.js"
NEEDED = ("papermill", "nbformat", "jupyter-book", "pyyaml", "sphinx-mathjax-offline")
FAILED = 1


def require_extra() -> None:
    missing = []
    for name in NEEDED:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        raise UserError(f"{', '.join(missing)} not installed; run `make book`, or: pip install 'emo-ssl[book]'.")


def toc_pages(path: Path) -> list[str]:
    """Every page that the table of contents names, without suffix, relative to the repository's root."""
    import yaml

    try:
        toc = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        reason = str(problem).replace("\n", " ")
        raise UserError(f"{path}: not readable as YAML ({reason}); mend it and run again.") from problem

    def below(entry) -> list[str]:
        if isinstance(entry, list):
            return [page for item in entry for page in below(item)]
        if not isinstance(entry, dict):
            return []
        own = [str(entry[name]) for name in ("root", "file") if name in entry]
        return own + [page for value in entry.values() for page in below(value)]

    return below(toc)


def check_toc(root: Path, pages: list[str], found: list[notebooks.Notebook]) -> None:
    for page in pages:
        if not any((root / f"{page}{suffix}").is_file() for suffix in (".md", ".ipynb")):
            raise UserError(f"{root / TOC}: it names {page}, which is not there; write the page or correct the name.")
    for notebook in found:
        if f"{notebooks.FOLDER}/{notebook.stem}" not in pages:
            raise UserError(f"{root / TOC}: {notebook.path.name} is not in it; add {notebooks.FOLDER}/{notebook.stem}.")


def mathjax() -> Path:
    """The formula renderer, out of the package that carries it: an offline page must not ask the network for it."""
    for entry in metadata.files("sphinx-mathjax-offline") or []:
        if entry.name == MATHJAX:
            return Path(entry.locate())
    raise UserError(
        f"sphinx-mathjax-offline has no {MATHJAX}; run: pip install --force-reinstall sphinx-mathjax-offline"
    )


def stage(root: Path, found: list[notebooks.Notebook]) -> Path:
    """A mirror of the repository that holds the pages' sources and nothing else."""
    import nbformat

    target = root / STAGE
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "book", target / "book", ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    (target / notebooks.FOLDER).mkdir()
    for notebook in found:
        executed = notebooks.read(notebooks.executed_path(root, notebook))
        page = notebooks.with_outputs(notebook, executed)
        files.write_bytes(target / notebooks.FOLDER / notebook.path.name, nbformat.writes(page).encode())
    script = target / "book" / "_static" / "mathjax" / MATHJAX
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax(), script)
    return target


def render(root: Path) -> int:
    """Run Jupyter Book with its words going to a log; what it warns of is shown. Warnings are errors."""
    shutil.rmtree(root / RENDER, ignore_errors=True)
    log = root / RENDER_LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    # `--all` on purpose: Sphinx cannot see that a glued number changed, and would publish the old one
    options = ["--config", CONFIG, "--toc", TOC, "--path-output", RENDER, "-W", "-n", "--keep-going", "--all"]
    start = "from jupyter_book.cli.main import main; main()"
    with log.open("w", encoding="utf-8") as stream:
        status = subprocess.run(
            [sys.executable, "-c", start, "build", STAGE, *options],
            cwd=root,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        ).returncode
    if status:
        words = execution.ANSI.sub("", log.read_text(encoding="utf-8")).splitlines()
        said = [line for line in words if "WARNING" in line or "ERROR" in line] or words[-15:]
        print("\n".join([*said, f"The book was not rendered. The whole story: {log}"]), file=sys.stderr)
    return status


def check_site(html: Path, pages: list[str]) -> None:
    """Trust files, not exit statuses: a version of Jupyter Book exits with 0 and writes nothing."""
    missing = [page for page in [*pages, "index"] if not (html / f"{page}.html").is_file()]
    if missing:
        raise UserError(
            f"{html}: rendering left out {', '.join(missing)}; see {RENDER_LOG} and check the installation."
        )


def publish(html: Path, site: Path) -> None:
    """Put the new site where the old one is; a reader finds one or the other."""
    old = site.with_name(site.name + files.PARTIAL)
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        os.rename(site, old)
    os.rename(html, site)
    shutil.rmtree(old, ignore_errors=True)


def make(root: Path, only: str | None = None, profile: str = profiles.USUAL) -> int:
    root = root.resolve()
    if not (root / CONFIG).is_file() or not (root / TOC).is_file():
        raise UserError(f"{root}: no {CONFIG} and {TOC} here; run this in the root of the repository.")
    require_extra()
    found, pages = notebooks.find(root, profile), toc_pages(root / TOC)
    check_toc(root, pages, found)
    outcome = execution.execute_all(root, found, only)
    if outcome.failed:
        waiting = f"; not executed: {', '.join(outcome.waiting)}" if outcome.waiting else ""
        print(f"Not rendered, for {', '.join(outcome.failed)} failed{waiting}.", file=sys.stderr)
        return FAILED
    if outcome.stale:
        print(f"Not rendered: {', '.join(outcome.stale)} still to be executed, which `make book` does.")
        return 0
    stage(root, found)
    print("Rendering …", flush=True)
    if render(root):
        return FAILED
    html = root / RENDER / "_build" / "html"
    check_site(html, pages)
    publish(html, root / SITE)
    print(f"The book is ready, open {root / SITE / 'index.html'}")
    return 0
