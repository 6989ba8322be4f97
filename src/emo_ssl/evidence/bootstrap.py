"""The crossed bootstrap: seeds and units (speakers; videos for MOSEI) are drawn independently of each other.

One set of draws serves every effect of a study, so that differences, sums over budgets and simultaneous bounds keep
what the effects have in common. Everywhere below, a row of draws has D + 1 entries: entry 0 is the sample itself.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit  # scipy.stats takes a second to import


@dataclass(frozen=True)
class Draws:
    """How often each unit was drawn, and each seed's share of the draw."""

    units: np.ndarray  # (D + 1, U) float32
    seeds: np.ndarray  # (D + 1, S) float64, rows sum to 1

    @classmethod
    def make(cls, units: int, seeds: int, draws: int, seed: int = 0) -> "Draws":
        rng = np.random.default_rng(seed)
        drawn = [
            np.concatenate([np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), size=draws)])
            for count in (units, seeds)
        ]
        return cls(drawn[0].astype(np.float32), drawn[1] / seeds)


@dataclass(frozen=True)
class Sample:
    """One number with its draws, from which intervals and sums are made."""

    draws: np.ndarray  # (D + 1,) entry 0 is the estimate
    by_seed: np.ndarray  # (S,) the estimate of each seed, nan where it is undefined
    units: int  # how many units were scored

    @property
    def estimate(self) -> float:
        return float(self.draws[0])

    @property
    def seeds(self) -> int:
        return int(np.isfinite(self.by_seed).sum())

    def __add__(self, other: "Sample | float") -> "Sample":
        if not isinstance(other, Sample):
            return Sample(self.draws + other, self.by_seed + other, self.units)
        return Sample(self.draws + other.draws, self.by_seed + other.by_seed, min(self.units, other.units))

    def __sub__(self, other: "Sample | float") -> "Sample":
        return self + other * -1

    def __mul__(self, factor: float) -> "Sample":
        return Sample(self.draws * factor, self.by_seed * factor, self.units)


def mean(samples: list[Sample]) -> Sample:
    return sum(samples[1:], samples[0]) * (1 / len(samples))


@dataclass(frozen=True)
class Interval:
    estimate: float
    low: float  # nan with fewer than two seeds or two units
    high: float
    p: float  # two-sided, of no effect


def spread(sample: Sample) -> tuple[float, float]:
    """Standard error and degrees of freedom, (nan, nan) with fewer than two seeds or two units.

    The degrees of freedom of seeds and of units are mixed by their share of the variance (Welch, Satterthwaite). Those
    of the units alone give too short intervals where a few seeds differ more than the units do: they cover as little
    as .83 where they say .95.
    """
    n, s = sample.units, sample.seeds
    drawn = sample.draws[1:][np.isfinite(sample.draws[1:])]
    if n < 2 or s < 2 or len(drawn) < 2:
        return float("nan"), float("nan")
    of_seeds = float(np.nanvar(sample.by_seed, ddof=1)) / s
    of_units = max(float(np.var(drawn, ddof=1)) - of_seeds * (s - 1) / s, 0.0) * n / (n - 1)
    total = of_seeds + of_units
    if total == 0:
        return 0.0, n - 1
    return float(np.sqrt(total)), total**2 / (of_seeds**2 / (s - 1) + of_units**2 / (n - 1))


def interval(sample: Sample, level: float = 0.95, widening: float = 1.0) -> Interval:
    """The estimate with its two-sided interval, `widening` times as long as it is for itself, and its p-value."""
    error, freedom = spread(sample)
    half = stdtrit(freedom, (1 + level) / 2) * error * widening
    p = 2 * stdtr(freedom, -abs(sample.estimate) / error) if error else float(sample.estimate == 0)
    return Interval(sample.estimate, sample.estimate - half, sample.estimate + half, float(p))


def simultaneous(samples: list[Sample], level: float = 0.95) -> list[Interval]:
    """Intervals that hold all at once: the quantile of the largest of the draws' standardised distances (max-t)."""
    if not all(np.isfinite(spread(sample)[0]) for sample in samples):
        return [interval(sample, level) for sample in samples]
    drawn = np.stack([sample.draws[1:] for sample in samples])
    away = np.abs(drawn - np.array([[sample.estimate] for sample in samples]))
    own = np.nanstd(drawn, axis=1, ddof=1, keepdims=True)
    distances = np.divide(away, own, out=np.zeros_like(away), where=own > 0)
    critical = float(np.nanquantile(distances.max(0), level))
    widening = max(critical / ndtri((1 + level) / 2), 1.0)
    return [interval(sample, level, widening) for sample in samples]


def holm(p: list[float]) -> list[float]:
    """Holm's adjusted p-values of one family, nan for nan (which then does not count as a member)."""
    p_values = np.asarray(p, np.float64)
    adjusted = np.full(len(p_values), np.nan)
    order = [i for i in np.argsort(p_values) if np.isfinite(p_values[i])]
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted.tolist()


def widened_level(sample: Sample, level: float = 0.95) -> float:
    """The level at which plain percentiles of the draws are as wide as the t interval would be, nan where unknown.

    For numbers whose draws are far from normal (numbers of labels, censored at the full budget).
    """
    error, freedom = spread(sample)
    if not np.isfinite(error):
        return float("nan")
    drawn = np.nanstd(sample.draws[1:], ddof=1)
    widening = error / drawn if drawn > 0 else 1.0
    return float(2 * ndtr(stdtrit(freedom, (1 + level) / 2) * widening) - 1)
