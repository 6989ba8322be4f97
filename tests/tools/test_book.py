"""The book's machinery on small trees of its own: what is refused, what is executed, what is staged and rendered."""

import base64
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from book_tree import (
    OWED,
    PARAMETERS,
    SHOW,
    code,
    executed,
    played,
    refuse_to_run,
    text,
    write_notebook,
    write_profile,
    write_toc,
    write_tree,
)
from nbformat.v4 import new_notebook, new_output

from emo_ssl import notebook as workspace
from emo_ssl.utils.io import UserError
from tools import book, execution, notebooks, staging
from tools import check_site as checks

# Refused before anything runs


@pytest.fixture
def checked_tree(tmp_path):
    """A page that has what the checks of sources want, and these checks."""
    root = write_tree(tmp_path)
    write_notebook(root, "01-first", text("# 1. First"), PARAMETERS, SHOW, *OWED)
    return root


def test_bad_sources_are_refused_before_anything_runs(checked_tree, monkeypatch, capsys):
    tree = checked_tree
    (tree / "book" / "other.md").write_text("# Other\n\nIt gained 0.5.\n")
    monkeypatch.setattr(execution, "run_cells", refuse_to_run)
    assert book.make(tree) == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in said] == ["book/_toc.yml", "book/other.md", "2 problems"]
    assert "add book/other" in said[0] and "0.5 is typed by hand" in said[1]
    assert not (tree / "build").exists()


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


def test_the_whole_book(checked_tree, capfd, monkeypatch):
    """One rendering, with the real settings: outputs, formulas, glue across pages, links, and no outside request."""
    tree = checked_tree
    figure = code(
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        mystnb={"figure": {"name": "line", "caption": "A line."}, "image": {"alt": "It rises from one to two"}},
    )
    glue = code("from myst_nb import glue\nglue('share', 0.12345, display=False)")
    table = code("from IPython.display import HTML\nHTML('<table><tr><td>12</td></tr></table>')")
    prose = text("# 1. First\n\n$$ a^2 $$ (square)\n\nSee {numref}`line` and {eq}`square`.")
    write_notebook(tree, "01-first", prose, PARAMETERS, SHOW, figure, table, glue, *OWED)
    index = "# Front\n\nSee [](../notebooks/01-first.ipynb): {glue:text}`../notebooks/01-first.ipynb::share:.2f`.\n"
    (tree / "book" / "index.md").write_text(index)
    (tree / "build" / "site").mkdir(parents=True)
    (tree / "build" / "site" / "old.html").write_text("of an older book")
    monkeypatch.chdir(tree)
    assert book.main([]) == 0, capfd.readouterr()
    said = capfd.readouterr()
    site = tree / "build" / "site"
    assert said.out.splitlines()[-1] == f"The book is ready, open {site / 'index.html'}"
    assert all(": cell " in line for line in said.err.splitlines()), said.err  # progress, on a slow machine
    assert not (site / "old.html").exists()
    assert "book/index.html" in (site / "index.html").read_text()
    front, page = (site / "book/index.html").read_text(), (site / "notebooks/01-first.html").read_text()
    assert "0.12" in front
    assert "videos 7 seed 0" in page and 'alt="It rises from one to two"' in page and "Figure 1" in page
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
    stamp = re.search(r'<div class="stamp[^"]*">\s*<p>(.*?)</p>', page, re.DOTALL)[1]
    assert stamp.startswith("Profile demo · emo-ssl ") and "torch 2" in stamp and "executed in " in stamp
    monkeypatch.setattr(book, "render", refuse_to_run)
    monkeypatch.setattr(execution, "run_cells", refuse_to_run)
    assert book.main([]) == 0  # nothing changed, nothing is done
    assert "not rendered again" in capfd.readouterr().out


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


def rendered(root: Path) -> int:
    """In place of Jupyter Book: every page of the contents, with a title and nothing else."""
    html = root / "build" / "render" / "_build" / "html"
    shutil.rmtree(html, ignore_errors=True)
    for page in [*checks.toc_entries(root), "index"]:
        path = html / f"{page}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        source = root / "build" / "stage" / f"{page}.ipynb"
        path.write_text(f"<title>{page}</title><article>{source.stat().st_size if source.exists() else 0}</article>")
    return 0


@pytest.fixture
def played_site(tree, monkeypatch):
    """A published site, and the list of the renderings that came after it."""
    count = []

    def counted(root: Path) -> int:
        count.append(root)
        return rendered(root)

    def absent_only(*site) -> list[str]:
        return [problem for problem in of_site(*site) if "does not have it" in problem]

    of_site = checks.problems_of_site
    monkeypatch.setattr(checks, "problems_of_site", absent_only)
    monkeypatch.setattr(execution, "run_cells", played)
    monkeypatch.setattr(book, "render", counted)
    assert book.make(tree) == 0 and len(count) == 1
    count.clear()
    return tree, count


def test_nothing_changed(played_site):
    tree, count = played_site
    assert book.make(tree) == 0 and count == []
    (tree / "src" / "emo_ssl" / "thing.py").write_text("x = 5\n")  # out of reach
    assert book.make(tree) == 0 and count == []
    shutil.rmtree(tree / "build" / "stage")
    assert book.make(tree) == 0 and count == []


CHANGES = {
    "prose": lambda tree: (tree / "book" / "index.md").write_text("# Another\n"),
    "a notebook's prose": lambda tree: write_notebook(tree, "01-first", text("# 1. New"), PARAMETERS, SHOW),
    "the settings": lambda tree: (tree / "_config.yml").write_text((tree / "_config.yml").read_text() + "# more\n"),
    "the versions": lambda tree: (tree / "requirements.lock").write_text("a==2\n"),
    "the contents": lambda tree: (tree / "book" / "_toc.yml").write_text(
        (tree / "book" / "_toc.yml").read_text() + "# more\n"
    ),
    "what is published": lambda tree: (tree / "build" / "site" / "index.html").write_text("cut off"),
    "a page is gone": lambda tree: (tree / "build" / "site" / "book" / "index.html").unlink(),
    "no site": lambda tree: shutil.rmtree(tree / "build" / "site"),
    "no record": lambda tree: (tree / "build" / "site.json").unlink(),
    "a damaged record": lambda tree: (tree / "build" / "site.json").write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_rendered(played_site, change):
    tree, count = played_site
    CHANGES[change](tree)
    assert book.make(tree) == 0 and len(count) == 1
    assert book.make(tree) == 0 and len(count) == 1


def test_another_profile_is_another_book(played_site):
    tree, count = played_site
    write_profile(tree, "01-first: {videos: 3}\n", "smoke")
    assert book.make(tree, profile="smoke") == 0 and len(count) == 1
    assert book.make(tree) == 0 and len(count) == 2


def test_a_site_with_problems_is_not_published(played_site, monkeypatch, capsys):
    """The first of them: Jupyter Book 2 exits with 0 and renders nothing."""
    tree, _ = played_site
    (tree / "build" / "site" / "index.html").write_text("the last good one")
    shutil.rmtree(tree / "build" / "render")
    monkeypatch.setattr(book, "render", lambda root: 0)
    capsys.readouterr()
    assert book.make(tree) == 1
    said = capsys.readouterr().err
    for page in ("book/index", "notebooks/01-first", "index"):
        assert f"{page}.html: the site does not have it" in said
    assert "3 problems: the book was not published" in said
    assert (tree / "build" / "site" / "index.html").read_text() == "the last good one"


# The stamp


def executed_copy(*outputs: str, **run):
    cell = code("x")
    cell.outputs = [new_output("display_data", {"text/html": html}) for html in outputs]
    return new_notebook(cells=[text("# 1. First"), cell], metadata={notebooks.RUN: run} if run else {})


def test_stamp():
    versions = {"python": "3.11.9", "emo-ssl": "1.2", "torch": "2.13.0", "numpy": "2.4.6"}
    hardware = {"device": "cpu", "name": "x86_64", "cores": 2}
    notice = workspace.notice({"source": "synthetic", "content_hash": "286cc30c6d67" + "9" * 52})
    made = executed_copy("<b>1</b>", notice, profile="demo", seconds=95.2, versions=versions, hardware=hardware)
    cell = staging.stamp(made)
    assert cell.source.splitlines()[1] == (
        "Profile demo · corpus `286cc30c6d67` · emo-ssl 1.2 · torch 2.13.0 · numpy 2.4.6 · "
        "executed in 1 min 35 s on 2 processor cores (x86_64)"
    )
    assert staging.stamp(made) == cell  # the same each time, or every page would seem to have changed
    made.metadata[notebooks.RUN]["hardware"] = {"device": "cuda", "name": "A GPU", "cores": 16}
    assert staging.stamp(made).source.endswith("on A GPU\n:::")
    assert "corpus" not in staging.stamp(executed_copy(workspace.notice({"source": "clips"}))).source


def test_the_stored_notebook_has_no_stamp(tree, monkeypatch):
    pretend(tree, monkeypatch)
    before = (tree / "notebooks" / "01-first.ipynb").read_bytes()
    (found,) = notebooks.find(tree)
    page = nbformat.read(staging.stage(tree, [found]) / "notebooks" / "01-first.ipynb", 4)
    assert [cell.id for cell in page.cells].count("stamp") == 1 and page.cells[-1].id == "stamp"
    assert (tree / "notebooks" / "01-first.ipynb").read_bytes() == before
    assert (tree / "build/stage/book/_static/mathjax/tex-svg.js").stat().st_size > 1_000_000


def test_named_figures_are_there_for_prose_pages(tree, monkeypatch):
    pretend(tree, monkeypatch)
    (found,) = notebooks.find(tree)
    page = notebooks.executed(tree, found)
    pixel = base64.b64encode(b"picture").decode()
    shown = nbformat.v4.new_output("display_data", data={"image/png": pixel})
    named = {"mystnb": {"figure": {"name": "fig-answer"}}}
    other = {"mystnb": {"figure": {"name": "fig-other"}}}
    page.cells = [
        nbformat.v4.new_code_cell("a", metadata=named, outputs=[shown]),
        nbformat.v4.new_code_cell("o", metadata=other, outputs=[shown]),  # no prose page asks for it
        nbformat.v4.new_code_cell("b", metadata=named),  # drew nothing
        nbformat.v4.new_code_cell("c", outputs=[shown]),  # has no name
    ]
    assert staging.pictures_of(page) == [("fig-answer", b"picture"), ("fig-other", b"picture")]
    monkeypatch.setattr(notebooks, "with_outputs", lambda notebook, executed: page)
    (tree / "book" / "answer.md").write_text("```{figure} _static/made/fig-answer.png\n```\n")
    made = staging.stage(tree, [found]) / staging.MADE
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {"fig-answer.png": b"picture"}


def test_only_one_notebook_leaves_the_rendering_for_later(tree, monkeypatch, capsys):
    write_notebook(tree, "02-second", SHOW)
    write_toc(tree, "01-first", "02-second")
    monkeypatch.setattr(execution, "run_cells", played)
    monkeypatch.setattr(book, "render", refuse_to_run)
    assert book.make(tree, only="01") == 0
    assert "Not rendered: 02-second" in capsys.readouterr().out
    assert executed(tree).exists() and not executed(tree, "02-second").exists()
