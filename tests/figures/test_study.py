"""Figures of results and their tables: drawn from a made-up evidence JSON, whole, with holes, and nearly empty."""

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

from emo_ssl.evidence import lookup
from emo_ssl.figures import pretraining as pictures
from emo_ssl.figures import study as curves
from emo_ssl.figures import style as figures

EMOTIONS = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
BUDGETS = [28, 56, 112, 300]
SMALL = BUDGETS[:3]
MAIN = {"protocol": "speaker-independent", "backbone": "transformer", "readout": "ordinal"}
ARMS = ("scratch", "pretrained", "frozen-random", "frozen-permuted", "statistics", "constants", "unheard-of")
METRICS = ("auroc", "mae", "acc4")


def row(estimate: float, half: float = 0.05, **more) -> dict:
    return {**MAIN, **more, "estimate": estimate, "low": estimate - half, "high": estimate + half}


def made_up() -> dict:
    """An arm is better by its place, a budget by its own: every number can be told from every other."""
    levels, gains = [], []
    for a, arm in enumerate(ARMS):
        emotions = ["overall", *EMOTIONS] if arm in lookup.ARMS else ["overall"]
        for b, budget in enumerate(BUDGETS):
            for metric in METRICS:
                for e, emotion in enumerate(emotions):
                    value = 0.5 + 0.01 * a + 0.03 * b + 0.001 * e
                    levels.append(
                        row(
                            value, arm=arm, budget=budget, metric=metric, emotion=emotion, by_seed=[value - 0.01, value]
                        )
                    )
    for budget in [*BUDGETS, "small"]:
        for metric in METRICS:
            for e, emotion in enumerate(["overall", *EMOTIONS]):
                pair = {"arm": "pretrained", "against": "scratch", "budget": budget}
                more = {"p": 0.04, "p_holm": 0.2, "by_seed": [0.0, 0.02]}
                gains.append(row(0.01 * (e + 1), metric=metric, emotion=emotion, **pair, **more))
    stranger = {**gains[0], "protocol": "speaker-adapted", "estimate": 99.0}
    parts = [
        {"name": "gain", "estimate": 0.1, "low": None, "high": None, "level": 0.95, "required": "> 0", "met": False}
    ]
    claims = [
        {
            "claim": f"C{i}",
            "title": f"title {i}",
            "verdict": "not shown",
            "reason": "inconclusive: so",
            "effects": parts,
        }
        for i in range(1, 5)
    ]
    needed = {"labels": 300.0, "low": 28.0, "high": 300.0, "labels_beyond": "more", "low_beyond": "less"}
    efficiency = [{**MAIN, "budget": b, **needed, "high_beyond": "more", "text": "more than 300"} for b in BUDGETS]
    efficiency[1] |= {"labels": 80.0, "labels_beyond": None, "low": None, "high": None}
    counts = np.zeros((6, 4, 4), int)
    counts[:, :2, 0] = 9
    counts[:, 1, 1] = 3
    return {
        "main": MAIN,
        "headline": "auroc",
        "target_names": EMOTIONS,
        "category_names": [],
        "budgets": BUDGETS,
        "small_budgets": SMALL,
        "full_budget": 300,
        "seeds": 2,
        "items": 90,
        "prevalence": dict.fromkeys(EMOTIONS, 0.2),
        "floors": {name: {"mae": 0.2, "acc4": 0.9} for name in ("overall", *EMOTIONS)},
        "ledger": [{**c, "remarks": []} for c in claims],
        "gains": [*gains, stranger],
        "levels": levels,
        "controls": [
            row(0.01, arm="pretrained", against=arm, p=0.5, p_holm=1.0) for arm in reversed(ARMS) if arm != "pretrained"
        ],
        "label_efficiency": efficiency,
        "confusion": [{"arm": "pretrained", "budget": 28, "four_classes": counts.tolist(), "categories": []}],
    }


def made_up_results() -> pd.DataFrame:
    rows = [
        {
            **MAIN,
            "arm": "pretrained",
            "fold": f,
            "budget": b,
            "seed": s,
            "emotion": e,
            "metric": m,
            "value": 0.1 + 0.01 * s,
        }
        for f in (0, 1)
        for b in BUDGETS
        for s in (0, 1)
        for e in (*EMOTIONS, "overall")
        for m in ("mae", "acc4")
    ]
    return pd.DataFrame(rows)


def emptied(evidence: dict) -> dict:
    """A study in which nothing but the baseline was run."""
    found = copy.deepcopy(evidence)
    found["levels"] = [r for r in found["levels"] if r["arm"] == "scratch"]
    return found | {
        "gains": [],
        "controls": [],
        "label_efficiency": [],
        "confusion": [],
        "small_budgets": [],
        "floors": {},
    }


def without_intervals(evidence: dict) -> dict:
    """One seed: estimates stand, intervals are None."""
    found = copy.deepcopy(evidence)
    for part in ("gains", "levels", "controls", "label_efficiency"):
        for r in found[part]:
            r["low"] = r["high"] = None
    return found


def undefined(evidence: dict) -> dict:
    found = without_intervals(evidence)
    for part in ("gains", "levels", "controls"):
        for r in found[part]:
            r["estimate"] = None
    return found


DRAWN = {
    "budget_curves": lambda e: curves.budget_curves(e),
    "arm_curves": lambda e: curves.arm_curves(e, lookup.arm_groups(e)),
    "paired_gains": lambda e: curves.paired_gains(e),
    "label_efficiency": lambda e: curves.label_efficiency(e),
    "controls": lambda e: curves.controls(e),
    "emotion_curves": lambda e: curves.emotion_curves(e),
    "emotion_forest": lambda e: curves.emotion_forest(e),
    "skills": lambda e: curves.skills(e, made_up_results(), (28, 300)),
    "confusion": lambda e: curves.confusion(e, 28),
}
STATES = {"whole": lambda e: e, "empty": emptied, "one seed": without_intervals, "undefined": undefined}


def bars(axes) -> list[ErrorbarContainer]:
    return [c for c in axes.containers if isinstance(c, ErrorbarContainer)]


def ends(bar: ErrorbarContainer) -> np.ndarray:
    """The lower and upper end of every upright whisker (n, 2)."""
    return np.array([segment[:, 1] for segment in bar.lines[2][0].get_segments()])


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_opaque_closed_and_fits_the_page_whatever_is_missing(name, state):
    before = dict(plt.rcParams)
    figure = DRAWN[name](STATES[state](made_up()))
    assert plt.get_fignums() == [] and dict(plt.rcParams) == before
    assert to_rgba(figure.get_facecolor()) == to_rgba(figures.PAPER) and figure.get_figwidth() <= figures.WIDTH
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight")
    assert len(stored.getvalue()) < 400_000


def test_curves_show_every_arm_every_budget_and_every_interval():
    headline, mae, acc4 = curves.budget_curves(made_up()).axes
    for axes, metric in ((headline, "auroc"), (mae, "mae"), (acc4, "acc4")):
        assert len(bars(axes)) == 2
        for bar, arm in zip(bars(axes), lookup.ARMS, strict=True):
            found = lookup.levels(made_up(), arm, metric)
            np.testing.assert_allclose(np.asarray(bar.lines[0].get_ydata(), float), found["estimate"])
            np.testing.assert_allclose(ends(bar), found[["low", "high"]])
            assert bar.lines[0].get_color() == figures.STYLE[arm]["color"]
            # whiskers of two arms stand beside each other, yet at their budget
            assert (np.abs(bar.lines[0].get_xdata() / BUDGETS - 1) < 0.05).all()
    floors = [
        line.get_ydata()[0] for axes in (headline, mae, acc4) for line in axes.lines if line.get_linestyle() == "--"
    ]
    assert {0.5, 0.2, 0.9} <= set(floors)


def test_curves_leave_out_what_was_not_run():
    axes = curves.budget_curves(emptied(made_up())).axes[0]
    assert len(bars(axes)) == 1
    labels = [text.get_text() for text in curves.budget_curves(emptied(made_up())).legends[0].get_texts()]
    assert labels == ["from scratch", "chance or best constant"]


def test_a_missing_interval_has_no_whisker():
    axes = curves.budget_curves(without_intervals(made_up())).axes[0]
    for bar in bars(axes):
        assert (np.ptp(ends(bar), axis=1) == 0).all()


def test_a_log_axis_names_budgets_that_do_not_touch():
    figure, axes = plt.subplots()
    curves.budget_axis(axes, [28, 56, 112, 224, 448, 600], 0.12)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    plt.close(figure)
    assert labels == ["28", "56", "112", "224", "", "600"] and axes.get_xscale() == "log"


def test_gains_show_seeds_and_the_small_budgets_together():
    axes = curves.paired_gains(made_up()).axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert len(dots) == len(BUDGETS) and all(list(d.get_ydata()) == [0.0, 0.02] for d in dots)
    band = axes.collections[-1] if axes.collections else None
    assert band is not None
    np.testing.assert_allclose(ends(bars(axes)[0]), [[-0.04, 0.06]] * 4)


def test_equal_numbers_are_not_blown_up():
    figure, axes = plt.subplots()
    axes.plot([0, 1], [0.5, 0.5 + 1e-15])
    curves.enough_room(axes)
    plt.close(figure)
    assert np.ptp(axes.get_ylim()) >= 0.0199


def test_efficiency_points_out_of_the_study():
    axes = curves.label_efficiency(made_up()).axes[0]
    marks = [line.get_marker() for line in axes.lines]
    assert marks.count("^") >= 3 and marks.count("v") >= 3 and marks.count("o") == 1


def test_forest_has_a_row_an_emotion_and_one_for_all():
    panels = curves.emotion_forest(made_up()).axes
    assert [label.get_text() for label in panels[0].get_yticklabels()] == [*EMOTIONS, "mean of all"]
    centres = [bar.lines[0].get_xdata()[0] for bar in bars(panels[0])]
    np.testing.assert_allclose(centres, [0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.01])


def test_confusion_writes_shares_of_rows_and_leaves_empty_rows_empty():
    axes = curves.confusion(made_up(), 28).axes[0]
    words = [text.get_text() for text in axes.texts]
    assert words == ["100", "0", "0", "0", "75", "25", "0", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0 (9)", "1 (12)", "2 (0)", "3 (0)"]


def test_every_arm_of_a_study_has_a_look_of_its_own():
    looks = {arm: look for arm, look in curves.LOOKS.items() if arm != "constants"}
    for part in ("color", "linestyle", "marker"):
        assert len({str(look[part]) for look in looks.values()}) == len(looks), part
    assert set(lookup.NAMES) <= set(curves.LOOKS)


# --- pretraining ------------------------------------------------------------------------------------------------------


def test_spans_are_the_runs_of_what_is_hidden():
    hidden = np.array([True, True, False, True, False, False, True])
    assert pictures.spans(hidden) == [(0, 2), (3, 4), (6, 7)] and pictures.spans(np.zeros(3, bool)) == []


def test_pictures_of_pretraining():
    rng = np.random.default_rng(0)
    true, hidden = rng.normal(size=(60, 9)), np.arange(60) % 20 < 8
    seen = np.where(hidden[:, None], np.nan, true)
    groups = [("pitch", np.arange(2)), ("rest", np.arange(2, 9))]
    figure = pictures.pictures({"a": true, "b": seen}, groups, 100)
    assert figure.axes[1].images[0].get_array().mask.sum() == hidden.sum() * 9
    figure = pictures.filled_gaps(true, {"model": true, "line": true}, hidden, {"F0": 0, "x": 3}, 100)
    assert [len(axes.lines) for axes in figure.axes] == [3, 3] and len(figure.axes[0].patches) == 3
    logs = [pd.DataFrame({"step": [0, 1, 2], "held_out": [1.0, np.nan, v]}) for v in (0.5, 0.6)]
    axes = pictures.pretraining_loss(logs, {"mean frame": 0.7, "line": 0.65}).axes[0]
    assert [len(line.get_xdata()) for line in axes.lines[:2]] == [2, 2]
    assert {text.get_text() for text in axes.texts} == {"mean frame", "line"}
    known = pd.DataFrame(
        [(q, "AUROC", r, 0.6, 0.5, 0.7, 0.5) for q in ("one", "two", "three") for r in ("pretrained", "statistics")],
        columns=["question", "measure", "representation", "value", "low", "high", "chance"],
    )
    panels = pictures.knowledge(known).axes
    assert [axes.get_visible() for axes in panels] == [True, True, True, False]
    assert all(len(bars(axes)) == 2 for axes in panels[:3]) and plt.get_fignums() == []
