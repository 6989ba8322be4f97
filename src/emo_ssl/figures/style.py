"""Every figure of the book: plain arrays in, a matplotlib Figure out, one calm style for all of them.

Colours are close to those of Okabe and Ito, moved until every kind of colour vision tells all nine apart and a thin
line stands out from white. An arm of the study has one colour, dash and marker everywhere, so a grey print works
as well. Only this file and the notebooks know of matplotlib and seaborn; the rest of the library stays light.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from pandas.io.formats.style import Styler

from emo_ssl.figures.typography import typeset

INK, GREY, PALE, PAPER = "#222222", "#767676", "#d9d9d9", "#ffffff"
ORANGE, SKY, GREEN, YELLOW, OLIVE = "#dd9500", "#56a9dc", "#005f4b", "#f0e442", "#5c4d00"
BLUE, VERMILLION, PURPLE = "#0063a6", "#d55e00", "#cc79a7"
WIDTH = 6.2  # inches: from edge to edge of a phone letters of 9.5 points, the smallest, are 8 of its 390 pixels high

STYLE = {
    "scratch": {"color": VERMILLION, "linestyle": "--", "marker": "s"},
    "pretrained": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "frozen-pretrained": {"color": SKY, "linestyle": "-.", "marker": "^"},
    "frozen-random": {"color": ORANGE, "linestyle": ":", "marker": "v"},
    "permuted": {"color": PURPLE, "linestyle": (0, (6, 2, 1, 2, 1, 2)), "marker": "D"},
    "statistics": {"color": GREEN, "linestyle": (0, (8, 2)), "marker": "P"},
    "pca": {"color": OLIVE, "linestyle": (0, (3, 1, 1, 1)), "marker": "X"},
    "length": {"color": INK, "linestyle": (0, (1, 3)), "marker": "*"},
    "floor": {"color": GREY, "linestyle": (0, (4, 4)), "marker": ""},
}
STYLE["constants"] = STYLE["floor"]

SETTINGS = {
    "figure.dpi": 200,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.8,
    "font.size": 10,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every computer
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.6,
    "lines.markersize": 6,
    "patch.linewidth": 0,
}


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in our style and close the figure, so that a notebook shows it once: as the cell's value."""

    @wraps(draw)
    def draw_in_style(*arguments, **options) -> Figure:
        with plt.rc_context(SETTINGS):
            figure = draw(*arguments, **options)
        plt.close(figure)
        return figure

    return draw_in_style


def table(
    frame: pd.DataFrame,
    name: str,
    formats: Mapping[str, str] | str | None = None,
    index: bool = True,
    wide: bool = False,
) -> Styler:
    """A table for a page, the twin of a figure; formats as in pandas. `name` keeps its ids the same on every run.

    One that is `wide` holds sentences: on a phone it scrolls in its box instead of breaking them into single words.
    """
    frame = frame.rename_axis(index=None, columns=[None] * frame.columns.nlevels)  # their names would take a row
    look = "margin-bottom: 1.2em" + ("; min-width: 34em" if wide else "")
    shown = frame.style.set_uuid(name).set_table_attributes(f'class="dataframe" style="{look}"')
    of_column = formats if isinstance(formats, Mapping) else dict.fromkeys(frame.columns, formats)
    shown = shown.format({name: printed(of_column.get(name)) for name in frame.columns}, na_rep="–")
    return shown if index else shown.hide(axis="index")


def folded(shown: Styler, title: str) -> str:
    """A long table as HTML that opens on a click: for those who want every line."""
    return f"<details><summary>{html.escape(title)}</summary>{shown.to_html()}</details>"


def printed(template: str | None) -> Callable[[object], str]:
    """How a column's values are written: by a format, or as text, whole numbers and three decimals are."""

    def write(value: object) -> str:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        usual = "{:,.3f}" if isinstance(value, float | np.floating) else "{:,}" if whole else "{}"
        return typeset((template or usual).format(value))

    return write


# --- the data ---------------------------------------------------------------------------------------------------------


@styled
def segment_picture(values: np.ndarray, groups: Sequence[tuple[str, np.ndarray]], frame_rate: float) -> Figure:
    """Normalised frames (T, D), NaN = missing, as a picture; groups: (title, positions of its features)."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    order = np.concatenate([positions for _, positions in groups])
    colours = plt.get_cmap("RdBu_r").with_extremes(bad=YELLOW)
    extent = (0, len(values) / frame_rate, len(order), 0)
    shown = np.ma.masked_invalid(values[:, order].T)
    image = axes.imshow(shown, cmap=colours, vmin=-3, vmax=3, aspect="auto", extent=extent, interpolation="nearest")
    edges = np.cumsum([0, *(len(positions) for _, positions in groups)])
    for edge in edges[1:-1]:
        axes.axhline(edge, color=INK, linewidth=0.8)
    middles = spread_out((edges[:-1] + edges[1:]) / 2, 3.0, len(order))
    axes.set_yticks(middles, [f"{title} ({len(positions)})" for title, positions in groups])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds")
    bar = figure.colorbar(image, ax=axes, shrink=0.75, pad=0.02, extend="both")
    bar.set_label("robust standard deviations\nfrom the training median")
    if np.ma.is_masked(shown):
        axes.legend(handles=[Patch(color=YELLOW, label="missing")], loc="lower right", bbox_to_anchor=(1, 1.0))
    return figure


def spread_out(places: np.ndarray, apart: float, end: float) -> np.ndarray:
    """Places in rising order, moved down and then up as little as needed to keep labels `apart` inside 0 .. end."""
    moved = np.array(places, float)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + apart)
    if len(moved):
        moved[-1] = min(moved[-1], end)
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - apart)
    return moved


@styled
def voice_trace(pitch: np.ndarray, voiced: np.ndarray, frame_rate: float) -> Figure:
    """Pitch (T,) in Hz and voicing (T,) bool: what is said with vibrating vocal folds, and how high."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.7))
    seconds = np.arange(len(pitch)) / frame_rate
    axes.fill_between(
        seconds, 0, 1, where=voiced, step="post", transform=axes.get_xaxis_transform(), color=BLUE, alpha=0.12, lw=0
    )
    axes.plot(seconds, np.where(voiced, np.nan, pitch), ".", color=GREY, markersize=1.6)
    axes.plot(seconds, np.where(voiced, pitch, np.nan), color=BLUE, linewidth=1.4)
    handles = [
        plt.Line2D([], [], color=BLUE, label="pitch, voiced"),
        plt.Line2D([], [], color=GREY, marker=".", linestyle="", label="number stored where nothing vibrates"),
        Patch(color=BLUE, alpha=0.12, label="voiced"),
    ]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, columnspacing=1.2, handlelength=1.4)
    axes.set(xlabel="seconds", ylabel="Hz", xlim=(0, len(pitch) / frame_rate))
    return figure


@styled
def geometry(durations: np.ndarray, segments_per_video: np.ndarray) -> Figure:
    """How long segments are (N,) in seconds, and how many of them a video has (V,)."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.8))
    longest = np.quantile(durations, 0.99)  # a single giant would squeeze all others into one bar
    sns.histplot(durations[durations <= longest], bins=24, ax=left, color=BLUE, edgecolor=PAPER)
    mark(left, float(np.median(durations)), "median")
    left.set(xlabel="seconds a segment", ylabel="segments", title="Length")
    sns.histplot(segments_per_video, discrete=True, ax=right, color=BLUE, edgecolor=PAPER)
    mark(right, float(np.median(segments_per_video)), "median")
    right.set(xlabel="segments a video", ylabel="videos", title="Number")
    for axis in (left.yaxis, right.xaxis, right.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def mark(axes, place: float, word: str) -> None:
    """A dashed upright line with a word at its top."""
    axes.axvline(place, color=INK, linestyle="--", linewidth=1.2)
    axes.text(place, 1.0, f" {word}", transform=axes.get_xaxis_transform(), va="top", fontsize=9.5)


@styled
def video_strip(start: np.ndarray, end: np.ndarray, seconds: float) -> Figure:
    """One video from 0 to `seconds`: its segments (n,) as bars on two rows in turn, and what nobody labelled."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.9))
    order = np.argsort(start, kind="stable")
    start, end = np.clip(start[order], 0, seconds), np.clip(end[order], 0, seconds)
    axes.broken_barh([(0, seconds)], (0, 0.8), color=PALE)
    for i, (left, right) in enumerate(zip(start, end, strict=True)):
        axes.broken_barh([(left, right - left)], (0, 0.8), color=BLUE)
        axes.broken_barh([(left, right - left)], (1.2 + i % 2, 0.8), color=(BLUE, SKY)[i % 2])
    for left, right in zip(start[1:], end[:-1], strict=True):
        if left < right:
            axes.broken_barh([(left, right - left)], (0, 0.8), color=ORANGE)
    axes.set_yticks([0.4, 1.6, 2.6], ["the video", "segments 1, 3, …", "segments 2, 4, …"])
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="seconds", xlim=(0, seconds))
    axes.spines["left"].set_visible(False)
    names = {BLUE: "labelled once", ORANGE: "labelled twice (overlap)", PALE: "not labelled"}
    handles = [Patch(color=colour, label=name) for colour, name in names.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


@styled
def label_distribution(classes: np.ndarray, above_zero: np.ndarray, names: Sequence[str]) -> Figure:
    """Shares of the four classes (E, 4) as stacked bars, and beside them the share of segments above 0 (E,)."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
    rows = np.arange(len(names))
    left = np.zeros(len(names))
    for number, colour in enumerate((PALE, "#9ccbe8", SKY, BLUE)):
        axes.barh(rows, classes[:, number], left=left, color=colour, height=0.7, label=f"class {number}")
        left += classes[:, number]
    axes.plot(1 - above_zero, rows, "D", color=INK, markersize=5, label="present from here")
    axes.set_yticks(rows, names)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set(xlabel="share of segments", xlim=(0, 1))
    handles, words = axes.get_legend_handles_labels()
    places = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1), "ncols": 5, "columnspacing": 1.0, "handlelength": 1.0}
    axes.legend(handles[1:] + handles[:1], words[1:] + words[:1], **places)
    return figure


@styled
def correlation(matrix: np.ndarray, names: Sequence[str]) -> Figure:
    """Correlations (E, E), each written into its cell; the upper half would only repeat the lower one."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    lower = np.tril(np.ones(matrix.shape, bool), -1)[1:, :-1]
    sns.heatmap(
        matrix[1:, :-1],
        mask=~lower,
        annot=True,
        fmt="+.2f",
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        linewidths=2,
        xticklabels=names[:-1],
        yticklabels=names[1:],
        cbar_kws={"label": "correlation", "shrink": 0.8},
        ax=axes,
    )
    axes.tick_params(length=0, rotation=0)
    axes.spines[:].set_visible(False)
    return figure


@styled
def floors(values: Mapping[str, Mapping[str, np.ndarray]], names: Sequence[str]) -> Figure:
    """What constants reach: constant -> {"mae", "acc4"} -> (E,)."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True)
    rows = np.arange(len(names))
    looks = zip((ORANGE, BLUE, INK), "s^o", (-0.2, 0.0, 0.2), strict=True)
    for (constant, of_metric), (colour, marker, shift) in zip(values.items(), looks, strict=True):
        for axes, metric in zip(panels, ("mae", "acc4"), strict=True):
            axes.plot(of_metric[metric], rows + shift, marker, color=colour, label=constant)
    for axes, title, side in zip(panels, ("Mean absolute error", "4-class accuracy"), ("lower", "higher"), strict=True):
        axes.set(title=title, xlabel=f"{side} is better")
        axes.grid(axis="y")
    panels[0].set(yticks=rows, yticklabels=names, xlim=(0, None))
    panels[0].invert_yaxis()
    panels[1].set_xlim(None, 1)
    panels[1].xaxis.set_major_formatter("{x:.0%}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure


@styled
def leak(scores: pd.DataFrame, chance: float = 0.5) -> Figure:
    """Tidy scores of copied answers, columns split, answer, metric, value (a row a repetition): a panel a metric."""
    names = {column: list(dict.fromkeys(scores[column])) for column in ("metric", "answer", "split")}
    looks = dict(zip(names["split"], ((VERMILLION, "s", -0.17), (BLUE, "o", 0.17)), strict=True))
    figure, panels = plt.subplots(1, len(names["metric"]), figsize=(WIDTH, 3.2), sharey=True)
    for axes, metric in zip(np.atleast_1d(panels), names["metric"], strict=True):
        for row, answer in enumerate(names["answer"]):
            for split, (colour, marker, shift) in looks.items():
                of_cell = (scores["metric"] == metric) & (scores["answer"] == answer) & (scores["split"] == split)
                chosen = scores["value"][of_cell]
                around = row + shift + np.linspace(-0.1, 0.1, len(chosen))
                axes.plot(chosen, around, ".", color=colour, alpha=0.35, markersize=4)
                axes.plot(chosen.mean(), row + shift, marker, color=colour, markeredgecolor=PAPER, label=f"by {split}")
        axes.set(title=metric, xlabel="lower is better" if metric == "MAE" else "higher is better")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.grid(axis="x")
    panels[-1].axvline(chance, **{**STYLE["floor"], "linewidth": 1.2})
    panels[0].set_yticks(range(len(names["answer"])), names["answer"])
    panels[0].invert_yaxis()
    handles = [
        plt.Line2D([], [], color=colour, marker=marker, linestyle="", label=f"split by {split}")
        for split, (colour, marker, _) in looks.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure
