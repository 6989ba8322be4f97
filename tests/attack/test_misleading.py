"""Ordinary mistakes: the sentence names the mistake, not a consequence of it."""

import importlib.util
import shutil
import sys

import numpy as np
import pytest
from builders import noise, run_python, times, write_corpus, write_csd
from sounds import hum, write
from training import write_acted_and_runs

from emo_ssl import __main__ as program
from emo_ssl import cli
from emo_ssl.corpora.audio import narrower
from emo_ssl.corpora.csd import LABEL_NAMES, Csd
from emo_ssl.corpora.mosei import read_tables, refuse_swapped
from emo_ssl.study.run import run_study
from emo_ssl.utils.io import UserError


def sentence(words, capsys):
    assert cli.main(list(map(str, words))) == 2
    found = capsys.readouterr().err
    assert found.startswith("emo-ssl: ") and found.count("\n") == 1
    return found


@pytest.mark.parametrize("named", [True, False])
def test_swapped_acoustic_and_label_files(tmp_path, named):
    """Told by the names of the columns, and in old files, which have none, by how many there are."""
    sound = write_csd(tmp_path / "a.csd", {"v": (noise(9, 74), times(9))}, None)
    labels = write_csd(tmp_path / "b.csd", {"v": (noise(2, 7), times(2))}, LABEL_NAMES if named else None)
    with Csd(sound) as a, Csd(labels) as b:
        assert refuse_swapped(a, b) is None
        with pytest.raises(UserError, match=r"b\.csd: holds labels, and .*a\.csd the features; give the first as --la"):
            read_tables(b, a, None, None, None)


def test_a_study_with_runs_for_some_folds_says_which(tmp_path):
    corpus, runs = write_acted_and_runs(tmp_path)
    with pytest.raises(UserError, match=r"for fold 1 was given \(but for fold 0, 2\); make one for each with"):
        run_study(corpus, [runs[0], runs[2]], tmp_path / "study", device="cpu")


def test_a_folder_of_something_else_says_what_it_is(made, tmp_path, capsys):
    raw = write_corpus(tmp_path / "raw", {"a": 9}, {"a": [(0, 1)]})["acoustic"]
    write(tmp_path / "sounds" / "voice" / "a.wav", hum(0.5))
    (tmp_path / "arrays").mkdir()
    np.save(tmp_path / "arrays" / "a.npy", noise(3))
    (tmp_path / "note.txt").write_text("")
    shutil.copytree(made / "corpus", tmp_path / "half")
    shutil.copy(made / "study" / "folder.json", tmp_path / "half")
    for words, expected in (
        (["corpus", "show", raw.parent], "only .csd data; `emo-ssl corpus prepare` makes a corpus of it"),
        (["corpus", "show", tmp_path / "sounds"], "only .wav data; `emo-ssl corpus record` makes a corpus of it"),
        (["corpus", "show", tmp_path / "arrays"], "only .npy data; `emo-ssl corpus arrays` makes a corpus of it"),
        (["pretrain", raw, "-o", "r"], "no finished corpus: only .csd data; `emo-ssl corpus prepare`"),
        (["pretrain", tmp_path / "note.txt", "-o", "r"], "no finished corpus: this is a file"),
        (["pretrain", tmp_path / "none", "-o", "r"], "no finished corpus: there is no such file or folder"),
        (["pretrain", made / "run0", "-o", "r"], "no finished corpus: this is a pretraining run; `emo-ssl corpus …`"),
        (["predict", made / "run0", "a.wav"], "no finished fine-tuned model: this is a pretraining run; `emo-ssl fine"),
        (["finetune", made / "corpus", "--pretrained", made / "model", "-o", "m"], "this is a fine-tuned model"),
        (["evidence", tmp_path / "half"], "no finished study: an unfinished study; `emo-ssl study …` makes one"),
    ):
        assert expected in sentence(words, capsys)


def test_without_torch_a_command_says_so():
    code = """
import sys
sys.modules["torch"] = None
from emo_ssl.cli import main
raise SystemExit(main(["pretrain", "corpus", "-o", "out"]))
"""
    done = run_python(code)
    assert done.returncode == 2 and done.stderr.startswith("emo-ssl: torch is missing or damaged (")
    assert done.stderr.count("\n") == 1


def test_an_old_python_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 18))
    spec = importlib.util.spec_from_file_location("__main__", program.__file__)
    with pytest.raises(SystemExit) as ended:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "emo-ssl: this is Python 3.8, and 3.11 or newer is needed; take another.\n"


def test_half_of_the_band_is_missing(tmp_path):
    telephone = np.stack([hum(1, 8_000)] * 2, 1)
    note = narrower(write(tmp_path / "telephone.wav", telephone, 8_000))
    assert note.startswith("has 8,000 samples a second, so nothing above 4 kHz, where features look up to 8 kHz")
    assert narrower(write(tmp_path / "usual.wav", hum(1, 16_000))) == ""
    assert narrower(tmp_path / "none.wav") == ""
