"""The baselines of reconstruction, by hand and against numpy's own interpolation."""

import numpy as np
import pytest

from emo_ssl.core.baselines import BASELINES, baseline_losses, frame_mask, guess

MEAN = np.array([100.0])


@pytest.mark.parametrize(
    ("values", "masked", "valid", "previous", "linear"),
    [
        ([1, 2, 0, 0, 0, 10], [0, 0, 1, 1, 1, 0], None, [1, 2, 2, 2, 2, 10], [1, 2, 4, 6, 8, 10]),
        # at the edges the nearest frame serves
        ([0, 0, 5, 7, 0, 0], [1, 1, 0, 0, 1, 1], None, [5, 5, 5, 7, 7, 7], [5, 5, 5, 7, 7, 7]),
        # padding is not looked at
        ([3, 0, 0, 50], [0, 1, 1, 0], [1, 1, 1, 0], [3, 3, 3, 3], [3, 3, 3, 3]),
        # a row without a visible frame gets the mean
        ([1, 2, 3], [1, 1, 1], None, [100] * 3, [100] * 3),
        ([4], [0], None, [4], [4]),
        ([], [], None, [], []),
    ],
)
def test_guesses_by_hand(values, masked, valid, previous, linear):
    """One row of one feature."""
    frames = np.array(values, float)[None, :, None]
    real = np.ones((1, len(values)), bool) if valid is None else np.array([valid], bool)
    found = guess(frames, np.array([masked], bool), real, MEAN)
    assert tuple(found) == BASELINES
    assert [found[name][0, :, 0].tolist() for name in BASELINES] == [[100] * len(values), previous, linear]


def test_against_numpy_interpolation():
    rng = np.random.default_rng(0)
    frames, masked = rng.normal(size=(6, 40, 3)), rng.random((6, 40)) < 0.5
    length = np.array([40, 40, 31, 17, 5, 2])
    valid = np.arange(40) < length[:, None]
    masked[:, 0] = False  # a frame to see in each row
    found = guess(frames, masked, valid, np.zeros(3))["linear interpolation"]
    for b in range(6):
        visible = np.flatnonzero(valid[b] & ~masked[b])
        for d in range(3):
            expected = np.interp(np.arange(length[b]), visible, frames[b, visible, d])
            assert np.allclose(found[b, : length[b], d], expected, atol=1e-12)


def test_losses_count_masked_known_values_only():
    gap = np.nan
    frames = np.array([[[1.0, 0.0], [4.0, gap], [gap, 3.0], [7.0, 0.0], [9.0, 9.0]]])
    masked, valid = np.array([[0, 1, 1, 0, 1]], bool), np.array([[1, 1, 1, 1, 0]], bool)
    losses, count = baseline_losses(frames, masked, valid, np.array([4.0, 0.0]))
    assert count == 2  # 4 and 3; the last frame is padding
    # mean: |4 - 4| and |3 - 0| - .5; previous: |4 - 1| - .5 and the same; between 1 and 7 lies 3: (4 - 3) - .5
    assert losses == pytest.approx({"mean frame": 2.5, "previous frame": 5.0, "linear interpolation": 0.5 + 2.5})
    losses, count = baseline_losses(frames, masked & False, valid, MEAN)
    assert count == 0 and set(losses.values()) == {0.0}


def test_a_missing_value_that_is_visible_counts_as_the_centre():
    frames = np.array([[[np.nan], [1.0], [2.0]]])
    losses, count = baseline_losses(frames, np.array([[0, 1, 0]], bool), np.ones((1, 3), bool), np.zeros(1))
    assert count == 1
    assert losses["previous frame"] == 0.5  # a guess of 0
    assert losses["linear interpolation"] == 0.0  # half way from 0 to 2


def test_a_masked_token_masks_each_of_its_frames():
    assert frame_mask(np.array([[True, False, True]]), 2, 5).tolist() == [[True, True, False, False, True]]
    assert frame_mask(np.empty((2, 0), bool), 4, 0).shape == (2, 0)
