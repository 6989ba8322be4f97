"""Numbers that no rearrangement may change: the golden run against what README.md describes."""

import json
import re
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from golden import make
from golden.small_part import small_part

from emo_ssl.core.corpus import Corpus

TRAINED = 0.0  # what training gives: largest difference, as a share of an array's range; 0: bit by bit
ELSEWHERE = 1e-4  # the same on another processor, or with another torch
RECORDED = 1e-6
COMPUTED = 1.1e-6  # all else; evidence has six decimals, of which the last may turn

HERE = Path(__file__).parent


@cache
def stored() -> dict:
    return json.loads((HERE / "golden.json").read_text(encoding="utf-8"))


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(HERE / name, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def is_here() -> bool:
    return make.fingerprint() == stored()["fingerprint"]


def trained() -> float:
    return TRAINED if is_here() else max(TRAINED, ELSEWHERE)


def largest_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """As a share of the range of what is wanted, or its size; infinite where shapes or missing values differ."""
    if found.shape != wanted.shape or not np.array_equal(np.isnan(found), np.isnan(wanted)):
        return np.inf
    known = wanted[~np.isnan(wanted)].astype(np.float64)
    if not known.size or np.array_equal(found, wanted, equal_nan=True):
        return 0.0
    extent = float(np.ptp(known)) or max(1.0, float(np.abs(known).max()))
    return float(np.nanmax(np.abs(found.astype(np.float64) - wanted))) / extent


def assert_same(found: dict, wanted: dict, tolerance: float) -> None:
    """Each array or number under its name; of whole numbers (classes) as many as the tolerance makes likely may turn.

    What is new is not looked at.
    """
    assert not wanted.keys() - found.keys(), "numbers are gone"
    apart = {}
    for name, values in wanted.items():
        got, values = np.asarray(found[name]), np.asarray(values)
        if values.dtype.kind == "i" and tolerance and got.shape == values.shape:
            apart[name] = float((got != values).mean()) - 0.01
        else:
            apart[name] = largest_difference(got, values)
    wrong = sorted(((share, name) for name, share in apart.items() if share > tolerance), reverse=True)
    assert not wrong, f"{len(wrong)} of {len(apart)} differ by more than {tolerance:g}: {wrong[:5]}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def made_up(folder):
    return make.made_up_corpus(folder)


@pytest.fixture(scope="module")
def voices(folder):
    return make.voices(folder)


@pytest.fixture(scope="module")
def runs(folder, made_up, voices):
    return make.two_runs(made_up, voices, folder)


def test_a_prepared_corpus(made_up):
    found, wanted = make.corpus_numbers(made_up), stored()["corpus"]
    assert sorted(found) == sorted(wanted)
    for name, column in wanted.items():
        assert found[name]["shape"] == column["shape"], name
        for part in ("mean", "deviation"):
            if part in column:
                assert_same({name: found[name][part]}, {name: column[part]}, ELSEWHERE)
        assert found[name]["sha256"] == column["sha256"] or not is_here(), f"{name}: other values"


def test_frames_of_clips(voices):
    found, wanted = make.clip_frames(voices), arrays("frames.npz")
    assert sorted(found) == sorted(wanted)
    for clip, frames in wanted.items():
        assert found[clip].dtype == np.float32 and found[clip].shape == frames.shape
        apart = [largest_difference(found[clip][:, d], frames[:, d]) for d in range(frames.shape[1])]
        assert max(apart) <= COMPUTED, f"{clip}: feature {int(np.argmax(apart))} differs by {max(apart):g}"


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_pretraining(runs, kind):
    wanted = {n.partition("/")[2]: v for n, v in arrays("weights.npz").items() if n.startswith(kind)}
    assert_same(make.weights(runs[kind]), wanted, trained())
    assert_same(make.losses(runs[kind]), stored()["losses"][kind], trained())


def test_predictions_of_every_arm(voices, folder):
    wanted = make.cells(HERE)
    assert {key.split("/")[2] for key in wanted} == set(make.ARMS)
    assert_same(make.cells(make.studied(voices, folder)), wanted, trained())


@pytest.mark.parametrize("which", ["study", "simulated"])
def test_evidence_of_stored_predictions(which, tmp_path):
    if which == "study":
        shutil.copy(HERE / "predictions.npz", tmp_path)
    numbers, verdicts = make.evidence(tmp_path if which == "study" else make.simulated(tmp_path / which))
    assert verdicts == stored()["verdicts"][which]
    assert_same(numbers, make.unpacked(arrays("evidence.npz")[which]), COMPUTED)


def numbers_in(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?<![\w.])[+-]?\d+(?:\.\d+)?", cell.replace("\u2212", "-"))]


def test_tables_of_real_speech():
    found, wanted = make.real_tables(), stored()["tables"]
    for name, table in wanted.items():
        for new, row in zip(found[name]["rows"].values(), table["rows"].values(), strict=True):
            for got, cell in zip(new, row, strict=True):
                assert numbers_in(got) == pytest.approx(numbers_in(cell), abs=COMPUTED), f"{name}: {got}, not {cell}"
    verdicts = [[row[2] for row in tables["ledger"]["rows"].values()] for tables in (found, wanted)]
    assert verdicts[0] == verdicts[1]


@pytest.mark.slow
def test_a_part_of_the_recorded_study(real_data, tmp_path):
    make.command("corpus", "record", real_data / "ravdess-16k", "--recipe", "ravdess", "-o", tmp_path / "corpus")
    found = small_part(Corpus.open(tmp_path / "corpus"), make.RESULTS)
    assert len(found) and (found["value_recorded"].isna() == found["value_recomputed"].isna()).all()
    assert (found["value_recomputed"] - found["value_recorded"]).abs().max() <= RECORDED
