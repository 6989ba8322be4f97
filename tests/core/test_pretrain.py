"""Masked pretraining: the loss by hand, what is learned, what is never seen, and runs that are killed."""

import hashlib
import json
import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Video, contents, noise, write_segments
from torch.nn import functional as F
from training import PRETRAIN, waves, write_acted, write_mosei_like

from emo_ssl.core import pretrain as engine
from emo_ssl.core.batches import MaskConfig, MaskedBatch, WindowPool, masked_batch
from emo_ssl.core.metrics import BASELINES
from emo_ssl.core.model import MaskedAutoencoder, initialise, to_tokens
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.pretrain import (
    CHECKPOINT,
    METRICS,
    MODEL,
    RESULT,
    PretrainConfig,
    PretrainedRun,
    baseline_losses,
    held_out_loss,
    leak_in,
    pretrain,
    reconstruction_loss,
    refuse_shared,
    trained_on,
)
from emo_ssl.utils.io import UserError
from emo_ssl.utils.values import checked

CPU = torch.device("cpu")
LEARNS = PretrainConfig(
    width=32, layers=1, heads=2, stack=2, window=0.64, batch=16, steps=120, rate=1e-2, mask=MaskConfig(span=6)
)


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> Path:
    """An uninterrupted run."""
    return pretrain([corpus], tmp_path_factory.mktemp("run") / "run", PRETRAIN, seed=3, device="cpu").folder


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


# --- the loss


def constant(config: PretrainConfig, features: int, guess: np.ndarray | list[float]) -> MaskedAutoencoder:
    """A network that guesses the same for every token."""
    network = initialise(MaskedAutoencoder(config.encoder(features)), [0])
    with torch.no_grad():
        network.reconstruct.weight.zero_()
        network.reconstruct.bias[0] = torch.as_tensor(guess)
    return network


def by_hand(frames: list[float], length: int, masked: list[int]) -> tuple[float, float, int]:
    """One window of one feature in tokens of two frames, each guessed to be (.5, -1)."""
    mask = torch.zeros(1, -(-length // 2), dtype=torch.bool)
    mask[0, masked] = True
    place, tokens = torch.tensor(masked).long(), mask.shape[1]
    batch = MaskedBatch(2 * tokens, tokens, torch.tensor([0]), torch.tensor([length]), mask, place)
    network = constant(PRETRAIN, 1, [0.5, -1.0])
    loss, total, count = reconstruction_loss(network, torch.tensor(frames)[:, None], batch)
    return loss.item(), total.item(), count.item()


def test_the_loss_of_a_tiny_case_by_hand():
    # tokens (1, 2) (3, 4) (5, 6) (7, 8), the second and third masked: errors 2.5 5 4.5 7, each .5 less in smooth L1
    expected = 2 + 4.5 + 4 + 6.5
    assert by_hand([1, 2, 3, 4, 5, 6, 7, 8], 8, [1, 2]) == pytest.approx((expected / 4, expected, 4))
    gap = math.nan  # what is missing is no target, and what is visible neither
    expected = 2 + 0.25**2 / 2 + 6.5
    for first, last in ((1, 7), (gap, -100)):
        assert by_hand([first, 2, 3, gap, 0.75, 6, last, 8], 8, [1, 2]) == pytest.approx((expected / 3, expected, 3))
    assert by_hand([1, 2, 3, 4, 5, 600], 5, [2]) == pytest.approx((4.0, 4.0, 1))  # nor what lies behind a window
    assert by_hand([1, 2, gap, gap], 4, [1]) == by_hand([1, 2], 2, []) == (0.0, 0.0, 0)


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_the_loss_is_that_of_a_plain_loop(corpus, kind):
    pool = WindowPool.build([(corpus, speaker_independent(corpus))], ("train",), 0.32, CPU)
    pool.frames[::5, 1] = math.nan
    network = initialise(MaskedAutoencoder(replace(PRETRAIN, kind=kind).encoder(2)), [0])
    batch = masked_batch(pool, np.array([0, 4, 9]), np.random.default_rng(1), PRETRAIN.mask, 2)
    loss, _, count = reconstruction_loss(network, pool.frames, batch)
    errors = []
    for b in range(3):
        begin, length = int(batch.first[b]), int(batch.length[b])
        window = pool.frames[begin : begin + length]
        tokens, valid = to_tokens(window, torch.ones(length, dtype=torch.bool), 2)
        masked = batch.masked[b, : len(tokens)]
        guess = network(tokens[None], valid[None], masked[None])[0].reshape(-1, 2)[:length]
        scored = masked.repeat_interleave(2)[:length, None] & window.isfinite()
        errors += F.smooth_l1_loss(guess[scored], window[scored], reduction="none").tolist()
    assert int(count) == len(errors) > 20
    assert float(loss.detach()) == pytest.approx(np.mean(errors), rel=1e-5)


@pytest.mark.parametrize(("chosen", "padded"), [([0, 2], False), ([0, 1], True), ([1], False)])
def test_a_network_hears_of_padding_only_where_there_is_some(chosen, padded):
    frames = torch.randn(40, 1)
    pool = WindowPool(frames, np.array([0, 10, 20]), np.array([8, 5, 8]))
    network, told = initialise(MaskedAutoencoder(PRETRAIN.encoder(1)), [0]), []
    network.register_forward_pre_hook(lambda _, given: told.append(given[1]))
    batch = masked_batch(pool, np.array(chosen), np.random.default_rng(0), PRETRAIN.mask, 2)
    reconstruction_loss(network, frames, batch)
    assert (told[0] is not None) == batch.padded == padded


def test_a_constant_guess_of_the_mean_reaches_the_baseline_of_the_mean(corpus):
    """Loss and baselines agree about masks, targets, missing values and padding."""
    mean, normaliser = np.array([0.3, -0.2]), speaker_independent(corpus)
    pool = WindowPool.build([(corpus, normaliser)], ("valid",), PRETRAIN.window, CPU)
    pool.frames[::3, 1] = math.nan
    found = held_out_loss(constant(PRETRAIN, 2, np.tile(mean, 2)), pool, PRETRAIN, 3)
    assert found == pytest.approx(baseline_losses(pool, mean, PRETRAIN, 3)["mean frame"], rel=1e-5)


# --- what is learned


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ON_CPU = [("transformer", "cpu", "float32"), ("gru", "cpu", "float32")]


@pytest.mark.parametrize(
    ("kind", "device", "precision"), [*ON_CPU, pytest.param("transformer", "cuda", "bfloat16", marks=GPU)]
)
def test_waves_are_recovered_far_better_than_by_interpolation(tmp_path, kind, device, precision):
    corpus = write_mosei_like(tmp_path / "waves", frames=[waves(300, v) for v in range(12)])
    config = replace(LEARNS, kind=kind, precision=precision)
    result = pretrain([corpus], tmp_path / "run", config, device=device).result
    held_out = result["held_out"]
    assert held_out["model"] < 0.5 * min(held_out[name] for name in ("before training", *BASELINES))
    assert result["provenance"]["hardware"]["device"] == device


# --- a run and what it leaves


def test_what_a_run_tells_about_itself(corpus, finished):
    result = json.loads((finished / RESULT).read_text())
    assert (result["seed"], result["fold"]) == (3, 0)
    assert checked(result["config"], PretrainConfig, "run.json") == PRETRAIN
    assert result["corpora"][0]["content_hash"] == corpus.content_hash
    trained = [v for v in range(12) if corpus.recordings.split[v] in (0, 3)]
    assert result["recordings"] == sorted(corpus.recordings.digest[v].tobytes().hex() for v in trained)
    assert set(result["held_out"]) == {"model", "before training", *BASELINES}
    assert result["mask_share"] == 9 / 16  # three spans of 3 in 16 tokens: 8 are wanted, 9 are nearest
    assert f"model {result['held_out']['model']:.3f}" in str(PretrainedRun.open(finished))
    assert set(contents(finished)) == {MODEL, METRICS, RESULT, "folder.json"}


def test_the_log_has_no_gaps_and_no_repeats(finished):
    log = log_of(finished)
    assert [line["step"] for line in log if "loss" in line] == list(range(1, 11))
    assert [line["step"] for line in log if "held_out" in line] == [0, 4, 8, 10]
    assert [line["step"] for line in log] == sorted(line["step"] for line in log)
    assert log[-1]["held_out"] == json.loads((finished / RESULT).read_text())["held_out"]["model"]


def test_a_finished_run_is_returned_at_once_and_another_setting_refused(corpus, finished, monkeypatch):
    monkeypatch.setattr(engine, "run", None)
    before = contents(finished)
    assert pretrain(corpus, finished, PRETRAIN, seed=3).result == json.loads((finished / RESULT).read_text())
    assert contents(finished) == before
    with pytest.raises(UserError, match="seed is 3 there, 4 here"):
        pretrain([corpus], finished, PRETRAIN, seed=4)


def test_runs_of_one_seed_are_one_run_and_of_two_are_two(corpus, finished, tmp_path):
    for name, config, seed in (
        ("same", PRETRAIN, 3),
        ("other", PRETRAIN, 4),
        ("half", replace(PRETRAIN, precision="bfloat16"), 3),
    ):
        pretrain([corpus], tmp_path / name, config, seed=seed, device="cpu")
    whole, same, other = ((f / MODEL).read_bytes() for f in (finished, tmp_path / "same", tmp_path / "other"))
    assert whole == same != other
    # eight bits of mantissa on ten small steps
    half, full = (log_of(folder)[-1]["held_out"] for folder in (tmp_path / "half", finished))
    assert half != full and half == pytest.approx(full, rel=0.02)


# --- killed runs

KILLED = """
import os, signal, sys
from dataclasses import replace
sys.path.insert(0, sys.argv[1])
from training import PRETRAIN
from emo_ssl.core import pretrain as engine
from emo_ssl.core.corpus import Corpus
_, _, corpus, folder, name, last, kind = sys.argv
calls, original = [], getattr(engine, name)
def counted(*arguments, **named):
    calls.append(name)
    if len(calls) == int(last):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)
setattr(engine, name, counted)
engine.pretrain([Corpus.open(corpus)], folder, replace(PRETRAIN, kind=kind), seed=3, device="cpu")
"""


# Two batches are measured before the first step and after the fourth, which is where the eighth loss falls; the second
# saved state is a checkpoint's, written after its log
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(
    ("name", "call", "resumes_at", "kind"),
    [
        ("reconstruction_loss", 8, 3, "transformer"),
        ("save_state", 2, 3, "gru"),
        ("write_json", 1, 10, "transformer"),
    ],
)
def test_a_killed_run_ends_in_the_same_bytes(corpus, finished, tmp_path, monkeypatch, name, call, resumes_at, kind):
    words = [sys.executable, "-c", KILLED, Path(__file__).parents[1], corpus.folder, tmp_path / "run", name, call, kind]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(UserError, match="no finished pretraining run"):
        PretrainedRun.open(tmp_path / "run")
    begun, original, config = [], engine.resume, replace(PRETRAIN, kind=kind)
    monkeypatch.setattr(engine, "resume", lambda *words: begun.append(original(*words)) or begun[-1])
    pretrain([corpus], tmp_path / "run", config, seed=3, device="cpu")
    assert begun[0][0] == resumes_at
    if kind != "transformer":
        finished = pretrain([corpus], tmp_path / "whole", config, seed=3, device="cpu").folder
    for file in (MODEL, METRICS):
        assert (tmp_path / "run" / file).read_bytes() == (finished / file).read_bytes()


def test_a_damaged_checkpoint_is_one_sentence(corpus, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "trained_on", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")
    whole = (tmp_path / "run" / CHECKPOINT).read_bytes()
    for damage in (b"", b"no tensors", whole[:-9], whole.replace(b"weight.encoder", b"weight.uncoder")):
        (tmp_path / "run" / CHECKPOINT).write_bytes(damage)
        with pytest.raises(UserError, match=rf"{CHECKPOINT}: damaged .* delete {CHECKPOINT}"):
            pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")


# --- which corpora, which recordings


def recordings(shown: dict[str, list[np.ndarray]]) -> list[Video]:
    return [Video(f"{split}{i}", frames, split) for split, all_of in shown.items() for i, frames in enumerate(all_of)]


def test_which_recordings_matter(tmp_path):
    """Other test recordings change nothing at all, other validation recordings only what is measured."""
    splits = ("train", "none", "valid", "test")
    shown = {split: [noise(100, seed=[i, k]) for k in range(2)] for i, split in enumerate(splits)}
    made = {}
    for changed in ("nothing", *splits):
        other = shown if changed == "nothing" else {**shown, changed: [noise(90, seed=[7, k]) for k in range(2)]}
        corpus = write_segments(tmp_path / changed, recordings(other))
        folder = pretrain([corpus], tmp_path / f"run-{changed}", PRETRAIN, device="cpu").folder
        made[changed] = [(folder / file).read_bytes() for file in (MODEL, METRICS)]
    same = {split: [a == b for a, b in zip(made[split], made["nothing"], strict=True)] for split in splits}
    assert same == {"test": [True, True], "valid": [True, False], "none": [False, False], "train": [False, False]}


def test_corpora_with_equal_features_are_learned_from_together(corpus, tmp_path):
    shown = recordings({"train": [noise(100, seed=[5, k]) for k in range(3)], "valid": [noise(50, seed=51)]})
    more = write_segments(tmp_path / "more", shown)
    result = pretrain([corpus, more], tmp_path / "run", PRETRAIN, device="cpu").result
    assert [c["content_hash"] for c in result["corpora"]] == [corpus.content_hash, more.content_hash]
    assert len(result["recordings"]) == np.isin(corpus.recordings.split, (0, 3)).sum() + 3
    renamed = write_segments(tmp_path / "renamed", shown, names=("F0", "other"))
    slower = replace(more, header={**more.header, "frame_rate": 50.0})
    for other in (renamed, slower):
        with pytest.raises(UserError, match="only corpora with equal features"):
            pretrain([corpus, other], tmp_path / "none", PRETRAIN)
    made = (replace(more, header=more.header | {"front_end": "x:2", "front_end_version": v}) for v in ("1, a", "1, b"))
    with pytest.raises(
        UserError, match=r"frames are of the front end x:2 version 1, b, .* of x:2 version 1, a; record"
    ):
        pretrain(list(made), tmp_path / "none", PRETRAIN)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        ({"train": [noise(50)]}, "no validation recording to measure on"),
        ({"valid": [noise(50)]}, "no training frames"),
        ({"train": [noise(0)], "valid": [noise(50)]}, "no training frames"),
        ({"train": [noise(50)], "valid": [noise(2), noise(0)]}, "nothing to recover in the validation recordings"),
        ({"train": [noise(50)], "valid": [np.full((50, 2), np.nan, np.float32)]}, "nothing to recover"),
    ],
)
def test_corpora_on_which_nothing_can_be_learned_or_measured(tmp_path, shown, problem):
    corpus = write_segments(tmp_path / "corpus", recordings(shown))
    with pytest.raises(UserError, match=problem):
        pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_short_empty_and_missing_recordings_do_no_harm(tmp_path, kind):
    gone = np.full((40, 2), np.nan, np.float32)
    shown = {"train": [noise(1), noise(0), noise(2), noise(33), gone], "valid": [noise(1), noise(5), noise(0)]}
    corpus = write_segments(tmp_path / "corpus", recordings(shown))
    made = pretrain([corpus], tmp_path / "run", replace(PRETRAIN, kind=kind), device="cpu")
    assert math.isfinite(made.result["held_out"]["model"])
    assert all(value.isfinite().all() for value in made.network.parameters())


def test_a_fold_of_a_corpus_keeps_its_speakers_out(tmp_path):
    corpus = write_acted(tmp_path / "acted")
    fold_of = {
        corpus.recordings.digest[v].tobytes().hex(): int(f)
        for v, f in zip(corpus.segments.recording, corpus.segments.fold, strict=True)
    }
    for fold, trained in ((0, 2), (1, 0)):  # tested 0 and 1, validated on 1 and 2
        result = pretrain([corpus], tmp_path / f"run{fold}", PRETRAIN, fold=fold, device="cpu").result
        assert result["fold"] == fold and {fold_of[digest] for digest in result["recordings"]} == {trained}


# --- loading


def test_folders_that_are_no_run_are_refused(finished, tmp_path):
    with pytest.raises(UserError, match="no finished pretraining run"):
        PretrainedRun.open(tmp_path)
    result, weights = json.loads((finished / RESULT).read_text()), (finished / MODEL).read_bytes()
    for changed, tensors, problem in (
        ({}, weights[:-100], "damaged .*another version"),
        ({"encoder": {**result["encoder"], "width": 32}}, weights, r"is torch.float32 of \(.*, not of"),
        ({"encoder": {**result["encoder"], "magic": 1}}, weights, "encoder: there is no setting magic"),
    ):
        (tmp_path / RESULT).write_text(json.dumps({**result, **changed}))
        (tmp_path / MODEL).write_bytes(tensors)
        with pytest.raises(UserError, match=problem):
            PretrainedRun.open(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"batch": 0}, {"steps": -1}, {"window": 0}, {"precision": "float16"}, {"protocol": "none"}, {"width": 20}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=r"above 0|is none of|must be a multiple"):
        PretrainConfig(**wrong)


# --- nothing of what is scored is trained on

PARTS = ("train", "none", "valid", "test")


def four_parts(folder, speakers=("a", "b", "c", "d"), seed=0):
    corpus = write_segments(folder, [Video(s, noise(20 + i, seed=seed + i), s) for i, s in enumerate(PARTS)])
    return replace(corpus, recordings=replace(corpus.recordings, speaker=np.array(speakers)))


def test_a_run_notes_hashes_of_what_it_may_read(tmp_path):
    first, second = four_parts(tmp_path / "1"), four_parts(tmp_path / "2", ("", "a", "c", "d"), seed=9)
    noted = trained_on([first, second])
    frames = [corpus.recording(i).tobytes() for corpus in (first, second) for i in (0, 1)]
    for kind, given in (("speakers", (b"a", b"b")), ("recordings", frames)):
        assert noted[kind] == sorted(hashlib.sha256(content).hexdigest() for content in given)


def test_a_recording_or_a_speaker_that_is_scored_is_a_leak(tmp_path):
    corpus, elsewhere = four_parts(tmp_path / "1"), four_parts(tmp_path / "2", ("e", "f", "g", "h"), seed=9)
    refuse_shared(corpus)
    assert leak_in(trained_on([corpus]), corpus) == leak_in(trained_on([elsewhere]), corpus) == ""
    same_voice = four_parts(tmp_path / "3", ("d", "", "", ""), seed=9)
    assert leak_in(trained_on([same_voice]), corpus).startswith("1 speakers that are for validation")
    copied = replace(corpus, recordings=replace(corpus.recordings, split=np.array([2, 2, 0, 3], np.int8)))
    assert leak_in(trained_on([copied]), corpus).endswith("(such as test)")
    with pytest.raises(UserError, match=r"training part holds 1 speakers .*\(such as b\)"):
        refuse_shared(four_parts(tmp_path / "4", ("a", "b", "b", "d")))
    empty = write_segments(tmp_path / "5", [Video(s, noise(0), s) for s in PARTS])  # no copies of each other
    refuse_shared(empty)
