"""The sources of the book, checked before anything runs: bare notebooks, no number typed by hand, nothing left out.

A number typed by hand is a decimal (.28, 0.5, 1,234.5) or a percentage (95 %) in a sentence that cites nobody. Whole
numbers may be typed: "three raters".
"""

import re
from pathlib import Path

from tools import notebooks

TOC, PROSE = "book/_toc.yml", "book"
LINES = 30  # of a code cell

PAGE = re.compile(r"\b(?:root|file): *(\S+)")
TYPED = re.compile(r"(?:\d[\d.,]*|[.,]\d+)\s?(?:%|per\s?cent\b)|(?<![\w.])(?:\d[\d,]*)?\.\d+(?!\d|\.\d)")
NO_PROSE = [
    re.compile(r"\A---\n.*?\n---\n|<!--.*?-->", re.DOTALL),  # front matter, comments
    re.compile(r"^```(?:\w|\{(?:code|literalinclude|math)).*?^```$", re.DOTALL | re.MULTILINE),
    re.compile(r"^(?::[\w-]+: |%).*$", re.MULTILINE),  # options of directives, comments
    re.compile(r"\{(?!cite)[\w:.+-]+\}`[^`]*`|(`+)(?!`).*?\1"),  # roles and code
    re.compile(r"!?\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])|<[^<>\s]+>|\b(?:https?:|doi:)\S+"),  # links and images
    # names that hold a number and are no result: versions, licences, the level of an interval
    re.compile(r"\b(?:Python|[Vv]ersions?)\s\d+(?:\.\d+)+(?:(?:,|,?\sor|,?\sand|\sto)\s\d+(?:\.\d+)+)*"),
    re.compile(r"\b(?:CC[\s-]BY(?:-[A-Z]+)*|Apache|GPL|BSD|MPL)[\s-]\d\.\d"),
    re.compile(r"\b\d\d\s?%[\s-](?:confidence\s)?intervals?\b|\bintervals? of \d\d\s?%"),
]
SENTENCE_END = re.compile(r"\n\s*\n|\n(?=[-*|])|(?<!e\.g\.)(?<!i\.e\.)(?<=[.!?])[*_)\"”’]*\s+")


def typed_numbers(markdown: str) -> list[str]:
    for pattern in NO_PROSE:
        markdown = pattern.sub("…", markdown)
    ours = [sentence for sentence in SENTENCE_END.split(markdown) if "{cite" not in sentence]
    return [found[0].strip() for sentence in ours for found in TYPED.finditer(sentence)]


def pages_of(root: Path) -> list[str]:
    """Each page that the table of contents names, without suffix."""
    return PAGE.findall((root / TOC).read_text(encoding="utf-8"))


def problems(root: Path) -> list[str]:
    """One sentence each: the page, what is wrong and what to do."""
    pages, found = pages_of(root), []
    for path in [*sorted((root / PROSE).glob("*.md")), *sorted((root / notebooks.FOLDER).glob("*.ipynb"))]:
        name = path.relative_to(root).as_posix()
        if name.rpartition(".")[0] not in pages:
            found.append(f"{TOC}: {name} is not in it; add it, or the page is in no book.")
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
        else:
            cells = notebooks.read(path).cells
            text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
            for cell in (cell for cell in cells if cell.cell_type == "code"):
                if cell.outputs or cell.execution_count is not None:
                    found.append(f"{name}: the cell {cell.id} is stored with outputs or a count; clear it.")
                if len(cell.source.splitlines()) > LINES:
                    found.append(f"{name}: the cell {cell.id} has more than {LINES} lines; divide it.")
        found += [
            f"{name}: {number} is typed by hand; fill it in from where it is computed, cite its source, or say it "
            "in words."
            for number in typed_numbers(text)
        ]
    return found
