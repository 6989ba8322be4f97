"""`python -m tools.book`: notebooks are executed, staged, rendered by Jupyter Book, checked, and then published."""

import argparse
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from emo_ssl.utils import io as files
from emo_ssl.utils.io import UserError
from tools import check_site as checks
from tools import execution, notebooks, profiles, staging
from tools.reach import Graph

CONFIG, TOC = "_config.yml", checks.TOC
RENDER, SITE = "build/render", "build/site"
RECORD = "build/site.json"  # what the published site was rendered from, and what it consists of
RENDER_LOG = "build/logs/render.log"
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


def require_repository(root: Path) -> Path:
    root = root.resolve()
    if not (root / CONFIG).is_file() or not (root / TOC).is_file():
        raise UserError(f"{root}: no {CONFIG} and {TOC} here; run this in the root of the repository.")
    require_extra()
    return root


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
            [sys.executable, "-c", start, "build", staging.STAGE, *options],
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


def refused(problems: list[str], outcome: str) -> int:
    """Each problem on its line, and what becomes of the book because of them."""
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    print("\n".join([*problems, f"{count}: {outcome}"]), file=sys.stderr)
    return FAILED


def publish(html: Path, site: Path) -> None:
    """Put the new site where the old one is; a reader finds one or the other."""
    old = site.with_name(site.name + files.PARTIAL)
    shutil.rmtree(old, ignore_errors=True)
    if site.exists():
        os.rename(site, old)
    os.rename(html, site)
    shutil.rmtree(old, ignore_errors=True)


def record_of(root: Path) -> dict[str, str]:
    """What the staged pages would be rendered from and checked by, and what is published."""
    sources = {
        "pages": staging.tree_hash(root / staging.STAGE),
        "config": notebooks.sha256(root / CONFIG),
        "code": Graph.of(root).code_hash(root, ["from emo_ssl import book"]),
    }
    site = root / SITE
    sizes = {path.relative_to(site).as_posix(): path.stat().st_size for path in site.rglob("*") if path.is_file()}
    return {"sources": files.hash_of(sources), "site": files.hash_of(sizes)}


def is_published(root: Path) -> bool:
    try:
        return files.read_json(root / RECORD) == record_of(root)
    except (OSError, UserError):
        return False


def make(root: Path, only: str | None = None, profile: str = profiles.USUAL) -> int:
    root = require_repository(root)
    found = notebooks.find(root, profile)
    problems = checks.problems_of_sources(root)
    if problems:
        return refused(problems, "nothing was executed.")
    outcome = execution.execute_all(root, found, only)
    if outcome.failed:
        waiting = f"; not executed: {', '.join(outcome.waiting)}" if outcome.waiting else ""
        print(f"Not rendered, for {', '.join(outcome.failed)} failed{waiting}.", file=sys.stderr)
        return FAILED
    if outcome.stale:
        print(f"Not rendered: {', '.join(outcome.stale)} still to be executed, which `make book` does.")
        return 0
    staging.stage(root, found)
    if is_published(root):
        print("The pages are as they were, not rendered again")
    elif render_anew(root):
        return FAILED
    print(f"The book is ready, open {root / SITE / 'index.html'}")
    return 0


def render_anew(root: Path) -> int:
    print("Rendering …", flush=True)
    if render(root):
        return FAILED
    html = root / RENDER / "_build" / "html"
    # files are trusted, not exit statuses: a version of Jupyter Book exits with 0 and writes nothing
    problems = checks.problems_of_site(root, html, list(checks.toc_entries(root)))
    if problems:
        return refused(problems, f"the book was not published; what was rendered is in {html}.")
    (root / RECORD).unlink(missing_ok=True)
    publish(html, root / SITE)
    files.write_json(root / RECORD, record_of(root))
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="book", description="Execute the notebooks and render the book.")
    parser.add_argument("--only", metavar="NN", help="only the notebook with this number, as in --only 01")
    parser.add_argument("--profile", default=profiles.USUAL, metavar="P", help="of notebooks/profiles/ (default: demo)")
    arguments = parser.parse_args(argv)
    try:
        return make(Path.cwd(), arguments.only, arguments.profile)
    except UserError as problem:
        print(f"book: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("book: interrupted; run the same command again to continue", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
