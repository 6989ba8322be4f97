"""What the fuzzer found, each by itself."""

import gzip
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from builders import NOTHING_MET
from sounds import RATE, hum, stub, write

from emo_ssl.core.corpus import REPORT, Corpus
from emo_ssl.core.writer import checked
from emo_ssl.corpora import encoders
from emo_ssl.corpora.audio import BadRecording, voiced_part
from emo_ssl.corpora.recipes import folder
from emo_ssl.corpora.recordings import frames_or_reason
from emo_ssl.corpora.report import describe
from emo_ssl.evidence.record import evidence_of, results
from emo_ssl.evidence.report import EVIDENCE, evaluate
from emo_ssl.utils.values import ECHO, UserError


def test_a_report_whose_list_lacks_a_reason(made, tmp_path):
    shutil.copytree(made / "corpus", tmp_path, dirs_exist_ok=True)
    (tmp_path / REPORT).write_text(json.dumps({**NOTHING_MET, "skipped": [{"path": "a.wav"}]}))
    with pytest.raises(UserError, match="reason is missing"):
        describe(Corpus.open(tmp_path))


def test_samples_whose_squares_are_no_numbers(tmp_path):
    with pytest.raises(BadRecording, match="samples far beyond full scale"):
        voiced_part(np.array([0.0, 1e30, -1e30] * 4000, np.float32), RATE)
    path = write(tmp_path / "a.wav", 1e30 * hum(0.5), subtype="FLOAT")
    assert str(frames_or_reason(stub(), tmp_path, path.name, False)) == "samples far beyond full scale"


def wordy(signal, rate):
    raise ValueError("x\n" * 10_000)


def test_reasons_are_short(tmp_path):
    reason = frames_or_reason(stub(wordy), tmp_path, write(tmp_path / "a.wav", hum(0.5)).name, False)
    assert len(reason.detail) == 2 * ECHO and "\n" not in str(reason)


@pytest.mark.parametrize(
    "path",
    [
        *("../a.wav", "s/../../a.wav", "/etc/a.wav", "C:\\a.wav", "..\\a.wav", "a\x1b.wav", "\\\\host\\a.wav", ""),
        *("ä" * 128, "a/" * 501),  # longer than a file can be called
    ],
)
def test_a_table_names_files_inside_its_folder(tmp_path, path):
    (tmp_path / "a.csv").write_text(f"path,speaker,happy\nb.wav,s0,1\n{path},s1,1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 3: path is '.*', expected the name of a file inside the folder; mend"):
        folder.read(tmp_path, tmp_path / "a.csv")
    assert folder.is_inside("a b/ü..wav") and folder.is_inside("ä" * 127 + "/" + "a/" * 372)


def test_a_fold_of_more_than_64_bits(tmp_path):
    rows = "".join(f"{name}.wav,{fold},1\n" for name, fold in zip("abcd", (0, 1, 2, "9" * 30), strict=True))
    (tmp_path / "a.csv").write_text(f"path,speaker,fold,happy\n{rows.replace('wav,', 'wav,s,')}", encoding="utf-8")
    with pytest.raises(UserError, match=r"line 5: fold is .9+., expected a whole number from 0 on"):
        folder.read(tmp_path, tmp_path / "a.csv")


def test_times_that_are_text_in_a_column_with_gaps():
    table = pd.DataFrame({"recording": ["a", "a"], "start": ["x", None], "happy": [1, 2]})
    with pytest.raises(UserError, match="labels, row 0: start is x, expected seconds"):
        checked(table, {"a": 1.0})
    table["start"] = ["0.5", None]
    assert checked(table, {"a": 1.0})["start"].tolist() == [0.5, 0.0]


def test_a_table_of_results_that_is_packed_and_damaged(made, tmp_path):
    packed = bytearray(gzip.compress((made / "study" / "results.csv").read_bytes()))
    packed[40:60] = bytes(20)
    (tmp_path / "results.csv.gz").write_bytes(packed)
    with pytest.raises(UserError, match=r"results\.csv\.gz: not readable as a CSV table"):
        results(tmp_path)


def test_evidence_that_lacks_what_pages_show(made, tmp_path):
    evidence = evaluate(made / "study")
    level = evidence["levels"][0]
    nameless = {name: value for name, value in level.items() if name != "budget"}
    changes = [{"gains": [{}]}, {"levels": {}}, {"main": {}}, {"budgets": ["x"]}, {"floors": {"happy": 1}}]
    ragged = evidence["confusion"][0] | {"four_classes": [[[1, 2], [3]]]}
    changes += [{"confusion": [ragged]}, {"confusion": [ragged | {"four_classes": [[[1]]]}]}]
    changes += [{"levels": [level | {"budget": "x"}]}, {"levels": [nameless]}, {"controls": [nameless]}]
    for change in changes:
        (tmp_path / EVIDENCE).write_text(json.dumps(evidence | change))
        with pytest.raises(UserError, match=f"{EVIDENCE}: .*; restore it, or evaluate the study again"):
            evidence_of(tmp_path)
    (tmp_path / EVIDENCE).write_text(json.dumps(evidence))
    assert evidence_of(tmp_path) == evidence


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"num_hidden_layers": 2**40}, "num_hidden_layers is 1099511627776, expected int from 0 to 200"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000, expected int from 0 to 100000"),
        ({"conv_dim": [8, "x" * 50_000]}, "cannot be loaded as wav2vec2"),
    ],
)
def test_a_configuration_of_an_encoder_that_cannot_be(tmp_path, config, words):
    pytest.importorskip("transformers")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "wav2vec2", **config}))
    torch.save({}, tmp_path / "model.bin")
    (tmp_path / encoders.WEIGHTS).write_bytes(b"")
    with pytest.raises(UserError, match=words) as caught:
        encoders.encoder_front_end(str(tmp_path), "all")
    assert len(str(caught.value)) <= 400


@pytest.mark.parametrize("part", ["../secret.safetensors", "/etc/passwd", "", "..", "a/b"])
def test_weights_lie_beside_their_index(tmp_path, part):
    (tmp_path / encoders.WEIGHTS_INDEX).write_text(json.dumps({"weight_map": {"a": part}}))
    with pytest.raises(UserError, match="which is no file beside it"):
        encoders.weights_of(tmp_path)
