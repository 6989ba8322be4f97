"""What every source of a corpus shares: segments are cut, bad values marked, and each fate is counted.

Segments are rows of a DataFrame while a corpus is made. `name` is their recording and `row` their place in its table;
`fate` says why a row is dropped, "" while it is kept; the columns of MENDED tell which rows were repaired.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SegmentTable
from emo_ssl.corpora.audio import SHORTEST

EDGE = 1e-5  # seconds by which an interval's ends reach out, against rounding in the files
TOO_SHORT = f"shorter than {SHORTEST} s of frames"
CLAMPED, EARLY, LATE = "value outside [0, 3] clamped", "start below 0 clipped", "end beyond the recording clipped"
MENDED = (CLAMPED, EARLY, LATE)
COLUMNS = {
    **{"recording": np.int32, "row": np.int32, "start": np.float64, "end": np.float64, "first": np.int64},
    **{"length": np.int32, "split": np.int8, "fold": np.int8, "category": np.int8},
}


@dataclass
class Tally:
    """What was met on the way through the recordings."""

    recordings: Counter = field(default_factory=Counter)
    frames: Counter = field(default_factory=Counter)
    missing: Counter = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def recording(self, kind: str, name: str) -> None:
        self.recordings[kind] += 1
        if len(self.named[kind]) < 10:
            self.named[kind].append(name)

    def add(self, other: "Tally") -> None:
        for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True):
            if isinstance(mine, Counter):
                mine.update(theirs)
        for kind, names in other.named.items():
            self.named[kind] = (self.named[kind] + names)[:10]

    def mark_missing(self, frames: np.ndarray, names: Sequence[str]) -> None:
        """Turn every infinity of frames (T, D) into NaN, in place, counting missing values a feature."""
        with np.errstate(invalid="ignore", over="ignore"):
            suspects = np.flatnonzero(~np.isfinite(frames.sum(0)))  # one sweep tells which columns need a closer look
        for d in suspects:
            missing = ~np.isfinite(frames[:, d])
            if missing.any():
                self.missing[names[d]] += int(missing.sum())
                frames[missing, d] = np.nan


def drop(rows: pd.DataFrame, which: np.ndarray | pd.Series, reason: str) -> None:
    """The first reason that fits is the one that counts, so that the reasons add up to the rows dropped."""
    rows.loc[which & (rows["fate"] == ""), "fate"] = reason


def cut(times: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """times (T, 2) sorted, start and end (S,) -> first (S,) and length (S,) of the frames that touch each interval."""
    first = np.searchsorted(times[:, 1], start - EDGE, side="right")
    last = np.searchsorted(times[:, 0], end + EDGE, side="left")
    return first, np.maximum(last - first, 0)


def segment_table(kept: pd.DataFrame) -> SegmentTable:
    return SegmentTable(**{name: kept[name].to_numpy(kind) for name, kind in COLUMNS.items()})


def make_report(rows: pd.DataFrame, tally: Tally, recordings: int, **more: object) -> dict:
    """Every number a reader needs to check that nothing vanished: in = kept + dropped, for segments and for frames."""
    kept, gone = rows[rows["fate"] == ""], rows[rows["fate"] != ""]
    places = gone["name"] + " row " + gone["row"].astype(str)
    return {
        "segments": {"in": len(rows), "kept": len(kept), "dropped": gone.groupby("fate").size().to_dict()},
        "mended": {repair: int(kept[repair].sum()) for repair in MENDED if repair in kept},
        "videos": {"kept": recordings, **dict(sorted(tally.recordings.items()))},
        "frames": dict(tally.frames),
        "missing_values": dict(tally.missing.most_common()),
        "files": {},
        "examples": {**{fate: some.head(5).tolist() for fate, some in places.groupby(gone["fate"])}, **tally.named},
        **more,
    }
