"""Raw frames -> what a model reads: centred, scaled, clipped, missing = 0. Never per utterance: level is emotion.

Three ways to centre, one table of statistics each:
    blind      one robust centre and scale, from the training videos
    enrolled   a centre and scale a speaker, from a few unlabelled clips of that speaker
    centred    the blind centre moved towards the video's own, by k / (k + shrinkage) for a video with k segments
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from emo_ssl.errors import UserError
from emo_ssl.segments import SPLITS, Segments

CLIP = 5.0
SAMPLE = 200_000
IQR_OF_NORMAL = 1.349
FEWEST_SEGMENTS_TO_CENTRE = 3


@dataclass(frozen=True)
class Normaliser:
    """Statistics in groups: row `group[v]` of `center` and `scale` belongs to video v."""

    center: np.ndarray  # (G, D)
    scale: np.ndarray  # (G, D)
    group: np.ndarray  # (V,)

    def __call__(self, frames: np.ndarray, video: np.ndarray | int) -> np.ndarray:
        """frames (..., D) with one `video`, or (B, L, D) with video (B,) -> float32 in [-CLIP, CLIP], missing = 0."""
        return np.nan_to_num(self.with_gaps(frames, video), copy=False, nan=0.0)

    def with_gaps(self, frames: np.ndarray, video: np.ndarray | int) -> np.ndarray:
        """The same, missing values left NaN for those who must tell them from the centre."""
        row = self.group[video]
        center, scale = self.center[row], self.scale[row]
        if np.ndim(video):
            center, scale = center[:, None], scale[:, None]
        return np.clip((frames - center) / scale, -CLIP, CLIP).astype(np.float32, copy=False)


def robust_statistics(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median and normal-consistent interquartile range a column of (T, D), missing values left out.

    A column that hardly moves (a flag, a gated feature) has no such range: its standard deviation serves, then 1.
    """
    center, scale = np.zeros(frames.shape[1], np.float32), np.ones(frames.shape[1], np.float32)
    for d in range(frames.shape[1]):
        known = frames[:, d][np.isfinite(frames[:, d])]
        if not len(known):
            continue
        low, center[d], high = np.percentile(known, (25, 50, 75))
        deviation = float(known.std(dtype=np.float64))
        spread = (high - low) / IQR_OF_NORMAL
        scale[d] = next((s for s in (spread, deviation) if s > 1e-6 * max(1.0, abs(center[d]))), 1.0)
    return center, scale


def sample_places(segments: Segments, videos: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` places, evenly spaced over the frames of the given videos (V',): video (S,), frame (S,)."""
    lengths = segments.videos.length[videos]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    position = (
        np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64)) if total else np.empty(0, np.int64)
    )
    which = np.searchsorted(ends, position, side="right")
    return videos[which], segments.videos.offset[videos][which] + position - (ends - lengths)[which]


def sample_frames(segments: Segments, videos: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """At most `most` raw frames (S, D) of the given videos (V',)."""
    return np.asarray(segments.frames[sample_places(segments, videos, most)[1]], np.float32)


def blind(segments: Segments, videos: np.ndarray | None = None) -> Normaliser:
    """One centre and scale for everybody, from `videos` (by default those of the training split)."""
    if videos is None:
        videos = np.flatnonzero(segments.videos.split == SPLITS.index("train"))
    if not segments.videos.length[videos].sum():
        raise UserError(f"{segments.folder}: no training frames to take statistics from; check the folds.")
    center, scale = robust_statistics(sample_frames(segments, videos))
    return Normaliser(center[None], scale[None], np.zeros(len(segments.videos), np.int64))


def typical_frame(segments: Segments, normaliser: Normaliser, most: int = 20_000) -> np.ndarray:
    """The mean (D,) of the normalised training frames, missing values as a model reads them."""
    train = np.flatnonzero(segments.videos.split == SPLITS.index("train"))
    video, frame = sample_places(segments, train, most)
    frames = np.asarray(segments.frames[frame], np.float32)[:, None]
    return normaliser(frames, video).mean((0, 1), dtype=np.float64)


def enrolled(segments: Segments, base: Normaliser, enrolment: Mapping[str, np.ndarray]) -> Normaliser:
    """A centre and scale a speaker, from the frames of its enrolment segments; speakers without enrolment stay blind.

    Where an enrolment's spread is nil (a flag that never changed in those clips) the blind scale stays.
    """
    centers, scales = [base.center[0]], [base.scale[0]]
    group = np.zeros(len(segments.videos), np.int64)
    for speaker, chosen in enrolment.items():
        if not len(chosen):
            continue
        frames = np.concatenate([segments.segment(i) for i in chosen]).astype(np.float32)
        center, scale = robust_statistics(frames)
        known = np.isfinite(frames).any(0)
        moves = np.nanstd(np.where(known, frames, 0.0), 0) > 0
        centers.append(np.where(known, center, base.center[0]))
        scales.append(np.where(moves, scale, base.scale[0]))
        group[segments.videos.speaker == speaker] = len(centers) - 1
    return Normaliser(np.stack(centers), np.stack(scales), group)


def choose_enrolment(segments: Segments, clips: int, seed: int) -> dict[str, np.ndarray]:
    """`clips` random segments of each speaker, kept out of the scored ones; refused where a speaker has too few."""
    speaker_of = segments.videos.speaker[segments.cuts.video]
    chosen = {}
    for number, speaker in enumerate(np.unique(speaker_of[speaker_of != ""])):
        own = np.flatnonzero(speaker_of == speaker)
        if len(own) <= clips:
            raise UserError(
                f"{segments.folder}: speaker {speaker} has {len(own)} segments, too few to enrol {clips} and score any."
            )
        chosen[str(speaker)] = np.sort(np.random.default_rng([seed, number]).permutation(own)[:clips])
    return chosen


def centred(segments: Segments, base: Normaliser, shrinkage: float) -> Normaliser:
    """Move each video's centre towards its own segments' by k / (k + shrinkage), k its segments; infinity is `base`.

    Shrunken because emotions cluster within a video: taking the whole of a video's mean away takes emotion with it.
    Videos of fewer than three segments are refused this and stay blind.
    """
    center = np.repeat(base.center, len(segments.videos), 0) if len(base.center) == 1 else base.center[base.group]
    center = center.copy()
    order = np.argsort(segments.cuts.video, kind="stable")
    bounds = np.searchsorted(segments.cuts.video[order], np.arange(len(segments.videos) + 1))
    for video, (start, stop) in enumerate(pairwise(bounds)):
        if stop - start < FEWEST_SEGMENTS_TO_CENTRE:
            continue
        weight = (stop - start) / (stop - start + shrinkage)
        frames = np.concatenate([segments.segment(i) for i in order[start:stop]]).astype(np.float32)
        own, _ = robust_statistics(frames)
        known = np.isfinite(frames).any(0)
        center[video] += weight * np.where(known, own - center[video], 0.0)
    return Normaliser(center, base.scale[base.group], np.arange(len(segments.videos)))
