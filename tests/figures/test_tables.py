"""Tables and numbers of a page: a minus sign in front of negative numbers, the same bytes on every run."""

import numpy as np
import pandas as pd
import pytest

from emo_ssl.figures.tables import MINUS, folded, table, text, typeset


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
    shown = table(frame, "signs").to_html()
    for cell in (f"{MINUS}1.500", "–", f"{MINUS}2,000", f"{MINUS}1 ({MINUS}2 to 0)", "pre-trained", "True"):
        assert f">{cell}<" in shown
    assert f">{MINUS}150%<" in table(frame[["a"]], "signs", {"a": "{:.0%}"}).to_html()
    assert f">{MINUS}1.5<" in table(frame[["a"]], "signs", "{:+.1f}").to_html()


def test_a_table_is_the_same_on_every_run():
    frame = pd.DataFrame({"a": [0.12345, np.nan]}, index=pd.Index(["x", "y"], name="row"))
    html = table(frame, "twin", "{:.2f}").to_html()
    assert html == table(frame, "twin", "{:.2f}").to_html()
    assert "0.12" in html and "T_twin" in html and ">row<" not in html
    assert "min-width" in table(frame, "twin", wide=True).to_html()
    assert ">x<" not in table(frame, "twin", index=False).to_html()


def test_a_caption_stands_in_the_table():
    frame = pd.DataFrame({"a": [1]})
    shown = table(frame, "captioned", caption="Table 1. a < b")
    assert "<caption>Table 1. a &lt; b</caption>" in shown.to_html()
    assert "<caption" not in table(frame, "captioned").to_html()


def test_a_folded_table_opens_on_a_click():
    shown = table(pd.DataFrame({"a": [1]}), "folded")
    assert folded(shown, "a & b") == (
        f'<details><summary style="list-style: revert">a &amp; b</summary>{shown.to_html()}</details>'
    )


def test_a_paragraph_is_markdown_with_minus_signs():
    shown = text(f"- It is **{-0.25:+.2f}**, from 28-112 labels.")
    assert shown.data == f"- It is **{MINUS}0.25**, from 28-112 labels."
