"""The command line: what it hands on, and how each kind of ending looks from outside."""

import errno
import json
import os
import signal
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

import emo_ssl
from emo_ssl import cli
from emo_ssl.utils.io import UserError


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


# Endings


def ends_with(monkeypatch, problem: BaseException) -> int:
    def handler(arguments):
        raise problem

    monkeypatch.setattr(cli, "run_version", handler)
    return cli.main(["version"])


@pytest.mark.parametrize(
    ("problem", "status", "sentence"),
    [
        (UserError("a.csd: it is empty; fetch it again."), 2, "a.csd: it is empty; fetch it again."),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to continue"),
        (cli.Terminated(), 143, "stopped by SIGTERM; run the same command again to continue"),
        (PermissionError(errno.EACCES, "Permission denied", "x.csd"), 2, "x.csd: Permission denied."),
        (OSError("no number, no name"), 2, "no number, no name."),
        (
            OSError(errno.ENOSPC, "No space left on device", "y"),
            2,
            "y: the disk is full; free some space or choose another -o and run again.",
        ),
        (MemoryError(), 2, "not enough memory; close other programs or use less data at once."),
    ],
)
def test_endings_are_one_sentence(monkeypatch, capsys, problem, status, sentence):
    assert ends_with(monkeypatch, problem) == status
    assert capsys.readouterr() == ("", f"emo-ssl: {sentence}\n")


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        ends_with(monkeypatch, ZeroDivisionError())


def test_handlers_of_signals_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    cli.main(["version"])
    assert signal.getsignal(signal.SIGTERM) is before


WAITS = """
import sys, time
from emo_ssl import cli
def wait(arguments):
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
cli.run_version = wait
sys.exit(cli.main(["version"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_clean_up_and_end_with_their_status(sent, status):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WAITS], **pipes) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(sent)
        out, err = process.communicate(timeout=20)
    assert process.returncode == status
    assert out == "cleaned up\n"
    assert err.count("\n") == 1 and "run the same command again to continue" in err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_reader_that_leaves_is_no_error():
    program = (
        "import sys\nfrom emo_ssl import cli\n"
        "cli.run_version = lambda arguments: [print('x' * 999) for _ in range(9999)] and 0\n"
        "sys.exit(cli.main(['version']))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=20) == 141


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
