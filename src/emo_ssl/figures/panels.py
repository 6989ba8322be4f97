"""Figures of a study of acted voices: losses fold by fold, two protocols, categories that are mistaken."""

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from emo_ssl.core.baselines import BASELINES
from emo_ssl.core.readout import OVERALL
from emo_ssl.evidence import lookup
from emo_ssl.evidence.lookup import MEASURES
from emo_ssl.figures.study import arm_handles, draw_curves, draw_shares, dress
from emo_ssl.figures.style import BLUE, GREEN, GREY, ORANGE, PAPER, WIDTH, styled

RUNGS = dict(zip(BASELINES, ((GREY, ":"), (ORANGE, "--"), (GREEN, "-")), strict=True))
TITLES = {
    "speaker-independent": "BLIND\nnothing of a speaker was heard",
    "speaker-adapted": "ADAPTED\nunlabelled clips were heard",
}
TINTS = {"speaker-independent": PAPER, "speaker-adapted": "#f3efe2"}  # nobody shall read one panel for the other


@styled
def recovery(provenance: dict) -> Figure:
    """Loss on hidden frames of held-out speakers: a dot a pretraining run, a rung a floor, a panel a protocol."""
    found = lookup.losses(provenance)
    protocols = list(dict.fromkeys(found["protocol"])) or ["speaker-independent"]
    figure, panels = plt.subplots(1, len(protocols), figsize=(WIDTH, 3.3), sharey=True, squeeze=False)
    for axes, protocol in zip(panels.flat, protocols, strict=True):
        of_protocol = found[found["protocol"] == protocol]
        folds = sorted(of_protocol["fold"].unique())
        for fold in folds:
            runs = of_protocol[of_protocol["fold"] == fold]
            for name, (colour, dash) in RUNGS.items():
                axes.hlines(runs[name].mean(), fold - 0.36, fold + 0.36, color=colour, linestyle=dash, linewidth=1.8)
            places = fold + np.linspace(-0.16, 0.16, len(runs)) if len(runs) > 1 else [fold]
            axes.plot(places, runs["model"], "o", color=BLUE, markersize=5, markeredgecolor=PAPER)
        axes.set_xticks(folds)
        axes.set(title=protocol, xlabel="fold", facecolor=TINTS.get(protocol, PAPER))
    panels[0, 0].set_ylabel("loss on hidden frames")
    handles = [Line2D([], [], color=BLUE, marker="o", linestyle="", label="the model, one run")]
    handles += [Line2D([], [], color=c, linestyle=dash, linewidth=1.8, label=name) for name, (c, dash) in RUNGS.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


@styled
def protocols(evidence: dict, arms: Sequence[str]) -> Figure:
    """The headline under each protocol, in panels of different grounds and with their meaning in words."""
    names = lookup.protocols_of(evidence)
    figure, panels = plt.subplots(1, max(len(names), 1), figsize=(WIDTH, 3.9), sharey=True, squeeze=False)
    drawn: list[str] = []
    for axes, name in zip(panels.flat, names, strict=False):
        part = lookup.under(evidence, name)
        drawn += [arm for arm in draw_curves(axes, part, part["headline"], OVERALL, arms) if arm not in drawn]
        dress(axes, part, TITLES[name])
        axes.set_facecolor(TINTS[name])
    panels[0, 0].set_ylabel(MEASURES[evidence["headline"]])
    figure.legend(handles=arm_handles(drawn, "chance"), loc="outside upper left", ncols=2)
    return figure


@styled
def mistaken(evidence: dict, budgets: Sequence[int], arm: str = "pretrained") -> Figure:
    """Of each true category (a row) the percentage that was given each one; all seeds together, a panel a budget."""
    names = evidence["category_names"]
    figure, panels = plt.subplots(1, len(budgets), figsize=(WIDTH, 3.6), sharey=True, squeeze=False)
    for axes, budget in zip(panels.flat, budgets, strict=True):
        counts = lookup.confusion(evidence, arm, budget, "categories")
        totals = counts.sum(1, keepdims=True)
        shares = counts / np.where(totals > 0, totals, np.nan)
        draw_shares(axes, shares)
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(title=f"{budget} labels", xlabel="given")
    panels[0, 0].set_ylabel("true")
    return figure
