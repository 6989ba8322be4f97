"""`emo-ssl corpus prepare` on bad input: one sentence, the right status, nothing half-written, and a rerun works."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builders import contents, intensities, label_table, noise, run_python, times, write_corpus, write_csd

from emo_ssl import cli
from emo_ssl.core.corpus import Corpus
from emo_ssl.corpora.csd import LABEL_NAMES
from emo_ssl.corpora.mosei import prepare

VIDEOS = {"a": 100, "b": 150, "c": 90}
LABELS = {"a": [(0, 1, intensities(sad=1))], "b": [(0, 0.8), (0.5, 1.5)], "c": [(0, 0.9)]}
FOLDS = {"train": ["a"], "valid": ["b"], "test": ["c"]}


@pytest.fixture(scope="module")
def good_hash(tmp_path_factory):
    """The content hash of an undisturbed run."""
    folder = tmp_path_factory.mktemp("good")
    return prepare(**write_corpus(folder, VIDEOS, LABELS, FOLDS), output=folder / "out").content_hash


@pytest.fixture
def source(tmp_path):
    return write_corpus(tmp_path / "source", VIDEOS, LABELS, FOLDS)


def arguments(source, output):
    folds = ["--folds", str(source["folds"])] if source["folds"] else []
    files = ["--acoustic", str(source["acoustic"]), "--labels", str(source["labels"])]
    return ["corpus", "prepare", *files, *folds, "-o", str(output)]


def sentences(stderr):
    """What was said apart from progress."""
    return [line for line in stderr.splitlines() if not line.startswith("preparing: ")]


def check_refusal(status, stdout, stderr, *words):
    assert status == 2 and stdout == ""
    assert "Traceback" not in stderr
    (sentence,) = sentences(stderr)
    assert sentence.startswith("emo-ssl: ")
    for word in words:
        assert str(word) in sentence


def check_rerun(output, source_folder, good_hash):
    """Good input into the same output folder gives what an undisturbed run gives."""
    source = write_corpus(source_folder, VIDEOS, LABELS, FOLDS)
    assert cli.main(arguments(source, output)) == 0
    assert Corpus.open(output).content_hash == good_hash
    expected = {"folder.json", "frames.bin", "index.npz", "report.json", "segments.json"}
    assert contents(output).keys() == expected


def cut_to(share):
    def spoil(path):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return spoil


def replace_by(content):
    return lambda path: path.write_bytes(content)


def make_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "missing": (lambda path: path.unlink(), "no such file"),
    "a folder": (make_folder, "this is a folder"),
    "empty": (replace_by(b""), "the file is empty"),
    "a Git-LFS pointer": (replace_by(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "Git-LFS pointer"),
    "a web page": (replace_by(b"<!DOCTYPE html>\n<html><title>404</title></html>\n"), "web page"),
    "a table": (replace_by(b"start,end\n0,1\n" * 100), "not an HDF5 file"),
    "cut off within its signature": (lambda path: path.write_bytes(path.read_bytes()[:5]), "not an HDF5 file"),
    "cut off behind its signature": (cut_to(0.001), "truncated"),
    "cut off at 2 %": (cut_to(0.02), "truncated"),
    "cut off in the middle": (cut_to(0.5), "truncated"),
    "cut off at the end": (cut_to(0.999), "truncated"),
}


@pytest.mark.parametrize("which", ["acoustic", "labels"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(tmp_path, source, good_hash, capsys, which, damage):
    spoil, words = DAMAGES[damage]
    spoil(source[which])
    status = cli.main(arguments(source, tmp_path / "out"))
    check_refusal(status, *capsys.readouterr(), source[which], words)
    assert not (tmp_path / "out").exists()
    if source[which].is_dir():
        source[which].rmdir()
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


def wrong_width(folder):
    return {"acoustic": write_csd(folder / "43.csd", {"a": (noise(100, 43), times(100))}, None)}


def without_names(folder):
    return {"labels": write_csd(folder / "nameless.csd", {"a": label_table(LABELS["a"])}, None, "All Labels")}


def too_few_columns(folder):
    return {"labels": write_csd(folder / "nameless.csd", {"a": label_table(LABELS["a"])}, LABEL_NAMES[:3], "Labels")}


def out_of_range(folder):
    table = np.full((5, 7), 7, np.float32), times(5, rate=5)
    return {"labels": write_csd(folder / "loud.csd", {"a": table}, LABEL_NAMES, "All Labels")}


def of_another_corpus(folder):
    return {"labels": write_csd(folder / "other.csd", {"z": label_table(LABELS["a"])}, LABEL_NAMES, "All Labels")}


def without_rows(folder):
    return {"labels": write_csd(folder / "empty.csd", {}, LABEL_NAMES, "All Labels")}


def without_frames(folder):
    return {"acoustic": write_csd(folder / "empty.csd", {}, ("F0", "peakSlope"))}


def folds_from(text, name="other.json"):
    def write(folder):
        (folder / name).write_text(text)
        return {"folds": folder / name}

    return write


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        (wrong_width, "43.csd", "rows hold 43 values"),
        (without_frames, "empty.csd", "holds no frames"),
        (without_names, "nameless.csd", "--label-names"),
        (too_few_columns, "nameless.csd", "no column named anger, surprise, disgust, fear"),
        (out_of_range, "loud.csd", "5 of 5 rows hold intensities outside [0, 3]"),
        (of_another_corpus, "other.csd", "none of its videos (such as z)"),
        (without_rows, "empty.csd", "holds no labelled segment"),
        (folds_from('{"train": ["x", "y"], "test": ["a"]}'), "other.json", "2 of the 3 videos it names"),
        (folds_from('{"train": ["a"], "test": ["a"]}'), "other.json", "video a stands in both train and test"),
        (folds_from('{"train": ["a"'), "other.json", "no lists of video ids"),
        (folds_from(""), "other.json", "the file is empty"),
        (folds_from("import os; os._exit(7)\nx = 1\n", "other.py"), "other.py", "names no video"),
        (lambda folder: {"folds": folder / "absent.json"}, "absent.json", "no such file"),
    ],
)
def test_files_that_do_not_belong_here(tmp_path, source, good_hash, capsys, change, name, words):
    changed = source | change(tmp_path)
    status = cli.main(arguments(changed, tmp_path / "out"))
    check_refusal(status, *capsys.readouterr(), tmp_path / name, words)
    assert not (tmp_path / "out").exists()
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


def test_a_disagreement_met_on_the_way_is_one_sentence_too(tmp_path, source, good_hash, capsys):
    """The last of the videos has fewer intervals than frames, which shows only when it is read."""
    write_csd(
        source["acoustic"],
        {**{key: (noise(50), times(50)) for key in "ab"}, "c": (noise(50), times(49))},
        ("F0", "peakSlope"),
    )
    status = cli.main(arguments(source, tmp_path / "out"))
    check_refusal(status, *capsys.readouterr(), source["acoustic"], "`c` has 50 rows of features but intervals")
    assert not (tmp_path / "out").exists()
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


def test_nameless_labels_with_names_given(tmp_path, source, good_hash, capsys):
    source = write_corpus(tmp_path / "nameless", VIDEOS, LABELS, FOLDS, label_names=None)
    command = [*arguments(source, tmp_path / "out"), "--label-names", ", ".join(LABEL_NAMES)]
    assert cli.main(command) == 0
    assert good_hash in capsys.readouterr().out
    assert Corpus.open(tmp_path / "out").content_hash == good_hash


@pytest.mark.parametrize("option", ["--half", "--label-names"])
def test_an_output_folder_of_another_configuration(tmp_path, source, capsys, option):
    assert cli.main(arguments(source, tmp_path / "out")) == 0
    before = contents(tmp_path / "out")
    capsys.readouterr()
    given = [option] if option == "--half" else [option, ",".join(LABEL_NAMES)]
    status = cli.main([*arguments(source, tmp_path / "out"), *given])
    check_refusal(
        status, *capsys.readouterr(), tmp_path / "out", "of another configuration", option[2:].replace("-", "_")
    )
    assert contents(tmp_path / "out") == before


def test_an_output_that_is_a_file_or_somebody_elses(tmp_path, source, capsys):
    (tmp_path / "file").write_text("mine")
    check_refusal(
        cli.main(arguments(source, tmp_path / "file")), *capsys.readouterr(), tmp_path / "file", "not a folder"
    )
    below = tmp_path / "file" / "below"
    check_refusal(cli.main(arguments(source, below)), *capsys.readouterr(), below, "cannot write here")
    assert (tmp_path / "file").read_text() == "mine"
    folder = tmp_path / "source"
    before = contents(folder)
    check_refusal(cli.main(arguments(source, folder)), *capsys.readouterr(), folder, "emo-ssl did not make it")
    assert contents(folder) == before


def test_a_finished_corpus_is_shown_again_without_work(tmp_path, source, good_hash, capsys):
    assert cli.main(arguments(source, tmp_path / "out")) == 0
    first, _ = capsys.readouterr()
    before = contents(tmp_path / "out")
    assert cli.main(arguments(source, tmp_path / "out")) == 0
    again, said = capsys.readouterr()
    assert again == first and good_hash in again and said == ""
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("folder.json", 0),
        ("frames.bin", 0),
        ("index.npz", 0),
        ("report.json", 0),
        ("segments.json", 0),
        ("folder.json", 1),
    ],
)
def test_interrupted_at_any_file(tmp_path, source, good_hash, capsys, monkeypatch, name, which):
    """Ctrl-C at the moment when a file is about to be put in place; folder.json is, first and last."""
    real, met = os.replace, []

    def interrupted(temporary, target):
        met.append(Path(target).name)
        if met[-1] == name and met.count(name) == which + 1:
            raise KeyboardInterrupt
        return real(temporary, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert cli.main(arguments(source, tmp_path / "out")) == 130
    monkeypatch.undo()
    assert sentences(capsys.readouterr().err) == ["emo-ssl: interrupted; run the same command again to continue"]
    left = contents(tmp_path / "out").keys() if (tmp_path / "out").exists() else set()
    assert not [file for file in left if file.endswith(".partial")]
    if which:  # all of it was there, only not declared finished
        assert len(left) == 5
    else:
        assert not (tmp_path / "out").exists()
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


# --- in a process of its own


def test_a_refusal_in_a_process_of_its_own(tmp_path, source):
    source["acoustic"].write_bytes(source["acoustic"].read_bytes()[:-1])
    command = [sys.executable, "-m", "emo_ssl", *arguments(source, tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    check_refusal(run.returncode, run.stdout, run.stderr, source["acoustic"], "truncated")
    assert not (tmp_path / "out").exists()


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
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


HOLD_IN_THE_MIDDLE = """
import sys
from emo_ssl import cli
from emo_ssl.core.corpus import CorpusWriter

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


def stop_in_the_middle(command, number):
    """Run until the second of three videos is on its way to the disk, then send the signal."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD_IN_THE_MIDDLE, *command], text=True, **pipes) as run:
        assert run.stdout.readline() == "in the middle\n"
        run.send_signal(number)
        stdout, stderr = run.communicate(timeout=60)
    assert stdout == ""
    return run.returncode, stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("name", "status", "words"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "stopped")])
def test_stopped_in_the_middle(tmp_path, source, good_hash, name, status, words):
    returncode, stderr = stop_in_the_middle(arguments(source, tmp_path / "out"), getattr(signal, name))
    assert returncode == status and "Traceback" not in stderr
    (sentence,) = sentences(stderr)
    assert words in sentence and "run the same command again" in sentence
    assert not (tmp_path / "out").exists()
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_killed_in_the_middle(tmp_path, source, good_hash, capsys):
    command = arguments(source, tmp_path / "out")
    returncode, _ = stop_in_the_middle(command, signal.SIGKILL)
    assert returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "frames.bin.partial").exists()
    assert cli.main(["corpus", "show", str(tmp_path / "out")]) == 2
    assert "an unfinished corpus" in capsys.readouterr().err
    check_rerun(tmp_path / "out", tmp_path / "source", good_hash)
