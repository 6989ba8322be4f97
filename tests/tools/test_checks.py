"""The checks of the book: a good book passes, and every check is shown one that it refuses."""

import copy
import re
from pathlib import Path, PurePosixPath

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import check_site as checks
from tools.check_links import Repository
from tools.check_prose import bare_sentences, typed_numbers

ROOT = Path(__file__).parents[2]
OURS = "https://git.example/us/book"


def replaced(text: str, old: str, new: str) -> str:
    assert old in text, f"the test itself is wrong: {old!r} is not in the page"
    return text.replace(old, new)


def complaints(problems: list[str], name: str) -> list[str]:
    """Each is one sentence on one line that begins with the name and ends in what to do."""
    for problem in problems:
        assert problem.startswith(name) and "\n" not in problem, problem
        assert re.search(r"; [a-z].*\.$", problem), f"it does not say what to do: {problem}"
    return problems


# --- numbers typed by hand


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", []),
        ("It gained .28 points.", [".28"]),
        ("It gained 0.5 points", ["0.5"]),
        ("From -0.02 to +0.04.", ["0.02", "0.04"]),
        ("Of 1,234.5 frames, 1,234 are left.", ["1,234.5"]),
        ("The end is at 3.5.", ["3.5"]),
        ("Nearly 95 % and 20% and 3 per cent.", ["95 %", "20%", "3 per cent"]),
        ("| seeds | 0.754 | 7 |", ["0.754"]),
        ("- an item of 0.1\n- another of 0.2", ["0.1", "0.2"]),
        (":::{note}\nIt is 0.3.\n:::", ["0.3"]),
        ("```{tip}\nIt is 0.3.\n```\nAnd 0.4.", ["0.3", "0.4"]),
        ("Three raters, 24 speakers, 0 to 3, the 1. of May.", []),
        ("1. first\n2. second", []),
        ("Release 1.0.4 of it, on 10.0.0.1, with v2.5.", []),
        ("Filled in: {glue:text}`gain:.3f`, {glue:text}`../notebooks/a.ipynb::x:.0%`.", []),
        ("As `0.5` or ``a `0.5` b``.", []),
        ("See [0.5 in a table](x.md#a-0.5), <https://x.org/0.5>, https://x.org/0.5 and ![of 0.5](a.png).", []),
        ("```bash\nrun --share 0.5\n```\n~~~\n0.5\n~~~", []),
        ("```{code-block} python\nx = 0.5\n```", []),
        (":::{table} Words\n:widths: 0.5 0.5\n\n| a | b |\n:::", []),
        ("---\nversion: 0.5\n---\nText.", []),
        ("% a comment of 0.5\n\n<!-- another\nof 0.5 -->", []),
        ("They found 0.5 {cite:p}`someone2020`.", []),
        ("They found 0.5 {cite:p}`someone2020`. We found 0.6.", ["0.6"]),
        ("We found 0.6. They found 0.5, see {cite:t}`someone2020`.", ["0.6"]),
        ("They found 0.5, e.g. with Opus {footcite}`someone2020`.", []),
        ("Cited {cite:p}`someone2020`\n\nand in another paragraph 0.5", ["0.5"]),
        ("Python 3.11, 3.12 or 3.13, under CC BY 4.0 or CC BY-NC-SA 4.0.", []),
        ("Version 2.5 reached 0.5.", ["0.5"]),
        ("With 95 % intervals, and an interval of 95 %.", []),
        ("95 % of the intervals", ["95 %"]),
    ],
)
def test_typed_numbers(text, numbers):
    assert [number for number, _ in typed_numbers(text)] == numbers


def test_sentences_are_told_apart():
    text = "# Title\nOne, i.e. first.\nStill **two.** Three? `a. b`\n\n| x. Y |\n- four\n  goes on"
    expected = ["# Title", "One, i.e first.", "Still **two.", "Three?", "…", "| x.", "Y |", "- four goes on"]
    assert bare_sentences(text) == expected


# --- sources


def code(source: str, *tags: str):
    return new_code_cell(source, metadata={"tags": list(tags)})


def text(source: str):
    return new_markdown_cell(source)


def exercise(label: str) -> list:
    task = f"```{{exercise}} A name\n:label: {label}\n\nDo it.\n```"
    begin = f"```{{solution-start}} {label}\n:class: dropdown\n```"
    return [text(f"{task}\n\n{begin}"), code(f"print('{label}')"), text("So it is.\n\n```{solution-end}\n```")]


def good_cells() -> list:
    return [
        text("# 1. First: a page\n\nIts words."),
        code("seed = 0", "parameters"),
        code("%matplotlib inline\n!echo 0.5\n\ndef double(x):\n    return 2 * x"),
        text(
            "## What we found\n\n- It is {glue:text}`gain:.2f`.\n- They had 0.5 {cite:p}`someone2020`.\n\n## Exercises"
        ),
        *exercise("one"),
        *exercise("two"),
    ]


def write_notebook(root: Path, cells: list, **metadata) -> None:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    content = new_notebook(cells=cells, metadata={"kernelspec": kernel, **metadata})
    nbformat.write(content, root / "notebooks" / "01-first.ipynb")


@pytest.fixture
def sources(tmp_path):
    """A repository with one notebook and two pages, all of them as they should be."""
    for folder in ("notebooks", "book/_static", "tests"):
        (tmp_path / folder).mkdir(parents=True)
    contents = "format: jb-book\nroot: book/index\nparts:\n  - chapters:\n      - file: notebooks/01-first\n"
    (tmp_path / "book" / "_toc.yml").write_text(contents + "      - file: book/synthetic\n        title: Constants\n")
    (tmp_path / "book" / "index.md").write_text("# Front\n\nWords.\n")
    (tmp_path / "book" / "synthetic.md").write_text("# Constants\n\nOne is 0.5.\n")
    (tmp_path / "book" / "_static" / "notes.md").write_text("no page\n")
    (tmp_path / "tests" / "test_synthetic.py").write_text("page = 'synthetic.md'\n")
    write_notebook(tmp_path, good_cells())
    return tmp_path


def test_good_sources(sources):
    assert checks.problems_of_sources(sources) == []


def test_the_sources_of_this_book():
    assert checks.problems_of_sources(ROOT) == []


def test_every_page_is_one_of_the_contents(sources):
    assert checks.toc_entries(sources) == {
        "book/index": None,
        "notebooks/01-first": None,
        "book/synthetic": "Constants",
    }


def with_output(cells):
    cells[2].outputs = [new_output("stream", text="old")]


def with_count(cells):
    cells[2].execution_count = 3


def source_of(number: int, source: str):
    def change(cells):
        cells[number].source = source

    return change


def in_source(number: int, old: str, new: str):
    def change(cells):
        cells[number].source = replaced(cells[number].source, old, new)

    return change


def many_cells(cells):
    cells += [code("x = 1") for _ in range(22)]


def long_median(cells):
    for cell in cells[4:]:
        if cell.cell_type == "code":
            cell.source = "# why\n\n" * 4 + "x = 1"  # 9 lines, most of them comments and blanks
    cells[1].source = "seed = 0\n" * 9


def two_parameters(cells):
    cells[2].metadata["tags"] = ["parameters"]


def no_parameters(cells):
    cells[1].metadata["tags"] = []


def one_exercise(cells):
    del cells[7:]


def five_exercises(cells):
    cells += [cell for label in ("three", "four", "five") for cell in exercise(label)]


def no_solution(cells):
    in_source(4, "solution-start} one", "solution-start} another")(cells)


def without_code(cells):
    del cells[5]


NOTEBOOK = "notebooks/01-first.ipynb"
BAD_CELLS = [
    (with_output, ", cell 3 (`%matplotlib inline !echo 0.5 def double(x): retur…`): outputs or a count are stored"),
    (with_count, ", cell 3 (`%matplotlib inline !echo 0.5 def double(x): retur…`): outputs or a count are stored"),
    (source_of(2, "x = 1\n" * 26), "26 lines where 25 are the most"),
    (many_cells, ": 26 code cells where 25 are the most"),
    (long_median, ": the median code cell has 9 lines where 8 are the most"),
    (source_of(2, "class Thing:\n    pass"), ", cell 3 (`class Thing: pass`): it defines the class Thing"),
    (source_of(2, "if x:\n    class Inner: pass"), "it defines the class Inner"),
    (source_of(2, "def f():\n" + "    x = 1\n" * 6), "the function f has 7 lines where 6 are the most"),
    (source_of(2, "@a\ndef f():\n" + "    x = 1\n" * 5), "the function f has 7 lines"),
    (source_of(2, "async def f():\n" + "    x = 1\n" * 6), "the function f has 7 lines"),
    (source_of(2, "x = = 1"), "it is not Python (invalid syntax)"),
    (two_parameters, ": 2 code cells are tagged `parameters`"),
    (no_parameters, ": no code cells are tagged `parameters`"),
    (in_source(3, "## What we found", "## What is found"), ": no section “What we found”"),
    (source_of(3, "## What we found\n\n## Exercises"), ": no section “What we found” with text in it"),
    (in_source(3, "{glue:text}`gain:.2f`", "0.12"), ", “What we found”: 0.12 is typed by hand in “- It is 0.12.”"),
    (in_source(3, "{glue:text}`gain:.2f`", "12 %"), ", “What we found”: 12 % is typed by hand"),
    (in_source(3, " {cite:p}`someone2020`", ""), "0.5 is typed by hand in “- They had 0.5.”"),
    (one_exercise, ": 1 exercises where 2 to 4 are wanted"),
    (five_exercises, ": 5 exercises where 2 to 4 are wanted"),
    (in_source(4, ":label: one", ":class: x"), ", “Exercises”: an exercise has no `:label:`"),
    (no_solution, ", exercise one: it has no solution"),
    (in_source(4, ":class: dropdown", ":class: open"), ", exercise one: its solution is not folded"),
    (in_source(9, "```{solution-end}\n```", ""), ", exercise two: its solution does not end"),
    (without_code, ", exercise one: its solution holds no code that is executed"),
    (in_source(4, "{solution-start}", "{solution}"), ", exercise one: its solution holds no code that is executed"),
    (in_source(0, "# 1. First: a page", "## 1. First: a page"), ": it has 0 headings of the first level"),
    (in_source(0, "# 1. First: a page", "Words.\n\n# 1. First: a page"), "or text before it"),
    (in_source(3, "## Exercises", "# Exercises"), ": it has 2 headings of the first level"),
    (lambda cells: cells.insert(0, code("x = 1")), ": it has 0 headings of the first level"),
    (
        in_source(0, "# 1. First", "# 2. First"),
        ": its title is “2. First: a page”; begin it with the file's number, “1. ”",
    ),
    (in_source(0, "# 1. First", "# First"), ": its title is “First: a page”"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD_CELLS, ids=range(len(BAD_CELLS)))
def test_bad_notebooks(sources, change, complaint):
    cells = copy.deepcopy(good_cells())
    change(cells)
    write_notebook(sources, cells)
    (problem,) = complaints(checks.problems_of_sources(sources), NOTEBOOK)
    assert complaint in problem


def test_limits_themselves_are_allowed(sources):
    cells = good_cells()
    cells[2].source = "def f():\n" + "    x = 1\n" * 5 + "y = 1\n" * 19  # a function of 6 lines in a cell of 25
    cells += [code("# a\n" * 8) for _ in range(21)]
    cells += [*exercise("three"), *exercise("four")]
    del cells[10:12]  # 25 code cells, 4 exercises
    write_notebook(sources, cells)
    assert len([cell for cell in cells if cell.cell_type == "code"]) == 25
    assert checks.problems_of_sources(sources) == []


def test_cells_in_other_languages_are_no_python(sources):
    cells = good_cells()
    cells[2].source = "%%bash\nfor x in 1 2; do echo $x; done"
    write_notebook(sources, cells)
    assert checks.problems_of_sources(sources) == []


def test_hashes_in_code_are_no_headings(sources):
    cells = good_cells()
    cells[0].source += "\n\n```bash\n# install it\n```"
    cells[3].source = replaced(cells[3].source, "- It is", "```bash\n# 0.5\n```\n\n- It is")
    write_notebook(sources, cells)
    assert checks.problems_of_sources(sources) == []


def test_titles_elsewhere_agree(sources):
    write_notebook(sources, good_cells(), title="Another")
    toc = sources / "book" / "_toc.yml"
    toc.write_text(replaced(toc.read_text(), "title: Constants", "title: Numbers"))
    first, second = checks.problems_of_sources(sources)
    assert f"{NOTEBOOK}: its metadata calls it “Another” and its heading “1. First: a page”" in first
    assert "book/synthetic.md: book/_toc.yml calls it “Numbers” and its heading “Constants”" in second


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("book/index.md", "# Front\n\nIt is 0.5.\n", "book/index.md: 0.5 is typed by hand in “It is 0.5.”"),
        ("book/index.md", "Words\n", "book/index.md: it has 0 headings of the first level"),
        ("book/index.md", "# Front\n\n# Back\n", "book/index.md: it has 2 headings of the first level"),
        ("book/index.md", "Words first\n\n# Front\n", "or text before it"),
        ("book/other.md", "# Other\n", "book/_toc.yml: other.md is not in it; add book/other."),
        ("notebooks/01-first.ipynb", "{}", "01-first.ipynb: not a notebook"),
        ("tests/test_synthetic.py", "page = 'another.md'", "tests/test_synthetic.py does not hold them"),
        ("book/_toc.yml", "root: [", "_toc.yml: not readable as YAML"),
    ],
)
def test_bad_pages_and_contents(sources, name, content, complaint):
    (sources / name).write_text(content)
    (problem,) = complaints(checks.problems_of_sources(sources), "")
    assert complaint in problem


@pytest.mark.parametrize("opening", ["---\nkey: value\n---\n\n", "(a-label)=\n", "---\nkey: value\n---\n(a-label)=\n"])
def test_what_may_stand_before_a_title(sources, opening):
    (sources / "book" / "index.md").write_text(opening + "# Front\n")
    assert checks.problems_of_sources(sources) == []


def test_contents_name_what_is_there(sources):
    (sources / "book" / "index.md").unlink()
    assert checks.problems_of_sources(sources) == [
        "book/_toc.yml: it names book/index, which is not there; write the page or correct the name."
    ]
    (sources / "book" / "index.md").write_text("# Front\n")
    (sources / "book" / "_toc.yml").write_text("root: book/index\nchapters:\n  - file: book/synthetic\n")
    assert checks.problems_of_sources(sources) == [
        "book/_toc.yml: 01-first.ipynb is not in it; add notebooks/01-first."
    ]


# --- the site

FRAME = """<!DOCTYPE html><html><head><title>{title}</title>
<link href="../_static/look.css?v=1" rel="stylesheet"/><script src="../_static/act.js"></script></head>
<body><img alt="Colab logo" src="../_static/logo.png"/>
<a href="{ours}/edit/main/{source}">edit</a>
<a href="{ours}/issues/new?title=Issue%20on%20page%20%2F{page}.html&amp;body=x">issue</a>
<a href="../_sources/{source}" title="Download">download</a>{more}
<article>{article}</article></body></html>"""
LAUNCH = """<a href="https://colab.research.google.com/github/us/book/blob/main/notebooks/01-first.ipynb">Colab</a>
<a href="https://hub.example/v2/gh/us/book/main?urlpath=lab/tree/notebooks/01-first.ipynb">Binder</a>"""
FRONT = """<section id="front"><h1>Front<a class="headerlink" href="#front">#</a></h1>
<p>See <a href="../notebooks/01-first.html#results">the results</a>, <a href="https://example.org/home/x">a site</a>,
<a href="mailto:us@example.org">us</a> and <a href="../notebooks/01-first.html">all</a>.</p></section>"""
FIGURE = """<figure class="align-default" id="fig-gain"><img alt="One curve rises over the labels and one stays flat"
src="../_images/gain.png"/><figcaption><p><span class="caption-number">Figure 1 </span><span class="caption-text">Gains
by label.</span></p></figcaption></figure>"""
TABLE = '<div class="output text_html"><table id="T_gain"><tr><th>a</th><td>0.5</td></tr></table></div>'
ARTICLE = f"""<section id="first"><h1>1. First</h1><p>Words.</p>
<section id="results"><h2>Results</h2>
<div class="cell tag_x"><div class="cell_input"><pre>raise ValueError: no</pre></div>
<div class="cell_output">{FIGURE}</div></div>
<div class="cell"><div class="cell_output"><div class="output stream"><pre>videos 7</pre></div>
{TABLE}</div></div></section>
<section id="more"><h2>More</h2><p style="background: url(../_static/logo.png)">Words.</p></section></section>"""


def write_site(root: Path) -> Path:
    site = root / "build" / "site"
    for folder in ("book", "notebooks", "_static", "_images", "_sources/book", "_sources/notebooks"):
        (site / folder).mkdir(parents=True)
    write_page(site, "book/index", "book/index.md", "Front", FRONT)
    write_page(site, "notebooks/01-first", "notebooks/01-first.ipynb", "1. First", ARTICLE, LAUNCH)
    (site / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=book/index.html"/>')
    style = "@font-face {src: url('logo.png')} a {background: url(data:x) url(#part)} /* url(https://x.org/a) */"
    (site / "_static" / "look.css").write_text(style)
    (site / "_static" / "macros.html").write_text('<script src="https://x.org/a.js"></script>')  # a theme's template
    for name in ("_static/act.js", "_static/logo.png", "_images/gain.png", "_sources/book/index.md"):
        (site / name).write_text("x")
    (site / "_sources" / "notebooks" / "01-first.ipynb").write_text("x")
    return site


def write_page(site: Path, page: str, source: str, title: str, article: str, more: str = "") -> None:
    content = FRAME.format(title=title, ours=OURS, source=source, page=page, more=more, article=article)
    (site / f"{page}.html").write_text(content)


@pytest.fixture
def site(tmp_path):
    for folder, page in (("notebooks", "01-first.ipynb"), ("book", "index.md")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / page).write_text("x")
    (tmp_path / "_config.yml").write_text(
        f"repository:\n  url: {OURS}\n  branch: main\n"
        "launch_buttons:\n  colab_url: https://colab.research.google.com\n  binderhub_url: https://hub.example\n"
    )
    return write_site(tmp_path)


PAGES = ["book/index", "notebooks/01-first"]
FIRST = "notebooks/01-first.html"


def problems(site: Path) -> list[str]:
    return checks.problems_of_site(site.parents[1], site, PAGES)


def break_page(site: Path, old: str, new: str, name: str = FIRST) -> None:
    (site / name).write_text(replaced((site / name).read_text(), old, new))


def test_a_good_site(site):
    assert problems(site) == []


WORDS = "<p>Words.</p>\n<section"
LOCAL = PurePosixPath("/x").as_uri()
BAD_PAGES = [
    # links and anchors
    ('href="../_sources/', 'href="../_absent/', "leads to _absent/notebooks/01-first.ipynb, which is not in the site"),
    (
        "../_static/look.css",
        "../_static/other.css",
        "<link> in line 2: ../_static/other.css?v=1 leads to _static/other",
    ),
    ("../_static/act.js", "../_static/other.js", "<script> in line 2: ../_static/other.js leads to"),
    ("../_images/gain.png", "../_images/other.png", "<img> in line 11: ../_images/other.png leads to"),
    (WORDS, '<a href="#absent">x</a><section', "#absent leads to the place #absent, which notebooks/01-first.html"),
    (WORDS, '<a href="../book/index.html#absent">x</a><section', "which book/index.html does not have"),
    (WORDS, '<a href="../../../x.html">x</a><section', "which is not in the site"),
    (WORDS, '<a href="../book/">x</a><section', "leads to book, which is not in the site"),
    (WORDS, '<a href="/book/index.html">x</a><section', "/book/index.html is right on one computer only"),
    (WORDS, '<a href="http://[">x</a><section', "http://[ is no address"),
    (WORDS, '<svg aria-hidden="true"><use href="absent.svg#a"></use></svg><section', "leads to notebooks/absent.svg"),
    # nothing from the outside
    (
        "../_static/act.js",
        "https://cdn.example/act.js",
        "the browser would ask https://cdn.example/act.js for something",
    ),
    ("../_static/act.js", "//cdn.example/act.js", "the browser would ask //cdn.example/act.js"),
    ('"../_static/look.css?v=1"', '"HTTPS://cdn.example/look.css"', "<link> in line 2: the browser would ask"),
    ("<head>", '<head><link rel="preconnect" href="https://cdn.example">', "<link> in line 1: the browser would ask"),
    (WORDS, '<iframe src="https://x.org"></iframe><section', "<iframe>"),
    (WORDS, '<video poster="https://x.org/a.png"></video><section', "<video>"),
    (WORDS, '<object data="https://x.org/a.svg"></object><section', "<object>"),
    ('src="../_images', 'srcset="a.png 1x" src="../_images', "leads to notebooks/a.png"),
    ('src="../_images', 'srcset="https://x.org/a.png 2x" src="../_images', "the browser would ask https://x.org/a.png"),
    ("<head>", '<head><meta http-equiv="refresh" content="1; url=https://x.org">', "<meta> in line 1"),
    ("<head>", "<head><style>a {background: url('//x.org/a.png')}</style>", "the style sheet would ask //x.org/a.png"),
    ("<head>", '<head><style>@import "https://x.org/a.css";</style>', "the style sheet would ask https://x.org/a.css"),
    ("url(../_static/logo.png)", "url(https://x.org/a.png)", "the style sheet would ask https://x.org/a.png"),
    ("url(../_static/logo.png)", "url(other.png)", "in a style, other.png leads to notebooks/other.png"),
    # launch links
    (LAUNCH.splitlines()[0], "", "no button launches notebooks/01-first.ipynb on https://colab.research.google.com"),
    (LAUNCH.splitlines()[1], "", "no button launches notebooks/01-first.ipynb on https://hub.example"),
    (
        "issues/new?title=Issue%20on%20page%20%2Fnotebooks",
        "issues/new?title=On%20%2Fbooks",
        "is about books/01-first.html",
    ),
    # words for pictures
    ('alt="Colab logo" ', "", "line 3, <img> in line 3: the picture has no alt text"),
    ('alt="Colab logo"', 'alt="../_static/logo.png"', "the alt text is the file's name"),
    ('alt="Colab logo"', 'alt="Figure 3"', "the alt text “Figure 3” would fit any picture"),
    (
        "One curve rises over the labels and one stays flat",
        "",
        "“Results”, <img> in line 11: the picture has no alt text",
    ),
    ("One curve rises over the labels and one stays flat", "gain", "the alt text is the file's name"),
    ("One curve rises over the labels and one stays flat", "An image of the plot", "would fit any picture"),
    ("One curve rises over the labels and one stays flat", "The curve rises", "“The curve rises” is too short"),
    ("One curve rises over the labels and one stays flat", "Gains by label.", "is too short"),
    (WORDS, '<svg role="img"></svg><section', "“1. First”, <svg> in line 8: the picture has no alt text"),
    (WORDS, '<svg role="img"><title>Chart</title></svg><section', "“Chart” would fit any picture"),
    # numbers for pictures
    ('<span class="caption-number">Figure 1 </span>', "", "“Results”, figure fig-gain: it has no number"),
    (TABLE, "", "“Results”, figure fig-gain: no table in its section gives its numbers"),
    ("<td>0.5</td>", "<td>words</td>", "no table in its section gives its numbers"),
    ("tag_x", "tag_twin-other", "its twin other is no table of this page; correct the tag `twin-other`"),
    ("tag_x", "tag_twin-more", "its twin more is no table of this page"),
    # what leaked
    ("output stream", "output stderr", "“Results”: stderr is shown (“videos 7”)"),
    ("output stream", "output traceback", "“Results”: a traceback is shown (“videos 7”)"),
    (
        "videos 7",
        "Traceback (most recent call last):",
        "the text holds a traceback (“Traceback (most recent call last):”)",
    ),
    ("videos 7", "x.py:3: FutureWarning: soon", "the text holds a warning or an error (“FutureWarning: soon”)"),
    ("videos 7", "WARNING: no", "the text holds a warning or an error (“WARNING: no”)"),
    ("videos 7", "<span>Key</span>Error: <b>x</b>", "the text holds a warning or an error (“KeyError: x”)"),
    ("videos 7", "in /home/me/x.csv", "the path /home/me/x.csv is of one computer"),
    ("videos 7", "kept in /tmp", "the path /tmp is of one computer"),
    ("videos 7", '<i>"</i><i>/home/</i><i>x</i>"', "the path /home/x is of one computer"),
    ("videos 7", r"C:\Users\me\x.csv", r"the path C:\Users\me\x.csv is of one computer"),
    ("raise ValueError: no", "open('/Users/me/x')", "the path /Users/me/x is of one computer"),
    ("Words.</p>\n", f"Look into {LOCAL}</p>\n", f"“1. First”: the path {LOCAL} is of one computer"),
    ('alt="One curve', 'title="/var/x" alt="One curve', "the path /var/x is of one computer"),
    # titles
    ("<title>1. First", "<title>Front", "its title “Front” is also that of book/index.html"),
    ("<title>1. First</title>", "", "it has no title"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), BAD_PAGES, ids=range(len(BAD_PAGES)))
def test_bad_pages(site, old, new, complaint):
    break_page(site, old, new)
    (problem,) = complaints(problems(site), FIRST)
    assert complaint in problem


# A button that leads astray is also one that does not lead to the page's source, so each of these is told twice
BAD_BUTTONS = [
    (
        "edit/main/notebooks/01-first",
        "edit/main/notebooks/02",
        "names notebooks/02.ipynb, which the repository does not",
    ),
    ("edit/main/notebooks", "edit/old/notebooks", "names the branch old, and _config.yml main"),
    (
        "edit/main/notebooks",
        "edit/main/build/../notebooks/../build",
        "no link edits its source notebooks/01-first.ipynb",
    ),
    (
        "blob/main/notebooks/01-first",
        "blob/main/notebooks/02",
        "names notebooks/02.ipynb, which the repository does not",
    ),
    ("github/us/book", "github/them/book", "launches another repository than https://git.example/us/book"),
    ("gh/us/book", "gh/them/book", "launches another repository than https://git.example/us/book"),
    ("lab/tree/notebooks/01-first", "lab/tree/01-first", "names 01-first.ipynb, which the repository does not have"),
    ("?urlpath=lab/tree/notebooks/01-first.ipynb", "", "names no file, which the repository does not have"),
    (
        "../_sources/notebooks/01-first.ipynb",
        "../_sources/book/copy.md",
        "downloads a file that the repository does not",
    ),
    ("/edit/main/notebooks/01-first.ipynb", "/tree/main/build/site", "names build/site, which the repository does not"),
]


@pytest.mark.parametrize(("old", "new", "complaint"), BAD_BUTTONS, ids=range(len(BAD_BUTTONS)))
def test_bad_buttons(site, old, new, complaint):
    break_page(site, old, new)
    found = complaints(problems(site), FIRST)
    assert len(found) == 2 and [problem for problem in found if complaint in problem], found


GOOD_PAGES = [
    (
        TABLE + "</div></div></section>\n",
        "</div></div></section>\n" + TABLE,
        "tag_twin-gain",
    ),  # named, in another section
    (TABLE, "", "tag_illustration"),
    (TABLE, TABLE.replace("T_gain", "T_other"), "tag_x"),
    ("Words.</p>\n", "Take and/home or https://x.org/tmp/ or ~/tmp/ or home/ or x/root.</p>\n", "tag_x"),
    (
        "Words.</p>\n",
        '<svg aria-hidden="true"></svg><svg role="img" aria-label="Five words tell its finding"></svg></p>\n',
        "tag_x",
    ),
    ("Words.</p>\n", f'<a href="{OURS}/blob/0123456789abcdef/old.md">then</a> <a href="{OURS}">now</a></p>\n', "tag_x"),
    (
        "Words.</p>\n",
        '<a name="here"></a><a href="#here">a</a> <a href="#">b</a> <a href="?x=1#more">c</a></p>\n',
        "tag_x",
    ),
    ("lab/tree/notebooks/01-first.ipynb", "%2Flab%2Ftree%2Fnotebooks%2F01-first.ipynb", "tag_x"),
]


@pytest.mark.parametrize(("old", "new", "tag"), GOOD_PAGES, ids=range(len(GOOD_PAGES)))
def test_good_pages(site, old, new, tag):
    break_page(site, old, new)
    break_page(site, "tag_x", tag)
    assert problems(site) == []


def test_a_caption_is_no_alt_text(site):
    break_page(site, "Gains\nby label.", "One curve rises over the labels and one stays flat")
    (problem,) = complaints(problems(site), FIRST)
    assert "the alt text repeats the caption" in problem


def test_the_repository_itself_is_a_path_of_one_computer(site):
    break_page(site, "videos 7", f"in {site.parents[1]}/x")
    assert all("is of one computer" in problem for problem in problems(site)) and problems(site)


def test_style_sheets_ask_nobody(site):
    style = "@import url(https://x.org/a.css); b {src: url('//x.org/a.woff')} i {src: url(absent.woff)}"
    (site / "_static" / "look.css").write_text(style)
    asks, font, absent = complaints(problems(site), "_static/look.css")
    assert "https://x.org/a.css" in asks and "//x.org/a.woff" in font and "leads to _static/absent.woff" in absent


def test_pages_of_the_contents_exist(site):
    (site / "index.html").unlink()
    assert problems(site) == ["index.html: the site does not have it; see the rendering's log and render again."]
    (site / "book" / "index.html").unlink()
    assert "book/index.html: the site does not have it" in problems(site)[0]


def test_a_site_that_is_not_there(tmp_path):
    (tmp_path / "_config.yml").write_text("")
    found = complaints(checks.problems_of_site(tmp_path, tmp_path / "site", PAGES), "")
    assert len(found) == 3 and all("the site does not have it" in problem for problem in found)


def test_sizes(site):
    (site / "_images" / "gain.png").write_bytes(bytes(2_000_001))
    (problem,) = complaints(problems(site), FIRST)
    assert "page and pictures have 2.0 MB where 2 are the most" in problem
    (site / "_images" / "gain.png").write_bytes(b"x")
    (site / "_static" / "act.js").write_bytes(bytes(2_100_000))  # shared by all pages
    assert problems(site) == []
    (site / "_static" / "act.js").write_bytes(bytes(25_000_001))
    (problem,) = complaints(problems(site), str(site))
    assert "the site has 25.0 MB where 25 are the most" in problem


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("https://github.com/us/book/edit/main/a/b.md", ("main", "a/b.md")),
        ("https://github.com/us/book/blob/main/a%20b.md#L3", ("main", "a b.md")),
        ("https://github.com/us/book/tree/main/results", ("main", "results")),
        ("https://raw.githubusercontent.com/us/book/main/a.csv", ("main", "a.csv")),
        ("https://mybinder.org/v2/gh/us/book/main?labpath=a.ipynb", ("main", "a.ipynb")),
        ("https://mybinder.org/v2/gh/us/book/main?filepath=a.ipynb", ("main", "a.ipynb")),
        ("https://mybinder.org/v2/gh/us/book/main?urlpath=tree/a.ipynb", ("main", "a.ipynb")),
        ("https://mybinder.org/v2/gh/us/book/main", ("main", "")),
        ("https://github.com/us/book", None),
        ("https://github.com/us/book/issues/new", None),
        ("https://github.com/us/bookshelf/blob/main/a.md", None),
        ("https://x.org/us/book/blob/main/a.md", None),
    ],
)
def test_addresses_of_the_repository(address, named):
    assert Repository("https://github.com/us/book").file_named(address) == named
    assert Repository("").file_named(address) is None
