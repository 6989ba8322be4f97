"""What a step reads: frames, masks of which each arrangement is as likely as the next, budgets that nest."""

from collections import Counter
from itertools import groupby

import numpy as np
import pytest
import torch
from builders import Segment, Video, noise, write_segments

from emo_ssl.core import batches
from emo_ssl.core.batches import (
    MaskConfig,
    WindowPool,
    drawn,
    gather,
    label_order,
    masked_batch,
    normalised_frames,
    rounds,
    span_counts,
    span_mask,
    windows,
    without_gaps,
)
from emo_ssl.core.normalise import speaker_independent

CPU = torch.device("cpu")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- frames on the device


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Recordings of 30, 0, 20 and 11 frames, with a gap in the third."""
    frames = [noise(30), noise(0), noise(20, seed=1), noise(11, seed=2)]
    frames[2][4, 1] = np.nan
    return write_segments(tmp_path_factory.mktemp("four"), [Video(f"v{i}", x) for i, x in enumerate(frames)])


def test_frames_of_the_chosen_recordings_end_to_end(four):
    normaliser = speaker_independent(four)
    frames, shift = normalised_frames(four, normaliser, np.array([2, 1, 3]), CPU)
    expected = np.concatenate([normaliser.with_gaps(four.recording(v), v) for v in (2, 3)])
    assert frames.dtype == torch.float32 and np.array_equal(frames, expected, equal_nan=True)
    assert bool(frames[4, 1].isnan())  # a gap stays a gap
    assert (four.recordings.offset + shift)[[2, 3]].tolist() == [0, 20]
    assert normalised_frames(four, normaliser, np.array([], int), CPU)[0].shape == (0, 2)


def test_many_frames_are_kept_in_half_the_room(four, monkeypatch):
    monkeypatch.setattr(batches, "MOST_BYTES_AS_FLOAT32", 100)
    normaliser = speaker_independent(four)
    frames, _ = normalised_frames(four, normaliser, np.array([0]), CPU)
    error = np.abs(frames.float().numpy() - normaliser(four.recording(0), 0))
    assert frames.dtype == torch.float16 and 0 < error.max() <= 0.002  # what the module says of values within 5


def test_gathering_by_hand():
    frames = torch.arange(10.0)[:, None]
    found, valid = gather(frames, torch.tensor([7, 0, 9]), torch.tensor([3, 0, 1]), 4)
    assert valid.tolist() == [[True] * 3 + [False], [False] * 4, [True] + [False] * 3]
    assert found[..., 0][valid].tolist() == [7, 8, 9, 9] and found.shape == (3, 4, 1)
    assert without_gaps(torch.tensor([[1.0, float("nan")]])).tolist() == [[1, 0], [0, 0]]
    none = torch.zeros(2, 0, dtype=torch.long)
    assert gather(frames, none, none, 3)[0].shape == (2, 0, 3, 1)


# --- windows


@pytest.mark.parametrize("length", [1, 7, 100, 5000])
def test_windows_cover_every_frame_of_their_recordings_and_no_other(tmp_path, length):
    lengths = [0, 1, 6, 7, 8, 99, 100, 101, 199, 200, 201, 250, 0]
    corpus = write_segments(tmp_path, [Video(str(i), noise(n)) for i, n in enumerate(lengths)])
    recordings = np.array([12, 3, 11, 0, 5, 6, 7, 8, 9, 10, 1, 2])
    of, first, sizes = windows(corpus, recordings, length)
    for recording, total in enumerate(lengths):
        own = np.flatnonzero(of == recording)
        if recording not in recordings or total == 0:
            assert len(own) == 0
            continue
        assert len(own) == -(-total // length)
        assert set(sizes[own].tolist()) == {min(total, length)}
        start = first[own] - corpus.recordings.offset[recording]
        seen = np.concatenate([np.arange(s, s + n) for s, n in zip(start, sizes[own], strict=True)])
        assert sorted(set(seen.tolist())) == list(range(total))
        assert len(own) < 2 or np.ptp(np.diff(start)) <= 1


def test_a_pool_covers_the_asked_splits_of_each_corpus_and_no_others(tmp_path):
    corpora = []
    for i, splits in enumerate((("train", "test", "none"), ("test", "train"))):
        recordings = [Video(s, noise(70 + 10 * r, seed=[i, r]), s) for r, s in enumerate(splits)]
        corpora.append(write_segments(tmp_path / str(i), recordings))
    normalised = [(corpus, speaker_independent(corpus)) for corpus in corpora]
    pool = WindowPool.build(normalised, ("train", "none"), 0.32, CPU)
    chosen = [(0, 0), (0, 2), (1, 1)]  # each corpus in its own units, one after the other
    expected = [normalised[c][1](corpora[c].recording(r), r) for c, r in chosen]
    assert np.array_equal(pool.frames, np.concatenate(expected)) and len(pool.frames) == 70 + 90 + 80
    covered = np.concatenate([np.arange(f, f + n) for f, n in zip(pool.first, pool.length, strict=True)])
    assert sorted(set(covered.tolist())) == list(range(240))
    assert len(pool) == 3 + 3 + 3 and set(pool.length) == {32}
    assert len(WindowPool.build(normalised, ("valid",), 0.32, CPU)) == 0


def test_epochs_see_each_window_once_and_never_repeat_an_order():
    order = np.concatenate([drawn(5, step, 4, 10) for step in range(5)])
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert not np.array_equal(order[:10], order[10:])
    assert np.array_equal(drawn(5, 3, 4, 10), order[12:16])  # a function of seed and step
    assert not np.array_equal(drawn(6, 3, 4, 10), order[12:16])
    assert drawn(0, 0, 5, 2).shape == (5,) and drawn(0, 7, 1, 1).tolist() == [0]


# --- masks

# length -> spans, span: half of 32 tokens is 16, two spans of 7 are 14 and three 21
BY_HAND = {0: (0, 1), 1: (0, 1), 2: (1, 1), 3: (1, 2), 7: (1, 6), 8: (1, 7), 15: (1, 7), 21: (2, 7), 32: (2, 7)}


def test_counts_by_hand():
    count, span = span_counts(np.array(list(BY_HAND)), MaskConfig(share=0.5, span=7))
    assert list(zip(count, span, strict=True)) == list(BY_HAND.values())


@pytest.mark.parametrize(("share", "span"), [(0.0, 7), (0.01, 1), (0.5, 7), (0.65, 100), (1.0, 1)])
def test_each_row_masks_just_what_was_counted(share, span):
    lengths, config = np.arange(60), MaskConfig(share=share, span=span)
    count, size = span_counts(lengths, config)
    mask = span_mask(rng(), lengths, config)
    assert mask.shape == (60, 59) and mask.dtype == bool
    assert np.array_equal(mask.sum(1), count * size)  # an overlap would mask less
    assert share or not mask.any()
    for row, length in zip(mask, lengths, strict=True):
        assert not row[length:].any()  # padding
        assert not length or not row[:length].all()  # something is left to predict from
        runs = [len(list(run)) for masked, run in groupby(row) if masked]
        assert all(run % size[length] == 0 for run in runs)  # spans may touch
    # as near to the share as whole spans allow, where there is room for one and more
    free = (lengths > 2 * size) & (share * lengths >= size) & ((1 - share) * lengths > size)
    assert (np.abs(count * size - share * lengths)[free] <= size[free] / 2).all()


def test_masks_of_sizes_0_and_1():
    for lengths, shape in (([], (0, 0)), ([0, 0], (2, 0)), ([1], (1, 1))):
        mask = span_mask(rng(), np.array(lengths, int), MaskConfig())
        assert mask.shape == shape and not mask.any()
    assert sorted(span_mask(rng(), np.array([2]), MaskConfig())[0]) == [False, True]


def arrangements(length: int, count: int, span: int) -> list[tuple[int, ...]]:
    """Every way to lay `count` spans into `length` tokens, as sorted starts."""
    if not count:
        return [()]
    return [
        (start, *(start + span + later for later in rest))
        for start in range(length - count * span + 1)
        for rest in arrangements(length - start - span, count - 1, span)
    ]


@pytest.mark.parametrize(("length", "span", "share"), [(8, 2, 0.5), (9, 1, 0.4), (12, 3, 0.5), (16, 7, 0.5)])
def test_every_arrangement_is_equally_likely(length, span, share):
    ways, rows = arrangements(length, round(share * length / span), span), 8000
    patterns = set()
    for way in ways:
        row = np.zeros(length, bool)
        for start in way:
            row[start : start + span] = True
        patterns.add(row.tobytes())
    seen = Counter(row.tobytes() for row in span_mask(rng(1), np.full(rows, length), MaskConfig(share, span)))
    assert set(seen) == patterns and len(patterns) == len(ways)
    # chi-squared with n - 1 degrees of freedom lies this far above its mean once in 10,000 or less
    expected, freedom = rows / len(ways), len(ways) - 1
    statistic = ((np.array(list(seen.values())) - expected) ** 2 / expected).sum()
    assert statistic < freedom + 4.5 * np.sqrt(2 * freedom) + 10


def test_batches_name_the_masked_tokens():
    pool, mask = WindowPool(torch.zeros(40, 2), np.array([0, 20]), np.array([20, 3])), MaskConfig(span=3)
    batch, again, other = (masked_batch(pool, np.array([1, 0]), rng(seed), mask, 2) for seed in (0, 0, 1))
    assert (batch.steps, batch.tokens) == (20, 12)
    assert (batch.first.tolist(), batch.length.tolist()) == ([20, 0], [3, 20])
    assert batch.masked.shape == (2, 10) and batch.masked.any() and not batch.masked[0, 2:].any()
    assert batch.place.tolist() == torch.nonzero(batch.masked.flatten()).flatten().tolist()
    assert torch.equal(batch.masked, again.masked) and not torch.equal(batch.masked, other.masked)


# --- label budgets


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Thirty segments with intensities alone."""
    recordings = [Video(str(v), noise(300, seed=v)) for v in range(3)]
    segments = [Segment(v, 30 * i, 30) for v in range(3) for i in range(10)]
    return write_segments(tmp_path_factory.mktemp("plain"), recordings, segments)


def acted(folder, speakers=4, categories=3, takes=4):
    """A clip of each speaker, category and take; every second take is strong. The pool's order is by category."""
    clips = [(s, c, t) for c in range(categories) for s in range(speakers) for t in range(takes)]
    recordings = [Video(f"{s}-{c}-{t}", noise(10), speaker=f"speaker {s}") for s, c, t in clips]
    segments = [Segment(i, 0, 10, (1.0 + t % 2, 0.0), c) for i, (_, c, t) in enumerate(clips)]
    names = [f"category {c}" for c in range(categories)]
    return write_segments(folder, recordings, segments, category_names=names), clips


def test_an_order_holds_the_whole_pool_once(plain):
    pool = plain.where("train")
    order = label_order(plain, pool, seed=5)
    assert sorted(order.tolist()) == list(range(30))
    assert pool.tolist() == list(range(30))  # the caller's pool stays as it was
    assert sorted(label_order(plain, np.array([3, 17, 29]), 0).tolist()) == [3, 17, 29]


@pytest.mark.parametrize("rule", ["usual", "random", "whole"])
def test_an_order_depends_on_its_seed_alone(plain, tmp_path, rule):
    for corpus in (plain, acted(tmp_path)[0]):
        pool = np.arange(len(corpus))
        first, again, *others = (label_order(corpus, pool, seed, rule).tolist() for seed in (0, 0, 1, 2, 3))
        assert first == again and sorted(first) == pool.tolist() and any(first != other for other in others)
        for count in (0, 1):
            assert label_order(corpus, pool[:count], 0, rule).tolist() == list(range(count))


@pytest.mark.parametrize("speakers", [2, 3, 5])
def test_rounds_of_categories_and_turns_of_speakers(tmp_path, speakers):
    """Each round holds a clip of each category, weak and strong in turn; until a speaker runs out each has its turn."""
    corpus, clips = acted(tmp_path, speakers, takes=16)
    for seed in range(3):
        order = [clips[i] for i in label_order(corpus, np.arange(len(clips)), seed)]
        categories = np.array([c for _, c, _ in order]).reshape(-1, 3)
        assert (np.sort(categories, 1) == [0, 1, 2]).all()
        assert len({tuple(row) for row in categories.tolist()}) > 1  # in changing order
        assert [t % 2 for _, _, t in order[:12]] == [0, 0, 0, 1, 1, 1] * 2
        cycle = [s for s, _, _ in order[:speakers]]
        assert sorted(cycle) == list(range(speakers)) and [s for s, _, _ in order[: 3 * speakers]] == cycle * 3
    firsts = {clips[label_order(corpus, np.arange(len(clips)), seed)[0]][0] for seed in range(40)}
    assert firsts == set(range(speakers))


def test_what_has_run_out_is_passed_over():
    """Of category 0 there is one clip; of category 1 speaker y has none, so x gives both."""
    category, speaker = np.array([0, 1, 1, 2, 2]), np.array(["x", "x", "x", "x", "y"])
    order = rounds(np.arange(10, 15), category, speaker, np.zeros(5), rng()) - 10
    assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
    assert sorted(category[order[:3]]) == [0, 1, 2] and sorted(category[order[3:]]) == [1, 2]


def test_whole_units_come_one_after_another(tmp_path, plain):
    """Speakers where they are known, else recordings."""
    corpus, _ = acted(tmp_path)
    for made, unit, count in (
        (corpus, corpus.recordings.speaker[corpus.segments.recording], 4),
        (plain, plain.segments.recording, 3),
    ):
        orders = [label_order(made, np.arange(len(made)), seed, "whole") for seed in range(40)]
        assert (unit[orders[0]][1:] != unit[orders[0]][:-1]).sum() == count - 1
        assert len({unit[order[0]] for order in orders}) == count
