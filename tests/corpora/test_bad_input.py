"""`emo-ssl corpus prepare` on bad input: one sentence, the right status, nothing half-written, and a rerun works."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import (
    contents,
    intensities,
    label_table,
    noise,
    run_python,
    spoil_chunk,
    times,
    write_corpus,
    write_csd,
    write_plain_csd,
)

from emo_ssl import cli
from emo_ssl.core.corpus import Corpus
from emo_ssl.corpora.csd import LABEL_NAMES
from emo_ssl.corpora.mosei import prepare

VIDEOS = {"a": 100, "b": 150, "c": 90}
LABELS = {"a": [(0, 1, intensities(sad=1))], "b": [(0, 0.8), (0.5, 1.5)], "c": [(0, 0.9)]}
FOLDS = {"train": ["a"], "valid": ["b"], "test": ["c"]}
COMPLETE = {"folder.json", "frames.bin", "index.npz", "report.json", "corpus.json"}


@pytest.fixture(scope="module")
def good_hash(tmp_path_factory):
    """The content hash of an undisturbed run."""
    folder = tmp_path_factory.mktemp("good")
    return prepare(**write_corpus(folder, VIDEOS, LABELS, FOLDS), output=folder / "out").content_hash


@pytest.fixture
def source(tmp_path):
    return write_corpus(tmp_path / "source", VIDEOS, LABELS, FOLDS)


def arguments(source, output):
    files = ["--acoustic", source["acoustic"], "--labels", source["labels"], "--folds", source["folds"]]
    return ["corpus", "prepare", *map(str, files), "-o", str(output)]


def sentences(stderr):
    """What was printed apart from progress."""
    return [line for line in stderr.splitlines() if not line.startswith("preparing: ")]


def check_refusal(status, stdout, stderr, *words):
    assert status == 2 and stdout == ""
    (sentence,) = sentences(stderr)
    assert sentence.startswith("emo-ssl: ")
    for word in words:
        assert str(word) in sentence


def check_rerun(output, source_folder, good_hash):
    """Good input into the same output folder gives what an undisturbed run gives."""
    assert cli.main(arguments(write_corpus(source_folder, VIDEOS, LABELS, FOLDS), output)) == 0
    assert Corpus.open(output).content_hash == good_hash
    assert contents(output).keys() == COMPLETE


# --- files that are no .csd, and files that do not belong here


def keep(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def replace_by(content):
    return lambda path: path.write_bytes(content)


def make_folder(path):
    path.unlink()
    path.mkdir()


def csd_of(entries, names):
    return lambda path: write_csd(path, entries, names)


def damaged_at_the_end(path):
    """The values of the last video cannot be unpacked, which shows only when they are read."""
    entries = {key: (noise(50), times(50)) for key in "abc"}
    write_plain_csd(path, entries, {"dimension names": '["F0", "peakSlope"]'}, compression="gzip")
    spoil_chunk(path, "COVAREP/data/c/features")


ONE = {"a": label_table(LABELS["a"])}


@pytest.mark.parametrize(
    ("which", "spoil", "words"),
    [
        ("labels", Path.unlink, "no such file"),
        ("acoustic", make_folder, "this is a folder"),
        ("acoustic", replace_by(b""), "an empty file"),
        ("acoustic", replace_by(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git-LFS pointer"),
        ("acoustic", replace_by(b"\n <!DOCTYPE html>\n<html><title>404</title></html>\n"), "web page"),
        ("labels", replace_by(b"start,end\n0,1\n" * 100), "not an HDF5 file"),
        ("acoustic", keep(0.5), "truncated"),
        ("labels", keep(0.999), "truncated"),
        ("acoustic", damaged_at_the_end, "the file is damaged or truncated at `c`"),
        ("acoustic", csd_of({"a": (noise(100, 43), times(100))}, None), "rows hold 43 values"),
        ("labels", csd_of(ONE, None), "--label-names"),
        ("labels", csd_of(ONE, LABEL_NAMES[:3]), "no column named anger, surprise, disgust, fear"),
        ("labels", csd_of({"z": ONE["a"]}, LABEL_NAMES), "none of its videos (such as z)"),
        ("labels", csd_of({}, LABEL_NAMES), "holds no labelled segment"),
        ("folds", replace_by(b'{"train": ["x", "y"], "test": ["a"]}'), "2 of the 3 videos it names"),
    ],
)
def test_a_file_that_is_damaged_or_does_not_belong_here(tmp_path, source, capsys, which, spoil, words):
    spoil(source[which])
    status = cli.main(arguments(source, tmp_path / "out"))
    check_refusal(status, *capsys.readouterr(), source[which], words)
    assert not (tmp_path / "out").exists()


# --- stopped on the way


@pytest.mark.parametrize(("name", "which"), [*((name, 0) for name in sorted(COMPLETE)), ("folder.json", 1)])
def test_interrupted_at_any_file(tmp_path, source, good_hash, capsys, monkeypatch, name, which):
    """Ctrl-C at the moment when a file is about to be put in place; folder.json is, first and last."""
    real, met = os.replace, []

    def interrupted(temporary, target):
        met.append(Path(target).name)
        if met[-1] == name and met.count(name) == which + 1:
            raise KeyboardInterrupt
        return real(temporary, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        assert cli.main(arguments(source, tmp_path / "out")) == 130
    assert sentences(capsys.readouterr().err) == ["emo-ssl: interrupted; run the same command again to continue"]
    left = contents(tmp_path / "out").keys()
    # the last time all of it was there, only not declared finished
    assert left == COMPLETE if which else not (tmp_path / "out").exists()
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


WITH_LITTLE_SPACE = """
import resource, sys
from emo_ssl.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(("limit", "name"), [(100, "folder.json"), (1000, "frames.bin"), (2800, "index.npz")])
def test_a_full_disk(tmp_path, source, good_hash, limit, name):
    """The first file that does not fit is named: folder.json has 400 to 900 bytes, frames.bin 2,720, index.npz more."""
    pytest.importorskip("resource")
    run = run_python(WITH_LITTLE_SPACE, limit, *arguments(source, tmp_path / "out"))
    check_refusal(run.returncode, run.stdout, run.stderr, tmp_path / "out" / name, "the disk is full")
    assert not (tmp_path / "out").exists()


HOLD_IN_THE_MIDDLE = """
import sys
from emo_ssl import cli
from emo_ssl.core.writer import CorpusWriter

add_recording = CorpusWriter.add_recording

def then_wait(self, name, *arguments):
    offset = add_recording(self, name, *arguments)
    if name == "b":
        print("in the middle", flush=True)
        sys.stdin.read()
    return offset

CorpusWriter.add_recording = then_wait
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_stopped_in_the_middle(tmp_path, source, good_hash, capsys, number, status):
    """When the second of three videos is on its way to the disk."""
    out, pipes = tmp_path / "out", dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [sys.executable, "-c", HOLD_IN_THE_MIDDLE, *arguments(source, out)]
    with subprocess.Popen(command, text=True, **pipes) as run:
        assert run.stdout.readline() == "in the middle\n"
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=60)
    assert (run.returncode, stdout) == (status, "")
    if number == signal.SIGTERM:
        assert "stopped by SIGTERM; run the same command again" in stderr and not out.exists()
    else:
        assert (out / "frames.bin.partial").exists() and cli.main(["corpus", "show", str(out)]) == 2
        assert "an unfinished corpus" in capsys.readouterr().err
    check_rerun(out, tmp_path / "source", good_hash)
