"""The command line: what it hands on, and how each kind of ending looks from outside."""

import errno
import json
import signal
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

import emo_ssl
from emo_ssl import cli
from emo_ssl.utils.io import UserError


def ends_with(monkeypatch, problem: BaseException) -> int:
    def handler(arguments):
        raise problem

    monkeypatch.setattr(cli, "run_version", handler)
    return cli.main(["version"])


def test_version(capsys):
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"{emo_ssl.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["corpus"], ["nonsense"], ["corpus", "synth"]])
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ending:
        cli.main(arguments)
    assert ending.value.code == 2
    assert "usage: emo-ssl" in capsys.readouterr().err


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
        (
            OSError("unable to write (errno = 28, message = 'No space left')"),  # how HDF5 words it
            2,
            "the disk is full; free some space or choose another -o and run again.",
        ),
        (MemoryError(), 2, "not enough memory; close other programs or use less data at once."),
    ],
)
def test_endings_are_one_sentence(monkeypatch, capsys, problem, status, sentence):
    assert ends_with(monkeypatch, problem) == status
    said = capsys.readouterr()
    assert said.err == f"emo-ssl: {sentence}\n"
    assert said.out == ""


def test_a_fault_of_ours_is_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        ends_with(monkeypatch, ZeroDivisionError())


def test_handlers_of_signals_are_put_back(monkeypatch):
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


def test_python_dash_m():
    done = subprocess.run([sys.executable, "-m", "emo_ssl", "version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{emo_ssl.__version__}\n", "")


# The corpus commands: what reaches the functions behind them


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
    corpus = SimpleNamespace(summary=lambda: SUMMARY, report={})

    def prepare(acoustic, labels, folds, output, half=False, label_names=None):
        seen["prepare"] = (str(acoustic), str(labels), folds and str(folds), str(output), half, label_names)
        return corpus

    def opened(folder):
        seen["open"] = str(folder)
        return corpus

    def write_corpus(folder, config):
        seen["synth"] = (str(folder), config)
        return {"auroc": {"happy": 0.75}}

    stand_in(monkeypatch, "emo_ssl.corpora.mosei", prepare=prepare)
    stand_in(
        monkeypatch,
        "emo_ssl.corpora.report",
        describe=lambda corpus: f"hash {corpus.summary()['content_hash']}",
        parts=lambda corpus: [],
    )
    stand_in(
        monkeypatch,
        "emo_ssl.corpora.synthetic",
        write_corpus=write_corpus,
        SynthConfig=lambda **given: given,
        describe=lambda summary: f"happy {summary['auroc']['happy']}",
    )
    stand_in(monkeypatch, "emo_ssl.core.corpus", Corpus=SimpleNamespace(open=opened))
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
    assert json.loads(capsys.readouterr().out) == {**SUMMARY, "parts": []}


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
