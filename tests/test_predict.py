"""Recordings that nobody labelled: windows, wholes, pieces of long files, refusals, and what is written."""

import json
import shutil
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from builders import contents
from sounds import RATE, hum, level_and_crossings, stub, write
from training import FINETUNE, PRETRAIN, write_mosei_like

from emo_ssl.cli import main
from emo_ssl.core.predictor import DESCRIPTION, finetune_one, load_model
from emo_ssl.core.pretrain import pretrain
from emo_ssl.corpora import front_ends, stretches
from emo_ssl.corpora.acoustics import frames as acoustics
from emo_ssl.corpora.audio import BadRecording, read, voiced_part
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recordings import record
from emo_ssl.utils.io import UserError

matplotlib.use("Agg")

from emo_ssl import predict
from emo_ssl.figures import prediction as heard

soundfile = pytest.importorskip("soundfile")
pytestmark = pytest.mark.usefixtures("one_thread")


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
    finetune_one(corpus, folder / "run", folder / "model", config=FINETUNE, device="cpu")
    return folder / "model"


def changed(model: Path, folder: Path, **values: object) -> Path:
    """The model with another description; None takes a line out."""
    shutil.copytree(model, folder)
    description = json.loads((folder / DESCRIPTION).read_text()) | values
    (folder / DESCRIPTION).write_text(json.dumps({k: v for k, v in description.items() if v != "gone"}))
    return folder


def framed(hum_of: float) -> np.ndarray:
    return acoustics(np.float32(hum(hum_of)), RATE)


# --- windows


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (0, []),
        (1, [(0, 1)]),
        (29, [(0, 29)]),
        (30, [(0, 30)]),
        (31, [(0, 30), (1, 31)]),
        (40, [(0, 30), (10, 40)]),
        (49, [(0, 30), (10, 40), (19, 49)]),
        (50, [(0, 30), (10, 40), (20, 50)]),
    ],
)
@pytest.mark.parametrize("stretch", [1, 7, 10, 30, 33, 1000])
def test_windows_of_three_steps_in_stretches_of_any_length(frames, expected, stretch):
    every = np.arange(frames, dtype=float)[:, None]
    found = predict.windows((every[i : i + stretch] for i in range(0, frames, stretch)), 30, 10)
    flat = [window for ready in found for window in ready]
    assert [(first, first + len(run)) for first, run in flat] == expected
    assert all((run == every[first : first + len(run)]).all() for first, run in flat)


# --- one recording


def test_a_recording_in_windows_and_as_a_whole(model, tmp_path):
    """Against frames and windows cut here."""
    path = write(tmp_path / "clip.wav", hum(5.5), subtype="FLOAT")
    found = predict.predict(model, [path])
    rows = found.table
    assert found.emotions == list(EMOTIONS) and not found.left_out
    assert rows["part"].tolist() == ["overall", *["window"] * 4]
    frames = framed(5.5)  # 547 of them: nothing is silent, so nothing is trimmed
    assert len(frames) == 1 + (88_000 - 768) // 160
    starts = [0, 100, 200, len(frames) - 300]
    assert rows["start"].tolist() == pytest.approx([0, 0, 1, 2, starts[-1] / 100])
    assert rows["end"].tolist() == pytest.approx([5.5, 3, 4, 5, 5.5])
    said = load_model(model).predict([frames, *[frames[first : first + 300] for first in starts]])
    assert np.allclose(rows[[e + "_presence" for e in EMOTIONS]], said.presence[0], atol=1e-5)
    assert np.allclose(rows[[e + "_intensity" for e in EMOTIONS]], said.intensity[0], atol=1e-5)
    assert rows["category"].tolist() == [("down", "up")[c] for c in said.category[0].argmax(-1)]


def test_a_recording_shorter_than_a_window_has_one(model, tmp_path):
    rows = predict.predict(model, [write(tmp_path / "a.wav", hum(0.5))]).table
    assert rows["part"].tolist() == ["overall", "window"]
    assert rows[["start", "end"]].to_numpy().tolist() == [[0, 0.5]] * 2
    assert rows.iloc[0, 4:].tolist() == rows.iloc[1, 4:].tolist()


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
def test_long_recordings_say_what_they_would_say_in_one_piece(model, tmp_path, monkeypatch, rate):
    path = write(tmp_path / "a.wav", hum(9.3, rate), rate, subtype="FLOAT")
    at_once = list(stretches.stretches(path, front_ends.front_end("acoustics"), keep_silence=True))
    expected = predict.predict(model, [path]).table
    monkeypatch.setattr(stretches, "STRETCH", 3)
    found = list(stretches.stretches(path, front_ends.front_end("acoustics")))
    assert len(at_once) == 1 and [round(end, 3) for _, _, end in found] == [2, 5, 8, 9.3]
    assert [start for _, start, _ in found] == [0, 2, 5, 8]
    together = np.concatenate([frames for frames, _, _ in found])
    np.testing.assert_allclose(together, at_once[0][0], atol=2e-2, equal_nan=True)
    again = predict.predict(model, [path]).table
    assert again["part"].tolist() == expected["part"].tolist()
    columns = [name for name in expected if name.endswith("presence")]
    assert np.allclose(again[columns][1:], expected[columns][1:], atol=1e-3)
    assert np.allclose(again[["start", "end"]], expected[["start", "end"]])


def test_the_whole_of_a_long_recording_is_the_mean_of_equal_parts(model, tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", hum(5), subtype="FLOAT")
    monkeypatch.setattr(predict, "LONGEST", 2.0)
    frames = framed(5)
    parts = [frames[:166], frames[166:331], frames[331:496]]  # 496 frames, at most 200 in a part
    assert len(frames) == 496
    said = load_model(model).predict(parts).presence[0]
    expected = (166 * said[0] + 165 * said[1] + 165 * said[2]) / 496
    row = predict.predict(model, [path]).table.iloc[0]
    assert [row[e + "_presence"] for e in EMOTIONS] == pytest.approx(expected.tolist(), abs=1e-5)


def test_memory_does_not_grow_with_the_recording(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", hum(30))
    monkeypatch.setattr(stretches, "STRETCH", 3)
    sizes = []
    noting = stub(lambda signal, rate: sizes.append(len(signal)) or level_and_crossings(signal, rate))
    assert sum(len(frames) for frames, _, _ in stretches.stretches(path, noting)) == 3000
    assert max(sizes) <= (3 + 2) * RATE


def crumbled(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: 44 + 6 * RATE])  # of 20 s: 3 s are left
    return path


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (np.zeros(10 * RATE), "silent"),
        (np.full(10 * RATE, np.nan), "not finite"),
        (np.full(10 * RATE, 1e6), "not a sequence of numbers"),
    ],
)
def test_long_recordings_that_cannot_be_used(tmp_path, monkeypatch, sound, reason):
    monkeypatch.setattr(stretches, "STRETCH", 2)
    path = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    with pytest.raises(BadRecording, match=reason):
        list(stretches.stretches(path, front_ends.front_end("acoustics")))


def test_long_recordings_that_end_early_or_cost_the_front_end_its_life(tmp_path, monkeypatch):
    monkeypatch.setattr(stretches, "STRETCH", 1)

    def fails(signal, rate):
        raise ZeroDivisionError("by nothing")

    with pytest.raises(BadRecording, match="cut off before its end"):
        list(stretches.stretches(crumbled(write(tmp_path / "a.wav", hum(20))), stub()))
    with pytest.raises(BadRecording, match=r"the front end stub failed \(ZeroDivisionError: by nothing\)"):
        list(stretches.stretches(write(tmp_path / "b.wav", hum(3)), stub(fails)))
    with pytest.raises(BadRecording, match="outside 4 kHz"):
        list(stretches.stretches(write(tmp_path / "c.wav", hum(3, 2000), 2000), stub()))


# --- refusals


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"front_end_version": None, "front_end": "as in the corpus"}, "was not made from recordings"),
        ({"front_end_version": "gone"}, "made by an earlier emo-ssl"),
        ({"front_end": "compass"}, "its front end compass is unknown"),
        ({"front_end_version": "0"}, r"acoustics version 0, and here is version \d"),
        ({"feature_names": ["F0"] * 43}, "record the corpus and fine-tune again"),
    ],
)
def test_models_that_cannot_listen(model, tmp_path, values, said, capsys):
    folder = changed(model, tmp_path / "model", **values)
    path = write(tmp_path / "a.wav", hum(1))
    with pytest.raises(UserError, match=said):
        predict.predict(folder, [path])
    assert main(["predict", str(folder), str(path), "-o", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.count("emo-ssl: ") == 1 and str(folder) in err and not (tmp_path / "out").exists()


def test_a_front_end_that_is_not_installed(model, tmp_path, monkeypatch):
    def missing(name):
        raise UserError("no")

    monkeypatch.setattr(front_ends, "front_end", missing)
    folder = changed(model, tmp_path / "model", front_end="egemaps")
    with pytest.raises(UserError, match=r"front end egemaps, which is not installed; its licence forbids commercial"):
        predict.predict(folder, [])


def test_a_corpus_without_recordings_has_no_front_end(tmp_path):
    corpus = write_mosei_like(tmp_path / "corpus")
    pretrain([corpus], tmp_path / "run", PRETRAIN, device="cpu")
    finetune_one(corpus, tmp_path / "run", tmp_path / "model", config=FINETUNE, device="cpu")
    with pytest.raises(UserError, match="was not made from recordings"):
        predict.predict(tmp_path / "model", [tmp_path / "a.wav"])


def test_what_a_saved_model_knows_of_its_frames(model):
    description = load_model(model).description
    version = front_ends.front_end("acoustics").version
    assert (description["front_end"], description["front_end_version"], description["keep_silence"]) == (
        "acoustics",
        version,
        False,
    )


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
    assert (
        "overall" in out and "2.0 – 5.0" in out and " ".join(out.split()).count("cannot know what a person feels") == 1
    )
    assert set(contents(tmp_path / "out")) == {
        *("predictions.csv", "clip.png", "clip.md", "clip-2.png", "clip-2.md", "folder.json")
    }
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["file"].unique().tolist() == [files[0], files[2]]
    assert (table["part"] == "overall").sum() == 2
    expected = predict.predict(model, good).table
    pd.testing.assert_frame_equal(table, expected, check_exact=False, atol=1e-5, rtol=0)
    said = (tmp_path / "out" / "clip.md").read_text()
    warning = predict.warning(load_model(model).description)
    assert warning in said and "(clip.png)" in said and said.count("\n| ") == 1 + len(EMOTIONS)
    before = contents(tmp_path / "out")
    assert main(words) == 0 and contents(tmp_path / "out") == before
    assert main(["predict", str(model), files[0], "-o", str(tmp_path / "out")]) == 2
    assert "of another configuration" in capsys.readouterr().err


def test_nothing_usable_ends_with_2_and_writes_nothing(model, tmp_path, capsys):
    (tmp_path / "a.wav").write_text("<html>not found</html>")
    for more in ([], ["-o", str(tmp_path / "out")], ["--json"]):
        assert main(["predict", str(model), str(tmp_path / "a.wav"), str(tmp_path), *more]) == 2
        out, err = capsys.readouterr()
        assert out == "" and "a web page saved under the name" in err and "none of the recordings could be used" in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_json(model, tmp_path, capsys):
    path = write(tmp_path / "a.wav", hum(4))
    assert main(["predict", str(model), str(path), str(tmp_path / "b.wav"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["part"] for row in said["rows"]] == ["overall", "window", "window"]  # 396 frames: 0 to 3, 0.96 to 4
    assert said["left_out"][0]["file"] == str(tmp_path / "b.wav") and "Do not use them" in said["warning"]


def test_the_warning_gives_the_numbers_of_the_test(model):
    description = load_model(model).description
    test = description["test"]
    said = predict.warning(description)
    assert f"a UAR of {test['uar']:.2f} (guessing: 0.50)" in said and f"{test['mae']:.2f}" in said
    assert f"from {description['labels']} labelled segments" in said and description["corpus"]["source"] in said
    without = {"mae": 0.25, "auroc": 0.625}
    assert "an AUROC of 0.62" in predict.warning(description | {"test": without, "category_names": []})
    assert "were never tested" in predict.warning(description | {"test": {}})


def test_many_windows_are_counted_on_the_terminal(model, tmp_path):
    found = predict.predict(model, [write(tmp_path / "a.wav", hum(20), subtype="FLOAT")])
    lines = predict.in_words(found).splitlines()
    windows = len(found.table) - 1
    assert windows == 18 and lines[0].endswith("a.wav: 0.0 to 20.0 s")
    assert f"… and {windows - predict.SHOWN} more windows" in predict.in_words(found)
    assert sum(" – " in line for line in lines) == predict.SHOWN


def test_figures_that_cannot_be_drawn(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "emo_ssl.figures.prediction", None)  # as where matplotlib is not installed
    monkeypatch.delattr("emo_ssl.figures.prediction")
    assert main(["predict", str(model), str(write(tmp_path / "a.wav", hum(1))), "-o", str(tmp_path / "out")]) == 2
    assert 'pip install "emo-ssl[book]", or take --json instead' in capsys.readouterr().err


# --- the figure


def drawn(windows: int, emotions: int, seconds: float = 1.0) -> tuple[pd.DataFrame, list[str]]:
    names = list(EMOTIONS[:emotions])
    rows = [{"file": "a", "part": "overall", "start": 0.0, "end": (windows + 2) * seconds}]
    rows += [{"file": "a", "part": "window", "start": i * seconds, "end": (i + 3) * seconds} for i in range(windows)]
    values = {e + "_presence": np.linspace(0.1, 0.9, windows + 1) * (k + 1) / emotions for k, e in enumerate(names)}
    return pd.DataFrame(rows).assign(**values), names


@pytest.mark.parametrize(("windows", "emotions"), [(1, 1), (4, 2), (5, 6), (100, 4), (700, 6)])
def test_the_figure_shows_each_emotion_over_time(windows, emotions):
    rows, names = drawn(windows, emotions)
    figure = heard.over_time(rows, names)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == names
    minute = 60 if windows > 300 else 1
    for axes, name in zip(panels, names, strict=True):
        line, whole = axes.lines
        assert line.get_ydata().tolist() == rows[name + "_presence"][1:].tolist()
        assert line.get_xdata()[0] == 1.5 / minute and set(whole.get_ydata()) == {rows[name + "_presence"][0]}
        assert axes.get_ylim() == (0, 1) and axes.get_xlim() == (0, rows["end"][0] / minute)
        assert (line.get_marker() == "o") == (windows <= 60)
    assert panels[-1].get_xlabel() == ("minutes" if minute == 60 else "seconds")


def test_figures_of_recordings_with_one_name():
    taken = set()
    assert [heard.unused(name, taken) for name in ("a", "a", "A", "a-2", "b")] == ["a", "a-2", "A-3", "a-2-2", "b"]
