"""Figures of pretraining: what fills the mask, the loss against guesses of no model, what a representation knows."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emo_ssl.core.metrics import BASELINES
from emo_ssl.core.normalise import PROTOCOLS
from emo_ssl.evidence import lookup
from emo_ssl.figures import style

GUESSES = {"model": {"color": style.BLUE, "linewidth": 2.0}}  # guesses at what is hidden, the others without a model
for name, colour, dash in zip(BASELINES, (style.GREY, style.GREEN, style.ORANGE), (":", "-.", "--"), strict=True):
    GUESSES[name] = {"color": colour, "linestyle": dash}


@style.styled
def filled_gaps(
    true: np.ndarray,
    guesses: Mapping[str, np.ndarray],
    hidden: np.ndarray,
    features: Mapping[str, int],
    frame_rate: float,
) -> Figure:
    """Features (name -> column) of one window: true (T, D), and guesses (T, D) where hidden (T,) is True."""
    figure, panels = style.small_multiples(len(features), 1, 1.5, 0.8, "seconds", sharex=True)
    seconds = np.arange(len(true)) / frame_rate
    shade = {"color": style.PALE, "alpha": 0.6, "linewidth": 0, "label": "hidden"}
    for axes, (name, column) in zip(panels, features.items(), strict=True):
        axes.fill_between(seconds, 0, 1, hidden, step="mid", transform=axes.get_xaxis_transform(), **shade)
        axes.plot(seconds, true[:, column], color=style.INK, linewidth=1.0, label="what was there")
        for guess, values in guesses.items():
            axes.plot(seconds, np.where(hidden, values[:, column], np.nan), **GUESSES[guess], label=guess)
        axes.set_title(name, fontweight="normal")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[-1].set_xlim(0, len(true) / frame_rate)
    style.legend(figure, 4, handlelength=1.6, columnspacing=1.2)
    return figure


@style.styled
def pretraining_loss(runs: Sequence[pd.DataFrame], baselines: Mapping[str, float]) -> Figure:
    """Logs of runs (columns step, held_out, NaN where it was not measured) against guesses that need no model."""
    figure, axes = plt.subplots(figsize=(style.WIDTH, 3.4))
    for log in runs:
        known = log.dropna(subset="held_out")
        axes.plot(known["step"], known["held_out"], **GUESSES["model"], marker="o", markersize=4, label="model")
    for name, height in baselines.items():
        axes.axhline(height, **GUESSES[name], label=name)
    axes.set(xlabel="steps of training", ylabel="loss on hidden frames\nof held-out videos", xlim=(0, None))
    style.legend(figure, 2)
    return figure


@style.styled
def losses_by_fold(provenance: dict) -> Figure:
    """Loss on hidden frames of held-out speakers: a dot a run, a rung a guess without a model, a panel a protocol."""
    found = lookup.losses(provenance)
    protocols = list(found["protocol"].unique()) or PROTOCOLS[:1]  # a study of statistics has no pretraining
    count, names = len(protocols), ("fold", "loss on hidden frames")
    figure, panels = style.small_multiples(count, count, 3.3, 0, *names, sharey=True)
    dots = {"color": style.BLUE, "markeredgecolor": style.PAPER, "label": "model, one run"}
    for axes, protocol in zip(panels, protocols, strict=True):
        of_protocol = found[found["protocol"] == protocol]
        for fold, runs in of_protocol.groupby("fold"):
            for name in BASELINES:
                axes.hlines(runs[name].mean(), fold - 0.36, fold + 0.36, **GUESSES[name], label=name)
            spread = 0.16 if len(runs) > 1 else 0
            axes.plot(fold + np.linspace(-spread, spread, len(runs)), runs["model"], "o", **dots)
        axes.set_xticks(of_protocol["fold"].unique())
        axes.set_title(protocol)
    style.legend(figure, 2)
    return figure


@style.styled
def knowledge(found: pd.DataFrame) -> Figure:
    """What `probes.knowledge` returned: a panel a question, a row a representation, grey where chance lies."""
    found = found.rename(columns={"value": "estimate"})
    names = list(found["representation"].unique())
    figure, panels = style.small_multiples(found["question"].nunique(), 2, 1.75, 0.5, sharey=True)
    for axes, (question, rows) in zip(panels, found.groupby("question", sort=False), strict=True):
        band = {"left": rows["chance_low"], "width": rows["chance_high"] - rows["chance_low"], "color": style.PALE}
        axes.barh([names.index(name) for name in rows["representation"]], height=0.7, label="95 % of chance", **band)
        for height, name in enumerate(names):
            style.draw_points(axes, rows[rows["representation"] == name], [height], name)
        axes.axvline(rows["chance"].iloc[0], **style.BASELINE)
        axes.set(title=question, xlabel=rows["measure"].iloc[0], xlim=(None, 1.03))
        axes.xaxis.set_major_locator(MaxNLocator(5))
    style.name_rows(panels[0], [lookup.NAMES[name] for name in names])
    style.legend(figure, 1)
    return figure
