"""Normalised frames, resident on the device that trains: a batch is one gather, with no copy from anywhere else."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import Normaliser

MOST_BYTES_AS_FLOAT32 = 2e9  # beyond that float16: values lie within 5, so the rounding error is at most .002


@dataclass(frozen=True)
class FrameStore:
    """The frames of some videos of one corpus, or of several, end to end; NaN = missing."""

    frames: Tensor  # (F, D)
    offset: np.ndarray  # (V,) where each video of the corpus begins here, -1 if it was left out
    source_offset: np.ndarray  # (V,) where it begins in Segments.frames

    @classmethod
    def build(
        cls, prepared: Corpus, normaliser: Normaliser, recordings: np.ndarray, device: torch.device
    ) -> "FrameStore":
        lengths = prepared.recordings.length[recordings]
        total, width = int(lengths.sum()), len(prepared.feature_names)
        half = device.type == "cuda" or total * width * 4 > MOST_BYTES_AS_FLOAT32
        frames = torch.empty((total, width), dtype=torch.float16 if half else torch.float32, device=device)
        offset = np.full(len(prepared.recordings), -1, np.int64)
        offset[recordings] = np.cumsum(lengths) - lengths
        for v in recordings:
            scaled = normaliser.with_gaps(np.asarray(prepared.recording(v), np.float32), int(v))
            frames[offset[v] : offset[v] + len(scaled)] = torch.from_numpy(scaled)
        return cls(frames, offset, prepared.recordings.offset)

    def locate(self, recording: np.ndarray, first: np.ndarray) -> np.ndarray:
        """Where runs of frames that begin at `first` in the corpus begin here: (N,), (N,) -> (N,)."""
        if (self.offset[recording] < 0).any():
            raise ValueError("a run of a video that is not in this store")
        return self.offset[recording] + first - self.source_offset[recording]


def gather(frames: Tensor, first: Tensor, length: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Runs of frames (F, D): first, length (...) -> (..., steps, D), NaN = missing, and valid (..., steps)."""
    step = torch.arange(steps, device=frames.device)
    valid = step < length[..., None]
    return frames[torch.where(valid, first[..., None] + step, 0)].float(), valid
