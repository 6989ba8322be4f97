"""What holds for every figure: closed, opaque, legible on a phone, and drawn whatever is missing in a study."""

import io
import json
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
from emo_ssl.core.baselines import BASELINES
from emo_ssl.evidence import lookup
from emo_ssl.figures import style

RECORDED = Path(__file__).parents[2] / "results" / "ravdess"
EMOTIONS = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
PHONE, LEGIBLE = 390, 8  # pixels from edge to edge, where a figure takes the whole width, and of the smallest letter
RNG = np.random.default_rng(0)
FRAMES, HIDDEN = RNG.normal(size=(120, 9)), np.arange(120) % 40 < 16
GROUPS = [("pitch", np.arange(2)), ("rest", np.arange(2, 9))]
SCORES = [
    (split, answer, metric, 0.5 + 0.01 * repetition)
    for split in ("segment", "video")
    for answer in ("median", "copy")
    for metric in ("MAE", "AUROC")
    for repetition in range(3)
]
KNOWN = pd.DataFrame(
    [(q, "AUROC", arm, 0.6, 0.5, 0.7, 0.5) for q in ("one", "two", "three") for arm in ("pretrained", "statistics")],
    columns=["question", "measure", "representation", "value", "low", "high", "chance"],
)


def recorded(name: str) -> dict:
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def presence(windows: int, names: list[str]) -> pd.DataFrame:
    rows = [{"part": "overall", "start": 0.0, "end": windows + 2.0}]
    rows += [{"part": "window", "start": float(i), "end": i + 3.0} for i in range(windows)]
    return pd.DataFrame(rows).assign(**{f"{name}_presence": np.linspace(0.1, 0.9, windows + 1) for name in names})


def constants() -> dict:
    return {c: {"mae": RNG.random(6), "acc4": RNG.random(6)} for c in ("train mean", "train median", "always 0")}


DRAWN = {
    "feature_pictures": lambda: figures.feature_pictures({"one": FRAMES}, GROUPS, 100),
    "hidden": lambda: figures.feature_pictures({"a": FRAMES, "b": FRAMES * np.nan}, GROUPS, 100, "hidden"),
    "label_distribution": lambda: figures.label_distribution(np.full((6, 4), 0.25), np.full(6, 0.8), EMOTIONS),
    "constant_baselines": lambda: figures.constant_baselines(constants(), EMOTIONS),
    "leakage": lambda: figures.leakage(pd.DataFrame(SCORES, columns=["split", "answer", "metric", "value"])),
    "filled_gaps": lambda: figures.filled_gaps(
        FRAMES, dict.fromkeys(BASELINES, FRAMES), HIDDEN, {"F0": 0, "x": 3}, 100
    ),
    "pretraining_loss": lambda: figures.pretraining_loss(
        [pd.DataFrame({"step": [0, 1], "held_out": [1, 0.5]})], dict.fromkeys(BASELINES, 0.7)
    ),
    "losses_by_fold": lambda: figures.losses_by_fold(recorded("provenance.json")),
    "knowledge": lambda: figures.knowledge(KNOWN),
    "presence_over_time": lambda: figures.presence_over_time(presence(5, EMOTIONS), EMOTIONS),
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
    nothing = {"gains": [], "controls": [], "label_efficiency": [], "confusion": [], "small_budgets": [], "floors": {}}
    return evidence | nothing


def without(*numbers: str):
    """A study of one seed has no intervals; one of one class has no numbers at all."""

    def strip(evidence: dict) -> dict:
        for part in ("gains", "levels", "controls", "label_efficiency"):
            evidence[part] = [row | {name: None for name in numbers if name in row} for row in evidence[part]]
        return evidence

    return strip


STATES = {
    "scratch": nothing_but_scratch,
    "one seed": without("low", "high"),
    "undefined": without("estimate", "labels", "low", "high"),
}


def check(figure: plt.Figure) -> None:
    assert plt.get_fignums() == [], "an open figure would be shown twice by a notebook"
    assert to_rgba(figure.get_facecolor()) == to_rgba(style.PAPER) and figure.get_figwidth() <= style.WIDTH
    stored = io.BytesIO()
    figure.savefig(stored, bbox_inches="tight", dpi=72)  # a pixel a point
    stored.seek(0)
    picture = plt.imread(stored)
    assert (picture[..., 3:] == 1).all() and picture[..., :3].std() > 0.02, "transparent or empty"
    letters = [t.get_fontsize() for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    assert min(letters) * PHONE / picture.shape[1] >= LEGIBLE


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_closed_opaque_and_legible(name):
    before = dict(plt.rcParams)
    figure = DRAWN[name]()
    check(figure)
    assert dict(plt.rcParams) == before, "the style must not leak"


@pytest.mark.parametrize("name", OF_STUDY)
def test_a_figure_of_a_study_is_closed_opaque_and_legible(name):
    check(OF_STUDY[name](recorded("evidence.json")))


@pytest.mark.parametrize("state", STATES)
def test_a_figure_of_a_study_is_drawn_whatever_is_missing(state):
    evidence = STATES[state](recorded("evidence.json"))
    for draw in OF_STUDY.values():
        draw(evidence).savefig(io.BytesIO())
