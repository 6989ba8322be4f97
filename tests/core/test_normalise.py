"""Whose frames set the scale, what is clipped or missing, and who is still scored where speakers are enrolled."""

import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments
from training import write_acted, write_mosei_like

from emo_ssl.core.corpus import SPLITS
from emo_ssl.core.normalise import (
    ADAPTED,
    CLIP,
    ENROLMENT_SEED,
    INDEPENDENT,
    Normaliser,
    choose_enrolment,
    robust_statistics,
    sample_places,
    speaker_adapted,
    speaker_independent,
    typical_frame,
    under,
)
from emo_ssl.utils.io import UserError

NAN = np.nan


# --- statistics


@pytest.mark.parametrize(
    ("column", "center", "scale"),
    [
        ([1, 2, 3, 4, 100], 3, (4 - 2) / 1.349),
        ([1e6] * 4, 1e6, 1),  # constant
        ([NAN] * 4, 0, 1),  # never known
        ([NAN, 4, np.inf, -np.inf], 4, 1),
        ([0] * 9 + [1], 0, 0.3),  # a flag: the standard deviation of one in ten
        ([0, 0, 0, 0, 0, 0, 0, 0, NAN, 8], 0, np.sqrt(64 / 9 - (8 / 9) ** 2)),
        ([], 0, 1),
    ],
)
def test_statistics_by_hand(column, center, scale):
    found = robust_statistics(np.array(column, np.float32)[:, None])
    assert (found[0][0], found[1][0]) == (center, pytest.approx(scale))


# --- applying them


def test_the_output_is_clipped_and_missing_is_zero():
    normaliser = Normaliser(np.array([[1.0, 0.0]]), np.array([[2.0, 1.0]]), np.zeros(1, np.int64))
    frames = np.array([[3, NAN], [1, 4.9], [11.1, -9], [-99, 5]], np.float32)
    np.testing.assert_allclose(normaliser(frames, 0), [[1, 0], [0, 4.9], [CLIP, -CLIP], [-CLIP, CLIP]])
    assert np.isnan(normaliser.with_gaps(frames, 0)[0, 1])
    assert np.isnan(frames[0, 1])  # the caller's frames stay as they were
    for dtype in (np.float16, np.float32, np.float64):
        assert normaliser(frames.astype(dtype), 0).dtype == np.float32


def test_each_row_of_a_batch_has_the_statistics_of_its_recording():
    normaliser = Normaliser(np.array([[0.0, 0], [1, 2]]), np.array([[1.0, 1], [2, 4]]), np.array([1, 0, 1]))
    frames = noise(3)
    batch = normaliser(frames, np.array([0, 1, 2]))
    np.testing.assert_allclose(batch[::2], (frames[::2] - [1, 2]) / [2, 4], rtol=1e-6)
    np.testing.assert_array_equal(batch[1], frames[1])
    assert normaliser(frames[:0], np.empty(0, np.int64)).shape == (0, 2)


# --- speaker-independent


def test_statistics_come_from_training_recordings_alone(tmp_path):
    def corpus(**changed):
        recordings = [Video(s, noise(60, seed=i) + changed.get(s, 0), s) for i, s in enumerate(SPLITS)]
        return write_segments(tmp_path / str(changed), recordings)

    made = corpus()
    base, (center, scale) = speaker_independent(made), robust_statistics(made.recording(0))
    assert base.center.tolist() == [center.tolist()] and base.scale.tolist() == [scale.tolist()]
    assert base.group.tolist() == [0] * 4
    for split in ("valid", "test", "none"):
        np.testing.assert_array_equal(speaker_independent(corpus(**{split: 1000})).center, base.center)
    np.testing.assert_allclose(speaker_independent(corpus(train=1000)).center, base.center + 1000, rtol=1e-5)
    chosen = robust_statistics(np.concatenate([made.recording(1), made.recording(3)]))[0]
    np.testing.assert_array_equal(speaker_independent(made, np.array([1, 3])).center, chosen[None])
    assert typical_frame(made, base) == pytest.approx(base(made.recording(0), 0).mean(0), abs=1e-6)


@pytest.mark.parametrize("recordings", [(), (Video("a", noise(0)),), (Video("a", noise(9), "test"),)])
def test_without_training_frames_there_is_no_normaliser(tmp_path, recordings):
    with pytest.raises(UserError, match="no training frames"):
        speaker_independent(write_segments(tmp_path, recordings))


def test_a_sample_of_frames_is_spread_evenly(tmp_path):
    corpus = write_segments(tmp_path, [Video(str(i), noise(n)) for i, n in enumerate((30, 0, 50, 20))])
    recording, frame = sample_places(corpus, np.arange(4), 10)
    assert np.bincount(recording).tolist() == [3, 0, 5, 2] and (np.diff(frame) >= 10).all()
    for chosen, expected in (([0, 1, 2, 3], range(100)), ([3, 0], [*range(80, 100), *range(30)]), ([1], []), ([], [])):
        assert sample_places(corpus, np.array(chosen, int), 100)[1].tolist() == list(expected)


# --- speaker-adapted


@pytest.fixture(scope="module")
def speakers(tmp_path_factory):
    """Five clips of x, of y and of nobody known; each speaker's frames lie around a centre and a scale of their own."""
    given = [(s, clip) for s in range(3) for clip in range(5)]
    frames = [10 * s + (1 + s) * noise(40, seed=[s, clip]) for s, clip in given]
    recordings = [Video(f"{s}-{c}", x, "train", ("x", "y", "")[s]) for (s, c), x in zip(given, frames, strict=True)]
    return write_segments(tmp_path_factory.mktemp("speakers"), recordings, [Segment(i, 0, 40) for i in range(15)])


def test_enrolment_gives_each_speaker_an_own_centre_and_scale(speakers):
    base = speaker_independent(speakers)
    adapted = speaker_adapted(speakers, base, {"x": np.array([0, 1])})
    center, scale = robust_statistics(np.concatenate([speakers.segment(i) for i in (0, 1)]))
    for recording in (0, 4):
        np.testing.assert_array_equal(adapted.center[adapted.group[recording]], center)
        np.testing.assert_array_equal(adapted.scale[adapted.group[recording]], scale)
    assert set(adapted.group[5:]) == {0}  # without enrolment, or without a name
    assert adapted.center[0].tolist() == base.center[0].tolist() and adapted.scale[0].tolist() == base.scale[0].tolist()


def test_enrolment_keeps_the_statistics_of_what_it_does_not_have(tmp_path):
    """In the enrolled clip the first column never moves, and the second is missing throughout."""
    still = np.stack([np.full(20, 4.0), np.full(20, NAN)], 1).astype(np.float32)
    recordings = [Video("a", noise(60), speaker="x"), Video("b", still, speaker="x")]
    corpus = write_segments(tmp_path, recordings, [Segment(1, 0, 20)])
    base = speaker_independent(corpus)
    adapted = speaker_adapted(corpus, base, {"x": np.array([0])})
    assert adapted.center[1].tolist() == [4, base.center[0, 1]]
    np.testing.assert_array_equal(adapted.scale[1], base.scale[0])


def test_enrolled_clips_are_not_scored(tmp_path):
    corpus = write_acted(tmp_path / "acted").of_fold(0)
    same, normaliser = under(INDEPENDENT, corpus)
    assert same is corpus and normaliser.center.tolist() == speaker_independent(corpus).center.tolist()
    given, normaliser = under(ADAPTED, corpus, 3)
    chosen = choose_enrolment(corpus, 3, ENROLMENT_SEED)
    assert sorted(chosen) == [f"s{i}" for i in range(6)]
    expected = corpus.segments.split.copy()
    for speaker, clips in chosen.items():
        frames = np.concatenate([corpus.segment(i) for i in clips])
        group = normaliser.group[corpus.segments.recording[clips[0]]]
        assert normaliser.center[group] == pytest.approx(np.median(frames, 0), abs=1e-6)
        if int(speaker[1:]) % 3 != 2:  # those of fold 2 train
            expected[clips] = SPLITS.index("none")
    assert np.array_equal(given.segments.split, expected)
    for enrolment, problem in ((2, "says too little about a speaker"), (6, "too few to enrol 6 and score any")):
        with pytest.raises(UserError, match=problem):
            under(ADAPTED, corpus, enrolment)
    with pytest.raises(UserError, match="does not name all of them"):
        under(ADAPTED, write_mosei_like(tmp_path / "corpus"), 3)
