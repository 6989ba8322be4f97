"""What a study stores so that evidence can resample it: every prediction of every arm, seed and label budget.

`predictions.npz` holds no pickle:
    meta                    uint8, the bytes of a JSON object
    items.<column>          one row an item: segment, unit, fold, targets (N, E), category (-1 without)
    cell.<protocol>/<backbone>/<arm>/<readout>/<budget>.<array>
                            intensity, presence (S, N, E) float32 and klass (S, N, E) int8; with categories also
                            category (S, N, C). Row s belongs to seeds[s]; NaN and -1 where an item was not scored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal, NotRequired, TypedDict

import numpy as np

from emo_ssl.core.corpus import Numbers, Texts
from emo_ssl.core.metrics import CEILING, CLASSES, OVERALL, Predictions
from emo_ssl.utils import npz
from emo_ssl.utils.io import UserError, absent
from emo_ssl.utils.values import Count

PREDICTIONS = "predictions.npz"
AGAIN = "run `emo-ssl study` again"


class MainGroup(TypedDict):
    protocol: str
    backbone: str
    readout: str


class Floor(TypedDict):
    mae: float
    acc4: float


class Loss(TypedDict):
    protocol: str
    masked: float
    interpolation: float


class Meta(TypedDict):
    target_names: list[str]
    category_names: list[str]
    headline: Literal["uar", "auroc"]
    budgets: list[Count]
    full_budget: Count
    seeds: list[Count]
    corpus: dict
    main: MainGroup
    pretraining: TypedDict("Pretraining", {"losses": list[Loss]})
    floors: dict[str, Floor]
    training_prevalence: NotRequired[dict[str, float]]  # studies of earlier versions do not say it


def read_predictions(stored: npz.Arrays, prefix: str, members: int, items: int | None, meta: Meta) -> Predictions:
    """Of the members for the items: numbers wherever a class is known."""
    shape = (members, items, len(meta["target_names"]))
    kinds = {"intensity": "f", "presence": "f", "klass": "i"}
    found = Predictions(**{name: stored.array(prefix + name, kind, *shape) for name, kind in kinds.items()})
    if meta["category_names"]:
        category = stored.array(prefix + "category", "f", *found.klass.shape[:2], len(meta["category_names"]))
        found = replace(found, category=category)
    known = (found.klass >= 0).all(-1)
    lost = [~np.isfinite(v).all(-1) & known for v in found.arrays().values() if v.dtype.kind == "f"]
    if np.any(lost):
        raise ValueError(f"{np.any(lost, (0, 2)).sum()} of its {members} members diverged: they predict no numbers")
    if (found.klass >= CLASSES).any():
        raise ValueError(f"{prefix}klass is out of range")
    return found


@dataclass(frozen=True, order=True)
class Key:
    """Which cell of the study: `speaker-independent/transformer/pretrained/ordinal/28`."""

    protocol: str
    backbone: str
    arm: str
    readout: str
    budget: int

    def __str__(self) -> str:
        return "/".join(str(getattr(self, f.name)) for f in fields(self))

    @classmethod
    def parse(cls, text: str) -> "Key":
        *words, budget = text.split("/")
        if len(words) != 4:
            raise ValueError(f"{text} is no cell of a study")
        return cls(*words, int(budget))


@dataclass(frozen=True)
class Items:
    """One row an item that the study scored."""

    segment: Numbers  # (N,) which segment of the corpus
    unit: Texts  # (N,) str: the speaker, or the video where speakers are unknown
    fold: Numbers  # (N,)
    targets: Annotated[np.ndarray, "f", None]  # (N, E) in [0, 3]
    category: Numbers  # (N,) index into category_names, -1 without

    def __len__(self) -> int:
        return len(self.segment)


@dataclass(frozen=True)
class StudyPredictions:
    """A finished study's predictions. Opening reads meta and items; a cell is read when it is asked for.

    `beside` is another study of the same items and seeds, some of whose arms stand here as well.
    """

    path: Path
    meta: dict
    items: Items
    keys: tuple[Key, ...]
    beside: "StudyPredictions | None" = None

    @classmethod
    def open(cls, folder: Path | str) -> "StudyPredictions":
        path = Path(folder) / PREDICTIONS
        if not path.is_file():
            raise absent(path.parent, "study", "study …")
        with npz.opened(path, AGAIN) as stored:
            cells = [name.removeprefix("cell.") for name in stored.names if name.startswith("cell.")]
            keys = tuple(sorted({Key.parse(name.rsplit(".", 1)[0]) for name in cells}))
            found = cls(path, stored.meta(Meta), stored.table("items", Items), keys)
            found.refuse_impossible()
        return found

    def refuse_impossible(self) -> None:
        """What the study says of itself and what it holds are one."""
        meta, items, emotions = self.meta, self.items, len(self.meta["target_names"])
        if items.targets.shape[1] != emotions or not ((items.targets >= 0) & (items.targets <= CEILING)).all():
            raise ValueError(f"items.targets are no intensities of {emotions} emotions")
        if not ((items.category >= -1) & (items.category < len(meta["category_names"]))).all():
            raise ValueError("items.category names no category")
        if not meta["seeds"] or not set(meta["budgets"]) >= {key.budget for key in self.keys} or not self.keys:
            raise ValueError("its seeds and budgets are not those of its cells")
        if not meta["floors"].keys() >= {OVERALL, *meta["target_names"]}:
            raise ValueError("its floors are not those of its emotions")
        shares = meta.get("training_prevalence", dict.fromkeys(meta["target_names"], 0))
        if not shares.keys() >= set(meta["target_names"]) or not all(0 <= share <= 1 for share in shares.values()):
            raise ValueError("its training_prevalence is no share of each of its emotions")

    @property
    def arms(self) -> set[str]:
        return {key.arm for key in self.keys}

    def with_arms_of(self, other: "StudyPredictions") -> "StudyPredictions":
        """Both side by side, so that arms of one can be compared with those of the other in pairs.

        An arm that both ran is that of this study. Refused where they scored other items or drew other labels.
        """
        equal = ("target_names", "category_names", "seeds", "full_budget")
        alike = all(self.meta[name] == other.meta[name] for name in equal) and all(
            np.array_equal(own, theirs)
            for own, theirs in zip(vars(self.items).values(), vars(other.items).values(), strict=True)
        )
        if not alike:
            raise UserError(
                f"{other.path.parent}: scored other segments than {self.path.parent}, or with other seeds; only "
                "studies of one corpus with the same budgets and seeds can stand beside each other."
            )
        more = {key for key in other.keys if key.arm not in self.arms}
        beside = replace(other, keys=tuple(sorted(more)))
        meta = {**self.meta, "budgets": sorted({*self.meta["budgets"], *(key.budget for key in more)})}
        if "pretrained" in beside.arms:
            meta["pretraining"] = other.meta["pretraining"]
        return replace(self, keys=tuple(sorted({*self.keys, *more})), meta=meta, beside=beside)

    def cell(self, key: Key) -> Predictions:
        """All seeds of one arm at one budget, on the items."""
        if self.beside and key.arm in self.beside.arms:
            return self.beside.cell(key)
        with npz.opened(self.path, AGAIN) as stored:
            return read_predictions(stored, f"cell.{key}.", len(self.meta["seeds"]), len(self.items), self.meta)


def write_predictions(folder: Path | str, meta: dict, items: Items, cells: Mapping[Key, Predictions]) -> None:
    """Write DIR/predictions.npz, whole or not at all."""
    arrays = {f"items.{name}": values for name, values in vars(items).items()}
    for key, cell in sorted(cells.items()):
        arrays |= {f"cell.{key}.{name}": values for name, values in cell.arrays().items()}
    npz.save(Path(folder) / PREDICTIONS, arrays, meta)
