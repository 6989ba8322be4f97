"""What a step reads: windows, span masks, nested label budgets, and frames resident on the device."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import Normaliser
from emo_ssl.utils.io import UserError


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


ORDERS = ("usual", "random", "whole")


def label_order(prepared: Corpus, pool: np.ndarray, seed: int, rule: str = "usual") -> np.ndarray:
    """The order in which the segments of `pool` get their labels; the first n of it are the budget n, so budgets nest.

    usual    one plain permutation; where every clip has a category, rounds of one clip of each
    random   one plain permutation everywhere
    whole    speaker after speaker (video after video where speakers are unknown), each in the pool's own order
    """
    rng = np.random.default_rng(seed)
    speaker = prepared.recordings.speaker[prepared.segments.recording[pool]]
    if rule == "whole":
        unit = speaker if (speaker != "").all() else prepared.segments.recording[pool]
        names, group = np.unique(unit, return_inverse=True)
        return pool[np.argsort(rng.permutation(len(names))[group], kind="stable")]
    if rule == "random" or not prepared.category_names:
        return rng.permutation(pool)
    strength = prepared.targets[pool].max(1, initial=0.0)
    return rounds(pool, prepared.segments.category[pool], speaker, strength, rng)


def rounds(
    pool: np.ndarray, category: np.ndarray, speaker: np.ndarray, intensity: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rounds of one clip of each category, speakers cycled in random order, weak and strong clips in turn.

    All arguments (P,). A category that has run out is passed over, so the order ends with every clip of the pool.
    """
    cycle = rng.permutation(np.unique(speaker))
    place = np.argsort(cycle)[np.searchsorted(np.sort(cycle), speaker)]
    left = {c: rng.permutation(np.flatnonzero(category == c)) for c in np.unique(category)}
    strong = np.zeros(len(pool), bool)
    for clips in left.values():
        strong[clips] = intensity[clips] > np.median(intensity[clips])
    order: list[int] = []
    want_strong = False
    while len(order) < len(pool):
        for c in rng.permutation([c for c, clips in left.items() if len(clips)]):
            # the speaker whose turn is soonest among those who still have a clip of this category
            wait = (place[left[c]] - len(order)) % len(cycle)
            best = np.lexsort((strong[left[c]] != want_strong, wait))[0]
            order.append(left[c][best])
            left[c] = np.delete(left[c], best)
        want_strong = not want_strong
    return pool[np.array(order, np.int64)]


def budget(order: np.ndarray, size: int) -> np.ndarray:
    """The first `size` of a label order."""
    if not 0 <= size <= len(order):
        raise UserError(f"a budget of {size} labels, but the training pool holds {len(order)}; choose a smaller one.")
    return order[:size]


@dataclass(frozen=True)
class Windows:
    """Runs of frames that cover whole videos, labelled or not."""

    recording: np.ndarray  # (W,) index into Videos
    first: np.ndarray  # (W,) first frame in the store
    length: np.ndarray  # (W,) frames

    def __len__(self) -> int:
        return len(self.first)


def windows(prepared: Corpus, recordings: np.ndarray, length: int) -> Windows:
    """Cut `videos` (V',) into as few equal-stride windows of `length` frames as cover them.

    The last window ends with the video, so neighbours overlap a little instead of leaving a short rest; a video
    shorter than `length` is one short window, an empty one is none.
    """
    total = prepared.recordings.length[recordings]
    count = np.where(total > 0, np.maximum(1, -(-total // length)), 0)
    which = np.repeat(np.arange(len(recordings)), count)
    number = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    room = np.maximum(total - length, 0)[which]
    start = np.rint(number * room / np.maximum(count[which] - 1, 1)).astype(np.int64)
    return Windows(
        recordings[which], prepared.recordings.offset[recordings][which] + start, np.minimum(total, length)[which]
    )


def bucketed_batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One epoch of batches of at most `size` items of similar length, in random order: little padding, no fixed pairs.

    lengths (N,) -> index arrays that together hold each item once.
    """
    # a tenth of jitter on the length, so that the same items do not meet in every epoch
    order = np.argsort(lengths * rng.uniform(0.95, 1.05, len(lengths)), kind="stable")
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    return [batches[i] for i in rng.permutation(len(batches))]


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
