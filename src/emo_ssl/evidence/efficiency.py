"""How many labels training from scratch needs to reach what the pretrained arm reaches with n."""

from dataclasses import dataclass

import numpy as np

from emo_ssl.evidence.bootstrap import widened_level
from emo_ssl.evidence.effects import Effects, Group

BELOW, ABOVE = 0.0, np.inf  # fewer than the smallest budget; more than the largest


@dataclass(frozen=True)
class Needed:
    budget: int  # what the pretrained arm had
    labels: float  # what scratch needs for the same; BELOW or ABOVE outside the budgets of the study
    low: float  # nan with too few replicates
    high: float
    smallest: int
    largest: int

    def say(self, labels: float) -> str:
        if np.isnan(labels):
            return "unknown"
        if labels == ABOVE:
            return f"more than {self.largest}"
        return f"less than {self.smallest}" if labels == BELOW else f"{labels:.0f}"

    def __str__(self) -> str:
        return f"{self.say(self.labels)} ({self.say(self.low)} to {self.say(self.high)})"


def isotonic(curves: np.ndarray) -> np.ndarray:
    """(D, B) -> the closest curves that never fall, (D, B).

    The max-min form of pooling adjacent violators: with a handful of budgets it treats all draws at once.
    """
    count = curves.shape[1]
    totals = np.concatenate([np.zeros((len(curves), 1)), np.cumsum(curves, 1)], 1)
    result = np.full(curves.shape, -np.inf)
    for i in range(count):
        for first in range(i + 1):
            means = [(totals[:, last + 1] - totals[:, first]) / (last + 1 - first) for last in range(i, count)]
            result[:, i] = np.maximum(result[:, i], np.min(means, axis=0))
    return result


def labels_needed(curve: np.ndarray, target: np.ndarray, budgets: np.ndarray, had: int) -> np.ndarray:
    """Rising curves (D, B), targets (D,), budgets (B,) -> labels (D,), linear in the logarithm between budgets.

    Where a whole stretch of the curve equals the target, the answer nearest to `had` is taken.
    """
    count, rows = curve.shape[1], np.arange(len(curve))

    def between(left: np.ndarray) -> np.ndarray:
        left = np.clip(left, 0, max(count - 2, 0))
        right = np.minimum(left + 1, count - 1)
        rise = curve[rows, right] - curve[rows, left]
        share = np.divide(target - curve[rows, left], rise, out=np.zeros(len(curve)), where=rise > 0)
        logs = np.log(budgets)
        return np.exp(logs[left] + np.clip(share, 0, 1) * (logs[right] - logs[left]))

    reached = (curve < target[:, None]).sum(1)  # the first budget that suffices
    held = (curve <= target[:, None]).sum(1) - 1  # the last budget that is not too much
    soonest = np.where(reached == 0, budgets[0], between(reached - 1))
    latest = np.where(held == count - 1, budgets[-1], between(held))
    labels = np.where(soonest < latest, np.clip(had, soonest, latest), soonest)
    labels = np.where(reached == count, ABOVE, np.where(held < 0, BELOW, labels))
    return np.where(np.isfinite(curve).all(1) & np.isfinite(target), labels, np.nan)


def label_efficiency(effects: Effects, group: Group, level: float = 0.95) -> list[Needed]:
    """A row for each budget of the pretrained arm; both curves are made monotone in every draw."""
    budgets = effects.budgets(group, "pretrained", "scratch")
    if len(budgets) < 2:
        return []
    scratch = [effects.level(group, "scratch", b, effects.headline) for b in budgets]
    gains = [effects.gain(group, "pretrained", "scratch", [b], effects.headline) for b in budgets]
    curve = isotonic(np.stack([sample.draws for sample in scratch], 1))
    reached = isotonic(np.stack([s.draws + g.draws for s, g in zip(scratch, gains, strict=True)], 1))
    rows = []
    for b, budget in enumerate(budgets):
        labels = labels_needed(curve, reached[:, b], np.array(budgets, np.float64), budget)
        tail = (1 - widened_level(gains[b], level)) / 2
        low = high = np.nan
        if np.isfinite(tail):  # rounded outwards: between a number and "more than N" nothing can be interpolated
            low = np.nanquantile(labels[1:], tail, method="lower")
            high = np.nanquantile(labels[1:], 1 - tail, method="higher")
        rows.append(Needed(budget, float(labels[0]), float(low), float(high), budgets[0], budgets[-1]))
    return rows
