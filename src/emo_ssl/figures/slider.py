"""Pictures under a slider, for JupyterLab and for a page without a server: plain HTML that carries all of them."""

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from IPython.display import HTML

# what moving the slider does: show the picture of that number, say its name beside it and to a screen reader
MOVE = (
    "const box = this.closest('.emo-slider');"
    "box.querySelectorAll('img').forEach((picture, number) => picture.hidden = number != this.value);"
    "const name = box.querySelectorAll('img')[this.value].dataset.name;"
    "box.querySelector('output').textContent = name; this.setAttribute('aria-valuetext', name);"
)
RESOLUTION = 100  # dots an inch: many pictures, so each has to be small


def slider(title: str, pictures: Mapping[str, Figure], alt: str, start: int = 0) -> "HTML":
    """One picture at a time, chosen by a slider; `alt` says in words what changes with it. The figures are closed."""
    from IPython.display import HTML

    names = list(pictures)
    images = []
    for number, (name, figure) in enumerate(pictures.items()):
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=RESOLUTION, facecolor="white", metadata={"Software": None})
        plt.close(figure)
        data, words = base64.b64encode(drawn.getvalue()).decode(), html.escape(f"{alt} Here: {name}.", quote=True)
        images.append(
            f'<img src="data:image/png;base64,{data}" alt="{words}" data-name="{html.escape(name, quote=True)}"'
            f"{'' if number == start else ' hidden'}>"
        )
    return HTML(
        f'<div class="emo-slider"><label>{html.escape(title)} '
        f'<input type="range" min="0" max="{len(names) - 1}" step="1" value="{start}" '
        f'aria-valuetext="{html.escape(names[start], quote=True)}" oninput="{html.escape(MOVE, quote=True)}">'
        f"</label> <output>{html.escape(names[start])}</output><div>{''.join(images)}</div></div>"
    )
