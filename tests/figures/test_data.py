"""Figures of data and of pretraining show the numbers that they were given."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from emo_ssl import figures
from emo_ssl.core.metrics import BASELINES
from emo_ssl.figures import style


def test_missing_values_have_a_colour_of_their_own():
    values = np.zeros((20, 3))
    values[10:15, 2] = np.nan
    groups = [("pitch", np.arange(1)), ("rest", np.arange(1, 3))]
    whole, holes, _ = figures.feature_pictures({"a": np.zeros((20, 3)), "b": values}, groups, 10).axes
    image = holes.images[0]
    assert image.get_array().mask.sum() == 5 and tuple(image.get_cmap().get_bad()) == to_rgba(style.YELLOW)
    assert whole.get_legend() is None and holes.get_legend().get_texts()[0].get_text() == "missing"
    assert [label.get_text() for label in holes.get_yticklabels()] == ["pitch (1)", "rest (2)"]


def test_stacked_bars_end_at_one():
    classes = np.array([[0.5, 0.3, 0.15, 0.05], [0.9, 0.1, 0, 0]])
    axes = figures.label_distribution(classes, np.array([0.7, 0.2]), ["a", "b"]).axes[0]
    np.testing.assert_allclose([bar.get_x() for bar in axes.containers[2]], [0.8, 1.0])
    np.testing.assert_allclose([bar.get_x() + bar.get_width() for bar in axes.containers[-1]], 1)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.3, 0.8])


def test_gaps_show_guesses_where_frames_are_hidden_and_nowhere_else():
    true, hidden = np.arange(12.0).reshape(6, 2), np.array([False, True, True, False, False, True])
    (axes,) = figures.filled_gaps(true, {"model": true + 1, BASELINES[2]: true + 2}, hidden, {"F0": 1}, 100).axes
    there, model, line = (curve.get_ydata() for curve in axes.lines)
    assert there.tolist() == true[:, 1].tolist() and (np.isnan(model) == ~hidden).all()
    assert model[hidden].tolist() == (true[hidden, 1] + 1).tolist()
    assert line[hidden].tolist() == (true[hidden, 1] + 2).tolist()


def test_losses_leave_out_steps_without_a_measurement():
    logs = [pd.DataFrame({"step": [0, 1, 2], "held_out": [1.0, np.nan, v]}) for v in (0.5, 0.6)]
    figure = figures.pretraining_loss(logs, {BASELINES[0]: 0.7, BASELINES[2]: 0.65})
    one, other, *flat = figure.axes[0].lines
    assert one.get_ydata().tolist() == [1, 0.5] and other.get_xdata().tolist() == [0, 2]
    assert [line.get_ydata()[0] for line in flat] == [0.7, 0.65]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model", BASELINES[0], BASELINES[2]]


@pytest.mark.parametrize(
    ("protocols", "seeds"), [(("speaker-independent", "speaker-adapted"), 3), (("speaker-independent",), 1)]
)
def test_losses_by_fold_show_every_run_and_every_baseline(protocols, seeds):
    runs = [
        {"fold": f, "seed": s, "protocol": p, "held_out": {"model": f + s, **dict.fromkeys(BASELINES, 9)}}
        for f in range(2)
        for s in range(seeds)
        for p in protocols
    ]
    panels = figures.losses_by_fold({"pretraining": runs}).axes
    assert [axes.get_title(loc="left") for axes in panels] == list(protocols)
    dots = [line.get_ydata().tolist() for line in panels[0].lines]
    assert dots == [list(range(seeds)), list(range(1, seeds + 1))]
    assert len(panels[0].collections) == 2 * len(BASELINES)


@pytest.mark.parametrize("truth", [(), [(0.5, "happy"), (2.0, "neutral"), (4.0, "sad"), (6.0, "happy")]])
def test_presence_over_time_shows_every_window_the_whole_and_the_truth(truth):
    rows = pd.DataFrame({"part": ["overall", "window", "window"], "start": [0.0, 0, 1], "end": [9.0, 3, 4]})
    names = ["happy", "sad", "fear"]
    rows = rows.assign(happy_presence=[0.5, 0.2, 0.7], sad_presence=[0.1, 0.3, 0.4], fear_presence=0.5)
    panels = figures.presence_over_time(rows, names, truth).axes
    for axes, name in zip(panels, names, strict=True):
        line, whole = axes.lines
        assert axes.get_title(loc="left") == name and line.get_xdata().tolist() == [1.5, 2.5]
        assert [*set(whole.get_ydata()), *line.get_ydata()] == rows[f"{name}_presence"].tolist()
    shaded = [sorted((patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches) for axes in panels]
    assert shaded == ([[(0.5, 2.0), (6.0, 9.0)], [(4.0, 6.0)], []] if truth else [[], [], []])
