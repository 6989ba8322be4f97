"""Training whose numbers are none any more ends in a sentence, and never in a score."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from attack.examples import SMALL, fresh
from builders import contents, replaced
from safetensors.torch import load_file, save
from training import FINETUNE, PRETRAIN, STUDY, opened_fold

from emo_ssl.core import pretrain as engine
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import finetune
from emo_ssl.core.model import Head, HeadConfig, save_state
from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS, load_model, predict
from emo_ssl.core.pretrain import CHECKPOINT, METRICS, MODEL, PretrainedRun, pretrain
from emo_ssl.study.arms import DIVERGED, ArmTrainer, run_chunk, tune
from emo_ssl.study.collect import PROVENANCE, RESULTS
from emo_ssl.study.grid import Chunk
from emo_ssl.study.predictions import PREDICTIONS, StudyPredictions
from emo_ssl.study.run import run_study
from emo_ssl.utils.values import UserError

TOO_HIGH = 1e30


@pytest.fixture(scope="module")
def fold(made):
    return opened_fold(Corpus.open(made / "corpus"), made / "run0")


@pytest.mark.parametrize(
    ("arm", "head"), [("scratch", "ordinal"), ("pretrained", "l1"), ("statistics", "ordinal"), ("frozen-random", "l1")]
)
def test_reported_members_must_not_diverge(fold, arm, head):
    chunk, config = Chunk(0, arm, (4, 8), (0, 1)), replace(STUDY, rates=(TOO_HIGH,), head=head)
    changed = replace(fold, data=replace(fold.data, head=replace(fold.data.head, kind=head)))
    words = rf"4 of 4 members of {arm} diverged at a rate of 1e\+30 in fold 0 .*at 4 labels with seed 0"
    with pytest.raises(UserError, match=words):
        run_chunk(changed, chunk, config)


def test_a_study_of_diverged_members_leaves_no_table(made, tmp_path):
    runs = [made / f"run{k}" for k in range(3)]
    with pytest.raises(UserError, match=r"4 of 4 members of scratch diverged at a rate of 1e\+30"):
        run_study(Corpus.open(made / "corpus"), runs, tmp_path / "study", replace(SMALL, rates=(TOO_HIGH,)), "cpu")
    assert not {PREDICTIONS, RESULTS, PROVENANCE} & contents(tmp_path).keys()


@pytest.mark.parametrize("rates", [(TOO_HIGH, 1e-2), (1e-2, TOO_HIGH)])
def test_a_rate_at_which_members_diverge_is_not_chosen(fold, rates):
    config = replace(STUDY, rates=rates)
    rate, trials = tune(ArmTrainer(fold, "statistics", config), config, rates)
    scores = {trial["rate"]: trial["score"] for trial in trials}
    assert rate == 1e-2 and scores[TOO_HIGH] == DIVERGED < 0 <= scores[1e-2]


def test_a_member_whose_upper_cut_points_are_no_numbers_has_scored_nothing():
    """Its presence would be a number, and its intensity would be counted from what is left."""
    head = Head(HeadConfig((0.0, 1.0, 2.0, 3.0), emotions=2), inputs=3, members=2)
    with torch.no_grad():
        head.cuts[1, 0, 1] = torch.nan
    found = predict(head, torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0)))
    assert found.scored().all(1).tolist() == [True, False]
    assert (found.klass[1] == -1).all() and np.isnan(found.presence[1]).all() and np.isfinite(found.presence[0]).all()


def test_predictions_that_are_no_numbers_are_no_evidence(made, tmp_path):
    with np.load(made / "study" / PREDICTIONS) as stored:
        arrays = dict(stored)
    (name,) = (name for name in arrays if "scratch" in name and "/4.presence" in name)
    arrays[name][1, 2] = np.nan
    np.savez(tmp_path / PREDICTIONS, **arrays)
    predictions = StudyPredictions.open(tmp_path)
    key = next(key for key in predictions.keys if str(key) in name)
    with pytest.raises(UserError, match="1 of its 2 members diverged"):
        predictions.cell(key)


def test_a_model_that_diverged_is_not_saved(made, tmp_path):
    with pytest.raises(UserError, match=r"on 9 labels diverged at a rate of 1e\+30 \(seed 1\)"):
        finetune(Corpus.open(made / "corpus"), made / "run0", tmp_path / "model", 9, TOO_HIGH, 1, FINETUNE, "cpu")
    assert contents(tmp_path) == {}
    with pytest.raises(UserError, match="a learning rate of nan: choose a number"):
        finetune(Corpus.open(made / "corpus"), made / "run0", tmp_path / "model", 9, np.nan, 1, FINETUNE, "cpu")


@pytest.mark.parametrize(("part", "load"), [(f"model/{WEIGHTS}", load_model), (f"run0/{MODEL}", PretrainedRun.open)])
def test_weights_that_are_no_numbers_are_not_loaded(made, part, load):
    tensors = load_file(made / part)
    tensors["encoder.token.weight"][0, 0, 0] = torch.nan
    with (
        replaced(made / part, save(tensors)),
        pytest.raises(UserError, match=r"encoder\.token\.weight holds values that are no numbers"),
    ):
        load((made / part).parent)


def test_features_that_do_not_vary_in_a_saved_model(made):
    tensors = load_file(made / "linear" / WEIGHTS)
    tensors["normaliser.scale"][1] = 0.0
    words = r"damaged \(normaliser.scale is 0 for a feature\); "
    with replaced(made / "linear" / WEIGHTS, save(tensors)), pytest.raises(UserError, match=words):
        load_model(made / "linear")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"feature_names": []}, "it names 0 features and 2 emotions"),
        ({"target_names": []}, "it names 2 features and 0 emotions"),
        ({"encoder": {"lag": 1}}, "encoder: kind is missing"),
        ({"encoder": {"kind": "summary", "lag": 2000}}, "lag: it is 2000, expected int from 0 to 1000"),
        ({"feature_names": ["a"] * 100}, "lag: it is 2, expected int from 0 to 0"),  # covariances of so many
    ],
)
def test_a_description_of_a_linear_model_that_cannot_be(made, change, words):
    whole = json.loads((made / "linear" / DESCRIPTION).read_text())
    changed = json.dumps(whole | change).encode()
    with replaced(made / "linear" / DESCRIPTION, changed), pytest.raises(UserError, match=words):
        load_model(made / "linear")


def test_weights_too_large_to_predict_with_are_a_sentence(made):
    model = load_model(made / "model")
    with torch.no_grad():
        model.network.head.linear.weight.fill_(3e38)
    with pytest.raises(UserError, match="gives no numbers for these recordings"):
        model.predict([np.ones((9, 2), np.float32)])


def test_a_diverging_pretraining_stops_and_keeps_its_checkpoint(made, tmp_path, monkeypatch):
    """From step 6 on its weights are no numbers: the checkpoint of step 3 stays, that of step 6 is never written."""
    original, config = engine.step, replace(PRETRAIN, steps=200)

    def step(optimiser, share):
        original(optimiser, share)
        step.done += 1
        if step.done == 5:
            optimiser.param_groups[0]["params"][0].data.fill_(torch.nan)

    step.done = 0
    monkeypatch.setattr(engine, "step", step)
    with pytest.raises(UserError, match=r"diverged, its loss at step 6 is no number at a rate of 0.003; choose"):
        pretrain(Corpus.open(made / "corpus"), tmp_path / "run", config, device="cpu")
    number, log = engine.resume(tmp_path / "run", *fresh(PretrainedRun.open(made / "run0")))
    assert number == 3 and all(np.isfinite(value) for line in log for value in line.values())
    assert step.done == 6


def test_a_checkpoint_of_an_endless_run_is_not_counted_to(made):
    stopped = made / "stopped"
    tensors = load_file(stopped / CHECKPOINT) | {"step": torch.tensor(2**62)}
    run = fresh(PretrainedRun.open(made / "run0"))
    with replaced(stopped / CHECKPOINT, save(tensors)), pytest.raises(UserError, match=f"lead up to step {2**62}"):
        engine.resume(stopped, *run)


def test_a_loss_below_0_is_no_loss(made):
    log = made / "stopped" / METRICS
    damaged = log.read_bytes().replace(b'"held_out": ', b'"held_out": -', 1)
    words = "held_out is -.*, expected float from 0 to inf; delete"
    with replaced(log, damaged), pytest.raises(UserError, match=words):
        engine.resume(made / "stopped", *fresh(PretrainedRun.open(made / "run0")))


def test_a_rate_too_high_for_pretraining_is_named(made, tmp_path):
    with pytest.raises(UserError, match=r"pretraining diverged, .* at a rate of 1e\+30"):
        pretrain(Corpus.open(made / "corpus"), tmp_path / "run", replace(PRETRAIN, rate=TOO_HIGH), device="cpu")
    assert CHECKPOINT not in contents(tmp_path / "run")


def test_a_disk_that_is_full_while_weights_are_saved_is_one_sentence(tmp_path):
    resource = pytest.importorskip("resource", reason="no limits on files here")
    (tmp_path / MODEL).write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        with pytest.raises(UserError, match=rf"{MODEL}: the disk is full, nothing was kept"):
            save_state(tmp_path / MODEL, {"weight": torch.zeros(1 << 16)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path) == {MODEL: b"old"}
