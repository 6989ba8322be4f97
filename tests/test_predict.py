"""Recordings that nobody labelled: windows, wholes, pieces of long files, refusals, and what is written."""

import json
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from builders import contents, run_python
from sounds import RATE, hum, level_and_crossings, stub, write
from training import FINETUNE, PRETRAIN

from emo_ssl import predict
from emo_ssl.cli import main
from emo_ssl.core.finetune import finetune
from emo_ssl.core.predictor import DESCRIPTION, load_model
from emo_ssl.core.pretrain import pretrain
from emo_ssl.corpora import encoders, front_ends
from emo_ssl.corpora.acoustics import frames as acoustics
from emo_ssl.corpora.audio import BadRecording, read, voiced_part
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.front_ends import stretches
from emo_ssl.corpora.recordings import record
from emo_ssl.utils.io import UserError

matplotlib.use("Agg")

pytest.importorskip("soundfile")
PRESENCES = [e + "_presence" for e in EMOTIONS]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Trained on hums of three speakers, two categories."""
    folder = tmp_path_factory.mktemp("predict")
    lines = ["path,speaker,happy,sad,category"]
    for speaker in range(3):
        for clip in range(4):
            name = f"{speaker}-{clip}.wav"
            write(folder / "in" / name, hum(1.2, pitch=110 + 7 * (4 * speaker + clip) + 150 * (clip % 2)))
            lines.append(f"{name},s{speaker}," + ("3,0,up" if clip % 2 else "0,2,down"))
    (folder / "table.csv").write_text("\n".join(lines))
    corpus = record(folder / "in", folder / "corpus", "folder", folder / "table.csv", jobs=1)
    pretrain([corpus], folder / "run", PRETRAIN, device="cpu")
    finetune(corpus, folder / "run", folder / "model", config=FINETUNE, device="cpu")
    return folder / "model"


def changed(model: Path, folder: Path, **values: object) -> Path:
    """The model with another description."""
    shutil.copytree(model, folder)
    description = json.loads((folder / DESCRIPTION).read_text()) | values
    (folder / DESCRIPTION).write_text(json.dumps(description))
    return folder


@pytest.mark.parametrize(
    ("frames", "expected"), [(1, [0]), (30, [0]), (31, [0, 1]), (40, [0, 10]), (49, [0, 10, 19]), (50, [0, 10, 20])]
)
def test_windows_of_30_frames_begin_every_10_and_one_ends_with_the_last(frames, expected):
    assert predict.window_starts(frames, 30, 10).tolist() == expected


# --- one recording


def test_a_recording_in_windows_and_as_a_whole(model, tmp_path):
    """Against frames and windows cut here."""
    path = write(tmp_path / "clip.wav", hum(5.5), subtype="FLOAT")
    found = predict.predict(model, [path])
    rows = found.table
    assert found.emotions == list(EMOTIONS) and not found.left_out
    assert rows["part"].tolist() == ["overall", *["window"] * 4]
    frames = acoustics(np.float32(hum(5.5)), RATE)  # nothing is silent, so nothing is trimmed
    assert len(frames) == 1 + (88_000 - 768) // 160
    starts = [0, 100, 200, len(frames) - 300]
    assert rows["start"].tolist() == pytest.approx([0, 0, 1, 2, starts[-1] / 100])
    assert rows["end"].tolist() == pytest.approx([5.5, 3, 4, 5, 5.5])
    expected = load_model(model).predict([frames, *[frames[first : first + 300] for first in starts]])
    assert np.allclose(rows[PRESENCES], expected.presence[0], atol=1e-5)
    assert np.allclose(rows[[e + "_intensity" for e in EMOTIONS]], expected.intensity[0], atol=1e-5)
    assert rows["category"].tolist() == [("down", "up")[c] for c in expected.category[0].argmax(-1)]


def test_times_are_those_of_the_file_where_silence_is_left_out(model, tmp_path):
    quiet = np.zeros(2 * RATE)
    path = write(tmp_path / "a.wav", np.concatenate([quiet, hum(4), quiet]), subtype="FLOAT")
    part = voiced_part(*read(path))
    rows = predict.predict(model, [path]).table
    assert rows["start"].min() == part.start / RATE and 1.8 < rows["start"].min() <= 2
    assert rows["end"].max() == part.stop / RATE and 6 <= rows["end"].max() < 6.2
    rows = predict.predict(changed(model, tmp_path / "all", keep_silence=True), [path]).table
    assert (rows["start"].min(), rows["end"].max()) == (0, 8)


# --- long recordings


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_long_recordings_give_what_they_would_give_in_one_piece(model, tmp_path, monkeypatch, rate):
    path = write(tmp_path / "a.wav", hum(9.3, rate), rate, subtype="FLOAT")
    at_once = list(stretches(path, front_ends.front_end("acoustics"), keep_silence=True))
    expected = predict.predict(model, [path]).table
    monkeypatch.setattr(front_ends, "STRETCH", 3)
    found = list(stretches(path, front_ends.front_end("acoustics")))
    assert len(at_once) == 1 and [round(end, 3) for _, _, end in found] == [2, 5, 8, 9.3]
    assert [start for _, start, _ in found] == [0, 2, 5, 8]
    together = np.concatenate([frames for frames, _, _ in found])
    np.testing.assert_allclose(together, at_once[0][0], atol=2e-2, equal_nan=True)
    again = predict.predict(model, [path]).table
    assert again["part"].tolist() == expected["part"].tolist()
    assert np.allclose(again[PRESENCES][1:], expected[PRESENCES][1:], atol=1e-3)
    assert np.allclose(again[["start", "end"]], expected[["start", "end"]])


def test_the_whole_of_a_long_recording_is_the_mean_of_equal_parts(model, tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", hum(5), subtype="FLOAT")
    monkeypatch.setattr(predict, "LONGEST", 2.0)
    monkeypatch.setattr(predict, "TOGETHER", 2)
    frames = acoustics(np.float32(hum(5)), RATE)
    assert len(frames) == 496  # at most 200 in a part
    parts = load_model(model).predict([frames[:166], frames[166:331], frames[331:496]]).presence[0]
    expected = (166 * parts[0] + 165 * parts[1] + 165 * parts[2]) / 496
    row = predict.predict(model, [path]).table.iloc[0]
    assert row[PRESENCES].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_memory_does_not_grow_with_the_recording(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", hum(30))
    monkeypatch.setattr(front_ends, "STRETCH", 3)
    sizes = []
    noting = stub(lambda signal, rate: sizes.append(len(signal)) or level_and_crossings(signal, rate))
    assert sum(len(frames) for frames, _, _ in stretches(path, noting)) == 3000
    assert max(sizes) <= (3 + 2) * RATE


@pytest.mark.parametrize(
    ("sound", "maker", "share", "reason"),
    [
        (np.zeros(10 * RATE), stub(), 1, "silent"),
        (hum(20), stub(), 0.4, "cut off before its end"),
        (hum(3), stub(lambda signal, rate: 1 / 0), 1, r"the front end stub failed \(ZeroDivisionError"),
    ],
)
def test_long_recordings_that_cannot_be_used(tmp_path, monkeypatch, sound, maker, share, reason):
    monkeypatch.setattr(front_ends, "STRETCH", 1)
    path = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    path.write_bytes(path.read_bytes()[: round(share * path.stat().st_size)])
    with pytest.raises(BadRecording, match=reason):
        list(stretches(path, maker))


# --- refusals


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"front_end": "compass"}, "not made from sound by a known front end"),
        ({"front_end_version": "0"}, r"acoustics version 0, and here is version \d"),
        ({"feature_names": ["F0"] * 43}, "record the corpus with `emo-ssl corpus record` and fine-tune again"),
    ],
)
def test_models_without_a_front_end_here(model, tmp_path, values, sentence):
    folder = changed(model, tmp_path / "model", **values)
    with pytest.raises(UserError, match=sentence) as caught:
        predict.predict(folder, [write(tmp_path / "a.wav", hum(1))])
    assert str(folder) in str(caught.value)


def test_a_model_of_encoder_frames(tmp_path, monkeypatch):
    """It finds its weights where they were, or below the folder where it is called; others are refused."""
    transformers = pytest.importorskip("transformers", reason="needs transformers, of the extra encoders")
    sizes = {"num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    sizes |= {"conv_dim": [8] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    weights = tmp_path / "models" / "tiny"
    transformers.HubertModel(transformers.HubertConfig(**sizes)).save_pretrained(weights)
    lines = [f"{n}.wav,s{n % 3},{n % 4}" for n in range(9)]
    for n in range(9):
        write(tmp_path / "in" / f"{n}.wav", hum(1.2, pitch=110 + 9 * n))
    (tmp_path / "table.csv").write_text("\n".join(["path,speaker,happy", *lines]))
    corpus = record(tmp_path / "in", tmp_path / "corpus", "folder", tmp_path / "table.csv", f"{weights}:1,2", jobs=1)
    pretrain([corpus.layer(2)], tmp_path / "run", PRETRAIN, device="cpu")
    finetune(corpus.layer(2), tmp_path / "run", tmp_path / "model", config=FINETUNE, device="cpu")
    description = json.loads((tmp_path / "model" / DESCRIPTION).read_text())
    assert description["front_end"] == "tiny:2" and description["speech_encoder"]["family"] == "hubert"
    clip = write(tmp_path / "a.wav", hum(4))
    found = predict.predict(tmp_path / "model", [clip])
    assert found.emotions == list(EMOTIONS) and len(found.table) == 3  # the whole and two windows
    weights.rename(tmp_path / "tiny")
    with pytest.raises(UserError, match=r"speech encoder tiny, which is no longer in .*models.tiny; put it back there"):
        predict.predict(tmp_path / "model", [clip])
    monkeypatch.chdir(tmp_path)
    pd.testing.assert_frame_equal(predict.predict(tmp_path / "model", [clip]).table, found.table)
    encoders.loaded.cache_clear()
    transformers.HubertModel(transformers.HubertConfig(**sizes)).save_pretrained("tiny")
    with pytest.raises(UserError, match=r"front end tiny:2 version 1, weights \w+, and here is version 1, weights"):
        predict.predict(tmp_path / "model", [clip])


# --- the command


def test_the_command_writes_a_table_and_a_figure_for_each_recording(model, tmp_path, capsys):
    good = [write(tmp_path / f"{n}" / "clip.wav", hum(4 + n)) for n in (0, 1)]
    (tmp_path / "empty.wav").touch()
    files = [str(good[0]), str(tmp_path / "empty.wav"), str(good[1]), str(tmp_path / "absent.wav"), str(good[0])]
    words = ["predict", str(model), *files, "-o", str(tmp_path / "out")]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert f"{files[1]}: left out: an empty file" in err
    assert f"{files[3]}: left out: the file cannot be read (No such file" in err
    assert " ".join(out.split()).count("cannot know what a person feels") == 1
    assert set(contents(tmp_path / "out")) == {
        *("predictions.csv", "predictions.txt", "0-clip.png", "1-clip.png", "folder.json")
    }
    assert (tmp_path / "out" / "predictions.txt").read_text() == out
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["file"].unique().tolist() == [files[0], files[2]]
    expected = predict.predict(model, good).table
    pd.testing.assert_frame_equal(table, expected, check_exact=False, atol=1e-5, rtol=0)
    before = contents(tmp_path / "out")
    assert main(words) == 0 and contents(tmp_path / "out") == before
    assert main(["predict", str(model), files[0], "-o", str(tmp_path / "out")]) == 2
    assert "of another configuration" in capsys.readouterr().err


def test_nothing_usable_ends_with_2_and_writes_nothing(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.wav").write_text("<html>not found</html>")
    assert main(["predict", str(model), "a.wav", ".", "-o", "out"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "a web page saved under the name" in err and "none of the recordings could be used" in err
    assert not Path("out").exists()


def test_json(model, tmp_path, capsys):
    path = write(tmp_path / "a.wav", hum(4))
    telephone = write(tmp_path / "telephone.wav", hum(1, 8_000), 8_000)
    words = ["predict", str(model), str(path), str(tmp_path / "b.wav"), str(telephone)]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    parts = [row["part"] for row in found["rows"] if row["file"] == str(path)]
    assert parts == ["overall", "window", "window"]  # 396 frames: 0 to 3, 0.96 to 4
    assert [note["file"] for note in found["notes"]] == [str(telephone)]
    assert main(words) == 0
    assert "so nothing above 4 kHz" in " ".join(capsys.readouterr().out.split())
    assert found["left_out"][0]["file"] == str(tmp_path / "b.wav") and "Do not use them" in found["warning"]


def test_one_wav_needs_few_modules(model, tmp_path):
    program = (
        "import sys; from emo_ssl.predict import predict; predict(*sys.argv[1:2], sys.argv[2:]);"
        "print(*(n for n, m in sys.modules.items() if n.startswith('emo_ssl') and not hasattr(m, '__path__')))"
    )
    done = run_python(program, model, write(tmp_path / "a.wav", hum(1)))
    found = done.stdout.split()
    assert "emo_ssl.corpora.acoustics" in found, done.stderr
    assert len(found) <= 16, found
