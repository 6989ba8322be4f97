"""Every measure as a function of how often each unit was drawn: one seed's predictions -> (draws, measures)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.metrics import OVERALL, Predictions

PER_EMOTION = ("mae", "acc4", "auroc", "ccc", "balanced")
LOWER_IS_BETTER = ("mae",)
CHUNK = 1024  # draws at a time: the product of a chunk stays in the processor's cache
# Below this many multiplications a product runs on one thread. Handed to several, small ones wait for each other, and
# on a busy machine ten times longer than they compute.
ONE_THREAD = 1 << 18


def chunks(rows: int, pairs: int) -> list[slice]:
    """Draws (rows) in pieces for products that cost `pairs` multiplications a draw."""
    size = ONE_THREAD // max(pairs, 1)
    size = min(size, CHUNK) if size >= 64 else CHUNK
    return [slice(first, first + size) for first in range(0, rows, size)]


def product(weights: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """(R, U) @ (U, ...) in float64: variances are differences of such sums."""
    result = np.empty((len(weights), *sums.shape[1:]))
    for piece in chunks(len(weights), sums.size):
        result[piece] = weights[piece].astype(np.float64) @ sums
    return result


@dataclass(frozen=True)
class Scorer:
    """The truth, with the items of a unit side by side.

    MAE, accuracy, recalls and CCC are ratios of sums over items, so a draw is a product of its weights with the sums by
    unit; items are pooled, a unit counts by its number of items. Only AUROC compares items across units.
    """

    targets: np.ndarray  # (N, E)
    category: np.ndarray  # (N,) -1 without
    unit: np.ndarray  # (N,) 0..U-1, not descending, each one present
    emotions: tuple[str, ...]
    categories: int

    @cached_property
    def starts(self) -> np.ndarray:
        return np.flatnonzero(np.diff(self.unit, prepend=-1))

    @cached_property
    def columns(self) -> list[tuple[str, str]]:
        """(measure, emotion or "overall") of each column of `score`, the overall ones first."""
        names = [(metric, OVERALL) for metric in (*PER_EMOTION, *["uar"] * bool(self.categories))]
        return names + [(metric, emotion) for metric in PER_EMOTION for emotion in self.emotions]

    def by_unit(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Sums over the masked items of each unit: (N, ...) -> (U, ...)."""
        kept = np.where(mask.reshape(-1, *[1] * (values.ndim - 1)), values, 0.0)
        return np.add.reduceat(kept.astype(np.float64), self.starts, axis=0)

    def score(self, predictions: Predictions, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """One seed's predictions (N, …), items that count (N,) bool, weights (R, U) -> (R, columns), nan: undefined."""
        each = self.of_sums(predictions, mask, weights)
        each["auroc"] = self.auroc(predictions.presence, mask, weights)
        overall = [mean_of_defined(each[metric]) for metric in PER_EMOTION]
        if self.categories:
            overall.append(self.uar(predictions.category, mask, weights))
        return np.concatenate([np.stack(overall, 1), *(each[metric] for metric in PER_EMOTION)], 1)

    def of_sums(self, predictions: Predictions, mask: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
        """measure -> (R, E)."""
        true, predicted = self.targets.astype(np.float64), predictions.intensity.astype(np.float64)
        positive, recognised = true > 0, predictions.presence > 0.5
        known = np.where(np.isfinite(predictions.presence), 1.0, np.nan)
        sums = {
            "n": np.ones_like(true),
            "error": np.abs(predicted - true),
            "right": predictions.klass == metrics.to_class(true),
            "hits": positive & recognised,
            "positives": positive * known,
            "rejections": ~positive & ~recognised,
            "negatives": ~positive * known,
            "p": predicted,
            "t": true,
            "pp": predicted**2,
            "tt": true**2,
            "pt": predicted * true,
        }
        stacked = self.by_unit(np.concatenate(list(sums.values()), 1), mask)
        drawn = np.split(product(weights, stacked), len(sums), axis=1)
        s = dict(zip(sums, drawn, strict=True))
        mean_p, mean_t = ratio(s["p"], s["n"]), ratio(s["t"], s["n"])
        covariance = ratio(s["pt"], s["n"]) - mean_p * mean_t
        variances = ratio(s["pp"], s["n"]) - mean_p**2 + ratio(s["tt"], s["n"]) - mean_t**2
        return {
            "mae": ratio(s["error"], s["n"]),
            "acc4": ratio(s["right"], s["n"]),
            "ccc": ratio(2 * covariance, variances + (mean_p - mean_t) ** 2),
            "balanced": (ratio(s["hits"], s["positives"]) + ratio(s["rejections"], s["negatives"])) / 2,
        }

    def uar(self, category: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(N, C) scores -> (R,): recalls by unit where each unit has each class, else recalls of the pooled items."""
        mask = mask & (self.category >= 0) & np.isfinite(category).all(1)
        is_class = self.category[:, None] == np.arange(self.categories)
        right = is_class & (np.where(mask[:, None], category, 0.0).argmax(1) == self.category)[:, None]
        hits, counts = self.by_unit(right, mask), self.by_unit(is_class, mask)
        if (counts > 0).all():
            hits, counts = hits / counts, np.ones_like(counts)
        return mean_of_defined(ratio(product(weights, hits), product(weights, counts)))

    def auroc(self, presence: np.ndarray, mask: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(N, E) -> (R, E)."""
        kept = np.flatnonzero(mask)
        each = [
            weighted_auroc(presence[kept, e], self.targets[kept, e] > 0, self.unit[kept], weights)
            for e in range(len(self.emotions))
        ]
        return np.stack(each, 1) if each else np.empty((len(weights), 0))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """nan where there is nothing to divide by."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)


def mean_of_defined(values: np.ndarray) -> np.ndarray:
    """(R, E) -> (R,), over what is not nan."""
    defined = np.isfinite(values)
    return ratio(np.where(defined, values, 0.0).sum(1), defined.sum(1))


def weighted_auroc(scores: np.ndarray, positive: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of pooled items whose units weigh w: (N,), (N,) bool, (N,) not descending, (R, U) -> (R,).

    w'Aw / ((w'p)(w'n)), A[a, b] = wins of unit a's positives over unit b's negatives (ties half), p and n = how many
    positives and negatives a unit has: all draws are one matrix product.
    """
    hits, misses = np.flatnonzero(positive), np.flatnonzero(~positive)
    if not len(hits) or not len(misses) or not np.isfinite(scores).all():
        return np.full(len(weights), np.nan)
    winners, first_hit, of_hits = np.unique(unit[hits], return_index=True, return_counts=True)
    losers, first_miss, of_misses = np.unique(unit[misses], return_index=True, return_counts=True)
    wins = np.empty((len(winners), len(losers)), np.float32)
    for i, own in enumerate(np.split(scores[hits, None], first_hit[1:])):
        halves = (own > scores[misses]).sum(0) + (own >= scores[misses]).sum(0)  # 2 a win, 1 a tie
        wins[i] = np.add.reduceat(halves, first_miss) / 2
    of_winners, of_losers = weights.take(winners, 1), weights.take(losers, 1)
    result = np.empty(len(weights))
    for piece in chunks(len(weights), wins.size):
        result[piece] = np.einsum("ij,ij->i", of_winners[piece] @ wins, of_losers[piece])
    return ratio(result, product(of_winners, of_hits) * product(of_losers, of_misses))
