"""The prose pages say what the code does: rules, settings, arms, commands and recorded numbers are compared with it."""

import ast
import csv
import json
import re
import shlex
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from evidence.test_bootstrap import both_degrees, crossed, seeds_alone, world

from emo_ssl import cli, doctor
from emo_ssl.core import metrics
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora.audio import FORMATS
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.fetch import RAVDESS
from emo_ssl.corpora.front_ends import FRONT_ENDS
from emo_ssl.corpora.recipes import (
    NEEDED,
    OPTIONAL,
    RAVDESS_ACTORS,
    RAVDESS_CATEGORIES,
    RAVDESS_INTENSITY,
    ravdess_names,
)
from emo_ssl.evidence.bootstrap import Draws, Interval
from emo_ssl.evidence.claims import HOLDS, NOT_SHOWN, REVERSED, TITLES, Claim, EvidenceConfig, Part
from emo_ssl.study import grid
from emo_ssl.study.grid import ARMS, MAIN, StudyConfig
from emo_ssl.utils.config import read_config
from tools import check_site as checks
from tools.book import FAILED

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "book").glob("*.md"))


def text_of(name: str) -> str:
    return (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")


def rows(page: str, name: str) -> list[list[str]]:
    """The cells of the table that is called `name`, without its head."""
    block = re.search(rf":::\{{table\}}[^\n]*\n:name: {name}\n(.*?)\n:::", text_of(page), re.DOTALL)[1]
    lines = [line for line in block.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def bare(cell: str) -> str:
    return cell.strip("`* ")


def said(value: object) -> str:
    """A setting as a page writes it."""
    if isinstance(value, tuple):
        return ", ".join(said(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


# Rules and settings


def test_every_number_of_the_ledger_is_on_the_page():
    config = EvidenceConfig()
    page = {bare(name): bare(value) for name, value, _ in rows("protocol", "protocol-evidence")}
    assert page == {field.name: said(getattr(config, field.name)) for field in fields(config)}


def test_settings_of_a_study():
    config = StudyConfig()
    page = {bare(name): value.replace("`", "") for name, value, _ in rows("protocol", "protocol-study")}
    assert set(page) == {"budgets", "seeds", "rates", "tuning_seeds", "head", "keep", "labels", "enrolment"}
    assert page == {name: said(getattr(config, name)) for name in page}


def test_every_arm_is_on_the_page():
    page = {bare(name): usual == "yes" for name, _, _, usual in rows("protocol", "protocol-arms")}
    assert page == {name: name in MAIN for name in ARMS}
    begins = {bare(row[0]): row[1] for row in rows("protocol", "protocol-arms")}
    frozen = {name for name, words in begins.items() if "a head learns" in words}
    assert frozen == {name for name, arm in ARMS.items() if arm.kind == "probe"}
    assert {name for name, words in begins.items() if "four times" in words} == {
        name for name, arm in ARMS.items() if arm.steps == 4
    }


def test_every_claim_and_verdict_is_on_the_page():
    assert [bare(row[0]).partition("*")[0] for row in rows("protocol", "protocol-claims")] == list(TITLES)
    page = text_of("protocol")
    heads = [line.lower() for line in page.splitlines() if line.startswith("| Claim |")]
    assert all(HOLDS in line and REVERSED in line for line in heads) and f"**{NOT_SHOWN}**" in page


def part(low: float, high: float, met: bool) -> Part:
    return Part("gain", Interval((low + high) / 2, low, high, 1.0), "lower bound > 0", met)


def test_every_reason_is_on_the_page():
    """A claim for each way to be not shown, judged; the page explains these words and no others."""
    nan = float("nan")
    unclear, clear, missed = part(-1, 1, False), part(1, 2, True), part(-2, -1, False)
    claims = [
        Claim("C1", missing=["an arm"]),
        Claim("C1", primary=part(nan, nan, False), parts=[part(nan, nan, False)]),
        Claim("C1", parts=[Part("gain", Interval(1.0, nan, nan, nan), "", False)]),
        Claim("C1", primary=clear, parts=[clear, missed], floors=[missed]),
        Claim("C1", primary=unclear, parts=[unclear], equivalent=True),
        Claim("C1", primary=unclear, parts=[unclear]),
    ]
    judged = [claim.judge() for claim in claims]
    assert {claim.verdict for claim in judged} == {NOT_SHOWN}
    assert {claim.reason.partition(":")[0] for claim in judged} == {
        row[0] for row in rows("protocol", "protocol-reasons")
    }


def test_the_budget_count_that_the_page_derives_from_categories():
    """`least_budget` is four rounds of seven categories, and the full budget is always added."""
    assert EvidenceConfig().least_budget == 4 * len(RAVDESS_CATEGORIES)
    assert grid.budgets_of(StudyConfig(), 592)[-1] == 592
    assert len(metrics.CONSTANTS) == 3


def test_sizes_are_those_of_the_demonstration_and_of_the_recorded_study():
    page = {name: (demo, real) for name, demo, real in rows("paper", "sizes")}
    folder = ROOT / "results" / "ravdess"
    pretrained = [read_config(folder / f"pretrain-{kind}.toml", PretrainConfig) for kind in ("blind", "adapted")]
    real = [(run, read_config(folder / "study.toml", StudyConfig)) for run in pretrained]
    for column, (run, study) in [(0, (PretrainConfig(), StudyConfig())), *((1, pair) for pair in real)]:
        expected = {
            **{"kind of backbone": run.kind, "layers": run.layers, "width": run.width, "attention heads": run.heads},
            **{"frames a token": run.stack, "tokens in a hidden span": run.mask.span},
            **{"pretraining steps": run.steps, "windows a step": run.batch},
            **{"label budgets, besides all": study.budgets, "fine-tuning steps": study.finetune.steps},
            **{"segments a step": study.finetune.batch, "seeds": study.seeds},
        }
        assert {name: page[name][column] for name in expected} == {n: said(value) for n, value in expected.items()}
        assert run.mask.share == 0.5 and page["share of tokens hidden"][column] == "half"


def test_columns_of_a_table_of_recordings():
    names = [re.findall(r"`(\w+)`", row[0]) for row in rows("data", "data-columns")]
    assert [name for row in names for name in row] == [*NEEDED, *EMOTIONS, *OPTIONAL]
    assert {
        name
        for row, cells in zip(names, rows("data", "data-columns"), strict=True)
        for name in row
        if cells[1] == "yes"
    } == set(NEEDED)


def test_front_ends_and_formats_are_all_named():
    page = text_of("data")
    assert re.findall(r"^\| `(\w+)` \| .*(?:MIT|commercial)", page, re.MULTILINE) == list(FRONT_ENDS)
    assert f"Files may be {' or '.join(', '.join(FORMATS).replace('.', '').rsplit(', ', 1))}" in " ".join(page.split())


def test_what_is_said_of_ravdess_is_what_is_fetched():
    page = " ".join(text_of("data").split())
    for said_of_it in (RAVDESS.doi, RAVDESS.page, RAVDESS.file, RAVDESS.licence.partition(",")[0]):
        assert said_of_it in page
    assert f"{len(ravdess_names()):,} clips" in page and f"{RAVDESS_ACTORS} professional actors" in page
    assert (RAVDESS_INTENSITY[1], RAVDESS_INTENSITY[2]) == (2, 3) and "normal is 2, strong is 3" in page


def test_the_splits_of_mosei_add_up():
    page = {name: int(number.replace(",", "")) for name, number in rows("data", "data-geometry")}
    assert sum(page[f"of these in {where}"] for where in ("train", "valid", "test", "no fold")) == page["segments in"]
    # four bytes a number, as the pages say twice
    assert round(page["frames"] * len(FEATURE_NAMES) * 4 / 1e9) == 14
    assert all("near 14 GB" in " ".join(text_of(name).split()) for name in ("data", "scale"))


def test_the_geometry_of_mosei_is_that_of_its_label_table(real_data):
    page = {name: int(number.replace(",", "")) for name, number in rows("data", "data-geometry")}
    with (real_data / "mosei" / "segments.csv").open(encoding="utf-8", newline="") as stream:
        table = list(csv.DictReader(stream))
    of_split = Counter(row["split"] for row in table)
    named = ("of these in train", "of these in valid", "of these in test", "of these in no fold")
    assert {name: of_split[str(code)] for code, name in enumerate(named)} == {name: page[name] for name in named}
    videos = {row["file"]: row["split"] for row in table}
    assert len(videos) == page["videos kept"]
    assert Counter(videos.values())["3"] == page["videos in no fold, kept for pretraining"]


def test_exit_statuses():
    page = [int(row[0]) for row in rows("scale", "scale-status")]
    assert page == [0, FAILED, cli.MENDABLE, cli.INTERRUPTED, cli.TERMINATED]


def test_what_a_computer_needs():
    assert doctor.NEEDED == 2e9
    assert "2 GB of free memory and 2 GB of disk" in " ".join(text_of("scale").split())


def test_every_profile_and_benchmark_is_named():
    profiles = {path.stem for path in (ROOT / "notebooks" / "profiles").glob("*.yml")}
    assert {bare(row[0]) for row in rows("scale", "scale-profiles")} == profiles
    named = {re.search(r"bench/\w+\.py", row[0])[0] for row in rows("scale", "scale-bench")}
    benches = {f"bench/{path.name}" for path in (ROOT / "bench").glob("[!_]*.py")}
    assert named == benches - {"bench/parity.py"}  # which measures no speed


def literals() -> set[str]:
    """Every piece of fixed text in the library, sentences with gaps in pieces."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_every_sentence_to_look_up_is_one_that_the_program_says():
    known = literals()
    for sentence, *_ in rows("scale", "scale-faults"):
        for piece in re.split(r"\s*…\s*", bare(sentence)):
            assert any(piece in text for text in known), f"nothing says: {piece}"


# Recorded and simulated numbers

PARTS = {"seeds": (3.0, 0.5, 4.0), "speakers": (0.2, 2.4, 1.0)}
SAID_AS = {"seeds": (6, 1, 8), "speakers": (1, 12, 5)}


@pytest.mark.parametrize("row", rows("protocol", "protocol-coverage"), ids=lambda row: "-".join(row[:3]))
def test_coverage_is_what_the_simulation_gives(row):
    luck, seeds, units = row[0], int(row[1]), int(row[2])
    share = np.array(PARTS[luck]) / sum(PARTS[luck])
    assert share == pytest.approx(np.array(SAID_AS[luck]) / sum(SAID_AS[luck]))
    rng, hits, repeats = np.random.default_rng(0), np.zeros(3), 500
    for repeat in range(repeats):
        values, draws = world(rng, seeds, units, PARTS[luck]), Draws.make(units, seeds, 300, repeat)
        found = [rule(values, draws) for rule in (seeds_alone, crossed, both_degrees)]
        hits += [f.low <= 0 <= f.high for f in found]
    # a study at the very edge may fall to the other side on another processor
    assert [int(cell) for cell in row[3:]] == pytest.approx(hits.tolist(), abs=2)


def test_verdicts_in_null_scenarios_are_those_recorded():
    lines = (ROOT / "results" / "scenarios" / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
    recorded = next(row for row in map(json.loads, lines) if "null_scenarios" in row)
    for claim, *counts in rows("protocol", "protocol-null"):
        found = Counter(dict(zip((HOLDS, REVERSED, NOT_SHOWN), map(int, counts), strict=True)))
        assert +found == Counter(recorded["verdicts"][claim]) and found.total() == recorded["null_scenarios"] == 100


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
    place = next((i for i, word in enumerate(words) if word.split("/")[-1] == "emo-ssl"), None)
    started = place is not None and all("=" in word or word in ("do", "then") for word in words[:place])
    return words[place + 1 :] if started else None


COMMANDS = [(page, line) for page, text in markdown().items() for line in command_lines(text) if ours(line) is not None]


def test_there_are_commands_to_check():
    assert {"data.md", "scale.md", "synthetic.md", "README.md", "06-your-recordings.ipynb"} <= {p for p, _ in COMMANDS}


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda word: word[:60])
def test_every_command_on_a_page_is_one(page, line):
    try:
        cli.parser().parse_args(ours(line))
    except SystemExit:
        pytest.fail(f"{page}: `{line}` is no command of emo-ssl")


@pytest.mark.parametrize(
    "line", ["emo-ssl pretrain corpus", "emo-ssl corpus fetch x --to DIR", "emo-ssl study a --shard 3/2 -o b"]
)
def test_a_wrong_command_is_noticed(line, capsys):
    with pytest.raises(SystemExit):
        cli.parser().parse_args(ours(line))


def test_shell_blocks_are_taken_apart():
    text = "```bash\nfor k in 0 1; do emo-ssl pretrain \\\n  a --fold $k -o r/$k  # one each\ndone\nmake book\n```\n"
    assert [ours(line) for line in command_lines(text)] == [
        None,
        ["pretrain", "a", "--fold", "1", "-o", "r/1"],
        None,
        None,
    ]
    assert ours("OMP_NUM_THREADS=1 .venv/bin/emo-ssl doctor") == ["doctor"]
    assert ours("pip install emo-ssl") is None


def known_words() -> set[str]:
    """`emo-ssl` with each command and action, as prose names them."""
    commands = next(a for a in cli.parser()._actions if a.dest == "command").choices
    actions = next(a for a in commands["corpus"]._actions if a.dest == "action").choices
    return {*(name for name in commands if name != "corpus"), *(f"corpus {name}" for name in actions), "corpus"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_in_running_text_exist(page):
    named = re.findall(r"`emo-ssl ((?:corpus )?[a-z]+)", page.read_text(encoding="utf-8"))
    assert set(named) <= known_words()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda path: path.name)
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split())
    lines = command_lines(page.read_text(encoding="utf-8"))
    assert {line.split()[1] for line in lines if line.startswith("make ")} <= targets


# Pages and the book


def test_every_page_is_in_the_contents_and_nothing_else_is():
    named = checks.toc_entries(ROOT)
    assert sorted(name for name in named if name.startswith("book/")) == [f"book/{path.stem}" for path in PAGES]


def test_the_changelog_is_the_one_of_the_repository():
    """In the staged mirror the file lies where it lies in the repository."""
    path = re.search(r"```\{include\} (\S+)", text_of("changelog"))[1]
    assert (ROOT / "book" / path).resolve() == (ROOT / "CHANGELOG.md").resolve()


def test_everything_cited_is_in_the_bibliography_and_everything_there_is_cited():
    entries = re.findall(r"^@\w+\{(\w+),", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(entries) == len(set(entries))
    keys = [key for text in markdown().values() for key in re.findall(r"\{cite:\w+\}`([^`]+)`", text)]
    cited = {name.strip() for key in keys for name in key.split(",")}
    assert cited == set(entries)


def test_one_bibliography():
    assert [name for name, text in markdown().items() if "{bibliography}" in text] == ["bibliography.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_no_page_speaks_of_a_workplace_or_of_what_the_paper_leaves_open(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?:^|\s|`)(?:/work|/home|/tmp|\.\./shared)\b", text)
    assert "PROTOCOL.md" not in text and "DESIGN.md" not in text
    assert not re.search(r"paper (?:does not say|leaves|left) (?:open|unsaid)", text)


# Narrow screens

NAMED = r":name: (\S+)\n:class: stacked"
STACKED = [(page.stem, name) for page in PAGES for name in re.findall(NAMED, page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "name"), STACKED)
def test_a_stacked_table_says_its_headings_before_the_cells(page, name):
    block = text_of(page).split(f":name: {name}\n")[1]
    head = next(line for line in block.splitlines() if line.startswith("|")).replace("`", "").lower()
    columns = [cell.strip() for cell in head.strip("|").split("|")]
    style = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    labels = re.findall(rf"#{name} td:nth-child\((\d+)\)::before {{\s+content: \"(.*?):? \"", style)
    assert [int(column) for column, _ in labels] == list(range(2, 2 + len(labels))) and len(labels) >= len(columns) - 2
    assert [label for column, label in labels if label.lower() not in columns[int(column) - 1]] == []


def test_tables_are_stacked_somewhere():
    assert len(STACKED) >= 2
