"""What a study stores so that evidence can resample it: every prediction of every arm, seed and label budget.

`predictions.npz` holds no pickle:
    meta                    uint8, the bytes of a JSON object
    items.<column>          one row an item: segment, unit, fold, targets (N, E), category (-1 without)
    cell.<protocol>/<backbone>/<arm>/<readout>/<budget>.<array>
                            intensity, presence (S, N, E) float32 and klass (S, N, E) int8; with categories also
                            category (S, N, C). Row s belongs to seeds[s]; NaN and -1 where an item was not scored.
"""

import contextlib
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from emo_ssl.core.metrics import Predictions
from emo_ssl.utils.io import UserError, atomic_path

PREDICTIONS = "predictions.npz"


def save(path: Path, meta: dict, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays and a JSON object as one npz without a pickle, whole or not at all."""
    text = json.dumps(meta, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, meta=np.frombuffer(text.encode(), np.uint8), **arrays)


@contextlib.contextmanager
def opened(path: Path, advice: str = "run `emo-ssl study` again") -> Iterator[tuple[dict, np.lib.npyio.NpzFile]]:
    """What `save` wrote: the JSON object, and the archive that reads an array when it is asked for.

    Whatever turns out to be wrong with the file inside the `with` ends in one sentence.
    """
    try:
        # opened here, because numpy leaves the file of a torn archive open
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            yield json.loads(stored["meta"].tobytes()), stored
    # a bare .npy under this name gives an array, which is no context: TypeError
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as problem:
        raise UserError(f"{path}: damaged ({problem}); {advice}.") from problem


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
        return cls(*words, int(budget))


@dataclass(frozen=True)
class Items:
    """One row an item that the study scored."""

    segment: np.ndarray  # (N,) which segment of the corpus
    unit: np.ndarray  # (N,) str: the speaker, or the video where speakers are unknown
    fold: np.ndarray  # (N,)
    targets: np.ndarray  # (N, E) in [0, 3]
    category: np.ndarray  # (N,) index into category_names, -1 without

    def __len__(self) -> int:
        return len(self.segment)


@dataclass(frozen=True)
class StudyPredictions:
    """A finished study's predictions. Opening reads meta and items; a cell is read when it is asked for."""

    path: Path
    meta: dict
    items: Items
    keys: tuple[Key, ...]

    @classmethod
    def open(cls, folder: Path | str) -> "StudyPredictions":
        path = Path(folder) / PREDICTIONS
        if not path.is_file():
            raise UserError(f"{path}: no such file; run `emo-ssl study` to its end first, or check the folder's name.")
        with opened(path) as (meta, stored):
            cells = [name.removeprefix("cell.") for name in stored.files if name.startswith("cell.")]
            keys = tuple(sorted({Key.parse(name.rsplit(".", 1)[0]) for name in cells}))
            return cls(path, meta, Items(**{f.name: stored[f"items.{f.name}"] for f in fields(Items)}), keys)

    def cell(self, key: Key) -> Predictions:
        """All seeds of one arm at one budget, on the items."""
        names = [f.name for f in fields(Predictions) if f.name != "category" or self.meta["category_names"]]
        with opened(self.path) as (_, stored):
            return Predictions(**{name: stored[f"cell.{key}.{name}"] for name in names})


def write_predictions(folder: Path | str, meta: dict, items: Items, cells: Mapping[Key, Predictions]) -> None:
    """Write DIR/predictions.npz, whole or not at all."""
    arrays = {f"items.{name}": values for name, values in vars(items).items()}
    for key, cell in sorted(cells.items()):
        arrays |= {f"cell.{key}.{name}": values for name, values in cell.arrays().items()}
    save(Path(folder) / PREDICTIONS, meta, arrays)
