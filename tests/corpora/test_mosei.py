"""Every defect that real files have: what becomes of it, that it is counted, and that nothing vanishes uncounted."""

import csv

import numpy as np
import pytest
from builders import NAMES, RATE, check_sums, intensities, noise, prepared, times, write_corpus, write_csd

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.corpora.cleaning import cut
from emo_ssl.corpora.csd import EMOTIONS, LABEL_NAMES, csd_writer
from emo_ssl.corpora.folds import NOT_STANDARD, hash_split
from emo_ssl.corpora.mosei import prepare
from emo_ssl.utils.io import UserError

SECOND = (0.0, 1.0)
NAN, INF = float("nan"), float("inf")


def naive_cut(intervals, start, end):
    """Look at every frame: it belongs to the segment if it touches it, give or take a hundredth of a millisecond."""
    return [i for i, (a, b) in enumerate(intervals.tolist()) if a < end + 1e-5 and b > start - 1e-5]


def counted(opened: Corpus, rows: int, frames: int) -> dict:
    """The report, whose sums are right."""
    report = check_sums(opened)
    assert (report["segments"]["in"], report["frames"]["in"]) == (rows, frames)
    return report


def reasons(report: dict) -> dict[str, int]:
    return report["segments"]["dropped"]


def mended(report: dict) -> dict[str, int]:
    return {repair: n for repair, n in report["mended"].items() if n}


# --- cutting


@pytest.mark.parametrize("rate", [RATE, 99.7])
def test_cut_equals_a_scan_over_all_frames(rate):
    rng = np.random.default_rng(int(rate))
    for count in (0, 1, 2, 300):
        intervals = np.concatenate([times(count, rate), times(count, rate, start=count / rate + 0.5)])
        start = np.append(rng.uniform(-0.5, 2 * count / rate + 1, 60), rng.choice([*intervals.ravel(), 0], 60))
        end = start + np.append(rng.uniform(0, count / rate, 60), rng.choice([*intervals[:, 1], 0], 60))
        start[60:] += rng.choice([-1.1e-5, -0.9e-5, 0, 0.9e-5, 1.1e-5], 60)  # a hundredth of a millisecond decides
        for i, (first, length) in enumerate(zip(*cut(intervals, start, end), strict=True)):
            assert list(range(first, first + length)) == naive_cut(intervals, start[i], end[i])


# --- a whole corpus, without defects


def test_a_clean_corpus(tmp_path):
    recordings = {"b": 300, "-a": 200, "127470": 50}
    labels = {
        "b": [(1.005, 1.995, intensities(happy=1 / 3, fear=3)), (0.5, 2.0, intensities(sad=1)), (2.0, 2.9)],
        "-a": [(0, 2, intensities(anger=2 / 3))],
        "127470": [],
    }
    folds = {"train": ["b"], "valid": ["127470"], "test": ["-a"]}
    opened = prepared(tmp_path, recordings, labels, folds)
    report = counted(opened, rows=4, frames=550)
    assert reasons(report) == {} and mended(report) == {} and report["files"] == {}
    assert report["missing_values"] == {}
    assert opened.header["folds"] == "given by the user"
    assert opened.recordings.id.tolist() == ["-a", "127470", "b"]
    assert [SPLITS[code] for code in opened.recordings.split] == ["test", "valid", "train"]
    assert opened.segments.recording.tolist() == [0, 2, 2, 2] and opened.segments.row.tolist() == [0, 0, 1, 2]
    assert opened.segments.start.tolist() == [0, 1.005, 0.5, 2.0]
    assert opened.segments.end.tolist() == [2, 1.995, 2.0, 2.9]
    assert set(opened.segments.fold.tolist()) == set(opened.segments.category.tolist()) == {-1}
    assert opened.feature_names == NAMES and opened.target_names == EMOTIONS and opened.frame_rate == 100.0
    np.testing.assert_array_equal(opened.targets[1], np.float32([1 / 3, 0, 0, 0, 0, 3]))
    for i, (recording, start, end) in enumerate([("-a", 0, 2), ("b", 1.005, 1.995), ("b", 0.5, 2.0), ("b", 2.0, 2.9)]):
        raw = noise(recordings[recording], seed=sum(recording.encode()))
        np.testing.assert_array_equal(opened.segment(i), raw[naive_cut(times(len(raw)), start, end)])
    assert np.shares_memory(opened.segment(1), opened.segment(2)), "overlapping segments share their frames"


def test_the_folds_are_the_hash_split_where_none_are_given(tmp_path):
    ids = ["hello", "abc", "x", "y"]
    opened = prepared(tmp_path, dict.fromkeys(ids, 50), {v: [(0, 0.5)] for v in ids})
    assert opened.header["folds"] == NOT_STANDARD
    assert opened.recordings.split.tolist() == [hash_split(v) for v in sorted(ids)]


def test_one_frame_short_of_a_corpus(tmp_path):
    """Two frames are the fewest that have a rate; a corpus may hold frames and no segment."""
    opened = prepared(tmp_path, {"a": 2}, {"a": [(0, 0.02)]})
    assert reasons(counted(opened, rows=1, frames=2)) == {"shorter than 0.3 s of frames": 1}
    assert len(opened) == 0 and opened.frame_rate == 100
    for count in (1, 0):
        with pytest.raises(UserError, match=r"COVAREP\.csd: no video has two frames"):
            prepared(tmp_path / str(count), {"a": count}, {"a": [(0, 0.02)]})


# --- defects of the acoustic file


def test_values_that_are_not_finite_become_nan_and_are_counted(tmp_path):
    raw = noise(100, 3)
    raw[3, 0], raw[4, 0], raw[5, 2] = NAN, INF, -INF
    raw[:, 1] = -INF
    opened = prepared(tmp_path, {"a": raw, "b": noise(40, 3)}, {"a": [SECOND]}, names=("F0", "peakSlope", "NAQ"))
    report = counted(opened, rows=1, frames=140)
    assert report["missing_values"] == {"peakSlope": 100, "F0": 2, "NAQ": 1}
    np.testing.assert_array_equal(opened.recording(0), np.where(np.isfinite(raw), raw, np.nan))
    np.testing.assert_array_equal(opened.recording(1), noise(40, 3))


def test_videos_of_another_width_without_frames_or_without_labels(tmp_path):
    recordings = {"a": 100, "empty": np.empty((0, 2), np.float32), "mute": 70, "narrow": noise(30, 1)}
    labels = {"a": [SECOND], "absent": [SECOND, (1, 2)], "empty": [SECOND], "narrow": [SECOND, (0, 0.2)]}
    opened = prepared(tmp_path, recordings, labels)
    report = counted(opened, rows=6, frames=200)
    assert reasons(report) == {"video with rows of the wrong width": 2, "video without frames": 3}
    assert report["videos"] == {
        "kept": 2,
        "in the acoustic file with no frame, dropped": 1,
        "labelled but without frames": 1,
        "with frames but without labels, kept for pretraining": 1,
        "with rows of another width, dropped": 1,
    }
    assert report["frames"]["dropped: row of the wrong width"] == 30
    assert report["examples"]["with rows of another width, dropped"] == ["narrow"]
    assert report["examples"]["video without frames"] == ["absent row 0", "absent row 1", "empty row 0"]
    assert opened.recordings.id.tolist() == ["a", "mute"]
    np.testing.assert_array_equal(opened.recording(1), noise(70, seed=sum(b"mute")))


def test_unsorted_rows_are_sorted_by_time(tmp_path):
    raw, intervals, order = noise(200), times(200), np.random.default_rng(0).permutation(200)
    labels = {"a": [(0.2, 1.2)], "b": [(0.2, 1.2)]}
    opened = prepared(tmp_path, {"a": (raw[order], intervals[order]), "b": raw}, labels)
    report = counted(opened, rows=2, frames=400)
    assert report["videos"]["rows out of time order, sorted"] == 1
    assert report["examples"]["rows out of time order, sorted"] == ["a"]
    np.testing.assert_array_equal(opened.recording(0), raw)
    np.testing.assert_array_equal(opened.segment(0), opened.segment(1))


@pytest.mark.parametrize("bad", [NAN, INF])
def test_frames_whose_interval_is_not_a_number_are_dropped(tmp_path, bad):
    raw, intervals = noise(100), times(100)
    intervals[7, 0] = intervals[9, 1] = bad
    intervals[20] = bad, -bad
    opened = prepared(tmp_path, {"a": (raw, intervals), "b": (noise(5), np.full((5, 2), bad))}, {"a": [SECOND]})
    report = counted(opened, rows=1, frames=105)
    assert report["frames"]["dropped: interval is not a number"] == 8
    assert report["videos"]["in the acoustic file with no frame, dropped"] == 1
    np.testing.assert_array_equal(opened.recording(0), np.delete(raw, (7, 9, 20), 0))


# --- files that the SDK's align has cut into pieces


def test_aligned_pieces_are_put_together_again(tmp_path):
    raw = noise(1200)
    pieces = {f"a[{i}]": (raw[100 * i : 100 * (i + 1)], times(100, start=float(i))) for i in range(12)}
    rows = {f"a[{i}]": [(i, i + 1, intensities(happy=i / 4))] for i in range(12)}
    opened = prepared(tmp_path, {**pieces, "b": 100}, {**rows, "b": [SECOND]}, {"train": ["a"], "test": ["b"]})
    report = counted(opened, rows=13, frames=1300)
    assert opened.recordings.id.tolist() == ["a", "b"]
    assert "rows out of time order, sorted" not in report["videos"]
    assert opened.segments.row.tolist() == [*range(12), 0]
    assert opened.targets[:12, 0].tolist() == [i / 4 for i in range(12)]
    np.testing.assert_array_equal(opened.recording(0), raw)


def test_frames_of_overlapping_pieces_are_stored_once(tmp_path):
    raw, intervals = noise(300), times(300)
    pieces = {"a[0]": slice(0, 200), "a[1]": slice(150, 300), "a[2]": slice(160, 190)}
    entries = {key: (raw[part], intervals[part]) for key, part in pieces.items()}
    opened = prepared(tmp_path, entries, {"a[0]": [(0, 2)], "a[1]": [(1.5, 3)]})
    report = counted(opened, rows=2, frames=380)
    assert report["frames"]["dropped: repeated in an overlapping piece"] == 80
    np.testing.assert_array_equal(opened.recording(0), raw)


# --- defects of the label file: rows of one video of three seconds -> what is dropped and mended, the rows kept

DROPPED_ROWS = [
    ([(-0.4875, 1.0), (-0.1, 0.5), (0, 1.5)], {}, {"start below 0 clipped": 2}, [0, 1, 2]),
    (
        [(2, 3), (2, 3.005), (2, 9), (3.1, 4), (3.011, 5)],
        {"interval beyond the end of the video": 2},
        {"end beyond the recording clipped": 1},
        [0, 1, 2],
    ),
    # [1.005, 1.285] touches frames 100 to 128, one fewer than 0.3 s
    ([(1.005, 1.285), (1.005, 1.295), (2.95, 3)], {"shorter than 0.3 s of frames": 2}, {}, [1]),
    ([(1, 1), (2, 1), (1.5, 1.4), SECOND], {"interval of no length": 1, "interval reversed": 2}, {}, [3]),
    *(([interval, SECOND], {"interval is not a number": 1}, {}, [1]) for interval in [(NAN, 1), (0, INF), (-INF, 1)]),
    (
        [(*SECOND, intensities(sad=NAN)), (1, 2, (NAN,) * 6), (1.5, 2.5, intensities(fear=INF)), (2, 3)],
        {"label is NaN": 2, "label is infinite": 1},
        {},
        [3],
    ),
    # the same interval to the millisecond, unless the first one was dropped
    (
        [SECOND, (1, 2), SECOND, (0.0001, 1.0001), (0, 1.002), (*SECOND, intensities(sad=2)), (2, 1), (2, 1)],
        {"duplicate of an earlier row": 3, "interval reversed": 2},
        {},
        [0, 1, 4],
    ),
    # a row with two defects is counted once
    (
        [(2, 1, intensities(sad=NAN)), (5, 4, intensities(sad=9)), (7, 7.1), (-1, 9, intensities(sad=9))],
        {"label is NaN": 1, "interval reversed": 1, "interval beyond the end of the video": 1},
        {"start below 0 clipped": 1, "end beyond the recording clipped": 1, "value outside [0, 3] clamped": 1},
        [3],
    ),
]


@pytest.mark.parametrize(("rows", "dropped", "repairs", "kept"), DROPPED_ROWS)
def test_rows_that_cannot_be_used_are_dropped_or_mended_and_counted(tmp_path, rows, dropped, repairs, kept):
    opened = prepared(tmp_path, {"a": 3 * RATE}, {"a": rows}, {"train": ["a"]})
    report = counted(opened, len(rows), 3 * RATE)
    assert (reasons(report), mended(report), opened.segments.row.tolist()) == (dropped, repairs, kept)


def test_an_interval_between_the_frames_is_dropped(tmp_path):
    gap = (noise(200), np.concatenate([times(100), times(100, start=5)]))
    opened = prepared(tmp_path, {"a": gap}, {"a": [(2, 4), (-3, -1), (0.5, 5.5)]})
    assert reasons(counted(opened, rows=3, frames=200)) == {"interval without frames": 2}
    assert opened.segments.length.tolist() == [51 + 51]


def test_many_values_out_of_range_are_the_wrong_columns(tmp_path):
    rows = [(i / 10, i / 10 + 1, intensities(happy=4 if i < 3 else 1, sad=-1 if i == 0 else 0)) for i in range(250)]
    with pytest.raises(
        UserError, match=r"LABELS\.csd: 3 of 250 rows hold intensities outside \[0, 3\] \(from -1 to 4\)"
    ):
        prepared(tmp_path / "three", {"a": 3000}, {"a": rows})
    two = prepared(tmp_path / "two", {"a": 3000}, {"a": [rows[0], *rows[2:]]})
    assert mended(two.report) == {"value outside [0, 3] clamped": 2}
    assert two.targets[:3, :2].tolist() == [[3, 0], [3, 0], [1, 0]]


# --- label columns


COLUMN_VALUES = dict(zip(EMOTIONS, (0.25, 0.5, 0.75, 1.0, 1.25, 1.5), strict=True))


@pytest.mark.parametrize(
    ("names", "plain"),
    [
        (("fear", "extra", "sad", "happy", "surprise", "anger", "disgust"), None),
        (("Happiness", "Sadness", "Angry", "Surprised", "disgusted ", "FEARFUL"), EMOTIONS),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_columns_are_found_by_name(tmp_path, names, plain, given):
    paths = write_corpus(tmp_path / "source", {"a": 100}, {})
    row = np.array([[COLUMN_VALUES.get(name, 9.0) for name in plain or names]], np.float32)
    write_csd(paths["labels"], {"a": (row, np.array([SECOND]))}, None if given else names, "Labels")
    opened = prepare(**paths, output=tmp_path / "out", label_names=names if given else None)
    assert opened.targets.tolist() == [list(COLUMN_VALUES.values())]


def test_names_given_must_fit(tmp_path):
    labels = {"a": [(*SECOND, tuple(COLUMN_VALUES.values()))]}
    with pytest.raises(UserError, match=r"`a` has 7 columns for the 6 names"):
        prepared(tmp_path / "short", {"a": 100}, labels, given_names=EMOTIONS)


# --- folds


def test_videos_and_folds_that_do_not_match_are_counted(tmp_path):
    recordings = {"a": 100, "b": 100, "outside": 100, "mute outside": 40}
    labels = {"a": [SECOND], "b": [SECOND], "outside": [SECOND, (0.2, 0.9)], "soundless": [SECOND]}
    folds = {"train": ["a", "soundless"], "valid": ["unknown"], "test": ["b"]}
    opened = prepared(tmp_path, recordings, labels, folds)
    report = counted(opened, rows=5, frames=340)
    assert [len(opened.where(name)) for name in SPLITS] == [1, 0, 1, 2]
    assert report["videos"]["in no fold, kept for pretraining"] == 2
    assert report["videos"]["named by the folds but without frames"] == 2
    assert report["examples"]["in no fold, kept for pretraining"] == ["mute outside", "outside"]
    assert opened.recordings.id.tolist() == ["a", "b", "mute outside", "outside"]
    assert opened.recordings.split.tolist() == [0, 2, 3, 3]


# --- the real geometry


def test_real_geometry(real_data, tmp_path):
    """The real tables with made-up sound: every segment is found, and two of the training part are too short."""
    intervals: dict[str, list] = {}
    with (real_data / "mosei" / "segments.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            intervals.setdefault(row["file"], []).append((float(row["start"]), float(row["end"])))
    rng = np.random.default_rng(0)
    acoustic, labels = tmp_path / "COVAREP.csd", tmp_path / "LABELS.csd"
    longest = times(int(np.ceil(max(end for rows in intervals.values() for _, end in rows) * RATE)))
    flat = np.zeros((len(longest), 1), np.float32)
    with csd_writer(acoustic, "COVAREP", ["F0"]) as add, csd_writer(labels, "All Labels", LABEL_NAMES) as label:
        for recording, rows in intervals.items():
            count = int(np.ceil(max(end for _, end in rows) * RATE))
            add(recording, flat[:count], longest[:count])
            label(recording, rng.integers(0, 10, (len(rows), 7)).astype(np.float32) / 3, np.array(rows))
    opened = prepare(acoustic, labels, real_data / "mosei" / "folds.json", tmp_path / "out")
    report = opened.report
    assert [len(opened.where(name)) for name in SPLITS] == [16_327 - 2, 1_871, 4_662, 399]
    assert report["segments"]["in"] == 23_259 and report["segments"]["kept"] == len(opened) == 23_257
    assert report["videos"]["kept"] == 3_293 and report["videos"]["in no fold, kept for pretraining"] == 68
    assert report["segments"]["dropped"] == {"shorter than 0.3 s of frames": 2}
    assert mended(report)["start below 0 clipped"] == 239
