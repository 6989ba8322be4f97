"""What is measured: error and four-class accuracy as in the paper, and measures that no constant can win."""

from collections.abc import Callable

import numpy as np

CEILING = 3.0
CONSTANTS = ("train mean", "train median", "always 0")


def to_class(intensity: np.ndarray) -> np.ndarray:
    """Intensities in [0, 3] -> classes 0..3, halves rounded up."""
    return np.floor(np.clip(intensity, 0, CEILING) + 0.5).astype(np.int64)


def to_class_ceiling(intensity: np.ndarray) -> np.ndarray:
    """The other reading of the four classes: any trace of an emotion is class 1, so every fraction rounds up."""
    # labels are thirds in float32, and 1.0000001 must not become class 2
    return np.ceil(np.round(np.clip(intensity, 0, CEILING), 4)).astype(np.int64)


def mean_absolute_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, E), (N, E) -> (E,)."""
    return np.abs(np.asarray(predicted, np.float64) - true).mean(0)


def four_class_accuracy(
    predicted: np.ndarray, true: np.ndarray, reading: Callable[[np.ndarray], np.ndarray] = to_class
) -> np.ndarray:
    """(N, E), (N, E) intensities -> (E,)."""
    return (reading(predicted) == reading(true)).mean(0)


def constant_baselines(train: np.ndarray, scored: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What constants that know the labels `train` (N, E) and nothing else reach on `scored` (M, E).

    constant -> {"mae", "acc4"} -> (E,); nothing where either is empty.
    """
    if not len(train) or not len(scored):
        return {}
    values = (train.mean(0, dtype=np.float64), np.median(train, 0), np.zeros(train.shape[1]))
    return {
        name: {"mae": mean_absolute_error(value[None], scored), "acc4": four_class_accuracy(value[None], scored)}
        for name, value in zip(CONSTANTS, values, strict=True)
    }


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive outscores a negative, ties half: (N,), (N,) bool -> [0, 1], nan without both kinds."""
    positive = np.asarray(positive, bool)
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses:
        return float("nan")
    from scipy.stats import rankdata  # here, for scipy.stats takes a second to import

    return float((rankdata(scores)[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def macro_auroc(scores: np.ndarray, positive: np.ndarray) -> tuple[float, int]:
    """(N, E), (N, E) bool -> mean AUROC over emotions with positives and negatives, and how many were left out."""
    each = np.array([auroc(scores[:, e], positive[:, e]) for e in range(scores.shape[1])])
    defined = np.isfinite(each)
    return (float(each[defined].mean()) if defined.any() else float("nan")), int((~defined).sum())


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """(N,), (N,) -> counts (classes, classes), a row for each true class. Classes below 0 mean unknown: not counted."""
    predicted, true = np.asarray(predicted, np.int64), np.asarray(true, np.int64)
    known = (predicted >= 0) & (true >= 0)
    cell = true[known] * classes + predicted[known]
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes)


def four_class_confusion(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Classes 0..3, (N, E) and (N, E) -> counts (E, 4, 4), rows true."""
    classes = int(CEILING) + 1
    each = [confusion(predicted[:, e], true[:, e], classes) for e in range(predicted.shape[1])]
    return np.array(each, np.int64).reshape(-1, classes, classes)


def uar(predicted: np.ndarray, true: np.ndarray, classes: int) -> float:
    """Unweighted average recall over the classes that occur: (N,), (N,) -> [0, 1], nan without any item."""
    counts = confusion(predicted, true, classes)
    occurs = counts.sum(1) > 0
    return float((np.diag(counts)[occurs] / counts.sum(1)[occurs]).mean()) if occurs.any() else float("nan")


def balanced_accuracy(predicted: np.ndarray, positive: np.ndarray) -> float:
    """Mean of the two recalls of presence: (N,) bool, (N,) bool -> [0, 1], nan without both kinds."""
    predicted, positive = np.asarray(predicted, bool), np.asarray(positive, bool)
    if positive.all() or not positive.any():
        return float("nan")
    return float((predicted[positive].mean() + (~predicted[~positive]).mean()) / 2)


def ccc(predicted: np.ndarray, true: np.ndarray) -> float:
    """Concordance correlation: (N,), (N,) -> [-1, 1]; a constant prediction gets 0, nan where nothing varies at all."""
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not len(predicted):
        return float("nan")
    covariance = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    spread = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else float("nan")


def skill(metric: str, value: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """The share of the way from the best constant (0) to perfection (1); below 0 a constant is better."""
    if metric not in ("mae", "acc4"):
        raise ValueError(f"skill is defined for mae and acc4, not for {metric}")
    value, floor = np.asarray(value, np.float64), np.asarray(floor, np.float64)
    gain, room = (floor - value, floor) if metric == "mae" else (value - floor, 1 - floor)
    # a constant that is already perfect leaves no room
    return np.divide(gain, room, out=np.full(np.broadcast(gain, room).shape, np.nan), where=room > 0)


def monotone(exceedance: np.ndarray) -> np.ndarray:
    """P(y > t_k), (..., K) -> the same numbers, none larger than the one before.

    Sorting changes nothing for an ordinal head. Binary probes that were fitted one threshold at a time may cross, and
    putting their numbers in order is never further from the truth than leaving them (the running minimum can be).
    """
    return -np.sort(-np.asarray(exceedance, np.float64), axis=-1)


def level_probabilities(exceedance: np.ndarray) -> np.ndarray:
    """P(y > t_k), (..., K) -> P(y = level), (..., K + 1)."""
    ordered = monotone(exceedance)
    edge = np.ones((*ordered.shape[:-1], 1))
    return -np.diff(np.concatenate([edge, ordered, 0 * edge], axis=-1), axis=-1)


def ordinal_median(exceedance: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """P(y > t_k) (..., K) and levels (K + 1,) -> intensity (...): the lowest level that is reached half of the time."""
    return np.asarray(levels)[(monotone(exceedance) > 0.5).sum(-1)]


def ordinal_mode(exceedance: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """P(y > t_k) (..., K) and levels (K + 1,) -> the likeliest of the four classes (...), the lower one in a tie."""
    probability, class_of_level = level_probabilities(exceedance), to_class(np.asarray(levels))
    of_class = [probability[..., class_of_level == c].sum(-1) for c in range(int(CEILING) + 1)]
    return np.stack(of_class, -1).argmax(-1)


def ordinal_presence(exceedance: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """P(y > t_k) (..., K) and levels (K + 1,) -> P(y > 0) (...)."""
    return level_probabilities(exceedance)[..., np.asarray(levels) > 0].sum(-1)
