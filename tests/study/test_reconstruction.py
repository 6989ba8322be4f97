"""What a pretrained model puts in gaps, on a tiny run and against the run's own numbers."""

from dataclasses import replace

import numpy as np
import pytest

from emo_ssl.core.pretrain import PretrainedRun
from emo_ssl.study import reconstruction
from emo_ssl.study.reconstruction import INTERPOLATION, MODEL, Errors, HeldOut


@pytest.fixture(scope="module")
def held_out(corpus, run) -> HeldOut:
    return HeldOut.open(corpus, run)


def test_errors_add_up_to_the_runs_own_loss(run, held_out):
    found, stored = reconstruction.errors(held_out), PretrainedRun.open(run).result["held_out"]
    for name, value in found.loss().items():
        assert value == pytest.approx(stored[name], rel=1e-5), name
    parts = [found.loss(np.array([i]))[MODEL] * found.count[:, i].sum() for i in range(len(found.features))]
    assert sum(parts) / found.count.sum() == pytest.approx(stored[MODEL], rel=1e-5)


def test_every_window_is_met_once_and_knows_its_recording(corpus, held_out):
    parts = list(reconstruction.recover(held_out))
    assert sorted(np.concatenate([part.window for part in parts])) == list(range(len(held_out.pool)))
    assert set(held_out.recording) == set(np.flatnonzero(corpus.recordings.split == 1))
    beyond = held_out.pool.length[parts[0].window[0]]
    assert np.isnan(parts[0].true[0, beyond:]).all()  # beyond a window nothing is true


def test_a_guess_never_uses_what_is_masked(held_out):
    before = reconstruction.typical(held_out)
    window = before.window[0]
    first, length = held_out.pool.first[window], held_out.pool.length[window]
    frames = held_out.pool.frames.clone()
    frames[first : first + length][before.hidden[0, :length]] += 2.0
    changed = replace(held_out, pool=replace(held_out.pool, frames=frames))
    for part in reconstruction.recover(changed):
        for i in np.flatnonzero(part.window == window):
            for name in (MODEL, INTERPOLATION):
                new, old = part.guesses[name][i], before.guesses[name][0]
                np.testing.assert_allclose(new[part.hidden[i]], old[before.hidden[0]], atol=1e-5)


def test_below_is_a_paired_share_over_recordings():
    count = np.ones((6, 1))
    sums = {MODEL: np.full((6, 1), 0.9), INTERPOLATION: np.ones((6, 1))}
    found = Errors(("x",), np.array([0, 0, 1, 1, 2, 2]), sums, count)
    assert found.below() == pytest.approx((0.1, 0.1, 0.1))
    one = Errors(("x",), np.zeros(6, int), sums, count).below()
    assert one[0] == pytest.approx(0.1) and np.isnan(one[1:]).all()
