"""One calm style for all figures: colours, letters, small multiples, legends, points with their intervals.

Colours are close to those of Okabe and Ito, moved until every kind of colour vision tells all arms apart and a thin
line stands out from white. An arm of the study has one colour, dash and marker everywhere, so a grey print works
as well. Intervals are always whiskers, which a grey print keeps.
"""

from collections.abc import Callable, Sequence
from functools import wraps

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK, GREY, PALE, PAPER = "#222222", "#767676", "#d9d9d9", "#ffffff"
ORANGE, SKY, GREEN, YELLOW, OLIVE = "#dd9500", "#56a9dc", "#005f4b", "#f0e442", "#5c4d00"
BLUE, VERMILLION, PURPLE = "#0063a6", "#d55e00", "#cc79a7"
WIDTH = 6.2  # inches: from edge to edge of a phone letters of 9.5 points, the smallest, are 8 of its 390 pixels high

ARMS = {
    "scratch": {"color": VERMILLION, "linestyle": "--", "marker": "s"},
    "pretrained": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "frozen-pretrained": {"color": SKY, "linestyle": "-.", "marker": "^"},
    "frozen-random": {"color": ORANGE, "linestyle": ":", "marker": "v"},
    "frozen-permuted": {"color": "#8a4f7d", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "d"},
    "permuted": {"color": PURPLE, "linestyle": (0, (6, 2, 1, 2, 1, 2)), "marker": "D"},
    "scratch-4x": {"color": "#a5874b", "linestyle": (0, (2, 2)), "marker": "p"},
    "pretrained-4x": {"color": "#08306b", "linestyle": (0, (3, 1)), "marker": "h"},
    "statistics": {"color": GREEN, "linestyle": (0, (8, 2)), "marker": "P"},
    "pca": {"color": OLIVE, "linestyle": (0, (3, 1, 1, 1)), "marker": "X"},
    "logistic": {"color": "#7429cc", "linestyle": (0, (4, 1, 1, 1)), "marker": "<"},
    "contrast": {"color": "#5a0000", "linestyle": (0, (10, 1)), "marker": ">"},
    "self-trained": {"color": "#c2185b", "linestyle": (0, (1, 1)), "marker": "H"},
    "length": {"color": INK, "linestyle": (0, (1, 3)), "marker": "*"},
    "constants": {"color": GREY, "linestyle": (0, (4, 4)), "marker": ""},
}
BASELINE = {**ARMS["constants"], "linewidth": 1.2}  # a line at what needs no model: chance, a constant, interpolation
ZERO = {"color": INK, "linewidth": 0.8}
WHISKER = {"capsize": 2.5, "elinewidth": 1.1, "capthick": 1.1, "markeredgecolor": PAPER}

SETTINGS = {  # over matplotlib's defaults, whose letters come with it: the same on every computer
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.constrained_layout.use": True,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.6,
    "patch.linewidth": 0,
}


def use() -> None:
    """In a notebook: the same for figures that its own cells draw; each is sharp, and as wide as a column of text."""
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    plt.rcParams.update(SETTINGS)
    set_matplotlib_formats("retina")


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in our style and close the figure, so that a notebook shows it once: as the cell's value."""

    @wraps(draw)
    def draw_in_style(*arguments, **options) -> Figure:
        with plt.style.context(["default", SETTINGS]):
            figure = draw(*arguments, **options)
        plt.close(figure)
        return figure

    return draw_in_style


def small_multiples(
    count: int, columns: int, height: float, room: float = 0.0, xlabel: str = "", ylabel: str = "", **sharing
) -> tuple[Figure, list[Axes]]:
    """`count` panels in rows of `columns`; a row is `height` inches high, and `room` is left above for a legend."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH, room + height * rows), squeeze=False, **sharing)
    panels = list(grid.flat[:count])
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    for axes in panels[-columns:]:
        axes.set_xlabel(xlabel)
        axes.tick_params(labelbottom=True)
    for axes in panels[::columns]:
        axes.set_ylabel(ylabel)
    return figure, panels


def legend(figure: Figure, columns: int, **spacing: float) -> None:
    """Every label of the figure once, above it: first areas and points with intervals, then plain lines."""
    pairs = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    shown = {}
    for handle, label in sorted(pairs, key=lambda pair: isinstance(pair[0], Line2D)):
        shown.setdefault(label, handle)
    figure.legend(shown.values(), shown.keys(), loc="outside upper left", ncols=columns, **spacing)


def written(budgets: Sequence[int], share: float) -> list[int]:
    """Of budgets on a log axis that are closer than a share of it the larger one, or their numbers would overlap."""
    kept = [max(budgets)]
    for budget in sorted(budgets, reverse=True)[1:]:
        if np.log(kept[-1] / budget) >= share * np.log(max(budgets) / min(budgets)):
            kept.append(budget)
    return kept


def whiskers(found: pd.DataFrame) -> np.ndarray:
    """Lengths of the whiskers (2, n) from the estimate to `low` and `high`, 0 where there is no interval."""
    middle, low, high = (found[name].to_numpy(float) for name in ("estimate", "low", "high"))
    return np.nan_to_num(np.maximum([middle - low, high - middle], 0))


def draw_points(axes: Axes, found: pd.DataFrame, heights: Sequence[float], arm: str) -> None:
    """A row of `found` is a point with its lying interval, at the height of its own."""
    look = {"color": ARMS[arm]["color"], "marker": ARMS[arm]["marker"] or "d", "linestyle": ""}
    axes.errorbar(found["estimate"].to_numpy(float), heights, xerr=whiskers(found), **look, **WHISKER)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Rows 0, 1, … from above."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
