"""A label table, cleaned row by row: each row is kept, mended or dropped, and each fate is counted."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.metrics import CEILING
from emo_ssl.corpora.csd import EMOTIONS, Csd
from emo_ssl.utils.io import UserError

SYNONYMS = {
    **{"happiness": "happy", "sadness": "sad", "angry": "anger", "surprised": "surprise"},
    **{"disgusted": "disgust", "fearful": "fear"},
}
MOST_OUT_OF_RANGE = 0.01
ALIGNED = re.compile(r"\[(\d+)\]$")


@dataclass
class LabelRows:
    """Every row of a label file, in the file's order; `fate` says why a row was dropped, "" while it is kept."""

    video: np.ndarray  # (N,) str
    row: np.ndarray  # (N,) position within its video
    start: np.ndarray  # (N,) seconds
    end: np.ndarray  # (N,)
    values: np.ndarray  # (N, 6) float64, the emotions in the order of EMOTIONS
    fate: np.ndarray  # (N,) str
    mended: dict[str, np.ndarray] = field(default_factory=dict)  # repair -> (N,) bool

    def __len__(self) -> int:
        return len(self.video)

    @property
    def kept(self) -> np.ndarray:
        return self.fate == ""

    def drop(self, which: np.ndarray, reason: str) -> None:
        """The first reason that fits is the one that counts, so that the reasons add up to the rows dropped."""
        self.fate[which & self.kept] = reason


def base_of(key: str) -> str:
    """`id[3]`, as the SDK names the pieces of an aligned video, belongs to `id`."""
    return ALIGNED.sub("", key)


def in_order(keys: Iterable[str]) -> list[str]:
    """The pieces of a video in the order of their numbers; HDF5 sorts them as text, `id[10]` before `id[2]`."""
    return sorted(keys, key=lambda key: (base_of(key), *map(int, ALIGNED.findall(key))))


def plain(name: str) -> str:
    return SYNONYMS.get(name.strip().lower(), name.strip().lower())


def read_labels(labels: Csd, names: Sequence[str] | None = None) -> LabelRows:
    """All rows of a label file. Without names in the file or from the caller there is no telling the columns apart."""
    names = names or labels.names
    if not names:
        raise UserError(
            f"{labels.path}: the file does not name its columns, and older releases order them differently; "
            "give the names with --label-names sentiment,happy,sad,anger,surprise,disgust,fear in the file's order."
        )
    found = [plain(name) for name in names]
    if missing := [emotion for emotion in EMOTIONS if emotion not in found]:
        raise UserError(
            f"{labels.path}: no column named {', '.join(missing)} among {', '.join(found)}; "
            "give the names of its columns in order with --label-names."
        )
    columns = [found.index(emotion) for emotion in EMOTIONS]
    videos, intervals, values = [], [], []
    for key in in_order(labels.keys):
        table, times = labels.read(key)
        if len(table) and table.shape[1] != len(names):
            raise UserError(
                f"{labels.path}: `{key}` has {table.shape[1]} columns for the {len(names)} names "
                f"{', '.join(names)}; give the right names with --label-names."
            )
        if len(table):
            videos += [base_of(key)] * len(table)
            intervals.append(times)
            values.append(table[:, columns].astype(np.float64))
    if not videos:
        raise UserError(f"{labels.path}: holds no labelled segment; is it the label file?")
    start, end = np.concatenate(intervals).T
    rows = pd.Series(videos).groupby(videos).cumcount().to_numpy()
    return LabelRows(np.array(videos), rows, start, end, np.concatenate(values), np.full(len(videos), "", "U40"))


def clean(labels: LabelRows, path: Path) -> None:
    """Drop what the table alone shows to be unusable: no label, an impossible interval, a duplicate; clamp values."""
    labels.drop(np.isnan(labels.values).any(1), "label is NaN")
    labels.drop(np.isinf(labels.values).any(1), "label is infinite")
    labels.drop(~(np.isfinite(labels.start) & np.isfinite(labels.end)), "interval is not a number")
    labels.drop(labels.end == labels.start, "interval of no length")
    labels.drop(labels.end < labels.start, "interval reversed")
    kept = np.flatnonzero(labels.kept)  # only what is kept may make a later row a duplicate, to the millisecond
    milliseconds = {"start": np.rint(labels.start[kept] * 1000), "end": np.rint(labels.end[kept] * 1000)}
    again = pd.DataFrame({"video": labels.video[kept], **milliseconds}).duplicated()
    labels.fate[kept[again]] = "duplicate of an earlier row"
    outside = labels.kept & ((labels.values < 0) | (labels.values > CEILING)).any(1)
    if outside.sum() > max(1, MOST_OUT_OF_RANGE * labels.kept.sum()):
        worst = labels.values[outside]
        raise UserError(
            f"{path}: {outside.sum()} of {labels.kept.sum()} rows hold intensities outside [0, 3] "
            f"(from {worst.min():g} to {worst.max():g}); are these the emotion columns?"
        )
    labels.mended["value outside [0, 3] clamped"] = outside
    labels.values = np.clip(labels.values, 0, CEILING)
