"""Progress: bars where somebody looks, lines in a log, nothing where it is switched off."""

import io
import re
import sys
import time

import pytest

from emo_ssl.utils import progress
from emo_ssl.utils.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


OfAKernel = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})


@pytest.fixture
def switched_on(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "0")


def work(steps: int = 4, seconds: float = 0.0) -> None:
    with Progress("preparing", 4, "frames") as bar:
        for step in range(steps):
            time.sleep(seconds)
            bar.advance(1, note=f"loss {step}")


def test_nothing_where_it_is_switched_off(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    work()
    assert capsys.readouterr() == ("", "")


def test_lines_in_a_log(switched_on, capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    work(steps=3)
    out, err = capsys.readouterr()
    line = r"preparing: 3 of 4 frames \(75%\), \d\d:\d\d so far, \d\d:\d\d left, loss 2"
    assert out == "" and re.fullmatch(line, err.splitlines()[-1])
    assert "\r" not in err and "\n\n" not in err


@pytest.mark.parametrize(("stream", "shown_on"), [(Terminal, "stderr"), (OfAKernel, "stdout")])
def test_a_bar_in_a_terminal_and_in_a_notebook(switched_on, monkeypatch, stream, shown_on):
    streams = {"stdout": stream(), "stderr": stream()}
    for name, one in streams.items():
        monkeypatch.setattr(sys, name, one)
    work(seconds=0.2)
    shown = streams.pop(shown_on).getvalue()
    assert "\rpreparing 100% |#" in shown and "4 of 4 frames" in shown and shown.count("\n") == 1
    assert [other.getvalue() for other in streams.values()] == [""]
