"""Where the execution of the notebooks stands, on a terminal or in a log, while a cell may run for minutes."""

import sys
import threading
import time
from typing import TextIO

from emo_ssl.utils import progress

IN_TERMINAL, IN_LOG = 1, 10  # seconds between two lines


def stream() -> TextIO:
    return sys.stderr


class Watch:
    """`with Watch("01-data (1 of 4)", cells, before, later) as watch:` and `watch.cell` is told of every cell.

    `before`: seconds that this notebook took the last time, `later`: those of the notebooks after it; None: unknown.
    """

    def __init__(self, label: str, cells: int, before: float | None = None, later: float | None = None):
        self.label, self.cells, self.before, self.later = label, cells, before, later
        self.at, self.source = 0, ""
        self.started = time.monotonic()
        self._over = threading.Event()
        self._teller: threading.Thread | None = None

    def cell(self, cell, cell_index: int) -> None:
        self.at, self.source = self.at + 1, cell.source

    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def left(self) -> float | None:
        """Seconds until the last notebook is done, if they take as long as they did before."""
        if self.before is None or self.later is None:
            return None
        return max(self.before - self.elapsed(), 0) + self.later

    def line(self) -> str:
        left = self.left()
        estimate = "" if left is None else f", about {progress.duration(left)} left"
        return f"{self.label}: cell {self.at} of {self.cells}, {progress.duration(self.elapsed())}{estimate}"

    def __enter__(self) -> "Watch":
        self._teller = threading.Thread(target=self._tell, args=(stream(),), daemon=True)
        self._teller.start()
        return self

    def _tell(self, stream: TextIO) -> None:
        terminal = stream.isatty()
        while not self._over.wait(IN_TERMINAL if terminal else IN_LOG):
            stream.write(f"\r\x1b[K{self.line()}" if terminal else f"{self.line()}\n")
            stream.flush()
        if terminal:
            stream.write("\r\x1b[K")
            stream.flush()

    def __exit__(self, kind, problem, trace) -> None:
        self._over.set()
        self._teller.join()
