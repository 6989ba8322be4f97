"""The label-budget study: nothing is learned from nothing, equal starts end equal, and no unfair table is written."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders import Segment, Video, noise, write_segments
from training import PRETRAIN, STUDY, STUDY_TOML, write_acted_and_runs, write_mosei_like

from emo_ssl.cli import main
from emo_ssl.core import metrics
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.model import backbone_shapes
from emo_ssl.core.pretrain import load, pretrain
from emo_ssl.core.readout import headline
from emo_ssl.evidence import report as evidence
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.study import chunks
from emo_ssl.study import run as engine
from emo_ssl.study.arms import Inputs, run_chunk
from emo_ssl.study.checks import Record, judge
from emo_ssl.study.grid import ARMS, KEEPS, Chunk, StudyConfig, budgets_of, chunks_of
from emo_ssl.study.predictions import Key, StudyPredictions, opened, save
from emo_ssl.study.run import PROVENANCE, RESULTS, open_fold, study
from emo_ssl.utils.io import UserError, read_json, write_json

CPU = torch.device("cpu")
FEW = EvidenceConfig(draws=200)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    pretrain([corpus], folder, PRETRAIN, device="cpu")
    return folder


@pytest.fixture(scope="module")
def finished(corpus, run, tmp_path_factory) -> Path:
    return study(corpus, [run], tmp_path_factory.mktemp("study") / "study", STUDY, "cpu")


def table_of(folder: Path) -> bytes:
    return (folder / RESULTS).read_bytes()


def cells(folder: Path) -> Iterator[tuple[Key, str, np.ndarray]]:
    predictions = StudyPredictions.open(folder)
    for key in predictions.keys:
        cell = predictions.cell(key)
        for name in ("intensity", "presence", "klass", "category"):
            if getattr(cell, name) is not None:
                yield key, name, getattr(cell, name)


def same_predictions(a: Path, b: Path) -> bool:
    pairs = list(zip(cells(a), cells(b), strict=True))
    return len(pairs) > 0 and all(x[:2] == y[:2] and np.array_equal(x[2], y[2], equal_nan=True) for x, y in pairs)


# --- the grid


def test_budgets_end_with_all_there_is():
    config = StudyConfig(budgets=(56, 28, 1000))
    assert budgets_of(config, 100) == (28, 56, 100)
    assert budgets_of(config, 28) == (28,)
    assert budgets_of(config, 1) == (1,)


@pytest.mark.parametrize("members", [1, 4, 100])
def test_chunks_are_the_grid_cut_up(members):
    config = replace(STUDY, chunk_members=members, seeds=2)
    grid = chunks_of(config, [0, 1], (4, 8, 20))
    cut = [(c.fold, c.arm, b, s) for c in grid for b in c.budgets for s in c.seeds]
    assert sorted(cut) == sorted((f, a, b, s) for f in (0, 1) for a in config.arms for b in (4, 8, 20) for s in (0, 1))
    assert len({c.name for c in grid}) == len(grid)
    assert all(len(c.budgets) * 2 <= max(members, 2) for c in grid)


# --- what a study finds


def write_heard(folder: Path) -> Corpus:
    """A segment a video, half of them tested; each emotion lifts a feature of its own, and most labels are 0."""
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 4, (160, 2)) * (rng.random((160, 2)) < 0.4)
    recordings = [
        Video(f"v{v}", noise(24, seed=v) + labels[v].astype(np.float32), ("train", "test", "valid", "test")[v % 4])
        for v in range(160)
    ]
    return write_segments(
        folder, recordings, [Segment(v, 0, 24, tuple(map(float, row))) for v, row in enumerate(labels)]
    )


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> tuple[Corpus, Path]:
    folder = tmp_path_factory.mktemp("heard")
    prepared = write_heard(folder / "corpus")
    pretrain([prepared], folder / "run", PRETRAIN, device="cpu")
    return prepared, folder / "run"


LONGER = replace(STUDY, finetune=replace(STUDY.finetune, steps=40), probe=replace(STUDY.probe, steps=60))


def aurocs(folder: Path) -> Iterator[tuple[Key, int, float, float]]:
    """(cell, row, AUROC, its standard error where scores know nothing), constants left out."""
    predictions = StudyPredictions.open(folder)
    positive = predictions.items.targets > 0
    for key in predictions.keys:
        for s, scores in enumerate(predictions.cell(key).presence):
            for e in range(2):
                hits, misses = positive[:, e].sum(), (~positive[:, e]).sum()
                error = np.sqrt((hits + misses + 1) / (12 * hits * misses))
                if key.arm != "constants":
                    yield key, s, metrics.auroc(scores[:, e], positive[:, e]), error


def test_what_can_be_heard_is_heard(heard, tmp_path):
    prepared, run = heard
    folder = study(prepared, [run], tmp_path / "study", LONGER, "cpu")
    full = {key.arm: (value - 0.5) / error for key, _, value, error in aurocs(folder) if key.budget == 40}
    assert set(full) == set(STUDY.arms) - {"constants"}
    assert min(full.values()) > 4.5


def test_shuffled_labels_beat_no_floor(heard, tmp_path):
    """Every bound is 4.5 standard errors: with some sixty comparisons one in 2,000 such tests would fail by chance."""
    prepared, run = heard
    shuffled = replace(prepared, targets=prepared.targets[np.random.default_rng(1).permutation(160)])
    folder = study(shuffled, [run], tmp_path / "study", LONGER, "cpu")
    far = [(key, s, value) for key, s, value, error in aurocs(folder) if abs(value - 0.5) > 4.5 * error]
    assert far == []
    predictions = StudyPredictions.open(folder)
    true = predictions.items.targets
    assert (np.median(true, 0) == 0).all()  # so that no guess that knows nothing can expect less error than 0
    for key in predictions.keys:
        for intensity in predictions.cell(key).intensity:
            gain = (true - np.abs(intensity - true)).mean(1)
            assert gain.mean() <= 4.5 * gain.std() / np.sqrt(len(gain)), key


def test_equal_starts_end_equal(corpus, tmp_path):
    """A run of no steps is the fresh backbone of its seed: nothing may tell its arms from those without it."""
    runs = [tmp_path / f"run{seed}" for seed in range(2)]
    for seed, folder in enumerate(runs):
        pretrain([corpus], folder, replace(PRETRAIN, steps=0), seed=seed, device="cpu")
    arms = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "permuted", "scratch-4x")
    predictions = StudyPredictions.open(study(corpus, runs, tmp_path / "study", replace(STUDY, arms=arms), "cpu"))

    def presence(arm: str, size: int) -> np.ndarray:
        return predictions.cell(Key("speaker-independent", "transformer", arm, "ordinal", size)).presence

    for size in predictions.meta["budgets"]:
        assert np.array_equal(presence("scratch", size), presence("pretrained", size))
        assert np.array_equal(presence("frozen-random", size), presence("frozen-pretrained", size))
        for other in ("permuted", "scratch-4x", "frozen-random"):
            assert not np.array_equal(presence("scratch", size), presence(other, size))
        assert not np.array_equal(presence("scratch", size)[0], presence("scratch", size)[1])


def test_every_arm_runs_with_either_backbone_and_head(corpus, tmp_path):
    pretrain([corpus], tmp_path / "run", replace(PRETRAIN, kind="gru"), device="cpu")
    config = replace(STUDY, arms=tuple(ARMS), budgets=(4,), seeds=1, rates=(1e-3, 1e-2), tuning_seeds=1, head="l1")
    folder = study(corpus, [tmp_path / "run"], tmp_path / "study", config, "cpu")
    predictions = StudyPredictions.open(folder)
    assert {key.arm for key in predictions.keys} == set(ARMS)
    assert {(key.backbone, key.readout) for key in predictions.keys} == {("gru", "l1")}
    assert all(np.isfinite(values).all() for _, name, values in cells(folder) if name != "klass")
    rates = read_json(folder / PROVENANCE)["tuned_rates"]
    assert {rate for name, rate in rates.items() if "constants" not in name} <= {1e-3, 1e-2}


def test_the_table_says_what_the_predictions_say(corpus, finished):
    rows = pd.read_csv(finished / RESULTS)
    predictions = StudyPredictions.open(finished)
    true = predictions.items.targets
    assert set(rows.arm) == set(STUDY.arms)
    assert set(rows.budget) == set(predictions.meta["budgets"]) == {4, 8, 24}
    assert set(rows.metric) == {"mae", "acc4", "acc4_ceiling", "auroc", "ccc", "balanced_accuracy"}
    assert not rows.duplicated(["arm", "fold", "budget", "seed", "emotion", "metric"]).any()
    for key in predictions.keys:
        mine = rows[(rows.arm == key.arm) & (rows.budget == key.budget) & (rows.seed == 1) & (rows.metric == "mae")]
        expected = np.abs(predictions.cell(key).intensity[1] - true).mean(0)
        found = mine.set_index("emotion").value
        assert found["happy"] == pytest.approx(expected[0], abs=1e-6)
        assert found["overall"] == pytest.approx(expected.mean(), abs=1e-6)
    begun = rows.groupby("arm").pretrain_seed.apply(lambda seeds: seeds.notna().any())
    assert begun[begun].index.tolist() == ["frozen-pretrained", "pretrained"]


def test_what_a_study_stores(corpus, run, finished):
    assert {p.name for p in finished.iterdir()} >= {RESULTS, PROVENANCE, "predictions.npz", "chunks", "folder.json"}
    story = read_json(finished / PROVENANCE)
    assert story["corpus"]["content_hash"] == corpus.content_hash
    assert story["fairness"]["verdict"] == "fair"
    assert set(story) >= {"config", "commit", "versions", "hardware", "command", "pretraining", "tuned_rates"}
    predictions = StudyPredictions.open(finished)
    test = np.flatnonzero(corpus.segments.split == SPLITS.index("test"))
    assert predictions.items.segment.tolist() == test.tolist()
    assert predictions.items.unit.tolist() == corpus.recordings.id[corpus.segments.recording[test]].tolist()
    assert predictions.meta["pretraining"]["losses"][0]["masked"] == load(run)[0]["held_out"]["model"]
    assert evidence.evaluate(finished, FEW)["items"] == len(test)


# --- budgets, seeds and subsets


def test_budgets_nest_and_subsets_are_the_same_in_every_arm(corpus, run):
    fold = open_fold(corpus, 0, [0], [load(run)], STUDY, CPU)
    wanted = [(size, seed) for size in (4, 8, 24) for seed in (0, 1)]
    of_arm = {}
    for name in ("scratch", "pretrained", "frozen-random", "statistics", "length"):
        members, _ = Inputs(fold, name, STUDY).members(wanted, 1e-2)
        of_arm[name] = [m.subset.tolist() for m in members]
    assert all(subsets == of_arm["scratch"] for subsets in of_arm.values())
    subset = dict(zip(wanted, of_arm["scratch"], strict=True))
    train = set(np.flatnonzero(corpus.segments.split == SPLITS.index("train")).tolist())
    for seed in (0, 1):
        assert [len(subset[size, seed]) for size in (4, 8, 24)] == [4, 8, 24]
        assert subset[4, seed] == subset[8, seed][:4] == subset[24, seed][:4]
        assert set(subset[24, seed]) == train
    assert subset[8, 0] != subset[8, 1]


def test_the_length_arm_hears_the_length_and_nothing_else(run, tmp_path):
    """Where the long segments are the happy ones it is nearly always right; a head over one number would be deaf."""
    long = np.arange(120) % 3 == 0
    recordings = [Video(f"v{v}", noise(60, seed=v), ("train", "valid", "test", "test")[v % 4]) for v in range(120)]
    cut = [Segment(v, 0, int(20 + 20 * long[v] + v % 7), (2.0 * long[v], float(v % 2))) for v in range(120)]
    prepared = write_segments(tmp_path, recordings, cut)
    fold = open_fold(prepared, 0, [0], [load(run)], LONGER, CPU)
    test = fold.indices("test")
    cell, _ = Inputs(fold, "length", LONGER).train_and_score([(30, 0)], 1e-2, test)
    heard = [metrics.auroc(cell.presence[0, :, e], prepared.targets[test, e] > 0) for e in (0, 1)]
    assert heard[0] > 0.95 and abs(heard[1] - 0.5) < 0.25


def test_a_seed_takes_its_pretraining_run_with_it(corpus, run, tmp_path):
    pretrain([corpus], tmp_path / "second", PRETRAIN, seed=1, device="cpu")
    runs = [run, tmp_path / "second"]
    folder = study(corpus, runs, tmp_path / "study", replace(STUDY, arms=("pretrained",), seeds=3), "cpu")
    rows = pd.read_csv(folder / RESULTS)
    assert rows.groupby("seed").pretrain_seed.unique().map(list).tolist() == [[0], [1], [0]]
    fold = open_fold(corpus, 0, range(len(runs)), [load(r) for r in runs], STUDY, CPU)
    second = load(tmp_path / "second")[1]
    members, _ = Inputs(fold, "pretrained", STUDY).members([(4, 1)], 1e-2)
    assert all(torch.equal(members[0].start[name], second[name]) for name in backbone_shapes(fold.backbone))


def test_a_fold_is_normalised_by_its_training_videos_alone(corpus, run):
    fold = open_fold(corpus, 0, [0], [load(run)], STUDY, CPU)
    frames = np.concatenate([corpus.recording(v) for v in np.flatnonzero(corpus.recordings.split == 0)])
    low, middle, high = np.percentile(frames, (25, 50, 75), axis=0)
    assert fold.normaliser.center[0] == pytest.approx(middle, abs=1e-6)
    assert fold.normaliser.scale[0] == pytest.approx((high - low) / 1.349, rel=1e-5)


def test_rates_are_chosen_on_validation_segments_with_unreported_seeds(heard, monkeypatch):
    prepared, run = heard
    config = replace(LONGER, rates=(1e-9, 1e-2))
    fold, asked = open_fold(prepared, 0, [0], [load(run)], config, CPU), []
    original = Inputs.train_and_score

    def listened(self, wanted, rate, chosen):
        asked.append((wanted, rate, chosen.tolist()))
        return original(self, wanted, rate, chosen)

    monkeypatch.setattr(Inputs, "train_and_score", listened)
    record = run_chunk(fold, Chunk(0, "statistics", (8,), (0, 1)), config).record
    valid, test = (prepared.where(split).tolist() for split in ("valid", "test"))
    tuning = [(size, 10_000 + s) for size in (4, 40) for s in range(2)]
    assert asked == [(tuning, 1e-9, valid), (tuning, 1e-2, valid), ([(8, 0), (8, 1)], 1e-2, test)]
    assert record.rate == 1e-2 and [trial["rate"] for trial in record.trials] == [1e-9, 1e-2]
    assert record.trials[1]["score"] > record.trials[0]["score"]
    assert set(record.subsets) == {"8/0", "8/1"}


@pytest.mark.parametrize("arm", ["pretrained", "statistics"])
def test_the_best_weights_are_those_that_do_best_on_validation(corpus, run, arm):
    fold = open_fold(corpus, 0, [0], [load(run)], STUDY, CPU)
    valid, wanted = fold.indices("valid"), [(size, seed) for size in (4, 8) for seed in range(4)]
    longer = replace(STUDY, finetune=replace(STUDY.finetune, steps=20))
    targets, category = corpus.targets[valid], corpus.segments.category[valid]
    reached = {}
    for keep in KEEPS:
        cell, _ = Inputs(fold, arm, replace(longer, keep=keep)).train_and_score(wanted, 1e-2, valid)
        reached[keep] = [headline(cell, i, targets, category) for i in range(len(wanted))]
    assert np.isfinite(reached["last"]).all() and (np.array(reached["best"]) >= reached["last"]).all()
    assert reached["best"] != reached["last"]
    with pytest.raises(ValueError, match="keep 'first' is none of last, best"):
        replace(STUDY, keep="first")


def test_four_times_the_steps(corpus, run):
    fold = open_fold(corpus, 0, [0], [load(run)], STUDY, CPU)
    assert Inputs(fold, "scratch-4x", STUDY).settings == replace(STUDY.finetune, steps=4 * STUDY.finetune.steps)
    assert Inputs(fold, "scratch", STUDY).settings == STUDY.finetune
    assert Inputs(fold, "pca", STUDY).settings == STUDY.probe


# --- again, interrupted, in shards


def test_two_studies_of_one_seed_are_one(corpus, run, finished, tmp_path):
    again = study(corpus, [run], tmp_path / "study", STUDY, "cpu")
    assert table_of(again) == table_of(finished)
    assert same_predictions(again, finished)


def test_members_trained_in_other_company_say_the_same(corpus, run, finished, tmp_path):
    other = study(corpus, [run], tmp_path / "study", replace(STUDY, chunk_members=1), "cpu")
    for (key, name, a), (_, _, b) in zip(cells(other), cells(finished), strict=True):
        if name == "presence":
            assert np.abs(a - b).max() < 1e-5, key


def test_a_finished_study_is_left_alone(corpus, run, finished, monkeypatch):
    monkeypatch.setattr(engine, "run_grid", None)
    before = table_of(finished)
    assert study(corpus, [run], finished, STUDY) == finished
    assert table_of(finished) == before
    with pytest.raises(UserError, match="seeds is 2 there, 3 here"):
        study(corpus, [run], finished, replace(STUDY, seeds=3))


KILLED = """
import os, signal, sys, torch
sys.path.insert(0, sys.argv[4])
from training import STUDY
from emo_ssl.study import run as engine
from emo_ssl.core.corpus import Corpus
torch.set_num_threads(1)
original, calls = getattr(engine, sys.argv[5]), []
def counted(*arguments):
    calls.append(1)
    if len(calls) == int(sys.argv[6]):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
setattr(engine, sys.argv[5], counted)
engine.study(Corpus.open(sys.argv[1]), [sys.argv[2]], sys.argv[3], STUDY, "cpu")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(("name", "call", "kept"), [("run_chunk", 3, 2), ("write_bytes", 1, 6)])
def test_a_killed_study_ends_in_the_same_table(corpus, run, finished, tmp_path, monkeypatch, name, call, kept):
    folder = tmp_path / "study"
    command = [sys.executable, "-c", KILLED, corpus.folder, run, folder, Path(__file__).parents[1], name, call]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list((folder / "chunks").glob("*.npz"))) == kept and not (folder / RESULTS).exists()
    ran = []
    monkeypatch.setattr(engine, "run_chunk", lambda *words: ran.append(words[1].arm) or run_chunk(*words))
    study(corpus, [run], folder, STUDY, "cpu")
    assert ran == list(STUDY.arms[kept:])  # what was finished was not done again
    assert table_of(folder) == table_of(finished)
    assert same_predictions(folder, finished)


def test_shards_are_one_study(corpus, run, finished, tmp_path, monkeypatch):
    output = tmp_path / "st[u]dy"  # brackets mean nothing special
    for i in (2, 1, 3):
        shard = study(corpus, [run], output, STUDY, "cpu", shard=(i, 3))
        assert shard != output and not (shard / RESULTS).exists()
        assert len(list((shard / "chunks").iterdir())) == 2
    monkeypatch.setattr(engine, "run_chunk", None)
    study(corpus, [run], output, STUDY, "cpu")
    assert table_of(output) == table_of(finished)
    assert same_predictions(output, finished)


def test_a_missing_shard_is_made_up_for(corpus, run, finished, tmp_path):
    study(corpus, [run], tmp_path / "study", STUDY, "cpu", shard=(1, 2))
    assert table_of(study(corpus, [run], tmp_path / "study", STUDY, "cpu")) == table_of(finished)


def test_shards_of_another_study_are_not_taken(corpus, run, tmp_path):
    study(corpus, [run], tmp_path / "study", replace(STUDY, seeds=1), "cpu", shard=(1, 2))
    with pytest.raises(UserError, match="belongs to a study of another configuration"):
        study(corpus, [run], tmp_path / "study", STUDY, "cpu")


def unfinished(finished: Path, folder: Path) -> Path:
    """A copy of a study that was stopped just before its table."""
    shutil.copytree(finished, folder)
    (folder / RESULTS).unlink()
    write_json(folder / "folder.json", {**read_json(folder / "folder.json"), "complete": False})
    return folder


def rewritten(path: Path, change) -> None:
    """A stored chunk whose note was changed."""
    with opened(path) as (meta, stored):
        arrays = {name: stored[name] for name in stored.files if name != "meta"}
    change(meta)
    save(path, meta, arrays)


DAMAGE = {
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path: path.write_bytes(b""),
    "another note": lambda path: rewritten(path, lambda meta: meta.update(record={"no": "record"})),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_chunk_is_one_sentence(corpus, run, finished, tmp_path, damage):
    folder = unfinished(finished, tmp_path / "study")
    path = next((folder / "chunks").glob("*-pretrained-*"))
    DAMAGE[damage](path)
    with pytest.raises(UserError, match=rf"{path.name}: damaged .* delete it and run the study again"):
        study(corpus, [run], folder, STUDY, "cpu")
    path.unlink()
    assert table_of(study(corpus, [run], folder, STUDY, "cpu")) == table_of(finished)


# --- fairness


@pytest.mark.parametrize(
    ("arm", "changes", "said"),
    [
        ("pretrained", {"normaliser": "another"}, "normaliser of"),
        ("constants", {"normaliser": "another"}, "normaliser of"),
        ("pretrained", {"settings": "another batch"}, "batch or optimiser of"),
        ("statistics", {"settings": "another batch"}, "batch or optimiser of"),
        ("pretrained", {"steps": 999}, "number of steps of"),
        ("frozen-random", {"subsets": lambda old: {**old, "8/1": "others"}}, "label subset of"),
        ("pretrained", {"heads": lambda old: {**old, "4/0": "others"}}, "head's initial weights of"),
        ("pretrained", {"parameters": lambda old: old + 1}, "number of parameters of"),
        ("pretrained", {"trials": [{"rate": 1.0, "score": 1.0}]}, "number of tuned settings of"),
    ],
)
def test_an_unfair_study_gets_no_table(corpus, run, finished, tmp_path, arm, changes, said):
    folder = unfinished(finished, tmp_path / "study")

    def change(meta: dict) -> None:
        for name, value in changes.items():
            meta["record"][name] = value(meta["record"][name]) if callable(value) else value

    rewritten(next((folder / "chunks").glob(f"fold0-speaker-independent-{arm}-*")), change)
    with pytest.raises(UserError, match=f"the study is not fair: {said}") as caught:
        study(corpus, [run], folder, STUDY, "cpu")
    assert arm in str(caught.value) and "fold 0" in str(caught.value)
    assert not (folder / RESULTS).exists()


def test_an_arm_that_was_really_trained_longer_is_refused(corpus, run, finished, tmp_path):
    """Not only a tampered record: a chunk of a study with more steps, put in the place of ours."""
    more = replace(STUDY, finetune=replace(STUDY.finetune, steps=5))
    other = study(corpus, [run], tmp_path / "other", more, "cpu")
    folder = unfinished(finished, tmp_path / "study")
    mine, theirs = (next((f / "chunks").glob("fold0-speaker-independent-pretrained-*")) for f in (folder, other))
    ours = read_json(folder / "folder.json")["hash"]
    chunk = Chunk(0, "pretrained", (4, 8, 24), (0, 1))
    assert mine.stem == chunk.name
    chunks.write_chunk(folder, chunk, ours, chunks.read_chunk(theirs, read_json(other / "folder.json")["hash"]))
    with pytest.raises(UserError, match="number of steps of pretrained and scratch differ"):
        study(corpus, [run], folder, STUDY, "cpu")


def test_folds_may_differ_where_arms_may_not():
    a, b = Record("n", "probe", "s", subsets={"4/0": "x"}), Record("m", "probe", "s", subsets={"4/0": "y"})
    assert judge({Chunk(0, "pca", (4,), (0,)): a, Chunk(1, "pca", (4,), (0,)): b})["verdict"] == "fair"
    with pytest.raises(UserError, match="normaliser of length and pca differ in fold 0"):
        judge({Chunk(0, "pca", (4,), (0,)): a, Chunk(0, "length", (4,), (0,)): b})
    assert judge({})["verdict"] == "fair"


# --- leaks


def with_split(corpus: Corpus, recording: int, split: str) -> Corpus:
    """The corpus with one recording moved."""
    of_recording = corpus.recordings.split.copy()
    of_recording[recording] = SPLITS.index(split)
    return replace(corpus, recordings=replace(corpus.recordings, split=of_recording))


@pytest.mark.parametrize("split", ["train", "none"])
def test_a_run_on_a_test_recording_is_refused(corpus, tmp_path, capsys, split):
    pretrain([with_split(corpus, 4, split)], tmp_path / "run", PRETRAIN, device="cpu")
    words = [str(corpus.folder), "--pretrained", str(tmp_path / "run"), "-o", str(tmp_path / "made")]
    for command in ("study", "finetune"):
        assert main([command, *words]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert "run: was pretrained on 1 recordings that are for validation or test here (such as v4); pretra" in last
        assert not (tmp_path / "made").exists()


# --- refusals


def test_runs_that_do_not_fit_are_refused(corpus, run, tmp_path):
    pretrain([corpus], tmp_path / "wide", replace(PRETRAIN, width=32), device="cpu")
    with pytest.raises(UserError, match="wide: its backbone differs"):
        study(corpus, [run, tmp_path / "wide"], tmp_path / "study", STUDY)
    recordings = [Video(s, noise(90, seed=i), s) for i, s in enumerate(SPLITS)]
    renamed = write_segments(tmp_path / "renamed", recordings, [Segment(i, 0, 30) for i in range(4)], names=("a", "b"))
    with pytest.raises(UserError, match="pretrained on other features"):
        study(renamed, [run], tmp_path / "study", STUDY)
    with pytest.raises(UserError, match="give at least one run"):
        study(corpus, [], tmp_path / "study", STUDY)
    with pytest.raises(UserError, match="no finished pretraining run"):
        study(corpus, [tmp_path], tmp_path / "study", STUDY)


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        (("train", "valid", "valid"), "no labelled segment in the test split"),
        (("train", "test", "test"), "no labelled segment in the valid split"),
        (("valid", "test", "test"), "fewer than two labelled training segments"),
    ],
)
def test_corpora_that_cannot_be_studied(run, tmp_path, splits, said):
    prepared = write_mosei_like(tmp_path / "corpus", 3, splits=splits, seed=5)
    with pytest.raises(UserError, match=said):
        study(prepared, [run], tmp_path / "study", STUDY, "cpu")


# --- a corpus with folds, speakers and categories


@pytest.fixture(scope="module")
def acted(tmp_path_factory) -> tuple[Corpus, list[Path]]:
    return write_acted_and_runs(tmp_path_factory.mktemp("acted"))


@pytest.fixture(scope="module")
def out_of_fold(acted, tmp_path_factory) -> Path:
    prepared, runs = acted
    return study(prepared, runs, tmp_path_factory.mktemp("oof") / "study", STUDY, "cpu")


def test_every_segment_is_predicted_once_by_a_fold_that_never_saw_it(acted, out_of_fold):
    prepared, _ = acted
    predictions = StudyPredictions.open(out_of_fold)
    items = predictions.items
    assert sorted(items.segment) == list(range(36))
    assert np.array_equal(items.fold, prepared.segments.fold[items.segment])
    assert items.unit.tolist() == prepared.recordings.speaker[prepared.segments.recording[items.segment]].tolist()
    assert predictions.meta["headline"] == "uar"
    for key, name, values in cells(out_of_fold):
        assert np.isfinite(values).all(), (key, name)
        if name == "category":
            assert np.allclose(values.sum(-1), 1, atol=1e-5)


def test_unweighted_recall_of_each_fold(out_of_fold):
    predictions = StudyPredictions.open(out_of_fold)
    items = predictions.items
    rows = pd.read_csv(out_of_fold / RESULTS)
    rows = rows[(rows.metric == "uar") & (rows.emotion == "overall")]
    for row in rows.itertuples():
        cell = predictions.cell(Key("speaker-independent", "transformer", row.arm, "ordinal", row.budget))
        here = items.fold == row.fold
        right = cell.category[row.seed, here].argmax(-1) == items.category[here]
        recalls = [right[items.category[here] == c].mean() for c in range(3)]
        assert row.value == pytest.approx(np.mean(recalls), abs=1e-6)
    assert len(rows) == 6 * 3 * 3 * 2  # arms, folds, budgets, seeds
    assert rows[rows.arm == "constants"].value.to_numpy() == pytest.approx(1 / 3, abs=1e-6)


def test_subsets_of_acted_clips_are_balanced_and_of_training_speakers(acted):
    prepared, runs = acted
    loaded = [load(run) for run in runs]
    fold = open_fold(
        prepared,
        1,
        engine.usable_runs(prepared, runs, loaded, ["speaker-independent"])[1, "speaker-independent"],
        loaded,
        STUDY,
        CPU,
    )
    assert [seed for seed, _ in fold.runs] == [0]  # only the run of this fold
    members, _ = Inputs(fold, "scratch", STUDY).members([(6, 0), (12, 0)], 1e-2)
    assert np.bincount(prepared.segments.category[members[0].subset]).tolist() == [2, 2, 2]
    assert set(prepared.segments.fold[members[1].subset]) == {0}  # 1 is tested, 2 validates


def test_evidence_runs_on_it(out_of_fold):
    found = evidence.evaluate(out_of_fold, FEW)
    assert found["headline"] == "uar" and found["items"] == 36 and found["units"] == 6
    assert {row["claim"] if "claim" in row else row["name"] for row in found["ledger"]} == {"C1", "C2", "C3", "C4"}


def test_folds_without_a_run_are_named(acted, tmp_path):
    prepared, runs = acted
    with pytest.raises(UserError, match=r"no blind run for fold 1, 2 was given; .* `emo-ssl pretrain --fold all`"):
        study(prepared, runs[:1], tmp_path / "study", STUDY, "cpu")


def test_clips_without_a_category_take_part(acted, tmp_path):
    prepared, runs = acted
    category = prepared.segments.category.copy()
    category[::5] = -1
    partly = replace(prepared, segments=replace(prepared.segments, category=category))
    folder = study(partly, runs, tmp_path / "study", replace(STUDY, arms=("scratch", "constants"), seeds=1), "cpu")
    assert pd.read_csv(folder / RESULTS).query("metric == 'uar'").value.between(0, 1).all()


# --- the command line


def test_the_commands(corpus, run, finished, tmp_path, capsys):
    (tmp_path / "study.toml").write_text(STUDY_TOML)
    words = ["study", str(corpus.folder), "--pretrained", str(run), "--config", str(tmp_path / "study.toml")]
    words += ["--device", "cpu", "-o", str(tmp_path / "study")]
    for shard in ("1/2", "2/2"):
        assert main([*words, "--shard", shard]) == 0
        assert "when all are, run the same command without --shard" in capsys.readouterr().out
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "C1" in said
    assert table_of(tmp_path / "study") == table_of(finished)
    assert main(["evidence", str(tmp_path / "study")]) == 0
    assert capsys.readouterr().out == said
    assert main(["evidence", str(tmp_path / "study"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 6


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/"])
def test_impossible_shards_are_refused(shard, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["study", "corpus", "--pretrained", "run", "-o", "study", "--shard", shard])
    assert ending.value.code == 2
    assert "is not a shard such as 2/4" in capsys.readouterr().err


def test_a_wrong_study_ends_with_2_and_one_sentence(corpus, run, tmp_path, capsys):
    words = ["study", str(corpus.folder), "--pretrained", str(run), "-o", str(tmp_path / "study")]
    (tmp_path / "a.toml").write_text('arms = ["magic"]')
    for more, said in (
        (["--config", str(tmp_path / "a.toml")], "a.toml: no arm is called magic"),
        (["--device", "abacus"], "no such device"),
        (["--pretrained", str(tmp_path)], "no finished pretraining run"),
    ):
        assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1
    assert not (tmp_path / "study").exists()
    assert main(["evidence", str(tmp_path)]) == 2
