"""Labels that training from scratch needs for the same: by hand, and its coverage where the truth is known."""

import numpy as np
import pytest
import simulated_predictions as simulated

from emo_ssl.evidence.claims import main_group
from emo_ssl.evidence.effects import compute
from emo_ssl.evidence.efficiency import ABOVE, BELOW, isotonic, label_efficiency, labels_needed
from emo_ssl.study.predictions import StudyPredictions

MAIN = main_group(simulated.meta(1))


def test_isotonic_pools_what_falls():
    assert isotonic(np.array([[1.0, 3, 2, 4], [4, 2, 0, 2], [1, 1, 1, 1]])) == pytest.approx(
        np.array([[1, 2.5, 2.5, 4], [2, 2, 2, 2], [1, 1, 1, 1]])
    )
    assert isotonic(np.ones((2, 1))).tolist() == [[1], [1]]


def test_labels_needed_by_hand():
    budgets = np.array([10.0, 100, 1000])
    curve = np.array([[0.1, 0.2, 0.4]])

    def needed(target, had=10, given=curve):
        return labels_needed(given, np.array([target]), budgets, had)[0]

    assert needed(0.15) == pytest.approx(10**1.5)
    assert needed(0.3) == pytest.approx(10**2.5)
    assert needed(0.2) == pytest.approx(100)
    assert needed(0.4) == pytest.approx(1000)
    assert needed(0.41) == ABOVE
    assert needed(0.09) == BELOW
    assert np.isnan(needed(np.nan))
    level = np.array([[0.2, 0.2, 0.4]])  # anything from 10 to 100 gives .2
    assert [needed(0.2, had, level) for had in (10, 50, 1000)] == pytest.approx([10, 50, 100])
    assert labels_needed(np.array([[0.3]]), np.array([0.3]), np.array([28.0]), 28) == pytest.approx([28])


@pytest.mark.slow
def test_label_efficiency_covers_the_shift_of_the_curve(tmp_path):
    """Pretrained at a budget is as strong as scratch at the next one: it needs half the labels."""
    budgets = (28, 56, 112, 224)
    strengths = {"scratch": (0.1, 0.6, 1.1, 1.6), "pretrained": (0.6, 1.1, 1.6, 2.4)}
    covered, last = [], []
    for scenario in range(25):
        simulated.study(tmp_path, strengths, each=8, seeds=5, budgets=budgets, seed=scenario)
        rows = label_efficiency(compute(StudyPredictions.open(tmp_path), 120, scenario), MAIN)
        covered += [row["low"] <= 2 * row["budget"] <= row["high"] for row in rows[:2]]
        last.append(rows[3])
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(covered))
    # above the full budget nobody knows
    assert all(row["labels_beyond"] == "more" and row["text"].startswith("more than 224") for row in last)


def test_one_budget_gives_no_label_efficiency(tmp_path):
    simulated.study(tmp_path, {"scratch": (1,), "pretrained": (1,)}, budgets=(28,), units=4)
    assert label_efficiency(compute(StudyPredictions.open(tmp_path), 10, 0), MAIN) == []
