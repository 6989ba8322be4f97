from statistics import NormalDist

import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments

from emo_ssl.core.normalise import (
    CLIP,
    IQR_OF_NORMAL,
    Normaliser,
    choose_enrolment,
    robust_statistics,
    sample_places,
    speaker_adapted,
    speaker_independent,
)
from emo_ssl.utils.io import UserError

NAN = np.nan


def sample_frames(corpus, recordings, most=200_000):
    return np.asarray(corpus.frames[sample_places(corpus, recordings, most)[1]], np.float32)


def speaker_corpus(folder, clips=5, speakers=("x", "y", "")):
    """One video a clip; each speaker's frames lie around a centre and a scale of their own."""
    recordings, segments = [], []
    for s, speaker in enumerate(speakers):
        for clip in range(clips):
            recordings.append(Video(f"{speaker}{clip}", 10 * s + (1 + s) * noise(40, seed=[s, clip]), "train", speaker))
            segments.append(Segment(len(recordings) - 1, 0, 40))
    return write_segments(folder, recordings, segments)


# --- statistics


def test_statistics_are_median_and_interquartile_range(tmp_path):
    frames = np.random.default_rng(0).normal((3, -100), (2, 0.01), (10_001, 2)).astype(np.float32)
    center, scale = robust_statistics(frames)
    low, high = np.quantile(frames.astype(np.float64), (0.25, 0.75), axis=0)
    np.testing.assert_allclose(center, np.median(frames, 0), rtol=1e-6)
    np.testing.assert_allclose(scale, (high - low) / 1.349, rtol=1e-3)
    # so that a normal column keeps its standard deviation; a third of a per cent is the error of rounding 1.349
    assert pytest.approx(2 * NormalDist().inv_cdf(0.75), rel=1e-4) == IQR_OF_NORMAL
    np.testing.assert_allclose(scale, (2, 0.01), rtol=0.05)


def test_statistics_by_hand():
    center, scale = robust_statistics(np.array([[1.0], [2.0], [3.0], [4.0], [100.0]], np.float32))
    assert (center[0], scale[0]) == (3, pytest.approx((4 - 2) / 1.349))


@pytest.mark.parametrize("missing", [NAN, np.inf, -np.inf])
def test_missing_values_take_no_part(missing):
    clean = noise(99)
    frames = np.concatenate([clean, np.full((50, 2), missing, np.float32)])
    order = np.random.default_rng(0).permutation(len(frames))
    for got, want in zip(robust_statistics(frames[order]), robust_statistics(clean), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("column", "center", "scale"),
    [
        ([7, 7, 7, 7], 7, 1),  # constant
        ([1e6] * 4, 1e6, 1),
        ([NAN] * 4, 0, 1),  # never seen
        ([NAN, 4, NAN, NAN], 4, 1),
        ([0] * 9 + [1], 0, 0.3),  # a flag: the standard deviation of one in ten
        ([0, 0, 0, 0, 0, 0, 0, 0, NAN, 8], 0, np.sqrt(64 / 9 - (8 / 9) ** 2)),
    ],
)
def test_columns_that_hardly_move(column, center, scale):
    found = robust_statistics(np.array(column, np.float32)[:, None])
    assert (found[0][0], found[1][0]) == (center, pytest.approx(scale))


@pytest.mark.parametrize("count", [0, 1])
def test_statistics_of_nothing_and_of_one_frame(count):
    center, scale = robust_statistics(noise(count))
    assert center.tolist() == (noise(1)[0].tolist() if count else [0, 0]) and scale.tolist() == [1, 1]


# --- applying them


def test_the_output_is_clipped_and_missing_is_zero():
    normaliser = Normaliser(np.array([[1.0, 0.0]]), np.array([[2.0, 1.0]]), np.zeros(1, np.int64))
    frames = np.array([[3, NAN], [1, 4.9], [11.1, -9], [-99, 5]], np.float32)
    out = normaliser(frames, 0)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [[1, 0], [0, 4.9], [5, -5], [-5, 5]])
    assert CLIP == 5
    assert np.isnan(frames[0, 1])  # the caller's frames stay as they were


def test_each_row_of_a_batch_has_the_statistics_of_its_video():
    normaliser = Normaliser(
        center=np.array([[0.0, 0.0], [1.0, 2.0]], np.float32),
        scale=np.array([[1.0, 1.0], [2.0, 4.0]], np.float32),
        group=np.array([1, 0, 1]),
    )
    frames = np.stack([noise(6, seed=i) for i in range(3)])
    batch = normaliser(frames, np.array([0, 1, 2]))
    for i in range(3):
        np.testing.assert_array_equal(batch[i], normaliser(frames[i], i))
    np.testing.assert_allclose(batch[0], (frames[0] - [1, 2]) / [2, 4], rtol=1e-6)
    np.testing.assert_array_equal(batch[1], frames[1])
    assert normaliser(frames[:0], np.empty(0, np.int64)).shape == (0, 6, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_number_format_comes_out_as_float32(dtype):
    normaliser = Normaliser(np.zeros((1, 2), np.float32), np.ones((1, 2), np.float32), np.zeros(1, np.int64))
    assert normaliser(np.ones((3, 2), dtype), 0).dtype == np.float32


# --- blind


def corpus_of_splits(folder, **changed):
    """Four videos, one a split; `changed` adds a constant to the named split's frames."""
    recordings = [
        Video(split, noise(60, seed=i) + changed.get(split, 0), split)
        for i, split in enumerate(("train", "valid", "test", "none"))
    ]
    segments = [Segment(recording, first, 20) for recording in range(4) for first in (0, 20)]
    return write_segments(folder, recordings, segments)


@pytest.mark.parametrize("split", ["valid", "test", "none"])
def test_blind_statistics_come_from_training_videos_alone(tmp_path, split):
    base = speaker_independent(corpus_of_splits(tmp_path / "a"))
    other = speaker_independent(corpus_of_splits(tmp_path / "b", **{split: 1000}))
    np.testing.assert_array_equal(other.center, base.center)
    np.testing.assert_array_equal(other.scale, base.scale)
    moved = speaker_independent(corpus_of_splits(tmp_path / "c", train=1000))
    np.testing.assert_allclose(moved.center, base.center + 1000, rtol=1e-5)


def test_blind_is_the_same_for_everybody(tmp_path):
    corpus = corpus_of_splits(tmp_path)
    base = speaker_independent(corpus)
    center, scale = robust_statistics(corpus.recording(0))
    np.testing.assert_array_equal(base.center, center[None])
    np.testing.assert_array_equal(base.scale, scale[None])
    assert base.group.tolist() == [0, 0, 0, 0]


def test_blind_can_be_told_its_videos(tmp_path):
    corpus = corpus_of_splits(tmp_path)
    center, _ = robust_statistics(np.concatenate([corpus.recording(1), corpus.recording(3)]))
    np.testing.assert_array_equal(speaker_independent(corpus, np.array([1, 3])).center, center[None])


def test_a_louder_segment_stays_louder(tmp_path):
    """Level is emotion: the same sound 0.5 higher comes out 0.5 / scale higher, never standardised by itself."""
    sound = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)
    corpus = write_segments(
        tmp_path, [Video("a", np.concatenate([sound, sound + 0.5]))], [Segment(0, 0, 50), Segment(0, 50, 50)]
    )
    base = speaker_independent(corpus)
    quiet, loud = (base(corpus.segment(i), 0) for i in (0, 1))
    np.testing.assert_allclose(loud - quiet, np.broadcast_to(0.5 / base.scale, (50, 2)), rtol=1e-4)


@pytest.mark.parametrize("recordings", [(), (Video("a", noise(0)),), (Video("a", noise(9), "test"),)])
def test_without_training_frames_there_is_no_normaliser(tmp_path, recordings):
    with pytest.raises(UserError, match="no training frames"):
        speaker_independent(write_segments(tmp_path, recordings))


def test_a_sample_of_frames_is_spread_evenly(tmp_path):
    lengths = (30, 0, 50, 20)
    recordings = [Video(str(i), np.full((n, 2), i, np.float32)) for i, n in enumerate(lengths)]
    corpus = write_segments(tmp_path, recordings)
    everything = np.arange(4)
    assert len(sample_frames(corpus, everything)) == 100
    np.testing.assert_array_equal(sample_frames(corpus, everything, most=100), np.asarray(corpus.frames))
    some = sample_frames(corpus, everything, most=10)[:, 0].tolist()
    assert [some.count(i) for i in range(4)] == [3, 0, 5, 2]
    np.testing.assert_array_equal(sample_frames(corpus, np.array([3, 0]))[:, 0], [3] * 20 + [0] * 30)
    assert sample_frames(corpus, np.array([1])).shape == sample_frames(corpus, everything[:0]).shape == (0, 2)


# --- enrolled


def test_enrolment_gives_each_speaker_an_own_centre_and_scale(tmp_path):
    corpus = speaker_corpus(tmp_path)
    base = speaker_independent(corpus)
    adapted = speaker_adapted(corpus, base, {"x": np.array([0, 1]), "y": np.array([6])})
    for recording, clips in ((0, (0, 1)), (4, (0, 1)), (5, (6,)), (9, (6,))):
        center, scale = robust_statistics(np.concatenate([corpus.segment(i) for i in clips]))
        np.testing.assert_array_equal(adapted.center[adapted.group[recording]], center)
        np.testing.assert_array_equal(adapted.scale[adapted.group[recording]], scale)
    for recording in range(10, 15):  # nobody knows who speaks there
        np.testing.assert_array_equal(
            adapted(corpus.recording(recording), recording), base(corpus.recording(recording), recording)
        )


def test_without_enrolment_a_speaker_stays_blind(tmp_path):
    corpus = speaker_corpus(tmp_path)
    base = speaker_independent(corpus)
    for enrolment in ({}, {"x": np.empty(0, np.int64)}):
        adapted = speaker_adapted(corpus, base, enrolment)
        np.testing.assert_array_equal(adapted(corpus.recording(0), 0), base(corpus.recording(0), 0))


def test_enrolment_keeps_the_blind_statistics_of_what_it_has_not_seen(tmp_path):
    """In the enrolled clip the first column never moves, and the second is missing throughout."""
    still = np.stack([np.full(20, 4.0), np.full(20, NAN)], 1).astype(np.float32)
    corpus = write_segments(
        tmp_path, [Video("a", noise(60), speaker="x"), Video("b", still, speaker="x")], [Segment(1, 0, 20)]
    )
    base = speaker_independent(corpus)
    adapted = speaker_adapted(corpus, base, {"x": np.array([0])})
    assert adapted.center[1].tolist() == [4, base.center[0, 1]]
    np.testing.assert_array_equal(adapted.scale[1], base.scale[0])


def test_enrolment_is_kept_apart_from_what_is_scored(tmp_path):
    corpus = speaker_corpus(tmp_path)
    chosen = choose_enrolment(corpus, 2, seed=3)
    assert chosen.keys() == {"x", "y"}
    speaker_of = corpus.recordings.speaker[corpus.segments.recording]
    for speaker, clips in chosen.items():
        assert len(clips) == len(set(clips.tolist())) == 2
        assert set(speaker_of[clips]) == {speaker}
        scored = np.setdiff1d(np.flatnonzero(speaker_of == speaker), clips)
        assert len(scored) == 3
    again = choose_enrolment(corpus, 2, seed=3)
    assert {s: c.tolist() for s, c in again.items()} == {s: c.tolist() for s, c in chosen.items()}


def test_every_clip_has_the_same_chance_to_be_enrolled(tmp_path):
    corpus = speaker_corpus(tmp_path)
    draws = 500
    counts = np.zeros(15)
    for seed in range(draws):
        for clips in choose_enrolment(corpus, 2, seed).values():
            counts[clips] += 1
    expected, error = draws * 2 / 5, np.sqrt(draws * 0.4 * 0.6)
    assert (abs(counts[:10] - expected) < 4 * error).all() and (counts[10:] == 0).all()


def test_a_speaker_with_too_few_clips_is_refused(tmp_path):
    corpus = speaker_corpus(tmp_path)
    assert {len(clips) for clips in choose_enrolment(corpus, 4, 0).values()} == {4}
    assert {len(clips) for clips in choose_enrolment(corpus, 0, 0).values()} == {0}
    with pytest.raises(UserError, match="speaker x has 5 segments, too few to enrol 5 and score any"):
        choose_enrolment(corpus, 5, 0)


def test_without_known_speakers_nobody_is_enrolled(tmp_path):
    assert choose_enrolment(speaker_corpus(tmp_path, speakers=("",)), 3, 0) == {}
