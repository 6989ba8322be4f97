"""The command line: what it hands on."""

import json
import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

import emo_ssl
from emo_ssl import cli


def test_version_of_the_module_run_as_a_program():
    done = subprocess.run([sys.executable, "-m", "emo_ssl", "version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{emo_ssl.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["corpus"], "required: ACTION"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["corpus", "synth"], "required: -o/--output"),
        (["pretrain", "c", "-o", "r", "--fold", "-1"], "argument --fold"),
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


def stand_in(monkeypatch, name: str, **contents) -> None:
    module = ModuleType(name)
    for key, value in contents.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)
    parent, _, child = name.rpartition(".")
    __import__(parent)
    monkeypatch.setattr(sys.modules[parent], child, module, raising=False)


SUMMARY = {"content_hash": "abc", "Häufigkeit": 0.5}


@pytest.fixture
def calls(monkeypatch):
    """Names of functions behind the commands -> what they were called with."""
    seen = {}
    corpus = SimpleNamespace(folds=(0, 1))

    def prepare(acoustic, labels, folds, output, half=False, label_names=None):
        seen["prepare"] = (str(acoustic), str(labels), folds and str(folds), str(output), half, label_names)
        return corpus

    def opened(folder):
        seen["open"] = str(folder)
        return corpus

    def write_corpus(folder, config):
        seen["synth"] = (str(folder), config)
        return {"auroc": {"happy": 0.75}}

    def pretrain(corpora, output, config, seed, fold, device):
        seen.setdefault("pretrain", []).append((len(corpora), str(output), seed, fold, device))
        return f"run {fold}"

    stand_in(monkeypatch, "emo_ssl.corpora.mosei", prepare=prepare)
    in_words = {"describe": lambda corpus: "hash abc", "summary": lambda corpus: SUMMARY}
    stand_in(monkeypatch, "emo_ssl.corpora.report", **in_words)
    stand_in(
        monkeypatch,
        "emo_ssl.corpora.synthetic",
        write_corpus=write_corpus,
        SynthConfig=lambda **given: given,
        describe=lambda summary: f"happy {summary['auroc']['happy']}",
    )
    stand_in(monkeypatch, "emo_ssl.core.corpus", Corpus=SimpleNamespace(open=opened))
    stand_in(monkeypatch, "emo_ssl.core.pretrain", pretrain=pretrain, PretrainConfig=dict)
    return seen


def test_prepare(calls, capsys):
    command = ["corpus", "prepare", "--acoustic", "a.csd", "--labels", "l.csd", "-o", "out"]
    assert cli.main(command) == 0
    assert calls["prepare"] == ("a.csd", "l.csd", None, "out", False, None)
    assert capsys.readouterr().out == "hash abc\n"
    assert cli.main([*command, "--folds", "f.json", "--half", "--label-names", "happy, sad"]) == 0
    assert calls["prepare"] == ("a.csd", "l.csd", "f.json", "out", True, ("happy", "sad"))


def test_show(calls, capsys):
    assert cli.main(["corpus", "show", "here"]) == 0
    assert calls["open"] == "here"
    assert capsys.readouterr().out == "hash abc\n"
    assert cli.main(["corpus", "show", "here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SUMMARY


def test_synth_hands_on_only_what_was_typed(calls, capsys):
    assert cli.main(["corpus", "synth", "-o", "out"]) == 0
    folder, given = calls["synth"]
    assert folder == "out"
    assert capsys.readouterr().out == "happy 0.75\n"
    assert not {"scenario", "share"} & set(given)
    command = "corpus synth -o out --videos 7 --seed 3 --scenario null --share 0.5 --clean"
    assert cli.main(command.split()) == 0
    assert calls["synth"][1] == {"videos": 7, "seed": 3, "scenario": "null", "share": 0.5, "clean": True}
    capsys.readouterr()
    assert cli.main([*command.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"auroc": {"happy": 0.75}}


def test_pretrain_one_fold_or_all(calls, capsys):
    assert cli.main(["pretrain", "a", "b", "-o", "run", "--seed", "3", "--fold", "1", "--device", "cpu"]) == 0
    assert cli.main(["pretrain", "a", "-o", "runs", "--fold", "all"]) == 0
    fold = [str(os.path.join("runs", name)) for name in ("fold-0", "fold-1")]
    assert calls["pretrain"] == [(2, "run", 3, 1, "cpu"), (1, fold[0], 0, 0, None), (1, fold[1], 0, 1, None)]
    assert capsys.readouterr().out == "run 1\nrun 0\nrun 1\n"


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
