"""Configuration files: what they may say, and one sentence for what they may not."""

import json

import pytest

from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.utils.io import UserError
from emo_ssl.utils.values import read_config

TOML = """
kind = "gru"
window = 2
rate = 1e-3

[mask]
share = 0.4
span = 3

[adam]
clip = 2
"""


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "a.toml").write_text(TOML)
    content = {"kind": "gru", "window": 2, "rate": 1e-3, "mask": {"share": 0.4, "span": 3}, "adam": {"clip": 2}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    found = [read_config(tmp_path / name, PretrainConfig) for name in ("a.toml", "a.json")]
    assert found[0] == found[1]
    assert (found[0].kind, found[0].rate, found[0].mask.share, found[0].mask.span) == ("gru", 1e-3, 0.4, 3)
    assert found[0].adam.beta2 == PretrainConfig().adam.beta2  # what was not named stays
    assert isinstance(found[0].window, float) and isinstance(found[0].adam.clip, float)  # a whole number will do


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "stepz = 3", r"a\.toml: there is no setting stepz; choose among kind, stack"),
        ("a.toml", "[mask]\nshares = 1", r"a\.toml: mask: there is no setting shares"),
        ("a.toml", "steps = true", r"steps is True, expected int"),
        ("a.toml", "rate = nan", r"rate is nan, expected a finite plain value"),
        ("a.toml", "mask = 3", r"mask: expected names and values, found 3"),
        ("a.toml", "steps = ", r"a\.toml: not readable as TOML or JSON"),
        ("a.json", "[1]", r"a\.json: expected names and values, found \[1\]"),
        ("a.toml", 'kind = "lstm"', r"a\.toml: encoder 'lstm' is none of transformer, gru"),
        ("a.toml", "[mask]\nspan = 0", r"a\.toml: mask: .*at least 1"),
    ],
)
def test_one_sentence_for_a_wrong_file(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_config(tmp_path / name, PretrainConfig)
    assert str(caught.value).endswith(".") and not str(caught.value).endswith("..")


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml: not readable as TOML or JSON .*No such file"):
        read_config(tmp_path / "none.toml", PretrainConfig)
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not readable"):
        read_config(tmp_path / "a.toml", PretrainConfig)
