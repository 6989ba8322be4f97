"""Progress with time left, for a terminal or a log. Silent until a program turns it on: no bar leaks into a page."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

_stream: TextIO | None = None


def show_on(stream: TextIO | None) -> None:
    """Send progress to `stream`; None silences it. The command line turns it on, notebooks leave it off."""
    global _stream
    _stream = stream


def stream() -> TextIO | None:
    """Where progress goes at present."""
    return _stream


def duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


class Progress:
    """`with Progress("cutting", total) as bar: bar.advance(n)`; redrawn on a terminal, a line every 10 s in a log."""

    def __init__(self, label: str, total: float, unit: str = ""):
        self.label, self.total, self.unit = label, total, unit
        self.done, self.note = 0.0, ""
        self.started = self._drawn = time.monotonic()
        self._tty = bool(_stream and _stream.isatty())

    def __enter__(self) -> "Progress":
        return self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self.done += amount
        self.note = note or self.note
        if _stream and time.monotonic() - self._drawn > (0.1 if self._tty else 10):
            self._draw()

    def line(self) -> str:
        elapsed = time.monotonic() - self.started
        share = self.done / self.total if self.total else 1.0
        left = f"{duration(elapsed / share - elapsed)} left" if 0 < share < 1 else f"took {duration(elapsed)}"
        unit = f" {self.unit}" if self.unit else ""
        note = f"  {self.note}" if self.note else ""
        return f"{self.label}: {self.done:,.0f} of {self.total:,.0f}{unit} ({share:.0%}), {left}{note}"

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        _stream.write(f"\r\x1b[K{self.line()}" if self._tty else f"{self.line()}\n")
        _stream.flush()

    def __exit__(self, kind, problem, trace) -> None:
        if not _stream:
            return
        self._draw()
        if self._tty:
            _stream.write("\n")


def tracked(items: Iterable, label: str, total: int | None = None, unit: str = "") -> Iterator:
    total = len(items) if total is None else total
    with Progress(label, total, unit) as bar:
        for item in items:
            yield item
            bar.advance()


def to_terminal() -> None:
    show_on(sys.stderr)
