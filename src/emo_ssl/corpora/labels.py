"""A label table, cleaned row by row: each row is kept, mended or dropped, and each fate is counted."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.metrics import CEILING
from emo_ssl.corpora.cleaning import CLAMPED, drop
from emo_ssl.corpora.csd import EMOTIONS, Csd
from emo_ssl.utils.io import UserError

SYNONYMS = {
    **{"happiness": "happy", "sadness": "sad", "angry": "anger", "surprised": "surprise"},
    **{"disgusted": "disgust", "fearful": "fear"},
}
MOST_OUT_OF_RANGE = 0.01
ALIGNED = re.compile(r"\[(\d+)\]$")


def base_of(key: str) -> str:
    """`id[3]`, as the SDK names the pieces of an aligned video, belongs to `id`."""
    return ALIGNED.sub("", key)


def in_order(keys: Iterable[str]) -> list[str]:
    """The pieces of a video in the order of their numbers; HDF5 sorts them as text, `id[10]` before `id[2]`."""
    return sorted(keys, key=lambda key: (base_of(key), *map(int, ALIGNED.findall(key))))


def plain(name: str) -> str:
    return SYNONYMS.get(name.strip().lower(), name.strip().lower())


def read_labels(labels: Csd, names: Sequence[str] | None = None) -> pd.DataFrame:
    """All rows of a label file: name (of the video), row, start, end, the six intensities, sentiment, and no fate yet.

    The sentiment only where the file has it. Without names in the file or from the caller there is no telling the
    columns apart.
    """
    names = names or labels.names or ()
    found = [plain(name) for name in names]
    if missing := [emotion for emotion in EMOTIONS if emotion not in found]:
        known = ", ".join(found)[:80] or "columns without names"
        raise UserError(
            f"{labels.path}: no column named {', '.join(missing)} among {known}; "
            "give their names in the file's order, --label-names sentiment,happy,sad,anger,surprise,disgust,fear or so."
        )
    wanted = [*EMOTIONS, *(name for name in ("sentiment",) if name in found)]
    columns = [found.index(name) for name in wanted]
    videos, intervals, values = [], [], []
    for key in in_order(labels.keys):
        table, times = labels.read(key)
        if len(table) and table.shape[1] != len(names):
            raise UserError(
                f"{labels.path}: `{key}` has {table.shape[1]} columns for the {len(names)} names "
                f"{', '.join(names)[:80]}; give the right names with --label-names."
            )
        if len(table):
            videos += [base_of(key)] * len(table)
            intervals.append(times)
            with np.errstate(invalid="ignore"):  # for the NaN that signals
                values.append(table[:, columns].astype(np.float64))
    if not videos:
        raise UserError(f"{labels.path}: holds no labelled segment; is it the label file?")
    rows = pd.DataFrame(np.concatenate(values), columns=wanted)
    rows["name"] = videos
    rows["row"] = rows.groupby("name").cumcount()
    rows[["start", "end"]] = np.concatenate(intervals)
    return rows.assign(fate="")


def clean(rows: pd.DataFrame, path: Path) -> None:
    """Drop what the table alone shows to be unusable: no label, an impossible interval, a duplicate; clamp values."""
    values, interval = rows[list(EMOTIONS)], rows[["start", "end"]]
    drop(rows, values.isna().any(axis=1), "label is NaN")
    drop(rows, np.isinf(values).any(axis=1), "label is infinite")
    drop(rows, ~np.isfinite(interval).all(axis=1), "interval is not a number")
    drop(rows, rows["end"] == rows["start"], "interval of no length")
    drop(rows, rows["end"] < rows["start"], "interval reversed")
    kept = rows["fate"] == ""  # only what is kept may make a later row a duplicate, to the millisecond
    again = (interval[kept] * 1000).round().assign(name=rows["name"]).duplicated()
    drop(rows, again.reindex(rows.index, fill_value=False), "duplicate of an earlier row")
    kept = rows["fate"] == ""
    outside = kept & ((values < 0) | (values > CEILING)).any(axis=1)
    if outside.sum() > max(1, MOST_OUT_OF_RANGE * kept.sum()):
        worst = values[outside].to_numpy()
        raise UserError(
            f"{path}: {outside.sum()} of {kept.sum()} rows hold intensities outside [0, 3] "
            f"(from {worst.min():g} to {worst.max():g}); are these the emotion columns?"
        )
    rows[CLAMPED] = outside
    rows[list(EMOTIONS)] = values.clip(0, CEILING)
