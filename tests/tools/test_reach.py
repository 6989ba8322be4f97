"""What a notebook can reach by import, in small packages of their own, and in ours."""

import pytest
from book_tree import ROOT

from tools.reach import Graph, imports_of

MODULES = {
    "__init__": "",
    "deep": "",
    "middle": "def later():\n    from emo_ssl.deep import thing\n",
    "top": "from emo_ssl import middle as m\nmodel.eval()\nfrom importlib import metadata\n",
    "cli": "from emo_ssl import top, checks\n",
    "checks": "",
    "round": "import emo_ssl.trip\n",
    "trip": "import emo_ssl.round\n",
    "guess": "import importlib\nimportlib.import_module(name)\n",
    "pack/__init__": "",
    "pack/one": "from emo_ssl.pack import two\n",
    "pack/two": "",
    "pack/three": "",
}
ALL = {"emo_ssl"} | {
    "emo_ssl." + name.removesuffix("/__init__").replace("/", ".") for name in MODULES if name != "__init__"
}


@pytest.fixture
def root(tmp_path):
    for name, source in MODULES.items():
        path = tmp_path / "src" / "emo_ssl" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    (tmp_path / "requirements.lock").write_text("a==1\n")
    return tmp_path


def short(names: set[str]) -> set[str]:
    return {name.removeprefix("emo_ssl").removeprefix(".") for name in names}


@pytest.mark.parametrize(
    ("cells", "reached"),
    [
        ([], set()),
        (["import os\nx = 1"], set()),
        (["import emo_ssl"], {""}),
        (["from emo_ssl import deep"], {"", "deep"}),
        (["from emo_ssl.top import something"], {"", "top", "middle", "deep"}),
        (["import emo_ssl.middle as m", "def f():\n    import emo_ssl.checks"], {"", "middle", "deep", "checks"}),
        (["from emo_ssl import round"], {"", "round", "trip"}),
        (["from emo_ssl.pack import one"], {"", "pack", "pack.one", "pack.two"}),
        (["import emo_ssl.pack"], {"", "pack"}),
        (["from emo_ssl.pack import *"], {"", "pack", "pack.one", "pack.two", "pack.three"}),
    ],
)
def test_reached(root, cells, reached):
    assert short(Graph.of(root).reached(cells)) == reached


@pytest.mark.parametrize(
    "cell",
    [
        "%matplotlib inline",
        "!emo-ssl doctor",
        "import subprocess",
        "import os\nos.system('emo-ssl doctor')",
        "from importlib import import_module",
        "__import__('emo_ssl.deep')",
        "import runpy",
        "exec('import emo_ssl.deep')",
        "from . import deep",
        "from emo_ssl import guess",
    ],
)
def test_what_cannot_be_followed_reaches_everything(root, cell):
    assert Graph.of(root).reached(["import emo_ssl", cell]) == ALL


def test_only_what_is_reached_changes_the_hash(root):
    def now() -> str:
        return Graph.of(root).code_hash(root, ["from emo_ssl import top"])

    before = now()
    source = root / "src" / "emo_ssl"
    (source / "checks.py").write_text("x = 2\n")
    (source / "cli.py").unlink()
    (source / "new.py").write_text("")
    assert now() == before
    hashes = [before]
    for path in (source / "deep.py", source / "__init__.py", source / "table.json", root / "requirements.lock"):
        path.write_text("x = 3\n")
        hashes.append(now())
    assert len(set(hashes)) == len(hashes)


def test_our_command_line_is_reached_by_no_page():
    graph = Graph.of(ROOT)
    reached = graph.reached(["from emo_ssl import workspace, study, figures, heard"])
    assert {"emo_ssl.notebook", "emo_ssl.core.batches", "emo_ssl.corpora.csd", "emo_ssl.utils.io"} <= reached
    assert not reached & {"emo_ssl.cli", "tools.book", "tools.notebooks", "tools.execution"}


def test_a_source_that_is_no_python_cannot_be_followed():
    assert imports_of("def f(:", set()) is None
