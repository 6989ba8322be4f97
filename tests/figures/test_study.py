"""Figures of a study show every arm, every budget and every interval of a recorded study, where a reader looks."""

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from emo_ssl import figures
from emo_ssl.figures import style


def rows(evidence: dict, part: str, **wanted) -> list[dict]:
    """Those of the main group, by budget."""
    wanted |= evidence["main"]
    found = [row for row in evidence[part] if all(row.get(name) == value for name, value in wanted.items())]
    return sorted(found, key=lambda row: row["budget"])


def bars(axes) -> list[ErrorbarContainer]:
    return [container for container in axes.containers if isinstance(container, ErrorbarContainer)]


def ends(bar: ErrorbarContainer) -> np.ndarray:
    """The lower and upper end of every upright whisker (n, 2)."""
    return np.array([segment[:, 1] for segment in bar.lines[2][0].get_segments()])


def test_curves_show_every_arm_every_budget_and_every_interval(evidence):
    for axes, metric in zip(figures.budget_curves(evidence).axes, ("uar", "mae", "acc4"), strict=True):
        for bar, arm in zip(bars(axes), ("scratch", "pretrained"), strict=True):
            found = rows(evidence, "levels", arm=arm, metric=metric, emotion="overall")
            np.testing.assert_allclose(bar.lines[0].get_ydata().astype(float), [row["estimate"] for row in found])
            np.testing.assert_allclose(ends(bar), [[row["low"], row["high"]] for row in found])
            assert bar.lines[0].get_color() == style.ARMS[arm]["color"]
            # whiskers of two arms stand beside each other, yet at their budget
            assert (np.abs(bar.lines[0].get_xdata() / evidence["budgets"] - 1) < 0.05).all()
        floor = evidence["floors"]["overall"].get(metric, 1 / len(evidence["category_names"]))
        assert axes.lines[-1].get_ydata() == pytest.approx([floor, floor])


def test_gains_show_seeds_and_the_small_budgets_together(evidence):
    axes = figures.paired_gains(evidence).axes[0]
    pair = {"arm": "pretrained", "against": "scratch", "metric": "uar", "emotion": "overall"}
    found = rows({**evidence, "gains": [r for r in evidence["gains"] if r["budget"] != "small"]}, "gains", **pair)
    dots = [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert dots == [row["by_seed"] for row in found]
    np.testing.assert_allclose(ends(bars(axes)[0]), [[row["low"], row["high"]] for row in found])
    (small,) = rows(evidence, "gains", **pair, budget="small")
    band = axes.collections[-1].get_datalim(axes.transData)
    np.testing.assert_allclose([band.y0, band.y1], [small["low"], small["high"]])


def test_efficiency_points_out_of_the_study(evidence):
    inside = {"labels_beyond": None, "low_beyond": None, "high_beyond": None, "labels": 100.0, "low": 60, "high": 200}
    outside = {"labels_beyond": "more", "low_beyond": "less", "high_beyond": "more"}
    evidence["label_efficiency"] = [{**evidence["main"], "budget": 28, **inside, **more} for more in ({}, outside)]
    axes = figures.label_efficiency(evidence).axes[0]
    marks = [line.get_marker() for line in axes.lines if line.get_marker() != "None"]
    assert marks == ["_", "_", "o", "v", "^", "^"]


def test_forest_has_a_row_an_emotion_and_one_for_all(evidence):
    (axes,) = figures.emotion_forest(evidence, ["mae"]).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [*evidence["target_names"], "mean of all"]
    centres = np.concatenate([bar.lines[0].get_xdata() for bar in bars(axes)])
    pair = {"arm": "pretrained", "against": "scratch", "metric": "mae", "budget": "small"}
    expected = [rows(evidence, "gains", **pair, emotion=e)[0]["estimate"] for e in (*names[:-1], "overall")]
    np.testing.assert_allclose(centres, expected)


def test_confusion_writes_shares_of_rows_and_leaves_empty_rows_empty(evidence):
    counts = np.zeros((2, 4, 4), int)
    counts[:, :2, 0], counts[:, 1, 1] = 9, 3
    categories = {28: [[3, 1, 0], [2, 2, 0], [0, 0, 0]], 56: [[4, 0, 0], [0, 3, 1], [0, 0, 0]]}
    evidence |= {"target_names": ["happy", "sad"], "category_names": ["neutral", "happy", "sad"]}
    evidence["confusion"] = [
        {"arm": "pretrained", "budget": b, "four_classes": counts.tolist(), "categories": c}
        for b, c in categories.items()
    ]
    axes = figures.class_confusion(evidence, 28).axes[0]
    assert [text.get_text() for text in axes.texts] == ["100", "0", "0", "0", "75", "25", "0", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0 (9)", "1 (12)", "2 (0)", "3 (0)"]
    few, more = figures.category_confusion(evidence, [28, 56]).axes
    assert [text.get_text() for text in few.texts] == ["75", "25", "0", "50", "50", "0"]
    assert [text.get_text() for text in more.texts] == ["100", "0", "0", "0", "75", "25"]
