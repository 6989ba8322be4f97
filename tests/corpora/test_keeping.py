"""Frames that are slow to make are kept file by file: a killed `record` goes on and ends in the same bytes."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import contents, run_python
from sounds import RATE, hum, level_and_crossings, stub, write

from emo_ssl.corpora import front_ends, recordings
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.corpora.keeping import Keeper
from emo_ssl.corpora.recordings import KEPT, record
from emo_ssl.utils.io import UserError

pytest.importorskip("soundfile")
LENGTHS = {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7}  # c is too short


@pytest.fixture
def source(tmp_path):
    for name, seconds in LENGTHS.items():
        write(tmp_path / "in" / f"{name}.wav", hum(seconds))
    write(tmp_path / "in" / "d.wav", np.concatenate([hum(0.3), np.zeros(RATE // 10), hum(0.3)]))  # no crossings inside
    lines = "".join(f"{name}.wav,{name},1\n" for name in LENGTHS)
    (tmp_path / "labels.csv").write_text(f"path,speaker,happy\n{lines}")
    return tmp_path / "in"


def made(source: Path, out: str, maker: front_ends.FrontEnd, half: bool = True, jobs: int = 1):
    return record(source, source.parent / out, "folder", source.parent / "labels.csv", maker, jobs, half=half)


def of_corpus(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name != "folder.json"}


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_kept_corpus_is_the_same(source, half, jobs):
    plain = made(source, "plain", stub(), half)
    kept = made(source, "kept", replace(stub(), slow=True), half, jobs)
    assert of_corpus(plain.folder) == of_corpus(kept.folder)
    assert not (kept.folder / KEPT).exists() and plain.header.get("float16_error") == kept.header.get("float16_error")
    assert len(kept.report["skipped"]) == 1 and sum(kept.report["missing_values"].values()) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_and_resumed(source, monkeypatch):
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]);"
        "from dataclasses import replace; from pathlib import Path;"
        "from sounds import stub, level_and_crossings;"
        "from emo_ssl.corpora.recordings import record;"
        "die = lambda x, r: os.kill(os.getpid(), signal.SIGKILL) if len(x) > 0.8 * r else level_and_crossings(x, r);"
        "source = Path(sys.argv[2]);"
        "record(source, source.parent / 'out', 'folder', source.parent / 'labels.csv',"
        " replace(stub(die), slow=True), 1, half=True)"
    )
    whole, out = made(source, "whole", replace(stub(), slow=True)), source.parent / "out"
    assert run_python(program, Path(__file__).parents[1], source).returncode == -9
    assert sorted(path.name for path in (out / KEPT).iterdir()) == ["0.bin", "0.json", "1.partial"]
    given = []
    counting = stub(lambda signal, rate: given.append(len(signal)) or level_and_crossings(signal, rate))
    again = made(source, "out", replace(counting, slow=True))
    assert given == [round(LENGTHS[name] * RATE) for name in "bd"]
    assert contents(again.folder) == contents(whole.folder)
    os.mkdir(out / KEPT)  # killed between the end of the corpus and the end of what was kept
    made(source, "out", replace(counting, slow=True))
    assert len(given) == 2 and not (out / KEPT).exists()


def test_a_long_file_is_kept_in_pieces(source, monkeypatch):
    """The pieces of `stretches`, one after the other."""
    write(source / "a.wav", hum(4.6))
    whole = made(source, "whole", replace(stub(), slow=True))
    monkeypatch.setattr(front_ends, "STRETCH", 2)
    monkeypatch.setattr(recordings, "TOGETHER", 100)
    given = []
    counting = stub(lambda signal, rate: given.append(len(signal)) or level_and_crossings(signal, rate))
    pieces = made(source, "pieces", replace(counting, slow=True))
    assert [round(n / RATE, 1) for n in given[:3]] == [2.0, 4.0, 2.6]
    np.testing.assert_array_equal(pieces.frames, whole.frames)
    assert pieces.recordings.length.tolist() == whole.recordings.length.tolist() == [460, 90, 70]


def test_a_keeper(tmp_path):
    keeper, frames = Keeper(tmp_path / "kept", 2, half=True), np.float32([[1, 2], [3, 0.1], [5, 6]])
    keeper.keep(0, iter([(frames[:2], 0.5, 0.7, 0.7), (frames[2:], 0.7, 0.8, 0.8)]))
    found, *times = keeper.read(0)
    np.testing.assert_array_equal(found, frames.astype(np.float16))
    assert times == [0.5, 0.8, 0.8]
    assert keeper.float16_error == pytest.approx(abs(float(np.float16(0.1)) / 0.1 - 1), rel=1e-3)

    def bad():
        yield frames, 0.0, 0.3, 0.3
        raise BadRecording("silent", "no sound")

    keeper.keep(1, bad())
    assert str(keeper.read(1)) == "silent (no sound)" and not keeper.has(2)
    keeper.frames(0).write_bytes(b"12")
    with pytest.raises(UserError, match=r"0.bin: damaged .*delete .*kept, run again"):
        keeper.read(0)
