import json
import re

from builders import Segment, Video, noise, prepared, write_segments

from emo_ssl.corpora.covarep import FEATURE_NAMES, GROUPS, groups_of
from emo_ssl.corpora.report import describe, faults, summary


def test_the_summary_is_plain_json(tmp_path):
    opened = prepared(tmp_path, {"a": 100, "b": 50}, {"a": [(0, 1), (0, 0.5)]}, {"train": ["a"], "test": ["b"]})
    found = summary(opened)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["videos"] == {"train": 1, "valid": 0, "test": 1, "none": 0}
    assert found["segments"] == {"train": 2, "valid": 0, "test": 0, "none": 0}
    assert (found["frames"], found["features"], found["hours"]) == (150, 2, 150 / 100 / 3600)
    assert found["labels"]["happy"] == {"positive": 1.0, "mean": 1.0, "classes": [0, 1, 0, 0]}
    assert found["report"] == opened.report and found["float16_error"] is None
    text = describe(opened)
    assert opened.content_hash in text and "150 frames (0.0 h) of 2 features at 100 Hz, f4" in text
    assert re.search(r"^train +1 +\? +2$", text, re.MULTILINE)


def test_describe_says_who_is_in_each_cross_validation_fold(tmp_path):
    speakers, folds = ["x", "x", "y", "z", ""], [0, 0, 1, 1, 1]
    recordings = [Video(str(i), noise(40), speaker=speaker) for i, speaker in enumerate(speakers)]
    segments = [Segment(i, 0, 40, fold=fold) for i, fold in enumerate(folds)]
    lines = describe(write_segments(tmp_path, recordings, segments)).splitlines()
    assert "folds: made up, 2 of them" in lines
    assert [line.split() for line in lines if line.startswith("fold ")] == [
        *(["fold", "0", "2", "1", "2", "x"], ["fold", "1", "3", "2", "3", "y,", "z"])
    ]


def test_faults_of_a_report():
    report = {
        "segments": {"in": 9, "kept": 6, "dropped": {"label is NaN": 3}},
        "mended": {"start below 0 clipped": 2, "never met": 0},
        "videos": {"kept": 5, "in no fold, kept for pretraining": 1},
        "frames": {"in": 90, "dropped: row of the wrong width": 7, "kept": 83},
        "missing_values": {"peakSlope": 4},
        "files": {"unusual root group `COAVAREP`": "a.csd"},
    }
    assert faults(report) == [
        ("segments", "dropped", "label is NaN", 3),
        ("segments", "mended", "start below 0 clipped", 2),
        ("videos", "noted", "in no fold, kept for pretraining", 1),
        ("frames", "dropped", "row of the wrong width", 7),
        ("values", "noted", "missing in peakSlope", 4),
        ("files", "noted", "unusual root group `COAVAREP` in a.csd", 1),
    ]


def test_groups_of_features():
    assert len(set(FEATURE_NAMES)) == 74
    assert [FEATURE_NAMES[i] for i in (0, 7, 11, 36, 61)] == ["F0", "peakSlope", "MCEP_0", "HMPDM_0", "HMPDD_0"]
    assert GROUPS[2].span == "creak" and GROUPS[0].span == "F0 … VUV"
    found = dict(groups_of(["F0", "loudness", "MCEP_3", "MCEP_4"]))
    assert {title: places.tolist() for title, places in found.items()} == {
        **{"pitch": [0], "spectrum": [2, 3], "other": [1]}
    }
