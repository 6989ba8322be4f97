"""A study that runs both protocols: who is scored, from which runs it begins, and what stays apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from training import PRETRAIN, STUDY, write_acted

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.normalise import ENROLMENT_SEED, choose_enrolment, under
from emo_ssl.core.pretrain import pretrain
from emo_ssl.evidence import report as evidence
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.study.collect import RESULTS
from emo_ssl.study.predictions import Key, StudyPredictions
from emo_ssl.study.reconstruction import HeldOut
from emo_ssl.study.run import run_study
from emo_ssl.utils.io import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
ENROLMENT = 3
BOTH = replace(STUDY, arms=("scratch", "pretrained", "statistics", "constants"), adapted=(4,), enrolment=ENROLMENT)


@pytest.fixture(scope="module")
def acted(tmp_path_factory) -> Corpus:
    return write_acted(tmp_path_factory.mktemp("acted") / "corpus")


@pytest.fixture(scope="module")
def runs(acted, tmp_path_factory) -> list[Path]:
    folder, made = tmp_path_factory.mktemp("runs"), []
    for protocol in ("speaker-independent", "speaker-adapted"):
        config = replace(PRETRAIN, protocol=protocol, enrolment=ENROLMENT)
        for fold in acted.folds:
            made.append(folder / f"{protocol}{fold}")
            pretrain([acted], made[-1], config, fold=fold, device="cpu")
    return made


@pytest.fixture(scope="module")
def finished(acted, runs, tmp_path_factory) -> Path:
    return run_study(acted, runs, tmp_path_factory.mktemp("study") / "study", BOTH, "cpu").folder


def test_adapted_members_are_scored_on_the_rest_and_nowhere_else(acted, finished):
    predictions = StudyPredictions.open(finished)
    enrolled = np.concatenate(list(choose_enrolment(acted, ENROLMENT, ENROLMENT_SEED).values()))
    kept = ~np.isin(predictions.items.segment, enrolled)
    assert sorted(predictions.items.segment) == list(range(36)) and kept.sum() == 36 - 6 * ENROLMENT
    found = {key.protocol for key in predictions.keys}
    assert found == {"speaker-independent", "speaker-adapted"}
    for key in predictions.keys:
        expected = kept if key.protocol == "speaker-adapted" else np.ones(36, bool)
        assert np.array_equal(predictions.cell(key).scored(), np.broadcast_to(expected, (2, 36))), key
    assert [k.budget for k in predictions.keys if (k.protocol, k.arm) == ("speaker-adapted", "scratch")] == [4, 12]


def test_the_table_of_adapted_members_by_hand(finished):
    predictions = StudyPredictions.open(finished)
    items = predictions.items
    rows = pd.read_csv(finished / RESULTS)
    rows = rows[(rows.protocol == "speaker-adapted") & (rows.metric == "mae") & (rows.emotion == "happy")]
    assert len(rows) == 4 * 3 * 2 * 2  # arms, folds, budgets, seeds
    for row in rows.itertuples():
        cell = predictions.cell(Key("speaker-adapted", "transformer", row.arm, "ordinal", row.budget))
        here = (items.fold == row.fold) & cell.scored()[row.seed]
        wrong = np.abs(cell.intensity[row.seed, here, 0] - items.targets[here, 0])
        assert row.value == pytest.approx(wrong.mean(), abs=1e-6)


def test_each_protocol_begins_from_runs_of_its_own(acted, runs, finished):
    rows = pd.read_csv(finished / RESULTS)
    assert set(rows[rows.arm == "pretrained"].pretrain_seed) == {0}
    losses = StudyPredictions.open(finished).meta["pretraining"]["losses"]
    assert [(r["protocol"], r["fold"]) for r in losses] == [
        (p, f) for p in ("speaker-independent", "speaker-adapted") for f in range(3)
    ]
    assert losses[0]["masked"] != losses[3]["masked"]
    # the same weights give the same recovery when the run is opened again, so both read frames alike
    held_out = HeldOut.open(acted, runs[3])
    assert held_out.config.protocol == "speaker-adapted"
    assert held_out.mean == pytest.approx(typical_by_hand(acted), abs=1e-5)


def typical_by_hand(acted: Corpus) -> np.ndarray:
    seen, normaliser = under("speaker-adapted", acted.of_fold(0), ENROLMENT)
    train = np.flatnonzero(seen.recordings.split == SPLITS.index("train"))
    frames = [
        (acted.recording(v) - normaliser.center[normaliser.group[v]]) / normaliser.scale[normaliser.group[v]]
        for v in train
    ]
    return np.clip(np.concatenate(frames), -5, 5).mean(0)


def test_evidence_keeps_the_two_apart(finished):
    found = evidence.evaluate(finished, EvidenceConfig(draws=200))
    gains = {(g["protocol"], g["budget"]) for g in found["gains"] if g["metric"] == "uar"}
    assert {
        ("speaker-independent", 4),
        ("speaker-independent", 8),
        ("speaker-independent", 12),
        ("speaker-adapted", 4),
        ("speaker-adapted", 12),
    } <= gains
    assert ("speaker-adapted", 8) not in gains
    assert found["main"]["protocol"] == "speaker-independent"


def test_runs_and_studies_that_do_not_fit(acted, runs, tmp_path):
    with pytest.raises(UserError, match="no speaker-adapted run for fold 0, 1, 2 was given"):
        run_study(acted, runs[:3], tmp_path / "b", BOTH, "cpu")
    with pytest.raises(UserError, match=r"no speaker-adapted run .* enrolment = 4\)"):
        run_study(acted, runs, tmp_path / "c", replace(BOTH, enrolment=4), "cpu")
    assert not any(tmp_path.iterdir())
