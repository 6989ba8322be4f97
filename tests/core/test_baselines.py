"""The floors of reconstruction, by hand and against numpy's own interpolation."""

import numpy as np
import pytest
import torch
from emo_ssl.core.reconstruct import FLOORS, floor_losses, frame_mask, guess, smooth_l1

MEAN = np.array([100.0])


def guesses(values: list[float], hidden: list[int], valid: list[int] | None = None) -> dict[str, list[float]]:
    """One row of one feature."""
    frames = np.array(values)[None, :, None]
    seen = np.ones((1, len(values)), bool) if valid is None else np.array([valid], bool)
    found = guess(frames, np.array([hidden], bool), seen, MEAN)
    assert tuple(found) == FLOORS
    return {name: found[name][0, :, 0].tolist() for name in FLOORS}


def test_a_span_in_the_middle():
    found = guesses([1, 2, 0, 0, 0, 10], [0, 0, 1, 1, 1, 0])
    assert found["mean frame"] == [100] * 6
    assert found["previous frame"][2:5] == [2, 2, 2]
    assert found["linear interpolation"][2:5] == [4, 6, 8]


def test_spans_at_the_edges_take_the_nearest_frame():
    found = guesses([0, 0, 5, 7, 0, 0], [1, 1, 0, 0, 1, 1])
    assert found["previous frame"] == [5, 5, 5, 7, 7, 7]
    assert found["linear interpolation"] == [5, 5, 5, 7, 7, 7]


def test_padding_is_not_looked_at():
    found = guesses([3, 0, 0, 50], [0, 1, 1, 0], valid=[1, 1, 1, 0])
    assert found["linear interpolation"][1:3] == [3, 3]


def test_a_row_without_a_visible_frame_gets_the_mean():
    found = guesses([1, 2, 3], [1, 1, 1])
    assert all(row == [100] * 3 for row in found.values())


def test_one_frame_and_none():
    assert guesses([4], [0])["linear interpolation"] == [4]
    for shape in ((0, 3, 1), (2, 0, 1)):
        found = guess(np.zeros(shape), np.zeros(shape[:2], bool), np.zeros(shape[:2], bool), MEAN)
        assert all(part.shape == shape for part in found.values())


def test_against_numpy_interpolation():
    rng = np.random.default_rng(0)
    frames, hidden = rng.normal(size=(6, 40, 3)), rng.random((6, 40)) < 0.5
    length = np.array([40, 40, 31, 17, 5, 2])
    valid = np.arange(40) < length[:, None]
    hidden[:, 0] = False  # a frame to see in each row
    found = guess(frames, hidden, valid, np.zeros(3))["linear interpolation"]
    for b in range(6):
        seen = np.flatnonzero(valid[b] & ~hidden[b])
        for d in range(3):
            expected = np.interp(np.arange(length[b]), seen, frames[b, seen, d])
            assert np.allclose(found[b, : length[b], d], expected, atol=1e-12)


def test_smooth_l1_is_that_of_torch():
    error = np.array([-3.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5])
    expected = torch.nn.functional.smooth_l1_loss(
        torch.from_numpy(error), torch.zeros(7, dtype=float), reduction="none"
    )
    assert smooth_l1(error) == pytest.approx(expected.numpy())


def test_losses_count_hidden_known_values_only():
    gap = np.nan
    frames = np.array([[[1.0, 0.0], [4.0, gap], [gap, 3.0], [7.0, 0.0], [9.0, 9.0]]])
    hidden, valid = np.array([[0, 1, 1, 0, 1]], bool), np.array([[1, 1, 1, 1, 0]], bool)
    losses, count = floor_losses(frames, hidden, valid, np.array([4.0, 0.0]))
    assert count == 2  # 4 and 3; the last frame is padding
    # mean: |4 - 4| and |3 - 0| - .5; previous: |4 - 1| - .5 and the same; between 1 and 7 lies 3: (4 - 3) - .5
    assert losses == pytest.approx({"mean frame": 2.5, "previous frame": 5.0, "linear interpolation": 0.5 + 2.5})


def test_a_missing_value_that_is_seen_counts_as_the_centre():
    frames = np.array([[[np.nan], [1.0], [2.0]]])
    losses, count = floor_losses(frames, np.array([[0, 1, 0]], bool), np.ones((1, 3), bool), np.zeros(1))
    assert count == 1
    assert losses["previous frame"] == 0.5  # a guess of 0
    assert losses["linear interpolation"] == 0.0  # half way from 0 to 2


def test_nothing_hidden_costs_nothing():
    losses, count = floor_losses(np.ones((1, 3, 1)), np.zeros((1, 3), bool), np.ones((1, 3), bool), MEAN)
    assert count == 0 and set(losses.values()) == {0.0}


def test_a_hidden_token_hides_each_of_its_frames():
    assert frame_mask(np.array([[True, False, True]]), 2, 5).tolist() == [[True, True, False, False, True]]
    assert frame_mask(np.empty((2, 0), bool), 4, 0).shape == (2, 0)
