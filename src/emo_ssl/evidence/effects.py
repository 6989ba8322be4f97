"""What every arm reaches and how arms differ, as joint draws: what intervals and claims are made of."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from emo_ssl.core.readout import OVERALL, Predictions
from emo_ssl.evidence.bootstrap import Draws, Sample, mean
from emo_ssl.evidence.scores import LOWER_IS_BETTER, Score, Scorer
from emo_ssl.study.predictions import Key, StudyPredictions

# arms without a backbone of their own may be stored under any backbone's name
MAIN = ("pretrained", "scratch")
WITHOUT_BACKBONE = ("statistics", "pca", "length", "constants")
FROZEN_PAIRS = (("frozen-pretrained", "frozen-random"), ("frozen-pretrained", "frozen-permuted"))


@dataclass(frozen=True, order=True)
class Group:
    """What is compared with its like only."""

    protocol: str
    backbone: str
    readout: str


@dataclass(frozen=True)
class Drawn:
    """All measures of one arm, or of one arm minus another, at one budget."""

    draws: np.ndarray  # (D + 1, M) float32
    by_seed: np.ndarray  # (S, M)
    units: int


@dataclass
class Sums:
    """Means over the drawn seeds, summed up seed by seed."""

    total: np.ndarray  # (D + 1, M)
    weight: np.ndarray  # (D + 1, M), the share of the draw's seeds for which the measure is defined
    by_seed: np.ndarray  # (S, M)
    units: set[int] = field(default_factory=set)

    @classmethod
    def empty(cls, draws: int, seeds: int, measures: int) -> "Sums":
        return cls(np.zeros((draws, measures)), np.zeros((draws, measures)), np.full((seeds, measures), np.nan))

    def add(self, seed: int, rows: np.ndarray, share: np.ndarray, values: np.ndarray, units: np.ndarray) -> None:
        """One seed's values (R, M) in the draws `rows` (R,) that hold it, with its share (R,) of them."""
        defined = np.isfinite(values)
        self.total[rows] += share[:, None] * np.where(defined, values, 0.0)
        self.weight[rows] += share[:, None] * defined
        self.by_seed[seed] = values[0]
        self.units.update(units.tolist())

    def drawn(self, measures: int | None = None) -> Drawn:
        """The first `measures` of them."""
        draws = np.divide(self.total, self.weight, out=np.full(self.total.shape, np.nan), where=self.weight > 0)
        return Drawn(draws[:, :measures].astype(np.float32), self.by_seed[:, :measures], len(self.units))


@dataclass(frozen=True)
class Effects:
    """Joint draws of levels (an arm by itself) and of gains (an arm over another, positive = the first is better)."""

    columns: dict[tuple[str, str], int]  # (measure, emotion) -> column
    emotions: tuple[str, ...]
    headline: str
    levels: dict[tuple[Group, str, int], Drawn]
    gains: dict[tuple[Group, str, str, int], Drawn]

    def level(self, group: Group, arm: str, budget: int, metric: str, emotion: str = OVERALL) -> Sample:
        return self._column(self.levels[group, arm, budget], metric, emotion)

    def gain(
        self, group: Group, arm: str, against: str, budgets: Iterable[int], metric: str, emotion: str = OVERALL
    ) -> Sample:
        """The mean over budgets."""
        return mean([self._column(self.gains[group, arm, against, b], metric, emotion) for b in budgets])

    def _column(self, drawn: Drawn, metric: str, emotion: str) -> Sample:
        m = self.columns[metric, emotion]
        # float64: intervals of sums of effects are differences of nearly equal numbers
        return Sample(drawn.draws[:, m].astype(np.float64), drawn.by_seed[:, m], drawn.units)

    def budgets(self, group: Group, arm: str, against: str | None = None) -> list[int]:
        """Where the arm was run, or where both were."""
        if against is None:
            return sorted(b for g, a, b in self.levels if (g, a) == (group, arm))
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
    return [(a, b) for a, b in wanted if a in present and b in present]


def cells_of(keys: Iterable[Key]) -> dict[tuple[Group, int], dict[str, Key]]:
    """(group, budget) -> arm -> the cell to read."""
    own: dict[tuple[Group, int], dict[str, Key]] = {}
    shared: dict[tuple[str, str, int], dict[str, Key]] = {}
    for key in sorted(keys):
        if key.arm in WITHOUT_BACKBONE:
            shared.setdefault((key.protocol, key.readout, key.budget), {}).setdefault(key.arm, key)
    trained = {(k.protocol, k.backbone, k.readout) for k in keys if k.arm not in WITHOUT_BACKBONE}
    for key in sorted(keys):
        if (key.protocol, key.backbone, key.readout) in trained:
            own.setdefault((Group(key.protocol, key.backbone, key.readout), key.budget), {})[key.arm] = key
    for (group, budget), arms in own.items():
        for arm, key in shared.get((group.protocol, group.readout, budget), {}).items():
            arms.setdefault(arm, key)
    return own


def compute(predictions: StudyPredictions, draws: int, seed: int) -> Effects:
    """Score every cell in every draw. Arms are compared on the items that both scored, seed by seed."""
    meta, items = predictions.meta, predictions.items
    cells = cells_of(predictions.keys)
    order, unit = by_unit(items.unit)
    emotions, categories = tuple(meta["target_names"]), len(meta["category_names"])
    scorer = Scorer(items.targets[order], items.category[order], unit, emotions, categories)
    drawn = Draws.make(int(unit.max(initial=-1)) + 1, len(meta["seeds"]), draws, seed)
    sign = np.array([-1.0 if metric in LOWER_IS_BETTER else 1.0 for metric, _ in scorer.columns])
    levels: dict[tuple[Group, str, int], Drawn] = {}
    gains: dict[tuple[Group, str, str, int], Drawn] = {}
    for (group, budget), keys in sorted(cells.items()):
        loaded = {arm: predictions.cell(key) for arm, key in keys.items()}
        for names, result in of_one_budget(loaded, scorer, drawn, order).items():
            if names[1] is None:
                levels[group, names[0], budget] = result
            else:
                kept = sign[: result.by_seed.shape[1]]
                gains[group, *names, budget] = Drawn(
                    result.draws * kept.astype(np.float32), result.by_seed * kept, result.units
                )
    columns = {name: m for m, name in enumerate(scorer.columns)}
    return Effects(columns, emotions, meta["headline"], levels, gains)


def by_unit(unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit names (N,) -> an order that puts a unit's items side by side, and each one's number in that order."""
    _, number = np.unique(unit, return_inverse=True)
    order = np.argsort(number, kind="stable")
    return order, number[order]


def of_one_budget(
    cells: dict[str, Predictions], scorer: Scorer, draws: Draws, order: np.ndarray
) -> dict[tuple[str, str | None], Drawn]:
    """(arm, None) -> its level and (arm, other) -> arm minus other, over the same draws."""
    compared = [(arm, None) for arm in sorted(cells)] + pairs(cells)
    shape = (len(draws.seeds), draws.seeds.shape[1], len(scorer.columns))
    sums = {names: Sums.empty(*shape) for names in compared}
    scored = {arm: cell.scored()[:, order] for arm, cell in cells.items()}
    for s in range(shape[1]):
        # a draw without this seed does not need its scores: at ten seeds that is every third
        rows = np.flatnonzero(draws.seeds[:, s] > 0)
        weights, share = draws.units[rows], draws.seeds[rows, s]
        known: dict[tuple[str, bytes], np.ndarray] = {}

        def values(arm: str, mask: np.ndarray, s: int = s, known: dict = known, weights: np.ndarray = weights):
            name = (arm, mask.tobytes())
            if name not in known:
                cell = cells[arm]
                category = None if cell.category is None else cell.category[s, order]
                one = Score(cell.intensity[s, order], cell.presence[s, order], cell.klass[s, order], category)
                known[name] = scorer.score(one, mask, weights)
            return known[name]

        for arm, other in compared:
            mask = scored[arm][s] if other is None else scored[arm][s] & scored[other][s]
            if not mask.any():
                continue
            result = values(arm, mask) if other is None else values(arm, mask) - values(other, mask)
            sums[arm, other].add(s, rows, share, result, np.unique(scorer.unit[mask]))
    # emotion by emotion only for the two main arms: the draws of all would fill gigabytes
    overall = sum(emotion == OVERALL for _, emotion in scorer.columns)
    return {names: total.drawn(None if {*names} <= {*MAIN, None} else overall) for names, total in sums.items()}
