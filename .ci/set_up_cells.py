"""Write the set-up cell into every notebook, with the repository's address from _config.yml: `make format` runs it.

At home the cell does nothing. On Colab, where a notebook comes alone, it fetches the release that the notebook belongs
to, and installs it: what is executed there does not change when the repository does.
Readers of the book do not see it, and JupyterLab folds it.
"""

import re
import sys
from pathlib import Path

import nbformat
import yaml

TAG = "setup"
TAGS = ["remove-cell", TAG]
SOURCE = """\
import importlib.util

if importlib.util.find_spec("emo_ssl") is None:  # as on Colab
    shell, url = get_ipython(), "{address}"
    shell.system(f"git clone -qb {release} {{url}} it && pip install -q ./it[book]")
    shell.run_line_magic("cd", "-q it")"""


def source(root: Path) -> str:
    where = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))["repository"]
    version = re.search(r'__version__ = "(.+)"', (root / "src/emo_ssl/__init__.py").read_text(encoding="utf-8"))[1]
    return SOURCE.format(address=where["url"], release=f"v{version}")


def with_set_up(text: str, code: str) -> str:
    """A stored notebook -> the same one with the set-up cell right after its title, and nowhere else."""
    notebook = nbformat.reads(text, 4)
    cell = nbformat.v4.new_code_cell(code, id="set-up", metadata={"jupyter": {"source_hidden": True}, "tags": TAGS})
    others = [other for other in notebook.cells if TAG not in other.metadata.get("tags", [])]
    notebook.cells = [*others[:1], cell, *others[1:]]
    return nbformat.writes(notebook) + "\n"


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1])
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = with_set_up(before, source(root))
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name} has a new set-up cell")
