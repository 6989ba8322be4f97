"""How many labels training from scratch needs to reach what another arm reaches with n."""

import numpy as np

from emo_ssl.evidence.bootstrap import widened_level
from emo_ssl.evidence.effects import Effects, Group

BELOW, ABOVE = 0.0, np.inf  # fewer than the smallest budget; more than the largest
BEYOND = {BELOW: "less", ABOVE: "more"}


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


def label_efficiency(effects: Effects, group: Group, level: float = 0.95, arm: str = "pretrained") -> list[dict]:
    """A row for each budget of the arm; both curves are made monotone in every draw.

    `labels`, `low` and `high` are clipped to the study's budgets; `…_beyond` and `text` say where they lie outside.
    """
    budgets = effects.budgets(group, arm, "scratch")
    if len(budgets) < 2:
        return []
    scratch = [effects.level(group, "scratch", b, effects.headline) for b in budgets]
    gains = [effects.gain(group, arm, "scratch", [b], effects.headline) for b in budgets]
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
        found = {"labels": float(labels[0]), "low": float(low), "high": float(high)}
        text = "{labels} ({low} to {high})".format(**{name: in_words(n, budgets) for name, n in found.items()})
        row = {"arm": arm, "budget": budget, "text": text}
        for name, value in found.items():
            row |= {name: float(np.clip(value, budgets[0], budgets[-1])), f"{name}_beyond": BEYOND.get(value)}
        rows.append(row)
    return rows


def in_words(labels: float, budgets: list[int]) -> str:
    if labels in BEYOND:
        return f"{BEYOND[labels]} than {budgets[0] if labels == BELOW else budgets[-1]}"
    return "unknown" if np.isnan(labels) else f"{labels:.0f}"
