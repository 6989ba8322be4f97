"""Masks: counts by hand, every arrangement as likely as the next, nothing hidden that is not there."""

from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from emo_ssl.core.batches import MaskConfig, channel_mask, realised_share, span_counts, span_mask


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def runs_of(row: np.ndarray) -> list[int]:
    """The lengths of the hidden runs of one row."""
    return [len(list(run)) for hidden, run in groupby(row) if hidden]


# length -> spans, span: half of 32 tokens is 16, two spans of 7 are 14 and three 21
BY_HAND = {0: (0, 1), 1: (0, 1), 2: (1, 1), 3: (1, 2), 7: (1, 6), 8: (1, 7), 15: (1, 7), 21: (2, 7), 32: (2, 7)}


def test_counts_by_hand():
    count, span = span_counts(np.array(list(BY_HAND)), MaskConfig(share=0.5, span=7))
    assert list(zip(count, span, strict=True)) == list(BY_HAND.values())


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.65, 1.0])
@pytest.mark.parametrize("span", [1, 2, 7, 100])
def test_each_row_hides_just_what_was_counted(share, span):
    lengths = np.arange(60)
    config = MaskConfig(share=share, span=span)
    count, size = span_counts(lengths, config)
    mask = span_mask(rng(), lengths, config)
    assert mask.shape == (60, 59) and mask.dtype == bool
    assert np.array_equal(mask.sum(1), count * size)  # an overlap would hide less
    for row, length in zip(mask, lengths, strict=True):
        assert not row[length:].any()  # padding
        assert not length or not row[:length].all()  # something is left to predict from
        assert all(run % size[length] == 0 for run in runs_of(row))  # spans may touch
    # as near to the share as whole spans allow, where there is room for one and more
    free = (lengths > 2 * size) & (share * lengths >= size) & ((1 - share) * lengths > size)
    assert (np.abs(count * size - share * lengths)[free] <= size[free] / 2).all()


def test_no_share_hides_nothing():
    assert not span_mask(rng(), np.arange(9), MaskConfig(share=0)).any()


def test_sizes_0_and_1():
    assert span_mask(rng(), np.array([], int), MaskConfig()).shape == (0, 0)
    assert span_mask(rng(), np.array([0, 0]), MaskConfig()).shape == (2, 0)
    assert span_mask(rng(), np.array([1]), MaskConfig()).tolist() == [[False]]
    assert sorted(span_mask(rng(), np.array([2]), MaskConfig())[0]) == [False, True]
    assert span_mask(rng(), np.array([1, 2]), MaskConfig(), pad_to=5).shape == (2, 5)


def arrangements(length: int, count: int, span: int) -> list[tuple[int, ...]]:
    """Every way to lay `count` spans into `length` tokens, as sorted starts."""
    if not count:
        return [()]
    return [
        (start, *(start + span + later for later in rest))
        for start in range(length - count * span + 1)
        for rest in arrangements(length - start - span, count - 1, span)
    ]


def test_every_arrangement_is_equally_likely():
    length, config, rows = 8, MaskConfig(share=0.5, span=2), 6000
    ways = arrangements(length, 2, 2)
    assert len(ways) == 15  # 2 spans among 8 - 2 * (2 - 1) slots
    patterns = {}
    for way in ways:
        row = np.zeros(length, bool)
        for start in way:
            row[start : start + 2] = True
        patterns.setdefault(row.tobytes(), []).append(way)
    assert len(patterns) == 15
    mask = span_mask(rng(), np.full(rows, length), config)
    seen = Counter(row.tobytes() for row in mask)
    assert set(seen) == set(patterns)
    times = np.array(list(seen.values()))
    # chi-squared with 14 degrees of freedom: above 42.6 once in 10,000
    expected = rows / 15
    assert ((times - expected) ** 2 / expected).sum() < 42.6


@pytest.mark.parametrize(("length", "span", "share"), [(9, 1, 0.4), (12, 3, 0.5), (16, 7, 0.5)])
def test_coverage_of_each_position(length, span, share):
    """Against counting all arrangements: spans of one token cover evenly, longer ones reach the ends less often."""
    config, rows = MaskConfig(share=share, span=span), 8000
    ways = arrangements(length, int(span_counts(np.array([length]), config)[0][0]), span)
    expected = np.zeros(length)
    for way in ways:
        for start in way:
            expected[start : start + span] += 1 / len(ways)
    found = span_mask(rng(1), np.full(rows, length), config).mean(0)
    error = np.sqrt(expected * (1 - expected) / rows)
    assert (np.abs(found - expected) < 4.5 * error).all()  # once in 150,000 a position
    if span == 1:
        assert np.allclose(expected, round(share * length) / length)


def test_same_generator_same_mask():
    lengths = np.array([20, 3, 11])
    draw = [span_mask(rng(seed), lengths, MaskConfig()) for seed in (5, 5, 6)]
    assert np.array_equal(draw[0], draw[1])
    assert not np.array_equal(draw[0], draw[2])


@pytest.mark.parametrize(
    ("features", "block", "share", "hidden"), [(8, 2, 0.5, {4}), (7, 3, 0.34, {1, 3}), (1, 8, 1.0, {1})]
)
def test_channels_are_hidden_in_whole_blocks(features, block, share, hidden):
    mask = channel_mask(rng(), 50, features, MaskConfig(channel_share=share, channel_block=block))
    assert mask.shape == (50, features)
    assert set(mask.sum(1)) == hidden  # a last block may be narrower
    for begin in range(0, features, block):
        part = mask[:, begin : begin + block]
        assert (part.all(1) | ~part.any(1)).all()


def test_no_channels_by_default_and_none_at_sizes_0():
    assert not channel_mask(rng(), 5, 9, MaskConfig()).any()
    assert channel_mask(rng(), 0, 9, MaskConfig(channel_share=0.5)).shape == (0, 9)


def test_realised_share_counts_valid_tokens():
    mask = np.array([[True, False, False, False], [True, True, False, False]])
    assert realised_share(mask, np.array([4, 2])) == 0.5
    assert realised_share(np.empty((0, 0), bool), np.array([])) == 0.0


@pytest.mark.parametrize(
    "wrong", [{"share": -0.1}, {"share": 1.5}, {"span": 0}, {"channel_share": 2}, {"channel_block": 0}]
)
def test_impossible_masks_are_refused(wrong):
    with pytest.raises(ValueError, match=r"between 0 and 1|at least 1"):
        MaskConfig(**wrong)
