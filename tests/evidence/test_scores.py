"""Measures under drawn units: against scikit-learn's sample weights, and against items that are really repeated."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from emo_ssl.core import metrics
from emo_ssl.core.metrics import OVERALL, Predictions
from emo_ssl.evidence import scores as weighted
from emo_ssl.evidence.bootstrap import Draws
from emo_ssl.evidence.scores import Scorer


def scene(units: int, items: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    unit = np.sort(np.concatenate([np.arange(units), rng.integers(0, units, items - units)]))
    positive = rng.random(items) < 0.3
    scores = np.round(rng.normal(size=items) + positive, 1).astype(np.float32)  # rounded, so that there are ties
    return scores, positive, unit


@pytest.mark.parametrize(("units", "items"), [(2, 5), (24, 300), (150, 400)])
def test_auroc_by_weights_equals_scikit_learn(units, items, monkeypatch):
    monkeypatch.setattr(weighted, "CHUNK", 7)  # several chunks of draws
    scores, positive, unit = scene(units, items)
    positive[:2], positive[-2:] = [True, False], [True, False]
    weights = Draws.make(units, 1, 25).units
    found = weighted.weighted_auroc(scores, positive, unit, weights)
    for value, w in zip(found, weights, strict=True):
        kinds = {bool(p) for p, weight in zip(positive, w[unit], strict=True) if weight}
        if len(kinds) == 2:
            assert value == pytest.approx(roc_auc_score(positive, scores, sample_weight=w[unit]), abs=1e-6)
        else:
            assert np.isnan(value)


def test_auroc_without_both_kinds_or_with_missing_scores_is_undefined():
    weights = np.ones((3, 2), np.float32)
    unit = np.array([0, 1])
    for scores, positive in (([0.1, 0.2], [1, 1]), ([0.1, 0.2], [0, 0]), ([0.1, np.nan], [0, 1])):
        assert np.isnan(weighted.weighted_auroc(np.array(scores), np.array(positive, bool), unit, weights)).all()


def predictions(items: int, emotions: int, categories: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    targets = np.clip(np.round(rng.normal(0, 3, (items, emotions))) / 3, 0, 3)
    intensity = np.clip(targets + rng.normal(0, 0.5, targets.shape), 0, 3)
    votes = rng.normal(size=(items, categories))
    score = Predictions(intensity, rng.random(targets.shape), metrics.to_class(intensity), votes)
    return targets, rng.integers(0, categories, items), score


def test_a_weight_of_two_is_the_unit_twice():
    targets, category, score = predictions(60, 2, 3)
    unit = np.repeat(np.arange(6), 10)
    scorer = Scorer(targets, category, unit, ("happy", "sad"), 3)
    mask = np.random.default_rng(1).random(60) < 0.8
    weights = np.array([[1, 1, 1, 1, 1, 1], [2, 0, 1, 0, 3, 0]], np.float32)
    found = scorer.score(score, mask, weights)
    assert found.shape == (2, len(scorer.columns)) == (2, 6 + 5 * 2)
    for row, w in zip(found, weights, strict=True):
        again = np.repeat(np.flatnonzero(mask), w[unit[mask]].astype(int))
        true, recognised = targets[again] > 0, score.presence[again] > 0.5
        each = {
            "mae": metrics.mean_absolute_error(score.intensity[again], targets[again]),
            "acc4": (score.klass[again] == metrics.to_class(targets[again])).mean(0),
            "auroc": [metrics.auroc(score.presence[again, e], true[:, e]) for e in range(2)],
            "ccc": [metrics.ccc(score.intensity[again, e], targets[again, e]) for e in range(2)],
            "balanced": [metrics.balanced_accuracy(recognised[:, e], true[:, e]) for e in range(2)],
        }
        values = dict(zip(scorer.columns, row, strict=True))
        for metric, expected in each.items():
            assert [values[metric, e] for e in ("happy", "sad")] == pytest.approx(list(expected), abs=1e-6)
            assert values[metric, OVERALL] == pytest.approx(np.mean(expected), abs=1e-6)
    # with every class in every unit recalls are taken by unit; here one is lacking, so they are pooled
    mask &= (unit > 0) | (category > 0)
    pooled = metrics.uar(score.category[mask].argmax(1), category[mask], 3)
    assert scorer.columns[5] == ("uar", OVERALL)
    assert scorer.score(score, mask, weights)[0, 5] == pytest.approx(pooled)


def test_uar_by_unit_where_each_unit_has_each_class():
    category = np.array([0, 0, 1, 0, 1, 1])
    right = np.array([1, 0, 1, 1, 1, 0], bool)
    votes = np.eye(2)[np.where(right, category, 1 - category)]
    scorer = Scorer(np.zeros((6, 0)), category, np.array([0, 0, 0, 1, 1, 1]), (), 2)
    weights = np.array([[1, 1], [2, 0]], np.float32)
    found = scorer.uar(votes, np.ones(6, bool), weights)
    # unit 0: recalls 1/2 and 1; unit 1: 1 and 1/2
    assert found == pytest.approx([0.75, 0.75])
    # without unit 1's only item of class 0 the items are pooled: 1 of 2, and 2 of 3
    found = scorer.uar(votes, np.array([1, 1, 1, 0, 1, 1], bool), weights[:1])
    assert found == pytest.approx([(1 / 2 + 2 / 3) / 2])


def test_one_item_and_constant_predictions():
    one = Predictions(np.array([[1.0]]), np.array([[0.9]]), np.array([[1]]), None)
    scorer = Scorer(np.array([[2.0]]), np.array([-1]), np.array([0]), ("happy",), 0)
    values = dict(zip(scorer.columns, scorer.score(one, np.ones(1, bool), np.ones((1, 1)))[0], strict=True))
    assert values["mae", "happy"] == 1 and values["acc4", "happy"] == 0
    assert np.isnan(values["auroc", OVERALL])
    assert values["ccc", "happy"] == pytest.approx(0)
