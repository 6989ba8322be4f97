"""Figures of pretraining: the mask and what fills it, the loss against its floors, what a representation knows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emo_ssl.evidence.lookup import NAMES
from emo_ssl.figures.study import FLOOR, whisker
from emo_ssl.figures.style import BLUE, GREY, INK, ORANGE, PALE, PAPER, WIDTH, spread_out, styled

PLATE = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.0}  # keeps a word legible on a line


def spans(hidden: np.ndarray) -> list[tuple[int, int]]:
    """Where runs of True (T,) begin and end."""
    edges = np.flatnonzero(np.diff(np.r_[0, hidden.astype(int), 0]))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


@styled
def pictures(panels: Mapping[str, np.ndarray], groups: Sequence[tuple[str, np.ndarray]], frame_rate: float) -> Figure:
    """Normalised frames (T, D) as pictures above each other, NaN in grey; groups: (title, positions of features)."""
    figure, rows = plt.subplots(len(panels), 1, figsize=(WIDTH, 0.7 + 2.35 * len(panels)), sharex=True, squeeze=False)
    order = np.concatenate([positions for _, positions in groups])
    edges = np.cumsum([0, *(len(positions) for _, positions in groups)])
    middles = spread_out((edges[:-1] + edges[1:]) / 2, 6.5, len(order))
    colours = plt.get_cmap("RdBu_r").with_extremes(bad=GREY)
    for axes, (title, values) in zip(rows[:, 0], panels.items(), strict=True):
        extent = (0, len(values) / frame_rate, len(order), 0)
        shown = np.ma.masked_invalid(values[:, order].T)
        image = axes.imshow(shown, cmap=colours, vmin=-3, vmax=3, aspect="auto", extent=extent, interpolation="nearest")
        for edge in edges[1:-1]:
            axes.axhline(edge, color=INK, linewidth=0.6)
        axes.set_yticks(middles, [name for name, _ in groups])
        axes.tick_params(axis="y", length=0)
        axes.set_title(title)
    rows[-1, 0].set_xlabel("seconds")
    bar = figure.colorbar(image, ax=rows[:, 0], shrink=0.5, pad=0.02, extend="both")
    bar.set_label("robust standard deviations\nfrom the training median")
    return figure


@styled
def filled_gaps(
    true: np.ndarray,
    guesses: Mapping[str, np.ndarray],
    hidden: np.ndarray,
    features: Mapping[str, int],
    frame_rate: float,
) -> Figure:
    """A few features (name -> column) of one window: what was there (T, D), and guesses at it behind the mask (T,)."""
    figure, rows = plt.subplots(
        len(features), 1, figsize=(WIDTH, 0.8 + 1.5 * len(features)), sharex=True, squeeze=False
    )
    seconds = np.arange(len(true)) / frame_rate
    looks = [{"color": BLUE, "linestyle": "-", "linewidth": 2.0}, {"color": ORANGE, "linestyle": "--"}]
    for axes, (name, column) in zip(rows[:, 0], features.items(), strict=True):
        for begin, end in spans(hidden):
            axes.axvspan(begin / frame_rate, end / frame_rate, color=PALE, alpha=0.6, linewidth=0)
        axes.plot(seconds, true[:, column], color=INK, linewidth=1.0)
        for guess, look in zip(guesses.values(), looks, strict=False):
            axes.plot(seconds, np.where(hidden, guess[:, column], np.nan), **look)
        axes.set_title(name, fontweight="normal")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    rows[-1, 0].set(xlabel="seconds", xlim=(0, len(true) / frame_rate))
    handles = [Line2D([], [], color=INK, linewidth=1.0, label="what was there"), Patch(color=PALE, label="hidden")]
    handles += [Line2D([], [], **look, label=name) for name, look in zip(guesses, looks, strict=False)]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, handlelength=1.6, columnspacing=1.2)
    return figure


@styled
def pretraining_loss(runs: Sequence[pd.DataFrame], floors: Mapping[str, float]) -> Figure:
    """Logs of one or more runs (columns step, held_out, NaN where it was not measured) against guesses of no model."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    for log in runs:
        known = log.dropna(subset="held_out")
        axes.plot(known["step"], known["held_out"], color=BLUE, marker="o", markersize=4)
    places = sorted(floors.items(), key=lambda item: item[1])
    for _, value in places:
        axes.axhline(value, **FLOOR)
    heights = [value for _, value in places]
    low, high = (
        min(heights + [log["held_out"].min() for log in runs]),
        max(heights + [log["held_out"].max() for log in runs]),
    )
    room = 0.09 * (high - low)
    for (name, _), height in zip(places, spread_out(np.array(heights), room, np.inf), strict=True):
        axes.text(
            1.0, height, name, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=9.5, bbox=PLATE
        )
    axes.set(xlabel="steps of training", ylabel="loss on hidden frames\nof held-out videos")
    axes.set_xlim(0, None)
    axes.legend(
        handles=[
            Line2D([], [], color=BLUE, marker="o", markersize=4, label="the model"),
            Line2D([], [], **FLOOR, label="without a model"),
        ],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
    )
    return figure


@styled
def knowledge(found: pd.DataFrame) -> Figure:
    """What `probes.knowledge` returned: a panel a question, a row a representation, dashed where chance lies."""
    questions = list(dict.fromkeys(found["question"]))
    names = list(dict.fromkeys(found["representation"]))
    figure, panels = plt.subplots(
        -(-len(questions) // 2),
        min(2, len(questions)),
        figsize=(WIDTH, 0.5 + 1.75 * -(-len(questions) // 2)),
        sharey=True,
        squeeze=False,
    )
    for axes, question in zip(panels.flat, questions, strict=False):
        of_question = found[found["question"] == question].set_index("representation")
        for row, name in enumerate(names):
            whisker(axes, of_question.loc[name], row, name, "value")
        axes.axvline(of_question["chance"].iloc[0], **FLOOR)
        axes.set_title(question)
        axes.set_xlabel(of_question["measure"].iloc[0])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlim(None, 1.03)
    for axes in panels.flat[len(questions) :]:
        axes.set_visible(False)
    panels[0, 0].set_yticks(range(len(names)), [NAMES.get(name, name) for name in names])
    panels[0, 0].set_ylim(len(names) - 0.5, -0.5)
    return figure
