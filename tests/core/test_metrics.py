import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from emo_ssl.core.metrics import (
    auroc,
    constants,
    floors,
    four_class_accuracy,
    mean_absolute_error,
    to_class,
)


@pytest.mark.parametrize(
    ("intensity", "expected"),
    [
        (-7, 0),
        (-0.0, 0),
        (0, 0),
        (1 / 3, 0),
        (0.4999, 0),
        (0.5, 1),
        (2 / 3, 1),
        (1.4999, 1),
        (1.5, 2),
        (2.4999, 2),
        (2.5, 3),
        (3, 3),
        (3.7, 3),
        (np.inf, 3),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_to_class_rounds_halves_up_and_stays_in_range(intensity, expected, dtype):
    assert to_class(np.array([intensity], dtype)).tolist() == [expected]


def test_to_class_keeps_the_shape():
    assert to_class(np.zeros((0, 6))).shape == (0, 6)
    assert to_class(np.ones((2, 6))).shape == (2, 6)


def test_mean_absolute_error_by_hand():
    predicted, true = np.array([[0.0, 1.0], [3.0, 1.0]]), np.array([[1.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(mean_absolute_error(predicted, true), [1.5, 0.5])
    np.testing.assert_array_equal(mean_absolute_error(predicted[:1], true[:1]), [1.0, 0.0])


def test_mean_absolute_error_loses_nothing_in_float32():
    """0.1 a million times: float32 sums would be off in the fourth digit."""
    true = np.zeros((1_000_000, 1), np.float32)
    expected = float(np.float32(0.1))
    assert mean_absolute_error(true + np.float32(0.1), true)[0] == pytest.approx(expected, rel=1e-12)


def test_four_class_accuracy_by_hand():
    predicted = np.array([[0.4, 3.0], [0.5, 9.0], [1.6, -2.0], [2.5, 1.0]])
    true = np.array([[0.0, 3.0], [0.0, 3.0], [2.0, 1 / 3], [3.0, 1.5]])
    np.testing.assert_array_equal(four_class_accuracy(predicted, true), [0.75, 0.75])


def test_constants_by_hand():
    train = np.array([[0, 3], [0, 1], [1, 1], [3, 0]], np.float32)
    found = constants(train)
    assert {name: value.tolist() for name, value in found.items()} == {
        "train mean": [1.0, 1.25],
        "train median": [0.5, 1.0],
        "always 0": [0.0, 0.0],
    }


def test_floors_by_hand():
    """Fitted on {0, 0, 3}: mean 1, median 0. Scored on {0, 1, 2, 3}."""
    found = floors(np.array([[0.0], [0.0], [3.0]]), np.array([[0.0], [1.0], [2.0], [3.0]]))
    assert {name: (row["mae"].tolist(), row["acc4"].tolist()) for name, row in found.items()} == {
        "train mean": ([1.0], [0.25]),
        "train median": ([1.5], [0.25]),
        "always 0": ([1.5], [0.25]),
    }


def test_without_data_there_are_no_floors():
    nothing, one = np.empty((0, 6)), np.ones((1, 6))
    assert constants(nothing) == {} and floors(nothing, one) == {} and floors(one, nothing) == {}
    assert floors(one, one)["train mean"]["mae"].tolist() == [0] * 6


@pytest.mark.parametrize("levels", [2, 5, 10**9])
@pytest.mark.parametrize("count", [2, 3, 50, 501])
def test_auroc_agrees_with_scikit_learn(count, levels):
    rng = np.random.default_rng([count, levels])
    scores, positive = rng.integers(0, levels, count) / 7, rng.random(count) < 0.3
    positive[:2] = (True, False)
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)


def test_auroc_by_hand():
    """Of the four pairs positive-negative one is right, two are ties, one is wrong: (1 + 2 / 2) / 4."""
    assert auroc(np.array([1.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == 0.5
    assert auroc(np.array([0.1, 0.9]), np.array([False, True])) == 1.0
    assert auroc(np.array([0.1, 0.9]), np.array([1, 0])) == 0.0


@pytest.mark.parametrize("positive", [[], [True], [False, False]])
def test_auroc_of_one_kind_alone_is_nan(positive):
    assert np.isnan(auroc(np.zeros(len(positive)), np.array(positive, bool)))
