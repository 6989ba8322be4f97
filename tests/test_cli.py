"""The command line: what it hands on."""

import json
import os
import subprocess
import sys
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
        (["study", "c", "--pretrained", "r", "-o", "s", "--shard", "3/2"], "'3/2' is not a shard such as 2/4"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, words, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(arguments)
    assert ending.value.code == 2
    problem = capsys.readouterr().err
    assert "usage: emo-ssl" in problem and words in problem


# What reaches the functions behind the commands


SUMMARY = {"content_hash": "abc", "Häufigkeit": 0.5}


@pytest.fixture
def calls(monkeypatch):
    """Names of functions behind the commands -> what they were called with."""
    seen = {}
    corpus = SimpleNamespace(folds=(0, 1))

    def stand_in(name: str, result: object) -> None:
        def called(*given, **named):
            seen.setdefault(name, []).append((*given, *named.values()))
            return result

        monkeypatch.setattr(f"emo_ssl.{name}", called)

    stand_in("corpora.mosei.prepare", corpus)
    stand_in("corpora.report.describe", "hash abc")
    stand_in("corpora.report.summary", SUMMARY)
    stand_in("corpora.synthetic.write_corpus", {})
    stand_in("corpora.synthetic.describe", "happy 0.75")
    stand_in("core.corpus.Corpus.open", corpus)
    stand_in("core.pretrain.pretrain", "the run")
    return seen


def test_prepare(calls, capsys):
    command = ["corpus", "prepare", "--acoustic", "a.csd", "--labels", "l.csd", "-o", "out"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out == "hash abc\n"
    assert cli.main([*command, "--folds", "f.json", "--half", "--label-names", "happy, sad"]) == 0
    files = (Path("a.csd"), Path("l.csd"))
    assert calls["corpora.mosei.prepare"] == [
        (*files, None, Path("out"), False, None),
        (*files, Path("f.json"), Path("out"), True, ("happy", "sad")),
    ]


def test_show(calls, capsys):
    assert cli.main(["corpus", "show", "here"]) == 0
    assert calls["core.corpus.Corpus.open"] == [(Path("here"),)]
    assert capsys.readouterr().out == "hash abc\n"
    assert cli.main(["corpus", "show", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SUMMARY


def test_synth_hands_on_only_what_was_typed(calls, capsys):
    command = ["corpus", "synth", "-o", "out"]
    assert cli.main(command) == 0
    assert cli.main([*command, "--videos", "7", "--seed", "3", "--scenario", "null", "--clean"]) == 0
    settings = [SynthConfig(), SynthConfig(videos=7, seed=3, scenario="null", clean=True)]
    assert calls["corpora.synthetic.write_corpus"] == [(Path("out"), setting) for setting in settings]
    assert capsys.readouterr().out == "happy 0.75\n" * 2


def test_pretrain_one_fold_or_all(calls, capsys):
    assert cli.main(["pretrain", "a", "b", "-o", "run", "--seed", "3", "--fold", "1", "--device", "cpu"]) == 0
    assert cli.main(["pretrain", "a", "-o", "runs", "--fold", "all"]) == 0
    started = [(len(corpora), str(output), *rest) for corpora, output, _, *rest in calls["core.pretrain.pretrain"]]
    folds = [str(Path("runs") / name) for name in ("fold-0", "fold-1")]
    assert started == [(2, "run", 3, 1, "cpu"), (1, folds[0], 0, 0, None), (1, folds[1], 0, 1, None)]
    assert capsys.readouterr().out == "the run\n" * 3


@pytest.mark.parametrize(("load", "threads", "noted"), [(1.5, None, True), (1.5, "1", False), (0.5, None, False)])
def test_a_busy_computer_is_noted_when_training_starts(calls, capsys, monkeypatch, load, threads, noted):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads:
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert cli.main(["pretrain", "a", "-o", "run"]) == 0
    assert ("OMP_NUM_THREADS=1" in capsys.readouterr().err) == noted
    cli.main(["corpus", "show", "here"])  # trains nothing
    assert capsys.readouterr().err == ""
