"""Configuration files: what they may say, and one sentence for what they may not."""

import json

import pytest

from emo_ssl.core.batches import MaskConfig
from emo_ssl.core.finetune import FinetuneConfig
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.study.grid import StudyConfig
from emo_ssl.utils.config import read_config
from emo_ssl.utils.io import UserError

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
    assert found[0].mask.channel_block == MaskConfig().channel_block  # what was not named stays
    assert isinstance(found[0].window, float) and isinstance(found[0].adam.clip, float)  # a whole number will do


def test_tuples_and_what_lies_two_levels_down(tmp_path):
    (tmp_path / "a.toml").write_text(
        'budgets = [4, 8]\narms = ["scratch"]\nrates = [1, 0.5]\n[finetune]\nsteps = 3\n[finetune.adam]\nclip = 0.5\n'
    )
    config = read_config(tmp_path / "a.toml", StudyConfig)
    assert (config.budgets, config.arms, config.rates) == ((4, 8), ("scratch",), (1.0, 0.5))
    assert (config.finetune.steps, config.finetune.adam.clip) == (3, 0.5)
    assert config.probe == StudyConfig().probe


def test_without_settings_the_defaults_hold(tmp_path):
    (tmp_path / "a.toml").write_text("")
    assert read_config(tmp_path / "a.toml", FinetuneConfig) == FinetuneConfig() == read_config(None, FinetuneConfig)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "stepz = 3", r"a\.toml: there is no setting stepz; choose among kind, stack"),
        ("a.toml", "[mask]\nshares = 1", r"a\.toml: mask: there is no setting shares"),
        ("a.toml", 'steps = "many"', r"a\.toml: steps is 'many', expected int"),
        ("a.toml", "steps = true", r"steps is True, expected int"),
        ("a.toml", "rate = nan", r"rate is nan, expected float"),
        ("a.toml", "mask = 3", r"mask: expected names and values, found 3"),
        ("a.toml", "steps = ", r"a\.toml: not readable as TOML or JSON"),
        ("a.json", "{", r"a\.json: not readable as TOML or JSON"),
        ("a.json", "[1]", r"a\.json: expected names and values, found \[1\]"),
        ("a.json", '{"rate": Infinity}', r"rate is inf, expected float"),
        ("a.toml", 'kind = "lstm"', r"a\.toml: encoder 'lstm' is none of transformer, gru"),
        ("a.toml", "width = 30", r"a\.toml: width 30 must be a multiple"),
        ("a.toml", "batch = 0", r"a\.toml: .*above 0"),
        ("a.toml", "evaluate_every = 0", r"a\.toml: .*above 0"),
        ("a.toml", 'precision = "float8"', r"precision 'float8' is none of float32, bfloat16"),
        ("a.toml", "[mask]\nspan = 0", r"a\.toml: mask: .*at least 1"),
    ],
)
def test_one_sentence_for_a_wrong_file(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_config(tmp_path / name, PretrainConfig)
    assert str(caught.value).endswith(".") and not str(caught.value).endswith("..")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('arms = ["scratches"]', "no arm is called scratches; choose among scratch, pretrained"),
        ("arms = []", "at least one arm"),
        ('arms = ["scratch", "scratch"]', "each arm and budget once"),
        ("budgets = [0]", "at least 1"),
        ("seeds = 0", "at least 1"),
        ("rates = []", "one to six settings"),
        ('budgets = ["4"]', "budgets is '4', expected int"),
        ('head = "softmax"', "head 'softmax' is none of ordinal, l1"),
        ("[probe]\nsteps = 0", "probe: steps, batch and tokens are at least 1"),
    ],
)
def test_one_sentence_for_an_impossible_study(tmp_path, text, words):
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(UserError, match=f"study.toml: .*{words}"):
        read_config(tmp_path / "study.toml", StudyConfig)


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml: no such file"):
        read_config(tmp_path / "none.toml", PretrainConfig)
    with pytest.raises(UserError, match="no such file"):
        read_config(tmp_path, PretrainConfig)
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not readable"):
        read_config(tmp_path / "a.toml", PretrainConfig)
