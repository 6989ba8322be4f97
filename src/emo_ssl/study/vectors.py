"""Segments as fixed vectors, for probes: utterance statistics, their principal components, length."""

import numpy as np

from emo_ssl.core.batches import windows
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import Normaliser

QUANTILES = (10, 50, 90)
COMPONENTS = 32
WINDOW = 5.0  # seconds of the unlabelled stretches that principal components are found on


def statistics(frames: np.ndarray) -> np.ndarray:
    """(T, D) normalised frames -> (5 D,): mean, standard deviation and three quantiles of each feature."""
    return np.concatenate([frames.mean(0), frames.std(0), np.percentile(frames, QUANTILES, axis=0).ravel()])


def mean_and_deviation(corpus: Corpus, normaliser: Normaliser) -> np.ndarray:
    """(N, 2 D) of each feature over a segment."""
    recording = corpus.segments.recording
    frames = (normaliser(np.asarray(corpus.segment(i), np.float32), int(r)) for i, r in enumerate(recording))
    return np.stack([mean_deviation(part) for part in frames])


def mean_deviation(frames: np.ndarray) -> np.ndarray:
    """(T, D) -> (2 D,)."""
    return np.concatenate((frames.mean(0), frames.std(0)))


def units(pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, I) -> mean and deviation of each column, 1 where nothing varies."""
    spread = pool.std(0)
    return pool.mean(0), np.where(spread > 1e-6, spread, 1.0)


def statistics_table(
    corpus: Corpus, normaliser: Normaliser, recording: np.ndarray, first: np.ndarray, length: np.ndarray
) -> np.ndarray:
    """Runs of frames (N,) -> (N, 5 D) float32."""
    table = np.empty((len(recording), (2 + len(QUANTILES)) * len(corpus.feature_names)), np.float32)
    for i, (v, f, n) in enumerate(zip(recording, first, length, strict=True)):
        table[i] = statistics(normaliser(np.asarray(corpus.frames[f : f + n], np.float32), int(v)))
    return table


def segment_statistics(corpus: Corpus, normaliser: Normaliser) -> np.ndarray:
    segments = corpus.segments
    return statistics_table(corpus, normaliser, segments.recording, segments.first, segments.length)


def components(table: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    """table (N, I) on the leading components of `unlabelled` (U, I) -> (N, at most COMPONENTS).

    Along an axis on which the unlabelled do not differ there is nothing but rounding, which a head would blow up.
    """
    mean, spread = units(unlabelled)
    _, sizes, axes = np.linalg.svd((unlabelled - mean) / spread, full_matrices=False)
    rank = (sizes > sizes[0] * max(unlabelled.shape) * np.finfo(np.float32).eps).sum()  # as NumPy counts it
    return ((table - mean) / spread @ axes[: max(1, min(rank, COMPONENTS))].T).astype(np.float32)


def principal_components(corpus: Corpus, normaliser: Normaliser) -> np.ndarray:
    """Statistics of segments, on components found in all that pretraining may read, labelled or not."""
    cut = windows(corpus, corpus.recordings_of("train", "none"), round(WINDOW * corpus.frame_rate))
    unlabelled = statistics_table(corpus, normaliser, *cut)
    return components(segment_statistics(corpus, normaliser), unlabelled)


def length_bumps(corpus: Corpus, normaliser: Normaliser) -> np.ndarray:
    """(N, 9): how near a segment's log length lies to each of nine lengths spread over those of the corpus.

    Not the number alone: a head normalises over its inputs, and of a single input that leaves nothing.
    """
    length = np.log(corpus.segments.length.astype(np.float64))
    usual = (length - length.mean()) / max(float(length.std()), 1e-6)
    return np.exp(-0.5 * ((usual[:, None] - np.linspace(-2, 2, 9)) / 0.5) ** 2).astype(np.float32)


FIXED = {"statistics": segment_statistics, "pca": principal_components, "length": length_bumps}
