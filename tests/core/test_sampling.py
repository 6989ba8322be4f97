import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments

from emo_ssl.core.batches import bucketed_batches, budget, label_order, rounds, windows
from emo_ssl.utils.io import UserError


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
    return write_segments(
        folder, recordings, segments, category_names=[f"category {c}" for c in range(categories)]
    ), clips


# --- budgets


def test_budgets_nest(plain):
    order = label_order(plain, plain.where("train"), seed=5)
    for small, large in ((0, 1), (1, 7), (7, 30)):
        assert budget(order, small).tolist() == budget(order, large)[:small].tolist()
    assert len(budget(order, 0)) == 0 and sorted(budget(order, 30).tolist()) == list(range(30))


@pytest.mark.parametrize("size", [-1, 31])
def test_a_budget_beyond_the_pool_is_refused(plain, size):
    with pytest.raises(UserError, match=f"a budget of {size} labels, but the training pool holds 30"):
        budget(label_order(plain, np.arange(30), 0), size)


def test_an_order_depends_on_its_seed_alone(plain):
    pool = plain.where("train")
    first, again, other = (label_order(plain, pool, seed).tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert pool.tolist() == list(range(30))  # the caller's pool stays as it was


def test_an_order_takes_from_its_pool_alone(plain):
    pool = np.array([3, 17, 29])
    assert sorted(label_order(plain, pool, 0).tolist()) == pool.tolist()


@pytest.mark.parametrize("count", [0, 1])
def test_a_pool_of_none_or_one(plain, tmp_path, count):
    corpus, _ = acted(tmp_path)
    for prepared in (plain, corpus):
        assert label_order(prepared, np.arange(count), 0).tolist() == list(range(count))


def test_every_segment_has_the_same_chance_to_come_first(plain):
    draws, pool = 800, np.arange(4)
    first = np.array([label_order(plain, pool, seed)[0] for seed in range(draws)])
    counts = np.bincount(first, minlength=4)
    assert (abs(counts - draws / 4) < 4 * np.sqrt(draws * 0.25 * 0.75)).all()


# --- rounds


@pytest.mark.parametrize("seed", range(5))
def test_each_round_holds_one_clip_of_each_category(tmp_path, seed):
    prepared, clips = acted(tmp_path)
    order = label_order(prepared, np.arange(48), seed)
    assert sorted(order.tolist()) == list(range(48))
    categories = np.array([clips[i][1] for i in order]).reshape(16, 3)
    assert (np.sort(categories, 1) == [0, 1, 2]).all()
    assert len({tuple(row) for row in categories.tolist()}) > 1  # in changing order


@pytest.mark.parametrize("speakers", [2, 3, 4, 5])
def test_speakers_take_turns(tmp_path, speakers):
    """Until a speaker runs out of a category each has its turn, so counts differ by one at most."""
    prepared, clips = acted(tmp_path, speakers, takes=6)
    order = label_order(prepared, np.arange(len(clips)), 0)[: 3 * speakers]
    for size in range(1, len(order) + 1):
        counts = np.bincount([clips[i][0] for i in order[:size]], minlength=speakers)
        assert counts.max() - counts.min() <= 1
    cycle = [clips[i][0] for i in order[:speakers]]
    assert [clips[i][0] for i in order] == cycle * 3


def test_the_first_speaker_is_drawn(tmp_path):
    prepared, clips = acted(tmp_path)
    assert len({clips[label_order(prepared, np.arange(48), seed)[0]][0] for seed in range(40)}) == 4


def test_rounds_alternate_between_weak_and_strong(tmp_path):
    """Eight rounds of three give each of four speakers six turns: with eight takes of a kind nobody runs out."""
    prepared, clips = acted(tmp_path, takes=16)
    order = label_order(prepared, np.arange(len(clips)), 0)[:24]
    strong = np.array([clips[i][2] % 2 for i in order]).reshape(8, 3)
    assert strong.tolist() == [[0, 0, 0], [1, 1, 1]] * 4


def test_orders_of_categories_nest_too(tmp_path):
    prepared, _ = acted(tmp_path)
    one, two = (label_order(prepared, np.arange(48), 7) for _ in range(2))
    assert one.tolist() == two.tolist() != label_order(prepared, np.arange(48), 8).tolist()


def test_a_category_that_has_run_out_is_passed_over():
    pool = np.array([10, 11, 12, 13, 14])
    category = np.array([0, 1, 1, 2, 2])
    order = rounds(pool, category, np.array(["x"] * 5), np.zeros(5), np.random.default_rng(0))
    of = dict(zip(pool.tolist(), category.tolist(), strict=True))
    assert sorted(order.tolist()) == pool.tolist()
    assert sorted(of[i] for i in order[:3].tolist()) == [0, 1, 2]
    assert sorted(of[i] for i in order[3:].tolist()) == [1, 2]


def test_a_speaker_without_clips_of_a_category_is_passed_over():
    """Speaker y has no clip of category 1: x must give both."""
    category, speaker = np.array([0, 0, 1, 1]), np.array(["x", "y", "x", "x"])
    order = rounds(np.arange(4), category, speaker, np.zeros(4), np.random.default_rng(0))
    assert sorted(order.tolist()) == [0, 1, 2, 3]
    assert sorted(category[order[:2]].tolist()) == sorted(category[order[2:]].tolist()) == [0, 1]


# --- windows


@pytest.mark.parametrize("length", [1, 7, 100, 101, 5000])
def test_windows_cover_every_frame_of_their_videos_and_no_other(tmp_path, length):
    lengths = [0, 1, 6, 7, 8, 99, 100, 101, 199, 200, 201, 250, 0]
    prepared = write_segments(tmp_path, [Video(str(i), noise(n)) for i, n in enumerate(lengths)])
    recordings = np.array([12, 3, 11, 0, 5, 6, 7, 8, 9, 10, 1, 2])
    cut = windows(prepared, recordings, length)
    for recording, total in enumerate(lengths):
        own = np.flatnonzero(cut.recording == recording)
        if recording not in recordings or total == 0:
            assert len(own) == 0
            continue
        assert len(own) == -(-total // length)
        assert set(cut.length[own].tolist()) == {min(total, length)}
        start = cut.first[own] - prepared.recordings.offset[recording]
        seen = np.concatenate([np.arange(s, s + n) for s, n in zip(start, cut.length[own], strict=True)])
        assert sorted(set(seen.tolist())) == list(range(total))
        strides = np.diff(start)
        assert not len(strides) or strides.max() - strides.min() <= 1
    assert len(cut) == sum(-(-lengths[v] // length) for v in recordings)


def test_windows_by_hand(tmp_path):
    prepared = write_segments(tmp_path, [Video("a", noise(4)), Video("b", noise(10))])
    cut = windows(prepared, np.array([1]), 4)
    assert (cut.recording.tolist(), cut.first.tolist(), cut.length.tolist()) == ([1, 1, 1], [4, 7, 10], [4, 4, 4])


@pytest.mark.parametrize("recordings", [[], [0], [0, 0]])
def test_no_window_of_no_frames(tmp_path, recordings):
    prepared = write_segments(tmp_path, [Video("a", noise(0))])
    cut = windows(prepared, np.array(recordings, np.int64), 4)
    assert len(cut) == len(cut.recording) == len(cut.length) == 0
    assert prepared.gather(cut.first, cut.length)[0].shape == (0, 0, 2)


def test_windows_gather_the_frames_of_their_video(tmp_path):
    prepared = write_segments(tmp_path, [Video("a", noise(3)), Video("b", noise(10, seed=1))])
    cut = windows(prepared, np.array([0, 1]), 4)
    frames, valid = prepared.gather(cut.first, cut.length)
    assert valid.sum(1).tolist() == [3, 4, 4, 4]
    np.testing.assert_array_equal(frames[0, :3], prepared.recording(0))
    np.testing.assert_array_equal(frames[3], prepared.recording(1)[6:])


# --- batches


def padding(lengths, batches):
    return sum(int(lengths[batch].max() * len(batch) - lengths[batch].sum()) for batch in batches)


@pytest.mark.parametrize("size", [1, 2, 16, 999])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_an_epoch_holds_each_item_once(count, size):
    rng = np.random.default_rng(0)
    batches = bucketed_batches(rng.integers(1, 500, count), size, rng)
    assert sorted(i for batch in batches for i in batch.tolist()) == list(range(count))
    assert all(0 < len(batch) <= size for batch in batches)
    assert len(batches) == -(-count // size)


def test_epochs_differ_and_a_seed_repeats_them():
    lengths = np.random.default_rng(0).integers(1, 500, 200)
    rng = np.random.default_rng(1)
    first, second = (bucketed_batches(lengths, 16, rng) for _ in range(2))
    again = bucketed_batches(lengths, 16, np.random.default_rng(1))
    assert [b.tolist() for b in first] == [b.tolist() for b in again]
    companions = [{frozenset(b.tolist()) for b in epoch} for epoch in (first, second)]
    assert len(companions[0] & companions[1]) < len(first) / 2  # most items meet others
    longest = [[int(lengths[b].max()) for b in epoch] for epoch in (first, second)]
    assert longest[0] != sorted(longest[0]) and longest[0] != longest[1]  # and the lengths come in another order


def test_items_of_similar_length_meet():
    """Durations as in MOSEI, log-normal around 6.5 s: a tenth of the padding of random batches at most."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(np.log(650), 0.57, 2000)).astype(np.int64)
    bucketed = bucketed_batches(lengths, 32, rng)
    shuffled = np.array_split(rng.permutation(2000), len(bucketed))
    assert padding(lengths, bucketed) < 0.1 * padding(lengths, shuffled)
    assert padding(lengths, bucketed) < 0.1 * lengths.sum()


def test_random_order_ignores_categories(tmp_path):
    prepared, _ = acted(tmp_path)
    pool = np.arange(48)
    assert label_order(prepared, pool, 3, "random").tolist() == np.random.default_rng(3).permutation(pool).tolist()
    assert label_order(prepared, pool, 3, "random").tolist() != label_order(prepared, pool, 3).tolist()


def test_whole_units_come_one_after_another(tmp_path):
    prepared, _ = acted(tmp_path)
    pool = np.arange(48)
    order = label_order(prepared, pool, 3, "whole")
    speakers = prepared.recordings.speaker[prepared.segments.recording[order]]
    assert sorted(order.tolist()) == pool.tolist()
    assert (speakers[1:] != speakers[:-1]).sum() == 4 - 1
    firsts = {
        prepared.recordings.speaker[prepared.segments.recording[label_order(prepared, pool, s, "whole")[0]]]
        for s in range(40)
    }
    assert len(firsts) == 4
