"""One fine-tuned model, whole: it says later what it said when it was trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import Segment, Video, contents, noise, write_segments
from training import FINETUNE, PRETRAIN, close, write_acted, write_mosei_like

from emo_ssl.cli import main
from emo_ssl.core import finetune
from emo_ssl.core.batches import label_order
from emo_ssl.core.finetune import Task
from emo_ssl.core.model import backbone_shapes, head_shapes, initialise
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS, finetune_one, load_model
from emo_ssl.core.pretrain import load, pretrain
from emo_ssl.utils.io import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", params=["transformer", "gru"])
def made(request, tmp_path_factory):
    """Corpus, run and model folder."""
    folder = tmp_path_factory.mktemp("saved")
    corpus = write_mosei_like(folder / "corpus")
    pretrain([corpus], folder / "run", replace(PRETRAIN, kind=request.param), device="cpu")
    finetune_one(corpus, folder / "run", folder / "model", 9, 1e-2, 1, FINETUNE, "cpu")
    return corpus, folder / "run", folder / "model"


def test_a_loaded_model_says_what_it_said_when_it_was_trained(made):
    """Against the member trained here from the same parts."""
    corpus, run, folder = made
    result, weights = load(run)
    task = Task.build(corpus, speaker_independent(corpus), torch.device("cpu"))
    model = load_model(folder)
    start = {name: weights[name] for name in backbone_shapes(model.backbone)}
    start |= initialise(head_shapes(task.head, 2 * model.backbone.width), 1)
    subset = label_order(corpus, corpus.where("train"), 1)[:9]
    read = finetune.backbone_vectors(task, model.backbone, FINETUNE)
    params = finetune.train(task, [finetune.Member(9, 1, subset, start, 1e-2)], read, FINETUNE, model.backbone.layers)
    assert all(close(model.params[name], value, 1e-6) for name, value in params.items())
    everything = np.arange(len(corpus))
    pooled = finetune.embed(task, model.backbone, params, everything, FINETUNE)
    expected = finetune.predict(task, params, pooled)
    found = model.predict([corpus.segment(i) for i in everything])
    assert np.allclose(found.presence, expected.presence, atol=1e-5)
    assert found.intensity.shape == (1, len(corpus), 2)
    assert result["backbone"]["kind"] == model.backbone.kind


def test_its_test_metrics_are_those_of_its_predictions(made):
    corpus, _, folder = made
    model, test = load_model(folder), corpus.where("test")
    said = model.predict([corpus.segment(i) for i in test])
    assert model.description["test"]["mae"] == pytest.approx(
        np.abs(said.intensity[0] - corpus.targets[test]).mean(), abs=1e-6
    )
    assert set(model.description["test"]) == {"mae", "acc4", "auroc"}


def test_a_recording_is_judged_by_itself(made):
    corpus, _, folder = made
    model = load_model(folder)
    together = model.predict([corpus.segment(i) for i in range(5)])
    for i in range(5):
        assert np.allclose(model.predict([corpus.segment(i)]).presence[0, 0], together.presence[0, i], atol=1e-5)
    lengths = [1, 2, 333]
    frames = [noise(n, seed=n) for n in lengths] + [np.full((7, 2), np.nan, np.float32)]
    assert np.isfinite(model.predict(frames).presence).all()


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([], "without a single frame"),
        ([noise(0)], "without a single frame"),
        ([noise(9), noise(9, 3)], "needs the 2 features"),
        ([noise(9)[0]], "needs the 2 features"),
    ],
)
def test_recordings_that_cannot_be_judged(made, runs, said):
    with pytest.raises(UserError, match=said):
        load_model(made[2]).predict(runs)


def test_what_the_folder_says(made):
    corpus, _, folder = made
    description = json.loads((folder / DESCRIPTION).read_text())
    assert (description["labels"], description["seed"], description["rate"], description["protocol"]) == (
        9,
        1,
        1e-2,
        "speaker-independent",
    )
    assert description["corpus"]["content_hash"] == corpus.content_hash
    assert description["levels"] == pytest.approx([k / 3 for k in range(10)])
    assert set(description["provenance"]) == {"commit", "versions", "hardware", "command"}
    card = (folder / "README.md").read_text()
    assert corpus.content_hash in card and f"{description['test']['mae']:.4f}" in card
    assert set(contents(folder)) == {WEIGHTS, DESCRIPTION, "README.md", "folder.json"}


def test_again_and_with_other_settings(made):
    corpus, run, folder = made
    before = contents(folder)
    finetune_one(corpus, run, folder, 9, 1e-2, 1, FINETUNE, "cpu")
    assert contents(folder) == before
    with pytest.raises(UserError, match="labels is 9 there, 8 here"):
        finetune_one(corpus, run, folder, 8, 1e-2, 1, FINETUNE, "cpu")


def test_all_labels_by_default_and_no_more_than_there_are(made, tmp_path):
    corpus, run, _ = made
    pool = len(corpus.where("train"))
    assert finetune_one(corpus, run, tmp_path / "all", config=FINETUNE, device="cpu")["labels"] == pool
    for labels, said in (
        (pool + 1, f"the training pool holds {pool}"),
        (-1, "a budget of -1"),
        (0, "at least one label"),
    ):
        with pytest.raises(UserError, match=said):
            finetune_one(corpus, run, tmp_path / "none", labels, config=FINETUNE, device="cpu")
        assert not (tmp_path / "none").exists()
    assert finetune_one(corpus, run, tmp_path / "one", 1, config=FINETUNE, device="cpu")["labels"] == 1


def test_categories_and_folds(tmp_path):
    corpus = write_acted(tmp_path / "corpus")
    pretrain([corpus], tmp_path / "run", PRETRAIN, fold=1, device="cpu")
    described = finetune_one(corpus, tmp_path / "run", tmp_path / "model", config=FINETUNE, device="cpu")
    assert described["labels"] == 12  # one fold in three trains
    assert set(described["test"]) == {"mae", "acc4", "auroc", "uar"}
    said = load_model(tmp_path / "model").predict([corpus.segment(i) for i in range(4)])
    assert said.category.shape == (1, 4, 3) and np.allclose(said.category.sum(-1), 1, atol=1e-5)
    assert described["category_names"] == ["calm", "happy", "sad"]


def test_a_run_on_other_features_is_refused(made, tmp_path):
    recordings = [Video(split, noise(60, seed=i), split) for i, split in enumerate(("train", "valid", "test"))]
    other = write_segments(tmp_path / "corpus", recordings, [Segment(0, 0, 30)], names=("F0", "else"))
    with pytest.raises(UserError, match="pretrained on other features"):
        finetune_one(other, made[1], tmp_path / "model", config=FINETUNE, device="cpu")


@pytest.mark.parametrize(
    "damage", ["torn weights", "no weights", "other shape", "no head", "unknown setting", "not JSON"]
)
def test_folders_that_are_no_model_are_refused(made, tmp_path, damage):
    folder = tmp_path / "model"
    shutil.copytree(made[2], folder)
    description = json.loads((folder / DESCRIPTION).read_text())
    match damage:
        case "torn weights":
            (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9])
        case "no weights":
            (folder / WEIGHTS).unlink()
        case "other shape":
            description["backbone"]["width"] = 32
        case "no head":
            del description["head"]
        case "unknown setting":
            description["backbone"]["magic"] = 1
    (folder / DESCRIPTION).write_text("{" if damage == "not JSON" else json.dumps(description))
    with pytest.raises(UserError, match=r"fine-tune again|not readable as JSON"):
        load_model(folder)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"no fine-tuned model here; run `emo-ssl finetune"):
        load_model(tmp_path)


def test_the_command(made, tmp_path, capsys):
    corpus, run, folder = made
    (tmp_path / "a.toml").write_text("steps = 4\nbatch = 4\ntokens = 12\n")
    words = ["finetune", str(corpus.folder), "--pretrained", str(run), "-o", str(tmp_path / "model")]
    words += ["--config", str(tmp_path / "a.toml"), "--budget", "9", "--rate", "0.01", "--seed", "1", "--device", "cpu"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("# An emotion model\n\nFine-tuned on 9 labelled segments")
    assert (tmp_path / "model" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert main([*words[:5], str(tmp_path / "other"), "--budget", "1000"]) == 2
    assert "choose a smaller one" in capsys.readouterr().err
    assert not Path(tmp_path / "other").exists()
