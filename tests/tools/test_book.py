"""From executed notebooks to a published site: what is merged and staged, what is rendered, what stays unpublished."""

import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
from book_tree import PARAMETERS, SHOW, code, text, write_contents, write_notebook
from nbformat.v4 import new_code_cell, new_output

from tools import book, check_site, notebooks, staging

RENDER = book.render
RUN = {"profile": "demo", "seconds": 95.2, "versions": {"emo-ssl": "1.2", "torch": "2.13.0", "numpy": "2.4.6"}}


def pretend(tree: Path, outputs: list, profile: str = "demo") -> notebooks.Notebook:
    """An executed copy of 01-first whose last cell has these outputs, though no kernel ran."""
    (found,) = notebooks.find(tree, profile)
    page = nbformat.read(found.path, 4)
    injected = new_code_cell("videos = 7", metadata={"tags": ["injected-parameters"], "papermill": {"duration": 1}})
    page.cells.insert(2, injected)
    page.cells[-1].outputs = outputs
    page.metadata["emo_ssl"] = {"key": found.key, "run": RUN | {"profile": profile}}
    found.executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(page, found.executed)
    return found


def test_a_staged_page_has_the_text_of_today_and_the_outputs_of_its_execution(tree):
    pretend(tree, [new_output("stream", text="seven")])
    stored = write_notebook(tree, "01-first", text("# 1. Renamed"), PARAMETERS, text("Another sentence."), SHOW)
    before = stored.read_bytes()
    (found,) = notebooks.find(tree, "demo")
    assert notebooks.is_fresh(found)
    page = nbformat.read(staging.stage(tree, [found]) / "notebooks" / "01-first.ipynb", 4)
    sources = [cell.source for cell in page.cells]
    assert sources[:-1] == ["# 1. Renamed", PARAMETERS.source, "videos = 7", "Another sentence.", SHOW.source]
    assert "Profile demo · emo-ssl 1.2 · torch 2.13.0 · numpy 2.4.6 · executed in 95 s" in sources[-1]
    assert set(page.cells[2].metadata.tags) == {"injected-parameters", "hide-input"}
    assert [output.text for output in page.cells[4].outputs] == ["seven"]
    assert stored.read_bytes() == before
    assert (tree / "build/stage/book/_static/mathjax/tex-svg.js").stat().st_size > 1_000_000


# What is rendered and published


@pytest.fixture
def played(tree, monkeypatch):
    """A published site, and the list of the renderings that came after it; Sphinx is a stand-in."""
    count = []

    def rendered(root: Path, shared: str) -> bool:
        count.append(root)
        html = root / "build" / "render" / "_build" / "html"
        shutil.rmtree(html, ignore_errors=True)
        for page in ("index", "book/index", "notebooks/01-first"):
            (html / page).parent.mkdir(parents=True, exist_ok=True)
            (html / f"{page}.html").write_text("<p>Words.</p>")
        return True

    monkeypatch.setattr(book, "render", rendered)
    pretend(tree, [])
    assert book.make(tree) == 0 and len(count) == 1
    count.clear()
    return tree, count


RENDERED_AGAIN = {
    "nothing": lambda tree: shutil.rmtree(tree / "build" / "stage"),
    "prose": lambda tree: (tree / "book" / "index.md").write_text("# Another\n"),
    "a notebook's prose": lambda tree: write_notebook(tree, "01-first", text("# 1. New"), PARAMETERS, SHOW),
    "no site": lambda tree: shutil.rmtree(tree / "build" / "site"),
}


@pytest.mark.parametrize("change", RENDERED_AGAIN)
def test_what_changed_is_rendered_once(played, change):
    tree, count = played
    RENDERED_AGAIN[change](tree)
    assert book.make(tree) == 0 and len(count) == (change != "nothing")
    assert book.make(tree) == 0 and len(count) == (change != "nothing")


@pytest.fixture
def last_good_one(played):
    """The published site of a book whose prose has changed since."""
    tree, _ = played
    (tree / "build" / "site" / "index.html").write_text("the last good one")
    (tree / "book" / "index.md").write_text("# Another\n")
    yield tree
    assert (tree / "build" / "site" / "index.html").read_text() == "the last good one"


def test_a_site_without_a_page_is_not_published(last_good_one, monkeypatch, capsys):
    monkeypatch.setattr(book, "render", lambda root, shared: True)
    shutil.rmtree(last_good_one / "build" / "render")
    assert book.make(last_good_one) == 1
    err = capsys.readouterr().err
    assert "notebooks/01-first.html: it was not rendered" in err and "the book was not published" in err


def test_a_warning_is_shown_and_nothing_published(last_good_one, monkeypatch, capsys):
    def warns(command, *, stdout, **options):
        stdout.write("reading\n\x1b[31mbook/index.md:3: WARNING: unknown document: 'x'\x1b[0m\ndone\n")
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(book, "render", RENDER)
    monkeypatch.setattr(book.subprocess, "run", warns)
    assert book.make(last_good_one) == 1
    err = capsys.readouterr().err
    assert err.startswith("book/index.md:3: WARNING: unknown document: 'x'\n") and "reading" not in err


def test_what_was_read_serves_again_after_a_success_and_for_the_same_frame(tree, monkeypatch):
    read, found, statuses = tree / "build/render/_build/.doctrees/page", [], iter([0, 0, 1, 0, 0])

    def pretended(command, **options):
        found.append(read.exists())
        read.parent.mkdir(parents=True, exist_ok=True)
        read.touch()
        return subprocess.CompletedProcess(command, next(statuses))

    monkeypatch.setattr(book.subprocess, "run", pretended)
    assert [book.render(tree, shared) for shared in ("a", "a", "a", "a", "b")] == [True, True, False, True, True]
    assert found == [False, True, True, False, False]


def test_a_page_is_read_again_when_it_changed_and_all_are_when_what_they_share_did(tree):
    found = pretend(tree, [])

    def staged():
        target = staging.stage(tree, [found])
        times = {path.name: path.stat().st_mtime_ns for path in target.rglob("*") if path.suffix in staging.PAGES}
        return times, *staging.keys_of(tree, target)

    first, again = staged(), staged()
    assert first == again and set(first[0]) == {"index.md", "01-first.ipynb"}
    (tree / "book" / "index.md").write_text("# Another\n")
    times, every, shared = staged()
    assert times["01-first.ipynb"] == first[0]["01-first.ipynb"] and times["index.md"] > first[0]["index.md"]
    assert every != first[1] and shared == first[2]
    (tree / "book" / "references.bib").write_text("@misc{a, title = {A}}\n")
    assert staged()[2] != shared
    (tree / "book" / "new.md").write_text("# New\n")
    assert staged()[2] not in (shared, first[2])


def test_bad_sources_are_refused_before_anything_runs(tree, monkeypatch, capsys):
    (tree / "book" / "index.md").write_text("# Front\n\nIt gained 0.5.\n")
    monkeypatch.setattr(notebooks, "execute_all", None)
    assert book.make(tree) == 1
    assert "0.5 is typed by hand" in capsys.readouterr().err and not (tree / "build").exists()


def test_what_the_caller_can_mend_is_one_sentence(tree, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tree)
    assert book.main(["--profile", "absent"]) == 2
    monkeypatch.chdir(tree / "book")
    assert book.main([]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("emo-ssl: ") and "no such profile" in first and "root of the repository" in second


@pytest.mark.slow
def test_one_real_rendering(tree, monkeypatch, capfd):
    """With the real settings: outputs, a figure, formulas, a sentence with a number, and no outside request."""
    drawn = {"figure": {"name": "line", "caption": "A line."}, "image": {"alt": "It rises slowly from one to two"}}
    figure = code("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()", mystnb=drawn)
    computed = (
        "from IPython.display import Markdown\nMarkdown(f'It is **{0.12345:.2f}**, see [the front](../book/index.md).')"
    )
    sentence = code(computed, "remove-input")
    prose = text("# 1. First\n\n$$ a^2 $$ (square)\n\nSee {numref}`line` and {eq}`square`.")
    write_notebook(tree, "01-first", prose, PARAMETERS, SHOW, figure, sentence)
    write_contents(tree, "01-first")
    monkeypatch.chdir(tree)
    assert book.main([]) == 0, capfd.readouterr()
    site = tree / "build" / "site"
    assert capfd.readouterr().out.splitlines()[-1] == f"The book is ready, open {site / 'index.html'}"
    page = (site / "notebooks/01-first.html").read_text()
    assert (
        "It is <strong>0.12</strong>" in page
        and '<span class="std std-doc">the front' in page
        and "Markdown" not in page
    )
    assert "videos 7 seed 0" in page and "Figure 1" in page and (site / "book/index.html").is_file()
    assert "Profile demo · emo-ssl" in page and re.search(r'src="[^"]*mathjax/tex-svg.js', page)
    for launch in ("edit", "blob"):
        assert f"emo-ssl/emo-ssl/{launch}/main/notebooks/01-first.ipynb" in page
    # one page is read again, and its new title stands on the other as well
    (tree / "book" / "index.md").write_text("# Another beginning\n\nSee [](../notebooks/01-first.ipynb).\n")
    assert book.main([]) == 0 and "0 added, 1 changed, 0 removed" in (tree / "build/logs/render.log").read_text()
    page = (site / "notebooks/01-first.html").read_text()
    assert "Another beginning" in page and "It is <strong>0.12</strong>" in page
    # other words under the same title cost that page alone
    written = [(site / name).stat().st_mtime_ns for name in ("book/index.html", "notebooks/01-first.html")]
    (tree / "book" / "index.md").write_text("# Another beginning\n\nNew words. See [](../notebooks/01-first.ipynb).\n")
    assert book.main([]) == 0 and "New words" in (site / "book/index.html").read_text()
    again = [(site / name).stat().st_mtime_ns for name in ("book/index.html", "notebooks/01-first.html")]
    assert again[0] > written[0] and again[1] == written[1]
    # the same checks see a fault in what was really rendered
    (site / "notebooks/01-first.html").write_text(page.replace("It rises slowly from one to two", ""))
    (problem,) = check_site.problems(tree, site)
    assert "its alt text" in problem
