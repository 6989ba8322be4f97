"""A corpus out of anybody's arrays and a table, and one sentence for each thing that is wrong with them."""

import numpy as np
import pandas as pd
import pytest
import torch
from builders import noise

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.utils.io import UserError

FRAMES = {f"r{i}": noise(50 + i, seed=i) for i in range(7)}


def table(**changed) -> pd.DataFrame:
    """Two segments of 20 frames of six recordings by three speakers; the seventh has no label."""
    rows = [(f"r{r}", f"s{r % 3}", k * 0.2, (k + 1) * 0.2) for r in range(6) for k in range(2)]
    labels = pd.DataFrame(rows, columns=["recording", "speaker", "start", "end"])
    return labels.assign(**{"happy": np.arange(12) % 4, "sad": 1 / 3, **changed})


def test_frames_and_labels_are_where_they_belong(tmp_path):
    given = {**FRAMES, "r1": torch.from_numpy(FRAMES["r1"]), "r2": pd.DataFrame(FRAMES["r2"])}
    given["r0"] = given["r0"].copy()
    given["r0"][3] = (np.inf, np.nan)
    corpus = Corpus.write(tmp_path / "corpus", given, table(), frame_rate=100, folds=3)
    assert corpus.recordings.id.tolist() == list(FRAMES) and corpus.feature_names == ("feature 0", "feature 1")
    assert np.isnan(corpus.recording(0)[3]).all()
    for r in range(1, 7):
        assert np.array_equal(corpus.recording(r), FRAMES[f"r{r}"])
    assert corpus.target_names == ("happy", "sad") and corpus.category_names == ()
    assert np.allclose(corpus.targets, table()[["happy", "sad"]])
    for i in range(12):
        frames = corpus.recording(i // 2)[20 * (i % 2) :][:20]
        assert np.array_equal(corpus.segment(i), frames, equal_nan=True)
    # a recording without labels is for pretraining
    assert SPLITS[corpus.recordings.split[6]] == "none" and corpus.recordings.speaker[6] == ""
    fold_of = dict(zip(corpus.recordings.speaker[corpus.segments.recording], corpus.segments.fold, strict=True))
    assert sorted(fold_of.values()) == [0, 1, 2]  # each speaker in a fold of its own
    assert np.array_equal(corpus.of_fold(0).segments.split, corpus.segments.split)
    assert Corpus.write(tmp_path / "corpus", given, table(), 100, 3).content_hash == corpus.content_hash
    with pytest.raises(UserError, match="folds is 3 there, 4 here"):
        Corpus.write(tmp_path / "corpus", given, table(), 100, 4)


def test_whole_recordings_categories_and_given_splits(tmp_path):
    """Without times a segment is its recording, and without emotions each category is one that is there or not."""
    names = [f"r{i}" for i in range(4)]
    labels = pd.DataFrame({"recording": names, "category": ["calm", "loud", None, "calm"]})
    labels["split"] = ["train", "valid", "test", "none"]
    corpus = Corpus.write(tmp_path / "corpus", FRAMES, labels, 100, feature_names=("F0", "energy"), half=True)
    assert corpus.segments.length.tolist() == [50, 51, 52, 53] and corpus.frames.dtype == np.float16
    assert corpus.category_names == corpus.target_names == ("calm", "loud") and corpus.feature_names[1] == "energy"
    assert corpus.segments.category.tolist() == [0, 1, -1, 0]
    assert corpus.targets.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    assert [SPLITS[code] for code in corpus.segments.split] == labels["split"].tolist() and corpus.folds == [0]


def test_given_folds(tmp_path):
    """Fold 0 is tested, the next one validates; the column split decides otherwise where there is one, too."""
    given = {"fold": [0, 0, 1, 1, 2, 2, 3, 3, -1, -1, 0, 0]}
    corpus = Corpus.write(tmp_path / "corpus", FRAMES, table(**given), 100)
    assert corpus.segments.fold.tolist() == given["fold"] and corpus.header["folds"] == "the column fold"
    names = ["test", "test", "valid", "valid", "train", "train", "train", "train", "none", "none", "test", "test"]
    assert [SPLITS[code] for code in corpus.segments.split] == names
    assert np.array_equal(corpus.of_fold(0).segments.split, corpus.segments.split)
    both = Corpus.write(tmp_path / "both", FRAMES, table(**given, split="train"), 100)
    assert both.segments.fold.tolist() == given["fold"] and set(both.segments.split) == {SPLITS.index("train")}
    dealt = Corpus.write(tmp_path / "dealt", FRAMES, table(fold=-1), 100, folds=3)
    assert set(dealt.segments.fold) == {0, 1, 2} and dealt.header["folds"] == "3 folds by speaker"


def test_recordings_of_unknown_speakers_are_kept_apart(tmp_path):
    corpus = Corpus.write(tmp_path / "corpus", FRAMES, table().drop(columns="speaker"), 100, folds=3)
    folds = corpus.segments.fold.reshape(6, 2)
    assert (folds[:, 0] == folds[:, 1]).all() and sorted(folds[:, 0]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("frames", "labels", "more", "problem"),
    [
        ({}, table(), {}, "there must be one"),
        ({**FRAMES, "r1": noise(9, 3)}, table(), {}, r"recordings have \[2, 3\] features"),
        ({**FRAMES, "r1": noise(9)[0]}, table(), {}, r"r1: its frames have the shape \(2,\)"),
        ({**FRAMES, "r1": [["loud"]]}, table(), {}, "r1: its frames are not numbers"),
        (FRAMES, table(), {"feature_names": ("F0",)}, "1 feature names for 2 features"),
        (FRAMES, table().drop(columns="recording"), {}, "no column recording"),
        (FRAMES, table(recording="r9"), {}, "row 0: recording is r9, expected one with frames"),
        (FRAMES, table(happy=["3"] * 11 + ["high"]), {}, "row 11: happy is high, expected an intensity from 0 to 3"),
        (FRAMES, table(sad=[0] * 5 + [3.5] * 7), {}, "row 5: sad is 3.5"),
        (FRAMES, table(start=-1), {}, "row 0: start is -1, expected seconds"),
        (FRAMES, table(start=0.4), {}, r"row 0: 0.4 to 0.2 s holds no frame of r0"),
        (FRAMES, table(split="dev"), {}, "row 0: split is dev, expected one of train, valid, test, none"),
        (FRAMES, table(fold=[0] * 11 + [1.5]), {}, "row 11: fold is 1.5, expected a whole number from 0 on, or -1"),
        (FRAMES, table(fold="first"), {}, "row 0: fold is first"),
        (FRAMES, table(fold=127), {}, "row 0: fold is 127"),
        (FRAMES, table().drop(columns=["happy", "sad"]), {}, "neither an emotion nor a category"),
        (FRAMES, table(), {"folds": 4}, "4 folds of 3 speakers"),
        (FRAMES, table(), {"folds": 2}, "2 folds of 3 speakers"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_left(tmp_path, frames, labels, more, problem):
    with pytest.raises(UserError, match=problem):
        Corpus.write(tmp_path / "corpus", frames, labels, **{"frame_rate": 100, "folds": 3, **more})
    assert not (tmp_path / "corpus").exists()
