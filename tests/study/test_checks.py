"""An unfair study gets no table, whatever was unequal."""

from dataclasses import replace

import pytest

from emo_ssl.study.checks import TrainedWith, check_fairness
from emo_ssl.study.grid import Chunk
from emo_ssl.utils.io import UserError

FAIR = TrainedWith(
    "n", "s", 4, 100, subsets={"4/0": "a", "8/1": "b"}, heads={"4/0": "h"}, trials=[{"rate": 1e-2, "score": 0.5}]
)
ARMS = ("constants", "scratch", "pretrained", "pretrained-4x", "statistics", "frozen-random")


def trained(fold: int = 0) -> dict[Chunk, TrainedWith]:
    of = {arm: FAIR for arm in ARMS} | {
        "constants": TrainedWith("n"),
        "pretrained-4x": replace(FAIR, steps=16),
        **{arm: replace(FAIR, settings="probe", steps=9, parameters=0, heads={}) for arm in ARMS[4:]},
    }
    return {Chunk(fold, arm, (4, 8), (0, 1)): of[arm] for arm in ARMS}


def test_a_fair_study_says_what_was_checked():
    verdict = check_fairness(trained())
    assert verdict["verdict"] == "fair" and verdict["parameters"] == [100] and len(verdict["checked"]) == 6
    assert check_fairness({})["verdict"] == "fair"


@pytest.mark.parametrize(
    ("arm", "changes", "complaint"),
    [
        ("pretrained", {"normaliser": "another"}, "normaliser of"),
        ("constants", {"normaliser": "another"}, "normaliser of"),
        ("pretrained", {"settings": "another batch"}, "batch or optimiser of"),
        ("statistics", {"settings": "another batch"}, "batch or optimiser of"),
        ("pretrained", {"steps": 999}, "number of steps of"),
        ("frozen-random", {"subsets": {"8/1": "others"}}, "label subset of"),
        ("pretrained", {"heads": {"4/0": "others"}}, "head's initial weights of"),
        ("pretrained", {"parameters": 101}, "number of parameters of"),
        ("pretrained", {"trials": FAIR.trials * 2}, "number of tuned settings of"),
    ],
)
def test_what_is_unequal_is_named(arm, changes, complaint):
    grid = trained(3)
    chunk = next(chunk for chunk in grid if chunk.arm == arm)
    grid[chunk] = replace(grid[chunk], **changes)
    with pytest.raises(UserError, match=f"the study is not fair: {complaint}") as caught:
        check_fairness(grid)
    assert arm in str(caught.value) and "fold 3 (speaker-independent)" in str(caught.value)


def test_folds_may_differ_where_arms_may_not():
    other = {chunk: replace(t, normaliser="m", subsets={"4/0": "z"}) for chunk, t in trained(1).items()}
    assert check_fairness(trained(0) | other)["verdict"] == "fair"
