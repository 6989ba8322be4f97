"""Tables and figures of a study of acted voices, from a made-up evidence whose every number can be told apart."""

import copy
import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer

from emo_ssl.corpora.acoustics import NAMES
from emo_ssl.evidence import acted
from emo_ssl.evidence import tables as readings
from emo_ssl.figures import panels
from emo_ssl.figures import study as curves
from emo_ssl.figures import style as figures

MAIN = {"protocol": "blind", "backbone": "transformer", "readout": "ordinal"}
CATEGORIES = ["neutral", "happy", "sad"]
BUDGETS, SMALL = [28, 56, 112, 720], [28, 56, 112]
ARMS = ("scratch", "pretrained", "permuted", "statistics", "constants")
ADAPTED = [28, 720]


def row(estimate: float, protocol: str = "blind", half: float = 0.05, **more) -> dict:
    return {**MAIN, "protocol": protocol, **more, "estimate": estimate, "low": estimate - half, "high": estimate + half}


def value(protocol: str, arm: str, budget: int) -> float:
    return 0.2 + 0.05 * ARMS.index(arm) + 0.0001 * budget + 0.3 * (protocol == "adapted")


def made_up() -> dict:
    levels, gains = [], []
    for protocol, budgets in {"blind": BUDGETS, "adapted": ADAPTED}.items():
        for budget in budgets:
            for arm in ARMS:
                one = {"arm": arm, "budget": budget, "emotion": "overall"}
                levels.append(row(value(protocol, arm, budget), protocol, metric="uar", **one))
                levels.append(row(0.4 - 0.0003 * budget, protocol, metric="mae", **one))
                levels.append(row(0.8 + 0.0002 * budget, protocol, metric="acc4", **one))
        for budget in [*budgets, *(["small"] if protocol == "blind" else [])]:
            pair = {"arm": "pretrained", "against": "scratch", "budget": budget, "metric": "uar", "emotion": "overall"}
            half = 0.01 if budget == "small" else 0.0001 * budget
            gains.append(row(0.05, protocol, half, **pair, p=0.04, p_holm=0.2, by_seed=[0.0, 0.1]))
    controls = [
        row(estimate, half=0.02, arm="pretrained", against=arm, p=0.1, p_holm=0.2)
        for arm, estimate in {"scratch": 0.05, "permuted": 0.0, "statistics": -0.1, "constants": 0.1}.items()
    ]
    counts = {28: [[3, 1, 0], [2, 2, 0], [0, 0, 0]], 720: [[4, 0, 0], [0, 3, 1], [0, 0, 0]]}
    return {
        "main": MAIN,
        "headline": "uar",
        "target_names": CATEGORIES[1:],
        "category_names": CATEGORIES,
        "budgets": BUDGETS,
        "small_budgets": SMALL,
        "full_budget": 720,
        "seeds": 2,
        "units": 24,
        "items": 1440,
        "floors": {"overall": {"mae": 0.35, "acc4": 0.9}},
        "levels": levels,
        "gains": gains,
        "controls": controls,
        "label_efficiency": [],
        "confusion": [{"arm": "pretrained", "budget": b, "categories": c} for b, c in counts.items()],
        "ledger": [claim("C1", "holds", "all 5 requirements are met"), claim("C2", "not shown", "equivalent: so")],
    }


def claim(name: str, verdict: str, reason: str) -> dict:
    return {"claim": name, "title": name, "verdict": verdict, "reason": reason, "effects": [], "remarks": []}


def provenance(protocols=("blind", "adapted"), folds=2, seeds=3) -> dict:
    losses = {"before training": 0.9, "mean frame": 0.5, "previous frame": 0.6, "linear interpolation": 0.4}
    return {
        "pretraining": [
            {"fold": f, "seed": s, "protocol": p, "held_out": {"model": 0.4 - 0.01 * s + 0.1 * f, **losses}}
            for s in range(seeds)
            for p in reversed(protocols)
            for f in range(folds)
        ]
    }


def nearly_empty(evidence: dict) -> dict:
    found = copy.deepcopy(evidence)
    found["levels"] = [r for r in found["levels"] if (r["arm"], r["protocol"]) == ("scratch", "blind")]
    return found | {"gains": [], "controls": [], "confusion": [], "small_budgets": [], "floors": {}}


def bars(axes) -> list[ErrorbarContainer]:
    return [c for c in axes.containers if isinstance(c, ErrorbarContainer)]


# --- the corpus -------------------------------------------------------------------------------------------------------


def test_corpus_table_adds_up_and_stands_without_numbers():
    assert acted.corpus_table(made_up(), {})["what"].tolist() == ["speakers", "clips", "categories"]
    numbers = {
        "frames": {"in": 6000, "kept": 4500, "dropped: silence": 1500},
        "frame_rate": 100.0,
        "seconds": {"p5": 1.0, "p50": 2.0, "p95": 3.0},
        "categories": {"neutral": 2, "happy": 1},
        "features": ["a", "b"],
    }
    told = acted.corpus_table(made_up(), numbers).set_index("what")["how much"]
    assert told["of them silence before or after the voice"] == "1,500 (25%)"
    assert told["frames kept"].startswith("4,500 (45 s") and told["clips of each category"] == "neutral 2, happy 1"
    assert told["speakers"] == "24" and told["numbers in a frame"] == "2"


def test_every_feature_of_our_front_end_has_its_group():
    table = acted.feature_table(NAMES)
    assert table["numbers"].sum() == len(NAMES) and len(table) == len(acted.GROUPS)
    others = acted.feature_table(["F0", "loudness_sma3"])
    assert others["numbers"].tolist() == [2] and others["what they say"].tolist() == ["–"]
    assert acted.feature_table([])["numbers"].tolist() == [0]


def test_parity_shows_the_larger_of_two_differences(tmp_path):
    assert acted.parity(tmp_path).empty and "prototype" in acted.parity(tmp_path)
    (tmp_path / "parity.csv").write_text(
        "frames,features,labels,prototype,uar\nraw,blind,28,0.25,0.26\nclipped,blind,28,0.25,0.21\n"
        "raw,blind,70,0.30,0.33\nclipped,blind,70,0.30,0.30\n"
    )
    table = acted.parity(tmp_path)
    assert table["largest difference"].tolist() == pytest.approx([-0.04, 0.03])
    assert table["ours"].tolist() == [0.26, 0.33] and table["ours, clipped"].tolist() == [0.21, 0.30]


# --- pretraining ------------------------------------------------------------------------------------------------------


def test_losses_stay_below_interpolation_by_their_share_of_it():
    found = acted.losses(provenance())
    assert len(found) == 12 and found["protocol"].tolist() == ["blind"] * 6 + ["adapted"] * 6
    first = found[(found["fold"] == 0) & (found["protocol"] == "blind")]
    assert first["below"].tolist() == pytest.approx([0, 0.025, 0.05])
    table = acted.loss_table(provenance())
    assert table["runs"].tolist() == [3] * 4 and table["model"].tolist() == pytest.approx([0.39, 0.49] * 2)
    assert table[acted.BELOW].tolist() == pytest.approx([0.025, -0.225] * 2)


@pytest.mark.parametrize(("protocols", "seeds"), [(("blind", "adapted"), 3), (("blind",), 1), (("blind",), 0)])
def test_recovery_draws_every_run_and_every_floor(protocols, seeds):
    axes = panels.recovery(provenance(protocols, seeds=seeds)).axes
    assert len(axes) == len(protocols)
    dots = [y for line in axes[0].lines for y in line.get_ydata()]
    assert sorted(dots) == pytest.approx(sorted(0.4 - 0.01 * s + 0.1 * f for s in range(seeds) for f in range(2)))
    assert len(axes[0].collections) == (6 if seeds else 0)  # three rungs in each of two folds


# --- two protocols ----------------------------------------------------------------------------------------------------


def test_the_other_protocol_is_read_by_the_same_functions():
    known = acted.under(made_up(), "adapted")
    assert known["budgets"] == ADAPTED and known["small_budgets"] == []  # not all of the small budgets were run
    assert readings.levels(known, "scratch", "uar")["estimate"].tolist() == pytest.approx([0.5028, 0.572])
    assert acted.under(made_up(), "blind") == made_up() and acted.protocols_of(made_up()) == ["blind", "adapted"]
    assert acted.protocols_of(nearly_empty(made_up())) == ["blind"]


def test_protocols_stand_below_each_other_and_beside_each_other():
    table = acted.protocol_table(made_up(), ["scratch", "statistics"])
    assert table["protocol"].tolist() == ["blind"] * 4 + ["adapted"] * 2
    assert table["labels"].tolist() == [*BUDGETS, *ADAPTED]
    assert table.iloc[-1]["from scratch"].startswith("0.57 ±") and table.iloc[0]["pretrained − scratch"][0] == "+"
    blind, known = panels.protocols(made_up(), ["scratch", "statistics"]).axes
    assert blind.get_title(loc="left").startswith("BLIND") and known.get_title(loc="left").startswith("ADAPTED")
    assert blind.get_facecolor() != known.get_facecolor() and blind.get_ylim() == known.get_ylim()
    for axes, protocol in ((blind, "blind"), (known, "adapted")):
        for bar, arm in zip(bars(axes), ("scratch", "statistics"), strict=True):
            budgets = BUDGETS if protocol == "blind" else ADAPTED
            np.testing.assert_allclose(bar.lines[0].get_ydata(), [value(protocol, arm, b) for b in budgets])


# --- arms -------------------------------------------------------------------------------------------------------------


def test_rivals_are_sorted_by_what_their_interval_says():
    found = acted.verdicts_over_rivals(made_up())
    assert found == {
        "better": ["from scratch", "constants"],
        "worse": ["plain statistics"],
        "neither": ["shuffled weights"],
    }
    assert acted.verdicts_over_rivals(nearly_empty(made_up())) == {"better": [], "worse": [], "neither": []}


def test_constants_are_beaten_where_the_estimate_is_better():
    # error .4 - .0003 b against .35, accuracy .8 + .0002 b against .9: both only at 720 labels
    assert acted.beats_constant(made_up(), "pretrained", "mae") == "720"
    assert acted.beats_constant(made_up(), "pretrained", "acc4") == "720"
    assert acted.beats_constant(made_up(), "statistics", "uar") == "all"  # .35 and more against chance of a third
    assert acted.beats_constant(made_up(), "frozen-random", "mae") == "none"


def test_what_could_be_seen_is_half_an_interval():
    seen = acted.visible(made_up())
    assert seen.index.tolist() == [*BUDGETS, "small ones"]
    assert seen.tolist() == pytest.approx([0.0028, 0.0056, 0.0112, 0.072, 0.01])
    assert np.isnan(acted.visible(nearly_empty(made_up()))["small ones"])


def test_arm_curves_put_every_arm_into_its_panel():
    groups = {"one": ["scratch", "pretrained"], "two": ["statistics", "not run"]}
    left, right = curves.arm_curves(made_up(), groups).axes
    assert (len(bars(left)), len(bars(right))) == (2, 1) and left.get_title(loc="left") == "one"
    table = acted.arm_table(made_up(), ["scratch", "not run"])
    assert table.columns.tolist() == BUDGETS and table.loc["from scratch", 28] == "0.20 ±\N{NO-BREAK SPACE}0.05"
    assert table.loc["not run"].isna().all()


# --- categories -------------------------------------------------------------------------------------------------------


def test_mistakes_are_shares_of_the_true_category():
    table = acted.category_table(made_up(), "pretrained", [28, 720])
    assert table["recognised, 28 labels"].tolist() == ["75%", "50%", "–"]
    assert table["else mostly, 28 labels"].tolist() == ["happy", "neutral", "–"]
    assert table["else mostly, 720 labels"].tolist() == ["–", "sad", "–"]
    assert acted.recognised(made_up(), "pretrained", 720).tolist()[:2] == [1.0, 0.75]
    few, full = panels.mistaken(made_up(), [28, 720]).axes
    assert [text.get_text() for text in few.texts] == ["75", "25", "0", "50", "50", "0"]  # the empty row stays empty
    assert [text.get_text() for text in full.texts] == ["100", "0", "0", "0", "75", "25"]
    assert acted.mistaken(nearly_empty(made_up()), "pretrained", 28).tolist() == [[0] * 3] * 3


# --- conventions and relatives ----------------------------------------------------------------------------------------


def test_only_a_changed_verdict_counts_as_changed():
    same = [claim("C1", "holds", "all 5 requirements are met"), claim("C2", "not shown", "inconclusive: other words")]
    other = [claim("C1", "reversed", "the whole interval"), same[1]]
    codings = {"0,1,1,2": same, "0,1,1,3": other}
    assert acted.changed_verdicts(made_up(), {"0,1,1,2": same}) == [] == acted.changed_verdicts(made_up(), {})
    assert acted.changed_verdicts(made_up(), codings) == ["C1"]
    table = acted.coding_table(made_up(), codings)
    assert table.columns.tolist() == ["normal 2, strong 3", "normal 1, strong 2", "normal 1, strong 3"]
    assert table.loc["C2"].tolist()[:2] == ["not shown (equivalent)", "not shown (inconclusive)"]
    assert acted.verdict(made_up(), "C1") == "holds (all 5 requirements are met)"


def test_relatives_are_compared_where_all_of_them_have_numbers():
    other = copy.deepcopy(made_up()) | {"budgets": [28, 720], "main": {**MAIN, "readout": "l1"}}
    for part in ("levels", "gains"):
        other[part] = [r | {"readout": "l1"} for r in other[part] if r["arm"] != "statistics"]
    table = acted.beside(made_up(), {"l1": other})
    assert table["study"].tolist() == ["this study"] * 2 + ["plain L1 head"] * 2
    assert table["labels"].tolist() == [28, 720] * 2
    assert table["from scratch"].tolist() == pytest.approx([0.2028, 0.272] * 2)
    assert table["plain statistics"].isna().tolist() == [False, False, True, True]
    alone = acted.beside(made_up(), {})
    assert alone["labels"].tolist() == BUDGETS and alone["MAE, pretrained"].iloc[0] == pytest.approx(0.3916)


def test_a_relative_with_longer_training_compares_its_own_two_arms():
    longer = copy.deepcopy(made_up())
    for part in ("levels", "gains"):
        for row in longer[part]:
            for name in ("arm", "against"):
                row[name] = {"scratch": "scratch-4x", "pretrained": "pretrained-4x"}.get(row.get(name), row.get(name))
    table = acted.beside(made_up(), {"patience": longer})
    usual, patient = (rows.reset_index(drop=True) for _, rows in table.groupby("study", sort=False))
    assert patient["study"].unique().tolist() == [acted.RELATIVES["patience"]]
    columns = ["from scratch", "pretrained", "pretrained − scratch", "MAE, pretrained"]
    assert patient[columns].equals(usual[columns]) and patient["from scratch"].notna().all()
    said = acted.gain_at(longer, 28, acted.PAIRS["patience"])
    assert said == acted.gain_at(made_up(), 28) != "unknown, not run"
    assert acted.gain_at(longer, 28) == "unknown, not run"


# --- whatever is missing ----------------------------------------------------------------------------------------------

DRAWN = {
    "arm_curves": lambda e: curves.arm_curves(e, {"one": ["scratch"], "two": []}),
    "protocols": lambda e: panels.protocols(e, ARMS),
    "mistaken": lambda e: panels.mistaken(e, (28, 720)),
    "recovery": lambda e: panels.recovery(provenance()),
}


@pytest.mark.parametrize("state", [made_up, lambda: nearly_empty(made_up())])
@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_opaque_closed_and_fits_the_page(name, state):
    before = dict(plt.rcParams)
    figure = DRAWN[name](state())
    assert plt.get_fignums() == [] and dict(plt.rcParams) == before
    assert to_rgba(figure.get_facecolor()) == to_rgba(figures.PAPER) and figure.get_figwidth() <= figures.WIDTH
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight")
    assert len(stored.getvalue()) < 400_000


def test_tables_stand_when_nearly_nothing_was_run():
    bare = nearly_empty(made_up())
    twins = [acted.protocol_table(bare, ARMS), acted.arm_table(bare, ARMS), acted.beside(bare, {})]
    twins += [acted.category_table(bare, "pretrained", [28]), acted.coding_table(bare, {})]
    for twin in twins:
        assert isinstance(twin, pd.DataFrame) and len(figures.table(twin, "twin").to_html()) > 100


def test_a_gain_over_a_rival_that_was_not_run_is_said_so():
    row = {"arm": "pretrained", "against": "scratch", "budget": 28, "metric": "uar", "emotion": "overall"}
    row |= {"protocol": "blind", "backbone": "b", "readout": "r", "estimate": 0.02, "low": 0.01, "high": 0.03}
    found = {"headline": "uar", "main": {"protocol": "blind", "backbone": "b", "readout": "r"}, "gains": [row]}
    assert acted.gain_at(found, 28) == "+0.020 (+0.010 to +0.030)"
    assert acted.gain_at(found, 56) == "unknown, not run"
    assert acted.gain_at(found, 28, ("pretrained", "scratch-4x")) == "unknown, not run"
