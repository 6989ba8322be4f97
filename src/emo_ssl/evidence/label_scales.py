"""The claims once more, had the labels' words been given other numbers.

An acted corpus says "normal" and "strong"; which intensities these are is a convention. Members learn only the order of
the levels, so another convention renames what they predicted and what is true, and no member is trained again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.readout import Predictions
from emo_ssl.evidence.claims import EvidenceConfig, Ledger, main_group
from emo_ssl.evidence.effects import compute
from emo_ssl.evidence.report import claim_row, plain, prevalence_of
from emo_ssl.study.predictions import Items, Key, StudyPredictions
from emo_ssl.utils.io import UserError, write_json

CODINGS = "codings.json"
ARMS = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted")  # that claims speak of


@dataclass(frozen=True)
class Recoded:
    """Predictions read in another coding: `values[i]` is what level i becomes."""

    plain: StudyPredictions
    values: tuple[float, float, float, float]
    meta: dict
    items: Items
    keys: tuple[Key, ...]

    @classmethod
    def of(cls, predictions: StudyPredictions, values: Sequence[float]) -> "Recoded":
        values, items = tuple(float(v) for v in values), predictions.items
        if len(values) != 4 or values[0] != 0 or any(not 0 <= v <= metrics.CEILING for v in values):
            raise UserError(
                f"a coding gives the levels 0 to 3 four values from 0 to 3, the first 0; {values} does not."
            )
        if any(a > b for a, b in pairwise(values)) or 0 in values[1:]:
            raise UserError(f"a coding keeps the order of the levels and what is above 0 above it; {values} does not.")
        if not np.array_equal(items.targets, np.rint(items.targets)):
            raise UserError(f"{predictions.path}: its labels are not whole levels, so there is nothing to rename.")
        main = main_group(predictions.meta)
        keys = tuple(
            k for k in predictions.keys if k.arm in ARMS and (k.protocol, k.readout) == (main.protocol, main.readout)
        )
        targets = renamed(items.targets, values)
        meta = {**predictions.meta, "floors": floors_out_of_fold(targets, items.fold, predictions.meta["target_names"])}
        return cls(predictions, values, meta, replace(items, targets=targets), keys)

    def cell(self, key: Key) -> Predictions:
        cell = self.plain.cell(key)
        scored = cell.scored()[..., None]
        intensity = np.where(scored, renamed(np.nan_to_num(cell.intensity), self.values), np.nan).astype(np.float32)
        klass = metrics.to_class(np.asarray(self.values))[np.maximum(cell.klass, 0)]
        return replace(cell, intensity=intensity, klass=np.where(scored, klass, -1).astype(np.int8))


def renamed(levels: np.ndarray, values: Sequence[float]) -> np.ndarray:
    return np.asarray(values, np.float32)[np.rint(levels).astype(np.int64)]


def floors_out_of_fold(targets: np.ndarray, fold: np.ndarray, names: Sequence[str]) -> dict:
    """The best constants of each fold's training items (neither `fold` nor the next one, which validates)."""
    count = int(fold.max(initial=0)) + 1
    if count < 3:
        raise UserError("other codings need a corpus that was studied in three folds or more.")
    best = []
    for k in range(count):
        train = ~np.isin(fold, (k, (k + 1) % count))
        best.append(metrics.best_floor(metrics.floors(targets[train], targets[fold == k])))
    return metrics.mean_floors(best, names)


def verdicts(
    folder: Path | str, codings: Mapping[str, Sequence[float]], config: EvidenceConfig | None = None
) -> dict[str, list[dict]]:
    """coding -> its ledger, for DIR/predictions.npz; written to DIR/codings.json."""
    config = config or EvidenceConfig()
    predictions = StudyPredictions.open(folder)
    found = {}
    for name, values in codings.items():
        recoded = Recoded.of(predictions, values)
        effects = compute(recoded, config.draws, config.seed)
        ledger = Ledger(effects, recoded.meta, prevalence_of(recoded), config)
        found[name] = [claim_row(claim) for claim in ledger.claims()]
    found = plain(found)
    write_json(Path(folder) / CODINGS, found)
    return found
