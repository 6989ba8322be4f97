"""The stored predictions: what is written is read back, and what cannot be used is refused in one sentence."""

import numpy as np
import pytest
import simulated_predictions as simulated

from emo_ssl.study.predictions import PREDICTIONS, Key, StudyPredictions, write_predictions
from emo_ssl.utils.io import UserError


@pytest.fixture
def written(tmp_path):
    rng = np.random.default_rng(0)
    truth = simulated.items(3, 4, rng, categories=2)
    cells = {simulated.key("scratch", 28): simulated.cell(truth, rng, 2, 1.0, 2)}
    write_predictions(tmp_path, simulated.meta(2, 2, (28,)), truth, cells)
    return tmp_path / PREDICTIONS, truth, cells


def tamper(path, name, value):
    with np.load(path) as stored:
        arrays = {**stored, name: value}
    np.savez(path, **{name: x for name, x in arrays.items() if x is not None})


def test_round_trip(written):
    path, truth, cells = written
    opened = StudyPredictions.open(path.parent)
    (key,) = opened.keys
    assert str(key) == "speaker-independent/transformer/scratch/ordinal/28" and Key.parse(str(key)) == key
    assert opened.meta["seeds"] == [0, 1]
    assert all(np.array_equal(values, getattr(opened.items, name)) for name, values in vars(truth).items())
    found, wanted = opened.cell(key).arrays(), cells[key].arrays()
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in found)


def test_what_is_no_archive_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no finished study: .*`emo-ssl study …` makes one"):
        StudyPredictions.open(tmp_path)
    np.save(tmp_path / "bare.npy", np.zeros(3))
    for content in (b"", b"PK\x03\x04 torn", (tmp_path / "bare.npy").read_bytes()):
        (tmp_path / PREDICTIONS).write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            StudyPredictions.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("meta", None),
        ("meta", np.frombuffer(b"{]", np.uint8)),
        ("items.fold", None),
        ("items.unit", np.array([{}] * 12, object)),  # a pickle, which is never loaded
        ("cell.strange.intensity", np.zeros(1)),
    ],
)
def test_other_damage_is_refused(written, name, value):
    tamper(written[0], name, value)
    with pytest.raises(UserError, match="damaged"):
        StudyPredictions.open(written[0].parent)


@pytest.mark.parametrize("shares", [{}, dict.fromkeys(simulated.EMOTIONS, 1.1)])
def test_how_often_an_emotion_occurs_is_a_share_of_each(tmp_path, shares):
    simulated.study(tmp_path, {"scratch": (1, 1, 1, 1)}, units=4, seeds=1, training_prevalence=shares)
    with pytest.raises(UserError, match="training_prevalence is no share of each of its emotions"):
        StudyPredictions.open(tmp_path)


def test_a_cell_that_lacks_an_array_is_named(written):
    path, _, cells = written
    (key,) = cells
    tamper(path, f"cell.{key}.presence", None)
    with pytest.raises(UserError, match=r"presence.* run `emo-ssl study` again"):
        StudyPredictions.open(path.parent).cell(key)


def test_two_studies_of_the_same_items_stand_beside_each_other(tmp_path):
    first, other = tmp_path / "first", tmp_path / "other"
    for folder in (first, other):
        folder.mkdir()
    strengths = {"contrast": (1, 1, 1, 1), "statistics": (0, 0, 0, 0)}
    simulated.study(first, strengths, units=4, seeds=2, pretraining={"losses": []})
    simulated.study(other, {"pretrained": (1, 1, 1, 1), "statistics": (2, 2, 2, 2)}, units=4, seeds=2)
    own, theirs = StudyPredictions.open(first), StudyPredictions.open(other)
    both = own.with_arms_of(theirs)
    assert both.arms == {"contrast", "statistics", "pretrained"} and len(both.keys) == 3 * 4
    assert both.meta["pretraining"] == theirs.meta["pretraining"] != own.meta["pretraining"]
    for arm, holder in (("pretrained", theirs), ("statistics", own), ("contrast", own)):
        key = simulated.key(arm, 70)
        assert np.array_equal(both.cell(key).presence, holder.cell(key).presence)
    assert theirs.with_arms_of(own).meta["pretraining"] == theirs.meta["pretraining"]
    alone = StudyPredictions.open(simulated.study(tmp_path, {"scratch": (1, 1, 1, 1)}, units=4, seeds=2, seed=1))
    fewer = StudyPredictions.open(simulated.study(other, {"scratch": (1, 1, 1, 1)}, units=4, seeds=1))
    for stranger in (alone, fewer):
        with pytest.raises(UserError, match="scored other segments than"):
            own.with_arms_of(stranger)
