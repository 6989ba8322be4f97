"""Which tokens the model may not see: pure functions of a generator, so that a mask can be plotted and tested."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MaskConfig:
    share: float = 0.5  # of the tokens
    span: int = 7  # tokens: single 10 ms frames would be solved by interpolation
    channel_share: float = 0.0  # of the features, hidden over the whole window
    channel_block: int = 8  # neighbouring features hidden together

    def __post_init__(self):
        if not (0 <= self.share <= 1 and 0 <= self.channel_share <= 1):
            raise ValueError("a share to hide lies between 0 and 1")
        if self.span < 1 or self.channel_block < 1:
            raise ValueError("a span and a block of channels hold at least 1")


def span_counts(lengths: np.ndarray, config: MaskConfig) -> tuple[np.ndarray, np.ndarray]:
    """lengths (B,) -> how many spans (B,) of how many tokens (B,): as near to the share as whole spans allow.

    A row keeps at least one token to predict from, so a row of one token is not masked at all.
    """
    span = np.clip(config.span, 1, np.maximum(lengths - 1, 1))
    most = np.maximum(lengths - 1, 0) // span
    wanted = np.rint(config.share * lengths / span).astype(np.int64)
    return np.where(config.share > 0, np.clip(wanted, np.minimum(1, most), most), 0), span


def span_mask(
    rng: np.random.Generator, lengths: np.ndarray, config: MaskConfig, pad_to: int | None = None
) -> np.ndarray:
    """lengths (B,) tokens -> (B, L) bool, True = hidden: spans that may touch but never overlap.

    Shrinking each span to one slot turns the choice into picking slots without replacement; growing them back shifts
    every slot by what the spans before it took.
    """
    lengths = np.asarray(lengths)
    longest = pad_to or int(lengths.max(initial=0))
    count, span = span_counts(lengths, config)
    slots = lengths - count * (span - 1)
    keys = rng.random((len(lengths), longest))
    keys[np.arange(longest) >= slots[:, None]] = np.inf
    chosen = np.argsort(np.argsort(keys, 1), 1) < count[:, None]
    before = np.cumsum(chosen, 1) - chosen
    row, slot = np.nonzero(chosen)
    start = slot + before[row, slot] * (span[row] - 1)
    edges = np.zeros((len(lengths), longest + 1), np.int64)
    np.add.at(edges, (row, start), 1)
    np.add.at(edges, (row, start + span[row]), -1)
    return np.cumsum(edges[:, :-1], 1) > 0


def channel_mask(rng: np.random.Generator, rows: int, features: int, config: MaskConfig) -> np.ndarray:
    """(rows, features) bool, True = hidden: blocks of neighbouring features, the share rounded to whole blocks."""
    blocks = -(-features // config.channel_block)
    count = round(config.channel_share * blocks)
    chosen = np.argsort(rng.random((rows, blocks)), 1) < count
    return np.repeat(chosen, config.channel_block, 1)[:, :features]


def realised_share(mask: np.ndarray, lengths: np.ndarray) -> float:
    """The exact share of valid tokens that a mask hides."""
    total = int(np.sum(lengths))
    return float(mask.sum() / total) if total else 0.0
