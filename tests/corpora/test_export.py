"""What leaves for other programs is what the corpus holds, and comes back as it was."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from builders import NAMES, RATE, Segment, Video, contents, noise, write_segments

from emo_ssl import cli
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.corpora.arrays import read_arrays, read_labels
from emo_ssl.corpora.export import export
from emo_ssl.utils.io import UserError


def with_gap() -> np.ndarray:
    frames = noise(30, seed=5)
    frames[3, 1] = np.nan
    return frames


RECORDINGS = [
    Video("a/ü 1.wav", with_gap(), "test", "007"),
    Video("b", noise(20, seed=6), "valid", "u"),
    Video("c", noise(25, seed=7), "train", ""),
    Video("unlabelled", noise(11, seed=8), "none", "u"),
    Video("empty", noise(0), "none"),
]
SEGMENTS = [
    Segment(0, 0, 30, (0.0, 1 / 3), 1, 0),
    Segment(0, 7, 9, (3.0, 0.0), 0, 0),
    Segment(1, 1, 19, (0.7, 2.0), -1, 1),
    Segment(2, 24, 1, (0.0, 0.0), 1, 2),
]


def made(folder, **options) -> Corpus:
    return write_segments(folder, RECORDINGS, SEGMENTS, category_names=("calm", "loud"), **options)


def back(folder, output, half=False) -> Corpus:
    frames, names = read_arrays(folder / "frames")
    return Corpus.write(output, frames, read_labels(folder / "segments.csv"), RATE, feature_names=names, half=half)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("to", ["npz", "parquet"])
def test_there_and_back(tmp_path, half, to):
    if to == "parquet":
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    corpus = made(tmp_path / "corpus", half=half)
    read = back(export(corpus, tmp_path / "out", to), tmp_path / "back", half)
    names = read.recordings.id.tolist()
    assert sorted(names) == ["a%2F%C3%BC 1.wav", "b", "c", "empty", "unlabelled"]
    for i, name in enumerate(names):
        there = [video.id for video in RECORDINGS].index(name.replace("a%2F%C3%BC 1.wav", "a/ü 1.wav"))
        np.testing.assert_array_equal(read.recording(i), corpus.recording(there))  # NaN equals NaN
        assert read.recordings.digest[i].tolist() == corpus.recordings.digest[there].tolist()
    for i, segment in enumerate(SEGMENTS):
        np.testing.assert_array_equal(
            read.segment(i),
            RECORDINGS[segment.recording].frames[segment.first :][: segment.length].astype(read.frames.dtype),
        )
    for column in ("length", "split", "fold", "category"):
        assert getattr(read.segments, column).tolist() == getattr(corpus.segments, column).tolist()
    np.testing.assert_array_equal(read.targets, corpus.targets)
    assert (read.feature_names, read.target_names, read.category_names) == (NAMES, ("happy", "sad"), ("calm", "loud"))
    speakers = dict(zip(names, read.recordings.speaker.tolist(), strict=True))
    assert speakers == {"a%2F%C3%BC 1.wav": "007", "b": "u", "c": "", "empty": "", "unlabelled": ""}


def test_the_table_and_the_files_as_numpy_and_pandas_see_them(tmp_path):
    corpus = made(tmp_path / "corpus")
    out = export(corpus, tmp_path / "out")
    table = pd.read_csv(out / "segments.csv")
    assert list(table) == ["recording", "speaker", "start", "end", "split", "fold", "category", "happy", "sad"]
    assert table["recording"].tolist() == ["a%2F%C3%BC 1.wav"] * 2 + ["b", "c"]
    assert table["start"].tolist() == [0, 0.07, 0.01, 0.24] and table["end"].tolist() == [0.3, 0.16, 0.2, 0.25]
    assert table["split"].tolist() == ["test", "test", "valid", "train"] and table["fold"].tolist() == [0, 0, 1, 2]
    assert table["category"].fillna("").tolist() == ["loud", "calm", "", "loud"]
    assert table["happy"].tolist() == [0, 3, 0.7, 0]
    for row, segment in zip(table.itertuples(), SEGMENTS, strict=True):
        with np.load(out / "frames" / f"{row.recording}.npz") as stored:
            assert stored["feature_names"].tolist() == list(NAMES) and stored["frames"].dtype == np.float32
            frames = stored["frames"][round(row.start * RATE) : round(row.end * RATE)]
        whole = RECORDINGS[segment.recording].frames
        np.testing.assert_array_equal(frames, whole[segment.first : segment.first + segment.length])
    assert json.loads((out / "about.json").read_text())["source"] == "made up"


def test_a_corpus_without_folds_and_one_without_segments(tmp_path):
    videos = [Video("a", noise(9), "valid"), Video("b", noise(8), "none")]
    corpus = write_segments(tmp_path / "one", videos, [Segment(0, 2, 5, (1.0, 0.0))])
    read = back(export(corpus, tmp_path / "out"), tmp_path / "back")
    assert [SPLITS[code] for code in read.segments.split] == ["valid"]
    assert read.segments.fold.tolist() == [-1] and read.header["folds"] == "the column split"
    bare = export(write_segments(tmp_path / "bare", videos), tmp_path / "out2")
    assert (bare / "segments.csv").read_text() == "recording,speaker,start,end,split,fold,category,happy,sad\n"
    assert sorted(path.name for path in (bare / "frames").iterdir()) == ["a.npz", "b.npz"]


def test_an_interrupted_export_goes_on_and_a_finished_one_is_left_alone(tmp_path, monkeypatch):
    other = write_segments(tmp_path / "other", RECORDINGS[:1], SEGMENTS[:1], category_names=("calm", "loud"))
    corpus = made(tmp_path / "corpus")
    whole = contents(export(corpus, tmp_path / "whole"))
    written = []

    def stops(stream, **arrays):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arrays)
        save(stream, **arrays)

    save = np.savez
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(np, "savez", stops)
        export(corpus, tmp_path / "out")
    assert len(list((tmp_path / "out" / "frames").iterdir())) == 2
    assert not (tmp_path / "out" / "segments.csv").exists()
    assert contents(export(corpus, tmp_path / "out")) == whole
    monkeypatch.setattr(np, "savez", None)
    assert contents(export(corpus, tmp_path / "out")) == whole
    with pytest.raises(UserError, match=r"holds a table of segments of another configuration \(corpus is"):
        export(other, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(UserError, match="full: the folder is not empty"):
        export(corpus, tmp_path / "full")


def test_what_it_cannot_be_exported_to(tmp_path, monkeypatch):
    corpus = made(tmp_path / "corpus")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    for to, words in (("hdf5", "hdf5: a corpus is exported to npz or parquet"), ("parquet", "pip install pyarrow")):
        with pytest.raises(UserError, match=words):
            export(corpus, tmp_path / "out", to)
        assert not (tmp_path / "out").exists()


def test_the_command_says_how_to_come_back(tmp_path, capsys):
    made(tmp_path / "corpus")
    assert cli.main(["corpus", "export", str(tmp_path / "corpus"), "-o", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "4 segments in segments.csv, 5 recordings in frames" in printed
    command = printed.partition("emo-ssl ")[2].split()[:-1]
    assert cli.main([*command, str(tmp_path / "back")]) == 0 and len(Corpus.open(tmp_path / "back")) == 4
    assert cli.main(["corpus", "export", str(tmp_path / "corpus"), "--to", "mat", "-o", str(tmp_path / "no")]) == 2
