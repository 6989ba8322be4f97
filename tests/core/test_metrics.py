"""Every metric, baseline and read-out against scikit-learn, numpy or by hand, and what is undefined."""

import numpy as np
import pytest
from sklearn import metrics as reference

from emo_ssl.core import metrics

THIRDS = np.arange(10) / 3


def drawn(seed: int, high: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, shape)


# --- intensities and the four classes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes_round_halves_up_and_stay_in_range(dtype):
    given = [-7, -0.0, 0, 1 / 3, 0.4999, 0.5, 2 / 3, 1.4999, 1.5, 2.4999, 2.5, 3, 3.7, np.inf]
    assert metrics.to_class(np.array(given, dtype)).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3]
    assert metrics.to_class(np.zeros((0, 6))).shape == (0, 6)


def test_the_ceiling_reading_rounds_every_fraction_up():
    given = [-1, 0, 1 / 3, 0.5, 1, np.float32(1 / 3) * 3 + 1e-6, 4 / 3, 3, 7]
    assert metrics.to_class_ceiling(given).tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 3]


def test_error_and_accuracy_by_hand():
    predicted = np.array([[0.4, 3.0], [0.5, 9.0], [1.6, -2.0], [2.5, 1.0]])
    true = np.array([[0.0, 3.0], [0.0, 3.0], [2.0, 1 / 3], [3.0, 1.5]])
    assert metrics.four_class_accuracy(predicted, true).tolist() == [0.75, 0.75]
    assert metrics.four_class_accuracy(predicted, true, metrics.to_class_ceiling).tolist() == [0.5, 0.5]
    assert metrics.mean_absolute_error(predicted, true) == pytest.approx([1.8 / 4, (6 + 7 / 3 + 0.5) / 4])
    # 0.1 a million times: float32 sums would be off in the fourth digit
    tenth = np.full((1_000_000, 1), 0.1, np.float32)
    assert metrics.mean_absolute_error(tenth, 0 * tenth)[0] == pytest.approx(float(tenth[0, 0]), rel=1e-12)


# --- constants


def test_constants_and_their_scores_by_hand():
    """The first emotion is fitted on {0, 0, 3}: mean 1, median 0; the second is always 3."""
    train, scored = np.array([[0.0, 3], [0, 3], [3, 3]]), np.array([[0.0, 3], [3, 3]])
    found = metrics.constant_baselines(train, scored)
    assert {name: (row["mae"].tolist(), row["acc4"].tolist()) for name, row in found.items()} == {
        "train mean": ([1.5, 0], [0, 1]),
        "train median": ([1.5, 0], [0.5, 1]),
        "always 0": ([1.5, 3], [0.5, 0]),
    }
    nothing = np.empty((0, 2))
    assert metrics.constant_baselines(nothing, scored) == metrics.constant_baselines(train, nothing) == {}


# --- metrics that no constant wins


@pytest.mark.parametrize("levels", [2, 5, 10**9])
@pytest.mark.parametrize("count", [2, 3, 501])
def test_auroc_agrees_with_scikit_learn(count, levels):
    scores, positive = drawn(count, levels, count) / 7, drawn(levels, 10, count) < 3
    positive[:2] = (True, False)
    assert metrics.auroc(scores, positive) == pytest.approx(reference.roc_auc_score(positive, scores), abs=1e-12)


@pytest.mark.parametrize("positive", [[], [True], [False, False]])
def test_auroc_of_one_kind_is_undefined(positive):
    assert np.isnan(metrics.auroc(np.zeros(len(positive)), np.array(positive, bool)))


def test_auroc_of_unknown_scores_is_undefined():
    assert np.isnan(metrics.auroc(np.array([0.1, np.nan]), np.array([True, False])))


def test_macro_auroc_leaves_out_what_is_undefined():
    scores, positive = drawn(3, 99, 50, 3) / 7, drawn(4, 10, 50, 3) < 4
    positive[:, 1] = False
    each = [reference.roc_auc_score(positive[:, e], scores[:, e]) for e in (0, 2)]
    assert metrics.macro_auroc(scores, positive) == pytest.approx(np.mean(each))
    assert np.isnan(metrics.macro_auroc(np.empty((0, 2)), np.empty((0, 2), bool)))


def test_confusions_and_recalls_are_those_of_scikit_learn():
    true, predicted = drawn(0, 7, 2, 300)
    assert np.array_equal(metrics.confusion(predicted, true, 7), reference.confusion_matrix(true, predicted))
    assert metrics.uar(predicted, true, 7) == pytest.approx(reference.recall_score(true, predicted, average="macro"))
    found, there = predicted > 3, true > 4
    balanced = reference.balanced_accuracy_score(there, found)
    assert metrics.balanced_accuracy(found, there) == pytest.approx(balanced)


def test_what_does_not_occur_or_is_unknown_does_not_count():
    counts = metrics.confusion([0, 1, 1, 2, -1, 0], [0, 0, 1, 1, 1, -1], 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    # class 0: 1 of 2 found, class 2: 1 of 1; class 1 is only predicted
    assert metrics.uar([0, 1, 2], [0, 0, 2], 3) == pytest.approx((1 / 2 + 1) / 2)
    assert np.isnan(metrics.uar([], [], 3))
    assert np.isnan(metrics.balanced_accuracy([True], [True])) and np.isnan(metrics.balanced_accuracy([], []))


def test_ccc_by_hand_and_at_its_ends():
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2 * 2/3 / (4/3 + 1)
    assert metrics.ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)
    assert metrics.ccc([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert metrics.ccc([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert metrics.ccc([2, 2, 2], [1, 2, 3]) == 0
    assert np.isnan(metrics.ccc([2, 2], [2, 2])) and np.isnan(metrics.ccc([], []))


# --- guesses at masked frames


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
    found = metrics.reconstruction_baselines(frames, np.array([masked], bool), real, np.array([100.0]))
    assert tuple(found) == metrics.BASELINES
    assert [found[name][0, :, 0].tolist() for name in metrics.BASELINES] == [[100] * len(values), previous, linear]


def test_against_numpy_interpolation():
    rng = np.random.default_rng(0)
    frames, masked = rng.normal(size=(6, 40, 3)), rng.random((6, 40)) < 0.5
    length = np.array([40, 40, 31, 17, 5, 2])
    valid = np.arange(40) < length[:, None]
    masked[:, 0] = False  # a frame to see in each row
    found = metrics.reconstruction_baselines(frames, masked, valid, np.zeros(3))["linear interpolation"]
    for b in range(6):
        visible = np.flatnonzero(valid[b] & ~masked[b])
        for d in range(3):
            expected = np.interp(np.arange(length[b]), visible, frames[b, visible, d])
            assert np.allclose(found[b, : length[b], d], expected, atol=1e-12)


# --- predictions


def test_the_read_out_of_an_ordinal_head_by_hand():
    # P(0) = .6 in the first, P(2) = .4 in the second, where the median is 2 too
    above = np.array([[[[0.4, 0.2, 0.1], [0.9, 0.6, 0.2]]]], np.float32)
    found = metrics.ordinal_predictions(above, (0.0, 1.0, 2.0, 3.0))
    assert found.intensity.tolist() == [[[0, 2]]] and found.klass.tolist() == [[[0, 2]]] and found.category is None
    assert np.array_equal(found.presence, above[..., 0])
    # 0 and 1/3 are class 0: .25 + .2 beat the single likeliest level, 2/3 with .35
    found = metrics.ordinal_predictions(np.array([[[[0.75, 0.55, 0.2]]]]), (0, 1 / 3, 2 / 3, 2))
    assert found.klass.tolist() == [[[0]]] and found.intensity == pytest.approx(2 / 3)


def test_the_median_is_the_weighted_median_of_the_levels():
    probability = np.random.default_rng(4).dirichlet(np.ones(10), 200)
    above = 1 - np.cumsum(probability, 1)[:, :-1]
    expected = [THIRDS[np.searchsorted(np.cumsum(row), 0.5)] for row in probability]
    assert metrics.ordinal_predictions(above[None, :, None], THIRDS).intensity[0, :, 0] == pytest.approx(expected)
    assert metrics.ordinal_predictions(np.empty((2, 0, 6, 9)), THIRDS).klass.shape == (2, 0, 6)


def test_the_read_out_of_an_l1_head_is_clipped_but_ranks_as_it_is():
    found = metrics.l1_predictions(np.array([[[-0.4, 1.5, 7.0]]]), np.full((1, 1, 2), 0.5))
    assert found.intensity.tolist() == [[[0, 1.5, 3]]] and found.klass.tolist() == [[[0, 2, 3]]]
    assert found.presence == pytest.approx(np.array([[[-0.4, 1.5, 7.0]]])) and found.category.shape == (1, 1, 2)


def test_some_predictions_are_taken():
    klass = np.arange(24).reshape(2, 6, 2)
    plain = metrics.Predictions(klass / 10, klass / 30, klass)
    votes = metrics.Predictions(klass / 10, klass / 30, klass, np.zeros((2, 6, 3)))
    part = votes.take(np.array([4, 1]))
    assert np.array_equal(part.klass, klass[:, [4, 1]]) and part.category.shape == (2, 2, 3)
    assert plain.take(np.array([4])).category is None
    plain.intensity[1, 3, 0] = np.nan
    assert plain.scored().tolist() == [[True] * 6, [True] * 3 + [False] + [True] * 2]
