"""What a finished study stores: its table, its predictions, and where they come from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference
from training import STUDY

from emo_ssl.core.corpus import SPLITS
from emo_ssl.core.metrics import OVERALL, Predictions
from emo_ssl.core.pretrain import PretrainedRun
from emo_ssl.study.collect import PROVENANCE, RESULTS, Study, best_constants, mean_best, scores_of
from emo_ssl.study.predictions import Key, StudyPredictions
from emo_ssl.study.run import run_study
from emo_ssl.utils.io import read_json


@pytest.fixture(scope="module")
def out_of_fold(acted, tmp_path_factory) -> Study:
    corpus, runs = acted
    return run_study(corpus, runs, tmp_path_factory.mktemp("oof") / "study", STUDY, "cpu")


def test_the_table_holds_the_scores_of_the_predictions(finished):
    rows = pd.read_csv(finished / RESULTS)
    predictions = StudyPredictions.open(finished)
    true = predictions.items.targets
    assert set(rows.arm) == set(STUDY.arms)
    assert set(rows.budget) == set(predictions.meta["budgets"]) == {4, 8, 24}
    assert set(rows.metric) == {"mae", "acc4", "acc4_ceiling", "auroc", "ccc", "balanced_accuracy"}
    for key in predictions.keys:
        mine = rows[(rows.arm == key.arm) & (rows.budget == key.budget) & (rows.seed == 1) & (rows.metric == "mae")]
        expected = np.abs(predictions.cell(key).intensity[1] - true).mean(0)
        found = mine.set_index("emotion").value
        assert found["happy"] == pytest.approx(expected[0], abs=1e-6)
        assert found["overall"] == pytest.approx(expected.mean(), abs=1e-6)
    begun = rows.groupby("arm").pretrain_seed.apply(lambda seeds: seeds.notna().any())
    assert begun[begun].index.tolist() == ["frozen-pretrained", "pretrained"]


def test_what_a_study_stores(corpus, run, finished):
    story = read_json(finished / PROVENANCE)
    assert story["corpus"]["content_hash"] == corpus.content_hash
    assert story["fairness"]["verdict"] == "fair"
    predictions = StudyPredictions.open(finished)
    test = np.flatnonzero(corpus.segments.split == SPLITS.index("test"))
    assert predictions.items.segment.tolist() == test.tolist()
    assert predictions.items.unit.tolist() == corpus.recordings.id[corpus.segments.recording[test]].tolist()
    assert predictions.meta["pretraining"]["losses"][0]["masked"] == PretrainedRun.open(run).result["held_out"]["model"]


def test_every_segment_is_predicted_once_by_a_fold_that_never_had_it(acted, out_of_fold):
    corpus, _ = acted
    predictions = StudyPredictions.open(out_of_fold.folder)
    items = predictions.items
    assert sorted(items.segment) == list(range(36))
    assert np.array_equal(items.fold, corpus.segments.fold[items.segment])
    assert items.unit.tolist() == corpus.recordings.speaker[corpus.segments.recording[items.segment]].tolist()
    assert predictions.meta["headline"] == "uar"
    train = [corpus.targets[corpus.of_fold(k).where("train")] > 0 for k in range(3)]
    shares = {name: np.mean([of[:, e].mean() for of in train]) for e, name in enumerate(corpus.target_names)}
    assert predictions.meta["training_prevalence"] == pytest.approx(shares)
    for key in predictions.keys:
        cell = predictions.cell(key)
        assert cell.scored().all() and (cell.klass >= 0).all()
        assert np.allclose(cell.category.sum(-1), 1, atol=1e-5)


def test_its_table_holds_the_unweighted_recall_of_each_fold_and_is_printed(out_of_fold):
    rows = pd.read_csv(out_of_fold.folder / RESULTS)
    rows = rows[(rows.metric == "uar") & (rows.emotion == "overall")]
    predictions = StudyPredictions.open(out_of_fold.folder)
    row = rows[rows.arm == "scratch"].iloc[-1]
    cell = predictions.cell(Key("speaker-independent", "transformer", "scratch", "ordinal", row.budget))
    here, true = predictions.items.fold == row.fold, predictions.items.category
    right = cell.category[row.seed, here].argmax(-1) == true[here]
    assert row.value == pytest.approx(np.mean([right[true[here] == c].mean() for c in range(3)]), abs=1e-6)
    assert len(rows) == 6 * 3 * 3 * 2  # arms, folds, budgets, seeds
    lines = str(out_of_fold).splitlines()
    assert "6 arms, budgets 4, 8, 12, 2 seeds, 3 folds; mean uar on test segments" in lines[0]
    assert [line.split()[-3:] for line in lines if "constants" in line] == [["constants", "0.333", "0.333"]]


def test_clips_without_a_category_take_part(acted, tmp_path):
    corpus, runs = acted
    category = corpus.segments.category.copy()
    category[::5] = -1
    partly = replace(corpus, segments=replace(corpus.segments, category=category))
    config = replace(STUDY, arms=("scratch", "constants"), seeds=1)
    folder = run_study(partly, runs, tmp_path / "study", config, "cpu").folder
    assert pd.read_csv(folder / RESULTS).query("metric == 'uar'").value.between(0, 1).all()


def test_the_best_constants_of_a_fold_and_their_means_by_hand():
    found = {"a": {"mae": np.array([1.5, 0]), "acc4": np.array([0, 1])}}
    found["b"] = {"mae": np.array([1.5, 3]), "acc4": np.array([0.5, 0])}
    best = best_constants(found)
    assert (best["mae"].tolist(), best["acc4"].tolist()) == ([1.5, 0], [0.5, 1])
    other = {"mae": np.array([0.5, 1]), "acc4": np.array([0.7, 0])}
    assert mean_best([best, other], ("happy", "sad")) == {
        "overall": {"mae": pytest.approx(0.75), "acc4": pytest.approx(0.55)},
        "happy": {"mae": 1.0, "acc4": pytest.approx(0.6)},
        "sad": {"mae": 0.5, "acc4": 0.5},
    }


def predicted(count: int) -> tuple[Predictions, np.ndarray, np.ndarray]:
    """Predictions of two members, targets and categories, of which some are unknown."""
    rng, shape = np.random.default_rng(0), (2, count, 2)
    intensity, presence, klass = rng.uniform(0, 3, shape), rng.random(shape), rng.integers(0, 4, shape)
    predictions = Predictions(intensity, presence, klass, rng.random((2, count, 3)))
    return predictions, rng.integers(0, 4, (count, 2)).astype(np.float32), rng.integers(-1, 3, count)


def test_scores_are_those_of_scikit_learn():
    predictions, targets, category = predicted(80)
    found = {
        (name, metric): value for name, metric, value in scores_of(predictions, 1, targets, category, ("happy", "sad"))
    }
    for e, name in enumerate(("happy", "sad")):
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
    assert found[OVERALL, "uar"] == pytest.approx(recall)
