"""The example on README's first screen, word for word but for the number of its steps."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

STEPS = "steps=20_000"


@pytest.fixture
def own_features(tmp_path, monkeypatch):
    """20 recordings of 10 speakers, with 10 labelled segments each, as files beside the script."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("features").mkdir()
    rows = []
    for i in range(20):
        np.save(f"features/{i}.npy", rng.normal(size=(300, 5)))
        rows += [(i, f"s{i % 10}", k / 4, k / 4 + 0.5, *rng.integers(0, 4, 2)) for k in range(10)]
    columns = ["recording", "speaker", "start", "end", "happy", "sad"]
    pd.DataFrame(rows, columns=columns).to_csv("labels.csv", index=False)
    np.save("new.npy", rng.normal(size=(120, 5)))


@pytest.mark.slow
def test_the_example_runs(own_features, capsys):
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    assert STEPS in example
    names = {}
    exec(example.replace(STEPS, "steps=3"), names)
    measured = names["model"].evaluate(names["corpus"].split("test"))
    assert capsys.readouterr().out == f"{measured}\n" and 0 <= measured["mae"] <= 3
    assert names["states"].shape == (1, 30, 96)  # 120 frames in tokens of 4
    shown = " ".join(str(names[name]) for name in ("corpus", "run", "model"))
    for words in ("20 recordings", "10 speakers", "3 steps", "fine-tuned on 100 labels"):
        assert words in shown
