"""Whether frames of one set turn up in another, by content: a copied stretch is found wherever it was pasted.

Every run of RUN frames is hashed to 64 bits; runs of constant frames (silence, padding) say nothing and are left out.
A sixteenth of the hashes is kept, chosen by the hash itself, so that both sides keep the same ones: a copied second is
missed with a chance of about (15/16)^93, one in 400.
"""

import numpy as np

from emo_ssl.core.corpus import Corpus

RUN = 8
KEPT = 16


def mix(x: np.ndarray) -> np.ndarray:
    """Spread the bits of 64-bit words, so that any few of them are as good as random."""
    x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return x ^ (x >> np.uint64(29))


def frame_hashes(frames: np.ndarray) -> np.ndarray:
    """(T, D) -> (T,) uint64, equal for values that are equal as float16: a copy in a corpus stored so is one too."""
    limit = np.finfo(np.float16).max
    bits = np.clip(frames, -limit, limit).astype(np.float16).view(np.uint16).astype(np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, frames.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(
        1
    )
    return mix(bits @ factors)


def run_hashes(frames: np.ndarray) -> np.ndarray:
    """(T, D) -> the kept hashes of its runs of RUN frames, in order of time."""
    single = frame_hashes(frames)
    count = max(len(single) - RUN + 1, 0)
    runs, moving = np.zeros(count, np.uint64), np.zeros(count, bool)
    for j in range(RUN):
        runs = mix(runs + single[j : j + count] * np.uint64(2 * j + 3))
        moving |= single[j : j + count] != single[:count]
    return runs[moving & (runs % np.uint64(KEPT) == 0)]


def traces_of(prepared: Corpus, recordings: np.ndarray) -> np.ndarray:
    """The sorted, distinct kept hashes of the given videos."""
    parts = [run_hashes(np.asarray(prepared.recording(v), np.float32)) for v in recordings]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)


def shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many hashes two sets of traces have in common."""
    return len(np.intersect1d(a, b, assume_unique=True))
