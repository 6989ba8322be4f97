"""Masked pretraining: the loss by hand, what is learned, what is never seen, and runs that are killed."""

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
from training import PRETRAIN, TOML, close, waves, write_acted, write_mosei_like

from emo_ssl.cli import main
from emo_ssl.core import pretrain as engine
from emo_ssl.core.batches import MaskConfig
from emo_ssl.core.model import encode, initialise, linear, stack_members, to_tokens
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.optim import Adam, schedule
from emo_ssl.core.pretrain import (
    CHECKPOINT,
    METRICS,
    MODEL,
    RESULT,
    Batch,
    Pool,
    PretrainConfig,
    drawn,
    held_out_loss,
    load,
    make_batch,
    make_pool,
    pretrain,
    reconstruction_loss,
    run_shapes,
)
from emo_ssl.utils.io import UserError

CPU = torch.device("cpu")
LEARNS = PretrainConfig(
    width=32, layers=1, heads=2, stack=2, window=0.64, batch=16, steps=200, rate=1e-2, mask=MaskConfig(span=6)
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("run") / "run"
    pretrain([corpus], folder, PRETRAIN, seed=3, device="cpu")
    return folder


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


# --- the loss


def by_hand(frames: list[float], length: int, hidden: list[int], bias=(0.5, -1.0)) -> tuple[float, float, int]:
    """One window of one feature in tokens of two frames; the head says `bias` whatever it is shown."""
    config = PretrainConfig(width=8, layers=1, heads=2, stack=2)
    params = stack_members([initialise(run_shapes(config, 1), 0)])
    params["reconstruct.weight"].zero_()
    params["reconstruct.bias"][:] = torch.tensor(bias)
    mask = torch.zeros(1, -(-length // 2), dtype=torch.bool)
    mask[0, hidden] = True
    steps = 2 * mask.shape[1]
    batch = Batch(
        torch.tensor([0]), torch.tensor([length]), mask, torch.tensor(hidden).long(), None, steps, mask.shape[1]
    )
    loss, total, count = reconstruction_loss(config.backbone(1), params, torch.tensor(frames)[:, None], batch)
    return float(loss), float(total), int(count)


def test_the_loss_of_a_tiny_case_by_hand():
    # tokens (1, 2) (3, 4) (5, 6) (7, 8), the second and third hidden, guesses .5 and -1: errors 2.5 5 4.5 7
    expected = 2 + 4.5 + 4 + 6.5
    assert by_hand([1, 2, 3, 4, 5, 6, 7, 8], 8, [1, 2]) == pytest.approx((expected / 4, expected, 4))


def test_what_is_seen_or_missing_is_no_target():
    gap = math.nan
    expected = by_hand([1, 2, 3, gap, 0.75, 6, 7, 8], 8, [1, 2])
    assert expected == pytest.approx(((2 + 0.25**2 / 2 + 6.5) / 3, 2 + 0.25**2 / 2 + 6.5, 3))
    assert by_hand([100, gap, 3, gap, 0.75, 6, -100, 0], 8, [1, 2]) == expected
    assert by_hand([1, 2, 4, gap, 0.75, 6, 7, 8], 8, [1, 2]) != expected


def test_frames_behind_a_window_are_no_target():
    assert by_hand([1, 2, 3, 4, 5, 600], 5, [2]) == pytest.approx((4.0, 4.0, 1))


def test_nothing_to_recover_costs_nothing():
    assert by_hand([1, 2, math.nan, math.nan], 4, [1]) == (0.0, 0.0, 0)
    assert by_hand([1, 2], 2, []) == (0.0, 0.0, 0)


@pytest.mark.parametrize("channel_share", [0.0, 0.5])
def test_the_loss_is_that_of_a_plain_loop(corpus, channel_share):
    config = replace(PRETRAIN, mask=MaskConfig(span=3, channel_share=channel_share, channel_block=1))
    pool = make_pool([(corpus, speaker_independent(corpus))], ("train",), config, CPU)
    pool.frames[::5, 1] = math.nan
    backbone = config.backbone(2)
    params = stack_members([initialise(run_shapes(config, 2), 0)])
    batch = make_batch(pool, np.array([0, 4, 9]), np.random.default_rng(1), config)
    assert batch.hidden.any() and (batch.channels is not None) == bool(channel_share)
    loss, _, count = reconstruction_loss(backbone, params, pool.frames, batch)
    errors = []
    for b in range(3):
        begin, length = int(batch.first[b]), int(batch.length[b])
        window = pool.frames[begin : begin + length]
        shown = window.clone()
        if channel_share:
            assert int(batch.channels[b].sum()) == 2  # one of two features in both frames of a token
            shown[:, batch.channels[b, :2]] = 0.0
        tokens, valid = to_tokens(shown[None, None], torch.ones(1, 1, length, dtype=torch.bool), 2)
        hidden = batch.hidden[b, : valid.shape[-1]]
        guess = linear(encode(backbone, params, tokens, valid, hidden[None, None]), params, "reconstruct")[0, 0]
        for token in torch.nonzero(hidden).flatten().tolist():
            for t in range(2 * token, min(2 * token + 2, length)):
                for d in range(2):
                    if window[t, d].isfinite():
                        errors.append(F.smooth_l1_loss(guess[token, 2 * (t % 2) + d], window[t, d]))
    assert int(count) == len(errors)
    assert close(loss, torch.stack(errors).mean())


def test_a_model_that_says_the_mean_reaches_the_floor_of_the_mean(corpus, finished):
    """Loss and floors agree about masks, targets and padding."""
    normaliser = speaker_independent(corpus)
    pool = make_pool([(corpus, normaliser)], ("valid",), PRETRAIN, CPU)
    frames = np.concatenate([normaliser(corpus.recording(v), 0) for v in np.flatnonzero(corpus.recordings.split == 0)])
    params = stack_members([initialise(run_shapes(PRETRAIN, 2), 0)])
    params["reconstruct.weight"].zero_()
    params["reconstruct.bias"][:] = torch.from_numpy(np.tile(frames.mean(0), 2))
    found = held_out_loss(PRETRAIN.backbone(2), params, pool, PRETRAIN, 3)
    assert found == pytest.approx(log_of(finished)[0]["floors"]["mean frame"], rel=1e-5)


# --- windows and batches


def test_epochs_see_each_window_once_and_never_repeat_an_order():
    order = np.concatenate([drawn(5, step, 4, 10) for step in range(5)])
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert not np.array_equal(order[:10], order[10:])
    assert np.array_equal(drawn(5, 3, 4, 10), order[12:16])  # a function of seed and step
    assert not np.array_equal(drawn(6, 3, 4, 10), order[12:16])
    assert drawn(0, 0, 5, 2).shape == (5,) and drawn(0, 7, 1, 1).tolist() == [0]


def test_a_pool_covers_the_asked_videos_and_no_others(corpus):
    normaliser = speaker_independent(corpus)
    pool = make_pool([(corpus, normaliser)], ("test",), PRETRAIN, CPU)
    tests = np.flatnonzero(corpus.recordings.split == 2)
    assert len(pool.frames) == corpus.recordings.length[tests].sum()
    covered = np.zeros(len(pool.frames), bool)
    for first, length in zip(pool.first, pool.length, strict=True):
        covered[first : first + length] = True
    assert covered.all()
    assert np.allclose(pool.frames[:140], normaliser(corpus.recording(tests[0]), 0))
    assert len(make_pool([(corpus, normaliser)], ("none",), PRETRAIN, CPU)) == 0


def test_batches_name_the_hidden_tokens():
    pool = Pool(torch.zeros(40, 2), np.array([0, 20]), np.array([20, 3]))
    batch = make_batch(pool, np.array([1, 0]), np.random.default_rng(0), PRETRAIN)
    assert (batch.steps, batch.tokens, batch.channels) == (20, 12, None)
    assert batch.hidden.shape == (2, 10) and not batch.hidden[0, 2:].any()
    assert batch.place.tolist() == torch.nonzero(batch.hidden.flatten()).flatten().tolist()


# --- what is learned


def test_a_tiny_model_learns_a_few_windows_by_heart():
    """Noise cannot be recovered but by heart; guessing its mean costs about .36."""
    config = PretrainConfig(width=32, layers=1, heads=2, stack=2, batch=3, mask=MaskConfig(span=3))
    pool = Pool(torch.from_numpy(noise(60)), np.array([0, 20, 40]), np.array([20, 20, 20]))
    batch = make_batch(pool, np.arange(3), np.random.default_rng(0), config)
    backbone = config.backbone(2)
    adam = Adam(stack_members([initialise(run_shapes(config, 2), 0)]), config.adam)
    for step in range(300):
        loss, _, _ = reconstruction_loss(backbone, adam.params, pool.frames, batch)
        gradients = torch.autograd.grad(loss, list(adam.params.values()))
        adam.step(gradients, torch.tensor([1e-2 * schedule(step, 300, config.adam)]))
    assert float(loss.detach()) < 0.02


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_waves_are_recovered_far_better_than_by_interpolation(tmp_path, kind):
    prepared = write_mosei_like(tmp_path / "waves", frames=[waves(300, v) for v in range(12)])
    held_out = pretrain([prepared], tmp_path / "run", replace(LEARNS, kind=kind), device="cpu")["held_out"]
    assert held_out["model"] < 0.5 * min(held_out[name] for name in engine.reconstruct.FLOORS)
    assert held_out["model"] < 0.5 * held_out["before training"]


# --- a run and what it leaves


def test_what_a_run_says_of_itself(corpus, finished):
    result = json.loads((finished / RESULT).read_text())
    assert set(result) >= {
        "config",
        "backbone",
        "seed",
        "corpora",
        "recordings",
        "speakers",
        "held_out",
        "provenance",
        "mask_share",
    }
    assert (result["seed"], result["fold"], result["config"]["steps"]) == (3, 0, 10)
    assert result["corpora"][0]["content_hash"] == corpus.content_hash
    trained = [v for v in range(12) if corpus.recordings.split[v] in (0, 3)]
    assert result["recordings"] == sorted(corpus.recordings.digest[v].tobytes().hex() for v in trained)
    assert set(result["held_out"]) == {"model", "before training", *engine.reconstruct.FLOORS}
    assert result["mask_share"] == 9 / 16  # three spans of 3 in 16 tokens: 8 are wanted, 9 are nearest
    assert set(result["provenance"]) == {"commit", "versions", "hardware", "command"}
    card = (finished / "README.md").read_text()
    for part in (corpus.content_hash, f"{result['held_out']['model']:.4f}", f"{result['parameters']:,}", "seed 3"):
        assert part in card
    assert set(contents(finished)) == {MODEL, METRICS, RESULT, "README.md", "folder.json"}


def test_the_log_has_no_gaps_and_no_repeats(finished):
    log = log_of(finished)
    assert [line["step"] for line in log if "loss" in line] == list(range(1, 11))
    assert [line["step"] for line in log if "held_out" in line] == [0, 4, 8, 10]
    assert [line["step"] for line in log] == sorted(line["step"] for line in log)
    assert all(math.isfinite(line.get("loss", 0)) for line in log)
    assert log[-1]["held_out"] == json.loads((finished / RESULT).read_text())["held_out"]["model"]


LOADS = """
import sys, torch
from emo_ssl.core.model import BackboneConfig, encode, stack_members
from emo_ssl.core.pretrain import load
result, weights = load(sys.argv[1])
backbone = BackboneConfig(**result["backbone"])
tokens, valid = torch.ones(1, 1, 3, backbone.token_size), torch.ones(1, 1, 3).bool()
states = encode(backbone, stack_members([weights]), tokens, valid)
print(states.shape, bool(states.isfinite().all()), sorted(m for m in sys.modules if m in ("pandas", "IPython", "h5py")))
"""


def test_weights_load_with_the_library_alone(finished):
    command = [sys.executable, "-W", "error", "-c", LOADS, str(finished)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("torch.Size([1, 1, 3, 16]) True []\n", "")


def test_a_finished_run_is_returned_at_once(corpus, finished, monkeypatch):
    monkeypatch.setattr(engine, "run", None)
    before = contents(finished)
    assert pretrain([corpus], finished, PRETRAIN, seed=3) == json.loads((finished / RESULT).read_text())
    assert contents(finished) == before


def test_a_folder_of_another_configuration_is_refused(corpus, finished):
    for config, seed, said in (
        (PRETRAIN, 4, "seed is 3 there, 4 here"),
        (replace(PRETRAIN, steps=11), 3, "steps is 10"),
    ):
        with pytest.raises(UserError, match=said):
            pretrain([corpus], finished, config, seed=seed)


def test_runs_of_one_seed_are_one_run_and_of_two_are_two(corpus, finished, tmp_path):
    pretrain([corpus], tmp_path / "same", PRETRAIN, seed=3, device="cpu")
    pretrain([corpus], tmp_path / "other", PRETRAIN, seed=4, device="cpu")
    assert (tmp_path / "same" / MODEL).read_bytes() == (finished / MODEL).read_bytes()
    assert (tmp_path / "other" / MODEL).read_bytes() != (finished / MODEL).read_bytes()


def test_bfloat16_runs_on_a_cpu_and_stays_near(corpus, finished, tmp_path):
    result = pretrain([corpus], tmp_path / "run", replace(PRETRAIN, precision="bfloat16"), seed=3, device="cpu")
    # eight bits of mantissa on ten small steps
    assert result["held_out"]["model"] == pytest.approx(log_of(finished)[-1]["held_out"], rel=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_learns_in_bfloat16(tmp_path):
    prepared = write_mosei_like(tmp_path / "waves", frames=[waves(300, v) for v in range(12)])
    result = pretrain([prepared], tmp_path / "run", replace(LEARNS, precision="bfloat16"), device="cuda")
    assert result["held_out"]["model"] < 0.5 * result["held_out"]["linear interpolation"]
    assert result["provenance"]["hardware"]["device"] == "cuda"


# --- killed runs

KILLED = """
import os, signal, sys, torch
from dataclasses import replace
sys.path.insert(0, sys.argv[4])
from training import PRETRAIN
from emo_ssl.core import pretrain as engine
from emo_ssl.core.corpus import Corpus
torch.set_num_threads(1)
name, calls = sys.argv[3], []
original = getattr(engine, name)
def counted(*arguments, **named):
    calls.append(name)
    if len(calls) == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)
setattr(engine, name, counted)
kind = sys.argv[6]
engine.pretrain([Corpus.open(sys.argv[1])], sys.argv[2], replace(PRETRAIN, kind=kind), seed=3, device="cpu")
"""


def killed(corpus, folder: Path, name: str, call: int, kind: str = "transformer") -> None:
    """A run in a process of its own that dies at the `call`-th call of the engine's function `name`."""
    command = [sys.executable, "-c", KILLED, corpus.folder, folder, name, Path(__file__).parents[1], call, kind]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


# Two batches are measured before the first step and after the fourth, which is where the eighth loss falls; the second
# atomic file is a checkpoint's tensors, written after its log
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(
    ("name", "call", "resumes_at"),
    [
        ("reconstruction_loss", 8, 3),
        ("save_checkpoint", 3, 6),
        ("atomic_path", 2, 3),
        ("finish", 1, 10),
        ("write_json", 1, 10),
    ],
)
def test_a_killed_run_ends_in_the_same_bytes(corpus, finished, tmp_path, monkeypatch, name, call, resumes_at):
    killed(corpus, tmp_path / "run", name, call)
    assert not (tmp_path / "run" / RESULT).exists()
    with pytest.raises(UserError, match="no finished pretraining run"):
        load(tmp_path / "run")
    begun = []
    original = engine.resume
    monkeypatch.setattr(engine, "resume", lambda *words: begun.append(original(*words)) or begun[0])
    pretrain([corpus], tmp_path / "run", PRETRAIN, seed=3, device="cpu")
    assert begun[0][0] == resumes_at
    for file in (MODEL, METRICS):
        assert (tmp_path / "run" / file).read_bytes() == (finished / file).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_gru_ends_in_the_same_bytes(corpus, tmp_path):
    config = replace(PRETRAIN, kind="gru")
    killed(corpus, tmp_path / "run", "save_checkpoint", 2, "gru")
    for name in ("run", "whole"):
        pretrain([corpus], tmp_path / name, config, seed=3, device="cpu")
    assert (tmp_path / "run" / MODEL).read_bytes() == (tmp_path / "whole" / MODEL).read_bytes()


def test_a_damaged_checkpoint_is_one_sentence(corpus, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")
    (tmp_path / "run" / CHECKPOINT).write_bytes(b"no tensors")
    with pytest.raises(UserError, match=rf"{CHECKPOINT}: damaged .* delete it"):
        pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")


# --- which corpora, which videos


def recordings(shown: dict[str, list[np.ndarray]]) -> list[Video]:
    return [Video(f"{split}{i}", frames, split) for split, all_of in shown.items() for i, frames in enumerate(all_of)]


@pytest.mark.parametrize("changed", ["test", "valid", "none", "train"])
def test_which_videos_matter(tmp_path, changed):
    """Other test videos change nothing at all, other validation videos only what is measured."""
    shown = {
        split: [noise(100, seed=[i, k]) for k in range(2)] for i, split in enumerate(("train", "none", "valid", "test"))
    }
    other = {**shown, changed: [noise(90, seed=[7, k]) for k in range(2)]}
    for name, content in (("a", shown), ("b", other)):
        pretrain(
            [write_segments(tmp_path / name, recordings(content))], tmp_path / f"run-{name}", PRETRAIN, device="cpu"
        )
    same = [
        (tmp_path / "run-a" / file).read_bytes() == (tmp_path / "run-b" / file).read_bytes()
        for file in (MODEL, METRICS)
    ]
    assert (
        same == {"test": [True, True], "valid": [True, False], "none": [False, False], "train": [False, False]}[changed]
    )


def test_corpora_with_equal_features_are_learned_from_together(corpus, tmp_path):
    shown = {"train": [noise(100, seed=[5, k]) for k in range(3)], "valid": [noise(50, seed=51)]}
    more = write_segments(tmp_path / "more", recordings(shown))
    result = pretrain([corpus, more], tmp_path / "run", PRETRAIN, device="cpu")
    assert [c["content_hash"] for c in result["corpora"]] == [corpus.content_hash, more.content_hash]
    trained = [v for v in range(12) if corpus.recordings.split[v] in (0, 3)]
    assert len(result["recordings"]) == len(trained) + 3
    normalised = [(s, speaker_independent(s)) for s in (corpus, more)]
    pool = make_pool(normalised, ("train",), PRETRAIN, CPU)
    # each corpus in its own units, one after the other
    assert np.allclose(pool.frames[140 * len(trained) :][:100], normalised[1][1](shown["train"][0], 0))
    assert pool.first.max() + 32 <= len(pool.frames)


def test_corpora_of_other_features_or_rates_are_refused(corpus, tmp_path):
    shown = recordings({"train": [noise(50)], "valid": [noise(50, seed=1)]})
    renamed = write_segments(tmp_path / "renamed", shown, names=("F0", "other"))
    slower = write_segments(tmp_path / "slower", shown)
    slower = replace(slower, header={**slower.header, "frame_rate": 50.0})
    for other in (renamed, slower):
        with pytest.raises(UserError, match="only corpora with equal features"):
            pretrain([corpus, other], tmp_path / "run", PRETRAIN)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({"train": [noise(50)]}, "no validation video to measure on"),
        ({"valid": [noise(50)]}, "no training frames"),
        ({"train": [noise(0)], "valid": [noise(50)]}, "no training frames"),
        ({"train": [noise(50)], "valid": [noise(2), noise(0)]}, "nothing to recover in the validation videos"),
        ({"train": [noise(50)], "valid": [np.full((50, 2), np.nan, np.float32)]}, "nothing to recover"),
    ],
)
def test_corpora_on_which_nothing_can_be_learned_or_measured(tmp_path, shown, said):
    prepared = write_segments(tmp_path / "corpus", recordings(shown))
    with pytest.raises(UserError, match=said):
        pretrain([prepared], tmp_path / "run", PRETRAIN)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_short_empty_and_missing_videos_do_no_harm(tmp_path, kind):
    gone = np.full((40, 2), np.nan, np.float32)
    shown = {"train": [noise(1), noise(0), noise(2), noise(33), gone], "valid": [noise(1), noise(5), noise(0)]}
    prepared = write_segments(tmp_path / "corpus", recordings(shown))
    result = pretrain([prepared], tmp_path / "run", replace(PRETRAIN, kind=kind), device="cpu")
    assert math.isfinite(result["held_out"]["model"])
    assert all(value.isfinite().all() for value in load(tmp_path / "run")[1].values())


def test_a_fold_of_a_corpus_keeps_its_speakers_out(tmp_path):
    prepared = write_acted(tmp_path / "acted")
    seen = []
    for fold in (0, 1):
        result = pretrain([prepared], tmp_path / f"run{fold}", PRETRAIN, fold=fold, device="cpu")
        assert result["fold"] == fold
        seen.append(set(result["recordings"]))
    fold_of = {
        prepared.recordings.digest[v].tobytes().hex(): int(f)
        for v, f in zip(prepared.segments.recording, prepared.segments.fold, strict=True)
    }
    assert [{fold_of[digest] for digest in part} for part in seen] == [{2}, {0}]  # tested 0 and 1, validated on 1 and 2


# --- loading, and the command line


def test_folders_that_are_no_run_are_refused(finished, tmp_path):
    with pytest.raises(UserError, match="no finished pretraining run"):
        load(tmp_path)

    def damaged(name: str, content: bytes) -> Path:
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        for file in (MODEL, RESULT):
            (folder / file).write_bytes((finished / file).read_bytes())
        (folder / name).write_bytes(content)
        return folder

    with pytest.raises(UserError, match="damaged, or made by another version"):
        load(damaged(MODEL, (finished / MODEL).read_bytes()[:-100]))
    result = json.loads((finished / RESULT).read_text())
    result["config"]["width"] = 32
    with pytest.raises(UserError, match="do not fit the configuration"):
        load(damaged(RESULT, json.dumps(result).encode()))


def test_the_command(corpus, tmp_path, capsys):
    (tmp_path / "a.toml").write_text(TOML)
    words = ["pretrain", str(corpus.folder), "-o", str(tmp_path / "run"), "--config", str(tmp_path / "a.toml")]
    assert main([*words, "--seed", "3", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.startswith("# A pretrained backbone")
    assert load(tmp_path / "run")[0]["config"] == load(tmp_path / "run")[0]["config"] | {"steps": 10, "width": 16}
    assert main([*words, "--seed", "4"]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "choose another -o" in said.err


@pytest.mark.parametrize(
    ("more", "said"),
    [(["--device", "abacus"], "abacus: no such device"), (["--config", "nowhere.toml"], "nowhere.toml: no such file")],
)
def test_a_wrong_command_ends_with_2_and_leaves_nothing(corpus, tmp_path, capsys, more, said):
    assert main(["pretrain", str(corpus.folder), "-o", str(tmp_path / "run"), *more]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert main(["pretrain", str(tmp_path / "none"), "-o", str(tmp_path / "run")]) == 2
