"""Arrays of one's own: what is read from a folder, and one sentence for what cannot be."""

import numpy as np
import pandas as pd
import pytest

from emo_ssl import cli
from emo_ssl.core.corpus import Corpus
from emo_ssl.corpora.arrays import read_arrays, read_labels
from emo_ssl.utils.io import UserError

FRAMES = np.arange(12, dtype=np.float32).reshape(6, 2)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f2", "<f8", "<i2", ">i4", "|u1", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_and_npz_of_any_number(tmp_path, dtype, order):
    values = FRAMES.astype(dtype, order=order)
    np.save(tmp_path / "007.npy", values)
    np.savez(tmp_path / "b.npz", anything=values)
    (tmp_path / "notes.txt").write_text("not a recording")
    frames, names = read_arrays(tmp_path)
    assert list(frames) == ["007", "b"] and names is None
    for found in frames.values():
        np.testing.assert_array_equal(found, values, strict=True)


def test_npz_may_name_its_features(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", frames=FRAMES, feature_names=np.array(["F0", "peak"]))
    frames, names = read_arrays(tmp_path)
    assert names == ["F0", "peak"] and frames["a"].tolist() == FRAMES.tolist()
    np.save(tmp_path / "b.npy", FRAMES)
    with pytest.raises(UserError, match="its columns differ"):
        read_arrays(tmp_path)


def test_parquet_names_its_features(tmp_path, monkeypatch):
    tables = {"a": pd.DataFrame(FRAMES, columns=["F0", "peak"]), "b": pd.DataFrame(FRAMES, columns=["F0", "other"])}
    monkeypatch.setattr(pd, "read_parquet", lambda path: tables[path.stem])
    (tmp_path / "a.parquet").touch()
    frames, names = read_arrays(tmp_path)
    assert names == ["F0", "peak"] and frames["a"].tolist() == FRAMES.tolist()
    (tmp_path / "b.parquet").touch()
    with pytest.raises(UserError, match=r"b\.parquet: its columns differ from those of a\.parquet"):
        read_arrays(tmp_path)


def no_engine(path):
    raise ImportError("no engine")


def objects(path):
    np.save(path, np.array([{}], dtype=object))


def no_python(path):
    np.save(path, FRAMES)
    path.write_bytes(path.read_bytes().replace(b"(6, 2)", b"((6,2)"))


def two_arrays(path):
    with path.open("wb") as stream:
        np.savez(stream, a=FRAMES, b=FRAMES)


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("a.npy", objects, r"a\.npy: not readable as frames \(a\.npy is no array of numbers"),
        ("a.npy", no_python, r"a\.npy: not readable as frames \(a\.npy is no array of numbers"),
        ("a.npz", two_arrays, r"a\.npz: damaged \(it holds 2 arrays, expected one\)"),
        ("a.npz", lambda path: path.write_bytes(b"PK\3\4"), r"a\.npz: damaged"),
        ("a.parquet", lambda path: path.touch(), r"a\.parquet: reading parquet needs pyarrow"),
        ("z.npz", lambda path: path.touch(), r"z\.npz: there is another file of recording z"),
        ("a.txt", lambda path: path.touch(), r"no file \.npy, \.npz, \.parquet here"),
    ],
)
def test_one_sentence_for_each_fault(tmp_path, monkeypatch, name, spoil, words):
    monkeypatch.setattr(pd, "read_parquet", no_engine)
    spoil(tmp_path / name)
    if name.startswith("z"):
        np.save(tmp_path / "z.npy", FRAMES)
    with pytest.raises(UserError, match=words):
        read_arrays(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"\xff,\n"])
def test_labels_that_cannot_be_read(tmp_path, content):
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"labels\.csv: not readable as a CSV table"):
        read_labels(tmp_path / "labels.csv")


def test_the_command(tmp_path, capsys):
    rng = np.random.default_rng(0)
    (tmp_path / "features").mkdir()
    rows = ["recording,speaker,start,end,happy"]
    for i in range(6):
        np.save(tmp_path / "features" / f"{i:03}.npy", rng.normal(size=(40, 3)))
        rows.append(f"{i:03},{i % 3:02},0,1.5,{i % 4}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    command = ["corpus", "arrays", str(tmp_path / "features"), "--labels", str(tmp_path / "labels.csv")]
    assert cli.main([*command, "-o", str(tmp_path / "out"), "--frame-rate", "20", "--folds", "3"]) == 0
    corpus = Corpus.open(tmp_path / "out")
    assert f"{corpus}\n" == capsys.readouterr().out
    assert corpus.recordings.speaker.tolist() == ["00", "01", "02"] * 2  # which a number would not be
    assert cli.main([*command, "-o", str(tmp_path / "two"), "--frame-rate", "20", "--folds", "9"]) == 2
    assert "9 folds of 3 speakers" in capsys.readouterr().err and not (tmp_path / "two").exists()
