"""What every arm reaches and how arms differ, as joint draws: what intervals and claims are made of."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from emo_ssl.core.metrics import OVERALL, Predictions
from emo_ssl.evidence.bootstrap import Draws, Sample, mean
from emo_ssl.evidence.scores import LOWER_IS_BETTER, Scorer, ratio
from emo_ssl.study.predictions import Key, StudyPredictions

MAIN = ("pretrained", "scratch")
RECIPE = "self-trained"  # the one that earned its labels: the claims are asked of it too
CONTRAST_PAIR = (RECIPE, "contrast")  # the first minus the second
CLASSICAL = ("logistic", "statistics")
FROZEN_PAIRS = (("frozen-pretrained", "frozen-random"), ("frozen-pretrained", "frozen-permuted"))


@dataclass(frozen=True, order=True)
class Group:
    """What is compared with its like only."""

    protocol: str
    backbone: str
    readout: str


@dataclass(frozen=True)
class Effects:
    """Joint draws of levels (an arm by itself) and of gains (an arm over another, positive = the first is better).

    Each holds all measures at one budget: draws (D + 1, M) as float32, by_seed (S, M).
    """

    columns: dict[tuple[str, str], int]  # (measure, emotion) -> column
    emotions: tuple[str, ...]
    headline: str
    levels: dict[tuple[Group, str, int], Sample]
    gains: dict[tuple[Group, str, str, int], Sample]

    def level(self, group: Group, arm: str, budget: int, metric: str, emotion: str = OVERALL) -> Sample:
        return self._column(self.levels[group, arm, budget], metric, emotion)

    def gain(
        self, group: Group, arm: str, against: str, budgets: Iterable[int], metric: str, emotion: str = OVERALL
    ) -> Sample:
        """The mean over budgets."""
        return mean([self._column(self.gains[group, arm, against, b], metric, emotion) for b in budgets])

    def _column(self, drawn: Sample, metric: str, emotion: str) -> Sample:
        m = self.columns[metric, emotion]
        # float64: intervals of sums of effects are differences of nearly equal numbers
        return Sample(drawn.draws[:, m].astype(np.float64), drawn.by_seed[:, m], drawn.units)

    def budgets(self, group: Group, arm: str, against: str) -> list[int]:
        """Where both were run."""
        return sorted(b for g, a, o, b in self.gains if (g, a, o) == (group, arm, against))

    def groups(self) -> list[Group]:
        return sorted({group for group, _, _ in self.levels})

    def arms(self, group: Group) -> list[str]:
        return sorted({arm for g, arm, _ in self.levels if g == group})


def pairs(arms: Iterable[str]) -> list[tuple[str, str]]:
    """Which differences are looked at: pretrained against every other arm, and arms that share what it does not."""
    present = sorted(arms)
    wanted = [("pretrained", other) for other in present if other != "pretrained"]
    wanted += [*FROZEN_PAIRS, ("permuted", "scratch"), ("pretrained-4x", "scratch-4x")]
    wanted += [(recipe, rival) for recipe in CONTRAST_PAIR for rival in (*CLASSICAL, "scratch")]
    wanted += [CONTRAST_PAIR, *((arm, "scratch") for arm in CLASSICAL)]
    return [(a, b) for a, b in wanted if a in present and b in present]


def compute(predictions: StudyPredictions, draws: int, seed: int) -> Effects:
    """Score every arm in every draw, seed by seed."""
    meta, items = predictions.meta, predictions.items
    names, unit = np.unique(items.unit, return_inverse=True)
    order = np.argsort(unit, kind="stable")  # a unit's items side by side
    emotions, categories = tuple(meta["target_names"]), len(meta["category_names"])
    scorer = Scorer(items.targets[order], items.category[order], unit[order], emotions, categories)
    drawn = Draws.make(len(names), len(meta["seeds"]), draws, seed)
    columns = {name: m for m, name in enumerate(scorer.columns)}
    effects = Effects(columns, emotions, meta["headline"], {}, {})
    cells: dict[tuple[Group, int], list[Key]] = {}
    for key in predictions.keys:
        cells.setdefault((Group(key.protocol, key.backbone, key.readout), key.budget), []).append(key)
    for (group, budget), keys in cells.items():
        arms = {key.arm: predictions.cell(key).take(order) for key in keys}
        for (arm, other), result in of_one_budget(arms, scorer, drawn).items():
            if other is None:
                effects.levels[group, arm, budget] = result
            else:
                effects.gains[group, arm, other, budget] = result
    return effects


def of_one_budget(arms: dict[str, Predictions], scorer: Scorer, draws: Draws) -> dict[tuple[str, str | None], Sample]:
    """(arm, None) -> its level and (arm, other) -> how much better arm is than other, over the same draws.

    All arms of one protocol are scored on the same items, with every seed.
    """
    compared = [(arm, None) for arm in sorted(arms)] + pairs(arms)
    (drawn, seeds), measures = draws.seeds.shape, len(scorer.columns)
    # of values and of the share of a draw's seeds for which they are defined
    total, weight = np.zeros((2, len(compared), drawn, measures))
    by_seed = np.full((len(compared), seeds, measures), np.nan)
    sign = np.array([-1.0 if metric in LOWER_IS_BETTER else 1.0 for metric, _ in scorer.columns])
    scored = np.any([predictions.scored().any(0) for predictions in arms.values()], axis=0)
    for s in range(seeds):
        # a draw without this seed does not need its scores: at ten seeds that is every third
        rows = np.flatnonzero(draws.seeds[:, s] > 0)
        weights, share = draws.units[rows], draws.seeds[rows, s]
        values = {
            arm: scorer.score(predictions.map(lambda values, s=s: values[s]), scored, weights)
            for arm, predictions in arms.items()
        }
        for i, (arm, other) in enumerate(compared):
            found = values[arm] if other is None else sign * (values[arm] - values[other])
            defined = np.isfinite(found)
            total[i, rows] += share[:, None] * np.where(defined, found, 0.0)
            weight[i, rows] += share[:, None] * defined
            by_seed[i, s] = found[0]
    units = len(np.unique(scorer.unit[scored]))
    # emotion by emotion only for what claims are asked of: the draws of all would fill gigabytes
    overall = sum(emotion == OVERALL for _, emotion in scorer.columns)
    results = {}
    for i, names in enumerate(compared):
        kept = slice(measures if {*names} <= {*MAIN, RECIPE, None} else overall)
        mean_of = ratio(total[i], weight[i])[:, kept].astype(np.float32)
        results[names] = Sample(mean_of, by_seed[i][:, kept], units)
    return results
