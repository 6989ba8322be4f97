"""Raw frames -> what a model reads: centred, scaled, clipped, missing = 0. Never per utterance: level is emotion."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.utils.io import UserError

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

    def __call__(self, frames: np.ndarray, recording: np.ndarray | int) -> np.ndarray:
        """frames (..., D) with one `video`, or (B, L, D) with video (B,) -> float32 in [-CLIP, CLIP], missing = 0."""
        return np.nan_to_num(self.with_gaps(frames, recording), copy=False, nan=0.0)

    def with_gaps(self, frames: np.ndarray, recording: np.ndarray | int) -> np.ndarray:
        """The same, missing values left NaN for those who must tell them from the centre."""
        row = self.group[recording]
        center, scale = self.center[row], self.scale[row]
        if np.ndim(recording):
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


def sample_places(prepared: Corpus, recordings: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` places, evenly spaced over the frames of the given videos (V',): video (S,), frame (S,)."""
    lengths = prepared.recordings.length[recordings]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    position = (
        np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64)) if total else np.empty(0, np.int64)
    )
    which = np.searchsorted(ends, position, side="right")
    return recordings[which], prepared.recordings.offset[recordings][which] + position - (ends - lengths)[which]


def sample_frames(prepared: Corpus, recordings: np.ndarray, most: int = SAMPLE) -> np.ndarray:
    """At most `most` raw frames (S, D) of the given videos (V',)."""
    return np.asarray(prepared.frames[sample_places(prepared, recordings, most)[1]], np.float32)


def blind(prepared: Corpus, recordings: np.ndarray | None = None) -> Normaliser:
    """One centre and scale for everybody, from `videos` (by default those of the training split)."""
    if recordings is None:
        recordings = np.flatnonzero(prepared.recordings.split == SPLITS.index("train"))
    if not prepared.recordings.length[recordings].sum():
        raise UserError(f"{prepared.folder}: no training frames to take statistics from; check the folds.")
    center, scale = robust_statistics(sample_frames(prepared, recordings))
    return Normaliser(center[None], scale[None], np.zeros(len(prepared.recordings), np.int64))


def typical_frame(prepared: Corpus, normaliser: Normaliser, most: int = 20_000) -> np.ndarray:
    """The mean (D,) of the normalised training frames, missing values as a model reads them."""
    train = np.flatnonzero(prepared.recordings.split == SPLITS.index("train"))
    recording, frame = sample_places(prepared, train, most)
    frames = np.asarray(prepared.frames[frame], np.float32)[:, None]
    return normaliser(frames, recording).mean((0, 1), dtype=np.float64)


def enrolled(prepared: Corpus, base: Normaliser, enrolment: Mapping[str, np.ndarray]) -> Normaliser:
    """A centre and scale a speaker, from the frames of its enrolment segments; speakers without enrolment stay blind.

    Where an enrolment's spread is nil (a flag that never changed in those clips) the blind scale stays.
    """
    centers, scales = [base.center[0]], [base.scale[0]]
    group = np.zeros(len(prepared.recordings), np.int64)
    for speaker, chosen in enrolment.items():
        if not len(chosen):
            continue
        frames = np.concatenate([prepared.segment(i) for i in chosen]).astype(np.float32)
        center, scale = robust_statistics(frames)
        known = np.isfinite(frames).any(0)
        moves = np.nanstd(np.where(known, frames, 0.0), 0) > 0
        centers.append(np.where(known, center, base.center[0]))
        scales.append(np.where(moves, scale, base.scale[0]))
        group[prepared.recordings.speaker == speaker] = len(centers) - 1
    return Normaliser(np.stack(centers), np.stack(scales), group)


def choose_enrolment(prepared: Corpus, clips: int, seed: int) -> dict[str, np.ndarray]:
    """`clips` random segments of each speaker, kept out of the scored ones; refused where a speaker has too few."""
    speaker_of = prepared.recordings.speaker[prepared.segments.recording]
    chosen = {}
    for number, speaker in enumerate(np.unique(speaker_of[speaker_of != ""])):
        own = np.flatnonzero(speaker_of == speaker)
        if len(own) <= clips:
            raise UserError(
                f"{prepared.folder}: speaker {speaker} has {len(own)} segments, too few to enrol {clips} and score any."
            )
        chosen[str(speaker)] = np.sort(np.random.default_rng([seed, number]).permutation(own)[:clips])
    return chosen


def centred(prepared: Corpus, base: Normaliser, shrinkage: float) -> Normaliser:
    """Move each video's centre towards its own segments' by k / (k + shrinkage), k its segments; infinity is `base`.

    Shrunken because emotions cluster within a video: taking the whole of a video's mean away takes emotion with it.
    Videos of fewer than three segments are refused this and stay blind.
    """
    center = np.repeat(base.center, len(prepared.recordings), 0) if len(base.center) == 1 else base.center[base.group]
    center = center.copy()
    order = np.argsort(prepared.segments.recording, kind="stable")
    bounds = np.searchsorted(prepared.segments.recording[order], np.arange(len(prepared.recordings) + 1))
    for recording, (start, stop) in enumerate(pairwise(bounds)):
        if stop - start < FEWEST_SEGMENTS_TO_CENTRE:
            continue
        weight = (stop - start) / (stop - start + shrinkage)
        frames = np.concatenate([prepared.segment(i) for i in order[start:stop]]).astype(np.float32)
        own, _ = robust_statistics(frames)
        known = np.isfinite(frames).any(0)
        center[recording] += weight * np.where(known, own - center[recording], 0.0)
    return Normaliser(center, base.scale[base.group], np.arange(len(prepared.recordings)))


PROTOCOLS = ("blind", "adapted")
ENROLMENT = 10  # segments a speaker
ENROLMENT_SEED = 0  # one draw for a corpus: pretraining and every arm read the same frames


def under(protocol: str, prepared: Corpus, enrolment: int = ENROLMENT) -> tuple[Corpus, Normaliser]:
    """The corpus (already split) as the protocol sees it, and its normaliser.

    Enrolment segments of validation and test speakers leave those splits; training speakers keep theirs, since their
    labels may be used anyway.
    """
    base = blind(prepared)
    if protocol == "blind":
        return prepared, base
    if (prepared.recordings.speaker == "").any():
        raise UserError(
            f"{prepared.folder}: the adapted protocol enrols speakers, and this corpus does not name all of them; "
            "use the blind one."
        )
    if enrolment < FEWEST_SEGMENTS_TO_CENTRE:
        raise UserError(
            f"an enrolment of {enrolment} segments says too little about a speaker; "
            f"take {FEWEST_SEGMENTS_TO_CENTRE} or more."
        )
    chosen = choose_enrolment(prepared, enrolment, ENROLMENT_SEED)
    split = prepared.segments.split.copy()
    everyone = np.concatenate(list(chosen.values()))
    scored = np.isin(split[everyone], [SPLITS.index("valid"), SPLITS.index("test")])
    split[everyone[scored]] = SPLITS.index("none")
    return replace(prepared, segments=replace(prepared.segments, split=split)), enrolled(prepared, base, chosen)
