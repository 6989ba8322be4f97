"""Objectives that were tried: each can be learned, losses are those of a hand count, and a stopped run goes on."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from training import write_acted

from bench import objectives
from bench.objectives import OBJECTIVES, Contrast, MaskedSteps, halves, main
from emo_ssl.core.model import EncoderConfig, initialise

CONFIG = EncoderConfig(2, width=16, layers=1, heads=2, stack=2)


def clips(count: int = 6) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.normal(i, 1, (20 + i, 2)).astype(np.float32)) for i in range(count)]


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if "random" not in name])
def test_every_objective_teaches_the_encoder_something(name):
    objective, speaker = initialise(OBJECTIVES[name](CONFIG), [0]), torch.tensor([0, 0, 0, 1, 1, 1])
    loss = objective.loss(clips(), speaker, np.random.default_rng(0))
    loss.backward()
    objective.after_step()
    assert loss.isfinite() and objective.encoder.token.weight.grad.abs().sum() > 0


def test_the_contrast_of_clips_that_are_all_alike_is_chance_among_those_of_one_speaker():
    objective, same = initialise(Contrast(CONFIG), [0]), torch.ones(20, 2)
    objective.views = lambda clips, rng: iter([torch.ones(6, 4)] * 2)
    loss = objective.loss([same] * 6, torch.tensor([0, 0, 0, 0, 1, 1]), np.random.default_rng(0))
    assert loss.item() == pytest.approx((4 * math.log(4) + 2 * math.log(2)) / 6, rel=1e-5)


def test_masked_steps_count_hidden_tokens_only():
    objective = initialise(MaskedSteps(CONFIG), [0])
    with torch.no_grad():
        objective.reconstruct.weight.zero_()  # guesses 0
    ones = [torch.ones(20, 2)] * 2
    assert objective.loss(ones, torch.tensor([0, 1]), np.random.default_rng(0)).item() == pytest.approx(0.5)


def test_halves_share_no_frame():
    for seed in range(5):
        first, second = halves(torch.arange(20)[:, None], np.random.default_rng(seed))
        assert sorted([*first[:, 0].tolist(), *second[:, 0].tolist()]) == list(range(20)) and len(first) >= 7


def test_lagged_products_by_hand():
    """A sign that turns every fourth frame: alike after eight frames, opposite after four."""
    turns = np.repeat([1.0, -1.0] * 4, 4)[:, None]
    assert objectives.lagged(turns).round(6).tolist() == [2 / 32, -28 / 32, -2 / 32, 24 / 32]
    assert objectives.lagged(turns[:1]).tolist() == [0.0] * 4


def test_a_stopped_run_goes_on_and_test_speakers_have_no_say(tmp_path, monkeypatch):
    corpus = write_acted(tmp_path / "acted")
    monkeypatch.setattr(objectives, "BUDGETS", (3, 6))
    some = {name: OBJECTIVES[name] for name in ("none (random weights)", "contrast within speakers")}
    monkeypatch.setattr(objectives, "OBJECTIVES", some)
    given = [str(corpus.folder), str(tmp_path / "out.csv"), "--folds", "0", "--steps", "2"]
    found = main(given)
    readouts = 2 + len(objectives.VARIANTS) + len(objectives.GUESSES) + 2 * len(some)
    assert len(found) == readouts * 3 * len(objectives.STRENGTHS) and found["uar"].between(0, 1).all()
    pd.read_csv(tmp_path / "out.csv").iloc[:96].to_csv(tmp_path / "out.csv", index=False)
    again = main(given)
    keys = ["objective", "readout", "budget", "strength"]
    before, after = (table.set_index(keys)["uar"].sort_index() for table in (found, again))
    assert before.index.equals(after.index) and np.allclose(before, after, atol=1e-4)


def test_guesses_are_made_for_training_clips_without_a_label_and_as_many_as_the_name_says(tmp_path, monkeypatch):
    fold, seen = objectives.Fold.open(write_acted(tmp_path / "acted"), 0, objectives.INDEPENDENT), []
    train, category = fold.corpus.where("train"), fold.corpus.segments.category
    table = np.arange(len(fold.corpus), dtype=float)[:, None]  # each clip is its own number

    def guessed(x, y, unlabelled, strength, classes, share):
        seen.append((x[:, 0].astype(int), y, unlabelled[:, 0].astype(int), share))
        return objectives.regression(x, y, strength, classes)

    monkeypatch.setattr(objectives, "BUDGETS", (3,))
    monkeypatch.setattr(objectives, "self_trained", guessed)
    assert len(list(objectives.scores(table, fold, 0.2))) == 2 * len(objectives.STRENGTHS)
    for labelled, classes, unlabelled, share in seen:
        assert sorted([*labelled, *unlabelled]) == train.tolist() and len(labelled) in (3, len(train))
        assert classes.tolist() == category[labelled].tolist() and share == 0.2
    assert {share for of, share in objectives.GUESSES.values() if of == "contrast"} == {0.2, 0.4, 0.7}
    assert len(list(objectives.scores(table, fold))) == 2 * len(objectives.STRENGTHS) and len(seen) == 6 * 4


def test_covariances_of_many_features_are_no_variant_for_there_are_none(tmp_path, monkeypatch):
    fold = objectives.Fold.open(write_acted(tmp_path / "acted"), 0, objectives.INDEPENDENT)
    monkeypatch.setattr(objectives, "OBJECTIVES", {})
    few = [name for name, _ in objectives.tables(fold, 1, set())]
    monkeypatch.setattr(objectives.contrast, "FEW", len(fold.corpus.feature_names) - 1)
    many = [name for name, _ in objectives.tables(fold, 1, set())]
    assert set(few) - set(many) == {"closed form, with covariances"}


def test_curves_move_one_setting_at_a_time(tmp_path, monkeypatch):
    corpus, trained, train = write_acted(tmp_path / "acted"), [], objectives.train
    monkeypatch.setattr(objectives, "BUDGETS", (3,))
    monkeypatch.setattr(objectives, "train", lambda *given: trained.append(given) or train(*given))
    found = main([str(corpus.folder), str(tmp_path / "out.csv"), "--folds", "0", "--steps", "4", "--curves"])
    moved = [(name, value) for name, values in objectives.CURVES.items() for value in values]
    assert found["objective"].unique().tolist() == [f"masked steps, {name} {value:g}" for name, value in moved]
    given = dict(zip(moved, trained, strict=True))
    network, whole, seed, steps = given["seed", 1]
    assert (network.mask, network.config.width, network.config.layers, seed, steps) == (objectives.MASK, 48, 2, 1, 4)
    assert given["span", 3][0].mask.span == 3 and given["share", 0.7][0].mask.share == 0.7
    assert given["width", 96][0].config.width == 96 and given["layers", 4][0].config.layers == 4
    assert given["steps", 0.25][3] == 1 and given["steps", 2.0][3] == 8
    ways = found[found["objective"] == "masked steps, seed 1"]["readout"].unique().tolist()
    assert ways == ["states", "states, mean alone", "states, deviation alone", "states and lagged products"]
    half = given["speech", 0.5][1].by_speaker
    assert half.keys() == whole.by_speaker.keys()
    assert all(
        len(half[who]) == round(len(clips) / 2) and set(half[who]) < set(clips)
        for who, clips in whole.by_speaker.items()
    )
