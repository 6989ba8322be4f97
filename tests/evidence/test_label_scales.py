"""Another convention for the label levels: renamed by hand, and judged as if it had been stored so."""

from dataclasses import replace

import numpy as np
import pytest
from simulated_predictions import study as simulated
from training import STUDY, write_acted_and_runs

from emo_ssl.cli import main
from emo_ssl.evidence import report as evidence
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.evidence.label_scales import CODINGS, Recoded, verdicts
from emo_ssl.study.predictions import StudyPredictions, write_predictions
from emo_ssl.study.run import study
from emo_ssl.utils.io import UserError, read_json

pytestmark = pytest.mark.usefixtures("one_thread")
FEW = EvidenceConfig(draws=200, least_budget=4)
ARMS = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted", "constants")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("acted")
    corpus, runs = write_acted_and_runs(folder)
    return study(corpus, runs, folder / "study", replace(STUDY, arms=ARMS, rates=(1e-1,)), "cpu")


def test_levels_are_renamed_in_what_was_said_and_in_what_is_true(finished):
    predictions = StudyPredictions.open(finished)
    recoded = Recoded.of(predictions, (0, 2, 3, 3))  # the made-up corpus has levels 0, 1 and 2
    new = {0.0: 0.0, 1.0: 2.0, 2.0: 3.0, 3.0: 3.0}
    assert recoded.items.targets.ravel().tolist() == [new[float(v)] for v in predictions.items.targets.ravel()]
    said = 0
    for key in recoded.keys:
        before, after = predictions.cell(key), recoded.cell(key)
        assert after.intensity.ravel().tolist() == [new[float(v)] for v in before.intensity.ravel()]
        assert after.klass.ravel().tolist() == [new[float(v)] for v in before.klass.ravel()]
        assert np.array_equal(after.presence, before.presence)
        said += int((before.intensity > 0).sum())
    assert said > 0  # renaming zeros alone would show nothing
    assert {key.arm for key in recoded.keys} == set(ARMS) - {"constants"}


def test_the_same_coding_gives_the_same_ledger_and_floors(finished):
    predictions = StudyPredictions.open(finished)
    same = Recoded.of(predictions, (0, 1, 2, 3))
    for name, of_name in predictions.meta["floors"].items():
        assert same.meta["floors"][name] == pytest.approx(of_name)
    assert verdicts(finished, {"same": (0, 1, 2, 3)}, FEW)["same"] == evidence.evaluate(finished, FEW)["ledger"]


def test_a_ledger_in_another_coding_is_that_of_predictions_stored_so(finished, tmp_path):
    predictions, values = StudyPredictions.open(finished), (0, 1, 3, 3)
    recoded = Recoded.of(predictions, values)
    cells = {key: recoded.cell(key) for key in recoded.keys}
    write_predictions(tmp_path, recoded.meta, recoded.items, cells)
    expected = evidence.evaluate(tmp_path, FEW)["ledger"]
    found = verdicts(finished, {"0,1,3,3": values}, FEW)
    assert found["0,1,3,3"] == expected
    assert read_json(finished / CODINGS) == found
    assert found["0,1,3,3"] != evidence.evaluate(finished, FEW)["ledger"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((0, 1, 2), "four values"),
        ((1, 1, 2, 3), "the first 0"),
        ((0, 1, 2, 4), "from 0 to 3"),
        ((0, 2, 1, 3), "keeps the order"),
        ((0, 0, 1, 2), "keeps the order"),
    ],
)
def test_codings_that_are_none(finished, values, said):
    with pytest.raises(UserError, match=said):
        Recoded.of(StudyPredictions.open(finished), values)


def test_labels_in_thirds_have_no_levels_to_rename(tmp_path):
    folder = simulated(tmp_path, {arm: (0.5,) * 4 for arm in ("scratch", "pretrained")}, units=5, each=4, seeds=2)
    with pytest.raises(UserError, match="not whole levels"):
        Recoded.of(StudyPredictions.open(folder), (0, 1, 1, 2))


def test_on_the_command_line(finished, capsys):
    assert main(["evidence", str(finished), "--coding", "0,1,3,3"]) == 0
    assert "with the levels read as 0,1,3,3: C1 " in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["evidence", str(finished), "--coding", "0,1"])
    assert stopped.value.code == 2
    assert "is not four numbers" in capsys.readouterr().err
