"""`python tools/render.py CONFIG TOC SOURCES OUTPUT`: Sphinx with the settings of Jupyter Book; warnings are errors.

What `jupyter-book build` does, but for two things. Only pages that changed since the last rendering into OUTPUT are
read; all are written, for titles and numbers of one stand on others. And writing takes two processes.
"""

import sys
from functools import cache
from pathlib import Path

import pybtex.plugin
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

pybtex.plugin.find_plugin = cache(pybtex.plugin.find_plugin)  # searches all installed packages for every reference


def write_in_parallel(app: Sphinx, env: object) -> None:
    """Once everything is read, for not every extension can be read in parallel."""
    app.parallel = 2


def render(config: Path, toc: Path, sources: Path, output: Path) -> int:
    overrides = {"external_toc_path": str(toc.absolute()), "nitpicky": True, "latex_individualpages": False}
    settings, _ = get_final_config(user_yaml=config, cli_config=overrides, sourcedir=sources)
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
        app.build(force_all=True)
    return app.statuscode


if __name__ == "__main__":
    sys.exit(render(*map(Path, sys.argv[1:])))
