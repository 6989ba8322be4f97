"""The damage that real files have, planted at known places: what a reader of the synthetic corpus must find again."""

from dataclasses import dataclass, field

import numpy as np

from emo_ssl.corpora.synthetic.frames import COLUMN, WIDTH
from emo_ssl.corpora.synthetic.geometry import FRAME_RATE

NARROW = 43  # columns of an older COVAREP export
TYPO_ROOT = "COAVAREP"  # as it stands in files that circulate

# Rows added behind a video's own: start and end, counted from the end of the video in seconds.
ADDED_ROWS = {
    "interval wholly beyond the end": (1.0, 5.0),
    "interval partly beyond the end": (-0.5, 2.0),
    "segment under 0.3 s": (-0.5, -0.3),
    "zero-length interval": (-0.5, -0.5),
    "reversed interval": (-0.1, -0.5),
}
# A video has at most one of these.
KINDS = (
    "non-finite values",
    "43 columns",
    "labelled video without frames",
    "acoustic video without labels",
    "video in no fold",
    "fold video absent",
    "value above 3",
    "duplicated segment",
    "unsorted acoustic rows",
    "float64 features",
    "NaN label",
    *ADDED_ROWS,
)
FIRST = 40  # among this many videos every kind occurs once
RATE = 0.002  # chance of each kind in every later video
SPARED = 8  # the first few videos stay whole, so that even a tiny corpus has a fold of each kind


@dataclass
class Video:
    """One video as it will be stored; defects change it in place."""

    id: str
    split: str | None  # train, valid, test, or None for no fold
    features: np.ndarray | None  # (T, D)
    times: np.ndarray  # (T, 2)
    intervals: np.ndarray | None  # (n, 2) seconds, in the order of the rows
    labels: np.ndarray | None  # (n, 7)
    meant: np.ndarray  # (n,) bool: a row as the generator meant it, whose label belongs to its frames
    extra_fold_id: str | None = None
    planted: dict[str, int] = field(default_factory=dict)  # kind -> how many values, rows or videos


def plan(seed: int, index: int) -> str | None:
    """Which kind of defect, if any, video `index` gets; the same whatever the number of videos."""
    if index < FIRST:
        slots = SPARED + np.random.default_rng([seed, 0, 40]).permutation(FIRST - SPARED)
        match = np.flatnonzero(slots[: len(KINDS)] == index)
        return KINDS[match[0]] if len(match) else None
    rng = np.random.default_rng([seed, index, 41])
    return KINDS[rng.integers(len(KINDS))] if rng.random() < RATE * len(KINDS) else None


def plant(kind: str, video: Video, rng: np.random.Generator, tail_label: np.ndarray) -> None:
    """Damage one video. `tail_label` (7,) is a label of its last stretch, for rows that are added there."""
    frames, row = len(video.features), int(rng.integers(len(video.labels)))
    video.planted[kind] = 20 if kind == "non-finite values" else 1
    if kind == "non-finite values":
        where = rng.choice(frames, 20, replace=False)
        columns = np.delete(np.arange(WIDTH), COLUMN["peakSlope"])[rng.integers(0, WIDTH - 1, 20)]
        video.features[where, columns] = np.resize(np.array([np.nan, np.inf, -np.inf], np.float32), 20)
    elif kind == "43 columns":
        video.features = video.features[:, :NARROW].copy()
    elif kind == "labelled video without frames":
        video.features = None
    elif kind == "acoustic video without labels":
        video.labels = video.intervals = None
        video.meant = np.zeros(0, bool)
    elif kind == "video in no fold":
        video.split = None
    elif kind == "fold video absent":
        video.extra_fold_id = f"absent-{video.id}"
    elif kind == "value above 3":
        video.labels[row, 1 + int(rng.integers(6))] = 10 / 3
        video.meant[row] = False
    elif kind == "NaN label":
        video.labels[row] = np.nan
        video.meant[row] = False
    elif kind == "unsorted acoustic rows":
        video.features, video.times = (np.roll(part, frames // 3, axis=0) for part in (video.features, video.times))
    elif kind == "float64 features":
        video.features = video.features.astype(np.float64)
    elif kind == "duplicated segment":
        add_row(video, video.intervals[row], video.labels[row])
    else:
        add_row(video, frames / FRAME_RATE + np.array(ADDED_ROWS[kind]), tail_label)


def add_row(video: Video, interval: np.ndarray, label: np.ndarray) -> None:
    video.intervals = np.concatenate([video.intervals, [interval]])
    video.labels = np.concatenate([video.labels, [label]])
    video.meant = np.append(video.meant, False)
