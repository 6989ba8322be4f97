"""The rendered pages, checked before they are published, for what Sphinx does not see.

Pages ask nobody for anything when they are opened, pictures are put in words, nothing leaked in from this computer, and
nothing is too large.
"""

import filecmp
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.check_notebooks import pages_of

STATIC = "_static"
SITE_BYTES, PAGE_BYTES = 30_000_000, 2_000_000
WORDS_OF_ALT = 5  # an alt text states what the picture shows; fewer words than these do not
FETCHED = ("src", "href", "srcset", "poster", "xlink:href", "data")
OUTSIDE = re.compile(r"(?:(?:https?|wss?|ftp):)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
ARTICLE = re.compile("<article.*</article>", re.DOTALL)
FOLDERS = "home|root|tmp|mnt|media|opt|srv|var|private|builds|Users|Volumes"
ABSOLUTE = rf"(?:/(?:{FOLDERS})/|file://|[A-Z]:\\Users)[^\s\"'<>)&]*"


def problems(root: Path, folder: Path, checked: Path | None = None) -> list[str]:
    """One sentence each: the page, what is wrong and what to do. Pages as they are in `checked` are passed over."""
    from bs4 import BeautifulSoup

    # files are trusted, not exit statuses: a version of Jupyter Book exits with 0 and writes nothing
    wanted = [f"{page}.html" for page in [*pages_of(root), "index"]]
    found = [f"{page}: it was not rendered; see the log." for page in wanted if not (folder / page).is_file()]
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(STATIC):  # templates of the theme
            continue
        if checked and (checked / name).is_file() and filecmp.cmp(path, checked / name, shallow=False):
            continue
        text = path.read_text("utf-8", "replace")
        soup = BeautifulSoup(text, "html.parser")
        article = soup.find("article") or soup  # without the theme's frame around it
        found_article = ARTICLE.search(text)
        words = found_article[0] if found_article else text
        checks = [*problems_of_addresses(soup), *problems_of_pictures(article), *problems_of_text(root, words)]
        found += [f"{name}: {problem}" for problem in dict.fromkeys(checks)]
        size = path.stat().st_size
        if size > PAGE_BYTES:
            found.append(f"{name}: {size / 1e6:.1f} MB where {PAGE_BYTES / 1e6:g} are the most; divide it.")
    for path in sorted(folder.rglob("*.css")):
        for address in IN_STYLE.findall(STYLE_COMMENT.sub("", path.read_text("utf-8", "replace"))):
            found.append(f"{path.relative_to(folder)}: it would ask {address} for something; keep that in {STATIC}/.")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > SITE_BYTES:
        found.append(f"{folder}: {size / 1e6:.1f} MB where {SITE_BYTES / 1e6:g} are the most; leave something out.")
    return found


def problems_of_addresses(soup: Any) -> Iterator[str]:
    for tag in soup.find_all(True):
        names = [] if tag.name == "a" else [name for name in FETCHED if name in tag.attrs]
        fetched = [tag[name].strip().partition(" ")[0] for name in names]
        style = tag.get_text() if tag.name == "style" else tag.get("style", "")
        for address in [*filter(OUTSIDE.match, fetched), *IN_STYLE.findall(style)]:
            yield f"the browser would ask {address} for something; keep that in {STATIC}/."


def problems_of_pictures(article: Any) -> Iterator[str]:
    for tag in article.select('img, svg[role="img"], .cell_output svg'):
        if tag.find_parent(attrs={"aria-hidden": "true"}) or tag.get("aria-hidden") == "true":
            continue
        title = tag.find("title", recursive=False)
        alt = tag.get("alt") or tag.get("aria-label") or (title.get_text() if title else "")
        if len(alt.split()) < WORDS_OF_ALT:
            source = tag.get("src", "")[:60]
            yield f"<{tag.name}> {source}: its alt text is “{alt}”; say what the picture shows to who cannot see it."


def problems_of_text(root: Path, text: str) -> Iterator[str]:
    ours = "|".join(re.escape(str(path)) for path in (root.resolve(), Path.home(), tempfile.gettempdir()))
    for path in re.findall(rf"(?<![\w./~])(?:{ABSOLUTE}|(?:{ours})(?![\w-]))", text):
        yield f"{path} is a path of one computer; show it relative to the repository."
