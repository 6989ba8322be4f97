"""Numbers looked up in a made-up evidence, and its tables: every number can be told from every other."""

import numpy as np
import pandas as pd
import pytest

from emo_ssl.evidence import lookup, tables
from emo_ssl.evidence.lookup import BETTER, NEITHER, UNKNOWN, WORSE
from emo_ssl.study.grid import Chunk

MAIN = {"protocol": "speaker-independent", "backbone": "transformer", "readout": "ordinal"}
CATEGORIES, EMOTIONS = ["neutral", "happy", "sad"], ["happy", "sad"]
BUDGETS, SMALL, ADAPTED = [28, 56, 112, 720], [28, 56, 112], [28, 720]
ARMS = ("scratch", "pretrained", "permuted", "statistics", "constants")
RIVALS = {"scratch": (0.05, 0.03), "permuted": (0.0, 1.0), "statistics": (-0.1, 0.06), "constants": (0.1, 0.001)}


def row(estimate: float, protocol: str = "speaker-independent", half: float = 0.05, **more) -> dict:
    return {**MAIN, "protocol": protocol, **more, "estimate": estimate, "low": estimate - half, "high": estimate + half}


def value(protocol: str, arm: str, budget: int) -> float:
    return 0.2 + 0.05 * ARMS.index(arm) + 0.0001 * budget + 0.3 * (protocol == "speaker-adapted")


def made_up() -> dict:
    levels, gains = [], []
    for protocol, budgets in {"speaker-independent": BUDGETS, "speaker-adapted": ADAPTED}.items():
        for budget in budgets:
            for arm in ARMS:
                one = {"arm": arm, "budget": budget, "emotion": "overall"}
                levels.append(row(value(protocol, arm, budget), protocol, metric="uar", **one))
                levels.append(row(0.4 - 0.0003 * budget, protocol, metric="mae", **one))
                levels.append(row(0.8 + 0.0002 * budget, protocol, metric="acc4", **one))
        for budget in [*budgets, *(["small"] if protocol == "speaker-independent" else [])]:
            pair = {"arm": "pretrained", "against": "scratch", "budget": budget, "metric": "uar", "emotion": "overall"}
            half = 0.01 if budget == "small" else 0.0001 * budget
            gains.append(row(0.05, protocol, half, **pair, p=0.04, p_holm=0.2, by_seed=[0.0, 0.1]))
    levels += [row(0.6, arm="pretrained", budget=28, metric="auroc", emotion="sad")]
    pair |= {"budget": "small", "metric": "auroc", "emotion": "sad"}
    gains += [row(0.03, **pair, p=0.01, p_holm=0.02)]
    controls = [
        row(estimate, half=0.02, arm="pretrained", against=arm, p=0.01, p_holm=p)
        for arm, (estimate, p) in reversed(RIVALS.items())
    ]
    counts = {28: [[3, 1, 0], [2, 2, 0], [0, 0, 0]], 720: [[4, 0, 0], [0, 3, 1], [0, 0, 0]]}
    four = np.zeros((2, 4, 4), int)
    four[:, :2, 0], four[:, 1, 1] = 9, 3
    both = {"four_classes": four.tolist()}
    needed = {"labels": 80.0, "low": 28.0, "high": 720.0, "low_beyond": "less", "text": "80 (less than 28 to 720)"}
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
        "label_efficiency": [{**MAIN, "budget": budget, **needed} for budget in reversed(BUDGETS)],
        "confusion": [{"arm": "pretrained", "budget": b, "categories": c, **both} for b, c in counts.items()],
        "ledger": [claim("C1", "holds", "all 2 requirements are met"), claim("C2", "not shown", "equivalent: so")],
    }


def claim(name: str, verdict: str, reason: str) -> dict:
    part = {"name": "mae gain, happy", "estimate": 0.1, "low": 0.05, "high": 0.15, "required": "lower bound >= 0"}
    parts = [{**part, "met": met} for met in (True, None)]
    return {"claim": name, "title": name, "verdict": verdict, "reason": reason, "effects": parts, "remarks": []}


def results() -> pd.DataFrame:
    """results.csv: an error of .1 and .11 for two seeds in two folds."""
    columns = ["arm", "fold", "budget", "seed", "emotion", "metric", "value"]
    rows = [
        ("pretrained", f, b, s, e, m, 0.1 + 0.01 * s)
        for f in (0, 1)
        for b in BUDGETS
        for s in (0, 1)
        for e in (*EMOTIONS, "overall")
        for m in ("mae", "acc4")
    ]
    return pd.DataFrame(rows, columns=columns).assign(**MAIN)


def provenance(protocols=("speaker-independent", "speaker-adapted"), folds=2, seeds=3) -> dict:
    losses = {"before training": 0.9, "mean frame": 0.5, "previous frame": 0.6, "linear interpolation": 0.4}
    return {
        "pretraining": [
            {"fold": f, "seed": s, "protocol": p, "held_out": {"model": 0.4 - 0.01 * s + 0.1 * f, **losses}}
            for s in range(seeds)
            for p in reversed(protocols)
            for f in range(folds)
        ]
    }


def nearly_empty() -> dict:
    """Nothing but the baseline was run."""
    found = made_up()
    found["levels"] = [r for r in found["levels"] if (r["arm"], r["protocol"]) == ("scratch", "speaker-independent")]
    nothing = {"gains": [], "controls": [], "confusion": [], "label_efficiency": [], "small_budgets": [], "floors": {}}
    return found | nothing


def with_one_seed() -> dict:
    """Estimates stand, intervals and p-values are None."""
    found = made_up()
    for part in ("gains", "levels", "controls"):
        found[part] = [r | dict.fromkeys(("low", "high", "p", "p_holm")) for r in found[part]]
    return found


def test_numbers_are_those_of_the_main_group():
    assert lookup.levels(made_up(), "scratch", "uar")["estimate"].tolist() == pytest.approx(
        [0.2028, 0.2056, 0.2112, 0.272]
    )
    assert lookup.level(made_up(), "pretrained", "uar", 720) == pytest.approx(0.322)
    assert np.isnan(lookup.level(made_up(), "pretrained", "uar", 57))
    assert lookup.gains(made_up(), "uar")["budget"].tolist() == BUDGETS
    assert lookup.small_gain(made_up(), "uar")["high"] == pytest.approx(0.06)
    assert lookup.emotion_gains(made_up(), "auroc")["estimate"].tolist() == pytest.approx([np.nan, 0.03], nan_ok=True)
    found = lookup.emotion_levels(made_up(), "pretrained", 28, "auroc")
    assert found.loc["sad"].tolist() == pytest.approx([0.6, 0.55, 0.65]) and found.loc["happy"].isna().all()
    assert np.isnan(lookup.small_gain(nearly_empty(), "uar")["low"])


def test_the_other_protocol_is_looked_up_by_the_same_functions():
    known = lookup.under(made_up(), "speaker-adapted")
    assert known["budgets"] == ADAPTED and known["small_budgets"] == []  # not all of the small budgets were run
    assert lookup.levels(known, "scratch", "uar")["estimate"].tolist() == pytest.approx([0.5028, 0.572])
    assert lookup.under(made_up(), "speaker-independent") == made_up() and lookup.protocols_of(made_up()) == [
        "speaker-independent",
        "speaker-adapted",
    ]
    assert lookup.protocols_of(nearly_empty()) == ["speaker-independent"]


@pytest.mark.parametrize(
    ("estimate", "p", "p_holm", "expected"),
    [
        (0.1, 0.01, 0.03, BETTER),
        (-0.1, 0.01, 0.03, WORSE),
        (0.1, 0.04, 0.06, NEITHER),  # its own interval excludes 0
        (-0.1, 0.031, 0.062, NEITHER),
        (0.1, np.nan, np.nan, UNKNOWN),
    ],
)
def test_better_and_worse_follow_the_adjusted_p_value(estimate, p, p_holm, expected):
    assert lookup.outcome(pd.Series({"estimate": estimate, "low": 1, "high": 2, "p": p, "p_holm": p_holm})) == expected


def test_controls_stand_in_the_order_of_the_arms_with_their_outcome():
    found = lookup.controls(made_up())
    assert found["against"].tolist() == [arm for arm in ARMS if arm != "pretrained"]
    assert found["outcome"].tolist() == [BETTER, NEITHER, NEITHER, BETTER]  # -.1 with a p of .01 and .06 by Holm
    assert tables.control_table(made_up())["pretrained is"].tolist() == found["outcome"].tolist()
    assert set(lookup.controls(with_one_seed())["outcome"]) == {UNKNOWN} and lookup.controls(nearly_empty()).empty


def test_baselines_are_chance_or_the_best_constant():
    assert lookup.baseline(made_up(), "auroc", "sad") == 0.5 and lookup.baseline(made_up(), "mae", "sad") == 0.35
    assert lookup.baseline(made_up(), "uar") == pytest.approx(1 / 3)
    assert np.isnan(lookup.baseline(nearly_empty(), "mae"))


def test_skill_is_the_way_from_the_constant_to_perfection_seed_by_seed():
    found = lookup.skills(made_up(), results(), "pretrained", "mae")
    assert len(found) == len(EMOTIONS) * len(BUDGETS)
    np.testing.assert_allclose(found[["estimate", "low", "high"]].iloc[0], [0.245 / 0.35, 0.24 / 0.35, 0.25 / 0.35])
    accuracy = lookup.skills(made_up(), results(), "pretrained", "acc4")
    np.testing.assert_allclose(accuracy["high"].iloc[0], (0.11 - 0.9) / 0.1)
    perfect = {**made_up(), "floors": {name: {"mae": 0.0} for name in EMOTIONS}}
    assert lookup.skills(perfect, results(), "pretrained", "mae")["estimate"].isna().all()
    words = tables.skill_table(made_up(), results(), "pretrained", 28).loc["sad"].tolist()
    assert words[:2] == ["0.350", "+0.70 (+0.69\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}+0.71)"]


def test_ends_of_what_is_known():
    assert lookup.ends(pd.Series({"a": 2.0, "b": np.nan, "c": 1.0})) == ("c", "a")
    assert lookup.ends(pd.Series({"a": np.nan})) == ("none", "none")


def test_arms_stand_in_two_groups_and_constants_in_neither():
    assert list(lookup.arm_groups(made_up()).values()) == [["scratch", "pretrained", "permuted"], ["statistics"]]
    assert lookup.unit(made_up()) == "clips" and lookup.unit({"category_names": []}) == "segments"


def test_losses_stay_below_interpolation_by_their_share_of_it():
    found = lookup.losses(provenance())
    assert len(found) == 12 and found["protocol"].tolist() == ["speaker-independent"] * 6 + ["speaker-adapted"] * 6
    first = found[(found["fold"] == 0) & (found["protocol"] == "speaker-independent")]
    assert first["below"].tolist() == pytest.approx([0, 0.025, 0.05])


def test_numbers_in_words():
    found = pd.Series({"estimate": 0.12345, "low": -0.00001, "high": 0.2})
    assert tables.interval(found).split(" ") == ["0.123", "(0.000\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}0.200)"]
    assert tables.interval(found, sign=True, digits=2).replace("\N{NO-BREAK SPACE}", " ") == "+0.12 (+0.00 to +0.20)"
    assert tables.interval(pd.Series({"estimate": 0.12345, "low": np.nan, "high": np.nan})) == "0.123"
    assert tables.interval(pd.Series({"estimate": np.nan, "low": np.nan, "high": np.nan})) == "–"
    shown = [tables.p_value(p) for p in (0.0, 0.0004999, 0.0005, 0.04, 1.0, np.nan)]
    assert shown == ["< 0.001", "< 0.001", "0.001", "0.040", "1.000", "–"]
    assert tables.in_words("acc4 over the best constant") == "accuracy ahead of the best constant"
    assert tables.in_words("masked reconstruction below interpolation") == "masked reconstruction below interpolation"


def test_tables_of_arms_and_protocols():
    levels = tables.level_table(made_up(), "uar")
    assert levels["from scratch"][720].startswith("0.272 (0.222") and set(levels["constant"]) == {"0.333"}
    arms = tables.arm_table(made_up(), ["scratch", "not run"])
    assert arms.columns.tolist() == BUDGETS and arms.loc["from scratch", 28] == "0.20 ±\N{NO-BREAK SPACE}0.05"
    assert arms.loc["not run"].isna().all()
    table = tables.protocol_table(made_up(), ["scratch", "statistics"])
    assert table["protocol"].tolist() == ["speaker-independent"] * 4 + ["speaker-adapted"] * 2
    assert table["labels"].tolist() == [*BUDGETS, *ADAPTED]
    assert table.iloc[-1]["from scratch"].startswith("0.57 ±") and table.iloc[0][tables.GAIN].startswith("+0.050 ±")


def test_tables_of_gains():
    table = tables.gain_table(made_up(), ["uar", "mae"])
    assert table.index.tolist() == [*BUDGETS, "small ones"] and table["MAE"].iloc[:-1].isna().all()
    assert table["UAR"]["small ones"].startswith("+0.050 (+0.040")
    assert tables.gain_at(made_up(), 28).startswith("+0.050 (") and tables.gain_at(made_up(), 29) == "unknown, not run"
    assert tables.gain_at(made_up(), 28, ("pretrained", "scratch-4x")) == "unknown, not run"
    needed = tables.efficiency_table(made_up())
    assert needed.iloc[:, 0].tolist() == BUDGETS and set(needed.iloc[:, 1]) == {"80 (less than 28 to 720)"}
    assert tables.emotion_table(made_up(), ["auroc"])["AUROC"].tolist()[0] == "–"


def test_mistakes_are_shares_of_the_true_category():
    table = tables.category_table(made_up(), "pretrained", [28, 720])
    assert table["recognised, 28 labels"].tolist() == ["75%", "50%", "–"]
    assert table["else mostly, 28 labels"].tolist() == ["happy", "neutral", "–"]
    assert table["else mostly, 720 labels"].tolist() == ["–", "sad", "–"]
    assert lookup.recognised(made_up(), "pretrained", 720).tolist()[:2] == [1.0, 0.75]
    assert lookup.confusion(made_up(), "pretrained", 28)[1].tolist() == [[9, 0, 0, 0], [9, 3, 0, 0], *[[0] * 4] * 2]
    assert lookup.confusion(nearly_empty(), "pretrained", 28, "categories").tolist() == [[0] * 3] * 3


def test_the_ledger_and_its_requirements():
    table = tables.ledger_table(made_up(), "C1", "C2")
    assert table["met"].tolist() == ["1 of 2"] * 2 and table["why"].tolist() == [
        "all 2 requirements are met",
        "equivalent",
    ]
    assert tables.short_reason({"verdict": "reversed", "reason": "the whole interval of x"}).endswith("below 0")
    parts = tables.claim_table(made_up(), "C1")
    assert parts["met"].tolist() == ["yes", "not computable"] and set(parts["required"]) == {"lower bound ≥ 0"}
    assert set(parts["effect"]) == {"gain in MAE, happy"}


def test_rates_are_those_of_the_arm_asked_for():
    rates = {
        "fold0-speaker-independent-scratch-28-56": 0.2,
        "fold1-speaker-independent-scratch-28-56": 0.1,
        "fold0-speaker-independent-scratch-4x-28": 0.9,
        "fold0-speaker-adapted-scratch-28": 0.7,
    }
    assert lookup.rates_of({"tuned_rates": rates}, "scratch") == [0.1, 0.2]
    assert lookup.rates_of({"tuned_rates": rates}, "scratch", "speaker-adapted") == [0.7]
    assert Chunk(0, "scratch", (28, 56), (0,)).name in rates  # as a study names its chunks


TABLES = {
    "levels": lambda e: tables.level_table(e, "mae"),
    "arms": lambda e: tables.arm_table(e, ARMS),
    "protocols": lambda e: tables.protocol_table(e, ARMS),
    "gains": lambda e: tables.gain_table(e, ("uar", "mae", "acc4")),
    "controls": tables.control_table,
    "efficiency": tables.efficiency_table,
    "emotions": lambda e: tables.emotion_table(e, ("auroc", "mae")),
    "skills": lambda e: tables.skill_table(e, results(), "pretrained", 28),
    "categories": lambda e: tables.category_table(e, "pretrained", [28]),
    "claims": lambda e: tables.claim_table(e, "C1", "C2"),
}


@pytest.mark.parametrize("state", [nearly_empty, with_one_seed, lambda: made_up() | {"levels": [], "budgets": []}])
@pytest.mark.parametrize("name", TABLES)
def test_tables_stand_whatever_is_missing(name, state):
    assert isinstance(TABLES[name](state()), pd.DataFrame)
