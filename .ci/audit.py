"""Look at every page of the rendered book in a browser: `make audit` runs it on build/site.

Headless Chromium opens each page from its file, at the width of a desk and of a phone, in light and in dark. Counted
are messages of the console, requests that leave the site, violations of WCAG 2.1 A and AA that axe-core sees, and how
far the page can be pushed sideways. Pictures of all pages go to build/audit/, with every finding in findings.json. The
status is 1 where something is ours to mend, 2 where the audit could not be made.
"""

import argparse
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from itertools import product
from pathlib import Path

WIDTHS = {"desk": 1280, "phone": 390}
SCHEMES = ("light", "dark")
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
GOOD_PRACTICE = ("heading-order", "page-has-heading-one", "duplicate-id")  # asked for besides
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PATIENCE = 300_000  # milliseconds for each step: slow is not wrong on a machine that has other work
LOCAL = ("file:", "data:", "blob:", "about:")
# No service that a browser starts by itself may speak: only the page is under test
FLAGS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

WHEN_SET = "async () => { if (window.MathJax && MathJax.startup) await MathJax.startup.promise; }"
SIDEWAYS = """() => {
  const root = document.documentElement, width = root.clientWidth;
  const scrolls = node => {
    for (let up = node.parentElement; up && up !== document.body; up = up.parentElement)
      if (getComputedStyle(up).overflowX !== "visible") return true;
    return false;
  };
  const wide = [...document.querySelectorAll("body *")].filter(
    node => node.getBoundingClientRect().right > width + 1 && !scrolls(node) && node.checkVisibility());
  return {pixels: root.scrollWidth - width, by: wide.slice(0, 3).map(node => node.outerHTML.slice(0, 120))};
}"""
UNFOLD = """() => {
  document.querySelectorAll("details").forEach(node => node.open = true);
  document.querySelectorAll(".toggle-hidden .toggle-button, .toggle-button-hidden").forEach(node => node.click());
}"""
# Style sheets cannot be read from a file, so axe-core shall not try; its rules of contrast ask the browser instead
AXE = """([tags, rules]) => axe.run(document, {
  runOnly: {type: "tag", values: tags}, rules, preload: false, resultTypes: ["violations", "incomplete"]})"""


@dataclass
class Look:
    """One page at one width in one scheme, and what was wrong with it."""

    page: str
    width: str
    scheme: str
    console: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    violations: list[dict] = field(default_factory=list)  # rule, target, html, why
    sideways: int = 0
    too_wide: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {
            "requests to the outside": len(self.outside),
            "messages of the console": len(self.console),
            "pixels too wide": self.sideways,
        }

    @property
    def is_clean(self) -> bool:
        return not self.violations and all(count <= 0 for count in self.counts().values())

    def line(self) -> str:
        rules = Counter(found["rule"] for found in self.violations)
        found = [f"{rule} {count}" for rule, count in sorted(rules.items())]
        found += [f"{count} {what}" for what, count in self.counts().items() if count > 0]
        return f"{self.page}, {self.width}, {self.scheme}: {', '.join(found) or 'nothing found'}"


def by_element(found: list[dict]) -> list[dict]:
    """What axe-core returned -> one entry an element."""
    return [
        {
            "rule": violation["id"],
            "target": " ".join(str(part) for part in node["target"]),
            "html": node["html"][:300],
            "why": node.get("failureSummary", ""),
        }
        for violation in found
        for node in violation["nodes"]
    ]


def invisible(undecided: list[dict]) -> list[dict]:
    """axe-core leaves text in the very colour of its ground undecided, as it may be meant; here it never is."""

    def is_meant(node: dict) -> bool:
        return not any((check.get("data") or {}).get("messageKey") == "equalRatio" for check in node["any"])

    found = [{**rule, "nodes": [node for node in rule["nodes"] if not is_meant(node)]} for rule in undecided]
    return [rule for rule in found if rule["id"] == "color-contrast" and rule["nodes"]]


def leaves(address: str) -> bool:
    return not address.startswith(LOCAL)


def pages_of(site: Path) -> list[Path]:
    """Every page but the theme's templates; the front page of the folder only leads on to the first of the book."""
    inner = (path for path in site.rglob("*.html") if "_static" not in path.relative_to(site).parts)
    return sorted(path for path in inner if path != site / "index.html")


def address_of(path: Path) -> str:
    """The page of search with something to look for, or it would show nothing."""
    return path.as_uri() + ("?q=pretraining" if path.name == "search.html" else "")


def find_browser(which: Callable[[str], str | None] = shutil.which) -> str:
    named = os.environ.get("CHROMIUM", "")
    return next((path for path in (named, *map(which, BROWSERS)) if path and Path(path).exists()), "")


def look_at(page, look: Look, address: str, axe: str, picture: Path) -> None:
    """Open one page, wait until its formulas are set, and write down all that is wrong."""

    def on_route(route) -> None:
        if leaves(route.request.url):
            look.outside.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.set_default_timeout(PATIENCE)
    page.on("console", lambda line: look.console.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda problem: look.console.append(str(problem)))
    page.route("**/*", on_route)
    page.goto(address, wait_until="load")
    page.evaluate(WHEN_SET)
    page.screenshot(path=picture, full_page=True)
    page.evaluate(UNFOLD)  # what is folded has to be right as well
    page.wait_for_timeout(300)
    found = page.evaluate(SIDEWAYS)
    look.sideways, look.too_wide = found["pixels"], found["by"] if found["pixels"] else []
    page.evaluate(axe)
    found = page.evaluate(AXE, [list(TAGS), {rule: {"enabled": True} for rule in GOOD_PRACTICE}])
    look.violations = by_element(found["violations"] + invisible(found["incomplete"]))


def audit(site: Path, pages: list[Path], out: Path, browser: str) -> Iterator[Look]:
    from playwright.sync_api import sync_playwright

    axe = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=list(FLAGS), chromium_sandbox=False)
        for path in pages:
            name = path.relative_to(site).with_suffix("").as_posix()
            for width, scheme in product(WIDTHS, SCHEMES):
                look = Look(name, width, scheme)
                size = {"width": WIDTHS[width], "height": 900}
                page = chromium.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
                look_at(page, look, address_of(path), axe, out / f"{name.replace('/', '-')}-{width}-{scheme}.png")
                page.close()
                print(look.line(), flush=True)  # now, for a page may take a minute
                yield look
        chromium.close()


def report(looks: list[Look], out: Path) -> int:
    (out / "findings.json").write_text(json.dumps([asdict(look) for look in looks], indent=1), encoding="utf-8")
    unclean = [look for look in looks if not look.is_clean]
    if unclean:
        print(f"{len(unclean)} of {len(looks)} looks found something: see {out / 'findings.json'}", file=sys.stderr)
    return int(bool(unclean))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="audit", description="Look at every page of the book in a browser.")
    parser.add_argument("site", nargs="?", default="build/site", type=Path)
    parser.add_argument("--only", default="", help="pages whose path holds this")
    parser.add_argument("--ready", action="store_true", help="only say whether a browser and pages are there")
    asked = parser.parse_args(arguments)
    site, browser = asked.site.resolve(), find_browser()
    if not browser:
        print("No Chromium was found: install one, or name it: CHROMIUM=/path/to/it make audit", file=sys.stderr)
        return 2
    if not pages_of(site):
        print(f"{site} holds no pages: run make book first", file=sys.stderr)
        return 2
    if asked.ready:
        return 0
    out = site.parent / "audit"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pages = [path for path in pages_of(site) if asked.only in path.relative_to(site).as_posix()]
    from playwright.sync_api import Error

    try:
        return report(list(audit(site, pages, out, browser)), out)
    except Error as problem:
        reason = str(problem).splitlines()[0]
        print(f"{browser} failed ({reason}): run it again, or name another browser", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
