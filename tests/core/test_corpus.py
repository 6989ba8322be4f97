"""What was written is there, whatever a model reads is in the hash, and damage is one sentence."""

from dataclasses import replace

import numpy as np
import pytest
from builders import RATE, Segment, Video, contents, noise, write_segments

from emo_ssl.core.corpus import FRAMES, HEADER, INDEX, REPORT, SPLITS, Corpus
from emo_ssl.utils.io import UserError

RECORDINGS = (
    Video("a", noise(50, seed=1)),
    Video("b", noise(0), "valid"),
    Video("c", noise(30, seed=2), "test", "someone"),
    Video("d", noise(7, seed=3), "none"),
)
SEGMENTS = (
    Segment(0, 0, 50, (0.0, 3.0)),
    Segment(0, 20, 10, (1.0, 0.0)),
    Segment(2, 29, 1, (2.0, 1.5)),
    Segment(3, 0, 7, (1.0, 0.5)),
)


@pytest.fixture
def ready(tmp_path):
    return write_segments(tmp_path / "corpus", RECORDINGS, SEGMENTS, report={"note": 1})


# --- what is in a folder


def test_what_was_written_is_there(ready):
    again = Corpus.open(ready.folder)
    for corpus in (ready, again):
        assert len(corpus) == 4 and len(corpus.recordings) == 4 and corpus.frame_rate == RATE
        assert corpus.feature_names == ("F0", "peakSlope") and corpus.target_names == ("happy", "sad")
        assert corpus.category_names == () and corpus.report == {"note": 1}
        assert corpus.recordings.id.tolist() == ["a", "b", "c", "d"]
        assert corpus.recordings.speaker.tolist() == ["", "", "someone", ""]
        assert corpus.recordings.offset.tolist() == [0, 50, 50, 80]
        assert corpus.recordings.length.tolist() == [50, 0, 30, 7]
        assert corpus.segments.first.tolist() == [0, 20, 79, 80]
        assert [corpus.where(name).tolist() for name in SPLITS] == [[0, 1], [], [2], [3]]
        for i, recording in enumerate(RECORDINGS):
            np.testing.assert_array_equal(corpus.recording(i), recording.frames)
        for i, segment in enumerate(SEGMENTS):
            frames = RECORDINGS[segment.recording].frames[segment.first : segment.first + segment.length]
            np.testing.assert_array_equal(corpus.segment(i), frames)
            assert corpus.targets[i].tolist() == list(segment.targets)
    assert contents(ready.folder).keys() == {FRAMES, INDEX, HEADER, REPORT}
    assert isinstance(ready.frames, np.memmap)  # nothing is read before somebody asks for it
    with pytest.raises(ValueError, match="read-only"):
        ready.segment(0)[0] = 0


def test_a_split_is_a_corpus(ready):
    test = ready.split("test")
    assert len(test) == 1 and test.targets.tolist() == [[2.0, 1.5]] and test.segments.recording.tolist() == [2]
    np.testing.assert_array_equal(test.segment(0), RECORDINGS[2].frames[29:])
    assert len(ready.split("valid")) == 0 and len(ready) == 4
    assert ready.constant_baselines("test")["train mean"]["mae"].tolist() == [1.5, 0.0]  # of 0.5 and 1.5


@pytest.mark.parametrize("recordings", [(), (Video("a", noise(0)),)])
def test_a_corpus_of_nothing(tmp_path, recordings):
    ready = write_segments(tmp_path, recordings)
    assert len(ready) == 0 and ready.frames.shape == (0, 2) and f"{len(recordings)} recordings, 0.0 h" in str(ready)
    assert ready.constant_baselines("test") == {}


def test_half_precision_is_stored_saturated_and_its_error_stated(tmp_path):
    raw = np.array([[1.0, 2049.0], [0.1, np.nan], [1e-4, 0.0]], np.float32)
    ready = write_segments(tmp_path / "a", [Video("a", raw)], half=True)
    assert ready.frames.dtype == np.float16 and (tmp_path / "a" / FRAMES).stat().st_size == 3 * 2 * 2
    np.testing.assert_array_equal(ready.recording(0), raw.astype(np.float16))
    # 2049 lies halfway between 2048 and 2050; 0.1 is off by 2.4e-5, values under 0.01 count against 0.01
    assert ready.header["float16_error"] == pytest.approx(1 / 2049, rel=1e-6)
    large = write_segments(tmp_path / "b", [Video("a", np.array([[1e6, -1e6]], np.float32))], half=True)
    assert large.recording(0).tolist() == [[65504, -65504]]
    assert large.header["float16_error"] == pytest.approx((1e6 - 65504) / 1e6)
    for name, frames in (("c", noise(0)), ("d", np.full((3, 2), np.nan, np.float32))):
        assert write_segments(tmp_path / name, [Video("a", frames)], half=True).header["float16_error"] == 0


# --- folds


def test_unlabelled_recordings_follow_their_speaker_into_a_fold(tmp_path):
    """Speaker a is tested in fold 0, b in fold 1; each has an unlabelled recording too, and one is of nobody."""
    recordings = [Video(str(i), noise(4), "none", speaker) for i, speaker in enumerate(("a", "b", "a", "b", "", "c"))]
    plain = write_segments(tmp_path, recordings, [Segment(0, 0, 4), Segment(1, 0, 4), Segment(5, 0, 4)])
    assert plain.folds == [0] and plain.of_fold(0) is plain
    ready = replace(plain, segments=replace(plain.segments, fold=np.array([0, 1, 2], np.int8)))
    assert ready.folds == [0, 1, 2]
    for fold, of_recordings, of_segments in (
        (0, ["test", "valid", "test", "valid", "none", "train"], ["test", "valid", "train"]),
        (1, ["train", "test", "train", "test", "none", "valid"], ["train", "test", "valid"]),
        (2, ["valid", "train", "valid", "train", "none", "test"], ["valid", "train", "test"]),
    ):
        split = ready.of_fold(fold)
        assert [SPLITS[code] for code in split.recordings.split] == of_recordings
        assert [SPLITS[code] for code in split.segments.split] == of_segments


# --- the content hash


def changed_frame(value):
    frames = RECORDINGS[0].frames.copy()
    frames[49, 1] = value
    return {"recordings": (replace(RECORDINGS[0], frames=frames), *RECORDINGS[1:])}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed_frame(0.123), id="a value"),
        pytest.param(changed_frame(np.nan), id="a value goes missing"),
        pytest.param({"recordings": (*RECORDINGS[:3], replace(RECORDINGS[3], split="test"))}, id="a split"),
        pytest.param({"recordings": (*RECORDINGS[:3], replace(RECORDINGS[3], speaker="x"))}, id="a speaker"),
        pytest.param({"recordings": (*RECORDINGS[:3], replace(RECORDINGS[3], id="x"))}, id="a recording's name"),
        pytest.param({"segments": (*SEGMENTS[:3], replace(SEGMENTS[3], targets=(1, 0.6)))}, id="a target"),
        pytest.param({"segments": (*SEGMENTS[:3], replace(SEGMENTS[3], first=1, length=6))}, id="an interval"),
        pytest.param({"segments": SEGMENTS[:3]}, id="one segment fewer"),
        pytest.param({"names": ("F0", "VUV")}, id="a feature's name"),
        pytest.param({"target_names": ("happy", "anger")}, id="a target's name"),
        pytest.param({"category_names": ("calm",)}, id="a category's name"),
        pytest.param({"half": True}, id="the number format"),
    ],
)
def test_whatever_a_model_reads_changes_the_hash(ready, tmp_path, change):
    given = {"recordings": RECORDINGS, "segments": SEGMENTS} | change
    assert write_segments(tmp_path / "other", **given).content_hash != ready.content_hash


def test_a_category_changes_the_hash(tmp_path):
    labels, names = [[replace(SEGMENTS[0], category=c)] for c in (-1, 0, 1)], ("calm", "sad")
    made = [write_segments(tmp_path / str(i), RECORDINGS, s, category_names=names) for i, s in enumerate(labels)]
    assert len({corpus.content_hash for corpus in made}) == 3


# --- damage


def test_a_folder_that_is_not_a_corpus_is_refused(tmp_path):
    with pytest.raises(UserError, match="absent: no finished corpus: there is no such file or folder"):
        Corpus.open(tmp_path / "absent")
    with pytest.raises(
        UserError, match="this is another folder, or one of an earlier emo-ssl; `emo-ssl corpus …` makes one"
    ):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        (FRAMES, None, "No such file"),
        (FRAMES, lambda whole: whole[:-1], "has 695 bytes, expected 696"),
        (FRAMES, lambda whole: whole + b"!", "has 697 bytes, expected 696"),
        (INDEX, None, "No such file"),
        (INDEX, lambda whole: b"", "not a zip file"),
        (INDEX, lambda whole: b"not an archive", "not a zip file"),
        (INDEX, lambda whole: whole[: len(whole) // 2], "not a zip file"),
        (HEADER, lambda whole: b'{"format": 2}', "content_hash is missing"),
        (HEADER, lambda whole: whole.replace(b'"format": 2', b'"format": 99'), "format is 99, expected 2"),
        (HEADER, lambda whole: b"[]", "expected names and values"),
        (HEADER, lambda whole: whole.replace(b"<f4", b"loud"), "dtype is 'loud', expected '<f4' or '<f2'"),
    ],
)
def test_damage_is_one_sentence(ready, name, damage, problem):
    path = ready.folder / name
    whole = path.read_bytes()
    path.unlink()
    if damage:
        path.write_bytes(damage(whole))
    with pytest.raises(UserError, match=rf"{problem}.*; delete the folder, prepare again"):
        Corpus.open(ready.folder)


def test_an_index_without_a_column_or_with_a_pickle_is_refused(ready):
    arrays = dict(np.load(ready.folder / INDEX))
    row = arrays.pop("segments.row")
    for content, problem in (
        (arrays, r"segments\.row"),
        (arrays | {"segments.row": row.astype(object)}, "is no array of numbers or text"),
    ):
        np.savez(ready.folder / INDEX, **content)
        with pytest.raises(UserError, match=f"damaged .*{problem}"):
            Corpus.open(ready.folder)
