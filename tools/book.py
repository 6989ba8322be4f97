"""`python -m tools.book`: notebooks are executed, staged, rendered by Sphinx, checked, and then published.

Exit status: 0 done, 1 a notebook or a page failed, 2 something the caller can mend, 130 interrupted (Ctrl-C). After the
last one the same command continues.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from emo_ssl.utils import endings
from emo_ssl.utils.io import UserError
from tools import check_notebooks, check_site, notebooks, staging

CONFIG, TOC = "_config.yml", check_notebooks.TOC
RENDER, SITE, LOG = "build/render", "build/site", "build/logs/render.log"
KEY = ".key"  # a file of the site: what it was rendered from


def make(root: Path, only: str = "", profile: str = "demo") -> int:
    root = root.resolve()
    if not (root / CONFIG).is_file() or not (root / TOC).is_file():
        raise UserError(f"{root}: no {CONFIG} and {TOC} here; run this in the root of the repository.")
    found = notebooks.find(root, profile)
    if refused(check_notebooks.problems(root), "nothing was executed"):
        return 1
    failed, left = notebooks.execute_all(found, root, only)
    if failed:
        print(f"Not rendered, for {', '.join(failed)} failed.", file=sys.stderr)
        return 1
    if left:
        print(f"Not rendered: {', '.join(left)} still to be executed, which `make book` does.")
        return 0
    key, shared = staging.keys_of(root, staging.stage(root, found))
    published = root / SITE / KEY
    if published.is_file() and published.read_text() == key:
        print("The pages are as they were, not rendered again")
    else:
        print("Rendering …", flush=True)
        last = root / RENDER / KEY
        checked = root / SITE if last.is_file() and last.read_text() == shared else None  # by the checks of today
        if not render(root, shared):
            return 1
        html = root / RENDER / "_build" / "html"
        if refused(
            check_site.problems(root, html, checked), f"the book was not published; what was rendered is in {html}"
        ):
            return 1
        (html / KEY).write_text(key)
        publish(html, root / SITE)
    print(f"The book is ready, open {root / SITE / 'index.html'}")
    return 0


def refused(problems: list[str], outcome: str) -> bool:
    if problems:
        print("\n".join([*problems, f"{len(problems)} problem(s): {outcome}."]), file=sys.stderr)
    return bool(problems)


def render(root: Path, shared: str) -> bool:
    """Run Sphinx with its words going to a log; what it warns of is shown. Warnings are errors.

    What it has read and written is used again if that went well and what pages share is as it was: `shared`, its key.
    """
    log, output, key = root / LOG, root / RENDER, root / RENDER / KEY
    if not key.is_file() or key.read_text() != shared:
        shutil.rmtree(output, ignore_errors=True)
    key.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    script = [sys.executable, "-P", str(Path(__file__).with_name("render.py"))]
    command = [*script, CONFIG, f"{staging.STAGE}/{TOC}", staging.STAGE, f"{RENDER}/_build"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(command, cwd=root, stdout=stream, stderr=subprocess.STDOUT, env=environment)
    if done.returncode:
        words = notebooks.ANSI.sub("", log.read_text(encoding="utf-8")).splitlines()
        shown = [line for line in words if "WARNING" in line or "ERROR" in line] or words[-15:]
        print("\n".join([*shown, f"The book was not rendered. The whole story: {log}"]), file=sys.stderr)
        return False
    key.write_text(shared)
    return True


def publish(html: Path, site: Path) -> None:
    """Put the new site where the old one is; a reader finds one or the other. The next rendering begins with `html`."""
    old, new = site.with_name("site.old"), site.with_name("site.new")
    for left in (old, new):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(html, new)
    if site.exists():
        os.rename(site, old)
    os.rename(new, site)
    shutil.rmtree(old, ignore_errors=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="book", description="Execute the notebooks and render the book.")
    parser.add_argument("--only", default="", metavar="NN", help="only notebooks whose name begins so, as in --only 01")
    parser.add_argument("--profile", default="demo", metavar="P", help="of notebooks/profiles/: smoke, demo, full")
    arguments = parser.parse_args(argv)
    return endings.run(lambda: make(Path.cwd(), arguments.only, arguments.profile))


if __name__ == "__main__":
    sys.exit(main())
