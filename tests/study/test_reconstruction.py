"""What a pretrained model puts in gaps and what a frozen one knows, on a tiny run and against its own numbers."""

from dataclasses import replace

import numpy as np
import pytest

from emo_ssl import notebook
from emo_ssl.core import pretrain
from emo_ssl.core.batches import MaskConfig
from emo_ssl.study import probes
from emo_ssl.study import reconstruction as recover
from emo_ssl.utils.io import UserError

TINY = pretrain.PretrainConfig(width=16, layers=1, heads=2, batch=4, steps=4, evaluate_every=2, checkpoint_every=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus of a dozen videos, and a model that was hardly trained on it."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("repository")
    (folder / "pyproject.toml").write_text('[project]\nname = "emo-ssl"\n')
    patch.chdir(folder)
    prepared = notebook.corpus(videos=12, seed=1)
    run = notebook.run(prepared, seed=3, config=TINY)
    patch.undo()
    return prepared, run


def test_errors_add_up_to_the_runs_own_loss(made):
    prepared, run = made
    found, stored = recover.errors(recover.HeldOut.open(prepared, run)), pretrain.load(run)[0]["held_out"]
    for name, value in found.loss().items():
        assert value == pytest.approx(stored[name], rel=1e-5), name
    parts = [found.loss(np.array([i]))["model"] * found.count[:, i].sum() for i in range(len(found.features))]
    assert sum(parts) / found.count.sum() == pytest.approx(stored["model"], rel=1e-5)


def test_every_window_is_met_once_and_knows_its_video(made):
    prepared, run = made
    held_out = recover.HeldOut.open(prepared, run)
    parts = list(recover.recover(held_out))
    assert sorted(np.concatenate([part.window for part in parts])) == list(range(len(held_out.pool)))
    valid = np.flatnonzero(prepared.recordings.split == 1)
    assert set(held_out.recording) == set(valid[prepared.recordings.length[valid] > 0])
    first = parts[0]
    assert np.isnan(first.true[0, held_out.pool.length[first.window[0]] :]).all()  # beyond a window nothing is true


def test_a_guess_never_reads_what_is_hidden(made):
    prepared, run = made
    held_out = recover.HeldOut.open(prepared, run)
    before = recover.typical(held_out)
    window = before.window[0]
    first, length = held_out.pool.first[window], held_out.pool.length[window]
    frames = held_out.pool.frames.clone()
    frames[first : first + length][before.hidden[0, :length]] += 2.0
    changed = replace(held_out, pool=replace(held_out.pool, frames=frames))
    for part in recover.recover(changed):
        for i in np.flatnonzero(part.window == window):
            for name in (recover.MODEL, recover.INTERPOLATION):
                new, old = part.guesses[name][i], before.guesses[name][0]
                np.testing.assert_allclose(new[part.hidden[i]], old[before.hidden[0]], atol=1e-5)


def test_typical_is_a_window_with_gaps(made):
    example = recover.typical(recover.HeldOut.open(*made))
    assert example.true.shape[0] == 1 and 0 < example.hidden.mean() < 1
    assert set(example.guesses) == {"model", "mean frame", "previous frame", "linear interpolation"}


def test_wider_gaps_are_harder_for_a_straight_line(made):
    held_out = recover.HeldOut.open(*made)
    losses = [recover.errors(held_out.with_mask(MaskConfig(span=n))).loss() for n in (1, 14)]
    assert losses[0][recover.INTERPOLATION] < losses[1][recover.INTERPOLATION]


def test_below_is_a_paired_share_over_videos():
    count = np.ones((6, 1))
    sums = {"model": np.full((6, 1), 0.9), "linear interpolation": np.ones((6, 1))}
    found = recover.Errors(("x",), np.array([0, 0, 1, 1, 2, 2]), sums, count)
    assert found.below() == pytest.approx((0.1, 0.1, 0.1))
    one = recover.Errors(("x",), np.zeros(6, int), sums, count).below()
    assert one[0] == pytest.approx(0.1) and np.isnan(one[1:]).all()


def test_a_run_on_other_features_is_refused(made):
    prepared, run = made
    header = {**prepared.header, "feature_names": ["other"]}
    with pytest.raises(UserError, match="other features"):
        recover.HeldOut.open(replace(prepared, header=header), run)


# --- probes -----------------------------------------------------------------------------------------------------------


def test_a_probe_finds_what_is_there_and_nothing_else(made):
    prepared, _ = made
    rng = np.random.default_rng(0)
    truth = probes.questions(prepared)[0].answers
    noise = rng.normal(size=(len(prepared), 8))
    tables = {"all": [np.hstack([truth, noise])], "nothing": [noise, rng.normal(size=noise.shape)]}
    found = probes.knowledge(prepared, tables, draws=50).set_index(["question", "representation"])
    assert found.loc[("how much is voiced", "all"), "value"] > 0.95
    lost = found.loc[("how much is voiced", "nothing")]
    assert lost["low"] < 0.3 and (found["low"] <= found["high"]).all()
    assert (found["value"].between(-1, 1)).all() and set(found["chance"][:4]) <= {0.0, 0.5}


def test_a_probe_never_sees_a_test_answer(made):
    prepared, _ = made
    splits = {name: prepared.where(name) for name in ("train", "valid", "test")}
    table = np.random.default_rng(1).normal(size=(len(prepared), 5))
    question = probes.questions(prepared)[-1]
    changed = question.answers.copy()
    changed[splits["test"]] = 1 - changed[splits["test"]]
    first, second = (
        probes.read_out(table, replace(question, answers=answers), splits) for answers in (question.answers, changed)
    )
    np.testing.assert_array_equal(first, second)


def test_ridge_is_the_textbooks():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    for penalty, weights in zip((0.1, 10.0), probes.ridge(x, y, np.array([0.1, 10.0])), strict=True):
        np.testing.assert_allclose(weights, np.linalg.solve(x.T @ x + penalty * np.eye(4), x.T @ y))


def test_the_same_video_is_not_found_through_shared_frames(made):
    prepared, _ = made
    items = np.arange(len(prepared))
    recording = prepared.segments.recording
    hit, chance = probes.same_video(
        np.eye(len(np.unique(recording)))[np.unique(recording, return_inverse=True)[1]], prepared, items
    )
    assert np.nanmin(hit) == 1.0 and 0 < np.nanmean(chance) < 0.5
    start, end = prepared.segments.first, prepared.segments.first + prepared.segments.length
    for i in items[np.isnan(hit)]:  # nobody of the same video that shares no frame
        assert not ((recording == recording[i]) & ((end <= start[i]) | (start >= end[i]))).any()


def test_representations_are_one_vector_a_segment(made):
    prepared, run = made
    tables = probes.representations(prepared, run)
    assert {name: len(versions) for name, versions in tables.items()} == {
        "pretrained": 1,
        "frozen-permuted": probes.RANDOM,
        "frozen-random": probes.RANDOM,
        "statistics": 1,
    }
    assert all(len(t) == len(prepared) and np.isfinite(t).all() for versions in tables.values() for t in versions)
    random = tables["frozen-random"]
    assert not np.allclose(random[0], random[1])
