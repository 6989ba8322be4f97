"""A study that runs both protocols: who is scored, from which runs it begins, and what stays apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training import PRETRAIN, STUDY

from emo_ssl.core.normalise import ADAPTED, ENROLMENT_SEED, INDEPENDENT, choose_enrolment
from emo_ssl.core.pretrain import pretrain
from emo_ssl.evidence import report as evidence
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.study.predictions import StudyPredictions
from emo_ssl.study.run import run_study

ENROLMENT = 3
BOTH = replace(STUDY, arms=("scratch", "pretrained", "statistics", "constants"), adapted=(4,), enrolment=ENROLMENT)


@pytest.fixture(scope="module")
def runs(acted, tmp_path_factory) -> list[Path]:
    """Three speaker-independent ones, and three speaker-adapted ones."""
    (corpus, independent), folder = acted, tmp_path_factory.mktemp("runs")
    config = replace(PRETRAIN, protocol=ADAPTED, enrolment=ENROLMENT)
    for fold in corpus.folds:
        pretrain([corpus], folder / str(fold), config, fold=fold, device="cpu")
    return [*independent, *(folder / str(fold) for fold in corpus.folds)]


@pytest.fixture(scope="module")
def both(acted, runs, tmp_path_factory) -> Path:
    return run_study(acted[0], runs, tmp_path_factory.mktemp("study") / "study", BOTH, "cpu").folder


def test_adapted_members_are_scored_on_the_rest_and_nowhere_else(acted, both):
    predictions = StudyPredictions.open(both)
    enrolled = np.concatenate(list(choose_enrolment(acted[0], ENROLMENT, ENROLMENT_SEED).values()))
    kept = ~np.isin(predictions.items.segment, enrolled)
    assert sorted(predictions.items.segment) == list(range(36)) and kept.sum() == 36 - 6 * ENROLMENT
    assert {key.protocol for key in predictions.keys} == {INDEPENDENT, ADAPTED}
    for key in predictions.keys:
        expected = kept if key.protocol == ADAPTED else np.ones(36, bool)
        assert np.array_equal(predictions.cell(key).scored(), np.broadcast_to(expected, (2, 36))), key
    assert [k.budget for k in predictions.keys if (k.protocol, k.arm) == (ADAPTED, "scratch")] == [4, 12]


def test_each_protocol_begins_from_runs_of_its_own(both):
    losses = StudyPredictions.open(both).meta["pretraining"]["losses"]
    assert [(r["protocol"], r["fold"]) for r in losses] == [(p, f) for p in (INDEPENDENT, ADAPTED) for f in range(3)]
    assert losses[0]["masked"] != losses[3]["masked"]


def test_evidence_keeps_the_two_apart(both):
    found = evidence.evaluate(both, EvidenceConfig(draws=200))
    gains = {(g["protocol"], g["budget"]) for g in found["gains"] if g["metric"] == "uar"}
    assert gains == {(INDEPENDENT, 4), (INDEPENDENT, 8), (INDEPENDENT, 12), (ADAPTED, 4), (ADAPTED, 12)}
    assert found["main"]["protocol"] == INDEPENDENT
