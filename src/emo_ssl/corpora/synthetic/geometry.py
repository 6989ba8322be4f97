"""Where segments lie in a made-up video: how many, how long, how they overlap, in which order their rows are stored.

Every table below holds quantiles computed once from the 23,259 labelled segments of CMU-MOSEI's 3,293 videos; between
two of them we interpolate. What goes together in the real corpus (where segments are many, they are short and overlap)
is tied together by correlated normals, and the quantiles over all segments stay those of the table.
"""

from dataclasses import dataclass
from functools import cache
from math import erf, sqrt

import numpy as np

FRAME_RATE = 100

# (share of videos with at most n segments, n)
COUNTS = (
    *((0.116, 1), (0.248, 2), (0.359, 3), (0.457, 4), (0.531, 5), (0.599, 6), (0.659, 7), (0.706, 8), (0.751, 9)),
    *((0.790, 10), (0.823, 11), (0.854, 12), (0.875, 13), (0.892, 14), (0.908, 15), (0.921, 16), (0.933, 17)),
    *((0.944, 18), (0.950, 19), (0.965, 21), (0.980, 25), (0.990, 32), (0.9965, 43), (0.9997, 55), (1.0, 98)),
)
# (share of segments at most this long, seconds); the two real segments under 0.3 s (min 0.12) are left to the defects
DURATIONS = (
    *(
        (0, 0.31),
        (0.0001, 0.31),
        (0.01, 1.728),
        (0.05, 2.397),
        (0.10, 2.966),
        (0.25, 4.402),
        (0.50, 6.468),
        (0.75, 9.421),
    ),
    *((0.90, 13.421), (0.95, 16.555), (0.99, 24.377), (0.999, 41.3), (0.9999, 102.7), (1, 109.394)),
)
# (share of neighbours that overlap at least this much, seconds of overlap); 68 % of all neighbours overlap
OVERLAPS = ((0, 1.0), (0.25, 1.0), (0.30, 0.81), (0.50, 0.67), (0.75, 0.431), (0.90, 0.222), (0.95, 0.132), (1, 0.002))
OVERLAPPING = 0.6816
TOUCHING = 0.0025
# (share of positive gaps at most this long, seconds)
GAPS = (
    *((0, 0.007), (0.01, 0.018), (0.05, 0.078), (0.10, 0.167), (0.25, 0.507), (0.35, 0.946), (0.50, 2.981)),
    *((0.60, 5.83), (0.75, 11.53), (0.90, 22.54), (0.95, 32.62), (0.99, 59.49), (1, 152.1)),
)
# (share of videos whose first segment starts no later, seconds); 7 % start before the video does
FIRST_STARTS = (
    *((0, -0.4875), (0.04, -0.4875), (0.05, -0.438), (0.06, -0.293), (0.07, -0.064), (0.0726, -0.002)),
    *((0.0727, 0.0), (0.45, 0.0), (0.50, 0.321), (0.55, 0.72), (0.60, 1.63), (0.65, 3.583), (0.70, 6.068)),
    *((0.75, 9.47), (0.80, 13.51), (0.90, 26.70), (0.95, 40.71), (0.99, 65.20), (1, 192.6)),
)
LONGEST_LABELLED = 272.6  # the latest end of a labelled segment, seconds
UNLABELLED_TAIL = 66.5  # mean seconds of video after the last labelled end: 1.9 times as much video as that end
CLIP_SECONDS = 5.0  # an unlabelled clip about this long explains the row order, see row_order


@dataclass(frozen=True)
class Dependence:
    """How a quantity's normal score splits: on the segment count, on the video, the rest on the segment itself."""

    count: float
    video: float

    @property
    def own(self) -> float:
        return sqrt(1 - self.count**2 - self.video**2)


DURATION_TIES = Dependence(count=-0.27, video=0.42)  # within-video correlation of log durations about .24
GAP_TIES = Dependence(count=-0.42, video=0.34)  # rich videos overlap in 9 of 10 places, poor ones in 4 of 10
FIRST_START_TIE = -0.36


@dataclass(frozen=True)
class Geometry:
    """Segments in time order; `rows` says in which order a label file stores them."""

    starts: np.ndarray  # (n,) seconds, the first may lie before 0
    ends: np.ndarray  # (n,)
    rows: np.ndarray  # (n,) a permutation
    frames: int  # of the whole video, at 100 a second


def normal_cdf(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * (1 + erf(value / sqrt(2))) for value in np.ravel(x)]).reshape(np.shape(x))


def look_up(table: tuple, u: np.ndarray) -> np.ndarray:
    """The quantile function of a table of (share, value): (n,) in [0, 1] -> (n,). Logarithmic where values allow it."""
    shares, values = np.array(table, float).T
    if (values > 0).all():
        return np.exp(np.interp(u, shares, np.log(values)))
    return np.interp(u, shares, values)


def segment_count(u: float) -> int:
    shares, counts = np.array(COUNTS).T
    return int(np.ceil(np.interp(u, [0, *shares], [0, *counts]) - 1e-9)) or 1


@cache
def pooled_scores(tie: float, of_gaps: bool) -> tuple[np.ndarray, np.ndarray]:
    """A grid of normal scores and the share of all segments (or gaps) below each.

    A video with n segments counts n times, so a score tied to n is no longer standard normal over all segments; its
    pooled distribution is this mixture, and passing scores through it makes them uniform again.
    """
    w = np.linspace(-4, 4, 801)
    counts = np.array([segment_count(u) for u in normal_cdf(w)]) - of_gaps
    weight = np.exp(-(w**2) / 2) * counts
    grid = np.linspace(-6, 6, 1201)
    spread = sqrt(1 - tie**2)
    share = sum(
        p * normal_cdf((grid - tie * x) / spread) for p, x in zip(weight / weight.sum(), w, strict=True) if p > 0
    )
    return grid, share


def uniform_scores(ties: Dependence, w: float, video: float, own: np.ndarray, of_gaps: bool = False) -> np.ndarray:
    """Normal scores of one video's segments -> uniform over all segments of all videos, (n,)."""
    return np.interp(ties.count * w + ties.video * video + ties.own * own, *pooled_scores(ties.count, of_gaps))


def gap(u: np.ndarray) -> np.ndarray:
    """(n,) uniform -> seconds from one segment's end to the next one's start, negative where they overlap."""
    apart = OVERLAPPING + TOUCHING
    overlap = -look_up(OVERLAPS, u / OVERLAPPING)
    positive = look_up(GAPS, np.clip((u - apart) / (1 - apart), 0, 1))
    return np.where(u < OVERLAPPING, overlap, np.where(u < apart, 0.0, positive))


def row_order(gaps: np.ndarray) -> np.ndarray:
    """The order of the rows in the label file, (n,).

    In the real file rows seem to follow clip numbers sorted AS TEXT (0, 1, 10, 11, 2), unlabelled clips counted too.
    Guessing such a clip every few seconds of gap predicts for 9 of 10 real videos whether their rows are out of order.
    """
    skipped = np.floor(np.cumsum(np.maximum(gaps, 0)) / CLIP_SECONDS).astype(int)
    return np.array(sorted(range(len(gaps)), key=lambda i: str(i + skipped[i])))


def draw_geometry(rng: np.random.Generator) -> Geometry:
    w, duration_score, gap_score, first_score = rng.standard_normal(4)
    n = segment_count(float(normal_cdf(w)))
    own = rng.standard_normal((2, n))
    durations = look_up(DURATIONS, uniform_scores(DURATION_TIES, w, duration_score, own[0]))
    first = FIRST_START_TIE * w + sqrt(1 - FIRST_START_TIE**2) * first_score
    gaps = gap(uniform_scores(GAP_TIES, w, gap_score, own[1], of_gaps=True))
    gaps[0] = look_up(FIRST_STARTS, normal_cdf(first))
    gaps[0] = max(gaps[0], 0.35 - durations[0])  # the first segment ends inside the video
    # no real segment lies wholly inside its neighbour
    gaps[1:] = np.maximum(gaps[1:], -0.8 * np.minimum(durations[1:], durations[:-1]))
    excess = durations.sum() + gaps.sum() - LONGEST_LABELLED
    if excess > 0:
        positive = np.maximum(gaps, 0)
        gaps -= positive * min(excess / max(positive.sum(), 1e-9), 0.9)
    ends = np.cumsum(gaps + durations)
    tail = UNLABELLED_TAIL * rng.gamma(1.2, 1 / 1.2)
    frames = int(np.ceil((ends[-1] + 0.1 + tail) * FRAME_RATE))
    return Geometry(ends - durations, ends, row_order(gaps), frames)


def territories(rng: np.random.Generator, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Cut the whole video into stretches: their edges (S + 1,) in frames, and each segment's stretch (n,).

    Two overlapping segments share the overlap half and half; what nobody labelled is cut into clips like segments.
    """
    edges, owner, covered = [0.0], [], 0.0
    for start, end in zip(geometry.starts, geometry.ends, strict=True):
        if start - covered < 0.3:
            if owner:
                edges.append((start + covered) / 2)
        else:
            if owner:
                edges.append(covered)
            edges += clip_edges(rng, covered, start)
        owner.append(len(edges) - 1)
        covered = end
    edges += [covered, *clip_edges(rng, covered, geometry.frames / FRAME_RATE)]
    return np.rint(np.array(edges) * FRAME_RATE).astype(int), np.array(owner)


def clip_edges(rng: np.random.Generator, start: float, end: float) -> list[float]:
    """The right edges of clips that fill start .. end, the last one at `end`."""
    lengths = look_up(DURATIONS, rng.random(int((end - start) / 2) + 1))
    inner = start + np.cumsum(lengths)
    return [*inner[inner < end - 1.0].tolist(), end]
