"""Normalised frames on the device, and where a result comes from."""

import sys

import numpy as np
import pytest
import torch
from builders import Video, noise, write_segments

import emo_ssl
from emo_ssl.core import batches as store
from emo_ssl.core.batches import FrameStore
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.utils.provenance import provenance

CPU = torch.device("cpu")


@pytest.fixture
def corpus(tmp_path):
    frames = [noise(30), noise(0), noise(20, seed=1), noise(11, seed=2)]
    frames[2][4, 1] = np.nan
    return write_segments(tmp_path / "corpus", [Video(f"v{i}", x) for i, x in enumerate(frames)])


def test_frames_of_the_chosen_videos_end_to_end(corpus):
    normaliser = speaker_independent(corpus)
    built = FrameStore.build(corpus, normaliser, np.array([2, 1, 3]), CPU)
    expected = np.concatenate([normaliser.with_gaps(corpus.recording(v), v) for v in (2, 3)])
    assert built.frames.dtype == torch.float32
    assert np.array_equal(built.frames.numpy(), expected, equal_nan=True)
    assert bool(built.frames[4, 1].isnan())  # a gap stays a gap
    assert built.offset.tolist() == [-1, 20, 0, 20]


def test_runs_are_found_where_they_lie_now(corpus):
    built = FrameStore.build(corpus, speaker_independent(corpus), np.array([2, 3]), CPU)
    begins = corpus.recordings.offset
    assert built.locate(np.array([2, 3]), begins[[2, 3]] + [5, 7]).tolist() == [5, 27]
    with pytest.raises(ValueError, match="not in this store"):
        built.locate(np.array([0]), begins[[0]])


def test_no_videos_at_all(corpus):
    assert FrameStore.build(corpus, speaker_independent(corpus), np.array([], int), CPU).frames.shape == (0, 2)


def test_many_frames_are_kept_in_half_the_room(corpus, monkeypatch):
    monkeypatch.setattr(store, "MOST_BYTES_AS_FLOAT32", 100)
    normaliser = speaker_independent(corpus)
    built = FrameStore.build(corpus, normaliser, np.array([0]), CPU)
    assert built.frames.dtype == torch.float16
    error = np.abs(built.frames.float().numpy() - normaliser(corpus.recording(0), 0))
    assert 0 < error.max() <= 0.002  # what the module says of values within 5


def test_provenance_names_what_ran(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/emo-ssl", "pretrain", "corpus"])
    found = provenance()
    assert found["command"] == "emo-ssl pretrain corpus"
    assert found["versions"]["emo-ssl"] == emo_ssl.__version__
    assert (
        found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"] == torch.__version__
    )
    assert found["hardware"]["device"] == "cpu" and found["hardware"]["cores"] >= 1
    assert found["commit"] == "" or len(found["commit"].removesuffix("+")) == 40
