"""The saved recipe: one linear layer that predicts what the study's arm predicts, chosen on validation speakers."""

import json

import numpy as np
import pytest
import torch
from builders import contents, noise
from training import STUDY, write_acted, write_mosei_like

from emo_ssl.core.batches import label_order
from emo_ssl.core.linear import LinearClassifier
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS, load_model
from emo_ssl.study import contrast_model
from emo_ssl.study.contrast import STRANGERS, summary
from emo_ssl.study.contrast_model import fit_contrast
from emo_ssl.study.logistic import CONTRAST_STRENGTHS, LogisticTrainer
from emo_ssl.utils.io import UserError


@pytest.fixture(scope="module", params=["categories", "emotions"])
def made(request, tmp_path_factory):
    """A fold of a corpus, the model's folder."""
    folder = tmp_path_factory.mktemp("contrast")
    corpus = (write_acted if request.param == "categories" else write_mosei_like)(folder / "corpus")
    fit_contrast(corpus, folder / "model", 9, seed=1)
    return corpus.of_fold(0), folder / "model"


def test_it_predicts_what_the_arm_of_a_study_predicts(made):
    corpus, folder = made
    model, everything = load_model(folder), np.arange(len(corpus))
    settings = model.description["config"]
    trainer = LogisticTrainer(corpus, speaker_independent(corpus), STUDY, settings["strangers"], guesses=True)
    subset = label_order(corpus, corpus.where("train"), 1)[:9]
    expected = trainer.fit(subset, settings["strength"], everything)
    found = model.predict([np.asarray(corpus.segment(i)) for i in everything])
    assert np.allclose(found.presence[0], expected.presence, atol=1e-4)
    unsure = np.isclose(expected.presence, 0.5, atol=1e-3)
    assert np.allclose(found.intensity[0][~unsure], expected.intensity[~unsure]) and not unsure.all()
    if corpus.category_names:
        assert np.allclose(found.category[0], expected.category, atol=1e-4)
    else:
        assert found.category is None


@pytest.mark.parametrize("best", [0, 2, 4])
def test_the_first_of_the_best_on_validation_is_taken(made, monkeypatch, best):
    corpus, _ = made
    asked, scores = [], iter(np.maximum(np.arange(6) == best, np.arange(6) == 4).astype(float) if best else np.zeros(6))
    monkeypatch.setattr(contrast_model, "headlines", lambda _, __, segments: asked.append(segments) or [next(scores)])
    found = contrast_model.build(corpus, corpus.where("train")[:9], 0).description["config"]
    tried = [(strangers, strength) for strangers in STRANGERS for strength in CONTRAST_STRENGTHS]
    assert (found["strangers"], found["strength"]) == tried[best] and len(asked) == 6
    assert all(np.array_equal(segments, corpus.where("valid")) for segments in asked)


def test_without_validation_segments_the_first_settings_serve(made, monkeypatch):
    corpus, _ = made
    monkeypatch.setattr(contrast_model, "headlines", None)
    found = contrast_model.build(corpus.split("train"), np.arange(9), 0)
    settings = found.description["config"]
    assert (settings["strangers"], settings["strength"]) == (STRANGERS[0], CONTRAST_STRENGTHS[0])
    assert found.description["test"] == {} and "not tested" in str(found)


def test_its_folder_says_what_it_is_and_is_written_once(made, monkeypatch):
    corpus, folder = made
    described = json.loads((folder / DESCRIPTION).read_text())
    assert set(contents(folder)) == {WEIGHTS, DESCRIPTION, "folder.json"}
    assert described["encoder"] == {"kind": "summary", "lag": 2} and described["labels"] == 9
    assert "summary on 2 features" in str(load_model(folder))
    assert set(described["test"]) == {"mae", "acc4", "auroc"} | ({"uar"} if corpus.category_names else set())
    before = contents(folder)
    monkeypatch.setattr(contrast_model, "build", None)
    fit_contrast(corpus, folder, 9, seed=1)
    assert contents(folder) == before
    with pytest.raises(UserError, match="labels is 9 there, 8 here"):
        fit_contrast(corpus, folder, 8, seed=1)


def test_one_label_all_labels_and_too_many(made, tmp_path):
    corpus, _ = made
    pool = len(corpus.where("train"))
    assert fit_contrast(corpus, tmp_path / "all").description["labels"] == pool
    one = fit_contrast(corpus, tmp_path / "one", 1)
    found = one.predict([noise(30), noise(1)])
    assert np.isfinite(found.presence).all()
    if corpus.category_names:  # the only category that it knows
        known = corpus.segments.category[label_order(corpus, corpus.where("train"), 0)[0]]
        assert found.category[0, :, known].tolist() == [1.0, 1.0]
    for labels in (0, -1, pool + 1):
        with pytest.raises(UserError, match=f"{labels} labels are asked for"):
            fit_contrast(corpus, tmp_path / "none", labels)
        assert not (tmp_path / "none").exists()


def test_its_network_is_an_ordinary_module(made):
    _, folder = made
    model, recordings = load_model(folder), [noise(n, seed=n) for n in (1, 7, 30)]
    together, _ = model.network(*model.tokens(recordings))
    alone = model.predict(recordings).presence[0]
    assert together.shape == (3, 2) and np.allclose(together.detach(), alone, atol=1e-5)
    with pytest.raises(UserError, match="needs the 2 features"):
        model.predict([noise(9, 3)])


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_its_summary_is_that_of_the_study(lag):
    network, runs = LinearClassifier(3, 1, lag=lag), [noise(n, 3, seed=n) for n in (9, 5, 2, 1)]
    frames = torch.zeros(4, 9, 3)
    for row, run in zip(frames, runs, strict=True):
        row[: len(run)] = torch.from_numpy(run)
    valid = torch.arange(9) < torch.tensor([[9], [5], [2], [1]])
    found = network.summary(frames, valid).numpy()
    assert network.linear.in_features == found.shape[1]
    assert np.allclose(found, np.stack([summary(run, lag) for run in runs]), atol=1e-5)


def test_mean_and_deviation_by_hand():
    network = LinearClassifier(1, 2)
    with torch.no_grad():
        network.linear.weight.copy_(torch.eye(2))
        network.linear.bias.zero_()
    frames = torch.tensor([[[1.0], [3.0], [9.0]]])
    presence, categories = network(frames, torch.tensor([[True, True, False]]))
    assert torch.allclose(presence, torch.sigmoid(torch.tensor([[2.0, 1.0]]))) and categories.shape == (1, 0)


def test_weights_that_give_no_numbers_are_refused(tmp_path):
    model = fit_contrast(write_acted(tmp_path / "corpus"), tmp_path / "model", 9)
    with torch.no_grad():
        model.network.linear.weight.fill_(3e38)
    with pytest.raises(UserError, match="gives no numbers"):
        model.predict([noise(30)])
