"""Predictions of a study that never ran, with a known effect: the truth that the tests of evidence are held against."""

from pathlib import Path

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.metrics import Predictions
from emo_ssl.study.predictions import Items, Key, write_predictions

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
BUDGETS = (28, 70, 140, 560)


def items(units: int, each: int, rng: np.random.Generator, categories: int = 0) -> Items:
    """`each` items a unit; an emotion is present in two fifths, clustered within units; categories in turn."""
    n = units * each
    unit = np.repeat(np.arange(units), each)
    lean = rng.normal(0, 0.5, (units, len(EMOTIONS)))[unit]
    targets = np.clip(np.round(3 * (lean + rng.normal(0, 1, (n, len(EMOTIONS)))) - 0.5) / 3, 0, 3)
    category = np.tile(np.arange(categories), -(-n // categories))[:n] if categories else np.full(n, -1)
    return Items(np.arange(n), np.array([f"u{u:04}" for u in unit]), unit % 5, targets.astype(np.float32), category)


def cell(
    truth: Items, rng: np.random.Generator, seeds: int, strength: float | np.ndarray, categories: int = 0
) -> Predictions:
    """Scores = strength () or (E,) * truth + deviations of seeds, of units, of both together, and of items."""
    n, e = truth.targets.shape
    names, unit = np.unique(truth.unit, return_inverse=True)
    u = len(names)
    grain = rng.normal(0, 0.15, (seeds, 1, e)) + rng.normal(0, 0.15, (1, u, e))[:, unit]
    noise = rng.normal(0, 1, (seeds, n, e)) + rng.normal(0, 0.3, (seeds, u, e))[:, unit]
    scores = (strength + grain) * (truth.targets > 0) + noise
    presence = 1 / (1 + np.exp(-scores))
    intensity = np.clip(truth.targets + (scores - (truth.targets > 0) * 1.0) / 2, 0, 3)
    votes = None
    if categories:
        # a unit and a seed for which the categories are easier, as in real voices
        ease = np.mean(strength) + grain.mean(-1, keepdims=True)
        votes = rng.normal(0, 1, (seeds, n, categories)) + ease * (truth.category[:, None] == np.arange(categories))
    numbers = (intensity, presence, metrics.to_class(intensity).astype(np.int8), votes)
    return Predictions(*(x.astype(np.float32) if x is not None and x.dtype.kind == "f" else x for x in numbers))


def meta(seeds: int, categories: int = 0, budgets: tuple[int, ...] = BUDGETS, **extra: object) -> dict:
    return {
        "target_names": list(EMOTIONS),
        "category_names": [f"c{c}" for c in range(categories)],
        "headline": "uar" if categories else "auroc",
        "budgets": list(budgets),
        "full_budget": budgets[-1],
        "seeds": list(range(seeds)),
        "corpus": {"name": "simulated"},
        "main": {"protocol": "speaker-independent", "backbone": "transformer", "readout": "ordinal"},
        "pretraining": {"losses": [{"protocol": "speaker-independent", "masked": 0.8, "interpolation": 1.0}]},
        "floors": {name: {"mae": 5.0, "acc4": 0.0} for name in ("overall", *EMOTIONS)},
        **extra,
    }


def key(arm: str, budget: int) -> Key:
    return Key("speaker-independent", "transformer", arm, "ordinal", budget)


def study(
    folder: Path,
    strengths: dict[str, tuple],
    units: int = 24,
    each: int = 8,
    seeds: int = 6,
    categories: int = 0,
    budgets: tuple[int, ...] = BUDGETS,
    seed: int = 0,
    same: tuple[tuple[str, str, int], ...] = (),
    **extra: object,
) -> Path:
    """strengths: arm -> one strength a budget. same: (arm, other, budget), where the arm copies the other's numbers."""
    rng = np.random.default_rng(seed)
    truth = items(units, each, rng, categories)
    cells = {
        key(arm, b): cell(truth, rng, seeds, strength, categories)
        for arm, values in strengths.items()
        for b, strength in zip(budgets, values, strict=True)
    }
    for arm, other, budget in same:
        cells[key(arm, budget)] = cells[key(other, budget)]
    write_predictions(folder, meta(seeds, categories, budgets, **extra), truth, cells)
    return folder
