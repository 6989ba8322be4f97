"""The checks of the rendered pages: a good site passes, and every check is shown one fault."""

import tempfile
from pathlib import Path, PurePosixPath

import pytest

from tools import check_site

REPOSITORY = "https://git.example/us/book"
HEAD = """<!DOCTYPE html><html><head><title>1. First</title><link href="../_static/look.css?v=1" rel="stylesheet"/>
<script src="../_static/act.js"></script></head><body><img src="../_static/logo.png" alt="logo"/>"""
PAGE = f"""{HEAD}<a href="{REPOSITORY}/edit/main/notebooks/01-first.ipynb">edit</a>
<a href="https://colab.research.google.com/github/us/book/blob/main/notebooks/01-first.ipynb">Colab</a>
<a href="https://hub.example/v2/gh/us/book/main?urlpath=lab/tree/notebooks/01-first.ipynb">Binder</a>
<article><h1 id="first">1. First</h1><a href="#first">x</a> <a href="../book/index.html#front">front</a>
<a href="https://example.org/home/x">a site</a> <a href="mailto:us@example.org">us</a> and/home or ~/tmp/ or x/root/y
<a href="{REPOSITORY}/blob/0123456789abcdef/old.md">then</a> <a href="{REPOSITORY}">now</a>
<figure><img alt="One curve rises over the labels" src="../_images/gain.png"/></figure>
<svg aria-hidden="true"></svg><svg role="img" aria-label="Five words tell what shows"></svg>
<div class="output stream"><pre>videos 7</pre></div><p style="background: url(../_static/logo.png)">Words.</p></article>
</body></html>"""


@pytest.fixture
def site(tmp_path) -> Path:
    for path, content in {
        "_config.yml": f"repository: {{url: {REPOSITORY}, branch: main}}\n",
        "book/_toc.yml": "root: book/index\nchapters:\n  - file: notebooks/01-first\n",
        "notebooks/01-first.ipynb": "x",
        "site/index.html": '<meta http-equiv="Refresh" content="0; url=book/index.html"/>',
        "site/book/index.html": '<a name="front"></a>',
        "site/notebooks/01-first.html": PAGE,
        "site/_static/look.css": "a {background: url(data:x) url(#part)} /* url(https://x.org/a) */",
        "site/_static/macros.html": '<script src="https://x.org/a.js"></script>',  # a template of the theme
        "site/_static/act.js": "x",
        "site/_static/logo.png": "x",
        "site/_images/gain.png": "x",
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
    ('"../_static/look.css?v=1"', '"//cdn.example/look.css"', "the browser would ask //cdn.example/look.css"),
    (WORDS, '<iframe src="https://x.org"></iframe>', "the browser would ask https://x.org"),
    (WORDS, '<video poster="https://x.org/a.png"></video>', "the browser would ask https://x.org/a.png"),
    (WORDS, '<object data="https://x.org/a.svg"></object>', "the browser would ask https://x.org/a.svg"),
    ("<head>", "<head><style>a {background: url('//x.org/a.png')}</style>", "a style would ask //x.org/a.png"),
    ("<head>", '<head><style>@import "https://x.org/a.css";</style>', "a style would ask https://x.org/a.css"),
    ("url(../_static/logo.png)", "url(https://x.org/a.png)", "a style would ask https://x.org/a.png"),
    # what raw HTML leads to
    ("../_images/gain.png", "../_images/other.png", "../_images/other.png leads to nothing in the site"),
    (WORDS, '<a href="../book/index.html#absent">x</a>', "leads to a place that book/index.html does not have"),
    (WORDS, '<a href="/book/index.html">x</a>', "/book/index.html leads to nothing in the site"),
    # files of our repository
    (
        "edit/main/notebooks/01-first",
        "edit/main/notebooks/02",
        "names notebooks/02.ipynb, which the repo",
    ),
    (
        "blob/main/notebooks/01-first",
        "blob/main/notebooks/02",
        "names notebooks/02.ipynb, which the repo",
    ),
    ("lab/tree/notebooks/01-first", "lab/tree/01-first", "names 01-first.ipynb, which the repo"),
    # words for pictures
    (f'alt="{ALT}"', "", "_images/gain.png: its alt text is “”"),
    (ALT, "gain.png", "its alt text is “gain.png”"),
    (ALT, "An image of it", "its alt text is “An image of it”"),
    (WORDS, '<svg role="img"><title>Chart</title></svg>', "its alt text is “Chart”"),
    # what leaked
    ("output stream", "output stderr", "it shows stderr or a traceback (“videos 7”)"),
    ("output stream", "output traceback", "it shows stderr or a traceback (“videos 7”)"),
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


def test_style_sheets_ask_nobody(site):
    (site / "_static" / "look.css").write_text("@import url(https://x.org/a.css); b {src: url('//x.org/a.woff')}")
    imported, font = problems(site)
    assert "_static/look.css: it would ask https://x.org/a.css" in imported and "//x.org/a.woff" in font


def test_every_page_of_the_contents_is_there(site):
    (site / "book" / "index.html").unlink()
    missing, dead_link = problems(site)
    assert missing.startswith("book/index.html: it was not rendered") and "leads to nothing" in dead_link


def test_sizes(site):
    (site / "_images" / "gain.png").write_bytes(bytes(2_000_001))
    (problem,) = problems(site)
    assert "page and pictures have 2.0 MB where 2 are the most" in problem
    (site / "_images" / "gain.png").write_bytes(b"x")
    (site / "_static" / "act.js").write_bytes(bytes(25_000_001))
    (problem,) = problems(site)
    assert "25.0 MB where 25 are the most" in problem
