"""What would fill the memory or never end is refused, and the refusal names the number."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from builders import replaced

from emo_ssl.core.corpus import HEADER, INDEX, Corpus
from emo_ssl.core.finetune import FinetuneConfig
from emo_ssl.core.model import EncoderConfig, HeadConfig
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora import recordings
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.study.grid import StudyConfig
from emo_ssl.utils.values import MESSAGE, UserError, read_config


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (PretrainConfig, "steps = 1000000000000", r"steps is 1e\+12, expected 0 to 1e\+07"),
        (PretrainConfig, "width = 1000000", r"2 layers and 2\.4e\+13 parameters; at most 200 and 1e\+08"),
        (PretrainConfig, "layers = 10000", r"10000 layers and .* at most 200"),
        (PretrainConfig, "batch = 1000000", r"batch is 1e\+06, expected 0 to 100000"),
        (PretrainConfig, "window = 1e300", r"window is 1e\+300, expected 0 to 100000"),
        (FinetuneConfig, "steps = 1000000000000", r"steps is 1e\+12"),
        (StudyConfig, "seeds = 1000000000000", r"seeds is 1e\+12, expected 0 to 100000"),
        (StudyConfig, "[finetune]\ntokens = 1000000000", r"finetune: tokens is 1e\+09"),
    ],
)
def test_settings_beyond_any_computer(tmp_path, kind, text, words):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UserError, match=words):
        read_config(tmp_path / "a.toml", kind)


def test_shapes_beyond_any_computer():
    with pytest.raises(ValueError, match="2000000 emotions and 0 categories; at most 10000"):
        HeadConfig((0.0, 1.0), emotions=2_000_000)
    with pytest.raises(ValueError, match="parameters; at most"):
        EncoderConfig(features=10**9)
    for levels in ((0.0,), (0.0, 0.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="rising levels"):
            HeadConfig(levels)


def test_lengths_that_a_prepared_folder_does_not_have(made):
    """An index whose header promises 80 GB, and a header of 10**14 frames without a feature."""
    index, header = (made / "corpus" / name for name in (INDEX, HEADER))
    huge = index.read_bytes().replace(b"'shape': (36,)", b"'shape': (9999999999,)")
    nothing = {**json.loads(header.read_text()), "feature_names": [], "frames": 10**14}
    with replaced(index, huge), pytest.raises(UserError, match="damaged"):
        Corpus.open(made / "corpus")
    with replaced(header, json.dumps(nothing).encode()), pytest.raises(UserError, match="0 features"):
        Corpus.open(made / "corpus")


def test_an_archive_of_arrays_that_unpacks_to_more_than_fits(made):
    """A gigabyte of zeros fits into a megabyte."""
    path, packed = made / "corpus" / INDEX, [io.BytesIO(), io.BytesIO()]
    with np.load(path) as stored:
        arrays = dict(stored)
    for out, more in zip(packed, ({}, {"zeros": np.zeros(10**6)}), strict=True):
        np.savez_compressed(out, **arrays, **more)
    with replaced(path, packed[0].getvalue()):
        assert len(Corpus.open(path.parent)) == 36
    words = r"unpacks to 8,\d+,\d+ bytes, more than 20 times its size"
    with replaced(path, packed[1].getvalue()), pytest.raises(UserError, match=words):
        Corpus.open(path.parent)


def test_a_recording_that_unpacks_to_more_than_fits(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.wav", bytes(5000))
    assert recordings.unpacked(tmp_path / "a.zip", "a.wav") == bytes(5000)
    monkeypatch.setattr(recordings, "MOST_UNPACKED", 4999)
    with pytest.raises(BadRecording, match="too large in the archive"):
        recordings.unpacked(tmp_path / "a.zip", "a.wav")


def test_no_message_is_long(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"kind": "x" * 100_000}))
    with pytest.raises(UserError, match=r"encoder 'x+ … x+' is none of") as caught:
        read_config(tmp_path / "a.json", PretrainConfig)
    assert len(str(caught.value)) <= MESSAGE
    (tmp_path / "a.json").write_text(json.dumps({"steps": "y" * 100_000}))
    with pytest.raises(UserError, match=r"steps is 'y+ … y+', expected int; mend it") as caught:
        read_config(tmp_path / "a.json", PretrainConfig)
    assert len(str(caught.value)) < 80 + len(str(Path(tmp_path / "a.json"))) + 60
