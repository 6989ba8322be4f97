"""Leaks on a corpus small enough to count frames by hand."""

import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments

from emo_ssl.core.normalise import Normaliser
from emo_ssl.study import leakage as leaks

SPANS = (  # recording, first frame within it, frames
    *((0, 0, 40), (0, 30, 40), (0, 90, 10)),
    *((1, 0, 50), (1, 50, 30)),
    (2, 5, 20),
)
LENGTHS = (120, 80, 60)


@pytest.fixture
def corpus(tmp_path):
    """Three recordings of 120, 80 and 60 frames, each at a level of its own, so that sound gives it away."""
    recordings = [Video(f"v{v}", noise(n, seed=v) * 0.1 + np.float32(10 * v)) for v, n in enumerate(LENGTHS)]
    labels = [(0.0, 0.5), (1.0, 1.5), (2.0, 0.0), (0.5, 1.0), (1.5, 0.0), (0.0, 2.0)]
    return write_segments(tmp_path, recordings, [Segment(*s, y) for s, y in zip(SPANS, labels, strict=True)])


def test_frames_are_counted_once(corpus):
    assert leaks.covered(corpus).sum() == 70 + 10 + 80 + 20  # the first two overlap by ten
    assert np.flatnonzero(leaks.covered(corpus, np.array([3]))).tolist() == list(range(120, 170))
    assert leaks.shared_frames(corpus, np.array([0, 3, 4]), np.array([1, 5])) == 10 / 60
    assert leaks.shared_frames(corpus, np.array([3]), np.array([0])) == 0


@pytest.mark.parametrize("unit", leaks.UNITS)
def test_random_split_is_a_partition_of_the_wanted_size(unit):
    recording = np.repeat(np.arange(20), np.arange(20) % 4 + 1)
    train, test = leaks.random_split(recording, unit, 0.25, np.random.default_rng(3))
    assert sorted([*train, *test]) == list(range(len(recording)))
    if unit == "recording":
        assert not set(recording[train]) & set(recording[test]) and len(set(recording[test])) == 5
    else:
        assert len(test) == round(0.25 * len(recording)) and set(recording[train]) & set(recording[test])
    assert len(leaks.random_split(recording[:3], unit, 0.01, np.random.default_rng(0))[1]) >= 1  # never empty


def test_nearest_in_sound_is_what_a_plain_scan_finds():
    rng = np.random.default_rng(1)
    sound = rng.normal(size=(60, 5)).astype(np.float32)
    train, test = np.arange(0, 40), np.arange(40, 60)
    found = leaks.nearest_in_sound(sound, train, test, 3)
    for row, i in zip(found, test, strict=True):
        distance = ((sound[train] - sound[i]) ** 2).sum(1)
        assert set(row) == set(train[np.argsort(distance)[:3]])
    assert leaks.nearest_in_sound(sound, train[:2], test, 5).shape == (20, 2)  # fewer to choose from than wanted


def test_nearest_in_time_stays_in_the_recording(corpus):
    nearest = leaks.nearest_in_time(corpus, train=np.array([0, 2, 4]), test=np.array([1, 3, 5]))
    assert nearest.tolist() == [0, 4, -1]  # middles 50 against 20 and 95; the only one of recording 1; none


def plain(corpus) -> Normaliser:
    return Normaliser(np.zeros((1, 2)), np.full((1, 2), 10.0), np.zeros(3, int))


def test_mean_sound_and_the_video_it_gives_away(corpus):
    sound = leaks.mean_sound(corpus, plain(corpus))
    np.testing.assert_allclose(sound[3], np.asarray(corpus.segment(3)).mean(0) / 10, rtol=1e-5)
    train, test = np.array([0, 2, 4]), np.array([1, 3, 5])
    # segment 5 has no other of its recording and is left out
    assert leaks.own_recording_is_nearest(corpus, sound, train, test) == 1.0
    assert leaks.own_recording_is_nearest(corpus, 0 * sound + [[0], [0.1], [9], [9], [1], [5]], train, test) == 0.5
    assert np.isnan(leaks.own_recording_is_nearest(corpus, sound, np.array([0]), np.array([3])))


def test_copying_scores_the_labels_that_were_copied(corpus):
    sound = leaks.mean_sound(corpus, plain(corpus))
    train, test = np.array([0, 2]), np.array([1, 3, 4, 5])
    found = leaks.copying(corpus, sound, train, test, count=1)
    median, y = np.median(corpus.targets[train], 0), corpus.targets
    in_time = np.stack([y[0], median, median, median])
    assert found["nearest in time"]["MAE"] == pytest.approx(np.abs(in_time - y[test]).mean())
    assert found["train median"]["MAE"] == pytest.approx(np.abs(median - y[test]).mean())
    assert found["train median"]["AUROC"] == 0.5


def test_a_planted_leak_is_found_by_segment_and_gone_by_video():
    """Labels that belong to the video alone: copying wins where videos are torn apart, and nowhere else."""
    rng = np.random.default_rng(0)
    recording = np.repeat(np.arange(80), 5)
    sound = (rng.normal(size=(80, 4))[recording] + 0.01 * rng.normal(size=(400, 4))).astype(np.float32)
    targets = (rng.random((80, 6)) < 0.4)[recording].astype(np.float32)

    def auroc(unit: str) -> float:
        train, test = leaks.random_split(recording, unit, 0.2, np.random.default_rng(1))
        return leaks.score(targets[leaks.nearest_in_sound(sound, train, test, 3)].mean(1), targets[test])["AUROC"]

    assert auroc("segment") > 0.95
    assert auroc("recording") < 0.65
