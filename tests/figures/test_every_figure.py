"""What holds for every figure: closed, opaque, legible on a phone, and drawn whatever is missing in a study."""

import io
from itertools import product
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.text import Text

from emo_ssl import figures
from emo_ssl.core.metrics import BASELINES
from emo_ssl.evidence import lookup
from emo_ssl.figures import style
from emo_ssl.study import probes
from emo_ssl.utils.io import read_json

PROVENANCE = Path(__file__).parents[2] / "results" / "ravdess" / "provenance.json"
EMOTIONS = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
PHONE, LEGIBLE = 390, 8  # pixels from edge to edge, where a figure takes the whole width, and of the smallest letter
RNG = np.random.default_rng(0)
FRAMES, HIDDEN = RNG.normal(size=(120, 9)), np.arange(120) % 40 < 16
GROUPS = [("pitch", np.arange(2)), ("rest", np.arange(2, 9))]
CONSTANTS = {name: {"mae": RNG.random(6), "acc4": RNG.random(6)} for name in ("train mean", "train median", "always 0")}
SCORES = pd.DataFrame(
    product(("segment", "recording"), ["copy"], ("MAE", "AUROC"), (0.5, 0.6)),
    columns=["split", "answer", "metric", "value"],
)
KNOWN = pd.DataFrame(
    [
        (q, "AUROC", arm, 0.6, 0.5, 0.7, 0.5, 0.4, 0.6)
        for q, arm in product(("one", "two", "three"), ("pretrained", "statistics"))
    ],
    columns=probes.COLUMNS,
)
WINDOWS = pd.DataFrame({"part": ["overall", "window"], "start": [0.0, 0.0], "end": [9.0, 3.0]})
WINDOWS = WINDOWS.assign(**{f"{name}_presence": [0.5, 0.6] for name in EMOTIONS})


DRAWN = {
    "feature_pictures": lambda: figures.feature_pictures({"one": FRAMES}, GROUPS, 100),
    "missing": lambda: figures.feature_pictures({"a": FRAMES, "b": FRAMES * np.nan}, GROUPS, 100),
    "label_distribution": lambda: figures.label_distribution(np.full((6, 4), 0.25), np.full(6, 0.8), EMOTIONS),
    "constant_baselines": lambda: figures.constant_baselines(CONSTANTS, EMOTIONS),
    "leakage": lambda: figures.leakage(SCORES),
    "filled_gaps": lambda: figures.filled_gaps(
        FRAMES, dict.fromkeys(BASELINES, FRAMES), HIDDEN, {"F0": 0, "x": 3}, 100
    ),
    "pretraining_loss": lambda: figures.pretraining_loss(
        [pd.DataFrame({"step": [0, 1], "held_out": [1, 0.5]})], dict.fromkeys(BASELINES, 0.7)
    ),
    "losses_by_fold": lambda: figures.losses_by_fold(read_json(PROVENANCE)),
    "knowledge": lambda: figures.knowledge(KNOWN),
    "presence_over_time": lambda: figures.presence_over_time(WINDOWS, EMOTIONS),
}
OF_STUDY = {
    "budget_curves": figures.budget_curves,
    "headline_curves": lambda e: figures.headline_curves(
        {title: (e, arms) for title, arms in lookup.arm_groups(e).items()}
    ),
    "emotion_curves": figures.emotion_curves,
    "paired_gains": figures.paired_gains,
    "label_efficiency": figures.label_efficiency,
    "controls": figures.controls,
    "emotion_forest": lambda e: figures.emotion_forest(e, ("auroc", "mae", "acc4")),
    "class_confusion": lambda e: figures.class_confusion(e, e["full_budget"]),
    "category_confusion": lambda e: figures.category_confusion(e, (e["budgets"][0], e["full_budget"])),
}


def nothing_but_scratch(evidence: dict) -> dict:
    evidence["levels"] = [row for row in evidence["levels"] if row["arm"] == "scratch"]
    nothing = {"gains": [], "controls": [], "label_efficiency": [], "confusion": [], "small_budgets": []}
    return evidence | nothing


def undefined(evidence: dict) -> dict:
    for part in ("gains", "levels", "controls", "label_efficiency"):
        for row in evidence[part]:
            row |= dict.fromkeys(row.keys() & {"estimate", "labels", "low", "high"})
    return evidence


def test_every_figure_is_here():
    assert {name for name, thing in vars(figures).items() if hasattr(thing, "__wrapped__")} <= {*DRAWN, *OF_STUDY}


@pytest.mark.parametrize("name", [*DRAWN, *OF_STUDY])
def test_a_figure_is_closed_opaque_and_legible(evidence, name):
    before = dict(plt.rcParams)
    figure = DRAWN[name]() if name in DRAWN else OF_STUDY[name](evidence)
    assert plt.get_fignums() == [], "an open figure would be shown twice by a notebook"
    assert dict(plt.rcParams) == before, "the style must not leak"
    assert to_rgba(figure.get_facecolor()) == to_rgba(style.PAPER) and figure.get_figwidth() <= style.WIDTH
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight", dpi=72)  # a pixel a point
    stored.seek(0)
    picture = plt.imread(stored)
    assert (picture[..., 3:] == 1).all() and picture[..., :3].std() > 0.02, "transparent or empty"
    letters = [t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    assert min(letters) * PHONE / picture.shape[1] >= LEGIBLE


@pytest.mark.parametrize("name", OF_STUDY)
@pytest.mark.parametrize("state", [nothing_but_scratch, undefined])
def test_a_figure_of_a_study_is_drawn_whatever_is_missing(evidence, state, name):
    OF_STUDY[name](state(evidence))
