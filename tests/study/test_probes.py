"""What frozen vectors know, on a corpus whose sound is made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from emo_ssl.core.corpus import Corpus
from emo_ssl.study import probes


@pytest.fixture(scope="module")
def voices(tmp_path_factory) -> Corpus:
    """Recordings of three segments each, the first two of which overlap; pitch and voicing of their own."""
    rng, recordings, segments = np.random.default_rng(0), [], []
    for v in range(24):
        pitch = 100 + 10 * v + noise(120, 1, seed=v)
        voiced = (rng.random((120, 1)) < 0.2 + 0.03 * v).astype(np.float32)
        split = ("train", "train", "valid", "test")[v % 4]
        recordings.append(Video(f"v{v}", np.hstack([pitch, voiced]).astype(np.float32), split))
        for first in (0, 20, 80):
            segments.append(Segment(v, first, 40, tuple(rng.integers(0, 3, 2).astype(float))))
    folder = tmp_path_factory.mktemp("voices")
    return write_segments(folder, recordings, segments, names=("F0", "VUV"))


def test_a_probe_finds_what_is_there_and_nothing_else(voices):
    rng = np.random.default_rng(0)
    truth = probes.questions(voices)[0].answers
    nothing = rng.normal(size=(len(voices), 8))
    tables = {"all": [np.hstack([truth, nothing])], "nothing": [nothing, rng.normal(size=nothing.shape)]}
    found = probes.knowledge(voices, tables, draws=50).set_index(["question", "representation"])
    assert found.loc[("how much is voiced", "all"), "value"] > 0.95
    assert found.loc[("how much is voiced", "nothing"), "low"] < 0.3
    assert (found["low"] <= found["high"]).all() and found["value"].between(-1, 1).all()
    assert set(found["chance"][:6]) == {0.0, 0.5}


def test_questions_by_hand(voices):
    voiced, pitch, emotions = probes.questions(voices)
    segment = np.asarray(voices.segment(4))
    on = segment[:, 1] > 0.5
    assert voiced.answers[4, 0] == pytest.approx(on.mean())
    assert pitch.answers[4, 0] == pytest.approx(np.log2(np.median(segment[on, 0])))
    assert emotions.answers.tolist() == (voices.targets > 0).astype(float).tolist()
    other = replace(voices, header={**voices.header, "feature_names": ["a", "b"]})
    assert [question.name for question in probes.questions(other)] == ["emotions present"]


def test_ridge_by_scikit_learn(voices):
    splits = {name: voices.where(name) for name in ("train", "valid", "test")}
    question, table = probes.questions(voices)[0], np.random.default_rng(2).normal(size=(len(voices), 4))
    x = StandardScaler().fit(table[splits["train"]]).transform(table)
    given = x[splits["train"]], question.answers[splits["train"]]
    each = [Ridge(penalty).fit(*given).predict(x).reshape(-1, 1) for penalty in probes.PENALTIES]
    best = max(each, key=lambda predicted: question.score(predicted, splits["valid"]))
    np.testing.assert_allclose(probes.ridge_predictions(table, question, splits), best)


def test_a_probe_never_uses_a_test_answer(voices):
    splits = {name: voices.where(name) for name in ("train", "valid", "test")}
    table = np.random.default_rng(1).normal(size=(len(voices), 5))
    question = probes.questions(voices)[-1]
    changed = question.answers.copy()
    changed[splits["test"]] = 1 - changed[splits["test"]]
    first, second = (
        probes.ridge_predictions(table, replace(question, answers=answers), splits)
        for answers in (question.answers, changed)
    )
    np.testing.assert_array_equal(first, second)


def test_the_same_recording_is_not_found_through_shared_frames(voices):
    items = np.arange(len(voices))
    hit, chance = probes.same_recording(np.eye(24)[voices.segments.recording], voices, items)
    assert (hit == 1).all()
    # of 72 segments, the first two of a recording may find one of their own, the last one two
    assert chance.reshape(-1, 3)[0] == pytest.approx([1 / 70, 1 / 70, 2 / 71])
    alone = np.arange(0, len(voices), 3)  # one segment of each recording: nothing to find
    assert np.isnan(probes.same_recording(np.eye(24)[voices.segments.recording], voices, alone)[0]).all()
