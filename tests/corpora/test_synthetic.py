"""The synthetic corpus: its shape is the real one's, its truth is where it says, its bytes depend on the seed alone."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from builders import contents

from emo_ssl.core.metrics import auroc
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, Csd
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.synthetic import SCENARIOS, SynthConfig, frames, geometry, labels, write_corpus
from emo_ssl.corpora.synthetic.defects import FIRST, KINDS, plan
from emo_ssl.corpora.synthetic.frames import COLUMN
from emo_ssl.corpora.synthetic.writer import fold_of, make_video
from emo_ssl.utils.io import UserError

SIGMAS = 4  # a bound that chance alone crosses about once in 16,000 times
CLUSTERING = 4  # variance of a mean over segments, relative to independent ones: about 1 + (12 - 1) * .28


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic") / "corpus"
    return SimpleNamespace(folder=folder, summary=write_corpus(folder, SynthConfig()))


@pytest.fixture(scope="module")
def layouts():
    return [geometry.draw_geometry(np.random.default_rng([7, i])) for i in range(3293)]


@pytest.fixture(scope="module")
def labelled(layouts):
    """Latents and labels of as many segments as the real corpus has, without frames."""
    rng, video = np.random.default_rng(8), np.repeat(np.arange(len(layouts)), [len(one.starts) for one in layouts])
    latents = np.concatenate([labels.draw_latents(rng, len(one.starts)) for one in layouts])
    return SimpleNamespace(latents=latents, labels=labels.draw_labels(rng, latents), video=video)


@pytest.fixture(scope="module")
def clean_videos():
    return [make_video(SynthConfig(clean=True), i)[0] for i in range(24)]


# --- one seed, one corpus


def test_same_seed_same_bytes_whatever_the_number_of_threads(tmp_path):
    code = (
        "import sys; from emo_ssl.corpora.synthetic import *; write_corpus(sys.argv[1], SynthConfig(videos=5, seed=3))"
    )
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / threads)], check=True, env=environment)
    one, two = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert one.keys() == {"COVAREP.csd", "LABELS.csd", "folder.json", "folds.json", "synthetic.json"}
    assert one == two


def test_a_video_depends_on_the_seed_and_not_on_how_many_there_are():
    few, many, other = (make_video(SynthConfig(videos=n, seed=s), 11) for n, s in ((12, 0), (4000, 0), (12, 1)))
    assert few[0].id == many[0].id != other[0].id
    assert np.array_equal(few[0].features, many[0].features, equal_nan=True)
    assert np.array_equal(few[1], many[1]) and not np.array_equal(few[1][:1], other[1][:1])


# --- the folder


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"scenario": "mars"}, "null, static, dynamics"),
        ({"share": 0.3}, "one of 0, 0.5 and 1"),
        ({"videos": 3}, "at least 4"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(UserError, match=sentence):
        SynthConfig(**wrong)


# --- geometry, beside quantiles of the real label table


def quartiles(values):
    return np.percentile(values, (25, 50, 75)).tolist()


def test_segments_are_as_many_and_as_long_as_the_real_ones(layouts):
    counts = [len(layout.starts) for layout in layouts]
    assert np.mean(counts) == pytest.approx(7.06, rel=0.05) and np.median(counts) == pytest.approx(5, abs=1)
    durations = np.concatenate([layout.ends - layout.starts for layout in layouts])
    assert quartiles(durations) == pytest.approx([4.402, 6.468, 9.421], rel=0.05)
    assert durations.min() >= 0.3


def test_neighbours_overlap_and_stand_apart_as_the_real_ones(layouts):
    gaps = np.concatenate([layout.starts[1:] - layout.ends[:-1] for layout in layouts])
    overlapping = gaps < 0
    assert overlapping.mean() == pytest.approx(0.68, abs=0.02)
    assert np.median(-gaps[overlapping]) == pytest.approx(0.67, abs=0.05) and -gaps.min() < 1.0 + 1e-9
    assert np.median(gaps[~overlapping]) == pytest.approx(2.98, rel=0.15)
    for layout in layouts:
        assert (np.diff(layout.starts) > 0).all() and (np.diff(layout.ends) > 0).all()


def test_first_starts_row_order_and_length_of_videos(layouts):
    first = np.array([layout.starts[0] for layout in layouts])
    assert np.mean(first < 0) == pytest.approx(0.073, abs=0.02) and first.min() >= geometry.EARLIEST
    unsorted = np.mean([(np.diff(layout.starts[layout.rows]) < 0).any() for layout in layouts])
    assert unsorted == pytest.approx(0.35, abs=0.1)
    seconds = np.array([layout.frames for layout in layouts]) / 100
    last = np.array([layout.ends[-1] for layout in layouts])
    assert seconds.mean() == pytest.approx(141.1, rel=0.05) and (last < seconds).all()
    assert seconds.sum() / last.sum() == pytest.approx(1.89, abs=0.15)


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


def test_labels_are_thirds(labelled):
    assert np.allclose(labelled.labels * 3, np.rint(labelled.labels * 3), atol=1e-9)
    intensities = labelled.labels[:, 1:]
    assert intensities.min() == 0 and intensities.max() == 3
    assert np.abs(labelled.labels[:, 0]).max() <= 3


def test_emotions_are_as_frequent_and_as_clustered_as_in_the_real_corpus(labelled):
    for e, name in enumerate(EMOTIONS):
        share, values = labels.POSITIVE[name], labelled.labels[:, 1 + e]
        error = SIGMAS * np.sqrt(CLUSTERING * share * (1 - share) / len(values))
        assert np.mean(values > 0) == pytest.approx(share, abs=error), name
        assert np.mean(values[values > 0] <= 1) > 0.6, "most positives are weak"
        assert 0.2 < intraclass_correlation(values, labelled.video) < 0.35, name


def test_the_oracle_is_what_the_integral_says(labelled):
    for e, expected in enumerate(labels.oracle_auroc().values()):
        present = labelled.labels[:, 1 + e] > 0
        error = np.sqrt(CLUSTERING * expected * (1 - expected) / min(present.sum(), (~present).sum()))
        assert auroc(labelled.latents[:, e], present) == pytest.approx(expected, abs=SIGMAS * error)


# --- frames


def test_features_have_their_names_ranges_and_gates(clean_videos):
    for video in clean_videos:
        x = video.features
        assert x.shape[1] == len(FEATURE_NAMES) and x.dtype == np.float32
        voiced = x[:, COLUMN["VUV"]] == 1
        assert set(np.unique(x[:, COLUMN["VUV"]])) <= {0, 1}
        assert x[:, COLUMN["F0"]].min() >= 60 and x[:, COLUMN["F0"]].max() <= 400
        for name in frames.GATED:
            assert (x[~voiced, COLUMN[name]] == 0).all()
        assert not np.isneginf(x[voiced, COLUMN["peakSlope"]]).any()
        assert np.isfinite(np.delete(x, COLUMN["peakSlope"], 1)).all()
        np.testing.assert_allclose(video.times[:, 1], 0.01 * np.arange(1, len(x) + 1))
    some = np.mean([np.isneginf(v.features[:, COLUMN["peakSlope"]]).any() for v in clean_videos])
    assert abs(some - 0.7) < SIGMAS * np.sqrt(0.7 * 0.3 / len(clean_videos))


def test_features_are_centred_and_spread_as_the_real_videos_are(clean_videos):
    """In units of the real spread between videos; .3 is allowed for clipping and gating beside sampling error."""
    means = np.array([np.ma.masked_invalid(v.features[:, :36]).mean(0).filled(np.nan) for v in clean_videos])
    off = (means.mean(0) - frames.REAL_MEANS) / frames.REAL_SPREADS
    assert (np.abs(off) < SIGMAS / np.sqrt(len(means)) + 0.3).all()
    ratio = means.std(0, ddof=1) / frames.REAL_SPREADS
    assert ratio.min() > 0.4 and ratio.max() < 2
    assert np.median(ratio) == pytest.approx(1, abs=0.2)


def test_every_group_of_factors_has_the_stated_share_of_variance():
    """Factors have variance 1 and are uncorrelated, and squared loadings sum to the share: then the share is exact."""
    rng, lang = np.random.default_rng(0), frames.language()
    words = lang.vocabulary(len(lang.words))
    phones, _, _ = frames.phone_sequence(rng, *words, lang.phone_frames, 400_000, frames.PAUSE_CHANCE)
    assert np.mean(phones == frames.PAUSE) == pytest.approx(frames.PAUSE_SHARE, abs=0.03)
    assert np.abs(np.cov(frames.glide(lang.targets[phones]).T) - np.eye(12)).max() < 0.12
    assert np.abs(np.cov(frames.wander(rng, 400_000, 8, frames.RESIDUAL_KNOT).T) - np.eye(8)).max() < 0.05
    for group, matrix in lang.loadings.items():
        assert np.delete((matrix**2).sum(0), COLUMN["F0"]) == pytest.approx(frames.SHARES[group])
    assert sum(frames.SHARES.values()) == pytest.approx(1)


def test_channels_of_valid_and_test_videos_are_shifted_in_the_channel_scenario():
    index = {fold: next(i for i in range(20) if fold_of(i) == fold) for fold in ("train", "test")}
    for fold, i in index.items():
        usual, shifted = (make_video(SynthConfig(scenario=w, clean=True), i)[0].features for w in ("mixed", "channel"))
        difference = shifted[:, COLUMN["MCEP_3"]] - usual[:, COLUMN["MCEP_3"]]
        assert np.ptp(difference) < 1e-4, "a shift is constant over the video"
        assert (abs(difference.mean()) > 0.01) == (fold == "test")


# --- emotion in the order of a word's phones


def test_a_word_turns_round_where_its_emotion_is_there_when_it_begins():
    phones = np.array([1, 1, 2, 3, frames.PAUSE, 4, 5, 6, 6, 7])
    word = np.array([0, 0, 0, 0, -1, 7, 7, 7, 1, 1])  # word 7 belongs to emotion 1, as word 1 does
    unit = np.array([0, 0, 0, 0, 1, 2, 2, 2, 4, 4])
    mood = np.zeros((10, 6), bool)
    mood[1:, 0] = True  # too late for the first word
    mood[5:8, 1] = True
    assert frames.turned(phones, word, unit, mood).tolist() == [1, 1, 2, 3, frames.PAUSE, 6, 5, 4, 6, 7]
    assert frames.turned(phones, word, unit, ~mood).tolist() == [3, 2, 1, 1, frames.PAUSE, 4, 5, 6, 7, 6]
    assert len(frames.turned(*(np.empty(0, int),) * 3, mood[:0])) == 0


def test_turning_words_changes_no_phone_but_its_place_and_a_listener_who_knows_the_words_is_right():
    """The strengths of the control: each word is spoken in nearly every stretch, and labels nearly follow the truth."""
    knobs, lang, rng = SCENARIOS["order"], frames.language(), np.random.default_rng(3)
    right, spoken = [], []
    for _ in range(60):
        latents = labels.draw_latents(rng, 5)
        mood = np.repeat(latents > labels.RATINGS[knobs.rating].typical, 900, axis=0)
        phones, word, unit = frames.phone_sequence(
            rng, *lang.vocabulary(knobs.words), lang.phone_frames, len(mood), frames.PAUSE_CHANCE
        )
        turned = frames.turned(phones, word, unit, mood)
        assert np.array_equal(np.sort(turned), np.sort(phones))
        present = labels.draw_labels(rng, latents, labels.RATINGS[knobs.rating])[:, 1:] > 0
        for s in range(5):
            for e in range(6):
                here = np.arange(900 * s, 900 * (s + 1))[word[900 * s : 900 * (s + 1)] == e]
                spoken.append(len(here) > 0)
                if len(here):
                    right.append((turned[here] != phones[here]).any() == present[s, e])
    assert np.mean(spoken) > 0.9 and np.mean(right) > 0.9


# --- where emotion is: the same random numbers with other emotions, so that what differs is what emotion does


@pytest.fixture(scope="module")
def moods():
    """A video of three stretches, and the same one with other emotions."""
    one, other, nuisance = np.random.default_rng(1).standard_normal((3, 3, 6))
    edges = np.array([0, 900, 2000, 2600])
    return frames.Stretches(edges, one, nuisance), frames.Stretches(edges, other, nuisance)


def difference(moods, scenario):
    """(T, 59), of the features that nothing bounds."""
    one, other = (frames.make_frames(np.random.default_rng(2), m, SCENARIOS[scenario], 0.0) for m in moods)
    return one[:, UNBOUNDED] - other[:, UNBOUNDED]


UNBOUNDED = np.r_[COLUMN["MCEP_0"] : COLUMN["MCEP_24"] + 1, frames.ALMOST_ZERO.stop : frames.WIDTH]


@pytest.mark.parametrize("scenario", ["null", "order-null"])
def test_in_null_scenarios_frames_know_nothing_of_emotion(moods, scenario):
    assert not difference(moods, scenario).any()


def test_in_the_static_scenario_emotion_is_an_offset_of_speech(moods):
    lang, (one, other) = frames.language(), moods
    whole = one.over_frames((one.latents - other.latents) @ (lang.loadings["static"] * lang.scale)[:, UNBOUNDED])
    share = (difference(moods, "static") / whole)[:, np.abs(whole).min(0) > 0.01]  # 1 in speech, 0 in a pause
    assert share.shape[1] > 20 and share.min() > -0.01 and share.max() < 1.01
    assert np.median(share) == pytest.approx(1, abs=1e-3) and share.mean() > 0.7


def test_in_the_dynamics_scenario_emotion_is_in_the_rhythms_alone(moods):
    lang, found = frames.language(), difference(moods, "dynamics")
    rhythms = (lang.loadings["rhythm"] * lang.scale)[:, UNBOUNDED].T
    inside = rhythms @ np.linalg.lstsq(rhythms, found.T, rcond=None)[0]
    assert np.abs(found).max() > 0.1 and np.abs(found.T - inside).max() < 1e-4


def test_the_rate_of_a_rhythm_is_invisible_in_any_single_frame(moods):
    nuisance, emotional = (frames.rotations(np.random.default_rng(5), moods[0], share, 1.0) for share in (0, 1))
    assert np.allclose(*(np.hypot(w[:, :12], w[:, 12:]) for w in (nuisance, emotional)), atol=1e-5)
    assert not np.allclose(nuisance, emotional, atol=0.5)


# --- planted defects


def test_forty_videos_hold_every_kind_of_defect(corpus):
    assert set(corpus.summary["planted"]) == {*KINDS, "typo root", "unsorted label rows"}
    for seed in range(50):
        assert {plan(seed, i) for i in range(FIRST)} - {None} == set(KINDS)
        assert not any(plan(seed, i) for i in range(8)), "the first videos stay whole"


FOUND_AGAIN = {  # planted -> where the report of `corpus prepare` counts it
    "43 columns": ("videos", "with rows of another width, dropped"),
    "labelled video without frames": ("videos", "labelled but without frames"),
    "acoustic video without labels": ("videos", "with frames but without labels, kept for pretraining"),
    "unsorted acoustic rows": ("videos", "rows out of time order, sorted"),
    "float64 features": ("videos", "stored in another number format, read as float32"),
    "interval wholly beyond the end": ("dropped", "interval beyond the end of the video"),
    "segment under 0.3 s": ("dropped", "shorter than 0.3 s of frames"),
    "zero-length interval": ("dropped", "interval of no length"),
    "reversed interval": ("dropped", "interval reversed"),
    "duplicated segment": ("dropped", "duplicate of an earlier row"),
    "NaN label": ("dropped", "label is NaN"),
    "interval partly beyond the end": ("mended", "end beyond the recording clipped"),
    "value above 3": ("mended", "value outside [0, 3] clamped"),
}


def test_every_planted_defect_is_found_again_and_counted(corpus, tmp_path):
    files = [corpus.folder / name for name in ("COVAREP.csd", "LABELS.csd", "folds.json")]
    report = prepare(*files, tmp_path / "out").report
    report["dropped"] = report["segments"]["dropped"]
    planted = corpus.summary["planted"]
    found = {kind: report[part][what] for kind, (part, what) in FOUND_AGAIN.items()}
    assert found == {kind: planted[kind] for kind in FOUND_AGAIN}
    missing = report["missing_values"]
    assert sum(missing.values()) - missing["peakSlope"] == planted["non-finite values"] == 20
    assert report["files"] == {"unusual root group `COAVAREP`": "COVAREP.csd"}
    with Csd(files[0]) as sound:
        usable = {key for key in sound.keys if sound.shape(key)[1] == len(FEATURE_NAMES)}
    folds = json.loads(files[2].read_text())
    named = {video for ids in folds.values() for video in ids}
    where = {kind: ids[0] for kind, ids in corpus.summary["planted_in"].items()}
    assert where["video in no fold"] in usable - named and f"absent-{where['fold video absent']}" in named - usable
    assert report["videos"]["in no fold, kept for pretraining"] == len(usable - named)
    assert report["videos"]["named by the folds but without frames"] == len(named - usable)


def test_clean_means_the_same_frames_without_damage(corpus, tmp_path):
    assert write_corpus(tmp_path / "clean", SynthConfig(clean=True))["planted"] == {}
    files = [tmp_path / "clean" / name for name in ("COVAREP.csd", "LABELS.csd", "folds.json")]
    with Csd(files[0]) as clean, Csd(corpus.folder / "COVAREP.csd") as damaged:
        hit = {video for ids in corpus.summary["planted_in"].values() for video in ids}
        for video in [v for v in damaged.keys if v not in hit][:3]:
            assert np.array_equal(clean.read(video)[0], damaged.read(video)[0], equal_nan=True)
    report = prepare(*files, tmp_path / "out").report
    assert report["segments"]["dropped"] == report["files"] == {} and set(report["missing_values"]) == {"peakSlope"}
    assert {what for what, n in report["mended"].items() if n} <= {"start below 0 clipped"}
    assert report["videos"].keys() == {"kept", "in no fold, kept for pretraining"}
