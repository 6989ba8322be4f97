"""Members of arms: the same labels and starts in each, rates chosen on validation segments, constants by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import Segment, Video, noise, write_segments
from training import PRETRAIN, STUDY, draw, opened_fold

from emo_ssl.core.corpus import SPLITS
from emo_ssl.core.metrics import Predictions
from emo_ssl.core.model import member_state
from emo_ssl.core.pretrain import pretrain
from emo_ssl.study.arms import ArmTrainer, concatenate, constant_predictions, headlines, run_chunk, shuffled, tune
from emo_ssl.study.grid import KEEPS, Chunk

LONGER = replace(STUDY, finetune=replace(STUDY.finetune, steps=40), probe=replace(STUDY.probe, steps=60))


def test_budgets_nest_and_subsets_are_the_same_in_every_arm(corpus, fold):
    wanted = [(size, seed) for size in (4, 8, 24) for seed in (0, 1)]
    of_arm = [
        [member.subset.tolist() for member in ArmTrainer(fold, name, STUDY).members(wanted)]
        for name in ("scratch", "pretrained", "frozen-random", "statistics", "length")
    ]
    assert all(subsets == of_arm[0] for subsets in of_arm)
    subset = dict(zip(wanted, of_arm[0], strict=True))
    train = set(np.flatnonzero(corpus.segments.split == SPLITS.index("train")).tolist())
    for seed in (0, 1):
        assert [len(subset[size, seed]) for size in (4, 8, 24)] == [4, 8, 24]
        assert subset[4, seed] == subset[8, seed][:4] == subset[24, seed][:4]
        assert set(subset[24, seed]) == train


def test_a_seed_takes_its_pretraining_run_with_it(corpus, run, tmp_path):
    another = pretrain([corpus], tmp_path / "second", PRETRAIN, seed=1, device="cpu")
    trainer = ArmTrainer(opened_fold(corpus, run, tmp_path / "second"), "pretrained", STUDY)
    assert [trainer.run_of(seed)[0] for seed in range(3)] == [0, 1, 0]
    begun = member_state(trainer.classifier([0, 1]), 1)
    second = {name: value for name, value in another.network.state_dict().items() if name in begun}
    assert second and all(torch.equal(begun[name], value) for name, value in second.items())
    _, trained_with = trainer.train([(4, 0), (4, 1)], 1e-2, corpus.where("test"))
    assert trained_with.pretraining_seeds == {"0": 0, "1": 1}


def test_rates_are_chosen_on_validation_segments_with_unreported_seeds(corpus, fold, monkeypatch):
    asked, original = [], ArmTrainer.train

    def noted(self, wanted, rate, segments):
        asked.append((wanted, rate, segments.tolist()))
        return original(self, wanted, rate, segments)

    monkeypatch.setattr(ArmTrainer, "train", noted)
    config = replace(LONGER, rates=(1e-9, 1e-2))
    trained_with = run_chunk(fold, Chunk(0, "statistics", (8,), (0, 1)), config).trained_with
    valid, test = (corpus.where(split).tolist() for split in ("valid", "test"))
    tuning = [(size, 10_000 + s) for size in (4, 24) for s in range(2)]
    assert asked == [(tuning, 1e-9, valid), (tuning, 1e-2, valid), ([(8, 0), (8, 1)], trained_with.rate, test)]
    assert [trial["rate"] for trial in trained_with.trials] == [1e-9, 1e-2]
    assert trained_with.rate == max(trained_with.trials, key=lambda trial: trial["score"])["rate"]
    assert set(trained_with.subsets) == {"8/0", "8/1"}


def test_validation_that_decides_nothing_leaves_the_first_rate(fold, monkeypatch):
    monkeypatch.setattr("emo_ssl.study.arms.headlines", lambda *_: [np.nan])
    rate, trials = tune(ArmTrainer(fold, "statistics", STUDY), STUDY, (1e-3, 1e-2))
    assert rate == 1e-3 and [trial["score"] for trial in trials] == [0.0, 0.0]


@pytest.mark.parametrize("arm", ["pretrained", "statistics"])
def test_the_best_weights_are_those_that_do_best_on_validation(corpus, fold, arm):
    valid, wanted = corpus.where("valid"), [(size, seed) for size in (4, 8) for seed in range(4)]
    longer = replace(STUDY, finetune=replace(STUDY.finetune, steps=20))
    reached = {}
    for keep in KEEPS:
        predictions, _ = ArmTrainer(fold, arm, replace(longer, keep=keep)).train(wanted, 1e-2, valid)
        reached[keep] = headlines(predictions, corpus, valid)
    assert np.isfinite(reached["last"]).all() and (np.array(reached["best"]) >= reached["last"]).all()
    assert reached["best"] != reached["last"]


def test_shuffled_weights_keep_their_values_and_lose_their_places():
    state = {"weight": draw(1, 8, 4), "bias": draw(1, 8)}
    mixed, again, other = (shuffled(state, seed) for seed in (1, 1, 2))
    for name, value in state.items():
        assert torch.equal(mixed[name].flatten().sort().values, value.flatten().sort().values)
        assert mixed[name].shape == value.shape and torch.equal(mixed[name], again[name])
    assert not any(torch.equal(mixed["weight"], one["weight"]) for one in (state, other))


def test_members_are_joined():
    one = Predictions(np.ones((1, 3, 2)), np.ones((1, 3, 2)), np.ones((1, 3, 2)), np.ones((1, 3, 4)))
    both = concatenate([one, one.map(lambda values: 2 * values)])
    assert both.klass[:, 0, 0].tolist() == [1, 2] and both.category.shape == (2, 3, 4)
    plain = Predictions(one.intensity, one.presence, one.klass)
    assert concatenate([plain]).category is None


def test_constants_know_the_training_labels_alone(run, tmp_path):
    labels = [(0, 3), (0, 1), (2, 2), (3, 1), (1, 1), (3, 3), (3, 3)]
    split = ["train"] * 4 + ["valid", "test", "test"]
    recordings = [Video(f"v{v}", noise(20, seed=v), split[v]) for v in range(7)]
    cut = [Segment(v, 0, 20, tuple(map(float, y)), category=int(v == 0) if v else -1) for v, y in enumerate(labels)]
    corpus = write_segments(tmp_path, recordings, cut, category_names=("calm", "loud"))
    found = constant_predictions(opened_fold(corpus, run), 2)
    assert found.intensity.shape == (2, 2, 2)
    assert found.intensity[1, 1].tolist() == [1.0, 1.5]
    assert found.presence[0, 0].tolist() == [0.5, 1.0]
    assert found.klass[0, 0].tolist() == [0, 1]
    assert found.category[1, 0].tolist() == [0.75, 0.0]  # one of four has no category
