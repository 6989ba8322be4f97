"""Contrast within speakers: on numbers that can be done by hand, without labels, and from the training pool alone."""

import numpy as np
import pytest
from scipy.linalg import eigh
from training import STUDY, opened_fold, write_acted, write_acted_and_runs

from emo_ssl.core.normalise import speaker_independent
from emo_ssl.study import contrast
from emo_ssl.study.arms import run_chunk
from emo_ssl.study.grid import Chunk
from emo_ssl.study.logistic import CONTRAST_STRENGTHS, NEVER, LogisticTrainer, regression, scale_of, self_trained


@pytest.fixture
def acted(tmp_path):
    return write_acted(tmp_path / "acted").of_fold(0)


def balanced(clip: float) -> tuple[np.ndarray, np.ndarray]:
    """Two speakers, two clips each, two parts each: columns that follow the clip, the part and the speaker."""
    signs = (-1.0, 1.0)
    parts = [[[clip * c, p, s] for p in signs] for s in signs for c in signs]
    return np.array(parts), np.array(["a", "a", "b", "b"])


def test_directions_by_hand():
    # within: 2 for the part; between: 1 for the clip, less 2 / 2 for the part; avoided: 2 for the part, 5 x 1 for the
    # speaker, and a third of their sum for all
    ratio, axes = contrast.directions(*balanced(1.0), 5.0)
    assert np.allclose(ratio, [0, 0, 1 / (7 / 3)])
    best = axes[:, 2] / np.abs(axes[:, 2]).max()
    assert np.allclose(np.abs(best), [1, 0, 0], atol=1e-9)


def test_fewer_parts_than_numbers_have_the_same_directions():
    """Eight parts of twelve numbers, against the eigenproblem of all twelve."""
    rng = np.random.default_rng(0)
    parts, speaker = rng.normal(size=(4, 2, 12)) + 3 * rng.normal(size=(4, 1, 12)), np.array(["a", "a", "b", "b"])
    ratio, axes = contrast.directions(parts, speaker, 5.0)
    assert ratio.shape == (8,) and axes.shape == (12, 8)
    half, between = (parts[:, 0] - parts[:, 1]) / 2, parts.mean(1)[::2] - parts.mean(1)[1::2]
    within = 2 * half.T @ half / 4
    avoided = within + 5 * np.cov(parts.reshape(2, 4, 12).mean(1).T, bias=True)
    avoided += np.trace(avoided) / 12 * np.eye(12)
    wanted, all_axes = eigh(between.T @ between / 8 - within / 2, avoided)
    found = wanted > 1e-9
    assert found.sum() == (ratio > 1e-9).sum() == 2 and np.allclose(ratio[-2:], wanted[found])
    assert np.allclose(np.abs((all_axes[:, found] * axes[:, -2:]).sum(0)), (axes[:, -2:] ** 2).sum(0))


def test_nothing_to_contrast(acted):
    ratio, _ = contrast.directions(*balanced(0.0), 5.0)
    assert not ratio.any()
    ratio, _ = contrast.directions(balanced(1.0)[0], np.array(["a", "b", "c", "d"]), 5.0)  # a clip a speaker
    assert not ratio.any()
    one = contrast.directions(balanced(1.0)[0][:1], np.array(["a"]), 5.0)[0]
    assert not one.any()


def test_clips_of_the_training_pool_in_parts(acted):
    normaliser = speaker_independent(acted)
    parts, speaker = contrast.unlabelled(acted, normaliser)
    chosen = acted.recordings_of("train", "none")
    assert speaker.tolist() == acted.recordings.speaker[chosen].tolist() and parts.shape == (len(chosen), 4, 4 + 1 + 4)
    frames = normaliser(np.asarray(acted.recording(chosen[0])), int(chosen[0]))
    quarter = frames[: -(-len(frames) // 4)]
    assert np.allclose(parts[0, 0, :4], [*quarter.mean(0), *quarter.std(0)], atol=1e-5)


def test_a_summary_by_hand():
    frames = np.array([[1.0, 0.0], [-1.0, 2.0], [1.0, 0.0], [-1.0, 2.0]])  # one feature falls where the other rises
    assert contrast.summary(frames, 0).tolist() == [0, 1, 1, 1]
    assert contrast.summary(frames, 1).tolist() == [0, 1, 1, 1, -1, *(-0.75, 0.75, 0.75, -0.75)]
    assert contrast.summary(frames[:1], 1).tolist() == [1, 0, *[0] * 7]


def test_many_features_and_layers_have_no_covariances(acted, monkeypatch):
    assert contrast.lag_of(acted) == 2 and contrast.summaries(acted, speaker_independent(acted))[0].shape[1] == 9
    monkeypatch.setattr(contrast, "FEW", 1)
    assert contrast.lag_of(acted) == 0 and contrast.summaries(acted, speaker_independent(acted))[0].shape[1] == 4
    monkeypatch.undo()
    acted.header.update(feature_names=["L3.000", "L7.000"], layers=[3, 7])
    assert contrast.lag_of(acted) == 0


def test_the_table_knows_no_label_and_no_test_clip(acted, tmp_path):
    normaliser = speaker_independent(acted)
    found, train, test = contrast.table(acted, normaliser, 5.0), acted.where("train"), acted.where("test")
    assert np.allclose(found[train].mean(0), 0, atol=1e-6)
    plain, along = np.split(found[train].var(0), [9])
    assert np.allclose(plain, contrast.PLAIN) and np.isclose(along.sum(), 9)
    acted.targets[:] = 0.0
    acted.segments.category[:] = 0
    assert np.array_equal(contrast.table(acted, normaliser, 5.0), found)
    louder = acted.frames.copy()
    for i in test:
        louder[acted.segments.first[i] :][: acted.segments.length[i]] *= 3
    object.__setattr__(acted, "frames", louder)
    again = contrast.table(acted, normaliser, 5.0)
    assert np.allclose(again[train], found[train]) and not np.allclose(again[test], found[test])


def test_without_contrast_the_plain_numbers_stand_alone(acted, monkeypatch):
    monkeypatch.setattr(contrast, "unlabelled", lambda *_: (np.zeros((3, 4, 4)), np.array(["a", "a", "b"])))
    monkeypatch.setattr(contrast, "FEW", 1)
    plain = LogisticTrainer(acted, speaker_independent(acted), STUDY).table
    assert np.allclose(contrast.table(acted, speaker_independent(acted), 5.0), plain * contrast.PLAIN**0.5)


@pytest.mark.parametrize(("arm", "guesses"), [("contrast", False), ("self-trained", True)])
def test_an_arm_of_the_study(tmp_path, arm, guesses):
    corpus, runs = write_acted_and_runs(tmp_path)
    fold = opened_fold(corpus, runs[0])
    plain, found = (LogisticTrainer(fold.corpus, fold.normaliser, STUDY, strangers).table for strangers in (None, 5.0))
    assert np.allclose(found[:, : plain.shape[1]], plain * contrast.PLAIN**0.5)  # mean and deviation come first
    outcome = run_chunk(fold, Chunk(0, arm, (4, 6), (0,)), STUDY)
    assert outcome.predictions.presence.shape[:2] == (2, len(fold.corpus.where("test")))
    trials = outcome.trained_with.trials
    assert [(t["strangers"], t["rate"]) for t in trials] == [
        (s, r) for s in contrast.STRANGERS for r in CONTRAST_STRENGTHS
    ]
    chosen = max(trials, key=lambda trial: trial["score"])
    assert len(trials) == 6 and outcome.trained_with.rate == chosen["rate"]
    trainer = LogisticTrainer(fold.corpus, fold.normaliser, STUDY, chosen["strangers"], guesses)
    again, _ = trainer.train([(4, 0), (6, 0)], chosen["rate"], fold.corpus.where("test"))
    assert np.array_equal(again.presence, outcome.predictions.presence)


def test_the_surest_guesses_become_labels_in_the_proportions_of_the_labels():
    """Three labels far apart, ten unlabelled numbers on a line: four guesses, two thirds of them for class 2."""
    x, y, unlabelled = np.array([[-1.0], [1.0], [1.2]]), np.array([0, 2, 2]), np.linspace(-0.9, 1.0, 10)[:, None]
    wanted = regression(np.vstack([x, unlabelled[[0, 9, 8, 7]]]), np.array([0, 2, 2, 0, 2, 2, 2]), 1.0, 3)
    weight, bias = self_trained(x, y, unlabelled, 1.0, 3)
    scale = weight[2, 0] / wanted[0][2, 0]
    assert 0.1 < scale < 0.9 and np.allclose(weight, scale * wanted[0])
    assert np.allclose(bias[[0, 2]], scale * wanted[1][[0, 2]]) and bias[1] == NEVER


def test_guesses_make_it_no_surer():
    """Mean probability of what is likeliest, unlabelled: as it was from the labels alone."""
    rng = np.random.default_rng(0)
    x, y, unlabelled = rng.normal(size=(12, 4)), np.arange(12) % 3, rng.normal(size=(40, 4))

    def sure(weight, bias):
        raised = np.exp(unlabelled @ weight.T + bias)
        return (raised.max(1) / raised.sum(1)).mean()

    before, after = sure(*regression(x, y, 0.1, 3)), sure(*self_trained(x, y, unlabelled, 0.1, 3))
    assert after == pytest.approx(before, abs=1e-4) and before < 0.6
    logits = np.array([[2.0, 0.0], [0.0, 4.0]])
    assert scale_of(logits, 1.0) == pytest.approx(1.0, abs=1e-4)  # it may be as sure as it is, and no surer
    half = (1 / (1 + np.exp(-1)) + 1 / (1 + np.exp(-2))) / 2
    assert scale_of(logits, half) == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("size", [0, 1])
def test_where_nothing_can_be_guessed_the_labels_stand_alone(size):
    x, y = np.array([[-1.0], [1.0]]), np.array([0, 2])
    found, wanted = self_trained(x, y, np.ones((size, 1)), 1.0, 3), regression(x, y, 1.0, 3)
    assert all(np.array_equal(*pair) for pair in zip(found, wanted, strict=True))
    nothing = self_trained(x[:0], y[:0], np.ones((size, 1)), 1.0, 3)
    assert not nothing[0].any()


def test_with_all_labels_there_is_nothing_to_guess(acted):
    pool, test = acted.where("train"), acted.where("test")
    taught, plain = (
        LogisticTrainer(acted, speaker_independent(acted), STUDY, 5.0, guesses) for guesses in (True, False)
    )
    for size, same in ((4, False), (len(pool), True)):
        found = [one.train([(size, 0)], 0.1, test)[0].presence for one in (taught, plain)]
        assert np.array_equal(*found) == same


def test_each_layer_has_directions_of_its_own(acted):
    normaliser = speaker_independent(acted)
    assert [block.tolist() for block in contrast.blocks(acted, 9)] == [list(range(9))]
    acted.header.update(feature_names=["L3.000", "L7.000"], layers=[3, 7])
    assert [block.tolist() for block in contrast.blocks(acted, 4)] == [[0, 2], [1, 3]]
    found = contrast.table(acted, normaliser, 5.0)[:, 4:]
    alone = [contrast.table(acted.layer(k), speaker_independent(acted.layer(k)), 5.0)[:, 2:] for k in (3, 7)]
    assert np.allclose(found, np.hstack(alone), atol=1e-5)


def test_weights_are_read_off_for_the_features_themselves():
    rng = np.random.default_rng(0)
    layers = [np.array([0, 2]), np.array([1, 3])]
    speaker = np.repeat(["a", "b", "c"], 4)
    pool, parts = rng.normal(size=(9, 4)), rng.normal(size=(12, 4, 4)) + rng.normal(size=(12, 1, 4))
    made = contrast.Contrast.of(pool, parts, speaker, layers, 5.0)
    assert len(made.along) == 2
    weight, bias, x = rng.normal(size=(3, 8)), rng.normal(size=3), rng.normal(size=(6, 4))
    own, own_bias = made.read_off(weight, bias)
    assert own.shape == (3, 4) and np.allclose(x @ own.T + own_bias, made(x) @ weight.T + bias)
    nothing = contrast.Contrast.of(pool, parts, np.arange(12), layers, 5.0)  # one clip a speaker
    own, own_bias = nothing.read_off(weight[:, :4], bias)
    assert not nothing.along and np.allclose(x @ own.T + own_bias, nothing(x) @ weight[:, :4].T + bias)
