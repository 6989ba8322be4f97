"""Where the pages of a built site point: within the site to what is there, outside by links alone, to our own files."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

from emo_ssl.utils import io as files
from tools.check_prose import excerpt

STATIC, SOURCES = "_static", "_sources"
FETCHED = ("src", "href", "xlink:href", "poster", "data", "action", "formaction", "background", "manifest")
OUTSIDE = re.compile(r"\s*(?:(?:https?|wss?|ftp):)?//", re.IGNORECASE)
STYLE_URL = re.compile(r"""url\(\s*["']?([^"')]*)["']?\s*\)|@import\s+["']([^"']*)["']""", re.IGNORECASE)
STYLE_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
COLAB, RAW = "colab.research.google.com", "raw.githubusercontent.com"
COMMIT = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Repository:
    """What `_config.yml` says of where the sources live, and which services may launch them."""

    url: str = ""
    branch: str = "main"
    launchers: tuple[str, ...] = ()  # addresses of the services for which a notebook has a launch button

    @property
    def name(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def file_named(self, address: str) -> tuple[str, str] | None:
        """(branch or commit, path) if the address shows, edits or launches a file of a repository of ours."""
        parts, name = urlsplit(address), re.escape(self.name)
        path = unquote(parts.path)
        if not self.name:
            return None
        if parts.netloc == RAW:
            found = re.fullmatch(rf"/{name}/([^/]+)/(.+)", path)
        elif parts.netloc == COLAB:
            found = re.fullmatch(rf"/github/{name}/blob/([^/]+)/(.+)", path)
        elif launched := re.fullmatch(rf".*/v2/gh/{name}/([^/]+)/?", path):  # a BinderHub, wherever it runs
            query = parse_qs(parts.query)
            file = next((query[key][0] for key in ("urlpath", "labpath", "filepath") if key in query), "")
            return launched[1], re.sub(r"^/?(?:lab/tree|tree|notebooks|doc/tree)/", "", file, count=1)
        elif parts.netloc == urlsplit(self.url).netloc:
            found = re.fullmatch(rf"/{name}/(?:edit|blob|tree|raw|blame)/([^/]+)/(.+)", path)
        else:
            found = None
        return (found[1], found[2]) if found else None


@dataclass(frozen=True)
class Site:
    """A built site in memory: its pages by their path below its folder."""

    root: Path  # of the repository
    folder: Path
    soups: dict[str, Any]  # path -> bs4.BeautifulSoup
    anchors: dict[str, set[str]]
    repository: Repository

    @staticmethod
    def open(root: Path, folder: Path) -> "Site":
        from bs4 import BeautifulSoup

        paths = [path for path in sorted(folder.rglob("*.html")) if STATIC not in path.relative_to(folder).parts]
        soups = {
            path.relative_to(folder).as_posix(): BeautifulSoup(path.read_text("utf-8", "replace"), "html.parser")
            for path in paths
        }
        anchors = {page: anchors_of(soup) for page, soup in soups.items()}
        return Site(root, folder, soups, anchors, read_repository(root))


def read_repository(root: Path) -> Repository:
    config = files.read_yaml(root / "_config.yml") or {}
    where, launch = config.get("repository") or {}, config.get("launch_buttons") or {}
    launchers = [launch[name] for name in ("colab_url", "binderhub_url") if launch.get(name)]
    return Repository(where.get("url", ""), where.get("branch", "main"), tuple(launchers))


def anchors_of(soup: Any) -> set[str]:
    return {tag["id"] for tag in soup.find_all(id=True)} | {
        tag["name"] for tag in soup.find_all("a", attrs={"name": True})
    }


def addresses(soup: Any) -> Iterator[tuple[Any, str, bool]]:
    """(tag, address, followed) for every address of a page: followed by a reader, or fetched by the browser."""
    for tag in soup.find_all(True):
        for name in FETCHED:
            if name in tag.attrs and (name != "data" or tag.name == "object"):
                yield tag, tag[name].strip(), name == "href" and tag.name in ("a", "area")
        for candidate in tag.get("srcset", "").split(","):
            if candidate.strip() and not candidate.strip().startswith("data:"):
                yield tag, candidate.split()[0], False
        if tag.name == "meta" and tag.get("http-equiv", "").lower() == "refresh" and "=" in tag.get("content", ""):
            yield tag, tag["content"].split("=", 1)[1].strip(" '\""), False


def is_address(text: str) -> bool:
    try:
        urlsplit(text)
    except ValueError:  # such as http://[
        return False
    return True


def problems_of_links(site: Site) -> list[str]:
    found = []
    for page, soup in site.soups.items():
        for tag, address, followed in addresses(soup):
            place = f"{page}, <{tag.name}> in line {tag.sourceline}"
            if not is_address(address):
                found.append(f"{place}: {excerpt(address)} is no address; correct it.")
            elif OUTSIDE.match(address):
                if not followed:
                    words = f"the browser would ask {excerpt(address)} for something"
                    found.append(f"{place}: {words}; take it from a package and keep it in {STATIC}/.")
            elif trouble := missing(site, page, address):
                found.append(f"{place}: {trouble}")
        styles = [tag.string or "" for tag in soup.find_all("style")] + [
            tag["style"] for tag in soup.find_all(style=True)
        ]
        for style in styles:
            found += problems_of_style(site, page, style)
    for path in sorted(site.folder.rglob("*.css")):
        name = path.relative_to(site.folder).as_posix()
        found += problems_of_style(site, name, path.read_text("utf-8", "replace"))
    return list(dict.fromkeys(found))


def missing(site: Site, page: str, address: str) -> str:
    """What is wrong with an address within the site, or nothing."""
    parts = urlsplit(address)
    if parts.scheme == "file" or (not parts.scheme and parts.path.startswith("/")):
        return f"{excerpt(address)} is right on one computer only; make the address relative to the page."
    if parts.scheme:  # data:, mailto: and the like
        return ""
    path = unquote(parts.path)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
    if target.startswith("..") or not (site.folder / target).is_file():
        return f"{excerpt(address)} leads to {target}, which is not in the site; correct the address."
    anchor = unquote(parts.fragment)
    if anchor and target in site.anchors and anchor not in site.anchors[target]:
        return f"{excerpt(address)} leads to the place #{anchor}, which {target} does not have; correct the address."
    return ""


def problems_of_style(site: Site, page: str, style: str) -> list[str]:
    found = []
    for match in STYLE_URL.finditer(STYLE_COMMENT.sub("", style)):
        address = (match[1] if match[1] is not None else match[2]).strip()
        if OUTSIDE.match(address):
            words = f"the style sheet would ask {excerpt(address)} for something"
            found.append(f"{page}: {words}; take it from a package and keep it in {STATIC}/.")
        elif address and not address.startswith("#") and (trouble := missing(site, page, address)):
            found.append(f"{page}: in a style, {trouble}")
    return found


def problems_of_launch(site: Site, pages: list[str]) -> list[str]:
    """Links to the repository's files, buttons included, name what is there; the buttons of a page name its source."""
    found = []
    for page, soup in site.soups.items():
        links = [link["href"].strip() for link in soup.find_all("a", href=True) if is_address(link["href"])]
        for address in links:
            if trouble := misled(site, page, address):
                found.append(f"{page}: the link {address} {trouble}")
        if page.removesuffix(".html") in pages:
            found += [f"{page}: {words}" for words in missing_buttons(site, page, links)]
    return list(dict.fromkeys(found))


def misled(site: Site, page: str, address: str) -> str:
    parts, repository = urlsplit(address), site.repository
    named = repository.file_named(address)
    if named:
        branch, path = named
        if branch != repository.branch and not COMMIT.fullmatch(branch):
            return f"names the branch {branch}, and _config.yml {repository.branch}; correct one of them."
        if branch == repository.branch and not is_kept(site.root, path):
            return f"names {path or 'no file'}, which the repository does not have; correct the path."
    elif parts.netloc == COLAB or "/v2/gh/" in parts.path:
        return f"launches another repository than {repository.url or 'any in _config.yml'}; correct one of them."
    elif address.startswith(f"{repository.url}/issues/new") and repository.url:
        about = re.search(r"/(\S+\.html)", parse_qs(parts.query).get("title", [""])[0])
        if about and about[1] not in site.soups:
            return f"is about {about[1]}, which the site does not have; correct the page's name."
    elif not parts.scheme and not parts.netloc:
        target = unquote(urlsplit(urljoin(f"/{page}", address)).path).lstrip("/")
        path = target.removeprefix(f"{SOURCES}/")
        if path != target and not is_kept(site.root, path):
            return f"downloads a file that the repository does not have as {path}; stage it under its path."
    return ""


def is_kept(root: Path, path: str) -> bool:
    """Whether the repository has this path and keeps it; what is made is in build/, which it does not."""
    clean = posixpath.normpath(path) if path else ".."
    return not re.match(r"\.\.|/|build(?:/|$)", clean) and (root / clean).exists()


def missing_buttons(site: Site, page: str, links: list[str]) -> Iterator[str]:
    repository, stem = site.repository, page.removesuffix(".html")
    own = next((f"{stem}{suffix}" for suffix in (".ipynb", ".md") if (site.root / f"{stem}{suffix}").is_file()), "")
    if not repository.url or not own:
        return
    shown = [link for link in links if repository.file_named(link) == (repository.branch, own)]
    if not any(link.startswith(f"{repository.url}/edit/") for link in shown):
        yield f"no link edits its source {own}; switch on use_edit_page_button and stage pages under their paths."
    for launcher in repository.launchers if own.endswith(".ipynb") else ():
        if not any(link.startswith(launcher) for link in shown):
            yield f"no button launches {own} on {launcher}; stage the page under its path in the repository."
