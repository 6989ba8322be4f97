"""Fixed vectors for probes, against numpy and scikit-learn."""

import numpy as np
import pytest
from builders import Segment, Video, noise, write_segments
from sklearn.decomposition import PCA

from emo_ssl.core.normalise import speaker_independent
from emo_ssl.study import vectors


def test_statistics_by_numpy():
    frames = noise(50, 3)
    found = vectors.statistics(frames)
    quantiles = [np.quantile(frames, q, axis=0) for q in (0.1, 0.5, 0.9)]
    assert np.allclose(found, np.concatenate([frames.mean(0), frames.std(0), *quantiles]), atol=1e-6)
    assert vectors.statistics(frames[:1]).shape == (15,)


def test_statistics_and_length_of_segments(tmp_path):
    recordings = [Video("a", noise(60)), Video("b", noise(40, seed=1))]
    recordings[0].frames[5, 0] = np.nan
    corpus = write_segments(tmp_path, recordings, [Segment(0, 0, 30), Segment(1, 10, 1), Segment(0, 20, 40)])
    normaliser = speaker_independent(corpus)
    table = vectors.segment_statistics(corpus, normaliser)
    assert table.shape == (3, 10) and np.isfinite(table).all()
    frames = np.nan_to_num((recordings[0].frames[20:60] - normaliser.center[0]) / normaliser.scale[0]).clip(-5, 5)
    assert np.allclose(table[2, :4], [*frames.mean(0), *frames.std(0)], atol=1e-5)
    length = np.log([30, 1, 40])
    from_middle = (length - length.mean()) / length.std()
    bumps = vectors.length_bumps(corpus, normaliser)
    assert bumps.shape == (3, 9)
    for j, centre in enumerate((-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2)):
        assert bumps[:, j] == pytest.approx(np.exp(-2 * (from_middle - centre) ** 2), abs=1e-6)
    # a window of five seconds holds a whole recording: two points, which one axis tells apart
    assert np.linalg.matrix_rank(vectors.principal_components(corpus, normaliser), tol=1e-4) <= 2


def test_principal_components_by_scikit_learn():
    rng = np.random.default_rng(0)
    unlabelled, table = rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(20, 8))
    mean, spread = unlabelled.mean(0), unlabelled.std(0)
    expected = PCA(8).fit((unlabelled - mean) / spread).transform((table - mean) / spread)
    found = vectors.components(table, unlabelled)
    assert np.allclose(np.abs(found), np.abs(expected), atol=1e-4)  # the sign of an axis is free
    few = vectors.components(rng.normal(size=(4, 100)), rng.normal(size=(90, 100)))
    assert few.shape == (4, vectors.COMPONENTS)
    assert vectors.components(np.ones((2, 3)), np.ones((1, 3))).tolist() == [[0.0], [0.0]]  # one window, no spread


def test_an_axis_of_rounding_alone_is_no_principal_component():
    """Five centred rows span four directions; what a fifth would hold is the last digit of the processor at hand."""
    rng = np.random.default_rng(0)
    unlabelled, table = (rng.normal(size=(n, 9)).astype(np.float32) for n in (5, 3))
    found = vectors.components(table, unlabelled)
    again = vectors.components(table, unlabelled * np.float32(1 + 1e-6))
    assert found.shape == (3, 4) and np.allclose(found, again, atol=1e-4)
