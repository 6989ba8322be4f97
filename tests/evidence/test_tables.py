"""Numbers looked up in a made-up evidence, and its tables: every number can be told from every other."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from emo_ssl.evidence import lookup, tables
from emo_ssl.evidence.lookup import BETTER, NEITHER, UNKNOWN, WORSE, skill

INDEPENDENT, ADAPTED = "speaker-independent", "speaker-adapted"
MAIN = {"protocol": INDEPENDENT, "backbone": "transformer", "readout": "ordinal"}
CATEGORIES, EMOTIONS = ["neutral", "happy", "sad"], ["happy", "sad"]
BUDGETS, SMALL, OF_ADAPTED = [28, 56, 112, 720], [28, 56, 112], [28, 720]
ARMS = ("scratch", "pretrained", "permuted", "statistics", "constants")
RIVALS = {"scratch": (0.05, 0.03), "permuted": (0.0, 1.0), "statistics": (-0.1, 0.06), "constants": (0.1, 0.001)}
GAIN = {"arm": "pretrained", "against": "scratch", "p": 0.01, "p_holm": 0.2}


def row(estimate: float, protocol: str = INDEPENDENT, half: float = 0.05, **more) -> dict:
    return {**MAIN, "protocol": protocol, **more, "estimate": estimate, "low": estimate - half, "high": estimate + half}


def made_up() -> dict:
    levels, gains = [], []
    for protocol, budgets in {INDEPENDENT: BUDGETS, ADAPTED: OF_ADAPTED}.items():
        for budget in budgets:
            of = {"budget": budget, "emotion": "overall"}
            for i, arm in enumerate(ARMS):
                reached = 0.2 + 0.05 * i + 0.0001 * budget + 0.3 * (protocol == ADAPTED)
                levels.append(row(reached, protocol, metric="uar", arm=arm, **of))
                levels.append(row(0.4 - 0.0003 * budget, protocol, metric="mae", arm=arm, **of))
            gains.append(row(0.05, protocol, 0.0001 * budget, metric="uar", **of, **GAIN))
    levels.append(row(0.6, arm="pretrained", budget=28, metric="auroc", emotion="sad"))
    gains.append(row(0.05, half=0.01, budget="small", metric="uar", emotion="overall", **GAIN))
    gains.append(row(0.03, budget="small", metric="auroc", emotion="sad", **GAIN))
    controls = [
        row(estimate, half=0.02, arm="pretrained", against=arm, p=0.01, p_holm=p)
        for arm, (estimate, p) in reversed(RIVALS.items())
    ]
    return {
        "main": MAIN,
        "headline": "uar",
        "target_names": EMOTIONS,
        "category_names": CATEGORIES,
        "budgets": BUDGETS,
        "small_budgets": SMALL,
        "full_budget": 720,
        "floors": {name: {"mae": 0.35, "acc4": 0.9} for name in ("overall", *EMOTIONS)},
        "levels": levels,
        "gains": gains,
        "controls": controls,
    }


def results() -> pd.DataFrame:
    """results.csv: an error of .1 and .11 for two seeds in two folds."""
    columns = ["fold", "budget", "seed", "emotion", "metric"]
    cells = product((0, 1), BUDGETS, (0, 1), (*EMOTIONS, "overall"), ("mae", "acc4"))
    found = pd.DataFrame(cells, columns=columns).assign(**MAIN, arm="pretrained")
    return found.assign(value=0.1 + 0.01 * found["seed"])


def nearly_empty() -> dict:
    """Nothing but the baseline was run."""
    found = made_up()
    found["levels"] = [r for r in found["levels"] if (r["arm"], r["protocol"]) == ("scratch", INDEPENDENT)]
    return found | {"gains": [], "controls": [], "label_efficiency": [], "small_budgets": []}


def test_numbers_are_those_of_the_main_group():
    reached = lookup.levels(made_up(), "scratch", "uar")["estimate"].tolist()
    assert reached == pytest.approx([0.2028, 0.2056, 0.2112, 0.272])
    assert lookup.level(made_up(), "pretrained", "uar", 720) == pytest.approx(0.322)
    assert np.isnan(lookup.level(made_up(), "pretrained", "uar", 57))
    assert lookup.gains(made_up(), "uar")["budget"].tolist() == BUDGETS
    assert lookup.small_gain(made_up(), "uar")["high"] == pytest.approx(0.06)
    assert lookup.emotion_gains(made_up(), "auroc")["estimate"].tolist() == pytest.approx([np.nan, 0.03], nan_ok=True)
    found = lookup.emotion_levels(made_up(), "pretrained", 28, "auroc")
    assert found.loc["sad"].tolist() == pytest.approx([0.6, 0.55, 0.65]) and found.loc["happy"].isna().all()
    assert np.isnan(lookup.small_gain(nearly_empty(), "uar")["low"])


def test_the_other_protocol_is_looked_up_by_the_same_functions():
    known = lookup.under(made_up(), ADAPTED)
    assert known["budgets"] == OF_ADAPTED and known["small_budgets"] == []  # not all of the small budgets were run
    assert lookup.levels(known, "scratch", "uar")["estimate"].tolist() == pytest.approx([0.5028, 0.572])
    assert lookup.protocols_of(made_up()) == [INDEPENDENT, ADAPTED]
    assert lookup.protocols_of(nearly_empty()) == [INDEPENDENT]


@pytest.mark.parametrize(
    ("estimate", "p_holm", "expected"),
    [
        (0.1, 0.03, BETTER),
        (-0.1, 0.03, WORSE),
        (-0.1, 0.062, NEITHER),  # its own p-value is .031
        (0.1, np.nan, UNKNOWN),
    ],
)
def test_better_and_worse_follow_the_adjusted_p_value(estimate, p_holm, expected):
    assert lookup.outcome(pd.Series({"estimate": estimate, "p": p_holm / 2, "p_holm": p_holm})) == expected


def test_controls_stand_in_the_order_of_the_arms_with_their_outcome():
    found = lookup.controls(made_up())
    assert found["against"].tolist() == [arm for arm in ARMS if arm != "pretrained"]
    assert found["outcome"].tolist() == [BETTER, NEITHER, NEITHER, BETTER]  # -.1 with a p of .01 and .06 by Holm
    assert tables.control_table(made_up())["pretrained is"].tolist() == found["outcome"].tolist()


def test_baselines_are_chance_or_the_best_constant():
    assert lookup.baseline(made_up(), "auroc", "sad") == 0.5 and lookup.baseline(made_up(), "mae", "sad") == 0.35
    assert lookup.baseline(made_up(), "uar") == pytest.approx(1 / 3)
    assert np.isnan(lookup.baseline(made_up(), "ccc"))


def test_skill_is_the_way_from_the_constant_to_perfection_seed_by_seed():
    found = lookup.skills(made_up(), results(), "pretrained", "mae")
    assert len(found) == len(EMOTIONS) * len(BUDGETS)
    np.testing.assert_allclose(found[["estimate", "low", "high"]].iloc[0], [0.245 / 0.35, 0.24 / 0.35, 0.25 / 0.35])
    accuracy = lookup.skills(made_up(), results(), "pretrained", "acc4")
    np.testing.assert_allclose(accuracy["high"].iloc[0], (0.11 - 0.9) / 0.1)
    words = tables.skill_table(made_up(), results(), "pretrained", 28).loc["sad"].tolist()
    assert words[:2] == ["0.350", "+0.70 (+0.69\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}+0.71)"]


def test_skill_is_the_share_of_the_way_from_the_best_constant_to_perfection():
    assert skill("mae", 0.15, 0.2) == pytest.approx(0.25)
    assert skill("acc4", [0.9, 0.6], [0.8, 0.8]) == pytest.approx([0.5, -1.0])
    assert np.isnan(skill("mae", 0.1, 0.0)) and np.isnan(skill("acc4", 0.1, 1.0))


def test_a_reason_is_one_sentence():
    met = {"name": "uar gain, small budgets", "estimate": 0.03, "low": 0.01, "high": 0.05, "required": "x", "met": True}
    failed = {**met, "name": "mae gain", "estimate": -0.01, "low": -0.02, "high": 0.0, "required": "y", "met": False}
    of_none = {"effects": [], "reason": "not run: nothing"}
    assert tables.reason(of_none) == "Not run: nothing."
    sentence = "Of 2 requirements 1 is not met: gain in MAE, -0.010 (-0.020\xa0to\xa0+0.000), required y."
    assert tables.reason({"effects": [met, failed], "reason": "inconclusive"}) == sentence
    assert tables.reason({"effects": [failed, failed], "reason": ""}).startswith(
        "Of 2 requirements 2 are not met, such as: "
    )


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((0.001975, -0.000141, 0.004091), "+0.0020 (-0.0001 to +0.0041)"),
        ((0.000336, -0.002247, 0.002918), "+0.0003 (-0.0022 to +0.0029)"),
        ((0.0204, 0.0, 0.0408), "+0.020 (+0.000 to +0.041)"),  # 0 itself is on no side
        ((0.0204, 0.00001, 0.0408), "+0.020 (+0.000 to +0.041)"),  # one digit more would not show it
        ((0.0204, -0.0006, 0.0414), "+0.020 (-0.001 to +0.041)"),
    ],
)
def test_rounding_does_not_hide_the_side_of_zero_that_a_difference_lies_on(numbers, words):
    found = pd.Series(numbers, lookup.INTERVAL)
    assert tables.interval(found, sign=True) == words.replace(" to ", "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}")
    level = pd.Series([0.0002, 0.0001, 0.0003], lookup.INTERVAL)
    assert tables.interval(level).startswith("0.000 ")  # a level is on no side of 0


def test_tables_stand_where_nothing_but_the_baseline_was_run():
    found = nearly_empty()
    assert len(tables.level_table(found, "mae")) == len(BUDGETS) and len(tables.arm_table(found, ARMS)) == len(ARMS)
    assert len(tables.gain_table(found, ("uar", "mae"))) == len(BUDGETS) + 1
    assert len(tables.control_table(found)) == len(tables.efficiency_table(found)) == 0


def test_a_range_over_runs_is_not_taken_for_an_interval():
    bounds = {"estimate": 0.25, "low": 0.125, "high": 0.5, "required": "lower bound >= 0", "met": True}
    effects = [bounds | {"name": "mae gain, happy", "level": 0.95}, bounds | {"name": "gaps", "level": None}]
    found = tables.claim_table({"ledger": [{"claim": "C4", "effects": effects}]}, "C4")
    words = [words.replace("\N{NO-BREAK SPACE}", " ") for words in found["found"]]
    assert words == ["+0.250 (+0.125 to +0.500)", "+0.250 (runs: +0.125 to +0.500)"]
    assert found["effect"].tolist() == ["gain in MAE, happy", "gaps"] and found["met"].tolist() == ["yes", "yes"]
    assert found["required"].tolist() == ["lower bound ≥ 0"] * 2
