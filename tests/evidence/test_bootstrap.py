"""Intervals from crossed draws: by hand, at their edges, and their coverage where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from emo_ssl.evidence import bootstrap
from emo_ssl.evidence.bootstrap import SEEDS_AND_UNITS, UNITS, Draws, Sample, holm, interval, simultaneous


def sample_of(values: np.ndarray, draws: Draws) -> Sample:
    """Differences (S, U) -> the mean over the drawn seeds and units, as evidence forms it."""
    share = draws.units / draws.units.sum(1, keepdims=True)
    return Sample(((draws.seeds @ values) * share).sum(1), values.mean(1), values.shape[1])


def test_draws_start_with_the_sample_itself_and_keep_their_size():
    draws = Draws.make(units=5, seeds=3, draws=20, seed=1)
    assert draws.units.shape == (21, 5)
    assert draws.seeds.shape == (21, 3)
    assert draws.units[0].tolist() == [1] * 5
    assert draws.seeds[0] == pytest.approx([1 / 3] * 3)
    assert (draws.units.sum(1) == 5).all()
    assert draws.seeds.sum(1) == pytest.approx(np.ones(21))
    again = Draws.make(5, 3, 20, 1)
    assert np.array_equal(draws.units, again.units) and np.array_equal(draws.seeds, again.seeds)
    assert Draws.make(0, 0, 4).units.shape == (5, 0)


def test_the_interval_is_the_formula_of_the_protocol():
    draws = np.array([0.3, 0.1, 0.2, 0.4, 0.6])
    found = interval(Sample(draws, np.array([0.2, 0.4]), units=4), level=0.9)
    half = stats.t.ppf(0.95, 3) * np.std(draws[1:], ddof=1) * np.sqrt(4 / 3)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(0.3 * stats.t.ppf(0.95, 3) / half, 3))


@pytest.mark.parametrize(("seeds", "units"), [(1, 24), (10, 1), (1, 1), (0, 24)])
def test_no_interval_from_a_single_replicate(seeds, units):
    values = np.random.default_rng(0).normal(size=(seeds, units))
    draws = Draws.make(units, max(seeds, 1), 50)
    by_seed = values.mean(1) if seeds else np.full(1, np.nan)
    found = interval(Sample(np.ones(51), by_seed, draws.units.shape[1]))
    assert found.estimate == 1
    assert not found.known and np.isnan(found.p)
    assert not any(b.known for b in simultaneous([Sample(np.ones(51), by_seed, units)]))
    assert np.isnan(bootstrap.widened_level(Sample(np.ones(51), by_seed, units)))


def test_an_effect_of_exactly_nothing_has_an_interval_of_no_width():
    for degrees in (UNITS, SEEDS_AND_UNITS):
        found = interval(Sample(np.zeros(101), np.zeros(4), 24), degrees=degrees)
        assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert interval(Sample(np.ones(101), np.ones(4), 24)).p == 0


def test_draws_in_which_a_measure_is_undefined_are_left_out():
    draws = np.array([0.3, 0.1, np.nan, 0.5])
    found = interval(Sample(draws, np.array([0.2, 0.4]), 9))
    assert found.high - 0.3 == pytest.approx(stats.t.ppf(0.975, 8) * np.std([0.1, 0.5], ddof=1) * np.sqrt(9 / 8))


def test_samples_add_up_draw_by_draw():
    a, b = (Sample(np.array(d), np.array(s), u) for d, s, u in (([1.0, 2], [1.0], 3), ([3.0, 5], [2.0], 2)))
    assert (b - a).draws.tolist() == [2, 3]
    mean = bootstrap.mean([a, b])
    assert (mean.draws.tolist(), mean.by_seed.tolist(), mean.units) == ([2, 3.5], [1.5], 2)


def test_both_rules_agree_where_seeds_do_not_differ():
    values = np.tile(np.random.default_rng(1).normal(size=24), (5, 1))
    sample = sample_of(values, Draws.make(24, 5, 500))
    assert bootstrap.spread(sample, UNITS) == pytest.approx(bootstrap.spread(sample, SEEDS_AND_UNITS))


def test_holm_by_hand():
    # .01 * 3, then max(.03, .02 * 2), then max(.04, .5)
    assert holm([0.02, 0.5, 0.01]) == pytest.approx([0.04, 0.5, 0.03])
    adjusted = holm([0.04, float("nan"), 0.04])
    assert adjusted[0] == adjusted[2] == pytest.approx(0.08)
    assert np.isnan(adjusted[1])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert holm([]) == []


def test_simultaneous_bounds_of_one_effect_are_its_own_and_of_many_are_wider():
    rng = np.random.default_rng(2)
    draws = Draws.make(24, 10, 4000)
    samples = [sample_of(rng.normal(size=(10, 24)), draws) for _ in range(12)]
    alone, single, many = interval(samples[0]), simultaneous(samples[:1])[0], simultaneous(samples)[0]
    assert single.high == pytest.approx(alone.high, rel=0.1)
    # twelve independent effects: the normal quantile of .95 ** (1 / 12) over that of .95 is 1.46
    assert (many.high - many.estimate) / (alone.high - alone.estimate) == pytest.approx(1.46, abs=0.15)
    assert simultaneous([]) == []
    copies = simultaneous([samples[0]] * 12)
    assert copies[3].high == pytest.approx(single.high)


def world(rng: np.random.Generator, seeds: int, units: int, parts: tuple[float, float, float]) -> np.ndarray:
    """Differences (S, U) around 0: variances of seeds, of units, and of what is left."""
    of_seeds, of_units, rest = np.sqrt(parts)
    left = rng.normal(0, rest, (seeds, units))
    return rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_units, (1, units)) + left


def coverage(seeds: int, units: int, parts: tuple[float, float, float], rule, repeats: int = 1000) -> float:
    rng = np.random.default_rng(0)
    hits = 0
    for repeat in range(repeats):
        found = rule(world(rng, seeds, units, parts), Draws.make(units, seeds, 300, repeat))
        hits += found.low <= 0 <= found.high
    return hits / repeats


def crossed(values: np.ndarray, draws: Draws, degrees: str = UNITS):
    return interval(sample_of(values, draws), degrees=degrees)


def both_degrees(values: np.ndarray, draws: Draws):
    return crossed(values, draws, SEEDS_AND_UNITS)


def seeds_alone(values: np.ndarray, draws: Draws):
    """What most papers do: the units are taken as given."""
    return crossed(values, Draws(np.ones_like(draws.units), draws.seeds))


ERROR = 3 * np.sqrt(0.95 * 0.05 / 1000)  # of a share of 1000


@pytest.mark.parametrize("parts", [(1.0, 2.4, 4.0), (2.0, 1.0, 4.0)])
def test_the_crossed_interval_covers_what_it_says_with_speakers_and_ten_seeds(parts):
    assert 0.93 - ERROR <= coverage(10, 24, parts, crossed) <= 0.97 + ERROR


def test_seeds_alone_cover_clearly_less():
    assert coverage(10, 24, (1.0, 2.4, 4.0), seeds_alone) < 0.9
    assert coverage(10, 24, (0.2, 2.4, 1.0), seeds_alone) < 0.7


@pytest.mark.parametrize(("seeds", "units"), [(5, 24), (3, 24), (10, 80), (5, 80)])
def test_few_seeds_that_differ_much_need_both_degrees_of_freedom(seeds, units):
    parts = (3.0, 0.5, 4.0)
    assert coverage(seeds, units, parts, both_degrees) >= 0.93 - ERROR
    assert coverage(seeds, units, parts, crossed) < coverage(seeds, units, parts, both_degrees)
