"""The checks of the book, cheap enough for every run: of its sources before execution, of the site after rendering.

Each problem is one sentence: page or notebook, place, what is wrong and what to do.
"""

import re
from pathlib import Path

from emo_ssl.utils import io as files
from emo_ssl.utils.io import UserError
from tools import notebooks
from tools.check_links import Site, problems_of_launch, problems_of_links
from tools.check_notebooks import headings, problems_of_cells, prose_of
from tools.check_pages import (
    problems_of_alt,
    problems_of_figures,
    problems_of_size,
    problems_of_text,
    problems_of_titles,
)
from tools.check_prose import excerpt, typed_numbers

TOC, PROSE = "book/_toc.yml", "book"
# Pages that are accounts of constants: they may state them, because this test compares them with the code
ACCOUNTS = {"book/synthetic.md": "tests/test_synthetic.py"}
TITLE_FIRST = re.compile(r"\s*(?:---\n.*?\n---\s+)?(?:\([^)\n]+\)=\s*)?# ", re.DOTALL)  # front matter, a label


def toc_entries(root: Path) -> dict[str, str | None]:
    """Each page that the table of contents names, without suffix -> the title it gives it there, if it does."""

    def below(entry) -> dict[str, str | None]:
        if isinstance(entry, list):
            return {page: title for item in entry for page, title in below(item).items()}
        if not isinstance(entry, dict):
            return {}
        own = {str(entry[name]): entry.get("title") for name in ("root", "file") if name in entry}
        return own | {page: title for value in entry.values() for page, title in below(value).items()}

    return below(files.read_yaml(root / TOC))


def problems_of_sources(root: Path) -> list[str]:
    """Of notebooks and prose pages as they are stored, and of the table of contents that lists them."""
    paths = sorted((root / notebooks.FOLDER).glob("*.ipynb"))
    pages = [
        p for p in sorted((root / PROSE).rglob("*.md")) if not p.relative_to(root / PROSE).parts[0].startswith("_")
    ]
    try:
        entries = toc_entries(root)
    except UserError as problem:
        return [str(problem)]
    found = [
        f"{TOC}: it names {page}, which is not there; write the page or correct the name."
        for page in entries
        if not any((root / f"{page}{suffix}").is_file() for suffix in (".md", ".ipynb"))
    ]
    for path in [*paths, *pages]:
        page = path.relative_to(root).with_suffix("").as_posix()
        found += [] if page in entries else [f"{TOC}: {path.name} is not in it; add {page}."]
    for path in paths:
        try:
            content = notebooks.read(path)
        except UserError as problem:
            found.append(str(problem))
            continue
        name, cells = path.relative_to(root).as_posix(), content.cells
        text = prose_of(cells) if cells and cells[0].cell_type == "markdown" else ""
        found += problems_of_title(name, text, entries, {"its metadata": content.metadata.get("title")})
        found += problems_of_cells(name, cells)
    for path in pages:
        name, text = path.relative_to(root).as_posix(), path.read_text("utf-8", "replace")
        found += problems_of_title(name, text, entries, {})
        found += problems_of_numbers(root, name, text)
    return found


def problems_of_numbers(root: Path, name: str, text: str) -> list[str]:
    if name in ACCOUNTS:
        test = root / ACCOUNTS[name]
        if test.is_file() and Path(name).name in test.read_text(encoding="utf-8"):
            return []
        return [f"{name}: it states constants, and {ACCOUNTS[name]} does not hold them; let a test compare them."]
    return [
        f"{name}: {number} is typed by hand in “{excerpt(sentence)}”; fill it in by a glue role, cite its source, or "
        "say it in words."
        for number, sentence in typed_numbers(text)
    ]


def problems_of_title(name: str, text: str, entries: dict, others: dict[str, str | None]) -> list[str]:
    """A page begins with its only heading of the first level and is called that everywhere, if it is called at all."""
    titles = [title for level, title in headings(text) if level == 1]
    if len(titles) != 1 or not TITLE_FIRST.match(text):
        words = f"{len(titles)} headings of the first level, or text before it"
        return [f"{name}: it has {words}; begin the page with one such heading and have no other."]
    found, page = [], Path(name)
    number, own = re.match(r"\d+", page.stem), re.match(r"(\d+)\. ", titles[0])
    if page.suffix == ".ipynb" and number and (not own or int(own[1]) != int(number[0])):
        found.append(f"{name}: its title is “{titles[0]}”; begin it with the file's number, “{int(number[0])}. ”.")
    for where, title in {TOC: entries.get(page.with_suffix("").as_posix()), **others}.items():
        if title and title != titles[0]:
            found.append(f"{name}: {where} calls it “{title}” and its heading “{titles[0]}”; say the same in both.")
    return found


def problems_of_site(root: Path, site: Path, pages: list[str]) -> list[str]:
    """Of the rendered pages; `pages` are those of the contents, without suffix."""
    absent = [page for page in [*pages, "index"] if not (site / f"{page}.html").is_file()]
    found = [f"{page}.html: the site does not have it; see the rendering's log and render again." for page in absent]
    opened = Site.open(root, site)
    found += problems_of_links(opened) + problems_of_launch(opened, pages)
    for page, soup in opened.soups.items():
        found += [*problems_of_alt(page, soup), *problems_of_figures(page, soup), *problems_of_text(root, page, soup)]
    return [*found, *problems_of_titles(opened), *problems_of_size(opened)]
