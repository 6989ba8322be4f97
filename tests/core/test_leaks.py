"""Recordings and speakers that are scored are not trained on: what a run notes, and what is refused."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from builders import Video, noise, write_segments

from emo_ssl.core.leaks import leak_in, refuse_leak, refuse_shared, trained_on
from emo_ssl.utils.io import UserError

SPLITS = ("train", "none", "valid", "test")


def made(folder, speakers=("a", "b", "c", "d"), seed=0):
    corpus = write_segments(folder, [Video(s, noise(20 + i, seed=seed + i), s) for i, s in enumerate(SPLITS)])
    return replace(corpus, recordings=replace(corpus.recordings, speaker=np.array(speakers)))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_run_notes_hashes_of_what_it_may_read(tmp_path):
    first, second = made(tmp_path / "1"), made(tmp_path / "2", ("", "a", "c", "d"), seed=9)
    noted = trained_on([first, second])
    assert noted["speakers"] == sorted(sha256(name) for name in (b"a", b"b"))
    frames = [corpus.recording(i) for corpus in (first, second) for i in (0, 1)]
    assert noted["recordings"] == sorted(sha256(x.tobytes()) for x in frames)
    assert trained_on([]) == {"recordings": [], "speakers": []}


def test_a_recording_or_a_speaker_that_is_scored_is_a_leak(tmp_path):
    corpus, elsewhere = made(tmp_path / "1"), made(tmp_path / "2", ("e", "f", "g", "h"), seed=9)
    assert leak_in(trained_on([corpus]), corpus) == leak_in(trained_on([elsewhere]), corpus) == ""
    same_voice = made(tmp_path / "3", ("d", "", "", ""), seed=9)
    assert leak_in(trained_on([same_voice]), corpus).startswith("was pretrained on 1 speakers that are for validation")
    copied = replace(corpus, recordings=replace(corpus.recordings, split=np.array([2, 2, 0, 3], np.int8)))
    with pytest.raises(UserError, match=r"run: was pretrained on 2 recordings .* \(such as test\); pretrain on"):
        refuse_leak("run", trained_on([copied]), corpus)


def test_empty_recordings_are_not_copies_of_each_other(tmp_path):
    corpus = write_segments(tmp_path, [Video(s, noise(0), s) for s in SPLITS])
    assert trained_on([corpus])["recordings"] == [] and leak_in(trained_on([corpus]), corpus) == ""
    refuse_shared(corpus)


def test_a_corpus_that_trains_on_what_it_scores_is_refused(tmp_path):
    with pytest.raises(UserError, match="speaker b is in training and scored"):
        refuse_shared(made(tmp_path / "1", ("a", "b", "b", "d")))
    frames = noise(20)
    twice = write_segments(tmp_path / "2", [Video("x", frames, "train"), Video("y", frames, "test")])
    with pytest.raises(UserError, match="recording x is in training and scored"):
        refuse_shared(twice)
