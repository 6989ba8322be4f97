"""Sounds to play, for JupyterLab and for a page without a server: plain HTML that carries them as MP3."""

import base64
import html
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from IPython.display import HTML


def players(sounds: Mapping[str, tuple[np.ndarray, int]]) -> "HTML":
    """name -> (samples (T,), Hz): a player each, labelled by its name; they wrap where a row is full."""
    import soundfile
    from IPython.display import HTML

    shown = []
    for name, (samples, rate) in sounds.items():
        encoded = io.BytesIO()
        soundfile.write(encoded, samples, rate, format="MP3")
        data, label = base64.b64encode(encoded.getvalue()).decode(), html.escape(name, quote=True)
        shown.append(
            f'<div style="display: inline-block; margin: 0 1em 0.6em 0"><div>{label}</div>'
            f'<audio controls preload="metadata" aria-label="{label}" style="max-width: 100%; width: 18em" '
            f'src="data:audio/mpeg;base64,{data}"></audio></div>'
        )
    return HTML(f'<div class="emo-players">{"".join(shown)}</div>')
