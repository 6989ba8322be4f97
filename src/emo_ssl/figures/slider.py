"""Pictures under sliders, for JupyterLab and for a page without a server: plain HTML that carries all of them."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from IPython.display import HTML

# what moving a slider does: show the picture at the sliders' places, write its name beside it and for a screen reader
MOVE = (
    "const box = this.closest('.emo-slider');"
    "const place = [...box.querySelectorAll('input')].reduce((sum, one) => sum * (+one.max + 1) + +one.value, 0);"
    "box.querySelectorAll('img').forEach((picture, number) => picture.hidden = number != place);"
    "const name = JSON.parse(this.dataset.names)[this.value];"
    "this.parentElement.nextElementSibling.textContent = name; this.setAttribute('aria-valuetext', name);"
)
RESOLUTION = 100  # dots an inch: many pictures, so each has to be small


def slider(
    title: str | Sequence[str], pictures: Mapping[str | tuple[str, ...], Figure], alt: str, start: int = 0
) -> "HTML":
    """One picture at a time, chosen by a slider; `alt` says in words what changes with it. The figures are closed.

    With several titles there are as many sliders, and a picture for every combination of their names: ("a", "x"),
    ("a", "y"), ("b", "x"), ("b", "y").
    """
    from IPython.display import HTML

    keys = [(key,) if isinstance(key, str) else key for key in pictures]
    names = [list(dict.fromkeys(column)) for column in zip(*keys, strict=True)]
    if keys != list(product(*names)):
        raise ValueError("sliders need a picture for every combination of their names, in order")
    titles = [title] if isinstance(title, str) else title
    ranges = [one_range(*each) for each in zip(titles, names, keys[start], strict=True)]
    images = []
    for number, (key, figure) in enumerate(zip(keys, pictures.values(), strict=True)):
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=RESOLUTION, facecolor="white", metadata={"Software": None})
        plt.close(figure)
        data = base64.b64encode(drawn.getvalue()).decode()
        words = html.escape(f"{alt} Here: {', '.join(key)}.", quote=True)
        images.append(f'<img src="data:image/png;base64,{data}" alt="{words}"{"" if number == start else " hidden"}>')
    return HTML(f'<div class="emo-slider">{"".join(ranges)}<div>{"".join(images)}</div></div>')


def one_range(title: str, names: Sequence[str], name: str) -> str:
    """A slider over names, standing at one of them."""
    settings = {
        "max": len(names) - 1,
        "value": names.index(name),
        "data-names": json.dumps(names),
        "aria-valuetext": name,
        "oninput": MOVE,
    }
    written = " ".join(f'{key}="{html.escape(str(value), quote=True)}"' for key, value in settings.items())
    return (
        f'<div><label>{html.escape(title)} <input type="range" min="0" step="1" {written}></label> '
        f"<output>{html.escape(name)}</output></div>"
    )
