"""Where segments lie in a made-up video: how many, how long, how far apart, in which order their rows are stored.

Lengths are lognormal. Their constants fit the label table of CMU-MOSEI: 23,259 segments in 3,293 videos.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

FRAME_RATE = 100


@dataclass(frozen=True)
class Lognormal:
    median: float
    sigma: float
    low: float
    high: float

    def of(self, scores: np.ndarray) -> np.ndarray:
        """Standard normal scores, of any shape -> values between `low` and `high`."""
        return np.clip(self.median * np.exp(self.sigma * scores), self.low, self.high)


SEGMENTS = Lognormal(4.6, 0.95, 1, 36)  # of a video, before rounding
DURATIONS = Lognormal(6.47, 0.57, 0.31, 100.0)  # seconds; what is shorter in the real corpus is left to the defects
DURATION_SHARE = 0.25  # of the variance of log durations: what the segments of a video have in common
OVERLAPPING = 0.68  # share of neighbours
OVERLAPS = Lognormal(0.67, 0.6, 0.002, 1.0)  # seconds
GAPS = Lognormal(3.0, 1.6, 0.01, 60.0)  # seconds between neighbours that do not overlap
BEFORE_ZERO, AT_ZERO = 0.07, 0.38  # share of videos whose first segment starts before the video does, and just there
EARLIEST = -0.4875  # seconds
FIRST_STARTS = Lognormal(7.0, 1.6, 0.1, 190.0)  # seconds, of all other videos
UNLABELLED_TAIL = 66.5  # mean seconds of video after the last labelled end
CLIP_SECONDS = 5.0  # an unlabelled clip about this long explains the row order, see row_order


@dataclass(frozen=True)
class Geometry:
    """Segments in time order; `rows` says in which order a label file stores them."""

    starts: np.ndarray  # (n,) seconds, the first may lie before 0
    ends: np.ndarray  # (n,)
    rows: np.ndarray  # (n,) a permutation
    frames: int  # of the whole video


def draw_geometry(rng: np.random.Generator) -> Geometry:
    n = int(np.rint(SEGMENTS.of(rng.standard_normal())))
    alike, own = rng.standard_normal(), rng.standard_normal(n)
    durations = DURATIONS.of(sqrt(DURATION_SHARE) * alike + sqrt(1 - DURATION_SHARE) * own)
    apart = GAPS.of(rng.standard_normal(n))
    overlap = np.minimum(OVERLAPS.of(rng.standard_normal(n)), 0.8 * np.minimum(durations, np.roll(durations, 1)))
    gaps = np.where(rng.random(n) < OVERLAPPING, -overlap, apart)  # before each segment; none lies wholly in another
    gaps[0] = max(first_start(rng), 0.35 - durations[0])  # the first segment ends inside the video
    ends = np.cumsum(gaps + durations)
    tail = 0.1 + UNLABELLED_TAIL * rng.gamma(1.2, 1 / 1.2)
    return Geometry(ends - durations, ends, row_order(gaps), int(np.ceil((ends[-1] + tail) * FRAME_RATE)))


def first_start(rng: np.random.Generator) -> float:
    kind, early, late = rng.random(), EARLIEST * rng.random(), float(FIRST_STARTS.of(rng.standard_normal()))
    return early if kind < BEFORE_ZERO else 0.0 if kind < BEFORE_ZERO + AT_ZERO else late


def row_order(gaps: np.ndarray) -> np.ndarray:
    """The order of the rows in the label file, (n,).

    In the real file rows seem to follow clip numbers sorted AS TEXT (0, 1, 10, 11, 2), unlabelled clips counted too.
    Guessing such a clip every few seconds of gap predicts for 9 of 10 real videos whether their rows are out of order.
    """
    skipped = np.floor(np.cumsum(np.maximum(gaps, 0)) / CLIP_SECONDS).astype(int)
    return np.array(sorted(range(len(gaps)), key=lambda i: str(i + skipped[i])))


def territories(rng: np.random.Generator, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Cut the whole video into stretches of one emotional state: their edges (S + 1,) in frames, each segment's (n,).

    Two overlapping segments share the overlap half and half; what nobody labelled is cut into clips like segments.
    """
    edges, owner, covered = [0.0], [], 0.0
    for start, end in zip(geometry.starts, geometry.ends, strict=True):
        if start - covered < 0.3:
            edges += [(start + covered) / 2] if owner else []
        else:
            edges += [covered] if owner else []
            edges += clip_edges(rng, covered, start)
        owner.append(len(edges) - 1)
        covered = end
    edges += [covered, *clip_edges(rng, covered, geometry.frames / FRAME_RATE)]
    return np.rint(np.array(edges) * FRAME_RATE).astype(int), np.array(owner)


def clip_edges(rng: np.random.Generator, start: float, end: float) -> list[float]:
    """The right edges of clips that fill start .. end, the last one at `end`."""
    inner = start + np.cumsum(DURATIONS.of(rng.standard_normal(int((end - start) / 2) + 1)))
    return [*inner[inner < end - 1.0].tolist(), end]
