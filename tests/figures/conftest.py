"""The recorded study on RAVDESS, which every figure of a study can be drawn from."""

import json
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[2] / "results" / "ravdess" / "evidence.json"


@pytest.fixture
def evidence() -> dict:
    return json.loads(RECORDED.read_text(encoding="utf-8"))
