"""The synthetic corpus: its shape is the real one's, its truth is where it says, its bytes depend on the seed alone."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import astuple, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from emo_ssl.core.metrics import auroc
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, LABEL_NAMES, Csd
from emo_ssl.corpora.synthetic import SCENARIOS, SynthConfig, describe, geometry, write_corpus
from emo_ssl.corpora.synthetic import frames as voices
from emo_ssl.corpora.synthetic import labels as ratings
from emo_ssl.corpora.synthetic.defects import FIRST, KINDS, plan
from emo_ssl.corpora.synthetic.frames import COLUMN
from emo_ssl.corpora.synthetic.writer import fold_of, make_video
from emo_ssl.utils.io import UserError

SIGMAS = 4  # a bound that chance alone crosses about once in 16,000 times
CLUSTERING = 4  # variance of a mean over segments, relative to independent ones: about 1 + (12 - 1) * .28


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    return SimpleNamespace(folder=folder, summary=write_corpus(folder, SynthConfig()))


@pytest.fixture(scope="module")
def layouts():
    return [geometry.draw_geometry(np.random.default_rng([7, i])) for i in range(3293)]


@pytest.fixture(scope="module")
def rated():
    """Latents and labels of as many segments as the real corpus has, without voices."""
    latents, labels, video = [], [], []
    for i in range(3293):
        rng = np.random.default_rng([8, i])
        z = ratings.draw_latents(rng, len(geometry.draw_geometry(rng).starts))
        latents.append(z)
        labels.append(ratings.rate(rng, z))
        video += [i] * len(z)
    return SimpleNamespace(latents=np.concatenate(latents), labels=np.concatenate(labels), video=np.array(video))


@pytest.fixture(scope="module")
def clean_videos():
    return [make_video(SynthConfig(clean=True), i)[0] for i in range(24)]


# --- one seed, one corpus


def test_same_seed_same_bytes_whatever_the_number_of_threads(tmp_path):
    code = (
        "import sys; from emo_ssl.corpora.synthetic import *; write_corpus(sys.argv[1], SynthConfig(videos=5, seed=3))"
    )
    for name, threads in (("a", "1"), ("b", "2")):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True, env=environment)
    names = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert names == ["COVAREP.csd", "LABELS.csd", "folder.json", "folds.json", "synthetic.json"]
    for name in names:
        assert digest(tmp_path / "a" / name) == digest(tmp_path / "b" / name), name


def test_another_seed_another_corpus():
    assert not np.array_equal(*(make_video(SynthConfig(seed=s), 0)[0].intervals[:1] for s in (0, 1)))


def test_a_video_does_not_depend_on_how_many_there_are():
    few, many = (make_video(SynthConfig(videos=n), 11) for n in (12, 4000))
    assert few[0].id == many[0].id
    assert np.array_equal(few[0].features, many[0].features, equal_nan=True)
    assert np.array_equal(few[1], many[1])


def test_scenarios_share_labels_and_differ_in_sound_alone():
    videos = {name: make_video(SynthConfig(scenario=name, clean=True), 1)[0] for name in SCENARIOS}
    for name, video in videos.items():
        assert np.array_equal(video.labels, videos["null"].labels)
        assert np.array_equal(video.intervals, videos["null"].intervals)
        assert np.array_equal(video.features, videos["null"].features, equal_nan=True) == (name == "null")


def test_frozen():
    """If this fails, the generator writes another corpus than before: raise GENERATOR, or take the change back."""
    video, latents = make_video(SynthConfig(clean=True), 0)
    assert (video.id, video.features.shape, len(video.labels)) == FROZEN[:3]
    assert video.labels.sum() == pytest.approx(FROZEN[3], abs=1e-9)
    assert latents.sum() == pytest.approx(FROZEN[4], abs=1e-6)
    assert np.abs(video.features[:, 11:36]).mean(dtype=np.float64) == pytest.approx(FROZEN[5], abs=1e-5)


FROZEN = ("VRPj6rum11Q", (7054, 74), 6, 8.083333333, -18.2057671, 0.589213)


# --- the folder


def test_a_finished_folder_is_returned_and_another_configuration_refused(corpus):
    before = {p.name: p.stat().st_mtime_ns for p in corpus.folder.iterdir()}
    assert write_corpus(corpus.folder, SynthConfig()) == corpus.summary
    assert {p.name: p.stat().st_mtime_ns for p in corpus.folder.iterdir()} == before
    with pytest.raises(UserError, match=r"another configuration.*seed is 0 there, 1 here"):
        write_corpus(corpus.folder, SynthConfig(seed=1))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"scenario": "mars"}, "null, static, dynamics"),
        ({"share": 0.3}, "one of 0, 0.5 and 1"),
        ({"videos": 3}, "at least 4"),
        ({"seed": -1}, "from 0"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(wrong, said):
    with pytest.raises(UserError, match=said):
        SynthConfig(**wrong)


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match="disk is full"):
        write_corpus(tmp_path / "new", SynthConfig())
    assert not (tmp_path / "new").exists()


def test_an_interrupt_leaves_nothing_half_written(tmp_path, monkeypatch):
    def interrupted(config, index):
        if index == 3:
            raise KeyboardInterrupt
        return make_video(config, index)

    with monkeypatch.context() as patch:
        patch.setattr("emo_ssl.corpora.synthetic.writer.make_video", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_corpus(tmp_path / "new", SynthConfig(videos=5))
    assert not (tmp_path / "new").exists()
    assert write_corpus(tmp_path / "new", SynthConfig(videos=5))["counts"]["videos"] == 5


# --- geometry against the real corpus


def check_quantiles(table, values, clustering=1.0):
    """At each tabled value, the share of drawn values up to it is the tabled share, within sampling error."""
    for share, value in table:
        if 0 < share < 1:
            found = np.mean(values <= value * (1 + 1e-9))
            assert abs(found - share) < SIGMAS * np.sqrt(clustering * share * (1 - share) / len(values)), (value, found)


def test_segments_have_the_real_durations_and_counts(layouts):
    counts = np.array([len(layout.starts) for layout in layouts])
    check_quantiles(geometry.COUNTS, counts)
    assert np.mean(counts == 1) == pytest.approx(0.12, abs=0.02)
    assert counts.mean() == pytest.approx(7.06, abs=SIGMAS * counts.std() / np.sqrt(len(counts)))
    durations = np.concatenate([layout.ends - layout.starts for layout in layouts])
    check_quantiles(geometry.DURATIONS, durations, CLUSTERING)
    assert durations.min() >= 0.3


def test_neighbours_overlap_and_stand_apart_as_in_the_real_corpus(layouts):
    gaps = np.concatenate([layout.starts[1:] - layout.ends[:-1] for layout in layouts])
    overlapping = gaps < -1e-9
    assert overlapping.mean() == pytest.approx(0.682, abs=SIGMAS * np.sqrt(CLUSTERING * 0.682 * 0.318 / len(gaps)))
    positive = gaps[gaps > 1e-9]
    check_quantiles(geometry.GAPS, positive, CLUSTERING)
    # overlaps are cut where they would swallow a short neighbour, so their median is a little below the real 0.67 s
    assert np.median(-gaps[overlapping]) == pytest.approx(0.67, abs=0.05)
    assert (-gaps).max() == pytest.approx(1.0)
    for layout in layouts:
        assert (np.diff(layout.starts) > 0).all() and (np.diff(layout.ends) > 0).all()


def test_first_starts_row_order_and_length_of_videos(layouts):
    first = np.array([layout.starts[0] for layout in layouts])
    error = SIGMAS * np.sqrt(0.073 * 0.927 / len(first))
    assert np.mean(first < 0) == pytest.approx(0.0726, abs=error + 0.005)
    assert first.min() == pytest.approx(-0.4875, abs=0.001)
    assert np.median(first) == pytest.approx(0.321, abs=0.25)
    unsorted = np.mean([(np.diff(layout.starts[layout.rows]) < 0).any() for layout in layouts])
    assert unsorted == pytest.approx(0.40, abs=0.05)
    seconds = np.array([layout.frames for layout in layouts]) / 100
    last = np.array([layout.ends[-1] for layout in layouts])
    assert seconds.mean() == pytest.approx(141.1, abs=SIGMAS * seconds.std() / np.sqrt(len(seconds)))
    assert seconds.sum() / last.sum() == pytest.approx(1.89, abs=0.1)
    assert (last < seconds).all()


def test_territories_cover_the_video_and_follow_the_segments(layouts):
    for i, layout in enumerate(layouts[:200]):
        edges, owner = geometry.territories(np.random.default_rng(i), layout)
        assert edges[0] == 0 and edges[-1] == layout.frames
        assert (np.diff(edges) > 0).all()
        middle = (np.maximum(layout.starts, 0) + layout.ends) / 2 * 100
        assert (np.diff(owner) >= 1).all()
        inside = (edges[owner] <= middle) & (middle < edges[owner + 1])
        assert inside.mean() > 0.7, "most midpoints lie in their segment's own stretch"
        assert (np.minimum(edges[owner + 1], layout.ends * 100) > np.maximum(edges[owner], layout.starts * 100)).all()


def test_folds_keep_the_real_proportions_at_every_size():
    assert {fold_of(i) for i in range(4)} == {"train", "valid", "test"}
    for n in (40, 400, 3293):
        folds = [fold_of(i) for i in range(n)]
        for fold, share in (("train", 2249 / 3295), ("valid", 300 / 3295), ("test", 678 / 3295), (None, 68 / 3295)):
            assert abs(folds.count(fold) - share * n) < 3


# --- labels


def intraclass_correlation(values, groups):
    """One-way analysis of variance: how alike two segments of one video are."""
    _, groups, counts = np.unique(groups, return_inverse=True, return_counts=True)
    means = np.bincount(groups, values) / counts
    n, g = len(values), len(counts)
    size = (n - (counts**2).sum() / n) / (g - 1)
    between = (counts * (means - values.mean()) ** 2).sum() / (g - 1)
    within = ((values - means[groups]) ** 2).sum() / (n - g)
    return (between - within) / (between + (size - 1) * within)


def test_labels_are_means_of_three_or_four_raters(rated):
    intensities = rated.labels[:, 1:]
    assert intensities.min() == 0 and intensities.max() <= 3
    thirds, quarters = (np.abs(intensities * k - np.rint(intensities * k)).max(1) < 1e-9 for k in (3, 4))
    assert (thirds | quarters).all()
    assert 0.01 < 1 - thirds.mean() < 0.04
    assert np.abs(rated.labels[:, 0]).max() <= 3


def test_emotions_are_as_frequent_as_in_the_real_corpus(rated):
    for e, name in enumerate(EMOTIONS):
        share, values = ratings.POSITIVE[name], rated.labels[:, 1 + e]
        error = SIGMAS * np.sqrt(CLUSTERING * share * (1 - share) / len(values))
        assert np.mean(values > 0) == pytest.approx(share, abs=error), name
        assert np.mean(values[values > 0] <= 1) > 0.6, "most positives are weak"


def test_labels_of_a_video_resemble_each_other(rated):
    for e in range(6):
        assert 0.2 < intraclass_correlation(rated.labels[:, 1 + e], rated.video) < 0.35


def test_emotions_correlate_and_sentiment_follows_them(rated):
    table = np.corrcoef(rated.labels.T)
    happy, sad, anger, disgust = (LABEL_NAMES.index(name) for name in ("happy", "sad", "anger", "disgust"))
    assert table[0, happy] > 0.5 and table[0, anger] < -0.3
    assert max(table[happy, sad], table[happy, anger], table[happy, disgust]) < -0.1
    assert table[anger, disgust] > 0.15


def test_the_oracle_is_what_quadrature_says(rated):
    for e, expected in enumerate(ratings.oracle_auroc().values()):
        present = rated.labels[:, 1 + e] > 0
        error = np.sqrt(CLUSTERING * expected * (1 - expected) / min(present.sum(), (~present).sum()))
        assert auroc(rated.latents[:, e], present) == pytest.approx(expected, abs=SIGMAS * error)


def test_no_listener_beats_chance_in_the_null_scenario(tmp_path):
    summary = write_corpus(tmp_path / "null", SynthConfig(videos=8, scenario="null", clean=True))
    for score in summary["oracle_auroc"].values():
        assert score["expected"] == 0.5 and score["realised"] in (0.5, None)


# --- voices


def test_features_have_their_names_ranges_and_gates(clean_videos):
    for video in clean_videos:
        x = video.features
        assert x.shape[1] == len(FEATURE_NAMES) and x.dtype == np.float32
        voiced = x[:, COLUMN["VUV"]] == 1
        assert set(np.unique(x[:, COLUMN["VUV"]])) <= {0, 1}
        assert x[:, COLUMN["F0"]].min() >= 60 and x[:, COLUMN["F0"]].max() <= 400
        for name in voices.GATED:
            assert (x[~voiced, COLUMN[name]] == 0).all()
        infinite = np.isneginf(x[:, COLUMN["peakSlope"]])
        assert not infinite[voiced].any()
        assert np.isfinite(np.delete(x, COLUMN["peakSlope"], 1)).all()
        assert np.allclose(np.diff(video.times[:, 0]), 0.01) and np.allclose(
            video.times[:, 1] - video.times[:, 0], 0.01
        )
    some = np.mean([np.isneginf(v.features[:, COLUMN["peakSlope"]]).any() for v in clean_videos])
    assert abs(some - 0.7) < SIGMAS * np.sqrt(0.7 * 0.3 / len(clean_videos))


def test_features_are_centred_and_spread_as_the_real_videos_are(clean_videos):
    """In units of the real spread between videos; .3 is allowed for clipping and gating beside sampling error."""
    means = np.array([np.ma.masked_invalid(v.features[:, :36]).mean(0).filled(np.nan) for v in clean_videos])
    off = (means.mean(0) - voices.REAL_MEANS) / voices.REAL_SPREADS
    allowed = SIGMAS / np.sqrt(len(means)) + 0.3
    assert (np.abs(off) < allowed).all()
    ratio = means.std(0, ddof=1) / voices.REAL_SPREADS
    assert ratio.min() > 0.4 and ratio.max() < 2
    assert np.median(ratio) == pytest.approx(1, abs=0.2)


def test_pauses_are_quiet_and_cepstra_are_smooth_in_time(clean_videos):
    x = clean_videos[0].features
    loudness = x[:, COLUMN["MCEP_0"]]
    runs = np.convolve(x[:, COLUMN["VUV"]], np.ones(25), "same") == 0  # a quarter of a second without voice
    assert loudness[runs].mean() < loudness[~runs].mean() - 1.5
    for name in ("MCEP_1", "MCEP_5", "MCEP_12"):
        values = x[:, COLUMN[name]]
        assert np.corrcoef(values[1:], values[:-1])[0, 1] > 0.7


def test_every_group_of_factors_has_the_stated_share_of_variance():
    """Factors have variance 1 and are uncorrelated, and squared loadings sum to the share: then the share is exact."""
    rng, lang = np.random.default_rng(0), voices.language()
    phones = voices.phone_sequence(rng, lang, 400_000, 1.0, voices.PAUSE_CHANCE)
    assert np.mean(phones == voices.PAUSE) == pytest.approx(voices.PAUSE_SHARE, abs=0.03)
    assert np.abs(np.cov(voices.glide(lang.targets[phones]).T) - np.eye(12)).max() < 0.12
    assert np.abs(np.cov(voices.wander(rng, 400_000, 8, voices.RESIDUAL_KNOT).T) - np.eye(8)).max() < 0.05
    for group, matrix in lang.loadings.items():
        assert np.delete((matrix**2).sum(0), COLUMN["F0"]) == pytest.approx(voices.SHARES[group])
    assert sum(voices.SHARES.values()) == pytest.approx(1)
    shares = voices.SHARES
    assert shares["phones"] > shares["speaker"] + shares["channel"] > shares["rhythm"] > shares["static"]


def test_speaker_and_channel_outweigh_static_emotion_in_the_frames():
    """Measured: variance between videos against the variance that the static emotion adds, over 13 cepstra."""
    columns = slice(COLUMN["MCEP_1"], COLUMN["MCEP_13"] + 1)
    totals, between, emotion = [], [], []
    for i in range(12):
        plain, loud = (
            make_video(SynthConfig(scenario=w, clean=True), i)[0].features[:, columns] for w in ("null", "static")
        )
        totals.append(plain.var(0))
        between.append(plain.mean(0))
        emotion.append((loud - plain).var(0) + (loud - plain).mean(0) ** 2)
    between = np.var(between, axis=0, ddof=1)
    total = np.mean(totals, 0) + between
    assert np.mean(between / total) > 5 * np.mean(np.mean(emotion, 0) / total) > 0


def test_the_rate_of_a_rhythm_is_invisible_in_any_single_frame():
    rng = np.random.default_rng(1)
    stretches = voices.Stretches(
        np.array([0, 900, 2000, 2600]), rng.standard_normal((3, 6)), rng.standard_normal((3, 6))
    )
    lang = voices.language()
    nuisance, emotional = (voices.rotations(np.random.default_rng(5), lang, stretches, share, 1.0) for share in (0, 1))
    radius = [np.hypot(w[:, :12], w[:, 12:]) for w in (nuisance, emotional)]
    assert np.allclose(*radius, atol=1e-5)
    assert not np.allclose(nuisance, emotional, atol=0.5)


def test_half_the_share_leaves_half_of_the_rhythms_to_the_nuisance():
    rng = np.random.default_rng(2)
    stretches = voices.Stretches(np.array([0, 10, 20]), rng.standard_normal((2, 6)), rng.standard_normal((2, 6)))
    none, half, full = (voices.carriers(stretches, share) for share in (0, 0.5, 1))
    assert np.array_equal(half[:, :6], full[:, :6]) and np.array_equal(half[:, 6:], none[:, 6:])
    assert np.array_equal(full, np.concatenate([stretches.latents, -stretches.latents], 1))
    silent = replace(stretches, latents=np.zeros((2, 6)))
    assert np.array_equal(voices.carriers(silent, 0), none)


def test_channels_of_valid_and_test_videos_are_shifted_in_the_channel_scenario():
    index = {fold: next(i for i in range(20) if fold_of(i) == fold) for fold in ("train", "test")}
    for fold, i in index.items():
        usual, shifted = (make_video(SynthConfig(scenario=w, clean=True), i)[0].features for w in ("mixed", "channel"))
        column = COLUMN["MCEP_3"]
        difference = shifted[:, column] - usual[:, column]
        assert np.ptp(difference) < 1e-4, "a shift is constant over the video"
        assert (abs(difference.mean()) > 0.01) == (fold == "test")


# --- where emotion can be heard: the scenarios, seen by two simple listeners


VIDEOS = 90
NOT_LINEAR = ("F0", "VUV", *voices.GATED, "creak", "peakSlope", *voices.MUTE)


def best_filter(wanted, covariance):
    """The linear estimate of a group's factors by someone who knows the generator, (74, factors)."""
    lang = voices.language()
    use = np.flatnonzero(~np.isin(FEATURE_NAMES, NOT_LINEAR))
    weights = np.zeros((len(FEATURE_NAMES), len(lang.loadings[wanted])))
    weights[use] = (
        np.linalg.solve(covariance[np.ix_(use, use)], lang.loadings[wanted][:, use].T) / lang.scale[use, None]
    )
    return weights


def rhythm_filter():
    """Rotations out of single frames, against all else that moves."""
    lang = voices.language()
    moving = sum(lang.loadings[g].T @ lang.loadings[g] for g in ("phones", "rhythm", "residual"))
    return best_filter("rhythm", moving + voices.SHARES["noise"] * np.eye(74) + 0.13 * np.outer(lang.pause, lang.pause))


def level_filter():
    """Static emotion out of a segment's mean, against speakers, channels and what is left of 60 phones."""
    lang = voices.language()
    offsets = [lang.loadings[g].T @ lang.loadings[g] for g in ("speaker", "channel")]
    between = sum((1 - voices.IDIOSYNCRATIC) * o + voices.IDIOSYNCRATIC * np.diag(np.diag(o)) for o in offsets)
    phones = lang.loadings["phones"].T @ lang.loadings["phones"] / 60
    return best_filter("static", between + phones + 0.02 * np.outer(lang.pause, lang.pause) + 1e-3 * np.eye(74))


def box(signal, width):
    """Running mean over `width` frames, (T, K)."""
    total = np.concatenate([np.zeros((1, signal.shape[1])), np.cumsum(signal, 0, dtype=np.float64)])
    i, half = np.arange(len(signal)), width // 2
    low, high = np.maximum(i - half, 0), np.minimum(i + half + 1, len(signal))
    return (total[high] - total[low]) / (high - low)[:, None]


def listen(scenario):
    """Of every segment: means and deviations (N, 148), rates of the rotations (N, 12), labels (N, 6), video (N,)."""
    config, weights = SynthConfig(scenario=scenario, clean=True, seed=5), rhythm_filter()
    statistics, rates, labels, owner = [], [], [], []
    for i in range(VIDEOS):
        video, _ = make_video(config, i)
        x = np.where(np.isfinite(video.features), video.features, 0)
        signal = (x - voices.language().centre).astype(np.float32) @ weights.astype(np.float32)
        signal = box(signal, 7) - box(signal, 121)
        turning = signal[:, :12] + 1j * signal[:, 12:]
        for (start, end), label in zip(video.intervals, video.labels, strict=True):
            cut = slice(max(int(start * 100), 0), int(end * 100))
            statistics.append(np.concatenate([x[cut].mean(0), x[cut].std(0)]))
            rates.append(np.angle((turning[cut][4:] * turning[cut][:-4].conj()).sum(0)))
            labels.append(label[1:])
            owner.append(i)
    return tuple(map(np.array, (statistics, rates, labels, owner)))


def above_chance(features, labels, owner, penalty):
    """How many standard deviations the macro-AUROC on held-out videos lies above chance.

    Chance is simulated: the same fit to labels of people who were never in the videos, clustered by video alike.
    """
    strangers = []
    for k in range(20):
        rng = np.random.default_rng([99, k])
        latents = [ratings.draw_latents(rng, n) for n in np.unique(owner, return_counts=True)[1]]
        strangers.append(ratings.rate(rng, np.concatenate(latents))[:, 1:])
    present = np.concatenate([labels, *strangers], 1) > 0
    train = owner % 3 != 0
    scaled = StandardScaler().fit(features[train]).transform(features)
    scores = Ridge(penalty).fit(scaled[train], present[train]).predict(scaled[~train])
    each = [auroc(scores[:, j], present[~train, j]) for j in range(present.shape[1])]
    macro = np.nanmean(np.reshape(each, (-1, 6)), 1)
    return (macro[0] - macro[1:].mean()) / macro[1:].std(ddof=1)


@pytest.mark.parametrize(
    ("scenario", "levels_tell", "rhythms_tell"),
    [("null", False, False), ("static", True, False), ("dynamics", False, True)],
)
def test_emotion_is_heard_where_the_scenario_puts_it_and_nowhere_else(scenario, levels_tell, rhythms_tell):
    statistics, rates, labels, owner = listen(scenario)
    found = {
        "levels": above_chance(statistics[:, :74] @ level_filter(), labels, owner, penalty=1.0),
        "rhythms": above_chance(rates, labels, owner, penalty=1.0),
    }
    for name, tells in (("levels", levels_tell), ("rhythms", rhythms_tell)):
        assert found[name] > SIGMAS if tells else abs(found[name]) < SIGMAS, found
    if not levels_tell:  # nor do means and deviations of all features
        assert abs(above_chance(statistics, labels, owner, penalty=300.0)) < SIGMAS


# --- planted defects


def test_forty_videos_hold_every_kind_of_defect(corpus):
    planted = corpus.summary["planted"]
    assert set(planted) == {*KINDS, "typo root", "unsorted label rows"}
    for seed in range(50):
        assert {plan(seed, i) for i in range(FIRST)} - {None} == set(KINDS)
        assert not any(plan(seed, i) for i in range(8)), "the first videos stay whole"
    rates = [plan(0, i) is not None for i in range(FIRST, 4000)]
    assert 0.02 < np.mean(rates) < 0.05


def test_every_planted_defect_is_in_the_files(corpus):
    where = {kind: ids[0] for kind, ids in corpus.summary["planted_in"].items()}
    folds = json.loads((corpus.folder / "folds.json").read_text())
    with Csd(corpus.folder / "COVAREP.csd") as sound, Csd(corpus.folder / "LABELS.csd") as table:
        assert sound.root == "COAVAREP" and sound.names == FEATURE_NAMES and table.names == LABEL_NAMES
        x = sound.read(where["non-finite values"])[0]
        assert (~np.isfinite(np.delete(x, COLUMN["peakSlope"], 1))).sum() == 20
        assert sound.shape(where["43 columns"])[1] == 43
        assert where["labelled video without frames"] not in sound.keys
        assert where["labelled video without frames"] in table.keys
        assert where["acoustic video without labels"] in sound.keys
        assert where["acoustic video without labels"] not in table.keys
        named = {video for fold in folds.values() for video in fold}
        assert where["video in no fold"] not in named
        assert f"absent-{where['fold video absent']}" in named - set(sound.keys) - set(table.keys)
        assert (np.diff(sound.intervals(where["unsorted acoustic rows"])[:, 0]) < 0).any()
        assert sound.dtype(where["float64 features"]) == np.float64

        def rows(kind):
            labels, times = table.read(where[kind])
            end = sound.intervals(where[kind])[:, 1].max()
            return labels, times, end

        labels, times, end = rows("interval wholly beyond the end")
        assert (times[:, 0] > end).sum() == 1
        labels, times, end = rows("interval partly beyond the end")
        assert ((times[:, 0] < end) & (times[:, 1] > end)).sum() == 1
        labels, times, end = rows("segment under 0.3 s")
        assert (times[:, 1] - times[:, 0] < 0.3).sum() == 1
        labels, times, end = rows("zero-length interval")
        assert (times[:, 1] == times[:, 0]).sum() == 1
        labels, times, end = rows("reversed interval")
        assert (times[:, 1] < times[:, 0]).sum() == 1
        labels, times, end = rows("duplicated segment")
        assert len(np.unique(times, axis=0)) == len(times) - 1
        labels, times, end = rows("value above 3")
        assert (labels[:, 1:] > 3).sum() == 1
        labels, times, end = rows("NaN label")
        assert np.isnan(labels).all(1).sum() == 1


def test_clean_means_the_same_voices_without_damage(corpus, tmp_path):
    summary = write_corpus(tmp_path / "clean", SynthConfig(clean=True))
    assert summary["planted"] == {}
    with Csd(tmp_path / "clean" / "COVAREP.csd") as clean, Csd(corpus.folder / "COVAREP.csd") as damaged:
        assert clean.root == "COVAREP" and len(clean.keys) == 40
        hit = {video for ids in corpus.summary["planted_in"].values() for video in ids}
        for video in [v for v in damaged.keys if v not in hit][:3]:
            assert np.array_equal(clean.read(video)[0], damaged.read(video)[0], equal_nan=True)
        for video in clean.keys:
            assert clean.shape(video)[1] == 74 and clean.dtype(video) == np.float32
    with Csd(tmp_path / "clean" / "LABELS.csd") as table:
        for video in table.keys:
            labels, times = table.read(video)
            assert np.isfinite(labels).all() and labels[:, 1:].max() <= 3
            assert (np.diff(times[:, 0]) > 0).all() and (times[:, 1] - times[:, 0] > 0.3).all()


def test_the_summary_counts_what_was_written_and_reads_well(corpus):
    with Csd(corpus.folder / "COVAREP.csd") as sound, Csd(corpus.folder / "LABELS.csd") as table:
        assert corpus.summary["counts"]["frames"] == sum(sound.shape(key)[0] for key in sound.keys)
        assert corpus.summary["counts"]["label rows"] == sum(table.shape(key)[0] for key in table.keys)
        assert any(key.startswith("-") for key in sound.keys) and any(key.isdigit() for key in sound.keys)
    lines = describe(corpus.summary)
    assert "happy" in lines and "43 columns" in lines


# --- the page that gives the account


def table_rows(text, name):
    """The body of a named table: first cell -> the other cells."""
    body = text.split(f":name: {name}\n")[1].split(":::")[0]
    lines = [line for line in body.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells[2:]}


def test_the_page_states_the_knobs_and_shares_of_the_code():
    page = (Path(__file__).parents[2] / "book" / "synthetic.md").read_text(encoding="utf-8")
    scenarios = {name: tuple(map(float, row[:5])) for name, row in table_rows(page, "synthetic-scenarios").items()}
    assert scenarios == {name: astuple(scenario) for name, scenario in SCENARIOS.items()}
    assert {name: float(row[0]) for name, row in table_rows(page, "synthetic-shares").items()} == voices.SHARES
