"""From what a head puts out to predictions that can be scored: intensities, presence, classes, categories."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from emo_ssl.core import metrics

OVERALL = "overall"


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

    def arrays(self) -> dict[str, np.ndarray]:
        """Name -> array, without the categories where there are none."""
        return {name: values for name, values in vars(self).items() if values is not None}


def concatenate(parts: Sequence[Predictions], axis: int = 0) -> Predictions:
    """Members end to end, or segments with axis 1."""
    arrays = [part.arrays() for part in parts]
    return Predictions(**{name: np.concatenate([a[name] for a in arrays], axis) for name in arrays[0]})


def read_out(
    levels: Sequence[float],
    above: np.ndarray | None = None,
    intensity: np.ndarray | None = None,
    category: np.ndarray | None = None,
) -> Predictions:
    """P(y > t_k) (M, n, E, K) of an ordinal head, or the intensities (M, n, E) of an L1 head, as predictions.

    The median of the predicted distribution minimises the absolute error; its mode is the likeliest class.
    """
    if above is not None:
        values = np.array(levels)
        intensity = metrics.ordinal_median(above, values)
        klass = metrics.ordinal_mode(above, values)
        presence = metrics.ordinal_presence(above, values)
    else:
        presence, intensity = intensity, np.clip(intensity, 0, metrics.CEILING)
        klass = metrics.to_class(intensity)
    return Predictions(
        intensity.astype(np.float32),
        presence.astype(np.float32),
        klass.astype(np.int8),
        None if category is None else category.astype(np.float32),
    )


def scores_of(
    predictions: Predictions, member: int, targets: np.ndarray, category: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[str, str, float]]:
    """(emotion or "overall", metric, value) of one member on segments with targets (n, E) and category (n,)."""
    intensity, presence = predictions.intensity[member], predictions.presence[member]
    present, emotions = targets > 0, range(len(names))
    columns = {
        "mae": metrics.mean_absolute_error(intensity, targets),
        "acc4": (predictions.klass[member] == metrics.to_class(targets)).mean(0),
        "acc4_ceiling": metrics.four_class_accuracy(intensity, targets, metrics.to_class_ceiling),
        "auroc": [metrics.auroc(presence[:, e], present[:, e]) for e in emotions],
        "ccc": [metrics.ccc(intensity[:, e], targets[:, e]) for e in emotions],
        "balanced_accuracy": [metrics.balanced_accuracy(presence[:, e] > 0.5, present[:, e]) for e in emotions],
    }
    for metric, values in columns.items():
        for name, value in zip(names, values, strict=True):
            yield name, metric, float(value)
        known = np.array(values)[np.isfinite(values)]
        yield OVERALL, metric, float(known.mean()) if len(known) else float("nan")
    if predictions.category is not None:
        yield OVERALL, "uar", recall(predictions, member, category)


def headline(predictions: Predictions, member: int, targets: np.ndarray, category: np.ndarray) -> float:
    """The measure that no constant wins: UAR where clips have a category, else macro-AUROC of presence."""
    if predictions.category is not None:
        return recall(predictions, member, category)
    return metrics.macro_auroc(predictions.presence[member], targets > 0)[0]


def recall(predictions: Predictions, member: int, category: np.ndarray) -> float:
    """The unweighted average recall of one member on the segments whose category (n,) is known."""
    known = category >= 0
    scores = predictions.category[member, known]
    return metrics.uar(scores.argmax(-1), category[known], scores.shape[-1])
