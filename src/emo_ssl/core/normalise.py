"""Raw frames -> what a model reads: centred, scaled, clipped, missing = 0. Never per utterance: level is emotion."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.utils.io import UserError

INDEPENDENT, ADAPTED = PROTOCOLS = ("speaker-independent", "speaker-adapted")
ENROLMENT = 10  # segments a speaker
FEWEST_ENROLLED = 3
ENROLMENT_SEED = 0  # one draw for a corpus: pretraining and every arm read the same frames
CLIP = 5.0
SAMPLE = 200_000
IQR_OF_NORMAL = 1.349
SMALLEST_SCALE = 1e-6


@dataclass(frozen=True)
class Normaliser:
    """Statistics in groups: row `group[r]` of `center` and `scale` belongs to recording r."""

    center: np.ndarray  # (G, D)
    scale: np.ndarray  # (G, D)
    group: np.ndarray  # (R,)

    def __call__(self, frames: np.ndarray, recording: np.ndarray | int) -> np.ndarray:
        """frames (T, D), of one recording or each of its own (T,) -> float32 in [-CLIP, CLIP], missing = 0."""
        return np.nan_to_num(self.with_gaps(frames, recording), copy=False, nan=0.0)

    def with_gaps(self, frames: np.ndarray, recording: np.ndarray | int) -> np.ndarray:
        """The same, missing values left NaN for those who must tell them from the centre."""
        row = self.group[recording]
        return np.clip((frames - self.center[row]) / self.scale[row], -CLIP, CLIP).astype(np.float32, copy=False)


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
        scale[d] = next((s for s in (spread, deviation) if s > SMALLEST_SCALE * max(1.0, abs(center[d]))), 1.0)
    return center, scale


def sample_places(corpus: Corpus, recordings: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` places, evenly spaced over the frames of some recordings (R',): recording (S,), frame (S,)."""
    lengths = corpus.recordings.length[recordings]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    position = np.unique(np.linspace(0, max(total - 1, 0), min(most, total)).astype(np.int64))
    which = np.searchsorted(ends, position, side="right")
    return recordings[which], corpus.recordings.offset[recordings][which] + position - (ends - lengths)[which]


def typical_frame(corpus: Corpus, normaliser: Normaliser, most: int = 20_000) -> np.ndarray:
    """The mean (D,) of the normalised training frames, missing values as a model reads them."""
    recording, frame = sample_places(corpus, corpus.recordings_of("train"), most)
    return normaliser(np.asarray(corpus.frames[frame], np.float32), recording).mean(0, dtype=np.float64)


def speaker_independent(corpus: Corpus, recordings: np.ndarray | None = None) -> Normaliser:
    """One centre and scale for everybody, from some recordings (by default those of the training split)."""
    if recordings is None:
        recordings = corpus.recordings_of("train")
    if not corpus.recordings.length[recordings].sum():
        raise UserError(f"{corpus.folder}: no training frames to take statistics from; check the folds.")
    places = sample_places(corpus, recordings, SAMPLE)[1]
    center, scale = robust_statistics(np.asarray(corpus.frames[places], np.float32))
    return Normaliser(center[None], scale[None], np.zeros(len(corpus.recordings), np.int64))


def speaker_adapted(corpus: Corpus, base: Normaliser, enrolment: Mapping[str, np.ndarray]) -> Normaliser:
    """A centre and scale a speaker, from the frames of its enrolment segments; speakers without enrolment keep `base`.

    Where an enrolment's spread is nil (a flag that never changed in those clips) the scale of `base` stays.
    """
    centers, scales = [base.center[0]], [base.scale[0]]
    group = np.zeros(len(corpus.recordings), np.int64)
    for speaker, chosen in enrolment.items():
        frames = np.concatenate([corpus.segment(i) for i in chosen]).astype(np.float32)
        center, scale = robust_statistics(frames)
        known = np.isfinite(frames).any(0)
        moves = np.nanstd(np.where(known, frames, 0.0), 0) > 0
        centers.append(np.where(known, center, base.center[0]))
        scales.append(np.where(moves, scale, base.scale[0]))
        group[corpus.recordings.speaker == speaker] = len(centers) - 1
    return Normaliser(np.stack(centers), np.stack(scales), group)


def choose_enrolment(corpus: Corpus, clips: int, seed: int) -> dict[str, np.ndarray]:
    """`clips` random segments of each speaker, kept out of the scored ones; refused where a speaker has too few."""
    speaker_of = corpus.recordings.speaker[corpus.segments.recording]
    chosen = {}
    for number, speaker in enumerate(np.unique(speaker_of[speaker_of != ""])):
        own = np.flatnonzero(speaker_of == speaker)
        if len(own) <= clips:
            raise UserError(
                f"{corpus.folder}: speaker {speaker} has {len(own)} segments, too few to enrol {clips} and score any."
            )
        chosen[str(speaker)] = np.sort(np.random.default_rng([seed, number]).permutation(own)[:clips])
    return chosen


def enrolled(protocol: str, corpus: Corpus, enrolment: int = ENROLMENT) -> tuple[Corpus, dict[str, np.ndarray]]:
    """The corpus (already split) as a protocol gives it to models, and the segments that enrol each speaker, if any do.

    Enrolment segments of validation and test speakers leave those splits; training speakers keep theirs, since their
    labels may be used anyway.
    """
    if protocol == INDEPENDENT:
        return corpus, {}
    if (corpus.recordings.speaker == "").any():
        raise UserError(
            f"{corpus.folder}: the speaker-adapted protocol enrols speakers, and this corpus does not name all of "
            "them; use the speaker-independent one."
        )
    if enrolment < FEWEST_ENROLLED:
        raise UserError(
            f"an enrolment of {enrolment} segments says too little about a speaker; take {FEWEST_ENROLLED} or more."
        )
    chosen = choose_enrolment(corpus, enrolment, ENROLMENT_SEED)
    split = corpus.segments.split.copy()
    split[np.intersect1d(np.concatenate(list(chosen.values())), corpus.where("valid", "test"))] = SPLITS.index("none")
    return replace(corpus, segments=replace(corpus.segments, split=split)), chosen


def under(protocol: str, corpus: Corpus, enrolment: int = ENROLMENT) -> tuple[Corpus, Normaliser]:
    """The corpus (already split) as a protocol gives it to models, and its normaliser."""
    split, chosen = enrolled(protocol, corpus, enrolment)
    base = speaker_independent(corpus)
    return split, speaker_adapted(corpus, base, chosen) if chosen else base
