"""The made-up folder of recordings: the same bytes for the same seed, and what was made up can be measured in it."""

import csv
import shutil

import numpy as np
import pytest
from builders import contents

from emo_ssl.corpora import clips
from emo_ssl.corpora.audio import read, voiced_part
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recordings import record
from emo_ssl.study.leakage import shared_frames

soundfile = pytest.importorskip("soundfile")
SPEAKERS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    assert clips.write_clips(folder, SPEAKERS) == folder / clips.TABLE
    return folder


def test_a_row_for_each_file_and_a_file_for_each_row(folder):
    with (folder / clips.TABLE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 7 * 2 == len({row["path"] for row in rows})
    assert {row["path"] for row in rows} == {p.relative_to(folder).as_posix() for p in folder.rglob("*.wav")}
    for row in rows:
        signal, rate = read(folder / row["path"])
        part = voiced_part(signal, rate)
        assert rate == 16_000 and 1.5 < (part.stop - part.start) / rate < 3.4
        above = {name: float(row[name]) for name in EMOTIONS if float(row[name])}
        assert above in ([{}] if row["category"] == "neutral" else [{row["category"]: 2.0}, {row["category"]: 3.0}])
        assert np.abs(signal).max() < 0.99, "clipped"


def test_seeds_decide(folder, tmp_path):
    clips.write_clips(tmp_path / "same", SPEAKERS)
    assert contents(tmp_path / "same") == contents(folder)
    clips.write_clips(tmp_path / "other", speakers=1, each=1, seed=1)
    other = contents(tmp_path / "other")
    assert all(other[name] != contents(folder)[name] for name in other if name.endswith(".wav"))


def test_three_damaged_clips_are_left_out_and_nothing_else(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "in")
    spoilt = clips.damage(tmp_path / "in")
    segments = record(tmp_path / "in", tmp_path / "out", "folder", tmp_path / "in" / clips.TABLE, jobs=1)
    reasons = {row["path"]: row["reason"] for row in segments.report["skipped"]}
    assert set(reasons) == set(spoilt) and len(segments) == 42 - 3
    for path, word in zip(spoilt, ("an empty file", "cut off before its end", "silent"), strict=True):
        assert reasons[path].startswith(word)
    assert shared_frames(segments, segments.where("train"), segments.where("test")) == 0


def test_a_scene_begins_each_mood_when_it_says(tmp_path):
    moods = clips.write_scene(tmp_path / "a.wav", ("sad", "anger"), 2.0, seed=3)
    signal, rate = read(tmp_path / "a.wav")
    starts, names = zip(*moods, strict=True)
    assert names == ("sad", "anger") and 0.2 <= starts[0] <= 0.5 and starts[1] == starts[0] + 2
    cut = [round(s * rate) for s in (*starts, starts[1] + 2)]
    loud = [np.sqrt(np.mean(signal[a:b] ** 2)) for a, b in zip([0, *cut], [*cut, len(signal)], strict=True)]
    assert loud[0] < 1.2e-4 and loud[3] < 1.2e-4 and loud[2] > 3 * loud[1] > 30 * loud[0]
