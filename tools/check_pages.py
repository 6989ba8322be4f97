"""What a rendered page owes its reader: pictures told in words, numbered and in numbers, and nothing that leaked in.

A picture that a code cell draws, or a figure of a prose page, is a result unless it says that it is none. A result has
a table twin: a table with numbers in the same section (headings bound sections), or, where that is not the place, a
table named by the cell's tag `twin-NAME` (`NAME` as in `figures.table(…, "NAME")`) or the figure's class of that name.
A picture of one example that holds no result is tagged, or classed, `illustration`; it needs no twin.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.check_links import STATIC, Site
from tools.check_prose import excerpt

WORDS_OF_ALT = 5  # an alt text states the finding; fewer words than these do not
GENERIC = re.compile(
    r"\b(?:an?|alt|and|caption|chart|description|diagram|fig|figure|graph|graphic|here|icon|image|img|is|logo|of|output|"
    r"photo|pic|picture|plots?|png|screenshot|svg|table|text|the|this|title|todo|untitled)\b|[\W\d_]+",
    re.IGNORECASE,
)
FILE_NAME = re.compile(r"\S*\.(?:png|jpe?g|svg|gif|webp|pdf)", re.IGNORECASE)
LEAKS = {
    "a traceback": re.compile(r"Traceback \(most recent call last\)"),
    "a warning or an error": re.compile(r"\b(?:[A-Z]\w*(?:Warning|Error|Exception)|WARNING|ERROR): "),
}
FOLDERS = "home|root|tmp|mnt|media|opt|srv|usr|var|private|builds|workspaces?|Users|Volumes"
WINDOWS = "Users|Windows|Program|Temp"
REST = r"[^\s\"'<>)]*"
ABSOLUTE = re.compile(
    rf"(?<![\w./~])/(?:{FOLDERS})(?:/{REST}|(?![\w/-]))|\b[A-Za-z]:[\\/]+(?:{WINDOWS}){REST}|\bfile://{REST}"
)
SITE_BYTES, PAGE_BYTES = 25_000_000, 2_000_000


def body_of(soup: Any) -> Any:
    """What the author wrote and the code put out, without the theme's frame around it."""
    return soup.find("article") or soup.body or soup


def place(tag: Any) -> str:
    section = tag.find_parent("section")
    heading = section.find(re.compile("^h[1-6]$"), recursive=False) if section else None
    return f"“{excerpt(heading.get_text().rstrip('#¶'))}”" if heading else f"line {tag.sourceline}"


def is_hidden(tag: Any) -> bool:
    return any(t.get("aria-hidden") == "true" for t in [tag, *tag.parents] if t.name != "[document]")


def problems_of_alt(page: str, soup: Any) -> Iterator[str]:
    body = body_of(soup)
    drawn = soup.find_all("img") + soup.select('svg[role="img"], .cell_output svg')
    for tag in {id(tag): tag for tag in drawn}.values():
        if is_hidden(tag):
            continue
        title = tag.find("title", recursive=False)
        alt = tag.get("alt") or tag.get("aria-label") or (title.get_text() if title else "")
        caption = tag.find_parent("figure").find("figcaption") if tag.find_parent("figure") else None
        said = caption.select_one(".caption-text") if caption else None
        where = f"{page}, {place(tag)}, <{tag.name}> in line {tag.sourceline}"
        if not alt.strip():
            yield f"{where}: the picture has no alt text; say what it shows to those who cannot see it."
        elif FILE_NAME.fullmatch(alt.strip()) or alt.strip() == Path(tag.get("src", "")).stem:
            yield f"{where}: the alt text is the file's name; say what the picture shows."
        elif not GENERIC.sub("", alt):
            yield f"{where}: the alt text “{alt.strip()}” would fit any picture; say what this one shows."
        elif body in tag.parents and len(alt.split()) < WORDS_OF_ALT:
            yield f"{where}: the alt text “{alt.strip()}” is too short for a finding; say what the picture shows."
        elif said and said.get_text(" ", strip=True) == " ".join(alt.split()):
            yield f"{where}: the alt text repeats the caption, which is read out anyway; say what the picture shows."


def problems_of_figures(page: str, soup: Any) -> Iterator[str]:
    for tag in body_of(soup).select(".cell_output :is(img, svg, canvas, .plotly-graph-div), figure :is(img, svg)"):
        if is_hidden(tag) or tag.find_parent("svg"):
            continue
        cell, figure = tag.find_parent(class_="cell"), tag.find_parent("figure")
        name = f" {figure['id']}" if figure and figure.get("id") else ""
        where = f"{page}, {place(tag)}, figure{name or f' in line {tag.sourceline}'}"
        if not figure or not figure.select_one("figcaption .caption-number"):
            yield f"{where}: it has no number; give its cell the metadata `mystnb: {{figure: {{name, caption}}}}`."
        marks = [name.removeprefix("tag_") for name in (cell.get("class", []) if cell else [])]
        marks += figure.get("class", []) if figure else []
        twins = [mark.removeprefix("twin-") for mark in marks if mark.startswith("twin-")]
        absent = [twin for twin in twins if not named_table(soup, twin)]
        if absent:
            yield f"{where}: its twin {absent[0]} is no table of this page; correct the tag `twin-{absent[0]}`."
        elif not twins and "illustration" not in marks and not tables_beside(tag):
            yield (
                f"{where}: no table in its section gives its numbers; add one, name it by the tag `twin-NAME`, or tag "
                "the cell `illustration` if the picture holds no result."
            )


def named_table(soup: Any, name: str) -> bool:
    found = soup.find(id=name) or soup.find(id=f"T_{name}")  # pandas puts T_ before the name of a styled table
    table = found if not found or found.name == "table" else found.find("table")
    return bool(table) and holds_numbers(table)


def tables_beside(tag: Any) -> bool:
    section = tag.find_parent("section")
    tables = section.find_all("table") if section else []
    return any(table.find_parent("section") is section and holds_numbers(table) for table in tables)


def holds_numbers(table: Any) -> bool:
    return any(character.isdigit() for cell in table.find_all("td") for character in cell.get_text())


def texts_of(body: Any) -> Iterator[tuple[Any, str]]:
    """(tag, text) for all that is shown or said: listings whole, since colours cut them to pieces; the rest in bits."""
    for tag in body.find_all("pre"):
        yield tag, tag.get_text()
    for text in body.find_all(string=True):
        if not any(parent.name == "pre" for parent in text.parents):
            yield text.parent, str(text)
    for name in ("alt", "title", "aria-label"):
        for tag in body.find_all(attrs={name: True}):
            yield tag, tag[name]


def problems_of_text(root: Path, page: str, soup: Any) -> list[str]:
    """Nothing that a program said by the way, and no path that exists on one computer only."""
    body, found = body_of(soup), []
    for tag in body.select(".output.stderr, .output.traceback"):
        what = f"{'stderr' if 'stderr' in tag['class'] else 'a traceback'} is shown (“{excerpt(tag.get_text())}”)"
        found.append(f"{page}, {place(tag)}: {what}; mend what the cell complains of.")
    ours = "|".join(re.escape(str(path)) for path in {root.resolve(), Path.home()} if path != Path(path.anchor))
    absolute = re.compile(f"{ABSOLUTE.pattern}|(?<![\\w./~])(?:{ours or '(?!)'})(?![\\w-])")
    for tag, text in texts_of(body):
        for match in absolute.finditer(text):
            words = f"the path {match[0]} is of one computer; show it relative to the repository."
            found.append(f"{page}, {place(tag)}: {words}")
        for what, pattern in LEAKS.items():
            match = pattern.search(text)
            if match and not tag.find_parent(class_="cell_input"):
                line = excerpt(text[match.start() :].splitlines()[0])
                found.append(f"{page}, {place(tag)}: the text holds {what} (“{line}”); mend what caused it.")
    return list(dict.fromkeys(found))


def problems_of_titles(site: Site) -> Iterator[str]:
    first: dict[str, str] = {}
    for page, soup in site.soups.items():
        if soup.find("meta", attrs={"http-equiv": re.compile("refresh", re.IGNORECASE)}):
            continue  # a page that only sends on is never read
        title = " ".join(soup.title.get_text().split()) if soup.title else ""
        if not title:
            yield f"{page}: it has no title; begin the page with a heading."
        elif title in first:
            yield f"{page}: its title “{title}” is also that of {first[title]}; rename one of them."
        first.setdefault(title, page)


def problems_of_size(site: Site) -> Iterator[str]:
    size = sum(path.stat().st_size for path in site.folder.rglob("*") if path.is_file())
    if size > SITE_BYTES:
        words = f"the site has {size / 1e6:.1f} MB where {SITE_BYTES / 1e6:g} are the most"
        yield f"{site.folder}: {words}; leave out what no page needs."
    for page, soup in site.soups.items():
        folder = (site.folder / page).parent
        sources = {tag["src"].split("?")[0] for tag in soup.find_all("img", src=True)}
        images = {(folder / source).resolve() for source in sources if STATIC not in source and ":" not in source}
        size = sum(path.stat().st_size for path in {site.folder / page, *images} if path.is_file())
        if size > PAGE_BYTES:
            words = f"page and pictures have {size / 1e6:.1f} MB where {PAGE_BYTES / 1e6:g} are the most"
            yield f"{page}: {words}; store fewer dots an inch, or divide the page."
