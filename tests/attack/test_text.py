"""Text of any kind: encodings of terminals, marks and separators in files, letters that steer terminals or are none."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import NOTHING_MET, noise, replaced, times, write_plain_csd, write_segments
from builders import Video as Recording
from sounds import hum, stub, write
from training import STUDY

from emo_ssl import cli
from emo_ssl.core.corpus import REPORT, Corpus
from emo_ssl.corpora import fetch
from emo_ssl.corpora.arrays import read_arrays, read_labels
from emo_ssl.corpora.csd import Csd
from emo_ssl.corpora.folds import read_folds
from emo_ssl.corpora.recipes.listing import ODD_NAME, audio_members
from emo_ssl.corpora.recordings import record
from emo_ssl.corpora.report import describe
from emo_ssl.study.collect import RESULTS, Study
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.layers import best
from emo_ssl.utils import npz
from emo_ssl.utils.values import UserError, printable, read_config

STEERS = "red \x1b[31m, half \ud800, bell \x07"
SHOWN = r"red \x1b[31m, half \ud800, bell \x07"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_output_in_any_encoding(tmp_path, encoding):
    """A terminal that lacks a letter gets its number; JSON is JSON whatever the terminal lacks."""
    corpus = write_segments(tmp_path / "Σ…", [Recording("v", noise(40))], target_names=("frö", "sad"))
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    for words in (["--help"], ["show", corpus.folder], ["show", corpus.folder, "--json"], ["show", "Σ"]):
        command = [sys.executable, "-m", "emo_ssl", "corpus", *map(str, words)]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
        assert done.returncode == 2 * (words[-1] == "Σ") and b"Traceback" not in done.stderr, done.stderr
        if words[-1] == "--json":
            assert "frö" in json.loads(done.stdout.decode(encoding))["labels"]


def test_marks_and_capitals_in_settings(tmp_path):
    mark = b"\xef\xbb\xbf"
    (tmp_path / "A.JSON").write_bytes(mark + json.dumps(asdict(STUDY)).encode())
    (tmp_path / "a.toml").write_bytes(mark + b'profile = "tiny"')
    (tmp_path / "F.JSON").write_bytes(mark + b'{"train": ["a"]}')
    (tmp_path / "F.CSV").write_bytes(mark + b"video,split\r\na,train\r\n")
    (tmp_path / "l.csv").write_bytes(mark + b"recording,happy\r\na,1\r\n")
    assert read_config(tmp_path / "A.JSON", StudyConfig) == STUDY
    assert read_config(tmp_path / "a.toml", StudyConfig).profile == "tiny"
    assert read_folds(tmp_path / "F.JSON") == read_folds(tmp_path / "F.CSV") == {"a": 0}
    assert read_labels(tmp_path / "l.csv")["recording"].tolist() == ["a"]
    np.save(tmp_path / "B.npy", noise(3))
    (tmp_path / "B.npy").rename(tmp_path / "B.NPY")
    assert list(read_arrays(tmp_path)[0]) == ["B"]


@pytest.mark.parametrize(("sign", "words"), [("\t", "tabs between"), (";", "semicolons between")])
def test_other_separators_than_commas(tmp_path, sign, words):
    table = tmp_path / "a.csv"
    table.write_text(f"path{sign}speaker{sign}happy\na.wav{sign}s{sign}1\n")
    for reader in (read_labels, lambda path: record(tmp_path, tmp_path / "out", "folder", path, stub())):
        with pytest.raises(UserError, match=rf"a\.csv: not readable as a CSV table \({words} its columns\); save it"):
            reader(table)


def test_a_table_from_windows(tmp_path):
    r"""Backslashes between folders, and a tab at the end of a name; in a name itself a backslash is a letter."""
    for name in ("s0/a.wav", "s1/a.wav", "s2\\a.wav"):
        write(tmp_path / name, hum(0.5))
    rows = ["path,speaker,happy", "s0\\a.wav\t,0,1", ".\\s1\\a.wav,1,2", "s2\\a.wav,2,3"]
    (tmp_path / "a.csv").write_text("\r\n".join(rows), encoding="utf-8")
    corpus = record(tmp_path, tmp_path / "out", "folder", tmp_path / "a.csv", stub(), jobs=1)
    assert corpus.recordings.id.tolist() == ["s0/a.wav", "s1/a.wav", "s2\\a.wav"]


def test_a_damaged_table_of_results(made, tmp_path):
    whole = (made / "study" / RESULTS).read_text()
    shutil.copytree(made / "study", tmp_path, dirs_exist_ok=True)
    for text, words in (
        ("", "No columns"),
        (whole.replace("budget", "x", 1), "no column budget"),
        (whole + "a,b\n", "NA values"),
        (whole.replace("0.", "z.", 1), "could not convert"),
    ):
        (tmp_path / RESULTS).write_text(text)
        with pytest.raises(UserError, match=rf"{RESULTS}: not readable as a CSV table \(.*{words}"):
            str(Study(tmp_path))
        with pytest.raises(UserError, match="not readable as a CSV table"):
            best(tmp_path / RESULTS, 0, "x")
    (tmp_path / RESULTS).write_text("protocol,fold,layer,strength,score\nx,0,1,1,nan\n")
    with pytest.raises(UserError, match="no layer for fold 0, x; make it"):
        best(tmp_path / RESULTS, 0, "x")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("x,0,1,1,2,3", "a row with more values than there are columns"),  # else its first ones name the row
        ("x,0,1,1,.5\nx,0,1,1,2,3", "Expected 5 fields in line 3, saw 6"),
        ("x,0,1,1,.5\nx,,1,.5,", "NA values|cannot safely convert"),
        (f"x,0,1,{'9' * 400},0.5", "a number of more than 64 bits in column strength"),
        (f"x,0,1,{2**64},0.5", "a number of more than 64 bits in column strength"),
    ],
)
def test_rows_that_no_column_takes(tmp_path, row, words):
    (tmp_path / RESULTS).write_text(f"protocol,fold,layer,strength,score\n{row}\n")
    with pytest.raises(UserError, match=rf"{RESULTS}: not readable as a CSV table \(.*({words})"):
        best(tmp_path / RESULTS, 0, "x")


def test_the_largest_whole_number_and_a_layer_that_cannot_be(tmp_path):
    (tmp_path / RESULTS).write_text(f"protocol,fold,layer,strength,score\nx,0,1,{2**64 - 1},0.5\n")
    assert best(tmp_path / RESULTS, 0, "x") == 1
    (tmp_path / RESULTS).write_text("protocol,fold,layer,strength,score\nx,0,1,1,0.5\nx,0,-1,1,0.1\n")
    with pytest.raises(UserError, match="layer -1 is below 0"):
        best(tmp_path / RESULTS, 0, "x")


def test_a_sentence_has_one_line():
    assert str(UserError("a\nb\x1b[31m")) == "a\\nb\\x1b[31m"
    assert len(str(UserError("\n" * 1000))) <= 400


def test_names_in_an_archive_that_begin_with_nothing(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("b.wav", b"")
        archive.writestr("x.wav", b"")
    path.write_bytes(path.read_bytes().replace(b"x.wav", b"\0.wav"))
    assert audio_members(path) == ["b.wav"]
    with pytest.raises(fetch.UNREADABLE):  # so that `fetch` has a sentence for what unpacks it
        zipfile.ZipFile(path).extractall(tmp_path / "out")


# --- letters that are none


def test_no_text_of_a_file_steers_a_terminal(tmp_path, capsys):
    """What is made here holds the number of such a letter; a file that holds the letter itself is refused."""
    report = NOTHING_MET | {"segments": {"in": 0, "kept": 0, "dropped": {STEERS: 1}}, "files": {STEERS: STEERS}}
    made = write_segments(
        tmp_path / "a", [Recording(STEERS, noise(9), speaker=STEERS)], (), (STEERS, "b"), report=report
    )
    assert made.recordings.id.tolist() == made.recordings.speaker.tolist() == [SHOWN]
    assert made.feature_names[0] == SHOWN and describe(made).count(SHOWN) == 4
    for name in ("corpus.json", REPORT):
        path = tmp_path / "a" / name
        steering = path.read_bytes().replace(rb"\\x1b", rb"\u001b")
        with replaced(path, steering), pytest.raises(UserError, match=r"\\x1b"):
            describe(Corpus.open(tmp_path / "a"))
    assert cli.main(["corpus", "show", f"{tmp_path}/\x1b[31m\n"]) == 2
    assert rf"{tmp_path}/\x1b[31m\n: no finished corpus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("letter", "words"),
    [(0x1B, r"a is '\\x1b', expected str"), (0xD800, "a is '.*', expected"), (0x110000, "a is no text")],
)
def test_letters_in_arrays_that_steer_a_terminal_or_are_none(tmp_path, letter, words):
    npz.save(tmp_path / "a.npz", {"a": np.array([letter], np.uint32).view("<U1")})
    with pytest.raises(UserError, match=rf"damaged \({words}"), npz.opened(tmp_path / "a.npz", "x") as stored:
        stored.array("a", "U", 1)


def test_metadata_that_steers_a_terminal(tmp_path):
    texts = {"corpus": "\x1b[31m", "dimension names": json.dumps(["a\x1b", "b"])}
    path = write_plain_csd(tmp_path / "a.csd", {"v": (noise(3), times(3))}, texts)
    with Csd(path) as csd:
        assert csd.metadata["corpus"] == r"\x1b[31m" and csd.names is None


def test_a_folder_with_names_that_are_no_text(tmp_path):
    """Bytes that are no UTF-8 become half letters, which no file can hold."""
    folder = tmp_path / "Actor_01"
    for name in ("03-01-03-01-01-01-01.wav", "03-01-04-01-01-01-01.wav", "03-01-05-01-01-01-01.wav"):
        write(folder / name, hum(0.5))
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff\x1b.wav")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    corpus = record(tmp_path, tmp_path / "out", front_end=stub(), jobs=1)
    assert len(corpus) == 3 and r"Actor_01/\udcff\x1b.wav" in corpus.report["examples"][ODD_NAME]
    assert describe(corpus).isprintable() is False and "\x1b" not in describe(corpus)


def test_printable():
    assert printable({STEERS: [1, None, ("ü…\n\t",)]}) == {SHOWN: [1, None, ["ü…\n\t"]]}
    assert printable("\x85\x7f") == r"\x85\x7f"
    table = pd.DataFrame({"a": [1]})
    assert printable(table) is table
