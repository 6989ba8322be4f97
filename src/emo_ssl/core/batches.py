"""What a training step reads: frames on the device, windows of recordings, span masks, nested label budgets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import Normaliser

MOST_BYTES_AS_FLOAT32 = 2e9  # beyond that float16: values lie within 5, so the rounding error is at most .002
ORDERS = ("usual", "random", "whole")


# --- frames on the device -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Runs:
    """Runs of normalised frames on the device, one a window, a segment or a recording."""

    frames: Tensor  # (F, D), NaN = missing; or without gaps
    first: Tensor  # (N,)
    length: Tensor  # (N,) frames

    @property
    def device(self) -> torch.device:
        return self.frames.device


def normalised_frames(
    corpus: Corpus, normaliser: Normaliser, recordings: np.ndarray, device: torch.device
) -> tuple[Tensor, np.ndarray]:
    """The frames of some recordings end to end on the device, (F, D), NaN = missing.

    Also what to add, for each recording of the corpus (R,), to a place in Corpus.frames to find it here.
    """
    lengths = corpus.recordings.length[recordings]
    total, width = int(lengths.sum()), len(corpus.feature_names)
    half = device.type == "cuda" or total * width * 4 > MOST_BYTES_AS_FLOAT32
    frames = torch.empty((total, width), dtype=torch.float16 if half else torch.float32, device=device)
    begin, shift = np.cumsum(lengths) - lengths, np.zeros(len(corpus.recordings), np.int64)
    shift[recordings] = begin - corpus.recordings.offset[recordings]
    for r, b in zip(recordings, begin, strict=True):
        scaled = normaliser.with_gaps(np.asarray(corpus.recording(r), np.float32), int(r))
        frames[b : b + len(scaled)] = torch.from_numpy(scaled)
    return frames, shift


def gather(frames: Tensor, first: Tensor, length: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Runs of frames (F, D): first, length (...) -> (..., steps, D) and valid (..., steps).

    Beyond its length a run reads the last frame of all.
    """
    step = torch.arange(steps, device=frames.device)
    valid = step < length[..., None]
    index = torch.where(valid, first[..., None] + step, len(frames) - 1)
    return frames.index_select(0, index.flatten()).float().view(*index.shape, frames.shape[1]), valid


def without_gaps(frames: Tensor) -> Tensor:
    """(F, D), NaN = missing -> (F + 1, D), missing = 0 and a last frame of zeros: a step has nothing left to fill."""
    return torch.cat((frames.nan_to_num(nan=0.0), frames.new_zeros(1, frames.shape[1])))


def gather_tokens(frames: Tensor, first: Tensor, length: Tensor, stack: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Runs of frames without gaps: first, length (...) -> tokens (..., L, S) and valid (..., L)."""
    rows, valid = gather(frames, first, length, tokens * stack)
    return rows.view(*length.shape, tokens, stack * frames.shape[1]), valid[..., ::stack]


# --- windows of recordings, for pretraining -------------------------------------------------------------------------


def windows(corpus: Corpus, recordings: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As few equal-stride windows of `length` frames as cover `recordings` (R',), labelled or not.

    The last window ends with its recording, so neighbours overlap a little instead of leaving a short rest; a
    recording shorter than `length` is one short window, an empty one is none. Of each window (W,) its recording, its
    first frame in Corpus.frames and its length.
    """
    total = corpus.recordings.length[recordings]
    count = np.where(total > 0, np.maximum(1, -(-total // length)), 0)
    which = np.repeat(np.arange(len(recordings)), count)
    number = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    room = np.maximum(total - length, 0)[which]
    start = np.rint(number * room / np.maximum(count[which] - 1, 1)).astype(np.int64)
    first = corpus.recordings.offset[recordings][which] + start
    return recordings[which], first, np.minimum(total, length)[which]


@dataclass(frozen=True)
class WindowPool(Runs):
    """Windows of one corpus or several, their frames on the device; places and lengths on the host, which draws."""

    first: np.ndarray  # (W,)
    length: np.ndarray  # (W,)

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def build(
        cls, corpora: Sequence[tuple[Corpus, Normaliser]], splits: Sequence[str], seconds: float, device: torch.device
    ) -> "WindowPool":
        """All windows of the recordings in `splits`."""
        parts, begin = [], 0
        for corpus, normaliser in corpora:
            chosen = corpus.recordings_of(*splits)
            frames, shift = normalised_frames(corpus, normaliser, chosen, device)
            recording, first, length = windows(corpus, chosen, round(seconds * corpus.frame_rate))
            parts.append((frames, first + shift[recording] + begin, length))
            begin += len(frames)
        frames, first, length = zip(*parts, strict=True)
        return cls(torch.cat(frames), np.concatenate(first), np.concatenate(length))


def drawn(seed: int, step: int, batch: int, total: int) -> np.ndarray:
    """The windows of step `step`: epochs of permutations end to end, cut into batches."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // total
    orders = {e: np.random.default_rng([seed, 0, int(e)]).permutation(total) for e in np.unique(epochs)}
    return np.array([orders[e][p % total] for e, p in zip(epochs, places, strict=True)], np.int64)


# --- masks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MaskConfig:
    share: float = 0.5  # of the tokens
    span: int = 7  # tokens: single 10 ms frames would be solved by interpolation

    def __post_init__(self):
        if not 0 <= self.share <= 1 or self.span < 1:
            raise ValueError("the share to mask lies between 0 and 1, and a span holds at least 1 token")


def span_counts(lengths: np.ndarray, config: MaskConfig) -> tuple[np.ndarray, np.ndarray]:
    """lengths (B,) -> how many spans (B,) of how many tokens (B,): as near to the share as whole spans allow.

    A row keeps at least one token to predict from, so a row of one token is not masked at all.
    """
    span = np.clip(config.span, 1, np.maximum(lengths - 1, 1))
    most = np.maximum(lengths - 1, 0) // span
    wanted = np.rint(config.share * lengths / span).astype(np.int64)
    return np.where(config.share > 0, np.clip(wanted, np.minimum(1, most), most), 0), span


def span_mask(rng: np.random.Generator, lengths: np.ndarray, config: MaskConfig) -> np.ndarray:
    """lengths (B,) tokens -> (B, L) bool, True = masked: spans that may touch but never overlap.

    Shrinking each span to one slot turns the choice into picking slots without replacement; growing them back shifts
    every slot by what the spans before it took.
    """
    lengths = np.asarray(lengths)
    longest = int(lengths.max(initial=0))
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


@dataclass(frozen=True)
class MaskedBatch:
    """What one pretraining step needs, chosen on the host and sent to the device at once."""

    steps: int  # frames of the longest window
    tokens: int  # valid ones in the batch
    first: Tensor  # (B,)
    length: Tensor  # (B,) frames
    masked: Tensor  # (B, L) bool
    place: Tensor  # (n,) the masked tokens' positions in (B * L)

    @property
    def padded(self) -> bool:
        """Known without asking the device, which would have to wait."""
        return self.tokens < self.masked.numel()


def masked_batch(
    pool: WindowPool,
    chosen: np.ndarray,
    rng: np.random.Generator,
    mask: MaskConfig,
    stack: int,
    rows: slice = slice(None),
) -> MaskedBatch:
    """`rows`: the part of the batch that is wanted; its masks are those that it has in the whole."""
    masked = span_mask(rng, -(-pool.length[chosen] // stack), mask)[rows]
    chosen = chosen[rows]
    length = pool.length[chosen]
    token_length = -(-length // stack)
    masked = masked[:, : token_length.max()]
    tensors = [torch.from_numpy(part) for part in (pool.first[chosen], length, masked, np.flatnonzero(masked))]
    if pool.device.type == "cuda":
        tensors = [tensor.pin_memory().to(pool.device, non_blocking=True) for tensor in tensors]
    return MaskedBatch(int(token_length.max()) * stack, int(token_length.sum()), *tensors)


# --- label budgets --------------------------------------------------------------------------------------------------


def label_order(corpus: Corpus, pool: np.ndarray, seed: int, rule: str = "usual") -> np.ndarray:
    """The order in which the segments of `pool` get their labels; the first n of it are the budget n, so budgets nest.

    usual    one plain permutation; where every clip has a category, rounds of one clip of each
    random   one plain permutation everywhere
    whole    speaker after speaker (recording after recording where speakers are unknown), each in the pool's own order
    """
    rng = np.random.default_rng(seed)
    speaker = corpus.recordings.speaker[corpus.segments.recording[pool]]
    if rule == "whole":
        unit = speaker if (speaker != "").all() else corpus.segments.recording[pool]
        names, group = np.unique(unit, return_inverse=True)
        return pool[np.argsort(rng.permutation(len(names))[group], kind="stable")]
    if rule == "random" or not corpus.category_names:
        return rng.permutation(pool)
    strength = corpus.targets[pool].max(1, initial=0.0)
    return rounds(pool, corpus.segments.category[pool], speaker, strength, rng)


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
