"""How well hidden frames can be guessed without a model: the floors that pretraining has to beat."""

import numpy as np

FLOORS = ("mean frame", "previous frame", "linear interpolation")


def smooth_l1(error: np.ndarray) -> np.ndarray:
    size = np.abs(error)
    return np.where(size < 1, 0.5 * size**2, size - 0.5)


def frame_mask(hidden: np.ndarray, stack: int, frames: int) -> np.ndarray:
    """(B, L) tokens -> (B, frames): a hidden token hides each of its frames."""
    return np.repeat(hidden, stack, 1)[:, :frames]


def guess(frames: np.ndarray, hidden: np.ndarray, valid: np.ndarray, mean: np.ndarray) -> dict[str, np.ndarray]:
    """frames (B, T, D) with missing = 0, hidden and valid (B, T), mean (D,) -> a guess (B, T, D) of each kind.

    Before the first visible frame the previous one is the next one; a row with none visible gets the mean.
    """
    rows, steps, _ = frames.shape
    time = np.arange(steps)
    seen = valid & ~hidden
    before = np.maximum.accumulate(np.where(seen, time, -1), 1)
    after = np.minimum.accumulate(np.where(seen, time, steps)[:, ::-1], 1)[:, ::-1]
    before, after = np.where(before < 0, after, before), np.where(after == steps, before, after)
    blind = ~seen.any(1)
    before[blind], after[blind] = 0, 0
    row = np.arange(rows)[:, None]
    left, right = frames[row, before], frames[row, after]
    weight = ((time - before) / np.maximum(after - before, 1))[..., None]
    kinds = (np.broadcast_to(mean, frames.shape), left, left + weight * (right - left))
    return {name: np.where(blind[:, None, None], mean, kind) for name, kind in zip(FLOORS, kinds, strict=True)}


def floor_losses(
    frames: np.ndarray, hidden: np.ndarray, valid: np.ndarray, mean: np.ndarray
) -> tuple[dict[str, float], int]:
    """frames (B, T, D), NaN = missing -> summed smooth L1 of each guess on hidden, known values, and their count."""
    known = hidden[..., None] & valid[..., None] & np.isfinite(frames)
    filled = np.nan_to_num(frames, nan=0.0)
    guesses = guess(filled, hidden, valid, mean)
    return {name: float(smooth_l1(g - filled)[known].sum()) for name, g in guesses.items()}, int(known.sum())
