"""The study as a whole: nothing is learned from nothing, equal starts end equal, and a killed one goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments
from training import PRETRAIN, STUDY, write_mosei_like

from emo_ssl.cli import main
from emo_ssl.core import metrics
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.normalise import INDEPENDENT
from emo_ssl.core.pretrain import PretrainedRun, pretrain
from emo_ssl.study import run as engine
from emo_ssl.study.arms import run_chunk
from emo_ssl.study.collect import RESULTS, read_chunk, write_chunk
from emo_ssl.study.grid import Chunk
from emo_ssl.study.predictions import Key, StudyPredictions
from emo_ssl.study.run import run_study, usable_runs
from emo_ssl.utils.io import UserError, read_json, write_json


def table_of(folder: Path) -> bytes:
    return (folder / RESULTS).read_bytes()


def arrays(folder: Path) -> dict[str, np.ndarray]:
    predictions = StudyPredictions.open(folder)
    return {f"{k}.{name}": x for k in predictions.keys for name, x in predictions.cell(k).arrays().items()}


def same(a: Path, b: Path) -> bool:
    """The same table and the same predictions."""
    x, y = arrays(a), arrays(b)
    return table_of(a) == table_of(b) and x.keys() == y.keys() and all(np.array_equal(x[n], y[n]) for n in x)


# --- what a study finds


@pytest.fixture(scope="module")
def audible(tmp_path_factory) -> tuple[Corpus, Path]:
    """A segment a recording, half of them tested; each emotion lifts a feature of its own, and most labels are 0."""
    folder, rng = tmp_path_factory.mktemp("audible"), np.random.default_rng(0)
    labels = rng.integers(1, 4, (160, 2)) * (rng.random((160, 2)) < 0.4)
    recordings = [
        Video(f"v{v}", noise(24, seed=v) + labels[v].astype(np.float32), ("train", "test", "valid", "test")[v % 4])
        for v in range(160)
    ]
    segments = [Segment(v, 0, 24, tuple(map(float, row))) for v, row in enumerate(labels)]
    corpus = write_segments(folder / "corpus", recordings, segments)
    pretrain([corpus], folder / "run", PRETRAIN, device="cpu")
    return corpus, folder / "run"


LONGER = replace(STUDY, finetune=replace(STUDY.finetune, steps=40), probe=replace(STUDY.probe, steps=60))


def above_chance(folder: Path) -> list[tuple[Key, float]]:
    """(cell, AUROC - .5 in standard errors of scores that know nothing) of each seed and emotion, without constants."""
    predictions = StudyPredictions.open(folder)
    positive = predictions.items.targets > 0
    found = []
    for key in predictions.keys:
        for scores in predictions.cell(key).presence if key.arm != "constants" else []:
            for e in range(2):
                hits, misses = positive[:, e].sum(), (~positive[:, e]).sum()
                error = np.sqrt((hits + misses + 1) / (12 * hits * misses))
                found.append((key, (metrics.auroc(scores[:, e], positive[:, e]) - 0.5) / error))
    return found


def test_every_arm_finds_what_is_there_and_nothing_where_labels_are_shuffled(audible, tmp_path):
    """Every bound is 4.5 standard errors: with some sixty comparisons one in 2,000 such tests would fail by chance."""
    corpus, run = audible
    found = above_chance(run_study(corpus, [run], tmp_path / "study", LONGER, "cpu").folder)
    assert {key.arm for key, _ in found} == set(STUDY.arms) - {"constants"}
    assert [key for key, distance in found if key.budget == 40 and distance < 4.5] == []
    shuffled = replace(corpus, targets=corpus.targets[np.random.default_rng(1).permutation(160)])
    found = above_chance(run_study(shuffled, [run], tmp_path / "shuffled", LONGER, "cpu").folder)
    assert [key for key, distance in found if abs(distance) > 4.5] == []


def test_equal_starts_end_equal(corpus, tmp_path):
    """A run of no steps is the fresh encoder of its seed: nothing may tell its arms from those without it."""
    runs = [tmp_path / f"run{seed}" for seed in range(2)]
    for seed, folder in enumerate(runs):
        pretrain([corpus], folder, replace(PRETRAIN, steps=0), seed=seed, device="cpu")
    arms = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "permuted", "scratch-4x")
    folder = run_study(corpus, runs, tmp_path / "study", replace(STUDY, arms=arms), "cpu").folder
    predictions = StudyPredictions.open(folder)

    def presence(arm: str, size: int) -> np.ndarray:
        return predictions.cell(Key("speaker-independent", "transformer", arm, "ordinal", size)).presence

    for size in predictions.meta["budgets"]:
        assert np.array_equal(presence("scratch", size), presence("pretrained", size))
        assert np.array_equal(presence("frozen-random", size), presence("frozen-pretrained", size))
        for other in ("permuted", "scratch-4x", "frozen-random"):
            assert not np.array_equal(presence("scratch", size), presence(other, size))
        assert not np.array_equal(presence("scratch", size)[0], presence("scratch", size)[1])


# --- again, interrupted, beside each other


def test_a_finished_study_is_left_alone(corpus, run, finished, monkeypatch):
    monkeypatch.setattr(engine, "run_grid", None)
    before = table_of(finished)
    assert run_study(corpus, [run], finished, STUDY).folder == finished
    assert table_of(finished) == before
    with pytest.raises(UserError, match="seeds is 2 there, 3 here"):
        run_study(corpus, [run], finished, replace(STUDY, seeds=3))


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[4])
from training import STUDY
from emo_ssl.core.corpus import Corpus
from emo_ssl.study import run
original, calls = run.run_chunk, []
def counted(*arguments):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
run.run_chunk = counted
run.run_study(Corpus.open(sys.argv[1]), [sys.argv[2]], sys.argv[3], STUDY, "cpu")
"""


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The arms of the chunks that are computed from here on."""
    arms = []
    monkeypatch.setattr(engine, "run_chunk", lambda *words: arms.append(words[1].arm) or run_chunk(*words))
    return arms


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_study_ends_in_the_same_table(corpus, run, finished, tmp_path, ran):
    words = [sys.executable, "-c", KILLED, corpus.folder, run, tmp_path / "study", Path(__file__).parents[1]]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "study" / RESULTS).exists()
    folder = run_study(corpus, [run], tmp_path / "study", STUDY, "cpu").folder
    assert ran == list(STUDY.arms[2:])  # what was finished was not done again
    assert same(folder, finished)


def test_chunks_side_by_side_end_in_the_same_table(corpus, run, finished, tmp_path, ran):
    folder = run_study(corpus, [run], tmp_path / "study", STUDY, "cpu", jobs=3).folder
    assert sorted(ran) == sorted(STUDY.arms) and same(folder, finished)


def unfinished(finished: Path, folder: Path) -> Path:
    """A copy of a study that was stopped just before its table."""
    shutil.copytree(finished, folder)
    (folder / RESULTS).unlink()
    write_json(folder / "folder.json", {**read_json(folder / "folder.json"), "complete": False})
    return folder


def test_a_damaged_chunk_is_one_sentence(corpus, run, finished, tmp_path):
    folder = unfinished(finished, tmp_path / "study")
    path = next((folder / "chunks").glob("*-pretrained-*"))
    os.truncate(path, path.stat().st_size - 200)
    with pytest.raises(UserError, match=rf"{path.name}: damaged .* delete it and run the study again"):
        run_study(corpus, [run], folder, STUDY, "cpu")
    path.unlink()
    assert same(run_study(corpus, [run], folder, STUDY, "cpu").folder, finished)


def test_a_chunk_that_was_really_trained_longer_is_refused(corpus, run, finished, tmp_path):
    more = replace(STUDY, finetune=replace(STUDY.finetune, steps=5), arms=("pretrained",))
    other = run_study(corpus, [run], tmp_path / "other", more, "cpu").folder
    folder = unfinished(finished, tmp_path / "study")
    chunk = Chunk(0, "pretrained", (4, 8, 24), (0, 1))
    name = f"chunks/{chunk.name}.npz"
    shutil.copy(other / name, folder / name)
    with pytest.raises(UserError, match="belongs to a study of another configuration"):
        run_study(corpus, [run], folder, STUDY, "cpu")
    theirs = read_chunk(other / name, chunk, read_json(other / "folder.json")["hash"], corpus)
    write_chunk(folder, chunk, read_json(folder / "folder.json")["hash"], theirs)
    with pytest.raises(UserError, match="not fair: number of steps of pretrained and scratch differ in fold 0"):
        run_study(corpus, [run], folder, STUDY, "cpu")
    assert not (folder / RESULTS).exists()


# --- refusals


@pytest.mark.parametrize("split", ["train", "none"])
def test_a_run_on_a_test_recording_is_refused(corpus, tmp_path, capsys, split):
    of_recording = corpus.recordings.split.copy()
    of_recording[4] = SPLITS.index(split)
    moved = replace(corpus, recordings=replace(corpus.recordings, split=of_recording))
    pretrain([moved], tmp_path / "run", PRETRAIN, device="cpu")
    for command in ("study", "finetune"):
        words = [str(corpus.folder), "--pretrained", str(tmp_path / "run"), "-o", str(tmp_path / "made")]
        assert main([command, *words]) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert "run: was pretrained on 1 recordings that are for validation or test here (such as v4); pretra" in last
        assert not (tmp_path / "made").exists()


def test_a_fold_takes_its_own_runs_and_folds_without_one_are_named(acted, tmp_path):
    corpus, runs = acted
    loaded = [PretrainedRun.open(run) for run in runs]
    usable = usable_runs(corpus, loaded, STUDY, [INDEPENDENT])
    assert {at: [run.folder for run in some] for at, some in usable.items()} == {
        (fold, INDEPENDENT): [runs[fold]] for fold in range(3)
    }
    with pytest.raises(
        UserError, match=r"no speaker-independent run for fold 1, 2 was given \(but for fold 0\); .* --fold all`"
    ):
        run_study(corpus, runs[:1], tmp_path / "study", STUDY, "cpu")
    with pytest.raises(
        UserError, match=r"0, 1, 2 was given \(but of another protocol\); .*-adapted\", enrolment = 3\)"
    ):
        run_study(corpus, runs, tmp_path / "study", replace(STUDY, adapted=(4,), enrolment=3), "cpu")
    assert not (tmp_path / "study").exists()


def test_runs_that_do_not_fit_are_refused(corpus, run, tmp_path):
    pretrain([corpus], tmp_path / "wide", replace(PRETRAIN, width=32), device="cpu")
    with pytest.raises(UserError, match="wide: its encoder differs"):
        run_study(corpus, [run, tmp_path / "wide"], tmp_path / "study", STUDY)
    recordings = [Video(s, noise(90, seed=i), s) for i, s in enumerate(SPLITS)]
    renamed = write_segments(tmp_path / "renamed", recordings, [Segment(i, 0, 30) for i in range(4)], names=("a", "b"))
    with pytest.raises(UserError, match="pretrained on other features"):
        run_study(renamed, [run], tmp_path / "study", STUDY)
    with pytest.raises(UserError, match="give at least one run"):
        run_study(corpus, [], tmp_path / "study", STUDY)


@pytest.mark.parametrize(
    ("splits", "complaint"),
    [
        (("train", "valid", "valid"), "no labelled segment in the test split"),
        (("valid", "test", "test"), "fewer than two labelled training segments"),
    ],
)
def test_corpora_that_cannot_be_studied(run, tmp_path, splits, complaint):
    corpus = write_mosei_like(tmp_path / "corpus", 3, splits=splits, seed=5)
    with pytest.raises(UserError, match=complaint):
        run_study(corpus, [run], tmp_path / "study", STUDY, "cpu")


# --- the command line


def test_the_commands(corpus, run, tmp_path, capsys):
    write_json(tmp_path / "study.json", asdict(replace(STUDY, arms=("scratch", "constants"))))
    words = ["study", str(corpus.folder), "--pretrained", str(run), "--config", str(tmp_path / "study.json")]
    words += ["--device", "cpu", "-o", str(tmp_path / "study")]
    assert main([*words, "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "C1" in printed
    assert main(["evidence", str(tmp_path / "study")]) == 0
    assert capsys.readouterr().out == printed
    assert main(["evidence", str(tmp_path / "study"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["items"] == 6


def test_a_wrong_study_ends_with_2_and_one_sentence(corpus, run, tmp_path, capsys):
    words = ["study", str(corpus.folder), "--pretrained", str(run), "-o", str(tmp_path / "study")]
    (tmp_path / "a.toml").write_text('arms = ["magic"]')
    for more, complaint in (
        (["--config", str(tmp_path / "a.toml")], "a.toml: no arm is called magic"),
        (["--device", "abacus"], "no such device"),
        (["--pretrained", str(tmp_path)], "no finished pretraining run"),
        (["--scheduler", "tcp://127.0.0.1:1"], "take --engine dask, or neither"),
    ):
        assert main([*words, *more]) == 2
        err = capsys.readouterr().err
        assert complaint in err and err.count("\n") == 1
    assert not (tmp_path / "study").exists()
