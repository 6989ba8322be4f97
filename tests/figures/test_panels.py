"""Figures of a study of acted voices: every number is where a reader looks for it, whatever is missing."""

import io

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from evidence.test_tables import ADAPTED, ARMS, BUDGETS, made_up, nearly_empty, provenance, value
from matplotlib.colors import to_rgba
from matplotlib.container import ErrorbarContainer

from emo_ssl.figures import panels
from emo_ssl.figures import study as curves
from emo_ssl.figures import style as figures


def bars(axes) -> list[ErrorbarContainer]:
    return [c for c in axes.containers if isinstance(c, ErrorbarContainer)]


@pytest.mark.parametrize(
    ("protocols", "seeds"),
    [(("speaker-independent", "speaker-adapted"), 3), (("speaker-independent",), 1), (("speaker-independent",), 0)],
)
def test_recovery_draws_every_run_and_every_baseline(protocols, seeds):
    axes = panels.recovery(provenance(protocols, seeds=seeds)).axes
    assert len(axes) == len(protocols)
    dots = [y for line in axes[0].lines for y in line.get_ydata()]
    assert sorted(dots) == pytest.approx(sorted(0.4 - 0.01 * s + 0.1 * f for s in range(seeds) for f in range(2)))
    assert len(axes[0].collections) == (6 if seeds else 0)  # three rungs in each of two folds


def test_protocols_stand_beside_each_other():
    blind, known = panels.protocols(made_up(), ["scratch", "statistics"]).axes
    assert blind.get_title(loc="left").startswith("BLIND") and known.get_title(loc="left").startswith("ADAPTED")
    assert blind.get_facecolor() != known.get_facecolor() and blind.get_ylim() == known.get_ylim()
    for axes, protocol in ((blind, "speaker-independent"), (known, "speaker-adapted")):
        for bar, arm in zip(bars(axes), ("scratch", "statistics"), strict=True):
            budgets = BUDGETS if protocol == "speaker-independent" else ADAPTED
            np.testing.assert_allclose(bar.lines[0].get_ydata(), [value(protocol, arm, b) for b in budgets])


def test_arm_curves_put_every_arm_into_its_panel():
    groups = {"one": ["scratch", "pretrained"], "two": ["statistics", "not run"]}
    left, right = curves.arm_curves(made_up(), groups).axes
    assert (len(bars(left)), len(bars(right))) == (2, 1) and left.get_title(loc="left") == "one"


def test_mistakes_are_shares_of_the_true_category():
    few, full = panels.mistaken(made_up(), [28, 720]).axes
    assert [text.get_text() for text in few.texts] == ["75", "25", "0", "50", "50", "0"]  # the empty row stays empty
    assert [text.get_text() for text in full.texts] == ["100", "0", "0", "0", "75", "25"]


DRAWN = {
    "arm_curves": lambda e: curves.arm_curves(e, {"one": ["scratch"], "two": []}),
    "protocols": lambda e: panels.protocols(e, ARMS),
    "mistaken": lambda e: panels.mistaken(e, (28, 720)),
    "recovery": lambda e: panels.recovery(provenance()),
}


@pytest.mark.parametrize("state", [made_up, nearly_empty])
@pytest.mark.parametrize("name", DRAWN)
def test_figure_is_opaque_closed_and_fits_the_page(name, state):
    before = dict(plt.rcParams)
    figure = DRAWN[name](state())
    assert plt.get_fignums() == [] and dict(plt.rcParams) == before
    assert to_rgba(figure.get_facecolor()) == to_rgba(figures.PAPER) and figure.get_figwidth() <= figures.WIDTH
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight")
    assert len(stored.getvalue()) < 400_000
