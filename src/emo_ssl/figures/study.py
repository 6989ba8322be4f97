"""Figures of a study: label-budget curves, paired differences, label efficiency, emotions one by one.

They draw what `lookup` takes out of an evidence JSON, so a recorded study goes through the same code.
Style and palette are those of `figures`: an arm has one colour, dash and marker everywhere, and intervals are always
drawn as whiskers, which a grey print keeps.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from emo_ssl.core.readout import OVERALL
from emo_ssl.evidence import lookup
from emo_ssl.evidence.lookup import ARMS, INTERVAL, MEASURES, NAMES, SHORT
from emo_ssl.figures.style import BLUE, GREY, INK, PAPER, SKY, STYLE, WIDTH, styled

LOOKS = {
    **STYLE,
    "scratch-4x": {"color": "#8c2d04", "linestyle": (0, (2, 2)), "marker": "p"},
    "pretrained-4x": {"color": "#08306b", "linestyle": (0, (3, 1)), "marker": "h"},
    "frozen-permuted": {"color": "#8a4f7d", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "d"},
}
UNKNOWN = {"color": INK, "linestyle": "-", "marker": "."}
FLOOR = {**STYLE["floor"], "linewidth": 1.2}
DODGE = 1.035  # budgets are drawn on a log axis; arms stand this factor apart, so that whiskers do not cover each other
NEAR = 0.1  # skills this close to a constant's are drawn on a linear scale, others on a logarithmic one
WHISKER = {"capsize": 2.5, "elinewidth": 1.1, "capthick": 1.1}


# --- the study --------------------------------------------------------------------------------------------------------


def look(arm: str) -> dict:
    return LOOKS.get(arm, UNKNOWN)


def whisker(axes: Axes, row: pd.Series, height: float, arm: str, value: str = "estimate") -> None:
    """One estimate with its interval, lying."""
    chosen = look(arm)
    axes.errorbar(
        row[value],
        height,
        xerr=reach(row[value], row["low"], row["high"]),
        color=chosen["color"],
        marker=chosen["marker"] or "d",
        linestyle="",
        markeredgecolor=PAPER,
        **WHISKER,
    )


def enough_room(axes: Axes, least: float = 0.02) -> None:
    """An axis that shows no differences smaller than any that matter: equal numbers are not blown up to noise."""
    low, high = axes.get_ylim()
    if high - low < least:
        axes.set_ylim((low + high - least) / 2, (low + high + least) / 2)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def reach(estimate, low, high) -> np.ndarray:
    """Ends of an interval -> lengths of its whiskers (2, n), 0 where there is none."""
    lengths = np.array([np.asarray(estimate) - low, np.asarray(high) - estimate], float)
    return np.nan_to_num(np.maximum(lengths.reshape(2, -1), 0))


def budget_axis(axes: Axes, budgets: Sequence[int], share: float = 0.12) -> None:
    """A log axis with a tick at every budget; of numbers that would touch, the larger one is written."""
    axes.set_xscale("log")
    span = np.log(max(budgets) / min(budgets)) or 1.0
    kept = [max(budgets)]
    for budget in sorted(budgets, reverse=True)[1:]:
        if np.log(kept[-1] / budget) >= share * span:
            kept.append(budget)
    axes.xaxis.set_major_locator(FixedLocator(list(budgets)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{b}" if b in kept else "" for b in budgets])


def draw_arm(axes: Axes, found: pd.DataFrame, arm: str, shift: float) -> None:
    chosen, x = look(arm), found["budget"].to_numpy(float) * shift
    estimate, low, high = (found[name].to_numpy(float) for name in INTERVAL)
    whiskers = reach(estimate, low, high)
    axes.errorbar(x, estimate, yerr=whiskers, markeredgecolor=PAPER, markersize=5.5, **chosen, **WHISKER)


def draw_curves(axes: Axes, evidence: dict, metric: str, emotion: str, arms: Sequence[str]) -> list[str]:
    """Every arm that was run, and the floor; returns the arms drawn."""
    drawn = []
    for i, arm in enumerate(arms):
        found = lookup.levels(evidence, arm, metric, emotion)
        if len(found):
            draw_arm(axes, found, arm, DODGE ** (i - (len(arms) - 1) / 2))
            drawn.append(arm)
    floor = lookup.baseline(evidence, metric, emotion)
    if np.isfinite(floor):
        axes.axhline(floor, **FLOOR)
    enough_room(axes)
    return drawn


def arm_handles(arms: Sequence[str], floor: str) -> list[Line2D]:
    handles = [Line2D([], [], **look(arm), markeredgecolor=PAPER, label=NAMES.get(arm, arm)) for arm in arms]
    return [*handles, Line2D([], [], **FLOOR, label=floor)] if floor else handles


def three_panels(evidence: dict, height: float) -> tuple[Figure, dict[str, Axes]]:
    """The headline over the whole width, the paper's two measures below it."""
    headline, *others = lookup.metrics_of(evidence)
    figure, panels = plt.subplot_mosaic([[headline] * 2, others], figsize=(WIDTH, height), height_ratios=[1.25, 1])
    return figure, panels


@styled
def budget_curves(evidence: dict, arms: Sequence[str] = ARMS) -> Figure:
    """What arms reach with how many labels: headline, MAE, accuracy, with intervals and floors."""
    figure, panels = three_panels(evidence, 5.4)
    drawn: list[str] = []
    for metric, axes in panels.items():
        drawn += draw_curves(axes, evidence, metric, OVERALL, arms)
        budget_axis(axes, evidence["budgets"], 0.07 if metric == evidence["headline"] else 0.14)
        axes.set_title(f"{MEASURES[metric]}, {'lower' if metric == 'mae' else 'higher'} is better")
        axes.set_xlabel(labelled(evidence))
    for metric in ("mae", "acc4"):
        panels[metric].set_title(MEASURES[metric].capitalize() if metric == "mae" else MEASURES[metric])
    shown = [arm for arm in arms if arm in drawn]
    figure.legend(handles=arm_handles(shown, "chance or best constant"), loc="outside upper left", ncols=4)
    return figure


@styled
def arm_curves(evidence: dict, groups: Mapping[str, Sequence[str]]) -> Figure:
    """The headline of many arms, a panel a group of them."""
    figure, panels = plt.subplots(1, len(groups), figsize=(WIDTH, 4.4), sharey=True, squeeze=False)
    drawn: list[str] = []
    for axes, (title, arms) in zip(panels.flat, groups.items(), strict=True):
        drawn += [arm for arm in draw_curves(axes, evidence, evidence["headline"], OVERALL, arms) if arm not in drawn]
        dress(axes, evidence, title)
    panels[0, 0].set_ylabel(MEASURES[evidence["headline"]])
    figure.legend(handles=arm_handles(drawn, "chance"), loc="outside upper left", ncols=2)
    return figure


def dress(axes: Axes, evidence: dict, title: str) -> None:
    budget_axis(axes, evidence["budgets"], 0.14)
    axes.set_title(title, fontsize=9.5)
    axes.set_xlabel(labelled(evidence))


def labelled(evidence: dict) -> str:
    """What a budget counts."""
    return f"labelled {lookup.unit(evidence)}"


@styled
def paired_gains(evidence: dict) -> Figure:
    """Pretrained minus from scratch at every budget, a dot a seed, and the mean over the small budgets as a bar."""
    figure, panels = three_panels(evidence, 5.2)
    for metric, axes in panels.items():
        found = lookup.gains(evidence, metric)
        for _, row in found.iterrows():
            each = np.array(row.get("by_seed") or [], float)
            axes.plot(np.full(len(each), row["budget"] / DODGE), each, ".", color=GREY, markersize=4)
        axes.axhline(0, color=INK, linewidth=0.8)
        if len(found):
            draw_arm(axes, found, "pretrained", DODGE)
        small, whole = evidence["small_budgets"], lookup.small_gain(evidence, metric)
        if small and np.isfinite(whole["low"]):
            ends = (min(small) / DODGE**2, max(small) * DODGE**2)
            axes.fill_between(ends, whole["low"], whole["high"], color=SKY, alpha=0.25, linewidth=0)
            axes.plot(ends, [whole["estimate"]] * 2, color=BLUE, linewidth=1.0)
        budget_axis(axes, evidence["budgets"], 0.07 if metric == evidence["headline"] else 0.14)
        axes.set(title=f"gain in {SHORT[metric]}", xlabel=labelled(evidence))
        enough_room(axes)
    handles = [
        Line2D([], [], **look("pretrained"), markeredgecolor=PAPER, label="mean and interval"),
        Patch(color=SKY, alpha=0.25, label="small budgets together"),
        Line2D([], [], color=GREY, marker=".", linestyle="", label="one seed"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


@styled
def label_efficiency(evidence: dict) -> Figure:
    """How many labels scratch needs (up) for what the pretrained arm reaches (across); arrows leave the study."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.0))
    found, budgets = lookup.efficiency(evidence), evidence["budgets"]
    axes.plot([min(budgets), max(budgets)], [min(budgets), max(budgets)], color=INK, linewidth=0.9)
    axes.fill_between([min(budgets), max(budgets)], [min(budgets), max(budgets)], max(budgets), color=SKY, alpha=0.12)
    for _, row in found.iterrows():
        x, mark = row["budget"], {"more": "^", "less": "v"}
        if np.isfinite(row["low"]):
            axes.plot([x, x], [row["low"], row["high"]], color=BLUE, linewidth=1.1)
            for end in ("low", "high"):
                axes.plot(x, row[end], mark.get(row[f"{end}_beyond"], "_"), color=BLUE, markersize=7, fillstyle="none")
        if np.isfinite(row["labels"]):
            shape = mark.get(row["labels_beyond"], look("pretrained")["marker"])
            axes.plot(x, row["labels"], shape, color=BLUE, markersize=8, markeredgecolor=PAPER)
    budget_axis(axes, budgets, 0.07)
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticks(list(budgets), [f"{b}" for b in budgets])
    axes.set(
        xlabel=f"{labelled(evidence)}, pretrained",
        ylabel=f"{labelled(evidence)} from scratch\nfor the same {SHORT[evidence['headline']]}",
    )
    handles = [
        Line2D([], [], color=BLUE, marker="o", linestyle="", label="estimate"),
        Line2D([], [], color=BLUE, marker="_", linestyle="", label="its interval"),
        Line2D([], [], color=BLUE, marker="^", linestyle="", fillstyle="none", label="beyond the study"),
        Line2D([], [], color=INK, linewidth=0.9, label="as many"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.2)
    return figure


@styled
def controls(evidence: dict) -> Figure:
    """The pretrained arm minus each other one, over the small budgets."""
    found = lookup.controls(evidence)
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.4 * max(len(found), 1)))
    for height, (_, row) in enumerate(found.iterrows()):
        whisker(axes, row, height, row["against"])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(found)), [NAMES.get(arm, arm) for arm in found["against"]] if len(found) else [])
    axes.set_ylim(max(len(found), 1) - 0.5, -0.5)
    axes.set_xlabel(f"{SHORT[evidence['headline']]} of pretrained minus that of …")
    return figure


# --- emotion by emotion -----------------------------------------------------------------------------------------------


def six_panels(evidence: dict, draw: Callable[[Axes, int, str], None], height: float) -> tuple[Figure, np.ndarray]:
    names = evidence["target_names"]
    rows = -(-len(names) // 3)
    figure, panels = plt.subplots(rows, 3, figsize=(WIDTH, height), sharex=True, sharey=True, squeeze=False)
    for i, (axes, name) in enumerate(zip(panels.flat, names, strict=False)):
        draw(axes, i, name)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    return figure, panels


@styled
def emotion_curves(evidence: dict, metric: str = "auroc", arms: Sequence[str] = ARMS) -> Figure:
    """Small multiples: an emotion a panel, its share of segments in the title."""

    def draw(axes: Axes, i: int, name: str) -> None:
        draw_curves(axes, evidence, metric, name, arms)
        budget_axis(axes, evidence["budgets"], 0.28)
        axes.set_title(f"{name}, {evidence['prevalence'][name]:.0%}")

    figure, panels = six_panels(evidence, draw, 4.3)
    for axes in panels[-1]:
        axes.set_xlabel(labelled(evidence))
    for axes in panels[:, 0]:
        axes.set_ylabel(SHORT[metric])
    figure.legend(handles=arm_handles(arms, "chance or best constant"), loc="outside upper left", ncols=3)
    return figure


@styled
def emotion_forest(evidence: dict, metrics: Sequence[str] = ("auroc", "mae", "acc4")) -> Figure:
    """Paired differences over the small budgets, a row an emotion, the mean of all below them."""
    names = evidence["target_names"]
    figure, panels = plt.subplots(1, len(metrics), figsize=(WIDTH, 1.2 + 0.32 * len(names)), sharey=True, squeeze=False)
    for axes, metric in zip(panels.flat, metrics, strict=True):
        for height, (_, row) in enumerate(lookup.emotion_gains(evidence, metric).iterrows()):
            whisker(axes, row, height, "pretrained")
        whisker(axes, lookup.small_gain(evidence, metric), len(names) + 0.3, "length")
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_title(f"gain in {SHORT[metric]}")
        axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    panels[0, 0].set_yticks([*range(len(names)), len(names) + 0.3], [*names, "mean of all"])
    panels[0, 0].set_ylim(len(names) + 0.8, -0.6)
    return figure


@styled
def skills(evidence: dict, results: pd.DataFrame, budgets: Sequence[int], arm: str = "pretrained") -> Figure:
    """How far an arm is from the best constant (0) towards perfection (1); whiskers: worst and best seed."""
    names = evidence["target_names"]
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 1.3 + 0.36 * len(names)), sharey=True)
    shades = dict(zip(budgets, (SKY, BLUE, INK), strict=False))
    for axes, metric in zip(panels, ("mae", "acc4"), strict=True):
        found = lookup.skills(evidence, results, arm, metric)
        for i, (budget, colour) in enumerate(shades.items()):
            chosen = found[found["budget"] == budget]
            heights = [names.index(name) + 0.25 * (i - (len(shades) - 1) / 2) for name in chosen["emotion"]]
            whiskers = reach(*(chosen[name] for name in INTERVAL))
            axes.errorbar(
                chosen["estimate"],
                heights,
                xerr=whiskers,
                color=colour,
                marker="os^"[i],
                linestyle="",
                markeredgecolor=PAPER,
                **WHISKER,
            )
        axes.axvline(0, **FLOOR)
        axes.set_title(f"skill in {SHORT[metric]}")
        axes.set_xlabel("0: the best constant")
        # one emotion whose skill is far below 0 would leave no room for the others
        axes.set_xscale("symlog", linthresh=NEAR, linscale=0.6)
        axes.xaxis.set_major_locator(FixedLocator([-1, -NEAR, 0, NEAR, 1]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        Line2D([], [], color=colour, marker="os^"[i], linestyle="", label=f"{budget} labels")
        for i, (budget, colour) in enumerate(shades.items())
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


def draw_shares(axes: Axes, shares: np.ndarray) -> None:
    """A confusion matrix of row shares (C, C), each written out as a percentage; NaN where a row is empty."""
    axes.imshow(shares, cmap=plt.get_cmap("Blues").with_extremes(bad="#f2f2f2"), vmin=0, vmax=1)
    for true, given in np.ndindex(shares.shape):
        if np.isfinite(shares[true, given]):
            ink = PAPER if shares[true, given] > 0.55 else INK
            percent = f"{100 * shares[true, given]:.0f}"
            axes.text(given, true, percent, ha="center", va="center", fontsize=9.5, color=ink)


@styled
def confusion(evidence: dict, budget: int, arm: str = "pretrained") -> Figure:
    """Of each true class (a row, with its count) the share that was given each class; all seeds together."""
    counts = lookup.confusion(evidence, arm, budget)
    totals = counts.sum(2)
    names = evidence["target_names"]
    rows = -(-len(names) // 3)
    figure, panels = plt.subplots(rows, 3, figsize=(WIDTH, 2.15 * rows), squeeze=False)
    for i, (axes, name) in enumerate(zip(panels.flat, names, strict=False)):
        shares = counts[i] / np.where(totals[i] > 0, totals[i], np.nan)[:, None]
        draw_shares(axes, shares)
        axes.set_xticks(range(4))
        axes.set_yticks(range(4), [f"{true} ({n})" for true, n in enumerate(totals[i])])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(name)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("class given, %")
    for axes in panels[:, 0]:
        axes.set_ylabel("true class (count)")
    return figure
