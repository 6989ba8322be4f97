"""2,000 damaged files over all readers (`make fuzz` tries more), and whether the fuzzer sees what it looks for."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from emo_ssl.corpora.audio import BadRecording

if sys.platform == "win32":
    pytest.skip("needs POSIX: fork, timers of computing time", allow_module_level=True)

from attack import fuzz
from attack.readers import READERS, Reader, write_all

CASES = 2_000
SHARES = sum(reader.share for reader in READERS)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> Path:
    return write_all(tmp_path_factory.mktemp("fuzz").resolve() / "all")


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name.replace(" ", "-"))
def test_damage_ends_in_one_short_sentence(everything, reader, monkeypatch):
    monkeypatch.chdir(everything)
    found = [fuzz.run_case(reader, everything, number) for number in range(CASES * reader.share // SHARES)]
    assert [words for kind, words in found if kind in fuzz.FAULTS] == []
    assert {kind for kind, _ in found} == {fuzz.REFUSED, fuzz.ACCEPTED}
    for name in {*reader.files.split()} - {"csd/outward.csd"}:
        reader.use(everything, name)  # whole again, and read


# --- the fuzzer itself


def refuses_much(place, name):
    raise BadRecording("x" * 500)


def crashes(place, name):
    if (place / name).read_bytes()[:1] != b"a":
        os.kill(os.getpid(), signal.SIGKILL)


def loops(place, name):
    whole = (place / name).read_bytes()[:1] == b"a"
    while not whole:
        pass


ODD = {
    "writes outside": lambda place, name: (place.parent / "b").write_text(""),
    "removes outside": lambda place, name: (place.parent / "none").unlink(missing_ok=True),
    "reads a secret": lambda place, name: (place.parent / "secret").read_text(),
    "runs a program": lambda place, name: subprocess.run(["true"]),
    "fails": lambda place, name: 1 / 0,
    "says much": refuses_much,
    "loops": loops,
    "writes inside": lambda place, name: (place / "b").write_text(""),
}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        *((name, "foreign files") for name in list(ODD)[:4]),
        *zip(list(ODD)[4:], ("tracebacks", "long messages", "hangs", fuzz.ACCEPTED), strict=True),
    ],
)
def test_what_no_reader_may_do_is_seen(tmp_path, monkeypatch, name, found):
    place = tmp_path.resolve() / "made"
    place.mkdir()
    (place.parent / "secret").write_text("")
    (place / "f").write_bytes(b"abc")
    monkeypatch.setattr(fuzz, "HANG", 0.1)
    reader = Reader(name, ODD[name], "f", 1)
    cases = [number for number in range(50) if reader.damaged(fuzz.generator(reader, number), place)[2][:1] != b"a"]
    assert fuzz.run_case(reader, place, cases[0])[0] == found
    assert (place / "f").read_bytes() == b"abc" and fuzz.GUARD.place is None


def test_crashes_and_loops_cost_one_case_and_what_is_finished_stays(tmp_path, monkeypatch, capsys):
    def write_little(root):
        (root / "made").mkdir()
        for name in ("made/f", "secret", "secret.wav"):
            (root / name).write_bytes(b"abc")
        return root / "made"

    readers = tuple(Reader(use.__name__, use, "f", 1) for use in (crashes, loops))
    monkeypatch.setattr(fuzz, "READERS", readers)
    monkeypatch.setattr(fuzz, "write_all", write_little)
    monkeypatch.setattr(fuzz, "HANG", 0.1)
    found = fuzz.fuzz(12, 2, tmp_path / "out")
    rows = {row["reader"]: row for row in found["readers"]}
    assert [row["cases"] for row in rows.values()] == [6, 6]
    assert 0 < rows["crashes"]["crashes"] == 6 - rows["crashes"]["accepted"]
    assert 0 < rows["loops"]["hangs"] == 6 - rows["loops"]["accepted"]
    log = (tmp_path / "out" / "chunks.jsonl").read_text()
    cut = [line for line in log.splitlines() if json.loads(line).get("reader") != "loops"]
    (tmp_path / "out" / "chunks.jsonl").write_text("".join(line + "\n" for line in cut))
    again = fuzz.fuzz(12, 2, tmp_path / "out")
    assert [row["cases"] for row in again["readers"]] == [6, 6]
    assert (tmp_path / "out" / "chunks.jsonl").read_text().splitlines()[: len(cut)] == cut
    assert "crashes, crashes, case" in fuzz.in_words(again)
    assert fuzz.waiting(12, [{"reader": r.name, "first": 0, "last": 6} for r in readers]) == []
    alone = fuzz.fuzz(12, 2, tmp_path / "alone", "loo")["readers"]
    assert [(row["reader"], row["cases"], row["hangs"]) for row in alone] == [("loops", 6, rows["loops"]["hangs"])]


def test_the_same_case_is_the_same_damage(everything):
    """So that a case can be repeated by its number; cases differ from each other."""
    reader = READERS[0]
    first, again, other = (reader.damaged(fuzz.generator(reader, number), everything) for number in (1, 1, 2))
    assert first == again != other
    kinds = Counter(kind for reader in READERS for _, kind in reader.attacks)
    assert kinds["bytes"] > 20 and len(kinds) == 10
