"""The rendered pages, checked before they are published, for what Sphinx does not see.

Pages ask nobody for anything when they are opened, raw HTML leads to what is there, links to our repository name files
that it has, pictures are put in words, nothing leaked in from this computer, and nothing is too large.
"""

import posixpath
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from emo_ssl.utils import io as files
from tools.check_notebooks import pages_of

STATIC = "_static"
SITE_BYTES, PAGE_BYTES = 25_000_000, 2_000_000
WORDS_OF_ALT = 5  # an alt text states what the picture shows; fewer words than these do not
FETCHED = ("src", "href", "srcset", "poster", "xlink:href", "data")
OUTSIDE = re.compile(r"(?:(?:https?|wss?|ftp):)?//", re.IGNORECASE)
IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?\s*((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
IN_REPOSITORY = r"/(?:edit/|blob/|tree/|raw/|blame/)?{branch}(?:/|\?(?:urlpath|labpath)=(?:lab/)?(?:tree/)?)([^?#]+)"
FOLDERS = "home|root|tmp|mnt|media|opt|srv|var|private|builds|Users|Volumes"
ABSOLUTE = rf"(?:/(?:{FOLDERS})/|file://|[A-Z]:\\Users)[^\s\"'<>)&]*"


def problems(root: Path, folder: Path) -> list[str]:
    """One sentence each: the page, what is wrong and what to do."""
    from bs4 import BeautifulSoup

    # files are trusted, not exit statuses: a version of Jupyter Book exits with 0 and writes nothing
    wanted = [f"{page}.html" for page in [*pages_of(root), "index"]]
    found = [f"{page}: it was not rendered; see the log." for page in wanted if not (folder / page).is_file()]
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.html"))]
    soups = {
        name: BeautifulSoup((folder / name).read_text("utf-8", "replace"), "html.parser")
        for name in names
        if not name.startswith(STATIC)  # templates of the theme
    }
    repository = read_repository(root)
    for name, soup in soups.items():
        checks = [
            *problems_of_addresses(folder, soups, name),
            *problems_of_repository(root, repository, soup),
            *problems_of_pictures(soup),
            *problems_of_text(root, soup),
            *problems_of_size(folder, name, soup),
        ]
        found += [f"{name}: {problem}" for problem in dict.fromkeys(checks)]
    for path in sorted(folder.rglob("*.css")):
        for address in IN_STYLE.findall(STYLE_COMMENT.sub("", path.read_text("utf-8", "replace"))):
            found.append(f"{path.relative_to(folder)}: it would ask {address} for something; keep that in {STATIC}/.")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > SITE_BYTES:
        found.append(f"{folder}: {size / 1e6:.1f} MB where {SITE_BYTES / 1e6:g} are the most; leave something out.")
    return found


def article_of(soup: Any) -> Any:
    """What the author wrote and the code put out, without the theme's frame around it."""
    return soup.find("article") or soup


def problems_of_addresses(folder: Path, soups: dict[str, Any], page: str) -> Iterator[str]:
    soup = soups[page]
    for tag in soup.find_all(True):
        for name in FETCHED:
            if name not in tag.attrs or (name == "data" and tag.name != "object"):
                continue
            address = tag[name].strip().partition(" ")[0]
            if not OUTSIDE.match(address):
                yield from missing(folder, soups, page, address)
            elif tag.name != "a":
                yield f"the browser would ask {address} for something; keep that in {STATIC}/."
    styles = [tag.get_text() for tag in soup.find_all("style")] + [tag["style"] for tag in soup.find_all(style=True)]
    for address in IN_STYLE.findall("\n".join(styles)):
        yield f"a style would ask {address} for something; keep that in {STATIC}/."


def missing(folder: Path, soups: dict[str, Any], page: str, address: str) -> Iterator[str]:
    parts = urlsplit(address)
    if parts.scheme:  # data:, mailto: and the like; a path of this computer is found in the text
        return
    path, anchor = unquote(parts.path), unquote(parts.fragment)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if path.startswith("/") or not (folder / target).is_file():
        yield f"{address} leads to nothing in the site; correct the address."
    elif anchor and target in soups and not soups[target].select(f'[id="{anchor}"], a[name="{anchor}"]'):
        yield f"{address} leads to a place that {target} does not have; correct the address."


def read_repository(root: Path) -> re.Pattern:
    """Addresses of files in our repository, wherever one looks at them, edits or launches them."""
    where = (files.read_yaml(root / "_config.yml") or {})["repository"]
    name = urlsplit(where["url"]).path.strip("/")
    return re.compile(re.escape(name) + IN_REPOSITORY.format(branch=re.escape(where["branch"])))


def problems_of_repository(root: Path, repository: re.Pattern, soup: Any) -> Iterator[str]:
    for link in soup.find_all("a", href=True):
        named = repository.search(unquote(link["href"]))
        if named and not (root / named[1]).exists():
            yield f"a link names {named[1]}, which the repository does not have; correct it."


def problems_of_pictures(soup: Any) -> Iterator[str]:
    for tag in article_of(soup).select('img, svg[role="img"], .cell_output svg'):
        if tag.find_parent(attrs={"aria-hidden": "true"}) or tag.get("aria-hidden") == "true":
            continue
        title = tag.find("title", recursive=False)
        alt = tag.get("alt") or tag.get("aria-label") or (title.get_text() if title else "")
        if len(alt.split()) < WORDS_OF_ALT:
            source = tag.get("src", "")[:60]
            yield f"<{tag.name}> {source}: its alt text is “{alt}”; say what the picture shows to who cannot see it."


def problems_of_text(root: Path, soup: Any) -> Iterator[str]:
    article = article_of(soup)
    for tag in article.select(".output.stderr, .output.traceback"):
        yield f"it shows stderr or a traceback (“{tag.get_text().strip()[:60]}”); mend what the cell complains of."
    ours = "|".join(re.escape(str(path)) for path in (root.resolve(), Path.home(), tempfile.gettempdir()))
    for path in re.findall(rf"(?<![\w./~])(?:{ABSOLUTE}|(?:{ours})(?![\w-]))", str(article)):
        yield f"{path} is a path of one computer; show it relative to the repository."


def problems_of_size(folder: Path, page: str, soup: Any) -> Iterator[str]:
    sources = {tag["src"] for tag in article_of(soup).find_all("img", src=True)}
    paths = {(folder / page).parent / source for source in sources if ":" not in source} | {folder / page}
    size = sum(path.stat().st_size for path in paths if path.is_file())
    if size > PAGE_BYTES:
        yield f"page and pictures have {size / 1e6:.1f} MB where {PAGE_BYTES / 1e6:g} are the most; divide the page."
