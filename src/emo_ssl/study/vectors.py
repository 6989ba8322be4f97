"""Segments as fixed vectors, for probes: utterance statistics, their principal components, length."""

import numpy as np
import torch
from torch import Tensor

from emo_ssl.core.batches import windows
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import Normaliser

QUANTILES = (10, 50, 90)
COMPONENTS = 32
WINDOW = 5.0  # seconds of the unlabelled stretches that principal components are found on


def statistics(frames: np.ndarray) -> np.ndarray:
    """(T, D) normalised frames -> (5 D,): mean, standard deviation and three quantiles of each feature."""
    return np.concatenate([frames.mean(0), frames.std(0), np.percentile(frames, QUANTILES, axis=0).ravel()])


def statistics_table(
    prepared: Corpus, normaliser: Normaliser, recording: np.ndarray, first: np.ndarray, length: np.ndarray
):
    """Runs of frames (N,) -> (N, 5 D) float32."""
    table = np.empty((len(recording), (2 + len(QUANTILES)) * len(prepared.feature_names)), np.float32)
    for i, (v, f, n) in enumerate(zip(recording, first, length, strict=True)):
        table[i] = statistics(normaliser(np.asarray(prepared.frames[f : f + n], np.float32), int(v)))
    return table


def segment_statistics(prepared: Corpus, normaliser: Normaliser) -> np.ndarray:
    segments = prepared.segments
    return statistics_table(prepared, normaliser, segments.recording, segments.first, segments.length)


def principal_components(table: np.ndarray, unlabelled: np.ndarray) -> np.ndarray:
    """table (N, I) on the leading components of `unlabelled` (U, I) -> (N, at most COMPONENTS)."""
    mean, spread = unlabelled.mean(0), unlabelled.std(0)
    spread = np.where(spread > 1e-6, spread, 1.0)
    _, _, axes = np.linalg.svd((unlabelled - mean) / spread, full_matrices=False)
    return ((table - mean) / spread @ axes[:COMPONENTS].T).astype(np.float32)


def unlabelled_statistics(prepared: Corpus, normaliser: Normaliser, recordings: np.ndarray) -> np.ndarray:
    """The statistics of windows over whole videos, labelled or not: what pretraining sees, as vectors."""
    cut = windows(prepared, recordings, round(WINDOW * prepared.frame_rate))
    return statistics_table(prepared, normaliser, cut.recording, cut.first, cut.length)


def length_bumps(prepared: Corpus) -> np.ndarray:
    """(N, 9): how near a segment's log length lies to each of nine lengths spread over those of the corpus.

    Not the number alone: a head normalises over its inputs, and of a single input that leaves nothing.
    """
    length = np.log(prepared.segments.length.astype(np.float64))
    usual = (length - length.mean()) / max(float(length.std()), 1e-6)
    return np.exp(-0.5 * ((usual[:, None] - np.linspace(-2, 2, 9)) / 0.5) ** 2).astype(np.float32)


def standardised(table: Tensor, train: np.ndarray) -> Tensor:
    """(N, I) in units of the training segments' spread, which needs no label."""
    pool = table[torch.from_numpy(train).to(table.device)]
    spread = pool.std(0, correction=0)
    return (table - pool.mean(0)) / torch.where(spread > 1e-6, spread, torch.ones_like(spread))
