"""Which segments and windows are looked at, and in which order: nested label budgets, pretraining windows, batches."""

from dataclasses import dataclass

import numpy as np

from emo_ssl.core.corpus import Corpus
from emo_ssl.utils.errors import UserError

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
