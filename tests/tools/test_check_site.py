"""The checks of the rendered pages: a good site passes, and every check is shown one fault."""

import shutil
import tempfile
from pathlib import Path, PurePosixPath

import pytest

from tools import check_site

HEAD = """<!DOCTYPE html><html><head><title>1. First</title><link href="../_static/look.css?v=1" rel="stylesheet"/>
<script src="../_static/act.js"></script></head><body><img src="../_static/logo.png" alt="logo"/>"""
PAGE = f"""{HEAD}<a href="https://git.example/us/book">the repository</a>
<article><h1>1. First</h1>
<a href="https://example.org/home/x">a site</a> <a href="mailto:us@example.org">us</a> and/home or ~/tmp/ or x/root/y
<figure><img alt="One curve rises over the labels" src="../_images/gain.png"/></figure>
<svg aria-hidden="true"></svg><svg role="img" aria-label="Five words tell what shows"></svg>
<div class="output stream"><pre>videos 7</pre></div><p style="background: url(../_static/logo.png)">Words.</p></article>
</body></html>"""


@pytest.fixture
def site(tmp_path) -> Path:
    for path, content in {
        "book/_toc.yml": "root: book/index\nchapters:\n  - file: notebooks/01-first\n",
        "site/index.html": '<meta http-equiv="Refresh" content="0; url=book/index.html"/>',
        "site/book/index.html": "Front",
        "site/notebooks/01-first.html": PAGE,
        "site/_static/look.css": "a {background: url(data:x) url(#part)} /* url(https://x.org/a) */",
        "site/_static/macros.html": '<script src="https://x.org/a.js"></script>',  # a template of the theme
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    return tmp_path / "site"


def problems(site: Path) -> list[str]:
    return check_site.problems(site.parent, site)


def test_a_good_site(site):
    assert problems(site) == []


ALT = "One curve rises over the labels"
WORDS = "Words.</p>"
FAULTS = [
    # nothing from the outside
    ("../_static/act.js", "https://cdn.example/act.js", "the browser would ask https://cdn.example/act.js"),
    (WORDS, '<video poster="https://x.org/a.png"></video>', "the browser would ask https://x.org/a.png"),
    (WORDS, '<object data="https://x.org/a.svg"></object>', "the browser would ask https://x.org/a.svg"),
    ("<head>", "<head><style>a {background: url('//x.org/a.png')}</style>", "the browser would ask //x.org/a.png"),
    ("url(../_static/logo.png)", "url(https://x.org/a.png)", "the browser would ask https://x.org/a.png"),
    # words for pictures
    (f'alt="{ALT}"', "", "_images/gain.png: its alt text is “”"),
    (ALT, "gain.png", "its alt text is “gain.png”"),
    (WORDS, '<svg role="img"><title>Chart</title></svg>', "its alt text is “Chart”"),
    # what leaked
    ("videos 7", "in /home/me/x.csv", "/home/me/x.csv is a path of one computer"),
    ("videos 7", '<i>"</i><i>/home/</i><i>x</i>"', "/home/ is a path of one computer"),
    ("videos 7", r"C:\Users\me\x.csv", r"C:\Users\me\x.csv is a path of one computer"),
    ("videos 7", f"kept in {tempfile.gettempdir()}", f"{tempfile.gettempdir()} is a path of one computer"),
    (WORDS, f"Look into {PurePosixPath('/x').as_uri()}", "file:///x is a path of one computer"),
    (ALT, f"{ALT} of /Users/me/x", "/Users/me/x is a path of one computer"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), FAULTS, ids=range(len(FAULTS)))
def test_one_fault(site, old, new, complaint):
    assert old in PAGE
    (site / "notebooks" / "01-first.html").write_text(PAGE.replace(old, new))
    (problem,) = problems(site)
    assert problem.startswith("notebooks/01-first.html: ") and complaint in problem and "\n" not in problem


def test_pages_that_were_checked_before_are_not_looked_at_again(site, tmp_path):
    page = site / "notebooks" / "01-first.html"
    page.write_text(page.read_text().replace("</article>", '<img src="https://other.org/a.png" alt=""></article>'))
    shutil.copytree(site, tmp_path / "before")
    assert problems(site) and check_site.problems(site.parent, site, tmp_path / "before") == []
    page.write_text(page.read_text() + " ")
    assert check_site.problems(site.parent, site, tmp_path / "before") == problems(site)


def test_style_sheets_ask_nobody(site):
    (site / "_static" / "look.css").write_text("@import url(https://x.org/a.css); b {src: url('//x.org/a.woff')}")
    imported, font = problems(site)
    assert "_static/look.css: it would ask https://x.org/a.css" in imported and "//x.org/a.woff" in font


def test_every_page_of_the_contents_is_there(site):
    (site / "book" / "index.html").unlink()
    (problem,) = problems(site)
    assert problem.startswith("book/index.html: it was not rendered")


def test_sizes(site):
    (site / "book" / "index.html").write_bytes(b" " * 2_000_001)
    (problem,) = problems(site)
    assert problem.startswith("book/index.html: 2.0 MB where 2 are the most")
    (site / "book" / "index.html").write_text("Front")
    (site / "_static" / "act.js").write_bytes(bytes(30_000_001))
    (problem,) = problems(site)
    assert "30.0 MB where 30 are the most" in problem
