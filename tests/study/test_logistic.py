"""Logistic regression against scikit-learn on all columns, presences by counting, subsets as in every other arm."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from training import STUDY, write_acted

from emo_ssl.core.normalise import speaker_independent
from emo_ssl.study.arms import ArmTrainer, run_chunk
from emo_ssl.study.grid import Chunk
from emo_ssl.study.logistic import STRENGTHS, LogisticTrainer, regression, softmax


@pytest.fixture
def acted(tmp_path):
    return write_acted(tmp_path / "acted").of_fold(0)


@pytest.mark.parametrize("examples", [6, 40])
def test_fewer_columns_give_the_same_probabilities(examples):
    rng = np.random.default_rng(0)
    x, asked = rng.normal(size=(examples, 12)), rng.normal(size=(5, 12))
    y = np.arange(examples) % 3 * 2  # class 1 and 3 never occur
    weight, bias = regression(x, y, 0.1, 5)
    found = softmax(asked @ weight.T + bias)
    plain = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8).fit(x, y).predict_proba(asked)
    assert np.allclose(found[:, [0, 2, 4]], plain, atol=2e-3) and not found[:, [1, 3]].any()


def test_the_span_of_the_training_pool_loses_nothing(acted):
    rng, trainer = np.random.default_rng(0), LogisticTrainer(acted, speaker_independent(acted), STUDY)
    pool = acted.where("train")
    trainer.table = rng.normal(size=(len(acted), 3 * len(pool)))
    assert trainer.coordinates.shape == (len(acted), len(pool))
    found = trainer.fit(pool[:9], 0.1, acted.where("test")).category
    plain = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
    plain.fit(trainer.table[pool[:9]], acted.segments.category[pool[:9]])
    expected = plain.predict_proba(trainer.table[acted.where("test")])
    assert np.allclose(found[:, plain.classes_], expected, atol=2e-3)


def test_one_known_class_is_certain_and_two_are_one_regression():
    weight, bias = regression(np.ones((3, 2)), np.array([1, 1, 1]), 1.0, 3)
    assert softmax(np.zeros((4, 2)) @ weight.T + bias).tolist() == [[0, 1, 0]] * 4
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(9, 2)), np.array([0, 2, 0, 2, 2, 0, 0, 2, 0])
    weight, bias = regression(x, y, 1.0, 3)
    plain = LogisticRegression(C=1.0, max_iter=5000).fit(x, y)
    assert (
        not weight[:2].any()
        and np.allclose(weight[2], plain.coef_)
        and np.allclose(bias[[0, 2]], [0, *plain.intercept_])
    )
    assert np.allclose(softmax(x @ weight.T + bias)[:, [0, 2]], plain.predict_proba(x))


def test_the_table_is_mean_and_deviation_in_units_of_the_training_pool(acted):
    normaliser = speaker_independent(acted)
    table = LogisticTrainer(acted, normaliser, STUDY).table
    by_hand = []
    for i in range(len(acted)):
        frames = normaliser(np.asarray(acted.segment(i)), int(acted.segments.recording[i]))
        by_hand.append([*frames.mean(0), *frames.std(0)])
    by_hand = np.array(by_hand)
    pool = by_hand[acted.where("train")]
    assert np.allclose(table, (by_hand - pool.mean(0)) / pool.std(0), atol=1e-4)


def test_presence_follows_from_the_categories_as_the_labels_have_it(acted):
    trainer = LogisticTrainer(acted, speaker_independent(acted), STUDY)
    subset, test = acted.where("train"), acted.where("test")
    found = trainer.fit(subset, 1.0, test)
    # happy (target 0) is present in category 1 and nowhere else, sad (target 1) in category 2
    assert np.allclose(found.presence, found.category[:, 1:], atol=1e-6)
    assert np.allclose(found.category.sum(1), 1, atol=1e-5)
    assert (found.category.argmax(1) == acted.segments.category[test]).mean() > 0.6  # the mean gives it away
    sure = found.presence > 0.5
    assert sure.any() and np.allclose(found.intensity[sure], 1.5) and not found.intensity[~sure].any()


def test_without_categories_each_emotion_is_asked_by_itself(corpus, fold):
    trainer = LogisticTrainer(corpus, fold.normaliser, STUDY)
    subset = corpus.where("train")[:10]
    found = trainer.fit(subset, 0.1, corpus.where("test"))
    plain = LogisticRegression(C=0.1, max_iter=5000, tol=1e-8)
    plain.fit(trainer.table[subset], corpus.targets[subset, 0] > 0)
    expected = plain.predict_proba(trainer.table[corpus.where("test")])[:, 1]
    assert found.category is None and np.allclose(found.presence[:, 0], expected, atol=2e-3)


def test_a_study_gives_it_the_labels_of_every_other_arm_and_tunes_it_on_validation(corpus, fold):
    config = replace(STUDY, arms=("logistic",))
    trained_with = run_chunk(fold, Chunk(0, "logistic", (4, 8), (0, 1)), config).trained_with
    other = ArmTrainer(fold, "statistics", STUDY).train([(4, 0), (8, 1)], 1e-2, corpus.where("test"))[1]
    assert other.subsets.items() <= trained_with.subsets.items() and trained_with.normaliser == other.normaliser
    assert [trial["rate"] for trial in trained_with.trials] == list(STRENGTHS)


def test_seeds_with_the_same_labels_share_a_fit(corpus, fold, monkeypatch):
    trainer, pool = LogisticTrainer(corpus, fold.normaliser, STUDY), len(corpus.where("train"))
    asked, fit = [], trainer.fit
    monkeypatch.setattr(trainer, "fit", lambda labels, *rest: asked.append(len(labels)) or fit(labels, *rest))
    found, _ = trainer.train([(4, 0), (4, 1), (pool, 0), (pool, 1)], 0.1, corpus.where("test"))
    assert asked == [4, 4, pool] and np.array_equal(found.presence[2], found.presence[3])
