"""`python tools/render.py CONFIG TOC SOURCES OUTPUT`: Sphinx with the settings of Jupyter Book; warnings are errors.

What `jupyter-book build` does, but for two things. Only pages that changed since the last rendering into OUTPUT are
read and written, all of them if one's title, number or label did, which others show. And writing takes two processes.
"""

import json
import sys
from functools import cache
from pathlib import Path

# jsonschema compiles a grammar of addresses for three seconds where it finds one; no schema here asks for it
sys.modules.setdefault("rfc3987_syntax", None)

# ruff: noqa: E402
import pybtex.plugin
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import docutils_namespace, patch_docutils

pybtex.plugin.find_plugin = cache(pybtex.plugin.find_plugin)  # searches all installed packages for every reference


SHOWN = ".shown"  # a file of OUTPUT: what pages show of each other


def shown(env: BuildEnvironment) -> str:
    """What pages show of each other: titles and numbers, and where labels, terms and equations are."""
    standard, equations = env.get_domain("std"), env.get_domain("math").data["objects"]
    titles = {name: title.astext() for name, title in env.titles.items()}
    labels = [sorted(map(repr, data.items())) for data in (standard.labels, standard.anonlabels, standard.objects)]
    numbers = [env.toc_secnumbers, env.toc_fignumbers, env.toctree_includes]
    return json.dumps([titles, labels, sorted(map(repr, equations.items())), numbers], sort_keys=True)


def write_in_parallel(app: Sphinx, env: object) -> None:
    """Once everything is read, for not every extension can be read in parallel."""
    app.parallel = 2


def render(config: Path, toc: Path, sources: Path, output: Path) -> int:
    overrides = {"external_toc_path": str(toc.absolute()), "nitpicky": True, "latex_individualpages": False}
    settings, _ = get_final_config(user_yaml=config, cli_config=overrides, sourcedir=sources)
    before = output / SHOWN
    known = before.read_text(encoding="utf-8") if before.is_file() else ""

    def all_if_it_shows(app: Sphinx, env: BuildEnvironment) -> set[str]:
        now = shown(env)
        before.write_text(now, encoding="utf-8")
        return set() if now == known else env.found_docs

    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            srcdir=sources.absolute(),
            confdir=None,
            outdir=(output / "html").absolute(),
            doctreedir=(output / ".doctrees").absolute(),
            buildername="html",
            confoverrides=settings,
            warningiserror=True,
            keep_going=True,
        )
        if sys.platform == "linux":  # elsewhere forks are not safe
            app.connect("env-updated", write_in_parallel)
        app.connect("env-get-updated", all_if_it_shows, priority=900)  # when numbers have been given
        app.build()
    return app.statuscode


if __name__ == "__main__":
    sys.exit(render(*map(Path, sys.argv[1:])))
