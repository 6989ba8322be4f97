"""Progress with the time left: a bar in a terminal and under a notebook's cell, a line every ten seconds in a log.

TQDM_DISABLE=1 silences it, as it does for all of tqdm; the book's pages and the tests are made with that.
"""

import os
import sys
import warnings

from tqdm import TqdmWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # without ipywidgets a notebook gets bars of text
    from tqdm.auto import tqdm

COUNTED = "{n:,.0f} of {total:,.0f} {unit}"
ON_SCREEN = "{desc} {percentage:3.0f}% |{bar}| " + COUNTED + ", {elapsed} so far, {remaining} left{postfix}"
IN_A_LOG = "{desc}: " + COUNTED + " ({percentage:.0f}%), {elapsed} so far, {remaining} left{postfix}"
EVERY = 10  # seconds between two lines of a log


class Lines:
    """A stream for logs: what tqdm draws over and over becomes one line each time."""

    last = ""

    def write(self, text: str) -> None:
        line = text.strip()
        if line not in ("", self.last):
            sys.stderr.write(f"{line}\n")
            self.last = line

    def flush(self) -> None:
        sys.stderr.flush()


class Progress(tqdm):
    """`with Progress("preparing", total, "frames") as bar: bar.advance(n, note="…")`"""

    monitor_interval = 0  # no thread beside us: processes are forked from here

    def __init__(self, label: str, total: float, unit: str = ""):
        in_notebook = type(sys.stderr).__module__.startswith("ipykernel")
        on_screen = in_notebook or sys.stderr.isatty()
        screen = sys.stdout if in_notebook else sys.stderr  # a notebook shows stderr in red
        super().__init__(
            desc=label,
            total=total,
            unit=unit,
            file=screen if on_screen else Lines(),
            bar_format=ON_SCREEN if on_screen else IN_A_LOG,
            dynamic_ncols=on_screen,
            delay=0.5 if on_screen else EVERY,
            mininterval=0.2 if on_screen else EVERY,
            miniters=0,
            disable=os.environ.get("TQDM_DISABLE", "0") not in ("", "0") or os.environ.get("RANK", "0") != "0",
        )

    def advance(self, amount: float = 1, note: str = "") -> None:
        if note:
            self.set_postfix_str(note, refresh=False)
        self.update(min(amount, self.total - self.n))  # totals may be estimates
