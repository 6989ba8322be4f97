"""The book's machinery on small trees of its own: what is refused, what is executed, what is staged and rendered."""

import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from book_tree import (
    PARAMETERS,
    SHOW,
    code,
    executed,
    played,
    refuse_to_run,
    text,
    write_notebook,
    write_toc,
)

from emo_ssl import book, cli, execution, notebooks
from emo_ssl.errors import UserError

# Refused before anything runs


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


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(book, "NEEDED", ("pytest", "surely-not-installed"))
    with pytest.raises(UserError, match=r"^surely-not-installed not installed"):
        book.require_extra()


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
    assert all(": cell " in line for line in said.err.splitlines()), said.err  # progress, on a slow machine
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


def pretend(tree: Path, monkeypatch) -> None:
    """Notebooks count as executed, though no kernel ran."""
    with monkeypatch.context() as patch:
        patch.setattr(execution, "run_cells", played)
        assert execution.execute_all(tree, notebooks.find(tree)) == execution.Outcome()


def test_a_warning_stops_the_book(tree, monkeypatch, capsys):
    """Jupyter Book is played by a stand-in here: what matters is what becomes of its status and its words."""
    pretend(tree, monkeypatch)
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
    pretend(tree, monkeypatch)
    monkeypatch.setattr(book, "render", lambda root: 0)
    with pytest.raises(UserError, match="rendering left out book/index, notebooks/01-first, index"):
        book.make(tree)
    assert not (tree / "build" / "site").exists()


def test_only_one_notebook_leaves_the_rendering_for_later(tree, monkeypatch, capsys):
    write_notebook(tree, "02-second", SHOW)
    write_toc(tree, "01-first", "02-second")
    monkeypatch.setattr(execution, "run_cells", played)
    monkeypatch.setattr(book, "render", refuse_to_run)
    assert book.make(tree, only="01") == 0
    assert "Not rendered: 02-second" in capsys.readouterr().out
    assert executed(tree).exists() and not executed(tree, "02-second").exists()
