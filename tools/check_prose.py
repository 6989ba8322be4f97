"""Numbers typed by hand: Markdown sentence by sentence, without what is filled in, cited, code or a mere name.

What counts is a decimal (.28, 0.5, 1,234.5) or a percentage (95 %). Whole numbers may be typed: "three raters".
"""

import re

TYPED = re.compile(r"(?:\d[\d.,]*|[.,]\d+)\s?(?:%|per\s?cent\b)|(?<![\w.])(?:\d[\d,]*)?\.\d+(?!\d|\.\d)")
CITATION = re.compile(r"\{(?:foot)?cite[\w:]*\}`[^`]*`")
CITED, LEFT_OUT = "[cited]", "…"
SKIPPED = [
    re.compile(r"\{[\w:.+-]+\}`[^`]*`"),  # roles: glue, references, formulas
    re.compile(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)"),
    re.compile(r"!?\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"),  # links, images: the text is a name, the address is no prose
    re.compile(r"<[^<>\s]+>|\b(?:https?:|doi:)\S+"),
    # names that hold a number and are no result: versions, licences, the level of an interval
    re.compile(r"\b(?:Python|[Vv]ersions?)\s\d+(?:\.\d+)+(?:(?:,|,?\sor|,?\sand|\sto)\s\d+(?:\.\d+)+)*"),
    re.compile(r"\b(?:CC[ -]BY(?:-[A-Z]+)*|Apache|GPL|BSD|MPL)[ -]\d\.\d"),
    re.compile(r"\b\d\d(?:\.\d)?\s?%[\s-](?:confidence\s)?intervals?\b|\bintervals? of \d\d(?:\.\d)?\s?%"),
]
FENCE = re.compile(r"^\s*(`{3,}|~{3,})\s*(\S*)")
CODE = re.compile(r"(?!\{)\S|\{(?:code[\w-]*|literalinclude|math)\}")  # a language, or a directive that holds code
OPTION = re.compile(r"^\s*:[\w-]+:(?:\s|$)|^%")  # of a directive; or a comment
OF_ITS_OWN = re.compile(r"^\s*(?:#|\||:{3,}|$)")
BEGINS = re.compile(r"^\s*(?:[-*+] |\d+[.)] |: |>)")
ABBREVIATION = re.compile(r"\b(e\.g|i\.e|cf|vs|al|approx|Fig|No|Dr|St)\.(?=\s)")
SENTENCE_END = re.compile(r"(?<=[.!?])[*_)\"”’]*\s+")


def without_code(markdown: str) -> list[str]:
    """The lines that hold prose: no front matter, comments, fenced code, fences and options of directives."""
    markdown = re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL)
    markdown = re.sub(r"<!--.*?-->", "", markdown, flags=re.DOTALL)
    lines, directives, code = [], [], ""
    for line in markdown.splitlines():
        fence = FENCE.match(line)
        if code:
            if fence and fence[1].startswith(code) and not fence[2]:
                code = ""
        elif not fence:
            lines.append("" if OPTION.match(line) else line)
            continue
        elif CODE.match(fence[2]):
            code = fence[1]
        elif fence[2]:
            directives.append(fence[1])
        elif directives and fence[1].startswith(directives[-1]):
            directives.pop()
        else:
            code = fence[1]
        lines.append("")
    return lines


def blocks(lines: list[str]) -> list[str]:
    """Paragraphs, list items, rows of tables and headings, each on one line."""
    found, ended = [], True
    for line in lines:
        alone = bool(OF_ITS_OWN.match(line))
        if ended or alone or BEGINS.match(line):
            found.append("")
        found[-1] = f"{found[-1]} {line.strip()}".strip()
        ended = alone
    return [block for block in found if block]


def bare_sentences(markdown: str) -> list[str]:
    """The sentences, with a mark where something was cited and another where something may hold numbers."""
    found = []
    for block in blocks(without_code(markdown)):
        block = ABBREVIATION.sub(r"\1", CITATION.sub(CITED, block))
        for pattern in SKIPPED:
            block = pattern.sub(LEFT_OUT, block)
        found += [sentence for sentence in SENTENCE_END.split(block) if sentence]
    return found


def typed_numbers(markdown: str) -> list[tuple[str, str]]:
    """(number, sentence) for each decimal and percentage in a sentence that cites nobody."""
    ours = [sentence for sentence in bare_sentences(markdown) if CITED not in sentence]
    found = [(number[0].strip(), sentence) for sentence in ours for number in TYPED.finditer(sentence)]
    return list(dict.fromkeys(found))


def excerpt(text: str, length: int = 50) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
