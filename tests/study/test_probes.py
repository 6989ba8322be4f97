"""What frozen vectors know, on a corpus whose sound is made by hand."""

from dataclasses import replace
from itertools import permutations

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
    neighbours = probes.Neighbours.of(voices, items)
    table = np.eye(24)[voices.segments.recording]
    alike = probes.likeness(table, items)
    assert (neighbours.found(alike) == 1).all()
    # of 72 segments, the first two of a recording may find one of their own, the last one two
    assert neighbours.chance() == pytest.approx(np.mean([1 / 70, 1 / 70, 2 / 71]))
    low, high = neighbours.chance_band([alike], draws=100, seed=0)
    assert 0 <= low <= neighbours.chance() <= high < 0.2
    alone = np.arange(0, len(voices), 3)  # one segment of each recording: nothing to find
    neighbours = probes.Neighbours.of(voices, alone)
    assert np.isnan(neighbours.found(probes.likeness(table, alone))).all() and np.isnan(neighbours.chance())
    assert np.isnan(neighbours.chance_band([probes.likeness(table, alone)], draws=5, seed=0)).all()


# Chance


def test_recordings_swap_their_answers_as_blocks():
    recording = np.repeat([7, 3, 5], [4, 1, 2])
    for seed in range(20):
        given = probes.swapped(probes.items_of_each(recording), np.random.default_rng(seed))
        blocks = [given[recording == name] for name in (7, 3, 5)]
        sources = [set(recording[block]) for block in blocks]
        assert sorted(name for source in sources for name in source) == [3, 5, 7]
        for block in blocks:  # each answer of a recording comes up as often as any other, give or take one
            counts = np.bincount(block, minlength=7)[recording == recording[block[0]]]
            assert counts.max() - counts.min() <= 1


def test_chance_by_all_orders_of_five_recordings():
    rng = np.random.default_rng(0)
    answers, predicted = rng.normal(size=(5, 1)), rng.normal(size=(5, 1))
    every = [np.corrcoef(answers[list(order), 0], predicted[:, 0])[0, 1] for order in permutations(range(5))]
    question = probes.Question("anything", probes.R, answers)
    band = probes.chance_of_answers(question, [predicted], np.arange(5), np.arange(5), draws=2000, seed=0)
    assert band == pytest.approx(np.quantile(every, [0.025, 0.975]), abs=0.03)


def test_nothing_to_swap_gives_no_band():
    question = probes.Question("anything", probes.R, np.arange(4.0)[:, None])
    for count in (0, 4):
        test, recording = np.arange(count), np.zeros(count)
        band = probes.chance_of_answers(question, [question.answers], test, recording, draws=3, seed=0)
        assert np.isnan(band).all()


def test_the_band_holds_what_null_corpora_score_and_single_segments_do_not():
    """Answers and predictions have nothing to do with each other, but each are alike within a recording."""
    recording, within = np.repeat(np.arange(20), 8), {"recordings": 0, "segments": 0}
    for seed in range(24):
        rng = np.random.default_rng(seed)
        mood, voice = (rng.normal(size=20)[recording] + 0.5 * rng.normal(size=160) for _ in range(2))
        question = probes.Question("an emotion", probes.AUROC, (mood > 0).astype(float)[:, None])
        predicted, items = voice[:, None], np.arange(160)
        score = question.score(predicted, items)
        for unit, names in (("recordings", recording), ("segments", items)):
            low, high = probes.chance_of_answers(question, [predicted], items, names, draws=50, seed=seed)
            within[unit] += low <= score <= high
    assert within["recordings"] >= 21 and within["segments"] <= 18


def test_knowledge_shows_chance_beside_each_score(voices):
    truth = probes.questions(voices)[0].answers
    nothing = np.random.default_rng(0).normal(size=(len(voices), 3))
    found = probes.knowledge(voices, {"all": [truth], "nothing": [nothing]}, draws=40)
    assert list(found.columns) == probes.COLUMNS
    assert (found["chance_low"] <= found["chance_high"]).all()
    found = found.set_index(["question", "representation"])
    voiced = found.loc["how much is voiced"]
    assert voiced.loc["all", "value"] > voiced.loc["all", "chance_high"]
    assert voiced.loc["nothing", "chance_low"] <= voiced.loc["nothing", "value"] <= voiced.loc["nothing", "chance_high"]
