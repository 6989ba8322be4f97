"""What is measured: error and four-class accuracy as in the paper, and measures that no constant can win."""

import numpy as np

CEILING = 3.0
CONSTANTS = ("train mean", "train median", "always 0")


def to_class(intensity: np.ndarray) -> np.ndarray:
    """Intensities in [0, 3] -> classes 0..3, halves rounded up."""
    return np.floor(np.clip(intensity, 0, CEILING) + 0.5).astype(np.int64)


def mean_absolute_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, E), (N, E) -> (E,)."""
    return np.abs(np.asarray(predicted, np.float64) - true).mean(0)


def four_class_accuracy(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, E), (N, E) intensities -> (E,)."""
    return (to_class(predicted) == to_class(true)).mean(0)


def constants(train: np.ndarray) -> dict[str, np.ndarray]:
    """The constant predictors that know the training labels (N, E) and nothing else: name -> (E,)."""
    if not len(train):
        return {}
    values = (train.mean(0, dtype=np.float64), np.median(train, 0), np.zeros(train.shape[1]))
    return dict(zip(CONSTANTS, values, strict=True))


def floors(train: np.ndarray, scored: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What constants fitted on `train` (N, E) reach on `scored` (M, E): constant -> {"mae", "acc4"} -> (E,)."""
    if not len(scored):
        return {}
    return {
        name: {"mae": mean_absolute_error(value[None], scored), "acc4": four_class_accuracy(value[None], scored)}
        for name, value in constants(train).items()
    }


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties averaged: (N,) -> (N,)."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive outscores a negative, ties half: (N,), (N,) bool -> [0, 1], nan without both kinds."""
    positive = np.asarray(positive, bool)
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return float("nan")
    return float((ranks(np.asarray(scores))[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))
