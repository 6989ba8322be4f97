"""A minus sign in front of negative numbers, and nowhere else."""

import pandas as pd
import pytest

from emo_ssl.figures import style as figures
from emo_ssl.figures.typography import MINUS, typeset


@pytest.mark.parametrize(
    "text",
    ["", "28-112 labels", "fold-3", "frozen-random", "10.5281-7", "2026-11-20", "1e-3", "a - b", "--share 1", "x-.5"],
)
def test_hyphens_stay(text):
    assert typeset(text) == text


@pytest.mark.parametrize("text", ["-0.3", "(-0.3 to +0.1)", "ahead by -.5", "±-1", "-1,024", "-0.1, -0.2"])
def test_negative_numbers_get_a_minus_sign(text):
    assert typeset(text) == text.replace("-", MINUS) and MINUS not in text


def test_a_table_has_minus_signs_whatever_its_format():
    frame = pd.DataFrame({"a": [-1.5, None], "b": [-2000, 3], "c": ["-1 (-2 to 0)", "pre-trained"], "d": [True, False]})
    shown = figures.table(frame, "signs").to_html()
    for cell in (f"{MINUS}1.500", "–", f"{MINUS}2,000", f"{MINUS}1 ({MINUS}2 to 0)", "pre-trained", "True"):
        assert f">{cell}<" in shown
    assert f">{MINUS}150%<" in figures.table(frame[["a"]], "signs", {"a": "{:.0%}"}).to_html()
    assert f">{MINUS}1.5<" in figures.table(frame[["a"]], "signs", "{:+.1f}").to_html()
