"""An unfair study gets no table, whatever was unequal."""

from dataclasses import replace

import pandas as pd
import pytest

from emo_ssl.study.checks import TrainedWith, below_their_probe, check_fairness
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
        ("constants", {"normaliser": "another"}, "normaliser of"),
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


def test_a_fine_tuned_arm_below_its_own_probe_is_named_with_its_budgets():
    columns = ["protocol", "arm", "budget", "emotion", "metric", "value"]
    rows = [
        ("speaker-independent", arm, budget, "overall", "uar", value + wobble)
        for arm, values in {
            "pretrained": (0.4, 0.6),
            "frozen-pretrained": (0.5, 0.5),
            "scratch": (0.4, 0.5),
            "frozen-random": (0.3, 0.5),  # an equal one is not below
        }.items()
        for budget, value in zip((28, 56), values, strict=True)
        for wobble in (-0.3, 0.3)  # two seeds, of which the mean counts
    ]
    found = {"protocol": "speaker-independent", "arm": "pretrained", "probe": "frozen-pretrained", "budgets": [28]}
    assert below_their_probe(pd.DataFrame(rows, columns=columns), "uar") == [found]
    alone = pd.DataFrame(rows[:4], columns=columns)  # its probe was not run
    assert below_their_probe(alone, "uar") == []
