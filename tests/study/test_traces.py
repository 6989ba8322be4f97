"""A copied stretch is found wherever it was pasted; what only looks alike is not."""

import numpy as np
import pytest
from builders import Video, noise, write_segments

from emo_ssl.study.traces import KEPT, RUN, frame_hashes, run_hashes, shared, traces_of

COPIED = 300


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("source", [0, 5])
def test_a_copy_is_found_at_any_alignment(at, source):
    original, other = noise(1000, seed=1), noise(1000, seed=2)
    other[at : at + COPIED] = original[source : source + COPIED]
    a, b = (np.unique(run_hashes(x)) for x in (original, other))
    # a sixteenth of the copied runs, give or take; none of them: (15/16)^293, once in 160 million
    runs = COPIED - RUN + 1
    assert 0 < shared(a, b) <= runs
    assert abs(shared(a, b) - runs / KEPT) < 5 * np.sqrt(runs / KEPT)


def test_the_same_hashes_are_kept_of_a_whole_and_of_its_part():
    frames = noise(500, seed=3)
    whole, part = run_hashes(frames), run_hashes(frames[100:400])
    assert len(part) and np.isin(part, whole).all()


def test_unrelated_videos_share_nothing():
    sets = [np.unique(run_hashes(noise(5000, seed=seed))) for seed in range(4)]
    assert all(len(s) > 100 for s in sets)
    assert not any(shared(a, b) for i, a in enumerate(sets) for b in sets[:i])


def test_constant_stretches_say_nothing():
    silence = np.zeros((2000, 3), np.float32)
    assert len(run_hashes(silence)) == 0
    a, b = noise(100, 3, seed=4), noise(100, 3, seed=5)
    a[20:80] = b[20:80] = 7.0
    assert shared(np.unique(run_hashes(a)), np.unique(run_hashes(b))) == 0


def test_gaps_are_content_too():
    frames = noise(400, seed=6)
    frames[::3, 0] = np.nan
    other = noise(400, seed=7)
    other[50:350] = frames[50:350]
    assert shared(np.unique(run_hashes(frames)), np.unique(run_hashes(other))) > 0


def test_order_and_column_matter():
    frames = noise(600, seed=8)
    for changed in (frames[::-1], frames[:, ::-1]):
        assert shared(np.unique(run_hashes(frames)), np.unique(run_hashes(changed))) == 0


@pytest.mark.parametrize("count", range(RUN + 2))
def test_short_videos(count):
    frames = noise(count, seed=9)
    assert frame_hashes(frames).shape == (count,)
    assert len(run_hashes(frames)) <= max(count - RUN + 1, 0)


def test_of_a_corpus_also_when_one_is_stored_in_half(tmp_path):
    kept, pasted = noise(900, seed=10), noise(900, seed=11)
    pasted[321:721] = kept[37:437]
    plain = write_segments(tmp_path / "a", [Video("1", kept), Video("2", noise(900, seed=12))])
    half = write_segments(tmp_path / "b", [Video("3", pasted)], half=True)
    copies = traces_of(half, np.array([0]))
    assert np.array_equal(copies, np.unique(copies))
    assert shared(traces_of(plain, np.array([0])), copies) > 0
    assert shared(traces_of(plain, np.array([1])), copies) == 0
    assert len(traces_of(plain, np.array([], int))) == 0
