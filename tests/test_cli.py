"""The command line: what it hands on."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest

import emo_ssl
from emo_ssl import cli
from emo_ssl.corpora.synthetic import SynthConfig


def test_version_of_the_module_run_as_a_program():
    done = subprocess.run([sys.executable, "-m", "emo_ssl", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{emo_ssl.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["corpus", "synth"], "required: -o/--output"),
        (["pretrain", "c", "-o", "r", "--fold", "one"], "'one' is neither the number of a fold nor all"),
        (["study", "c", "--pretrained", "r", "-o", "s", "--engine", "ray"], "invalid choice: 'ray'"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(arguments)
    assert ending.value.code == 2
    problem = capsys.readouterr().err
    assert "usage: emo-ssl" in problem and words in problem


@pytest.fixture
def runs(monkeypatch) -> list[tuple]:
    """What pretraining was called with, on corpora of two folds."""
    called = []

    def pretrain(*given, **named):
        called.append((*given, named))
        return "the run"

    monkeypatch.setattr("emo_ssl.core.corpus.Corpus.open", lambda _: SimpleNamespace(folds=(0, 1)))
    monkeypatch.setattr("emo_ssl.core.pretrain.pretrain", pretrain)
    monkeypatch.setattr("emo_ssl.corpora.report.describe", lambda _: "the corpus")
    return called


def test_every_flag_of_the_made_up_corpus_is_handed_on(tmp_path, capsys):
    flags = ["--videos", "4", "--seed", "3", "--scenario", "null", "--share", "0", "--clean"]
    assert cli.main(["corpus", "synth", "-o", str(tmp_path), *flags]) == 0
    given = SynthConfig(videos=4, seed=3, scenario="null", share=0, clean=True)
    assert asdict(given).items() <= json.loads((tmp_path / "synthetic.json").read_text()).items()


def test_pretrain_one_fold_or_all(runs, capsys):
    assert cli.main(["pretrain", "a", "b", "-o", "run", "--seed", "3", "--fold", "1", "--device", "cpu"]) == 0
    assert cli.main(["pretrain", "a", "-o", "runs", "--fold", "all"]) == 0
    started = [(len(corpora), str(output), named) for corpora, output, _, named in runs]
    folds = [str(Path("runs") / name) for name in ("fold-0", "fold-1")]
    first = (2, "run", {"seed": 3, "fold": 1, "device": "cpu"})
    assert started == [first, (1, folds[0], {"fold": 0}), (1, folds[1], {"fold": 1})]
    assert capsys.readouterr().out == "the run\n" * 3


@pytest.mark.parametrize(("load", "threads", "noted"), [(1.5, None, True), (1.5, "1", False), (0.5, None, False)])
def test_a_busy_computer_is_noted_when_training_starts(runs, capsys, monkeypatch, load, threads, noted):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert cli.main(["pretrain", "a", "-o", "run"]) == 0
    assert ("OMP_NUM_THREADS=1" in capsys.readouterr().err) == noted
    cli.main(["corpus", "show", "here"])  # trains nothing
    assert capsys.readouterr().err == ""


def test_finetune_with_a_run_and_without(monkeypatch, capsys, tmp_path):
    called = []
    monkeypatch.setattr("emo_ssl.core.corpus.Corpus.open", lambda _: "the corpus")
    monkeypatch.setattr("emo_ssl.core.finetune.finetune", lambda *given, **named: called.append((*given, named)))
    monkeypatch.setattr(
        "emo_ssl.study.contrast_model.fit_contrast", lambda *given, **named: called.append((*given, named))
    )
    assert cli.main(["finetune", "c", "--budget", "9", "--seed", "2", "--fold", "1", "-o", "m"]) == 0
    assert called.pop() == ("the corpus", Path("m"), {"fold": 1, "labels": 9, "seed": 2})
    assert cli.main(["finetune", "c", "--pretrained", "r", "--rate", "0.1", "-o", "m"]) == 0
    assert called.pop() == ("the corpus", Path("r"), Path("m"), {"config": emo_ssl.FinetuneConfig(), "rate": 0.1})
    for flags, problem in (
        (["--rate", "0.1"], "--rate is for fine-tuning a network; name its run with --pretrained"),
        (["--device", "cpu"], "--device is for fine-tuning a network"),
        (["--pretrained", "r", "--fold", "1"], "--fold is that of the run that --pretrained names"),
    ):
        assert cli.main(["finetune", "c", *flags, "-o", "m"]) == 2 and problem in capsys.readouterr().err
