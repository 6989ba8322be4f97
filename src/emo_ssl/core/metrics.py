"""What is measured: error and four-class accuracy as in the paper, and measures that no constant can win.

Below them what needs no model, constants and guesses at masked frames; and predictions, from a head's output to scores.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CEILING = 3.0
CLASSES = 4
CONSTANTS = ("train mean", "train median", "always 0")
BASELINES = ("mean frame", "previous frame", "linear interpolation")
OVERALL = "overall"


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


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive outscores a negative, ties half: (N,), (N,) bool -> [0, 1], nan without both kinds."""
    positive = np.asarray(positive, bool)
    hits, misses = int(positive.sum()), int((~positive).sum())
    if not hits or not misses or np.isnan(scores).any():
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2  # ties share theirs; scipy.stats would take a second to import
    return float((rank[place][positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def macro_auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """(N, E), (N, E) bool -> the mean AUROC over emotions that have positives and negatives."""
    return mean_of_known([auroc(scores[:, e], positive[:, e]) for e in range(scores.shape[1])])


def mean_of_known(values: Sequence[float]) -> float:
    known = np.array(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """(N,), (N,) -> counts (classes, classes), a row for each true class. Classes below 0 mean unknown: not counted."""
    predicted, true = np.asarray(predicted, np.int64), np.asarray(true, np.int64)
    known = (predicted >= 0) & (true >= 0)
    cell = true[known] * classes + predicted[known]
    return np.bincount(cell, minlength=classes * classes).reshape(classes, classes)


def uar(predicted: np.ndarray, true: np.ndarray, classes: int) -> float:
    """Unweighted average recall over the classes that occur: (N,), (N,) -> [0, 1], nan without any item."""
    counts = confusion(predicted, true, classes)
    occurs = counts.sum(1) > 0
    return float((np.diag(counts)[occurs] / counts.sum(1)[occurs]).mean()) if occurs.any() else float("nan")


def balanced_accuracy(predicted: np.ndarray, positive: np.ndarray) -> float:
    """Mean of the two recalls of presence: (N,) bool, (N,) bool -> [0, 1], nan without both kinds."""
    return uar(predicted, positive, 2) if len(np.unique(positive)) == 2 else float("nan")


def ccc(predicted: np.ndarray, true: np.ndarray) -> float:
    """Concordance correlation: (N,), (N,) -> [-1, 1]; a constant prediction gets 0, nan where nothing varies at all."""
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if not len(predicted):
        return float("nan")
    covariance = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    spread = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else float("nan")


# --- what needs no model --------------------------------------------------------------------------------------------


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


def smooth_l1(error: np.ndarray) -> np.ndarray:
    size = np.abs(error)
    return np.where(size < 1, 0.5 * size**2, size - 0.5)


def reconstruction_baselines(
    frames: np.ndarray, masked: np.ndarray, valid: np.ndarray, mean: np.ndarray
) -> dict[str, np.ndarray]:
    """Masked frames guessed without a model: frames (B, T, D) with missing = 0, masked and valid (B, T), mean (D,).

    baseline -> (B, T, D). Before the first visible frame the previous one is the next one; a row with none visible gets
    the mean.
    """
    rows, steps, _ = frames.shape
    time = np.arange(steps)
    visible = valid & ~masked
    before = np.maximum.accumulate(np.where(visible, time, -1), 1)
    after = np.minimum.accumulate(np.where(visible, time, steps)[:, ::-1], 1)[:, ::-1]
    before, after = np.where(before < 0, after, before), np.where(after == steps, before, after)
    nothing = ~visible.any(1)
    before[nothing], after[nothing] = 0, 0
    row = np.arange(rows)[:, None]
    left, right = frames[row, before], frames[row, after]
    weight = ((time - before) / np.maximum(after - before, 1))[..., None]
    kinds = (np.broadcast_to(mean, frames.shape), left, left + weight * (right - left))
    return {name: np.where(nothing[:, None, None], mean, kind) for name, kind in zip(BASELINES, kinds, strict=True)}


# --- predictions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """What M members predict for n segments. NaN and class -1 where a segment was not scored."""

    intensity: np.ndarray  # (M, n, E) float32 in [0, 3]
    presence: np.ndarray  # (M, n, E) float32, P(y > 0) or a score that ranks like it
    klass: np.ndarray  # (M, n, E) int8, the likeliest of the four classes
    category: np.ndarray | None = None  # (M, n, C) float32 scores of the categories

    def map(self, work: Callable[[np.ndarray], np.ndarray]) -> "Predictions":
        return Predictions(**{name: work(values) for name, values in self.arrays().items()})

    def take(self, items: np.ndarray) -> "Predictions":
        """Of these segments only, in this order."""
        return self.map(lambda values: values[:, items])

    def scored(self) -> np.ndarray:
        """(M, n) bool."""
        return np.isfinite(self.intensity).all(-1)

    def without(self, members: np.ndarray) -> "Predictions":
        """As if these members (M,) bool had scored nothing."""
        return self.map(lambda values: np.where(members[:, None, None], unscored(values.dtype), values))

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array, without the categories where there are none."""
        return {name: values for name, values in vars(self).items() if values is not None}


def unscored(dtype: np.dtype) -> np.ndarray:
    return np.array(-1 if dtype.kind == "i" else np.nan, dtype)


def ordinal_predictions(above: np.ndarray, levels: Sequence[float], category: np.ndarray | None = None) -> Predictions:
    """P(y > t_k) (M, n, E, K) of an ordinal head, levels (K + 1,) from 0 up -> predictions.

    The median of the predicted distribution minimises the absolute error; its mode is the likeliest class, the lower
    one in a tie.
    """
    above, levels = np.asarray(above, np.float64), np.array(levels)
    probability = -np.diff(above, prepend=1.0, append=0.0)  # of each level
    of_class = [probability[..., to_class(levels) == c].sum(-1) for c in range(CLASSES)]
    return predictions_of(levels[(above > 0.5).sum(-1)], above[..., 0], np.stack(of_class, -1).argmax(-1), category)


def l1_predictions(intensity: np.ndarray, category: np.ndarray | None = None) -> Predictions:
    """The intensities (M, n, E) of an L1 head, which may lie outside the scale -> predictions."""
    clipped = np.clip(intensity, 0, CEILING)
    return predictions_of(clipped, intensity, to_class(clipped), category)


def predictions_of(
    intensity: np.ndarray, presence: np.ndarray, klass: np.ndarray, category: np.ndarray | None
) -> Predictions:
    return Predictions(
        intensity.astype(np.float32),
        presence.astype(np.float32),
        klass.astype(np.int8),
        None if category is None else category.astype(np.float32),
    )
