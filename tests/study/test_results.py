"""Read-outs, constants and the metrics of a cell against scikit-learn; fixed vectors for probes against numpy."""

import numpy as np
import pytest
import torch
from builders import Segment, Video, noise, write_segments
from sklearn import metrics as reference
from sklearn.decomposition import PCA

from emo_ssl.core.finetune import Scores
from emo_ssl.core.normalise import blind
from emo_ssl.study import results, vectors
from emo_ssl.study.predictions import Cell
from emo_ssl.study.results import cell_metrics, concatenate, constant_cell, headline, only, read_out

LEVELS = (0.0, 1.0, 2.0, 3.0)
NAMES = ("happy", "sad")


def test_read_outs_of_an_ordinal_head():
    # P(0) = .6 in the first, P(2) = .4 in the second, where the median is 2 too
    above = np.array([[[[0.4, 0.2, 0.1], [0.9, 0.6, 0.2]]]])
    cell = read_out(Scores(above, None, None), LEVELS)
    assert cell.intensity.tolist() == [[[0, 2]]] and cell.klass.tolist() == [[[0, 2]]]
    assert cell.presence == pytest.approx(np.array([[[0.4, 0.9]]]))
    assert cell.category is None


def test_read_outs_of_an_l1_head_are_clipped_but_rank_as_they_are():
    cell = read_out(Scores(None, np.array([[[-0.4, 1.5, 7.0]]]), np.full((1, 1, 2), 0.5)), LEVELS)
    assert cell.intensity.tolist() == [[[0, 1.5, 3]]]
    assert cell.klass.tolist() == [[[0, 2, 3]]]
    assert cell.presence == pytest.approx(np.array([[[-0.4, 1.5, 7.0]]]))
    assert cell.category.shape == (1, 1, 2)


def test_constants_know_the_training_labels_alone():
    train = np.array([[0.0, 3.0], [0.0, 1.0], [2.0, 2.0], [3.0, 1.0]])
    cell = constant_cell(train, 5, 2, np.array([0.25, 0.75]))
    assert cell.intensity.shape == (2, 5, 2) and cell.category.shape == (2, 5, 2)
    assert cell.intensity[1, 4].tolist() == [1.0, 1.5]
    assert cell.presence[0, 0].tolist() == [0.5, 1.0]
    assert cell.klass[0, 0].tolist() == [0, 1]
    assert constant_cell(train, 0, 1, None).intensity.shape == (1, 0, 2)


def drawn(count: int, categories: int = 3) -> tuple[Cell, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    intensity = rng.uniform(0, 3, (2, count, 2)).astype(np.float32)
    cell = Cell(
        intensity, rng.random((2, count, 2)), rng.integers(0, 4, (2, count, 2)), rng.random((2, count, categories))
    )
    return cell, rng.integers(0, 4, (count, 2)).astype(np.float32), rng.integers(-1, categories, count)


def test_metrics_of_a_cell():
    cell, targets, category = drawn(80)
    found = {(name, metric): value for name, metric, value in cell_metrics(cell, 1, targets, category, NAMES)}
    for e, name in enumerate(NAMES):
        assert found[name, "mae"] == pytest.approx(
            reference.mean_absolute_error(targets[:, e], cell.intensity[1, :, e])
        )
        assert found[name, "acc4"] == pytest.approx(reference.accuracy_score(targets[:, e], cell.klass[1, :, e]))
        positive, presence = targets[:, e] > 0, cell.presence[1, :, e]
        assert found[name, "auroc"] == pytest.approx(reference.roc_auc_score(positive, presence))
        balanced = reference.balanced_accuracy_score(positive, presence > 0.5)
        assert found[name, "balanced_accuracy"] == pytest.approx(balanced)
    for metric in ("mae", "acc4", "acc4_ceiling", "auroc", "ccc", "balanced_accuracy"):
        assert found["overall", metric] == pytest.approx((found["happy", metric] + found["sad", metric]) / 2)
    known = category >= 0
    recall = reference.recall_score(category[known], cell.category[1, known].argmax(-1), average="macro")
    assert found["overall", "uar"] == pytest.approx(recall)
    assert headline(cell, 1, targets, category) == pytest.approx(recall)
    plain = Cell(cell.intensity, cell.presence, cell.klass)
    assert headline(plain, 1, targets, category) == pytest.approx(found["overall", "auroc"])


def test_what_is_undefined_is_left_out_of_the_overall_value():
    cell, targets, category = drawn(30)
    targets[:, 1] = 0.0  # nobody is sad: no AUROC
    found = {(name, metric): value for name, metric, value in cell_metrics(cell, 0, targets, category, NAMES)}
    assert np.isnan(found["sad", "auroc"]) and found["overall", "auroc"] == found["happy", "auroc"]
    targets[:] = 0.0
    found = {(name, metric): value for name, metric, value in cell_metrics(cell, 0, targets, category, NAMES)}
    assert np.isnan(found["overall", "auroc"])


def test_cells_are_joined_and_taken_apart():
    cell, _, _ = drawn(6)
    pair = concatenate([cell, cell])
    assert pair.intensity.shape == (4, 6, 2) and pair.category.shape == (4, 6, 3)
    part = only(pair, np.array([4, 1]))
    assert np.array_equal(part.klass[2], cell.klass[0, [4, 1]])
    assert only(Cell(cell.intensity, cell.presence, cell.klass), np.array([], int)).category is None
    assert len(results.COLUMNS) == 12


# --- vectors for probes


def test_statistics_by_numpy():
    frames = noise(50, 3)
    found = vectors.statistics(frames)
    quantiles = [np.quantile(frames, q, axis=0) for q in (0.1, 0.5, 0.9)]
    assert np.allclose(found, np.concatenate([frames.mean(0), frames.std(0), *quantiles]), atol=1e-6)
    assert vectors.statistics(frames[:1]).shape == (15,)


def test_statistics_and_length_of_segments(tmp_path):
    recordings = [Video("a", noise(60)), Video("b", noise(40, seed=1))]
    recordings[0].frames[5, 0] = np.nan
    corpus = write_segments(tmp_path, recordings, [Segment(0, 0, 30), Segment(1, 10, 1), Segment(0, 20, 40)])
    normaliser = blind(corpus)
    table = vectors.segment_statistics(corpus, normaliser)
    assert table.shape == (3, 10) and np.isfinite(table).all()
    frames = np.nan_to_num((recordings[0].frames[20:60] - normaliser.center[0]) / normaliser.scale[0]).clip(-5, 5)
    assert np.allclose(table[2, :4], [*frames.mean(0), *frames.std(0)], atol=1e-5)
    length = np.log([30, 1, 40])
    from_middle = (length - length.mean()) / length.std()
    bumps = vectors.length_bumps(corpus)
    assert bumps.shape == (3, 9)
    for j, centre in enumerate((-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2)):
        assert bumps[:, j] == pytest.approx(np.exp(-2 * (from_middle - centre) ** 2), abs=1e-6)
    unlabelled = vectors.unlabelled_statistics(corpus, normaliser, np.array([0, 1]))
    assert unlabelled.shape == (2, 10)  # a window of five seconds holds each video
    assert np.allclose(unlabelled[1], vectors.statistics(normaliser(recordings[1].frames, 1)), atol=1e-6)


def test_principal_components_by_scikit_learn():
    rng = np.random.default_rng(0)
    unlabelled, table = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(20, 8))
    mean, spread = unlabelled.mean(0), unlabelled.std(0)
    expected = PCA(8).fit((unlabelled - mean) / spread).transform((table - mean) / spread)
    found = vectors.principal_components(table, unlabelled)
    assert np.allclose(np.abs(found), np.abs(expected), atol=1e-4)  # the sign of an axis is free
    few = vectors.principal_components(rng.normal(size=(4, 100)), rng.normal(size=(90, 100)))
    assert few.shape == (4, vectors.COMPONENTS)
    assert np.isfinite(vectors.principal_components(np.ones((2, 3)), np.ones((1, 3)))).all()  # one window, no spread


def test_standardised_in_the_spread_of_the_training_segments():
    table = torch.from_numpy(noise(30, 4))
    table[:, 3] = 2.0
    train = np.arange(0, 30, 2)
    found = vectors.standardised(table, train)
    assert torch.allclose(found[train].mean(0), torch.zeros(4), atol=1e-6)
    assert torch.allclose(found[train].std(0, correction=0), torch.tensor([1.0, 1, 1, 0]), atol=1e-5)
    assert not torch.allclose(found.mean(0)[:3], torch.zeros(3), atol=1e-3)
