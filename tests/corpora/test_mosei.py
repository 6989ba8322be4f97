"""Every defect that real files have: what becomes of it, that it is counted, and that nothing vanishes uncounted."""

import csv
import re

import h5py
import numpy as np
import pytest
from builders import (
    NAMES,
    RATE,
    contents,
    intensities,
    label_table,
    noise,
    prepared,
    times,
    write_corpus,
    write_csd,
    write_plain_csd,
)

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.corpora.csd import EMOTIONS, LABEL_NAMES, CsdWriter
from emo_ssl.corpora.folds import NOT_STANDARD, hash_split
from emo_ssl.corpora.labels import base_of, in_order
from emo_ssl.corpora.mosei import EDGE, cut, prepare
from emo_ssl.corpora.report import describe
from emo_ssl.utils.io import UserError

SECOND = (0.0, 1.0)
NAN, INF = float("nan"), float("inf")


def naive_cut(intervals, start, end):
    """Look at every frame: it belongs to the segment if it touches it, give or take a hundredth of a millisecond."""
    return [i for i, (a, b) in enumerate(intervals.tolist()) if a < end + 1e-5 and b > start - 1e-5]


def check_sums(opened: Corpus, rows: int, frames: int) -> dict:
    """In = kept + dropped, whichever way it is counted; returns the report."""
    report = opened.report
    assert report["segments"]["in"] == rows == sum(v["in"] for v in report["by_split"].values())
    assert report["segments"]["kept"] == len(opened) == sum(v["kept"] for v in report["by_split"].values())
    assert rows == len(opened) + sum(report["segments"]["dropped"].values())
    assert {name: v["kept"] for name, v in report["by_split"].items()} == {n: len(opened.where(n)) for n in SPLITS}
    gone = sum(n for name, n in report["frames"].items() if name.startswith("dropped: "))
    assert report["frames"].keys() - {"in", "kept"} == {n for n in report["frames"] if n.startswith("dropped: ")}
    assert report["frames"]["in"] == frames == report["frames"]["kept"] + gone
    assert report["frames"]["kept"] == opened.header["frames"] == len(opened.frames)
    assert report["videos"]["kept"] == len(opened.recordings)
    text = describe(opened)
    assert f"segments: {rows:,} in = {len(opened):,} kept + {rows - len(opened):,} dropped" in text
    assert f"frames: {frames:,} in = {len(opened.frames):,} kept + {gone:,} dropped" in text
    return report


def reasons(report: dict) -> dict[str, int]:
    return report["segments"]["dropped"]


def mended(report: dict) -> dict[str, int]:
    return {repair: n for repair, n in report["mended"].items() if n}


# --- cutting


@pytest.mark.parametrize("rate", [RATE, 99.7, 30])
def test_cut_equals_a_scan_over_all_frames(rate):
    rng = np.random.default_rng(int(rate))
    for count in (1, 2, 50, 300):
        intervals = times(count, rate, start=rng.uniform(0, 0.01))
        duration = count / rate
        start = np.concatenate([rng.uniform(-0.5, duration + 0.2, 60), rng.choice(intervals.ravel(), 60)])
        end = start + np.concatenate([rng.uniform(0, duration, 60), rng.choice(intervals[:, 1], 60)])
        first, length = cut(intervals, start, end)
        for i in range(len(start)):
            expected = naive_cut(intervals, start[i], end[i])
            assert list(range(first[i], first[i] + length[i])) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.1, 0.1, [9, 10]),  # an instant touches the frame that ends and the one that starts there
        (0.1, 0.2, list(range(9, 21))),
        (0.105, 0.115, [10, 11]),
        (0.1 + 0.9e-5, 0.2 - 0.9e-5, list(range(9, 21))),
        (0.1 + 1.1e-5, 0.2 - 1.1e-5, list(range(10, 20))),
        (-0.5, 0.005, [0]),
        (-0.5, -0.1, []),
        (0.295, 9, [29]),
        (0.3, 9, [29]),
        (0.31, 9, []),
        (-9, 9, list(range(30))),
    ],
)
def test_cut_at_the_edges(start, end, expected):
    assert naive_cut(times(30), start, end) == expected
    first, length = cut(times(30), np.array([start]), np.array([end]))
    assert list(range(first[0], first[0] + length[0])) == expected
    assert EDGE == 1e-5


def test_a_frame_that_lies_at_the_very_edge_is_left_out():
    """Both inequalities are strict: 1 - EDGE and 2 + EDGE themselves are outside."""
    intervals = np.array([[0, 1 - EDGE], [1 - EDGE, 2 + EDGE], [2 + EDGE, 3]])
    assert naive_cut(intervals, 1, 2) == [1]
    assert [part.tolist() for part in cut(intervals, np.array([1.0]), np.array([2.0]))] == [[1], [1]]


def test_cut_of_nothing():
    none = np.empty(0)
    assert [len(part) for part in cut(times(5), none, none)] == [0, 0]
    assert cut(times(0), np.array([0.0]), np.array([1.0]))[1].tolist() == [0]


def test_cut_with_gaps_between_frames():
    intervals = np.concatenate([times(10), times(10, start=1.0)])
    start, end = np.array([0.05, 0.3, 0.5]), np.array([1.05, 0.6, 1.5])
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
    report = check_sums(opened, rows=4, frames=550)
    assert reasons(report) == {} and mended(report) == {} and report["files"] == {}
    assert report["missing_values"] == {} and report["label_columns_not_used"] == ["sentiment"]
    assert opened.recordings.id.tolist() == ["-a", "127470", "b"]
    assert opened.recordings.length.tolist() == [200, 50, 300] and opened.recordings.offset.tolist() == [0, 200, 250]
    assert [SPLITS[code] for code in opened.recordings.split] == ["test", "valid", "train"]
    assert opened.segments.recording.tolist() == [0, 2, 2, 2] and opened.segments.row.tolist() == [0, 0, 1, 2]
    assert opened.segments.start.tolist() == [0, 1.005, 0.5, 2.0] and opened.segments.end.tolist() == [
        2,
        1.995,
        2.0,
        2.9,
    ]
    assert set(opened.segments.fold.tolist()) == set(opened.segments.category.tolist()) == {-1}
    assert opened.feature_names == NAMES and opened.target_names == EMOTIONS and opened.frame_rate == 100.0
    np.testing.assert_array_equal(opened.targets[1], np.float32([1 / 3, 0, 0, 0, 0, 3]))
    for i, (recording, start, end) in enumerate([("-a", 0, 2), ("b", 1.005, 1.995), ("b", 0.5, 2.0), ("b", 2.0, 2.9)]):
        raw = noise(recordings[recording], seed=sum(recording.encode()))
        np.testing.assert_array_equal(opened.segment(i), raw[naive_cut(times(len(raw)), start, end)])


def test_overlapping_segments_share_their_frames(tmp_path):
    opened = prepared(tmp_path, {"a": 300}, {"a": [(0.005, 1.995), (1.005, 2.995)]})
    assert len(opened.frames) == 300
    first, second = opened.segment(0), opened.segment(1)
    assert np.shares_memory(first, second)
    np.testing.assert_array_equal(first[100:], second[:100])


def test_rows_keep_the_order_of_the_file_and_not_of_time(tmp_path):
    rows = [(2, 3), (2, 2), (0, 1), (1, 2)]
    opened = prepared(tmp_path, {"a": 300}, {"a": rows})
    assert opened.segments.row.tolist() == [0, 2, 3]
    assert opened.segments.start.tolist() == [2, 0, 1]
    assert opened.report["examples"]["interval of no length"] == ["a row 1"]


def test_the_folds_are_the_hash_split_where_none_are_given(tmp_path):
    ids = ["hello", "abc", "x", "y"]
    opened = prepared(tmp_path, dict.fromkeys(ids, 50), {v: [(0, 0.5)] for v in ids})
    assert opened.header["folds"] == NOT_STANDARD
    assert {v: int(s) for v, s in zip(opened.recordings.id.tolist(), opened.recordings.split, strict=True)} == {
        v: hash_split(v) for v in ids
    }
    fewer = prepared(tmp_path / "fewer", {"abc": 50}, {"abc": [(0, 0.5)]})
    assert fewer.recordings.split.tolist() == [hash_split("abc")]
    given = prepared(tmp_path / "given", {"abc": 50}, {"abc": [(0, 0.5)]}, {"train": ["abc"]})
    assert given.header["folds"] == "given by the user" and given.recordings.split.tolist() == [0]


def test_one_frame_short_of_a_corpus(tmp_path):
    """Two frames are the fewest that have a rate; a corpus may hold frames and no segment."""
    opened = prepared(tmp_path, {"a": 2}, {"a": [(0, 0.02)]})
    assert reasons(check_sums(opened, rows=1, frames=2)) == {"shorter than 0.3 s of frames": 1}
    assert len(opened) == 0 and opened.frame_rate == 100
    for count, sentence in ((1, "no video has two frames"), (0, "holds no frames")):
        with pytest.raises(UserError, match=rf"COVAREP\.csd: {sentence}"):
            prepared(tmp_path / str(count), {"a": count}, {"a": [(0, 0.02)]})
        assert not (tmp_path / str(count) / "corpus").exists()


def test_the_source_is_named(tmp_path):
    with CsdWriter(tmp_path / "a.csd", "COVAREP", NAMES, metadata={"corpus": "made up, seed 7"}) as writer:
        writer.add("a", noise(50), times(50))
    paths = write_corpus(tmp_path / "source", {"a": 50}, {"a": [(0, 0.5)]})
    assert prepare(**paths, output=tmp_path / "named").header["source"] == "COVAREP.csd + LABELS.csd"
    named = prepare(tmp_path / "a.csd", paths["labels"], None, tmp_path / "unnamed")
    assert named.header["source"] == "made up, seed 7"


# --- defects of the acoustic file


def test_values_that_are_not_finite_become_nan_and_are_counted(tmp_path):
    raw = noise(100, 3)
    raw[3, 0], raw[4, 0], raw[5, 2] = NAN, INF, -INF
    raw[:, 1] = -INF
    opened = prepared(tmp_path, {"a": raw, "b": noise(40, 3)}, {"a": [SECOND]}, names=("F0", "peakSlope", "NAQ"))
    report = check_sums(opened, rows=1, frames=140)
    assert report["missing_values"] == {"peakSlope": 100, "F0": 2, "NAQ": 1}
    np.testing.assert_array_equal(opened.recording(0), np.where(np.isfinite(raw), raw, np.nan))
    np.testing.assert_array_equal(opened.recording(1), noise(40, 3))


def test_a_sum_that_overflows_is_not_a_missing_value(tmp_path):
    raw = np.full((10, 2), np.finfo(np.float32).max, np.float32)
    opened = prepared(tmp_path, {"a": raw, "b": 50}, {"b": [(0, 0.5)]})
    assert check_sums(opened, rows=1, frames=60)["missing_values"] == {}
    np.testing.assert_array_equal(opened.recording(0), raw)


def test_rows_of_another_width_are_dropped_with_their_video(tmp_path):
    recordings = {"a": 100, "b": 50, "narrow": noise(30, 1)}
    opened = prepared(tmp_path, recordings, {"a": [SECOND], "narrow": [SECOND, (0, 0.2)]})
    report = check_sums(opened, rows=3, frames=180)
    assert reasons(report) == {"video with rows of the wrong width": 2}
    assert report["videos"]["with rows of another width, dropped"] == 1
    assert report["frames"]["dropped: row of the wrong width"] == 30
    assert report["examples"]["with rows of another width, dropped"] == ["narrow"]
    assert opened.recordings.id.tolist() == ["a", "b"]


def test_a_labelled_video_without_frames(tmp_path):
    recordings = {"a": 100, "empty": np.empty((0, 2), np.float32)}
    opened = prepared(tmp_path, recordings, {"a": [SECOND], "absent": [SECOND, (1, 2)], "empty": [SECOND]})
    report = check_sums(opened, rows=4, frames=100)
    assert reasons(report) == {"video without frames": 3}
    assert report["videos"] == {
        "kept": 1,
        "in the acoustic file with no frame, dropped": 1,
        "labelled but without frames": 1,
    }
    assert report["examples"]["video without frames"] == ["absent row 0", "absent row 1", "empty row 0"]


def test_a_video_without_labels_is_kept_for_pretraining(tmp_path):
    opened = prepared(tmp_path, {"a": 100, "mute": 70, "z": 30}, {"a": [SECOND]}, {"train": ["a", "mute", "z"]})
    report = check_sums(opened, rows=1, frames=200)
    assert report["videos"]["with frames but without labels, kept for pretraining"] == 2
    assert report["examples"]["with frames but without labels, kept for pretraining"] == ["mute", "z"]
    np.testing.assert_array_equal(opened.recording(1), noise(70, seed=sum(b"mute")))


def test_unsorted_rows_are_sorted_by_time(tmp_path):
    raw, intervals, order = noise(200), times(200), np.random.default_rng(0).permutation(200)
    labels = {"a": [(0.2, 1.2)], "b": [(0.2, 1.2)]}
    opened = prepared(tmp_path, {"a": (raw[order], intervals[order]), "b": raw}, labels)
    report = check_sums(opened, rows=2, frames=400)
    assert report["videos"]["rows out of time order, sorted"] == 1
    assert report["examples"]["rows out of time order, sorted"] == ["a"]
    np.testing.assert_array_equal(opened.recording(0), raw)
    np.testing.assert_array_equal(opened.segment(0), opened.segment(1))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_frames_whose_interval_is_not_a_number_are_dropped(tmp_path, bad):
    raw, intervals = noise(100), times(100)
    intervals[7, 0] = intervals[9, 1] = bad
    intervals[20] = bad, -bad
    labels = {"a": [(0.0, 1.0)]}
    opened = prepared(tmp_path, {"a": (raw, intervals), "b": (noise(5), np.full((5, 2), bad))}, labels)
    report = check_sums(opened, rows=1, frames=105)
    assert report["frames"]["dropped: interval is not a number"] == 8
    assert report["videos"]["in the acoustic file with no frame, dropped"] == 1
    np.testing.assert_array_equal(opened.recording(0), np.delete(raw, (7, 9, 20), 0))


@pytest.mark.parametrize("dtype", ["<f8", "<f2", "<i2"])
def test_numbers_of_another_format_are_read_as_float32(tmp_path, dtype):
    values = (noise(100) * 50).astype(dtype)
    opened = prepared(tmp_path, {"a": values, "b": 10}, {"a": [SECOND]})
    report = check_sums(opened, rows=1, frames=110)
    assert report["videos"]["stored in another number format, read as float32"] == 1
    assert opened.frames.dtype == np.float32
    np.testing.assert_array_equal(opened.recording(0), values.astype(np.float32))


def test_doubles_beyond_float32_count_as_missing(tmp_path):
    opened = prepared(tmp_path, {"a": np.full((50, 2), 1e300), "b": 50}, {"a": [(0, 0.5)]})
    assert check_sums(opened, rows=1, frames=100)["missing_values"] == {"F0": 50, "peakSlope": 50}


def test_text_in_place_of_features_is_refused(tmp_path):
    paths = write_corpus(tmp_path, {"a": 100}, {"a": [SECOND]})
    with h5py.File(paths["acoustic"], "r+") as file:
        del file["COVAREP/data/a/features"]
        file["COVAREP/data/a/features"] = np.full((100, 2), b"loud")
    with pytest.raises(UserError, match=r"COVAREP\.csd: `a/features` holds .*, not numbers"):
        prepare(**paths, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_typo_in_the_root_is_noted_and_harmless(tmp_path):
    plain = prepared(tmp_path / "plain", {"a": 100}, {"a": [SECOND]})
    typo = prepared(tmp_path / "typo", {"a": 100}, {"a": [SECOND]}, roots=("COAVAREP", "Emotion Labels"))
    assert typo.report["files"] == {"unusual root group `COAVAREP`": "COVAREP.csd"}
    assert typo.content_hash == plain.content_hash


def test_a_feature_file_without_names_is_taken_for_covarep_by_its_width(tmp_path):
    opened = prepared(tmp_path, {"a": noise(100, 74)}, {"a": [SECOND]}, names=None)
    assert len(opened.feature_names) == 74 and opened.feature_names[7] == "peakSlope"
    with pytest.raises(UserError, match=r"COVAREP\.csd: rows hold 43 values, COVAREP has 74"):
        prepared(tmp_path / "narrow", {"a": noise(100, 43)}, {"a": [SECOND]}, names=None)
    with pytest.raises(UserError, match="rows hold 3 values, the file names 2"):
        prepared(tmp_path / "wide", {"a": noise(100, 3)}, {"a": [SECOND]})


# --- files that the SDK's align has cut into pieces


def test_base_and_order_of_pieces():
    assert [base_of(key) for key in ("a[0]", "a[12]", "-b", "127470", "a[x]", "a[0]b")] == [
        *("a", "a", "-b", "127470", "a[x]", "a[0]b")
    ]
    assert in_order(["a[10]", "a[2]", "b", "a", "B[0]"]) == ["B[0]", "a", "a[2]", "a[10]", "b"]


def test_aligned_pieces_are_put_together_again(tmp_path):
    raw = noise(1200)
    pieces = {f"a[{i}]": (raw[100 * i : 100 * (i + 1)], times(100, start=float(i))) for i in range(12)}
    rows = {f"a[{i}]": [(i, i + 1, intensities(happy=i / 4))] for i in range(12)}
    opened = prepared(tmp_path, {**pieces, "b": 100}, {**rows, "b": [SECOND]}, {"train": ["a"], "test": ["b"]})
    report = check_sums(opened, rows=13, frames=1300)
    assert opened.recordings.id.tolist() == ["a", "b"]
    assert "rows out of time order, sorted" not in report["videos"]
    assert opened.segments.row.tolist() == [*range(12), 0]
    assert opened.targets[:12, 0].tolist() == [i / 4 for i in range(12)]
    np.testing.assert_array_equal(opened.recording(0), raw)
    np.testing.assert_array_equal(opened.segment(10), raw[naive_cut(times(1200), 10, 11)])


def test_frames_of_overlapping_pieces_are_stored_once(tmp_path):
    raw, intervals = noise(300), times(300)
    pieces = {"a[0]": slice(0, 200), "a[1]": slice(150, 300), "a[2]": slice(160, 190)}
    entries = {key: (raw[part], intervals[part]) for key, part in pieces.items()}
    labels = {"a[0]": [(0, 2)], "a[1]": [(1.5, 3)], "a[2]": [(1.6, 1.9)]}
    opened = prepared(tmp_path, entries, labels)
    report = check_sums(opened, rows=3, frames=380)
    assert report["frames"]["dropped: repeated in an overlapping piece"] == 80
    np.testing.assert_array_equal(opened.recording(0), raw)


# --- defects of the label file


def one_video(tmp_path, rows, seconds=3.0, **options):
    """Prepare one video with the given label rows."""
    opened = prepared(tmp_path, {"a": round(seconds * RATE)}, {"a": rows}, {"train": ["a"]}, **options)
    return opened, check_sums(opened, len(rows), round(seconds * RATE))


def test_negative_starts_are_clipped_and_counted(tmp_path):
    opened, report = one_video(tmp_path, [(-0.4875, 1.0), (-0.1, 0.5), (0, 1.5)])
    assert mended(report) == {"start below 0 clipped": 2} and reasons(report) == {}
    assert opened.segments.first.tolist() == [0, 0, 0] and opened.segments.length.tolist() == [101, 51, 151]


def test_intervals_beyond_the_end_are_clipped_or_dropped(tmp_path):
    opened, report = one_video(tmp_path, [(2, 3), (2, 3.005), (2, 9), (3.1, 4), (3.011, 5)])
    assert mended(report) == {"end beyond the video clipped": 1}
    assert reasons(report) == {"interval beyond the end of the video": 2}
    assert opened.segments.length.tolist() == [101, 101, 101]


def test_an_interval_between_the_frames_is_dropped(tmp_path):
    gap = (noise(200), np.concatenate([times(100), times(100, start=5)]))
    opened = prepared(tmp_path, {"a": gap}, {"a": [(2, 4), (-3, -1), (0.5, 5.5)]})
    assert reasons(check_sums(opened, rows=3, frames=200)) == {"interval without frames": 2}
    assert opened.segments.length.tolist() == [51 + 51]


def test_segments_under_a_third_of_a_second_are_dropped(tmp_path):
    """[1.005, 1.285] touches frames 100 to 128, one fewer than 0.3 s."""
    opened, report = one_video(tmp_path, [(1.005, 1.285), (1.005, 1.295), (0, 0.1), (2.95, 3)])
    assert reasons(report) == {"shorter than 0.3 s of frames": 3}
    assert opened.segments.length.tolist() == [30]


def test_intervals_of_no_length_or_reversed_are_dropped(tmp_path):
    _, report = one_video(tmp_path, [(1, 1), (2, 1), (1.5, 1.4), SECOND])
    assert reasons(report) == {"interval of no length": 1, "interval reversed": 2}


@pytest.mark.parametrize("interval", [(NAN, 1), (0, NAN), (0, INF), (-INF, 1), (NAN, NAN)])
def test_intervals_that_are_not_numbers_are_dropped(tmp_path, interval):
    _, report = one_video(tmp_path, [interval, SECOND])
    assert reasons(report) == {"interval is not a number": 1}


def test_labels_that_are_not_numbers_are_dropped(tmp_path):
    rows = [(*SECOND, intensities(sad=NAN)), (1, 2, (NAN,) * 6), (1.5, 2.5, intensities(fear=INF)), (2, 3)]
    opened, report = one_video(tmp_path, rows)
    assert reasons(report) == {"label is NaN": 2, "label is infinite": 1}
    assert opened.segments.row.tolist() == [3]


def test_a_sentiment_that_is_not_a_number_costs_nothing(tmp_path):
    values, intervals = label_table([SECOND])
    values[0, 0] = NAN
    paths = write_corpus(tmp_path, {"a": 300}, {})
    write_csd(paths["labels"], {"a": (values, intervals)}, LABEL_NAMES)
    assert len(prepare(**paths, output=tmp_path / "out")) == 1


@pytest.mark.parametrize(("value", "expected"), [(3.25, 3), (99, 3), (-0.5, 0)])
def test_a_value_out_of_range_is_clamped(tmp_path, value, expected):
    opened, report = one_video(tmp_path, [(*SECOND, intensities(anger=value)), (1, 2, intensities(anger=2))])
    assert mended(report) == {"value outside [0, 3] clamped": 1}
    assert opened.targets[:, 2].tolist() == [expected, 2]


def test_many_values_out_of_range_are_the_wrong_columns(tmp_path):
    rows = [(i / 10, i / 10 + 1, intensities(happy=4 if i < 3 else 1, sad=-1 if i == 0 else 0)) for i in range(250)]
    with pytest.raises(
        UserError, match=r"LABELS\.csd: 3 of 250 rows hold intensities outside \[0, 3\] \(from -1 to 4\)"
    ):
        one_video(tmp_path / "three", rows, seconds=30)
    assert not (tmp_path / "three" / "corpus").exists()
    with pytest.raises(UserError, match="2 of 5 rows hold"):
        one_video(tmp_path / "short", rows[1:6], seconds=30)
    assert mended(one_video(tmp_path / "two", rows[1:], seconds=30)[1]) == {"value outside [0, 3] clamped": 2}


def test_a_repeated_interval_counts_once(tmp_path):
    rows = [SECOND, (1, 2), SECOND, (0.0001, 1.0001), (0, 1.002), (*SECOND, intensities(sad=2)), (2, 1), (2, 1)]
    opened, report = one_video(tmp_path, rows)
    assert reasons(report) == {"duplicate of an earlier row": 3, "interval reversed": 2}
    assert opened.segments.row.tolist() == [0, 1, 4]
    assert report["examples"]["duplicate of an earlier row"] == ["a row 2", "a row 3", "a row 5"]


def test_the_same_interval_in_another_video_is_no_duplicate(tmp_path):
    opened = prepared(tmp_path, {"a": 100, "b": 100}, {"a": [SECOND], "b": [SECOND]})
    assert reasons(check_sums(opened, rows=2, frames=200)) == {}


def test_a_row_with_two_defects_is_counted_once(tmp_path):
    rows = [(2, 1, intensities(sad=NAN)), (5, 4, intensities(sad=9)), (7, 7.1), (-1, 9, intensities(sad=9))]
    _, report = one_video(tmp_path, rows)
    assert reasons(report) == {"label is NaN": 1, "interval reversed": 1, "interval beyond the end of the video": 1}
    assert mended(report) == {
        "start below 0 clipped": 1,
        "end beyond the video clipped": 1,
        "value outside [0, 3] clamped": 1,
    }


# --- label columns


COLUMN_VALUES = dict(zip(EMOTIONS, (0.25, 0.5, 0.75, 1.0, 1.25, 1.5), strict=True))


@pytest.mark.parametrize(
    ("names", "unused"),
    [
        (LABEL_NAMES, ["sentiment"]),
        (EMOTIONS, []),
        (tuple(sorted(EMOTIONS)), []),
        (("fear", "extra", "sad", "happy", "surprise", "anger", "disgust"), ["extra"]),
        (("Happiness", "Sadness", "Angry", "Surprised", "disgusted ", "FEARFUL"), []),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_columns_are_found_by_name(tmp_path, names, unused, given):
    synonyms = {"happiness": "happy", "sadness": "sad", "angry": "anger", "surprised": "surprise"}
    synonyms |= {"disgusted": "disgust", "fearful": "fear"}
    plain = [synonyms.get(name.strip().lower(), name) for name in names]
    paths = write_corpus(tmp_path / "source", {"a": 100}, {})
    row = np.array([[COLUMN_VALUES.get(name, 9.0) for name in plain]], np.float32)
    write_csd(paths["labels"], {"a": (row, np.array([SECOND]))}, None if given else names, "Labels")
    opened = prepare(**paths, output=tmp_path / "out", label_names=names if given else None)
    assert opened.targets.tolist() == [list(COLUMN_VALUES.values())]
    assert opened.report["label_columns_not_used"] == unused


def test_columns_without_names_are_not_guessed(tmp_path):
    labels = {"a": [(*SECOND, tuple(COLUMN_VALUES.values()))]}
    with pytest.raises(UserError, match=r"LABELS\.csd: the file does not name its columns.*--label-names"):
        prepared(tmp_path / "none", {"a": 100}, labels, label_names=None)
    with pytest.raises(UserError, match="no column named fear among sentiment, happy"):
        prepared(tmp_path / "fewer", {"a": 100}, labels, label_names=LABEL_NAMES[:-1])
    with pytest.raises(UserError, match=r"`a` has 7 columns for the 6 names"):
        prepared(tmp_path / "short", {"a": 100}, labels, label_names=None, given_names=EMOTIONS)
    opened = prepared(tmp_path / "given", {"a": 100}, labels, label_names=None, given_names=LABEL_NAMES)
    assert opened.targets.tolist() == [list(COLUMN_VALUES.values())]


def test_names_given_go_before_names_in_the_file(tmp_path):
    labels = {"a": [(*SECOND, tuple(COLUMN_VALUES.values()))]}
    turned = ("sentiment", *reversed(EMOTIONS))
    opened = prepared(tmp_path, {"a": 100}, labels, given_names=turned)
    assert opened.targets.tolist() == [list(reversed(COLUMN_VALUES.values()))]


@pytest.mark.parametrize("labels", [{}, {"a": []}])
def test_a_label_file_without_rows_is_refused(tmp_path, labels):
    with pytest.raises(UserError, match=r"LABELS\.csd: holds no labelled segment"):
        prepared(tmp_path, {"a": 100}, labels)


# --- folds


def test_videos_and_folds_that_do_not_match_are_counted(tmp_path):
    recordings = {"a": 100, "b": 100, "outside": 100, "mute outside": 40}
    labels = {"a": [SECOND], "b": [SECOND], "outside": [SECOND, (0.2, 0.9)], "soundless": [SECOND]}
    folds = {"train": ["a", "soundless"], "valid": ["unheard of"], "test": ["b"]}
    opened = prepared(tmp_path, recordings, labels, folds)
    report = check_sums(opened, rows=5, frames=340)
    assert report["by_split"] == {
        "train": {"in": 2, "kept": 1},
        "valid": {"in": 0, "kept": 0},
        "test": {"in": 1, "kept": 1},
        "none": {"in": 2, "kept": 2},
    }
    assert report["videos"]["in no fold, kept for pretraining"] == 2
    assert report["videos"]["named by the folds but without frames"] == 2
    assert report["examples"]["in no fold, kept for pretraining"] == ["mute outside", "outside"]
    assert dict(zip(opened.recordings.id.tolist(), opened.recordings.split.tolist(), strict=True)) == {
        "a": 0,
        "b": 2,
        "outside": 3,
        "mute outside": 3,
    }


def test_folds_of_another_corpus_are_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"folds\.json: 2 of the 3 videos it names \(such as x\) are in neither data file"
    ):
        prepared(tmp_path, {"a": 100}, {"a": [SECOND]}, {"train": ["a", "x"], "test": ["y"]})


def test_files_without_a_common_video_are_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"LABELS\.csd: none of its videos \(such as b\) is in .*COVAREP\.csd \(such as a\)"
    ):
        prepared(tmp_path, {"a": 100}, {"b": [SECOND]})


# --- everything at once


def many_defects(folder):
    """A corpus in which each kind of defect stands beside the others, and its numbers of rows and frames."""
    spoilt, order = noise(300), np.random.default_rng(1).permutation(100)
    spoilt[5, 1] = -INF
    odd_times = times(100)
    odd_times[50, 1] = NAN
    recordings = {
        "clean": 300,
        "spoilt": spoilt,
        "narrow": noise(60, 1),
        "empty": np.empty((0, 2), np.float32),
        "unsorted": (noise(100)[order], times(100)[order]),
        "double": noise(100).astype(np.float64),
        "odd times": (noise(100), odd_times),
        "mute": 80,
        "outside": 100,
        "cut[0]": (noise(50), times(50)),
        "cut[1]": (noise(90)[40:], times(90)[40:]),
    }
    labels = {
        "clean": [SECOND, SECOND, (2, 1), (1, 1), (0, 0.1), (-0.3, 1.5), (2, 8), (4, 5)],
        "spoilt": [(0, 2, intensities(sad=5)), (*SECOND, intensities(sad=NAN)), (0, NAN)],
        "narrow": [SECOND],
        "empty": [SECOND],
        "absent": [SECOND, (1, 2)],
        "unsorted": [(0.2, 0.8)],
        "double": [SECOND],
        "odd times": [SECOND],
        "outside": [SECOND],
        "cut[0]": [(0, 0.5)],
        "cut[1]": [(0.4, 0.9)],
    }
    folds = {
        "train": ["clean", "narrow", "cut", "mute"],
        "valid": ["spoilt", "double", "unheard of"],
        "test": ["unsorted", "odd times", "absent", "empty"],
    }
    rows = sum(len(v) for v in labels.values())
    frames = 300 + 300 + 60 + 0 + 100 + 100 + 100 + 80 + 100 + 50 + 50
    return prepared(folder, recordings, labels, folds), rows, frames


def test_defects_beside_each_other_still_add_up(tmp_path):
    opened, rows, frames = many_defects(tmp_path)
    report = check_sums(opened, rows, frames)
    assert reasons(report) == {
        "duplicate of an earlier row": 1,
        "interval beyond the end of the video": 1,
        "interval is not a number": 1,
        "interval of no length": 1,
        "interval reversed": 1,
        "label is NaN": 1,
        "shorter than 0.3 s of frames": 1,
        "video with rows of the wrong width": 1,
        "video without frames": 3,
    }
    assert mended(report) == {
        "start below 0 clipped": 1,
        "end beyond the video clipped": 1,
        "value outside [0, 3] clamped": 1,
    }
    assert report["by_split"] == {
        "train": {"in": 11, "kept": 5},
        "valid": {"in": 4, "kept": 2},
        "test": {"in": 5, "kept": 2},
        "none": {"in": 1, "kept": 1},
    }
    assert report["videos"] == {
        "kept": 8,
        "with rows of another width, dropped": 1,
        "in the acoustic file with no frame, dropped": 1,
        "rows out of time order, sorted": 2,
        "stored in another number format, read as float32": 1,
        "labelled but without frames": 1,
        "with frames but without labels, kept for pretraining": 1,
        "named by the folds but without frames": 4,
        "in no fold, kept for pretraining": 1,
    }
    assert {name: n for name, n in report["frames"].items() if name.startswith("dropped") and n} == {
        "dropped: row of the wrong width": 60,
        "dropped: interval is not a number": 1,
        "dropped: repeated in an overlapping piece": 10,
    }
    assert report["missing_values"] == {"peakSlope": 1}
    text = describe(opened)
    for name, count in {**reasons(report), **mended(report), **report["missing_values"]}.items():
        assert re.search(rf"^ +{count}  .*: (missing in )?{re.escape(name)}$", text, re.MULTILINE)


def test_defects_do_not_change_from_run_to_run(tmp_path):
    first, second = many_defects(tmp_path / "1")[0], many_defects(tmp_path / "2")[0]
    assert first.content_hash == second.content_hash
    assert contents(first.folder) == contents(second.folder)


# --- resuming


def test_a_finished_corpus_is_returned_and_another_refused(tmp_path):
    paths = write_corpus(tmp_path, {"a": 100}, {"a": [SECOND]})
    once = prepare(**paths, output=tmp_path / "out")
    before = contents(tmp_path / "out")
    assert prepare(**paths, output=tmp_path / "out").content_hash == once.content_hash
    with pytest.raises(UserError, match=r"another configuration \(half is False there, True here\)"):
        prepare(**paths, output=tmp_path / "out", half=True)
    write_corpus(tmp_path, {"a": 101}, {"a": [SECOND]})
    with pytest.raises(UserError, match=r"another configuration \(acoustic is"):
        prepare(**paths, output=tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_a_plain_file_and_ours_make_the_same_corpus(tmp_path):
    paths = write_corpus(tmp_path, {"a": 100}, {"a": [SECOND]})
    ours = prepare(**paths, output=tmp_path / "ours")
    entries = {"a": (noise(100, seed=sum(b"a")), times(100))}
    plain = write_plain_csd(tmp_path / "p.csd", entries, {"dimension names": '["F0", "peakSlope"]'}, compression="gzip")
    assert prepare(plain, paths["labels"], None, tmp_path / "theirs").content_hash == ours.content_hash


# --- the real geometry


def test_real_geometry(real_data, tmp_path):
    """The real tables with made-up sound: every segment is found, and two of them are too short."""
    intervals: dict[str, list] = {}
    with (real_data / "mosei" / "segments.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            intervals.setdefault(row["file"], []).append((float(row["start"]), float(row["end"])))
    rng = np.random.default_rng(0)
    acoustic, labels = tmp_path / "COVAREP.csd", tmp_path / "LABELS.csd"
    longest = times(int(np.ceil(max(end for rows in intervals.values() for _, end in rows) * RATE)))
    flat = np.zeros((len(longest), 1), np.float32)
    with CsdWriter(acoustic, "COVAREP", ["F0"]) as sound, CsdWriter(labels, "All Labels", LABEL_NAMES) as table:
        for recording, rows in intervals.items():
            count = int(np.ceil(max(end for _, end in rows) * RATE))
            sound.add(recording, flat[:count], longest[:count])
            table.add(recording, rng.integers(0, 10, (len(rows), 7)).astype(np.float32) / 3, np.array(rows))
    opened = prepare(acoustic, labels, real_data / "mosei" / "folds.json", tmp_path / "out")
    report = check_sums_of_the_real_corpus(opened)
    assert report["segments"]["dropped"] == {"shorter than 0.3 s of frames": 2}
    assert {name: v["in"] - v["kept"] for name, v in report["by_split"].items()} == {
        **{"train": 2, "valid": 0, "test": 0, "none": 0}
    }
    assert mended(report)["start below 0 clipped"] == 239


def check_sums_of_the_real_corpus(opened):
    report = opened.report
    assert {name: v["in"] for name, v in report["by_split"].items()} == {
        **{"train": 16_327, "valid": 1_871, "test": 4_662, "none": 399}
    }
    assert report["segments"]["in"] == 23_259 and report["segments"]["kept"] == len(opened) == 23_257
    assert report["videos"]["kept"] == 3_293 and report["videos"]["in no fold, kept for pretraining"] == 68
    return report
