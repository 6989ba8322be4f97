"""Read-outs by hand, and the scores of predictions against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from emo_ssl.core.readout import Predictions, concatenate, headline, read_out, scores_of

LEVELS = (0.0, 1.0, 2.0, 3.0)
NAMES = ("happy", "sad")


def test_read_outs_of_an_ordinal_head():
    # P(0) = .6 in the first, P(2) = .4 in the second, where the median is 2 too
    above = np.array([[[[0.4, 0.2, 0.1], [0.9, 0.6, 0.2]]]])
    predictions = read_out(LEVELS, above)
    assert predictions.intensity.tolist() == [[[0, 2]]] and predictions.klass.tolist() == [[[0, 2]]]
    assert predictions.presence == pytest.approx(np.array([[[0.4, 0.9]]]))
    assert predictions.category is None


def test_read_outs_of_an_l1_head_are_clipped_but_rank_as_they_are():
    predictions = read_out(LEVELS, None, np.array([[[-0.4, 1.5, 7.0]]]), np.full((1, 1, 2), 0.5))
    assert predictions.intensity.tolist() == [[[0, 1.5, 3]]]
    assert predictions.klass.tolist() == [[[0, 2, 3]]]
    assert predictions.presence == pytest.approx(np.array([[[-0.4, 1.5, 7.0]]]))
    assert predictions.category.shape == (1, 1, 2)


def drawn(count: int, categories: int = 3) -> tuple[Predictions, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    intensity = rng.uniform(0, 3, (2, count, 2)).astype(np.float32)
    predictions = Predictions(
        intensity, rng.random((2, count, 2)), rng.integers(0, 4, (2, count, 2)), rng.random((2, count, categories))
    )
    return predictions, rng.integers(0, 4, (count, 2)).astype(np.float32), rng.integers(-1, categories, count)


def test_metrics_of_a_predictions():
    predictions, targets, category = drawn(80)
    found = {(name, metric): value for name, metric, value in scores_of(predictions, 1, targets, category, NAMES)}
    for e, name in enumerate(NAMES):
        assert found[name, "mae"] == pytest.approx(
            reference.mean_absolute_error(targets[:, e], predictions.intensity[1, :, e])
        )
        assert found[name, "acc4"] == pytest.approx(reference.accuracy_score(targets[:, e], predictions.klass[1, :, e]))
        positive, presence = targets[:, e] > 0, predictions.presence[1, :, e]
        assert found[name, "auroc"] == pytest.approx(reference.roc_auc_score(positive, presence))
        balanced = reference.balanced_accuracy_score(positive, presence > 0.5)
        assert found[name, "balanced_accuracy"] == pytest.approx(balanced)
    for metric in ("mae", "acc4", "acc4_ceiling", "auroc", "ccc", "balanced_accuracy"):
        assert found["overall", metric] == pytest.approx((found["happy", metric] + found["sad", metric]) / 2)
    known = category >= 0
    recall = reference.recall_score(category[known], predictions.category[1, known].argmax(-1), average="macro")
    assert found["overall", "uar"] == pytest.approx(recall)
    assert headline(predictions, 1, targets, category) == pytest.approx(recall)
    plain = Predictions(predictions.intensity, predictions.presence, predictions.klass)
    assert headline(plain, 1, targets, category) == pytest.approx(found["overall", "auroc"])


def test_what_is_undefined_is_left_out_of_the_overall_value():
    predictions, targets, category = drawn(30)
    targets[:, 1] = 0.0  # nobody is sad: no AUROC
    found = {(name, metric): value for name, metric, value in scores_of(predictions, 0, targets, category, NAMES)}
    assert np.isnan(found["sad", "auroc"]) and found["overall", "auroc"] == found["happy", "auroc"]
    targets[:] = 0.0
    found = {(name, metric): value for name, metric, value in scores_of(predictions, 0, targets, category, NAMES)}
    assert np.isnan(found["overall", "auroc"])


def test_predictions_are_joined_and_taken_apart():
    predictions, _, _ = drawn(6)
    pair = concatenate([predictions, predictions])
    assert pair.intensity.shape == (4, 6, 2) and pair.category.shape == (4, 6, 3)
    part = pair.take(np.array([4, 1]))
    assert np.array_equal(part.klass[2], predictions.klass[0, [4, 1]])
    assert (
        Predictions(predictions.intensity, predictions.presence, predictions.klass).take(np.array([], int)).category
        is None
    )
    assert concatenate([pair, part], axis=1).klass.shape == (4, 8, 2)
