"""The figure of one recording's predictions, and the names of several."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.figures import prediction

matplotlib.use("Agg")


def drawn(windows: int, emotions: int, seconds: float = 1.0) -> tuple[pd.DataFrame, list[str]]:
    names = list(EMOTIONS[:emotions])
    rows = [{"file": "a", "part": "overall", "start": 0.0, "end": (windows + 2) * seconds}]
    rows += [{"file": "a", "part": "window", "start": i * seconds, "end": (i + 3) * seconds} for i in range(windows)]
    values = {e + "_presence": np.linspace(0.1, 0.9, windows + 1) * (k + 1) / emotions for k, e in enumerate(names)}
    return pd.DataFrame(rows).assign(**values), names


@pytest.mark.parametrize(("windows", "emotions"), [(1, 1), (5, 6), (700, 4)])
def test_the_figure_shows_each_emotion_over_time(windows, emotions):
    rows, names = drawn(windows, emotions)
    panels = [axes for axes in prediction.presence_over_time(rows, names).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == names
    minute = 60 if windows > 300 else 1
    for axes, name in zip(panels, names, strict=True):
        line, whole = axes.lines
        assert line.get_ydata().tolist() == rows[name + "_presence"][1:].tolist()
        assert line.get_xdata()[0] == 1.5 / minute and set(whole.get_ydata()) == {rows[name + "_presence"][0]}
    assert panels[-1].get_xlabel() == ("minutes" if minute == 60 else "seconds")
