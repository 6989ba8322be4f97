"""One fine-tuned model, whole: it predicts later what it predicted when it was trained."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from builders import contents, noise
from training import FINETUNE, PRETRAIN, write_acted, write_mosei_like

from emo_ssl.core.batches import label_order
from emo_ssl.core.finetune import LabelledSegments, Member, finetune, random_crops, standardise, train
from emo_ssl.core.model import Classifier, initialise, load_members
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS, embed, load_model, predict
from emo_ssl.core.pretrain import pretrain
from emo_ssl.utils.io import UserError


@pytest.fixture(scope="module", params=["transformer", "gru"])
def made(request, tmp_path_factory):
    """Corpus, run and model folder."""
    folder = tmp_path_factory.mktemp("saved")
    corpus = write_mosei_like(folder / "corpus")
    run = pretrain(corpus, folder / "run", replace(PRETRAIN, kind=request.param), device="cpu")
    finetune(corpus, run, folder / "model", 9, 1e-2, 1, FINETUNE, "cpu")
    return corpus, run, folder / "model"


def segments_of(corpus) -> list[np.ndarray]:
    return [np.asarray(corpus.segment(i)) for i in range(len(corpus))]


def test_a_loaded_model_is_what_was_trained(made):
    """Against the member trained here from the same parts."""
    corpus, run, folder = made
    data = LabelledSegments.build(corpus, speaker_independent(corpus), torch.device("cpu"))
    network = load_members(Classifier(run.network.encoder.config, data.head), [run.network.state_dict()])
    initialise(network.head, [1])
    pool = corpus.where("train")
    standardise(network, data, pool, FINETUNE)
    member = Member(1, label_order(corpus, pool, 1)[:9])
    train(network, random_crops(data, 2, FINETUNE), data, [member], FINETUNE, 1e-2)
    model = load_model(folder)
    state = model.network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    expected = predict(network.head, embed(network, data, np.arange(len(corpus))))
    found = model.predict(segments_of(corpus))
    assert np.allclose(found.presence, expected.presence, atol=1e-5)
    assert found.intensity.shape == (1, len(corpus), 2)


def test_its_network_is_an_ordinary_module(made):
    corpus, _, folder = made
    model, recordings = load_model(folder), segments_of(corpus)[:5]
    tokens, valid = model.tokens(recordings)
    assert tokens.shape == (5, *valid.shape[1:], 4) and model.network.encoder(tokens, valid).shape[2] == 16
    scores, _ = model.network(tokens, valid)
    presence = torch.sigmoid(model.network.head.exceedance_logits(scores))[..., 0]
    assert np.allclose(presence.detach(), model.predict(recordings).presence[0], atol=1e-5)


def test_its_test_metrics_are_those_of_its_predictions(made):
    corpus, _, folder = made
    model, test = load_model(folder), corpus.split("test")
    found = model.predict(segments_of(test))
    noted = model.description["test"]
    assert noted["mae"] == pytest.approx(np.abs(found.intensity[0] - test.targets).mean(), abs=1e-6)
    assert set(noted) == {"mae", "acc4", "auroc"} and model.evaluate(test) == pytest.approx(noted)


def test_each_recording_is_predicted_by_itself(made):
    corpus, _, folder = made
    model = load_model(folder)
    recordings = [*segments_of(corpus)[:3], *(noise(n, seed=n) for n in (1, 2, 333)), np.full((7, 2), np.nan)]
    together = model.predict(recordings).presence[0]
    assert np.isfinite(together).all()
    for frames, found in zip(recordings, together, strict=True):
        assert np.allclose(model.predict([frames]).presence[0, 0], found, atol=1e-5)
    for wrong, problem in (
        ([], "without a single frame"),
        ([noise(9), noise(0)], "without a single frame"),
        ([noise(9), noise(9, 3)], "needs the 2 features"),
        ([noise(9)[0]], "needs the 2 features"),
    ):
        with pytest.raises(UserError, match=problem):
            model.predict(wrong)


def test_what_the_folder_and_the_model_tell(made):
    corpus, _, folder = made
    description = json.loads((folder / DESCRIPTION).read_text())
    assert (description["labels"], description["seed"], description["rate"]) == (9, 1, 1e-2)
    assert description["corpus"]["content_hash"] == corpus.content_hash
    assert f"mae {description['test']['mae']:.3f}" in str(load_model(folder))
    assert set(contents(folder)) == {WEIGHTS, DESCRIPTION, "folder.json"}


def test_again_and_with_other_settings(made, monkeypatch):
    corpus, run, folder = made
    monkeypatch.setattr("emo_ssl.core.finetune.build", None)
    before = contents(folder)
    finetune(corpus, run.folder, folder, 9, 1e-2, 1, FINETUNE, "cpu")
    assert contents(folder) == before
    with pytest.raises(UserError, match="labels is 9 there, 8 here"):
        finetune(corpus, run, folder, 8, 1e-2, 1, FINETUNE, "cpu")


def test_all_labels_by_default_and_no_more_than_there_are(made, tmp_path):
    corpus, run, _ = made
    pool = len(corpus.where("train"))
    assert finetune(corpus, run, tmp_path / "all", config=FINETUNE, device="cpu").description["labels"] == pool
    assert finetune(corpus, run, tmp_path / "one", 1, config=FINETUNE, device="cpu").description["labels"] == 1
    for labels in (pool + 1, -1, 0):
        with pytest.raises(UserError, match=f"{labels} labels are asked for; take 1 or more, and at most the {pool}"):
            finetune(corpus, run, tmp_path / "none", labels, config=FINETUNE, device="cpu")
        assert not (tmp_path / "none").exists()


def test_categories_and_folds(tmp_path):
    corpus = write_acted(tmp_path / "corpus")
    run = pretrain(corpus, tmp_path / "run", PRETRAIN, fold=1, device="cpu")
    model = finetune(corpus, run, tmp_path / "model", config=FINETUNE, device="cpu")
    assert model.description["labels"] == 12  # one fold in three trains
    assert set(model.description["test"]) == {"mae", "acc4", "auroc", "uar"}
    assert model.description["category_names"] == ["calm", "happy", "sad"]
    category = model.predict(segments_of(corpus)[:4]).category
    assert category.shape == (1, 4, 3) and np.allclose(category.sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "damage", "problem"),
    [
        (WEIGHTS, None, "No such file"),
        (WEIGHTS, lambda whole: whole[:-9], "damaged .*another version, so fine-tune"),
        (DESCRIPTION, None, "no finished fine-tuned model"),
        (DESCRIPTION, lambda whole: whole[:9], "not readable as JSON"),
        (DESCRIPTION, lambda whole: whole.replace(b'"width": 16', b'"width": 32'), r"is torch.float32 of \(.*, not of"),
        (DESCRIPTION, lambda whole: whole.replace(b'"head"', b'"tail"'), "head is missing; .*another version"),
        (DESCRIPTION, lambda whole: whole.replace(b'"width"', b'"magic"'), "encoder: there is no setting magic"),
    ],
)
def test_folders_that_are_no_model_are_refused(made, tmp_path, name, damage, problem):
    folder = shutil.copytree(made[2], tmp_path / "model")
    whole = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage:
        (folder / name).write_bytes(damage(whole))
    with pytest.raises(UserError, match=problem):
        load_model(folder)
