import json
from dataclasses import replace

import numpy as np
import pytest
from builders import RATE, Segment, Video, contents, intensities, noise, prepared, write_segments

from emo_ssl.core.corpus import (
    FRAMES,
    HEADER,
    INDEX,
    REPORT,
    SPLITS,
    Corpus,
    CorpusWriter,
    SegmentTable,
    label_distribution,
)
from emo_ssl.utils.io import UserError

VIDEOS = (
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
    return write_segments(tmp_path / "corpus", VIDEOS, SEGMENTS, report={"note": 1})


def naive_batch(ready, chosen, longest):
    """One segment after the other, padded with NaN."""
    frames = np.full((len(chosen), longest, 2), np.nan, np.float32)
    valid = np.zeros((len(chosen), longest), bool)
    for row, i in enumerate(chosen):
        own = VIDEOS[SEGMENTS[i].recording].frames[SEGMENTS[i].first :][: SEGMENTS[i].length][:longest]
        frames[row, : len(own)], valid[row, : len(own)] = own, True
    return frames, valid


# --- what is in a folder


def test_what_was_written_is_there(ready):
    again = Corpus.open(ready.folder)
    for corpus in (ready, again):
        assert len(corpus) == 4 and len(corpus.recordings) == 4 and corpus.frame_rate == RATE
        assert corpus.feature_names == ("F0", "peakSlope") and corpus.target_names == ("happy", "sad")
        assert corpus.category_names == () and corpus.report == {"note": 1}
        assert corpus.recordings.id.tolist() == ["a", "b", "c", "d"]
        assert corpus.recordings.speaker.tolist() == ["", "", "someone", ""]
        assert corpus.recordings.offset.tolist() == [0, 50, 50, 80] and corpus.recordings.length.tolist() == [
            50,
            0,
            30,
            7,
        ]
        assert corpus.segments.first.tolist() == [0, 20, 79, 80]
        assert [corpus.where(name).tolist() for name in SPLITS] == [[0, 1], [], [2], [3]]
        for i, recording in enumerate(VIDEOS):
            np.testing.assert_array_equal(corpus.recording(i), recording.frames)
        for i, cut in enumerate(SEGMENTS):
            expected = VIDEOS[cut.recording].frames[cut.first : cut.first + cut.length]
            np.testing.assert_array_equal(corpus.segment(i), expected)
            assert corpus.targets[i].tolist() == list(cut.targets)
    assert contents(ready.folder).keys() == {FRAMES, INDEX, HEADER, REPORT}


@pytest.mark.parametrize("recordings", [(), (Video("a", noise(0)),)])
def test_a_corpus_of_nothing(tmp_path, recordings):
    ready = write_segments(tmp_path, recordings)
    assert len(ready) == 0 and ready.frames.shape == (0, 2)
    frames, valid, targets = ready.batch(np.empty(0, np.int64))
    assert (frames.shape, valid.shape, targets.shape) == ((0, 0, 2), (0, 0), (0, 2))
    assert ready.floors == {"train": {}, "valid": {}, "test": {}}


def test_opening_maps_the_frames_without_reading_them(ready):
    """A store of 8 GB that is one hole: whoever read it would not be done in a test's time."""
    frames = 1 << 30
    header = json.loads((ready.folder / HEADER).read_text())
    (ready.folder / HEADER).write_text(json.dumps(header | {"frames": frames}))
    with (ready.folder / FRAMES).open("r+b") as stream:
        stream.truncate(frames * 2 * 4)
    opened = Corpus.open(ready.folder)
    assert isinstance(opened.frames, np.memmap) and opened.frames.shape == (frames, 2)
    assert opened.frames[-1].tolist() == [0, 0]
    np.testing.assert_array_equal(opened.segment(1), ready.segment(1))


def test_frames_cannot_be_changed_through_a_view(ready):
    with pytest.raises(ValueError, match="read-only"):
        ready.segment(0)[0] = 0


# --- batches


@pytest.mark.parametrize("chosen", [[0], [2], [1, 0], [3, 3, 2], [0, 1, 2, 3]])
def test_a_batch_equals_one_segment_after_the_other(ready, chosen):
    frames, valid, targets = ready.batch(np.array(chosen))
    expected, expected_valid = naive_batch(ready, chosen, max(SEGMENTS[i].length for i in chosen))
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(valid, expected_valid)
    np.testing.assert_array_equal(targets, [SEGMENTS[i].targets for i in chosen])


@pytest.mark.parametrize("pad_to", [1, 10, 64])
def test_gather_pads_and_cuts_to_a_given_length(ready, pad_to):
    frames, valid = ready.gather(ready.segments.first, ready.segments.length, pad_to)
    expected, expected_valid = naive_batch(ready, range(4), pad_to)
    np.testing.assert_array_equal(frames, expected)
    np.testing.assert_array_equal(valid, expected_valid)


def test_gathering_nothing_or_runs_of_no_length(ready):
    none = np.empty(0, np.int64)
    assert ready.gather(none, none)[0].shape == (0, 0, 2)
    assert ready.gather(none, none, 5)[0].shape == (0, 5, 2)
    frames, valid = ready.gather(np.array([86, 87]), np.array([1, 0]))
    np.testing.assert_array_equal(frames[0], VIDEOS[3].frames[6:])
    assert valid.tolist() == [[True], [False]] and np.isnan(frames[1]).all()


# --- float16


def test_half_precision_is_stored_and_its_error_stated(tmp_path):
    raw = np.array([[1.0, 2049.0], [0.1, np.nan], [1e-4, 0.0]], np.float32)
    ready = write_segments(tmp_path, [Video("a", raw)], half=True)
    assert ready.frames.dtype == np.float16 and (tmp_path / FRAMES).stat().st_size == 3 * 2 * 2
    np.testing.assert_array_equal(ready.recording(0), raw.astype(np.float16))
    # 2049 lies halfway between 2048 and 2050; 0.1 is off by 2.4e-5, values under 0.01 count against 0.01
    assert ready.summary()["float16_error"] == pytest.approx(1 / 2049, rel=1e-6)
    assert ready.batch(np.empty(0, np.int64))[0].dtype == np.float16


def test_half_precision_saturates_instead_of_overflowing(tmp_path):
    ready = write_segments(tmp_path, [Video("a", np.array([[1e6, -1e6]], np.float32))], half=True)
    assert ready.recording(0).tolist() == [[65504, -65504]]
    assert ready.header["float16_error"] == pytest.approx((1e6 - 65504) / 1e6)


@pytest.mark.parametrize("frames", [noise(0), np.full((3, 2), np.nan, np.float32)])
def test_half_precision_of_nothing_has_no_error(tmp_path, frames):
    assert write_segments(tmp_path, [Video("a", frames)], half=True).header["float16_error"] == 0


def test_full_precision_states_no_error(ready):
    assert ready.frames.dtype == np.float32 and ready.summary()["float16_error"] is None


# --- the content hash


def test_the_same_data_have_the_same_hash_whatever_the_report(ready, tmp_path):
    other = write_segments(tmp_path / "other", VIDEOS, SEGMENTS, report={"note": "another"})
    assert other.content_hash == ready.content_hash and len(other.content_hash) == 64
    assert Corpus.open(tmp_path / "other").content_hash == ready.content_hash


def changed_frame(value):
    frames = VIDEOS[0].frames.copy()
    frames[49, 1] = value
    return {"recordings": (replace(VIDEOS[0], frames=frames), *VIDEOS[1:])}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed_frame(0.123), id="a value"),
        pytest.param(changed_frame(np.nan), id="a value goes missing"),
        pytest.param({"recordings": (*VIDEOS[:3], replace(VIDEOS[3], split="test"))}, id="a video's split"),
        pytest.param({"recordings": (*VIDEOS[:3], replace(VIDEOS[3], speaker="x"))}, id="a video's speaker"),
        pytest.param({"recordings": (*VIDEOS[:3], replace(VIDEOS[3], id="x"))}, id="a video's name"),
        pytest.param({"segments": (*SEGMENTS[:3], replace(SEGMENTS[3], targets=(1, 0.6)))}, id="a target"),
        pytest.param({"segments": (*SEGMENTS[:3], replace(SEGMENTS[3], first=1, length=6))}, id="an interval"),
        pytest.param({"segments": (*SEGMENTS[:3], replace(SEGMENTS[3], category=0))}, id="a category"),
        pytest.param({"segments": SEGMENTS[:3]}, id="one segment fewer"),
        pytest.param({"names": ("F0", "VUV")}, id="a feature's name"),
        pytest.param({"target_names": ("happy", "anger")}, id="a target's name"),
        pytest.param({"category_names": ("calm",)}, id="a category's name"),
        pytest.param({"half": True}, id="the number format"),
    ],
)
def test_whatever_a_model_sees_changes_the_hash(ready, tmp_path, change):
    given = {"recordings": VIDEOS, "segments": SEGMENTS} | change
    assert write_segments(tmp_path / "other", **given).content_hash != ready.content_hash


def test_the_same_files_prepared_twice_have_the_same_hash(tmp_path):
    recordings, labels = {"a": 100, "b": 70}, {"a": [(0, 1, intensities(sad=1))], "b": [(0, 0.5)]}
    hashes = {prepared(tmp_path / name, recordings, labels).content_hash for name in ("one", "two")}
    assert len(hashes) == 1
    assert prepared(tmp_path / "three", recordings, labels | {"b": [(0, 0.6)]}).content_hash not in hashes


# --- damage


def test_a_folder_that_is_not_a_corpus_is_refused(tmp_path):
    with pytest.raises(UserError, match="absent: no such folder; expected a folder made by `emo-ssl corpus prepare`"):
        Corpus.open(tmp_path / "absent")
    with pytest.raises(UserError, match="an unfinished corpus"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize("size", [0, 1, 87 * 8 - 1, 87 * 8 + 1, None])
def test_a_store_of_another_size_is_refused(ready, size):
    path = ready.folder / FRAMES
    whole = path.read_bytes()
    path.unlink()
    if size is not None:
        path.write_bytes((whole + b"!")[:size])
    with pytest.raises(UserError, match=rf"frames\.bin: {size or 0} bytes, expected 696; delete the folder"):
        Corpus.open(ready.folder)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_cut_off_index_is_refused(ready, share):
    path = ready.folder / INDEX
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"index\.npz: damaged .*; delete the folder, prepare again"):
        Corpus.open(ready.folder)


@pytest.mark.parametrize("content", [None, b"not an archive", b"PK\x03\x04 almost one"])
def test_a_missing_or_foreign_index_is_refused(ready, content):
    path = ready.folder / INDEX
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"index\.npz: damaged"):
        Corpus.open(ready.folder)


def test_an_index_without_a_column_or_with_a_pickle_is_refused(ready):
    path = ready.folder / INDEX
    with np.load(path) as index:
        arrays = dict(index)
    np.savez(path, **{name: values for name, values in arrays.items() if name != "cuts.row"})
    with pytest.raises(UserError, match=r"index\.npz: damaged .*cuts\.row"):
        Corpus.open(ready.folder)
    np.savez(path, **arrays | {"cuts.row": np.array([print], object)})
    with pytest.raises(UserError, match=r"index\.npz: damaged .*allow_pickle=False"):
        Corpus.open(ready.folder)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "not readable as JSON"),
        ('{"format": 99}', "format 99, this emo-ssl reads 1"),
        ("[]", "format None"),
        ('{"format": 1}', "damaged .*frames"),
        ('{"format": 1, "frames": 87, "feature_names": null, "dtype": "<f4"}', "damaged"),
        ('{"format": 1, "frames": 87, "feature_names": ["a", "b"], "dtype": "loud"}', "damaged"),
    ],
)
def test_a_damaged_header_or_another_format_is_refused(ready, content, sentence):
    (ready.folder / HEADER).write_text(content)
    with pytest.raises(UserError, match=sentence):
        Corpus.open(ready.folder)


# --- numbers about the labels


def test_floors_by_hand(tmp_path):
    """Trained on happy {0, 0, 3}, sad {1, 1, 1}; scored on {1, 2} and {0, 3}."""
    given = {"train": [(0, 1), (0, 1), (3, 1)], "test": [(1, 0), (2, 3)]}
    recordings = [Video(split, noise(40), split) for split in given]
    segments = [Segment(v, 0, 30, targets) for v, rows in enumerate(given.values()) for targets in rows]
    ready = write_segments(tmp_path, recordings, segments)
    found = {c: (v["mae"].tolist(), v["acc4"].tolist()) for c, v in ready.floors["test"].items()}
    assert found == {
        "train mean": ([0.5, 1.5], [0.5, 0.0]),
        "train median": ([1.5, 1.5], [0.0, 0.0]),
        "always 0": ([1.5, 1.5], [0.0, 0.5]),
    }
    assert ready.floors["valid"] == {}
    assert ready.floors["train"]["always 0"]["mae"].tolist() == [1, 1]
    summary = ready.summary()["floors"]["test"]
    assert summary["train mean"] == {
        "mae": {"overall": 1.0, "happy": 0.5, "sad": 1.5},
        "acc4": {"overall": 0.25, "happy": 0.5, "sad": 0.0},
    }


def test_the_summary_is_plain_json(ready):
    summary = ready.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["folder"] == str(ready.folder) and summary["content_hash"] == ready.content_hash
    assert summary["videos"] == {"train": 1, "valid": 1, "test": 1, "none": 1}
    assert summary["segments"] == {"train": 2, "valid": 0, "test": 1, "none": 1}
    assert (summary["frames"], summary["features"], summary["hours"]) == (87, 2, 87 / 100 / 3600)
    assert summary["labels"]["sad"] == {"positive": 0.75, "mean": 1.25, "classes": [0.25, 0.25, 0.25, 0.25]}
    assert summary["report"] == {"note": 1}


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        ([], {"positive": None, "mean": None, "classes": [0, 0, 0, 0]}),
        ([0], {"positive": 0.0, "mean": 0.0, "classes": [1, 0, 0, 0]}),
        ([0, 0.25, 0.5, 3], {"positive": 0.75, "mean": 0.9375, "classes": [0.5, 0.25, 0, 0.25]}),
    ],
)
def test_label_distribution(intensity, expected):
    assert label_distribution(np.array(intensity, np.float32)) == expected


def test_a_speaker_s_unlabelled_videos_follow_its_labelled_ones_into_a_fold(tmp_path):
    """Speaker a is tested in fold 0, b in fold 1; each has an unlabelled video too, and one is of nobody."""
    speakers = ("a", "b", "a", "b", "")
    frames = np.zeros((4, 1), np.float32)
    nothing = np.full(2, SPLITS.index("none"), np.int8)
    with CorpusWriter(tmp_path, ["f"], 100.0) as writer:
        offsets = [writer.add_recording(str(i), frames.copy(), SPLITS.index("none"), s) for i, s in enumerate(speakers)]
        segments = SegmentTable(
            recording=np.array([0, 1], np.int32),
            row=np.zeros(2, np.int32),
            start=np.zeros(2),
            end=np.full(2, 0.04),
            first=np.array(offsets[:2], np.int64),
            length=np.full(2, 4, np.int32),
            split=nothing,
            fold=np.array([0, 1], np.int8),
            category=np.full(2, -1, np.int8),
        )
        ready = writer.seal(segments, np.zeros((2, 1), np.float32), ("happy",), {}, "made up", "by speaker")
    split = {fold: [SPLITS[code] for code in ready.of_fold(fold).recordings.split] for fold in (0, 1)}
    assert split[0] == ["test", "valid", "test", "valid", "none"]
    assert split[1] == ["valid", "test", "valid", "test", "none"]
