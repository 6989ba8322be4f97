"""Every metric against scikit-learn or by hand, and what is undefined."""

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


def test_skill_is_the_share_of_the_way_from_the_best_constant_to_perfection():
    assert metrics.skill("mae", 0.15, 0.2) == pytest.approx(0.25)
    assert metrics.skill("acc4", [0.9, 0.6], [0.8, 0.8]) == pytest.approx([0.5, -1.0])
    assert np.isnan(metrics.skill("mae", 0.1, 0.0)) and np.isnan(metrics.skill("acc4", 0.1, 1.0))
    with pytest.raises(ValueError, match="not for auroc"):
        metrics.skill("auroc", 0.7, 0.5)


# --- metrics that no constant wins


@pytest.mark.parametrize("levels", [2, 5, 10**9])
@pytest.mark.parametrize("count", [2, 3, 501])
def test_auroc_agrees_with_scikit_learn(count, levels):
    scores, positive = drawn(count, levels, count) / 7, drawn(levels, 10, count) < 3
    positive[:2] = (True, False)
    assert metrics.auroc(scores, positive) == pytest.approx(reference.roc_auc_score(positive, scores), abs=1e-12)


def test_auroc_by_hand():
    """Of the four pairs positive-negative one is right, two are ties, one is wrong: (1 + 2 / 2) / 4."""
    assert metrics.auroc(np.array([1.0, 2.0, 1.0, 2.0]), np.array([True, True, False, False])) == 0.5
    for one_kind in ([], [True], [False, False]):
        assert np.isnan(metrics.auroc(np.zeros(len(one_kind)), np.array(one_kind, bool)))


def test_macro_auroc_counts_what_it_leaves_out():
    scores, positive = drawn(3, 99, 50, 3) / 7, drawn(4, 10, 50, 3) < 4
    positive[:, 1] = False
    each = [reference.roc_auc_score(positive[:, e], scores[:, e]) for e in (0, 2)]
    assert metrics.macro_auroc(scores, positive) == (pytest.approx(np.mean(each)), 1)
    value, left_out = metrics.macro_auroc(np.empty((0, 2)), np.empty((0, 2), bool))
    assert np.isnan(value) and left_out == 2


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


def test_four_class_confusion_has_one_square_an_emotion():
    true, predicted = np.array([[0, 3], [1, 3]]), np.array([[0, 2], [0, 3]])
    counts = metrics.four_class_confusion(predicted, true)
    assert counts.shape == (2, 4, 4) and counts.sum() == 4
    assert counts[0, 0, 0] == counts[0, 1, 0] == counts[1, 3, 2] == counts[1, 3, 3] == 1
    assert metrics.four_class_confusion(np.empty((0, 2), int), np.empty((0, 2), int)).sum() == 0


def test_ccc_by_hand_and_at_its_ends():
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2 * 2/3 / (4/3 + 1)
    assert metrics.ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)
    assert metrics.ccc([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert metrics.ccc([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert metrics.ccc([2, 2, 2], [1, 2, 3]) == 0
    assert np.isnan(metrics.ccc([2, 2], [2, 2])) and np.isnan(metrics.ccc([], []))


# --- the ordinal head


def test_level_probabilities_sum_to_one_and_are_never_negative():
    crossing = np.array([0.6, 0.7, 0.1])
    assert metrics.monotone(crossing).tolist() == [0.7, 0.6, 0.1]
    assert metrics.level_probabilities(crossing) == pytest.approx([0.3, 0.1, 0.5, 0.1])


def test_the_mode_adds_up_the_levels_that_share_a_class():
    # 0 and 1/3 are class 0: .25 + .2 beat the single likeliest level, 2/3 with .35
    levels, probability = np.array([0, 1 / 3, 2 / 3, 2]), np.array([0.25, 0.2, 0.35, 0.2])
    exceedance = 1 - np.cumsum(probability)[:-1]
    assert metrics.ordinal_mode(exceedance, levels) == 0
    assert metrics.ordinal_median(exceedance, levels) == pytest.approx(2 / 3)
    assert metrics.ordinal_presence(exceedance, levels) == pytest.approx(0.75)


def test_the_median_is_the_weighted_median_of_the_levels():
    probability = np.random.default_rng(4).dirichlet(np.ones(10), 200)
    exceedance = 1 - np.cumsum(probability, 1)[:, :-1]
    expected = [THIRDS[np.searchsorted(np.cumsum(row), 0.5)] for row in probability]
    assert metrics.ordinal_median(exceedance, THIRDS) == pytest.approx(np.array(expected))
    empty = np.empty((0, 6, 9))
    assert metrics.ordinal_median(empty, THIRDS).shape == metrics.ordinal_mode(empty, THIRDS).shape == (0, 6)
