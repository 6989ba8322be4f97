"""What a reader of the prose pages relies on: settings, arms, verdicts and commands are those of the code."""

import ast
import json
import re
import shlex
import tomllib
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest
from book_tree import ROOT

from emo_ssl import cli
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes.folder import NEEDED, OPTIONAL
from emo_ssl.evidence.claims import HOLDS, NOT_SHOWN, REVERSED, EvidenceConfig
from emo_ssl.study.grid import ARMS, MAIN, StudyConfig
from emo_ssl.utils import endings, values

PAGES = sorted((ROOT / "book").glob("*.md"))


def rows(page: str, name: str) -> list[list[str]]:
    """The cells of the table that is called `name`, without its head."""
    text = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")
    block = re.search(rf":::\{{table\}}[^\n]*\n:name: {name}\n(.*?)\n:::", text, re.DOTALL)[1]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip("`* ") for cell in line.strip("|").split("|")] for line in lines[2:]]


def written(value: object) -> str:
    """A setting as a page writes it."""
    if isinstance(value, tuple):
        return ", ".join(written(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def test_settings_of_a_study_and_of_its_evidence():
    study = {name: value.replace("`", "") for name, value, _ in rows("protocol", "protocol-study")}
    assert study == {name: written(getattr(StudyConfig(), name)) for name in study} and "budgets" in study
    evidence = {name: value for name, value, _ in rows("protocol", "protocol-evidence")}
    assert evidence == {field.name: written(getattr(EvidenceConfig(), field.name)) for field in fields(EvidenceConfig)}


def test_sizes_by_default_and_in_the_recorded_study():
    recorded = ROOT / "results" / "ravdess"
    trained = tomllib.loads((recorded / "pretrain-speaker-independent.toml").read_text(encoding="utf-8"))
    of_study = tomllib.loads((recorded / "study.toml").read_text(encoding="utf-8"))
    sizes = []
    for pretraining, study in (
        (PretrainConfig(), StudyConfig()),
        (replace(PretrainConfig(), **trained), values.convert(of_study, StudyConfig)),
    ):
        usual, mask = pretraining, pretraining.mask
        sizes.append([usual.kind, usual.layers, usual.width, usual.heads, usual.stack, f"{mask.share:.0%}", mask.span])
        sizes[-1] += ["smooth L1", usual.steps, usual.batch, study.budgets]
        sizes[-1] += [study.finetune.steps, study.finetune.batch, study.seeds]
    page = [[cell.replace("half", "50%") for cell in row[1:]] for row in rows("paper", "sizes")]
    assert page == [list(map(written, row)) for row in zip(*sizes, strict=True)]


def test_every_arm_is_on_the_page():
    page = {name: usual == "yes" for name, _, _, usual in rows("protocol", "protocol-arms")}
    assert page == {name: name in MAIN for name in ARMS}


def test_verdicts_on_null_corpora_are_those_recorded():
    lines = (ROOT / "results" / "scenarios" / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    recorded = next(row for row in map(json.loads, lines) if "null_scenarios" in row)
    for claim, *counts in rows("protocol", "protocol-null"):
        found = Counter(dict(zip((HOLDS, REVERSED, NOT_SHOWN), map(int, counts), strict=True)))
        assert +found == Counter(recorded["verdicts"][claim]) and found.total() == recorded["null_scenarios"]


def test_columns_of_a_table_of_recordings():
    names = [name for row in rows("data", "data-columns") for name in re.findall(r"\w+", row[0])]
    assert names == [*NEEDED, *EMOTIONS, *OPTIONAL]


def test_exit_statuses():
    page = [int(row[0]) for row in rows("scale", "scale-status")]
    assert page == [0, 1, endings.MENDABLE, endings.INTERRUPTED, endings.TERMINATED]


def texts_in(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def test_every_sentence_to_look_up_is_one_that_the_program_says():
    known = [text for folder in ("src", "tools") for path in (ROOT / folder).rglob("*.py") for text in texts_in(path)]
    pieces = [piece for row in rows("scale", "scale-faults") for piece in re.split(r"\s*…\s*", row[0])]
    assert [piece for piece in pieces if not any(piece in text for text in known)] == []


# Commands


def markdown() -> dict[str, str]:
    """Page -> its text: prose pages, README, and the prose of the notebooks."""
    found = {path.name: path.read_text(encoding="utf-8") for path in [*PAGES, ROOT / "README.md"]}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path.name] = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return found


def command_lines(text: str) -> list[str]:
    """What the shell blocks of a page run, one line a command: continued lines joined, loops taken apart."""
    blocks = re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    joined = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    parts = [part for line in joined for part in re.split(r"(?:^|\s)#.*$|;\s*(?:do\b)?|&+|\|", line)]
    return [part.strip() for part in parts if part and part.strip()]


def ours(line: str) -> list[str] | None:
    """The arguments of an `emo-ssl` command, shell variables made numbers; None for another command."""
    words = shlex.split(re.sub(r"\$\{?\w+\}?", "1", line))
    while words and ("=" in words[0] or words[0] == "do"):
        words.pop(0)
    return words[1:] if words and words[0].split("/")[-1] == "emo-ssl" else None


LINES = [(page, line) for page, text in markdown().items() for line in command_lines(text)]
COMMANDS = [(page, line) for page, line in LINES if ours(line) is not None]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda word: word[:60])
def test_every_command_on_a_page_is_one(page, line):
    try:
        cli.parser().parse_args(ours(line))
    except SystemExit:
        pytest.fail(f"{page}: `{line}` is no command of emo-ssl")


def test_make_targets_exist():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert {line.split()[1] for _, line in LINES if line.startswith("make ")} <= set(targets)
