"""The book's machinery on small trees of its own: what is refused, what is executed, what is staged and rendered."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from emo_ssl import book, cli, notebooks
from emo_ssl.errors import UserError

ROOT = Path(__file__).parents[1]


def code(source: str, *tags: str, **metadata):
    return new_code_cell(source, id=f"c{abs(hash(source)) % 10**8}", metadata={"tags": list(tags), **metadata})


def text(source: str):
    return new_markdown_cell(source, id=f"t{abs(hash(source)) % 10**8}")


def write_notebook(root: Path, stem: str, *cells) -> Path:
    path = root / "notebooks" / f"{stem}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=list(cells), metadata={"kernelspec": kernel}), path)
    return path


def write_profile(root: Path, content: str) -> None:
    (root / "notebooks" / "profiles" / "demo.yml").write_text(content, encoding="utf-8")


PARAMETERS = code("seed = 0\nvideos: int = 4", "parameters")
SHOW = code("print('videos', videos, 'seed', seed)")


@pytest.fixture
def tree(tmp_path):
    """A repository with one notebook and one page."""
    for folder in ("notebooks/profiles", "book", "src/emo_ssl"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copytree(ROOT / "book" / "_static", tmp_path / "book" / "_static")
    (tmp_path / "src" / "emo_ssl" / "thing.py").write_text("x = 1\n")
    (tmp_path / "requirements.lock").write_text("a==1\n")
    (tmp_path / "book" / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nparts:\n  - caption: One\n    chapters:\n      - file: notebooks/01-first\n"
    )
    (tmp_path / "book" / "index.md").write_text("# Front\n\nSee [](../notebooks/01-first.ipynb).\n")
    (tmp_path / "book" / "references.bib").write_text("")
    write_notebook(tmp_path, "01-first", text("# First"), PARAMETERS, SHOW)
    write_profile(tmp_path, "01-first: {videos: 7}\n")
    return tmp_path


def only_notebook(tree: Path) -> notebooks.Notebook:
    (found,) = notebooks.find(tree)
    return found


def key(tree: Path) -> str:
    return notebooks.key_of(only_notebook(tree), notebooks.code_hash(tree))


# Refused before anything runs


@pytest.mark.parametrize(
    ("profile", "complaint"),
    [
        ("01-first: {vidoes: 7}\n", "01-first has no parameter vidoes"),
        ("02-second: {}\n", "it names 02-second"),
        ("01-first: 7\n", "has to map each notebook's name to its parameters"),
        ("[1, 2]\n", "has to map each notebook's name to its parameters"),
        ("01-first: {videos: 7\n", "not readable as YAML"),
        ("01-first: {videos: 2024-01-01}\n", "put it in quotes"),
        ("!!python/object/apply:os.getcwd []\n", "not readable as YAML"),
    ],
)
def test_bad_profiles(tree, profile, complaint):
    write_profile(tree, profile)
    with pytest.raises(UserError, match=re.escape(complaint)) as refusal:
        notebooks.find(tree)
    assert "demo.yml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_profile_that_is_absent(tree):
    (tree / "notebooks" / "profiles" / "demo.yml").unlink()
    with pytest.raises(UserError, match="no such profile"):
        notebooks.find(tree)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([SHOW], "no cell tagged `parameters`"),
        ([PARAMETERS, code("videos = 5", "parameters")], "2 cells tagged `parameters`"),
        ([code("videos = = 4", "parameters")], "its `parameters` cell is not Python"),
    ],
)
def test_bad_parameters_cells(tree, cells, complaint):
    write_notebook(tree, "01-first", *cells)
    with pytest.raises(UserError, match=re.escape(complaint)):
        notebooks.find(tree)


def test_a_notebook_without_parameters_needs_no_cell_for_them(tree):
    write_notebook(tree, "01-first", SHOW)
    write_profile(tree, "")
    assert only_notebook(tree).parameters == {}


def test_declared_parameters_are_plain_assignments(tree):
    write_notebook(tree, "01-first", code("a = b = 1\nc: int = 2\nd += 1\nimport e\nif a:\n    f = 3", "parameters"))
    write_profile(tree, "")
    assert notebooks.declared_parameters(only_notebook(tree)) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("content", ["", "<html>", "{}", "[]", '{"cells": [], "nbformat": 4}'])
def test_files_that_are_no_notebooks(tree, content):
    (tree / "notebooks" / "01-first.ipynb").write_text(content)
    with pytest.raises(UserError, match="not a notebook"):
        notebooks.find(tree)


def test_contents_and_pages_have_to_agree(tree):
    found, pages = notebooks.find(tree), book.toc_pages(tree / "book" / "_toc.yml")
    assert pages == ["book/index", "notebooks/01-first"]
    book.check_toc(tree, pages, found)
    with pytest.raises(UserError, match="names book/absent, which is not there"):
        book.check_toc(tree, [*pages, "book/absent"], found)
    with pytest.raises(UserError, match=r"01-first\.ipynb is not in it"):
        book.check_toc(tree, ["book/index"], found)


def test_a_folder_that_is_no_repository(tmp_path):
    with pytest.raises(UserError, match="run this in the root of the repository"):
        book.make(tmp_path)


def test_only_names_a_notebook(tree):
    with pytest.raises(UserError, match="no notebook starts with 07"):
        notebooks.execute_all(tree, notebooks.find(tree), only="07")


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(book, "NEEDED", ("pytest", "surely-not-installed"))
    with pytest.raises(UserError, match=r"^surely-not-installed not installed"):
        book.require_extra()


# The key: what an execution depends on


def test_key_changes_with_what_outputs_depend_on(tree):
    keys = [key(tree)]
    write_profile(tree, "01-first: {videos: 8}\n")
    keys.append(key(tree))
    write_notebook(tree, "01-first", text("# First"), PARAMETERS, code(SHOW.source + "\n"))
    keys.append(key(tree))
    write_notebook(tree, "01-first", text("# First"), PARAMETERS, code(SHOW.source, "raises-exception"))
    keys.append(key(tree))
    (tree / "src" / "emo_ssl" / "thing.py").write_text("x = 2\n")
    keys.append(key(tree))
    (tree / "src" / "emo_ssl" / "thing.py").rename(tree / "src" / "emo_ssl" / "other.py")
    keys.append(key(tree))
    (tree / "requirements.lock").write_text("a==2\n")
    keys.append(key(tree))
    assert len(set(keys)) == len(keys)


def test_key_ignores_prose_and_outputs(tree):
    before = key(tree)
    ran = code(SHOW.source, mystnb={"figure": {"caption": "Another."}})
    ran.outputs, ran.execution_count = [nbformat.v4.new_output("stream", text="old")], 9
    write_notebook(tree, "01-first", text("# Renamed"), PARAMETERS, text("More."), ran)
    (tree / "book" / "index.md").write_text("# Other\n")
    assert key(tree) == before


# Execution


def executed(tree: Path, stem: str = "01-first") -> Path:
    return tree / "build" / "executed" / f"{stem}.ipynb"


def printed(path: Path) -> str:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


def refuse_to_run(*arguments):
    raise AssertionError("nothing should be executed here")


def test_executed_once_and_prose_is_merged(tree, monkeypatch, capsys):
    assert notebooks.execute_all(tree, notebooks.find(tree)) == []
    assert printed(executed(tree)) == "videos 7 seed 0\n"
    assert [path.name for path in executed(tree).parent.iterdir()] == ["01-first.ipynb"]
    write_notebook(tree, "01-first", text("# A new title"), PARAMETERS, text("A new sentence."), SHOW)
    monkeypatch.setattr(notebooks, "run_cells", refuse_to_run)
    found = notebooks.find(tree)
    assert notebooks.execute_all(tree, found) == []
    assert "unchanged" in capsys.readouterr().out
    page = nbformat.read(book.stage(tree, found) / "notebooks" / "01-first.ipynb", as_version=4)
    kinds = [(cell.cell_type, cell.source.splitlines()[0]) for cell in page.cells]
    assert kinds == [
        ("markdown", "# A new title"),
        ("code", "seed = 0"),
        ("code", "# Parameters"),
        ("markdown", "A new sentence."),
        ("code", SHOW.source),
    ]
    assert page.cells[-1].outputs[0].text == "videos 7 seed 0\n"
    assert (tree / "build/stage/book/_static/mathjax/tex-svg.js").stat().st_size > 1_000_000


def test_a_damaged_page_is_executed_again(tree):
    executed(tree).parent.mkdir(parents=True)
    executed(tree).write_text("half a page")
    assert not notebooks.is_fresh(tree, only_notebook(tree), key(tree))


def test_notebooks_run_in_the_root_of_the_repository(tree):
    write_notebook(tree, "01-first", PARAMETERS, code("import os\nprint(os.getcwd())"))
    before = os.getcwd()
    notebooks.execute_all(tree, notebooks.find(tree))
    assert Path(printed(executed(tree)).strip()).samefile(tree)
    assert os.getcwd() == before


def test_a_failing_cell(tree, monkeypatch, capsys):
    """The stale page goes, the rest stays, nothing after it runs, and the terminal gets the cell and the log's name."""
    notebooks.execute_all(tree, notebooks.find(tree))
    write_notebook(tree, "01-first", PARAMETERS, code("print('before')\n1 / 0"))
    write_notebook(tree, "02-second", SHOW)
    toc = tree / "book" / "_toc.yml"
    toc.write_text(toc.read_text() + "      - file: notebooks/02-second\n")
    executed(tree, "00-other").write_text("{}")
    monkeypatch.setattr(book, "render", refuse_to_run)
    capsys.readouterr()
    monkeypatch.chdir(tree)
    assert cli.main(["book"]) == 1
    said = capsys.readouterr()
    log = tree / "build" / "logs" / "01-first.log"
    assert "1 / 0" in said.err and "ZeroDivisionError: division by zero" in said.err and str(log) in said.err
    assert "Traceback" not in said.err + said.out
    assert "before" in log.read_text() and "Traceback" in log.read_text() and "\x1b" not in log.read_text()
    assert not executed(tree).exists() and executed(tree, "00-other").exists()
    assert "02-second" not in said.out


@pytest.mark.parametrize(
    ("source", "reason"), [("import time\ntime.sleep(60)", "CellTimeout"), ("import os\nos._exit(1)", "DeadKernel")]
)
def test_a_cell_that_hangs_or_kills_its_kernel(tree, source, reason):
    write_notebook(tree, "01-first", PARAMETERS, code(source))
    with pytest.raises(notebooks.NotebookFailed, match=reason):
        notebooks.execute(tree, only_notebook(tree), "key", cell_limit=2)
    assert not executed(tree).exists()
    assert reason in (tree / "build" / "logs" / "01-first.log").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_an_interrupt_takes_the_kernel_along(tree):
    write_notebook(tree, "01-first", PARAMETERS, code("import os, time\nopen('pid', 'w').write(f'{os.getpid()}\\n')"))
    content = nbformat.read(tree / "notebooks" / "01-first.ipynb", as_version=4)
    content.cells.append(code("time.sleep(60)"))
    nbformat.write(content, tree / "notebooks" / "01-first.ipynb")
    command = [sys.executable, "-m", "emo_ssl", "book"]
    with subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        pid = tree / "pid"
        wait_for(lambda: pid.exists() and pid.read_text().endswith("\n"))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "emo-ssl: interrupted; run the same command again to continue\n"
    assert not executed(tree).exists()
    wait_for(lambda: not is_alive(int(pid.read_text())))


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# Rendering


class Requests(HTMLParser):
    """Every address that a browser fetches by itself, and every link that a reader may follow."""

    def __init__(self, page: Path):
        super().__init__()
        self.fetched, self.links = [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag == "a":
            self.links.append(values.get("href", ""))
        elif tag in ("script", "img", "iframe", "source", "audio", "video"):
            self.fetched.append(values.get("src", ""))
        elif tag == "link" and values.get("rel") in ("stylesheet", "preload", "icon", "shortcut icon"):
            self.fetched.append(values.get("href", ""))


def test_the_whole_book(tree, capfd, monkeypatch):
    """One rendering, with the real settings: outputs, formulas, glue across pages, links, and no outside request."""
    figure = code(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        mystnb={"figure": {"name": "line", "caption": "A line."}, "image": {"alt": "It rises"}},
    )
    glue = code("from myst_nb import glue\nglue('share', 0.12345, display=False)")
    prose = text("# First\n\n$$ a^2 $$ (square)\n\nSee {numref}`line` and {eq}`square`.")
    write_notebook(tree, "01-first", prose, PARAMETERS, SHOW, figure, glue)
    index = "# Front\n\nSee [](../notebooks/01-first.ipynb): {glue:text}`../notebooks/01-first.ipynb::share:.2f`.\n"
    (tree / "book" / "index.md").write_text(index)
    (tree / "build" / "site").mkdir(parents=True)
    (tree / "build" / "site" / "old.html").write_text("of an older book")
    monkeypatch.chdir(tree)
    assert cli.main(["book"]) == 0, capfd.readouterr()
    said = capfd.readouterr()
    site = tree / "build" / "site"
    assert said.out.splitlines()[-1] == f"The book is ready, open {site / 'index.html'}"
    assert said.err == ""
    assert not (site / "old.html").exists()
    assert "book/index.html" in (site / "index.html").read_text()
    front, page = (site / "book/index.html").read_text(), (site / "notebooks/01-first.html").read_text()
    assert "0.12" in front
    assert "videos 7 seed 0" in page and 'alt="It rises"' in page and "Figure 1" in page
    requests = Requests(site / "notebooks" / "01-first.html")
    fetched = [name.split("?")[0] for name in requests.fetched if name]
    assert [name for name in fetched if name.endswith("mathjax/tex-svg.js")]
    assert not [name for name in fetched if re.match(r"(https?:)?//", name) or "thebe" in name]
    for local in fetched:
        assert local.startswith("data:") or (site / "notebooks" / local).resolve().is_file(), f"{local} is not there"
    address = "https://github.com/emo-ssl/emo-ssl"
    assert f"{address}/edit/main/notebooks/01-first.ipynb" in requests.links
    assert [link for link in requests.links if link.endswith("/blob/main/notebooks/01-first.ipynb")]
    assert page.count('id="pst-search-dialog"') == 1


def test_a_warning_stops_the_book(tree, monkeypatch, capsys):
    """Jupyter Book is played by a stand-in here: what matters is what becomes of its status and its words."""
    notebooks.execute_all(tree, notebooks.find(tree))
    (tree / "build" / "site").mkdir()
    (tree / "build" / "site" / "index.html").write_text("the last good one")

    def fails(command, *, stdout, **options):
        stdout.write("reading\n\x1b[31mbook/index.md:3: WARNING: unknown document: 'x'\x1b[0m\ndone\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(book.subprocess, "run", fails)
    assert book.make(tree) == 1
    said = capsys.readouterr().err
    assert said.startswith("book/index.md:3: WARNING: unknown document: 'x'\n")
    assert "reading" not in said and "render.log" in said
    assert (tree / "build" / "site" / "index.html").read_text() == "the last good one"


def test_success_without_pages_is_a_failure(tree, monkeypatch):
    """Jupyter Book 2 exits with 0 and renders nothing."""
    notebooks.execute_all(tree, notebooks.find(tree))
    monkeypatch.setattr(book, "render", lambda root: 0)
    with pytest.raises(UserError, match="rendering left out book/index, notebooks/01-first, index"):
        book.make(tree)
    assert not (tree / "build" / "site").exists()


def test_only_one_notebook_leaves_the_rendering_for_later(tree, monkeypatch, capsys):
    write_notebook(tree, "02-second", SHOW)
    toc = tree / "book" / "_toc.yml"
    toc.write_text(toc.read_text() + "      - file: notebooks/02-second\n")
    monkeypatch.setattr(book, "render", refuse_to_run)
    assert book.make(tree, only="01") == 0
    assert "Not rendered: 02-second" in capsys.readouterr().out
    assert executed(tree).exists() and not executed(tree, "02-second").exists()
