"""Figures of a study: label-budget curves, paired differences, label efficiency, emotions one by one, mistakes.

They draw what `evidence.lookup` takes out of an evidence JSON, so a recorded study goes through the same code.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emo_ssl.core.metrics import OVERALL
from emo_ssl.evidence import lookup
from emo_ssl.evidence.lookup import ARMS, MEASURES, NAMES, PAIR, SHORT
from emo_ssl.figures import style

DODGE = 1.035  # budgets are drawn on a log axis; arms stand this factor apart, so that no whisker covers another


# --- curves over label budgets ----------------------------------------------------------------------------------------


def budget_axis(axes: Axes, evidence: dict, share: float) -> None:
    """A log axis with a tick at every budget, of which some are written."""
    budgets = evidence["budgets"]
    kept = style.written(budgets, share)
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget}" if budget in kept else "" for budget in budgets])
    axes.minorticks_off()


def labelled(evidence: dict) -> str:
    """What a budget counts."""
    return f"labelled {lookup.unit(evidence)}"


def draw_arm(axes: Axes, found: pd.DataFrame, arm: str, shift: float, label: str) -> None:
    """Estimates with upright intervals at every budget, times `shift`."""
    x, look = found["budget"].to_numpy(float) * shift, {**style.ARMS[arm], **style.WHISKER}
    axes.errorbar(x, found["estimate"], yerr=style.whiskers(found), markersize=5.5, label=label, **look)


def draw_curves(axes: Axes, evidence: dict, metric: str, emotion: str, arms: Sequence[str]) -> None:
    """Every arm that was run, and the constant baseline."""
    for i, arm in enumerate(arms):
        found = lookup.levels(evidence, arm, metric, emotion)
        if len(found):
            draw_arm(axes, found, arm, DODGE ** (i - (len(arms) - 1) / 2), NAMES[arm])
    axes.axhline(lookup.baseline(evidence, metric, emotion), **style.BASELINE, label="chance or best constant")
    axes.yaxis.set_major_locator(MaxNLocator(5))


def three_panels(evidence: dict, height: float) -> tuple[Figure, dict[str, Axes]]:
    """The headline over the whole width, the paper's two measures below it."""
    headline, *others = lookup.metrics_of(evidence)
    size = (style.WIDTH, height)
    figure, panels = plt.subplot_mosaic([[headline] * 2, others], figsize=size, height_ratios=[1.25, 1])
    for metric, axes in panels.items():
        budget_axis(axes, evidence, 0.07 if metric == headline else 0.14)
        axes.set_xlabel(labelled(evidence))
    return figure, panels


@style.styled
def budget_curves(evidence: dict) -> Figure:
    """What the two main arms reach with how many labels: headline, MAE, accuracy."""
    figure, panels = three_panels(evidence, 4.7)
    for metric, axes in panels.items():
        draw_curves(axes, evidence, metric, OVERALL, ARMS)
        axes.set_title(MEASURES[metric][0].upper() + MEASURES[metric][1:])
    style.legend(figure, 3)
    return figure


@style.styled
def headline_curves(panels: Mapping[str, tuple[dict, Sequence[str]]], height: float = 4.4) -> Figure:
    """The headline of many arms side by side on one scale; panels: title -> (evidence, arms)."""
    evidence, _ = next(iter(panels.values()))
    names = (labelled(evidence), SHORT[evidence["headline"]])
    figure, drawn = style.small_multiples(len(panels), len(panels), height, 0, *names, sharey=True)
    for axes, (title, (part, arms)) in zip(drawn, panels.items(), strict=True):
        draw_curves(axes, part, part["headline"], OVERALL, arms)
        budget_axis(axes, part, 0.14)
        axes.set_title(title)
    style.legend(figure, 4 if len(panels) == 1 else 2, columnspacing=1.2)
    return figure


@style.styled
def emotion_curves(evidence: dict) -> Figure:
    """AUROC of the two main arms: an emotion a panel, its share of segments in the title."""
    names = evidence["target_names"]
    axis_names, sharing = (labelled(evidence), SHORT["auroc"]), {"sharex": True, "sharey": True}
    figure, panels = style.small_multiples(len(names), 3, 1.9, 0.5, *axis_names, **sharing)
    for axes, name in zip(panels, names, strict=True):
        draw_curves(axes, evidence, "auroc", name, ARMS)
        budget_axis(axes, evidence, 0.28)
        axes.set_title(f"{name}, {evidence['prevalence'][name]:.0%}")
    style.legend(figure, 3)
    return figure


# --- differences ------------------------------------------------------------------------------------------------------


@style.styled
def paired_gains(evidence: dict) -> Figure:
    """Pretrained minus from scratch at every budget, a dot a seed, and the mean over the small budgets as a band."""
    figure, panels = three_panels(evidence, 4.5)
    dots = {"color": style.GREY, "markersize": 4, "label": "one seed"}
    band = {"color": style.SKY, "alpha": 0.25, "linewidth": 0, "label": "small budgets together"}
    for metric, axes in panels.items():
        found = lookup.gains(evidence, metric)
        for _, row in found.iterrows():
            each = np.array(row["by_seed"] or [], float)
            axes.plot(np.full(len(each), row["budget"] / DODGE), each, ".", **dots)
        if len(found):
            draw_arm(axes, found, PAIR[0], DODGE, "mean and interval")
        small, whole = evidence["small_budgets"], lookup.small_gain(evidence, metric)
        if small:
            ends = (min(small) / DODGE**2, max(small) * DODGE**2)
            axes.fill_between(ends, whole["low"], whole["high"], **band)
            axes.plot(ends, [whole["estimate"]] * 2, color=style.BLUE, linewidth=1.0)
        axes.axhline(0, **style.ZERO)
        axes.set_title(f"gain in {SHORT[metric]}")
        axes.yaxis.set_major_locator(MaxNLocator(5))
    style.legend(figure, 3)
    return figure


@style.styled
def label_efficiency(evidence: dict) -> Figure:
    """How many labels scratch needs (up) for what the pretrained arm reaches (across); arrows leave the study."""
    figure, axes = plt.subplots(figsize=(style.WIDTH, 4.0))
    budgets = evidence["budgets"]
    ends = [min(budgets), max(budgets)]
    axes.plot(ends, ends, color=style.INK, linewidth=0.9, label="as many")
    axes.fill_between(ends, ends, max(budgets), color=style.SKY, alpha=0.12)
    beyond, outside = {"more": "^", "less": "v"}, "beyond the study"
    for _, row in lookup.efficiency(evidence).iterrows():
        x = row["budget"]
        axes.plot([x, x], [row["low"], row["high"]], color=style.BLUE, linewidth=1.1, label="its interval")
        for end in ("low", "high"):
            hollow = {"color": style.BLUE, "markersize": 7, "fillstyle": "none"}
            axes.plot(x, row[end], beyond.get(row[f"{end}_beyond"], "_"), **hollow)
        place = row["labels_beyond"]
        full = {"color": style.BLUE, "markersize": 8, "markeredgecolor": style.PAPER}
        axes.plot(x, row["labels"], beyond.get(place, "o"), **full, label=outside if place in beyond else "estimate")
    budget_axis(axes, evidence, 0.07)
    axes.set_yscale("log")
    axes.set_yticks(budgets, [f"{budget}" for budget in budgets])
    axes.minorticks_off()
    reached = f"{labelled(evidence)} from scratch\nfor the same {SHORT[evidence['headline']]}"
    axes.set(xlabel=f"{labelled(evidence)}, pretrained", ylabel=reached)
    style.legend(figure, 4, columnspacing=1.2)
    return figure


@style.styled
def controls(evidence: dict) -> Figure:
    """The pretrained arm minus each other one, over the small budgets."""
    found = lookup.controls(evidence)
    figure, axes = plt.subplots(figsize=(style.WIDTH, 1.2 + 0.3 * len(found)))
    for height, arm in enumerate(found["against"]):
        style.draw_points(axes, found.iloc[[height]], [height], arm)
    axes.axvline(0, **style.ZERO)
    style.name_rows(axes, found["name"])
    axes.set_xlabel(f"{SHORT[evidence['headline']]} of pretrained minus that of …")
    return figure


@style.styled
def emotion_forest(evidence: dict, metrics: Sequence[str]) -> Figure:
    """Paired differences over the small budgets, a row an emotion, the mean of all below them; a panel a measure."""
    names = evidence["target_names"]
    figure, panels = style.small_multiples(len(metrics), len(metrics), 1.2 + 0.32 * len(names), sharey=True)
    for axes, metric in zip(panels, metrics, strict=True):
        style.draw_points(axes, lookup.emotion_gains(evidence, metric), range(len(names)), PAIR[0])
        mean = lookup.small_gain(evidence, metric).to_frame().T
        style.draw_points(axes, mean, [len(names)], PAIR[0])
        axes.axvline(0, **style.ZERO)
        axes.set_title(f"gain in {SHORT[metric]}")
        axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
    style.name_rows(panels[0], [*names, "mean of all"])
    return figure


# --- mistakes ---------------------------------------------------------------------------------------------------------


def draw_confusion(axes: Axes, counts: np.ndarray, columns: Sequence, rows: Sequence[str]) -> None:
    """Counts (C, C), rows true, as percentages of their row written out; a row without any stays empty."""
    totals = counts.sum(1, keepdims=True)
    percent = 100 * counts / np.where(totals > 0, totals, np.nan)
    axes.set_facecolor("#f2f2f2")
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.argwhere(np.isfinite(percent)):
        share = percent[row, column]
        color = style.PAPER if share > 60 else style.INK
        axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=9.5, color=color)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


@style.styled
def class_confusion(evidence: dict, budget: int) -> Figure:
    """Of each true class (a row, with its count) the share that was given each class; all seeds together."""
    names, counts = evidence["target_names"], lookup.confusion(evidence, PAIR[0], budget)
    figure, panels = style.small_multiples(len(names), 3, 2.15, 0, "class given, %", "true class (count)")
    for axes, name, of_emotion in zip(panels, names, counts, strict=True):
        rows = [f"{true} ({count})" for true, count in enumerate(of_emotion.sum(1))]
        draw_confusion(axes, of_emotion, range(4), rows)
        axes.set_title(name)
    return figure


@style.styled
def category_confusion(evidence: dict, budgets: Sequence[int]) -> Figure:
    """Of each true category (a row) the percentage that was given each one; all seeds together, a panel a budget."""
    names = evidence["category_names"]
    figure, panels = style.small_multiples(len(budgets), len(budgets), 3.3, 0, "given", "true", sharey=True)
    for axes, budget in zip(panels, budgets, strict=True):
        draw_confusion(axes, lookup.confusion(evidence, PAIR[0], budget, "categories"), names, names)
        axes.tick_params(axis="x", rotation=90)
        axes.set_title(f"{budget} labels")
    return figure
