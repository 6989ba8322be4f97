"""Figures of data: features by time, labels, what constants reach, what a leaking split gives away."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emo_ssl.figures import style

CLASSES = (style.PALE, "#9ccbe8", style.SKY, style.BLUE)  # from 0, not there, to 3, very strong
CONSTANTS = ((style.ORANGE, "s", -0.2), (style.BLUE, "^", 0.0), (style.INK, "o", 0.2))  # colour, marker, shift
SPLITS = ((style.VERMILLION, "s", -0.17), (style.BLUE, "o", 0.17))  # the leaking one first


@style.styled
def feature_pictures(
    panels: Mapping[str, np.ndarray], groups: Sequence[tuple[str, np.ndarray]], frame_rate: float
) -> Figure:
    """Normalised frames (T, D) as pictures above each other, NaN = missing; groups: (title, positions of features)."""
    tall = 3.4 if len(panels) == 1 else 2.0
    figure, rows = style.small_multiples(len(panels), 1, tall + 0.35, 0.7, "seconds", sharex=True)
    order = np.concatenate([positions for _, positions in groups])
    edges = np.cumsum([0, *(len(positions) for _, positions in groups)])
    middles = spread_out((edges[:-1] + edges[1:]) / 2, 0.165 * len(order) / tall, len(order))
    colours = plt.get_cmap("RdBu_r").with_extremes(bad=style.YELLOW)
    for axes, (title, values) in zip(rows, panels.items(), strict=True):
        extent = (0, len(values) / frame_rate, len(order), 0)
        shown = np.ma.masked_invalid(values[:, order].T)
        image = axes.imshow(shown, cmap=colours, vmin=-3, vmax=3, aspect="auto", extent=extent, interpolation="nearest")
        for edge in edges[1:-1]:
            axes.axhline(edge, color=style.INK, linewidth=0.8)
        axes.set_yticks(middles, [f"{name} ({len(positions)})" for name, positions in groups])
        axes.tick_params(axis="y", length=0)
        axes.set_title(title)
        if np.ma.is_masked(shown):
            key = [Patch(color=style.YELLOW, label="missing")]
            axes.legend(handles=key, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.2)
    bar = figure.colorbar(image, ax=rows, shrink=0.75 if len(rows) == 1 else 0.5, pad=0.02, extend="both")
    bar.set_label("robust standard deviations\nfrom the training median")
    return figure


@style.styled
def label_distribution(classes: np.ndarray, above_zero: np.ndarray, names: Sequence[str]) -> Figure:
    """Shares of the four classes (E, 4) as stacked bars, and beside them the share of segments above 0 (E,)."""
    figure, axes = plt.subplots(figsize=(style.WIDTH, 2.5))
    left = classes.cumsum(1) - classes
    for number, colour in enumerate(CLASSES):
        axes.barh(names, classes[:, number], 0.7, left[:, number], color=colour, label=f"class {number}")
    axes.plot(1 - above_zero, names, "D", color=style.INK, markersize=5, label="present from here")
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set(xlabel="share of segments", xlim=(0, 1))
    style.legend(figure, 5, columnspacing=1.0, handlelength=1.0)
    return figure


@style.styled
def constant_baselines(values: Mapping[str, Mapping[str, np.ndarray]], names: Sequence[str]) -> Figure:
    """What constants reach: constant -> {"mae", "acc4"} -> (E,)."""
    figure, (mae, accuracy) = style.small_multiples(2, 2, 3.2, sharey=True)
    for (constant, reached), (colour, marker, shift) in zip(values.items(), CONSTANTS, strict=True):
        for axes, metric in ((mae, "mae"), (accuracy, "acc4")):
            axes.plot(reached[metric], np.arange(len(names)) + shift, marker, color=colour, label=constant)
            axes.grid(axis="y")
    mae.set(title="Mean absolute error", xlabel="lower is better", xlim=(0, None))
    accuracy.set(title="4-class accuracy", xlabel="higher is better", xlim=(None, 1))
    accuracy.xaxis.set_major_formatter("{x:.0%}")
    style.name_rows(mae, names)
    style.legend(figure, 3)
    return figure


@style.styled
def leakage(scores: pd.DataFrame) -> Figure:
    """Tidy scores of copied answers, columns split, answer, metric, value (a row a repetition): a panel a metric."""
    answers, splits = list(scores["answer"].unique()), scores["split"].unique()
    looks = dict(zip(splits, SPLITS, strict=True))
    count = scores["metric"].nunique()
    figure, panels = style.small_multiples(count, count, 3.2, sharey=True)
    for axes, (metric, of_metric) in zip(panels, scores.groupby("metric", sort=False), strict=True):
        for (answer, split), rows in of_metric.groupby(["answer", "split"], sort=False):
            colour, marker, shift = looks[split]
            height, chosen = answers.index(answer) + shift, rows["value"]
            around = height + np.linspace(-0.1, 0.1, len(chosen))
            axes.plot(chosen, around, ".", color=colour, alpha=0.35, markersize=4)
            mean = {"color": colour, "markeredgecolor": style.PAPER, "label": f"split by {split}"}
            axes.plot(chosen.mean(), height, marker, **mean)
        axes.set(title=metric, xlabel="lower is better" if metric == "MAE" else "higher is better")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.grid(axis="x")
    panels[-1].axvline(0.5, **style.BASELINE)  # chance of the AUROC, which comes last
    style.name_rows(panels[0], answers)
    style.legend(figure, 2)
    return figure


def spread_out(places: np.ndarray, apart: float, end: float) -> np.ndarray:
    """Places in rising order, moved down and then up as little as needed to keep labels `apart` inside 0 .. end."""
    steps = apart * np.arange(len(places))
    return np.minimum(np.maximum.accumulate(places - steps) + steps, end - steps[::-1])
