"""Clips of MMSA and MulT: the side of their padding, their frame rate, and which label belongs to which for certain."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from builders import noise, write_csd

from emo_ssl.cli import main
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, LABEL_NAMES
from emo_ssl.corpora.pickled import UNMATCHED, certain, import_pickle
from emo_ssl.utils.io import UserError

RATE, LONGEST, WIDTH = 20, 60, 74
# video -> (start, end, sentiment, happy) as the label file has them, in no order of time
TABLE = {
    "-a": [(8.0, 10.0, 1.0, 1 / 3), (0.0, 2.0, -1.0, 2 / 3), (3.0, 4.5, 1.0, 1.0)],
    "b": [(1.0, 5.0, 0.0, 2.0), (6.0, 7.0, 2.0, 3.0)],
    "c": [(0.0, 1.0, 0.5, 0.0), (2.0, 3.0, 0.5, 1.0)],
}
PART_OF = {"-a": "train", "b": "valid", "c": "test", "d": "test"}


def write_labels(folder: Path, names=LABEL_NAMES) -> Path:
    entries = {
        video: (
            np.array([(mood, happy, 0, 0, 0, 0, 0) for _, _, mood, happy in rows], np.float32),
            np.array([row[:2] for row in rows]),
        )
        for video, rows in TABLE.items()
    }
    return write_csd(folder / "LABELS.csd", entries, names, "All Labels")


def padded(seconds: float, side: str, seed: int, rate: float = RATE) -> np.ndarray:
    """(LONGEST, WIDTH): as many frames of noise as fit, cut where a file cuts them, and zeros on one side."""
    real = noise(round(seconds * rate), WIDTH, seed)[:LONGEST]
    room = ((LONGEST - len(real), 0) if side == "front" else (0, LONGEST - len(real)), (0, 0))
    return np.pad(real, room)


def write_pickle(folder: Path, clips: list[tuple], side: str, mult: bool = False, rate: float = RATE) -> Path:
    """clips: (video, number, start, end, sentiment)."""
    data = {}
    for part in PART_OF.values():
        own = [(i, clip) for i, clip in enumerate(clips) if PART_OF[clip[0]] == part]
        audio = [padded(end - start, side, i, rate) for i, (_, _, start, end, _) in own]
        mood = np.array([clip[-1] for _, clip in own], np.float32)
        if mult:
            ids = np.array([(video, f"{start:.3f}", f"{end:.3f}") for _, (video, _, start, end, _) in own])
            labels = {"id": ids, "labels": mood[:, None, None]}
        else:
            ids = [f"{video}$_${number}" for _, (video, number, *_) in own]
            labels = {"id": ids, "regression_labels": mood, "audio_lengths": [1] * len(own)}
        data[part] = {"audio": np.array(audio), "vision": np.zeros((len(own), 2, 2)), **labels}
    file = folder / ("mosei_senti_data_noalign.pkl" if mult else "unaligned_50.pkl")
    file.write_bytes(pickle.dumps(data, 4))
    return file


CLIPS = [  # with the numbers that MMSA may have given them: rising in time, with gaps
    *[("-a", 2, 0.0, 2.0, -1.0), ("-a", 5, 3.0, 4.5, 1.0), ("-a", 13, 8.0, 10.0, 1.0)],
    *[("b", 0, 1.0, 5.0, 0.0), ("b", 1, 6.0, 7.0, 2.0)],
    *[("c", 0, 0.0, 1.0, 0.5), ("c", 4, 2.0, 3.0, 0.5)],
]


def joined(corpus: Corpus) -> dict[str, tuple]:
    """recording -> (start, end, happy, split) of its label."""
    s = corpus.segments
    rows = zip(s.recording, s.start, s.end, corpus.targets[:, 0], s.split, strict=True)
    return {str(corpus.recordings.id[r]): (a, b, round(float(h), 3), SPLITS[k]) for r, a, b, h, k in rows}


@pytest.mark.parametrize("side", ["front", "back"])
@pytest.mark.parametrize("mult", [True, False])
def test_every_clip_gets_its_label_and_its_own_frames(tmp_path, side, mult):
    file = write_pickle(tmp_path, CLIPS, side, mult)
    corpus = import_pickle(file, write_labels(tmp_path), tmp_path / "corpus")
    found = joined(corpus)
    assert len(found) == len(CLIPS) and corpus.target_names == EMOTIONS
    names = [f"{v} {a:.3f}-{b:.3f}" if mult else f"{v}$_${n}" for v, n, a, b, _ in CLIPS]
    assert corpus.recordings.id.tolist() == names
    assert corpus.recordings.speaker.tolist() == [clip[0] for clip in CLIPS]
    for i, (video, _, start, end, mood) in enumerate(CLIPS):
        happy = next(row[3] for row in TABLE[video] if row[:3] == (start, end, mood))
        assert found[names[i]] == (start, end, round(happy, 3), PART_OF[video])
        real = noise(round((end - start) * RATE), WIDTH, i)[:LONGEST]  # of four seconds the file has three
        np.testing.assert_array_equal(corpus.recording(i), real)
    assert corpus.frame_rate == RATE and corpus.feature_names == FEATURE_NAMES
    assert f"padding at the {side}, frame rate measured" in corpus.header["source"]
    assert corpus.report["unmatched"] == []


def test_what_is_not_certain_is_listed_and_kept_without_a_label(tmp_path, capsys):
    """Two rows of c have one sentiment and one length: a single clip there may be either; d has no labels at all."""
    odd = ("b", 7, 20.0, 21.0, -3.0)  # no label of b has this sentiment
    clips = [*CLIPS[:5], odd, ("c", 0, 0.0, 1.0, 0.5), ("d", 0, 0.0, 1.0, 1.0)]
    file, labels = write_pickle(tmp_path, clips, "front"), write_labels(tmp_path)
    words = ["corpus", "import", str(file), "--labels", str(labels), "-o", str(tmp_path / "corpus")]
    assert main(words) == 0
    assert f"3  videos, noted: {UNMATCHED}" in capsys.readouterr().out
    corpus = Corpus.open(tmp_path / "corpus")
    assert sorted(joined(corpus)) == sorted(f"{v}$_${n}" for v, n, *_ in CLIPS[:5])
    assert {one["name"]: one["reason"] for one in corpus.report["unmatched"]} == {
        "b$_$7": "no label of its video fits",
        "c$_$0": "more than one label fits, or none in this order",
        "d$_$0": "its video has no usable label",
    }
    assert len(corpus.recordings) == len(clips)
    report = corpus.report["segments"]
    assert (report["in"], report["kept"]) == (7, 5) and sum(report["dropped"].values()) == 2


def test_lengths_decide_between_equal_sentiments(tmp_path):
    """Without clip 2 of -a, order and sentiment leave two rows for each of two numbers; only one of them is as long."""
    clips = [CLIPS[0], CLIPS[1], *CLIPS[3:]]
    corpus = import_pickle(write_pickle(tmp_path, clips, "back"), write_labels(tmp_path), tmp_path / "corpus")
    assert joined(corpus)["-a$_$5"] == (3.0, 4.5, 1.0, "train")


def test_a_frame_a_word_has_a_mean_rate_and_no_lengths(tmp_path):
    """Words come as they come: one video speaks twice as fast."""
    file = write_pickle(tmp_path, CLIPS, "front")
    data = pickle.loads(file.read_bytes())
    for part, rates in (("train", (2, 4, 2)), ("valid", (5, 3)), ("test", (4, 6))):
        spans = [c[3] - c[2] for c in CLIPS if PART_OF[c[0]] == part]
        made = [padded(s, "front", i, rate) for i, (s, rate) in enumerate(zip(spans, rates, strict=True))]
        data[part]["audio"] = np.array(made)
    file.write_bytes(pickle.dumps(data))
    corpus = import_pickle(file, write_labels(tmp_path), tmp_path / "corpus")
    assert corpus.frame_rate == 4  # the median of 2, 4, 2, 5, 3, 4, 6
    assert "one frame a word, mean rate" in corpus.header["source"] and len(corpus) == len(CLIPS)


@pytest.mark.parametrize("seed", range(20))
def test_certain_means_in_every_way(seed):
    """Against all ways to choose rising rows, one by one."""
    rng = np.random.default_rng(seed)
    clips, rows = int(rng.integers(0, 4)), int(rng.integers(1, 6))
    fits = rng.random((clips, rows)) < 0.6
    ways = [w for w in itertools.combinations(range(rows), clips) if all(fits[c, r] for c, r in enumerate(w))]
    expected = [w[0] if len(set(w)) == 1 else -1 for w in zip(*ways, strict=True)] if ways else [-1] * clips
    assert certain(fits).tolist() == expected


SPOILT = {
    "no audio": (lambda data: data["train"].pop("audio"), r"not laid out as .*\(KeyError: 'audio'\)"),
    "no test": (lambda data: data.pop("test"), "not laid out .*KeyError: 'test'"),
    "words": (lambda data: data["train"].update(audio=["a", "b"]), "not laid out"),
    "fewer": (lambda data: data["train"].update(id=["-a$_$1"]), "not laid out"),
    "other ids": (lambda data: data["train"].update(id=["x", "y", "z"]), "not laid out"),
    "a leak": (lambda data: data["test"].update(id=["b$_$9", "c$_$4"]), "b stands in two parts, which would leak"),
    "another corpus": (
        lambda data: [part.update(id=[f"e{i}{one}" for i, one in enumerate(part["id"])]) for part in data.values()],
        "only 0 of its 7 clips are found in .*; are both files of CMU-MOSEI?",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_other_files_are_refused_and_leave_nothing(tmp_path, what):
    spoil, words = SPOILT[what]
    file = write_pickle(tmp_path, CLIPS, "back")
    data = pickle.loads(file.read_bytes())
    spoil(data)
    file.write_bytes(pickle.dumps(data))
    with pytest.raises(UserError, match=words):
        import_pickle(file, write_labels(tmp_path), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_mmsa_needs_the_sentiment_of_the_labels(tmp_path):
    names = ("mood", *EMOTIONS)
    with pytest.raises(UserError, match=r"LABELS\.csd: no column named sentiment, by which"):
        import_pickle(write_pickle(tmp_path, CLIPS, "back"), write_labels(tmp_path, names), tmp_path / "corpus")
