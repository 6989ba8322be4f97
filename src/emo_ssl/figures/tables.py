"""Tables and numbers of a page, as a printer sets them and with the same bytes on every run."""

import html
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

if TYPE_CHECKING:
    from IPython.display import Markdown

MINUS = "\N{MINUS SIGN}"
NEGATIVE = re.compile(r"(?<![\w.-])-(?=\.?\d)")


def typeset(text: str) -> str:
    """A minus sign in front of negative numbers; a hyphen, as in 28-112 or fold-3, stays one."""
    return NEGATIVE.sub(MINUS, text)


def table(
    frame: pd.DataFrame,
    name: str,
    formats: Mapping[str, str] | str | None = None,
    index: bool = True,
    wide: bool = False,
    caption: str = "",
) -> Styler:
    """A table for a page, the twin of a figure; formats as in pandas. `name` keeps its ids the same on every run.

    One that is `wide` holds sentences: on a phone it scrolls in its box instead of breaking them into single words.
    """
    frame = frame.rename_axis(index=None, columns=[None] * frame.columns.nlevels)  # their names would take a row
    look = "margin-bottom: 1.2em" + ("; min-width: 34em" if wide else "")
    shown = frame.style.set_uuid(name).set_table_attributes(f'class="dataframe" style="{look}"')
    of_column = formats if isinstance(formats, Mapping) else dict.fromkeys(frame.columns, formats)
    shown = shown.format({name: writer(of_column.get(name)) for name in frame.columns}, na_rep="–")
    shown = shown.set_caption(html.escape(caption)) if caption else shown
    return shown if index else shown.hide(axis="index")


def writer(template: str | None) -> Callable[[object], str]:
    """How a column's values are written: by a format, or as text, whole numbers and three decimals are."""

    def write(value: object) -> str:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        usual = "{:,.3f}" if isinstance(value, float | np.floating) else "{:,}" if whole else "{}"
        return typeset((template or usual).format(value))

    return write


def folded(shown: Styler, title: str) -> str:
    """A long table as HTML that opens on a click: for those who want every line."""
    marked = '<summary style="list-style: revert">'  # JupyterLab takes the triangle away that says it opens
    return f"<details>{marked}{html.escape(title)}</summary>{shown.to_html()}</details>"


def text(markdown: str) -> "Markdown":
    """A paragraph with numbers, for a cell whose code is folded: every reader of the notebook shows it alike."""
    from IPython.display import Markdown

    return Markdown(typeset(markdown))
