"""Tables and numbers of a page: a minus sign in front of negative numbers, the same bytes on every run."""

import sys
import types

import IPython.display
import numpy as np
import pandas as pd
import pytest

from emo_ssl.figures.tables import ASIDE, MINUS, fill, folded, table, text, typeset
from tools import staging


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


def test_a_folded_table_opens_on_a_click():
    shown = table(pd.DataFrame({"a": [1]}), "folded")
    assert folded(shown, "a & b") == f"<details><summary>a &amp; b</summary>{shown.to_html()}</details>"


def test_a_page_gets_plain_values_and_jupyterlab_one_line(monkeypatch):
    glued, shown = [], []
    page = types.SimpleNamespace(glue=lambda name, value, display: glued.append((name, value, display)))
    monkeypatch.setitem(sys.modules, "myst_nb", page)
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw, metadata: shown.append((bundle, raw, metadata)))
    fill(share=np.float32(0.123456), count=np.int64(-2), change="-0.1 (-0.2 to 0)")
    words = f"{MINUS}0.1 ({MINUS}0.2 to 0)"
    assert glued == [("share", pytest.approx(0.123456), False), ("count", -2.0, False), ("change", words, False)]
    assert [type(value) for _, value, _ in glued] == [float, float, str]
    line = f"share: 0.1235, count: {MINUS}2, change: {words}"
    assert shown == [({"text/plain": line}, True, {ASIDE: True})]
    assert ASIDE == staging.FOR_JUPYTERLAB  # by which a page of the book leaves the line out


def test_a_paragraph_is_markdown_with_minus_signs():
    shown = text(f"- It is **{-0.25:+.2f}**, from 28-112 labels.")
    assert shown.data == f"- It is **{MINUS}0.25**, from 28-112 labels."


def test_nothing_is_filled_in_without_the_books_tools(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    fill(share=0.5)
    assert capsys.readouterr().out == ""
