"""The measures that evidence needs and the read-outs of the ordinal head, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from emo_ssl.core import metrics

THIRDS = np.arange(10) / 3


def test_uar_is_the_mean_recall_of_scikit_learn():
    rng = np.random.default_rng(0)
    true, predicted = rng.integers(0, 7, (2, 300))
    assert metrics.uar(predicted, true, 7) == pytest.approx(reference.recall_score(true, predicted, average="macro"))


def test_uar_leaves_out_classes_that_do_not_occur():
    # class 0: 1 of 2 found, class 2: 1 of 1; class 1 is only predicted
    assert metrics.uar([0, 1, 2], [0, 0, 2], 3) == pytest.approx((1 / 2 + 1) / 2)
    assert metrics.uar([1], [1], 3) == 1.0
    assert np.isnan(metrics.uar([], [], 3))


def test_confusion_counts_rows_true_and_skips_the_unknown():
    counts = metrics.confusion([0, 1, 1, 2, -1, 0], [0, 0, 1, 1, 1, -1], 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 4, (2, 200))
    assert np.array_equal(metrics.confusion(predicted, true, 4), reference.confusion_matrix(true, predicted))


def test_four_class_confusion_has_one_square_an_emotion():
    true, predicted = np.array([[0, 3], [1, 3]]), np.array([[0, 2], [0, 3]])
    counts = metrics.four_class_confusion(predicted, true)
    assert counts.shape == (2, 4, 4)
    assert counts[0, 0, 0] == counts[0, 1, 0] == counts[1, 3, 2] == counts[1, 3, 3] == 1
    assert counts.sum() == 4
    assert metrics.four_class_confusion(np.empty((0, 2), int), np.empty((0, 2), int)).sum() == 0


def test_balanced_accuracy():
    rng = np.random.default_rng(2)
    true, predicted = rng.random((2, 200)) < 0.3
    assert metrics.balanced_accuracy(predicted, true) == pytest.approx(
        reference.balanced_accuracy_score(true, predicted)
    )
    assert np.isnan(metrics.balanced_accuracy([True], [True]))
    assert np.isnan(metrics.balanced_accuracy([], []))


def test_ccc_by_hand_and_at_its_ends():
    # means 2 and 3, variances 2/3 and 2/3, covariance 2/3: 2 * 2/3 / (4/3 + 1)
    assert metrics.ccc([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)
    assert metrics.ccc([1, 2, 3], [1, 2, 3]) == pytest.approx(1)
    assert metrics.ccc([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert metrics.ccc([2, 2, 2], [1, 2, 3]) == 0
    assert np.isnan(metrics.ccc([2, 2], [2, 2]))
    assert np.isnan(metrics.ccc([], []))


def test_macro_auroc_counts_what_it_leaves_out():
    rng = np.random.default_rng(3)
    scores, positive = rng.random((50, 3)), rng.random((50, 3)) < 0.4
    positive[:, 1] = False
    value, left_out = metrics.macro_auroc(scores, positive)
    each = [reference.roc_auc_score(positive[:, e], scores[:, e]) for e in (0, 2)]
    assert value == pytest.approx(np.mean(each))
    assert left_out == 1
    value, left_out = metrics.macro_auroc(np.empty((0, 2)), np.empty((0, 2), bool))
    assert np.isnan(value)
    assert left_out == 2


def test_the_ceiling_reading_rounds_every_fraction_up():
    given = [-1, 0, 1 / 3, 0.5, 1, np.float32(1 / 3) * 3 + 1e-6, 4 / 3, 3, 7]
    assert metrics.to_class_ceiling(given).tolist() == [0, 0, 1, 1, 1, 1, 2, 3, 3]
    predicted, true = np.array([[1 / 3]]), np.array([[1.0]])
    assert metrics.four_class_accuracy(predicted, true).tolist() == [0.0]
    assert metrics.four_class_accuracy(predicted, true, metrics.to_class_ceiling).tolist() == [1.0]


def test_skill_is_the_share_of_the_way_from_the_best_constant_to_perfection():
    assert metrics.skill("mae", 0.15, 0.2) == pytest.approx(0.25)
    assert metrics.skill("acc4", 0.9, 0.8) == pytest.approx(0.5)
    assert metrics.skill("acc4", [0.6], [0.8]) == pytest.approx([-1.0])
    assert np.isnan(metrics.skill("mae", 0.1, 0.0))
    assert np.isnan(metrics.skill("acc4", 0.1, 1.0))
    with pytest.raises(ValueError, match="not for auroc"):
        metrics.skill("auroc", 0.7, 0.5)


def test_the_best_floor_is_taken_for_each_emotion_and_measure():
    train, scored = np.array([[0.0, 3], [0, 3], [3, 3]]), np.array([[0.0, 3], [3, 3]])
    found = metrics.best_floor(metrics.floors(train, scored))
    # the first emotion: mean 1 -> errors 1, 2; median and zero -> 0, 3; the second: mean and median 3 are perfect
    assert found["mae"].tolist() == [1.5, 0.0]
    assert found["acc4"].tolist() == [0.5, 1.0]
    assert metrics.best_floor({}) == {}


def test_level_probabilities_sum_to_one_and_are_never_negative():
    crossing = np.array([0.6, 0.7, 0.1])
    assert metrics.monotone(crossing).tolist() == [0.7, 0.6, 0.1]
    assert metrics.level_probabilities(crossing) == pytest.approx([0.3, 0.1, 0.5, 0.1])


def test_readouts_of_a_hand_made_head():
    levels = np.array([0.0, 1.0, 2.0, 3.0])
    exceedance = np.array([[[0.4, 0.2, 0.1], [0.9, 0.6, 0.2]]])  # (1, 2, 3)
    assert metrics.ordinal_median(exceedance, levels).tolist() == [[0.0, 2.0]]
    assert metrics.ordinal_mode(exceedance, levels).tolist() == [[0, 2]]  # .6 .2 .1 .1 and .1 .3 .4 .2
    assert metrics.ordinal_presence(exceedance, levels) == pytest.approx(np.array([[0.4, 0.9]]))


def test_the_mode_adds_up_the_levels_that_share_a_class():
    # 0 and 1/3 are class 0: .25 + .2 beat the single likeliest level, 2/3 with .35
    levels, probability = np.array([0, 1 / 3, 2 / 3, 2]), np.array([0.25, 0.2, 0.35, 0.2])
    exceedance = 1 - np.cumsum(probability)[:-1]
    assert metrics.ordinal_mode(exceedance, levels) == 0
    assert metrics.ordinal_median(exceedance, levels) == pytest.approx(2 / 3)
    assert metrics.ordinal_presence(exceedance, levels) == pytest.approx(0.75)


def test_the_median_is_the_weighted_median_of_the_levels():
    rng = np.random.default_rng(4)
    probability = rng.dirichlet(np.ones(10), 200)
    exceedance = 1 - np.cumsum(probability, 1)[:, :-1]
    expected = [THIRDS[np.searchsorted(np.cumsum(row), 0.5)] for row in probability]
    assert metrics.ordinal_median(exceedance, THIRDS) == pytest.approx(np.array(expected))
    empty = np.empty((0, 6, 9))
    assert metrics.ordinal_median(empty, THIRDS).shape == metrics.ordinal_mode(empty, THIRDS).shape == (0, 6)
