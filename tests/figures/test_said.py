"""Numbers handed to a page's text: plain values for the book, a line of them for JupyterLab."""

import sys

import IPython.display
import numpy as np
import pytest

from emo_ssl.said import SAID, say


@pytest.fixture
def page(monkeypatch):
    """What the book's glue was given, and what was shown."""
    glued, shown = [], []
    module = type(sys)("myst_nb")
    module.glue = lambda name, value, display: glued.append((name, value, display))
    monkeypatch.setitem(sys.modules, "myst_nb", module)
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw, metadata: shown.append((bundle, raw, metadata)))
    return glued, shown


def test_the_page_gets_plain_values(page):
    say(share=np.float32(0.5), word="happy", count=np.int64(3), change="-0.1 (-0.2 to 0)")
    glued, _ = page
    assert glued[:3] == [("share", 0.5, False), ("word", "happy", False), ("count", 3.0, False)]
    assert [repr(value) for _, value, _ in glued[:3]] == ["0.5", "'happy'", "3.0"]
    assert glued[3][1] == "\N{MINUS SIGN}0.1 (\N{MINUS SIGN}0.2 to 0)"


def test_jupyterlab_gets_one_line_with_names_and_values(page):
    say(share=0.123456, gain=-2, word="happy")
    line = "share: 0.1235, gain: \N{MINUS SIGN}2, word: happy"
    assert page[1] == [({"text/plain": line}, True, {SAID: True})]


def test_nothing_is_said_without_the_books_tools(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "myst_nb", None)
    say(share=0.5)
    assert capsys.readouterr().out == ""
