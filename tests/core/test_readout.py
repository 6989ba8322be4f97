"""Read-outs by hand, and the scores of predictions against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from emo_ssl.core.readout import OVERALL, Predictions, concatenate, headline, read_out, scores_of

LEVELS = (0.0, 1.0, 2.0, 3.0)
NAMES = ("happy", "sad")


def test_read_outs_of_an_ordinal_head():
    # P(0) = .6 in the first, P(2) = .4 in the second, where the median is 2 too
    predictions = read_out(LEVELS, np.array([[[[0.4, 0.2, 0.1], [0.9, 0.6, 0.2]]]]))
    assert predictions.intensity.tolist() == [[[0, 2]]] and predictions.klass.tolist() == [[[0, 2]]]
    assert predictions.presence == pytest.approx(np.array([[[0.4, 0.9]]]))
    assert predictions.category is None


def test_read_outs_of_an_l1_head_are_clipped_but_rank_as_they_are():
    predictions = read_out(LEVELS, None, np.array([[[-0.4, 1.5, 7.0]]]), np.full((1, 1, 2), 0.5))
    assert predictions.intensity.tolist() == [[[0, 1.5, 3]]] and predictions.klass.tolist() == [[[0, 2, 3]]]
    assert predictions.presence == pytest.approx(np.array([[[-0.4, 1.5, 7.0]]]))
    assert predictions.category.shape == (1, 1, 2)


def drawn(count: int) -> tuple[Predictions, np.ndarray, np.ndarray]:
    """Predictions of two members, targets and categories, of which some are unknown."""
    rng, shape = np.random.default_rng(0), (2, count, 2)
    intensity, presence, klass = rng.uniform(0, 3, shape), rng.random(shape), rng.integers(0, 4, shape)
    predictions = Predictions(intensity, presence, klass, rng.random((2, count, 3)))
    return predictions, rng.integers(0, 4, (count, 2)).astype(np.float32), rng.integers(-1, 3, count)


def test_scores_are_those_of_scikit_learn():
    predictions, targets, category = drawn(80)
    found = {(name, metric): value for name, metric, value in scores_of(predictions, 1, targets, category, NAMES)}
    for e, name in enumerate(NAMES):
        true, positive, presence = targets[:, e], targets[:, e] > 0, predictions.presence[1, :, e]
        for metric, expected in (
            ("mae", reference.mean_absolute_error(true, predictions.intensity[1, :, e])),
            ("acc4", reference.accuracy_score(true, predictions.klass[1, :, e])),
            ("auroc", reference.roc_auc_score(positive, presence)),
            ("balanced_accuracy", reference.balanced_accuracy_score(positive, presence > 0.5)),
        ):
            assert found[name, metric] == pytest.approx(expected), metric
    for metric in ("mae", "acc4", "acc4_ceiling", "auroc", "ccc", "balanced_accuracy"):
        assert found[OVERALL, metric] == pytest.approx((found["happy", metric] + found["sad", metric]) / 2)
    known = category >= 0
    recall = reference.recall_score(category[known], predictions.category[1, known].argmax(-1), average="macro")
    assert found[OVERALL, "uar"] == headline(predictions, 1, targets, category) == pytest.approx(recall)
    plain = Predictions(predictions.intensity, predictions.presence, predictions.klass)
    assert headline(plain, 1, targets, category) == pytest.approx(found[OVERALL, "auroc"])


def test_what_is_undefined_is_left_out_of_the_overall_value():
    predictions, targets, category = drawn(30)
    for absent in (1, 0):  # nobody is sad, then nobody anything: no AUROC
        targets[:, absent] = 0.0
        rows = scores_of(predictions, 0, targets, category, NAMES)
        auroc = {name: value for name, metric, value in rows if metric == "auroc"}
        expected = auroc["happy"] if absent == 1 else np.nan
        assert np.isnan(auroc["sad"]) and auroc[OVERALL] == pytest.approx(expected, nan_ok=True)


def test_predictions_are_joined_and_taken_apart():
    predictions, _, _ = drawn(6)
    pair = concatenate([predictions, predictions])
    assert pair.intensity.shape == (4, 6, 2) and pair.category.shape == (4, 6, 3)
    part = pair.take(np.array([4, 1]))
    assert np.array_equal(part.klass[2], predictions.klass[0, [4, 1]])
    assert concatenate([pair, part], axis=1).klass.shape == (4, 8, 2)
    plain = Predictions(predictions.intensity, predictions.presence, predictions.klass)
    assert concatenate([plain, plain.take(np.array([], int))], axis=1).category is None
    plain.intensity[1, 3, 0] = np.nan
    assert plain.scored().tolist() == [[True] * 6, [True] * 3 + [False] + [True] * 2]
