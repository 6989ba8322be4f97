"""How well masked frames can be guessed without a model: the baselines that pretraining has to beat."""

import numpy as np

BASELINES = ("mean frame", "previous frame", "linear interpolation")


def smooth_l1(error: np.ndarray) -> np.ndarray:
    size = np.abs(error)
    return np.where(size < 1, 0.5 * size**2, size - 0.5)


def frame_mask(masked: np.ndarray, stack: int, frames: int) -> np.ndarray:
    """(B, L) tokens -> (B, frames): a masked token masks each of its frames."""
    return np.repeat(masked, stack, 1)[:, :frames]


def guess(frames: np.ndarray, masked: np.ndarray, valid: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """frames (B, T, D) with missing = 0, masked and valid (B, T), mean (D,) -> a guess (B, T, D) of each baseline.

    Before the first visible frame the previous one is the next one; a row with none visible gets the mean.
    """
    rows, steps, _ = frames.shape
    time = np.arange(steps)
    visible = valid & ~masked
    before = np.maximum.accumulate(np.where(visible, time, -1), 1)
    after = np.minimum.accumulate(np.where(visible, time, steps)[:, ::-1], 1)[:, ::-1]
    before, after = np.where(before < 0, after, before), np.where(after == steps, before, after)
    nothing = ~visible.any(1)
    before[nothing], after[nothing] = 0, 0
    row = np.arange(rows)[:, None]
    left, right = frames[row, before], frames[row, after]
    weight = ((time - before) / np.maximum(after - before, 1))[..., None]
    kinds = (np.broadcast_to(mean, frames.shape), left, left + weight * (right - left))
    return {name: np.where(nothing[:, None, None], mean, kind) for name, kind in zip(BASELINES, kinds, strict=True)}


def baseline_losses(
    frames: np.ndarray, masked: np.ndarray, valid: np.ndarray, mean: np.ndarray
) -> tuple[dict[str, float], int]:
    """frames (B, T, D), NaN = missing -> summed smooth L1 of each guess on masked, known values, and their count."""
    known = masked[..., None] & valid[..., None] & np.isfinite(frames)
    filled = np.nan_to_num(frames, nan=0.0)
    guesses = guess(filled, masked, valid, mean)
    return {name: float(smooth_l1(g - filled)[known].sum()) for name, g in guesses.items()}, int(known.sum())
