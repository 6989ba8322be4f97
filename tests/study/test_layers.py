"""The layer that validation speakers choose, and a study that reads it."""

import json

import numpy as np
import pandas as pd
import pytest
from training import PRETRAIN, STUDY, write_acted_and_runs

from emo_ssl.cli import main
from emo_ssl.core.corpus import HEADER, Corpus
from emo_ssl.core.normalise import INDEPENDENT
from emo_ssl.study.collect import PROVENANCE
from emo_ssl.study.layers import best, best_of, layer_scores
from emo_ssl.study.run import run_study
from emo_ssl.utils.io import UserError, read_json, write_json


@pytest.fixture(scope="module")
def layered(tmp_path_factory) -> Corpus:
    """Layer 3 says nothing and layer 7 gives the category away."""
    folder = tmp_path_factory.mktemp("layered")
    corpus, _ = write_acted_and_runs(folder)
    frames = np.array(corpus.frames)
    frames[:, 0] = np.random.default_rng(0).normal(size=len(frames))
    frames.tofile(corpus.folder / "frames.bin")
    header = json.loads((corpus.folder / HEADER).read_text())
    names = {"feature_names": ["L3.000", "L7.000"], "layers": [3, 7], "front_end": "some/encoder:3,7"}
    write_json(corpus.folder / HEADER, header | names)
    return Corpus.open(corpus.folder)


def test_the_telling_layer_scores_best_and_test_speakers_have_no_say(layered, monkeypatch):
    before = layer_scores(layered, 0, INDEPENDENT)
    assert best_of(before)["layer"].tolist() == [7] and set(before["layer"]) == {3, 7}
    test = layered.of_fold(0).where("test")
    layered.targets[test], categories = 0, layered.segments.category.copy()
    try:
        layered.segments.category[test] = 0
        pd.testing.assert_frame_equal(layer_scores(layered, 0, INDEPENDENT), before)
    finally:
        layered.segments.category[:] = categories


def test_of_equal_layers_the_first_is_taken():
    rows = [("p", 0, 1, 0.1, 0.4), ("p", 0, 2, 0.1, 0.5), ("p", 0, 3, 0.1, 0.5), ("p", 1, 1, 0.1, 0.2)]
    table = pd.DataFrame(rows, columns=["protocol", "fold", "layer", "strength", "score"])
    assert best_of(table)["layer"].tolist() == [2, 1]


def test_from_the_table_to_a_study_on_the_chosen_layer(layered, tmp_path, capsys):
    assert main(["corpus", "layers", str(layered.folder), "-o", str(tmp_path / "layers.csv")]) == 0
    assert best(tmp_path / "layers.csv", 0, INDEPENDENT) == 7
    config = tmp_path / "pretrain.json"
    write_json(config, {"width": 16, "layers": 1, "heads": 2, "stack": 2, "window": 0.32, "batch": 4, "steps": 2})
    words = ["pretrain", str(layered.folder), "--config", str(config), "--layers", str(tmp_path / "layers.csv")]
    assert main([*words, "--fold", "all", "--device", "cpu", "-o", str(tmp_path / "runs")]) == 0
    runs = sorted((tmp_path / "runs").iterdir())
    assert {read_json(run / "run.json")["config"]["layer"] for run in runs} == {7}
    study = run_study(layered, runs, tmp_path / "study", STUDY, "cpu")
    assert read_json(study.folder / PROVENANCE)["fairness"]["verdict"] == "fair"
    # what a study on that one column by itself would find
    alone, _ = layered.layer(7), capsys.readouterr()
    assert alone.feature_names == ("L7.000",) and np.array_equal(alone.frames[:, 0], layered.frames[:, 1])
    both = layered.layer(7, 3)
    assert both.layers == (3, 7) and both.header["front_end"] == "some/encoder:3,7"
    assert both.feature_names == layered.feature_names and np.array_equal(both.frames, layered.frames)


def test_layers_around_the_best_one(tmp_path):
    rows = [(INDEPENDENT, 0, layer, 0.1, score) for layer, score in ((9, 0.3), (1, 0.2), (5, 0.5), (4, 0.4))]
    rows += [(INDEPENDENT, 1, layer, 0.1, score) for layer, score in ((9, 0.3), (1, 0.7), (5, 0.5), (4, 0.4))]
    path = tmp_path / "layers.csv"
    pd.DataFrame(rows, columns=["protocol", "fold", "layer", "strength", "score"]).to_csv(path)
    assert best(path, 0, INDEPENDENT) == 5 and best(path, 0, INDEPENDENT, 1) == (4, 5, 9)
    assert best(path, 1, INDEPENDENT, 1) == (1, 4) and best(path, 1, INDEPENDENT, 9) == (1, 4, 5, 9)


def test_a_run_reads_the_layers_around(layered, tmp_path, capsys):
    assert main(["corpus", "layers", str(layered.folder), "-o", str(tmp_path / "layers.csv")]) == 0
    (tmp_path / "c.json").write_text('{"width": 16, "layers": 1, "heads": 2, "window": 0.32, "steps": 0}')
    words = ["pretrain", str(layered.folder), "--config", str(tmp_path / "c.json"), "--device", "cpu"]
    assert main([*words, "--around", "1", "-o", str(tmp_path / "run")]) == 2
    assert "goes with --layers FILE" in capsys.readouterr().err
    words += ["--layers", str(tmp_path / "layers.csv"), "--around", "1"]
    assert main([*words, "-o", str(tmp_path / "run")]) == 0
    assert read_json(tmp_path / "run" / "run.json")["config"]["layer"] == [3, 7]


def test_what_there_is_no_layer_for_is_refused(layered, corpus, tmp_path, capsys):
    with pytest.raises(UserError, match="no layer 4, it has 3, 7"):
        layered.layer(4)
    with pytest.raises(UserError, match="no layer is named"):
        layered.layer()
    assert main(["corpus", "layers", str(corpus.folder), "-o", str(tmp_path / "layers.csv")]) == 2
    assert "holds no layers of a speech encoder" in capsys.readouterr().err and not (tmp_path / "layers.csv").exists()
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name, words in (("other.csv", "no column protocol"), ("missing.csv", "No such file")):
        with pytest.raises(UserError, match=rf"not readable as a CSV table \(.*{words}"):
            best(tmp_path / name, 0, INDEPENDENT)
    assert PRETRAIN.layer is None
