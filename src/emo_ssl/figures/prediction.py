"""Predictions as a folder: a table, the warning in words, and a figure for each recording."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS
from emo_ssl.figures import style
from emo_ssl.predict import OVERALL, PRESENCE, WINDOW, Prediction, in_words, predict
from emo_ssl.utils.io import OutputFolder, atomic_path, fingerprint, write_bytes

TABLE, WORDS = "predictions.csv", "predictions.txt"
DOTS = 60  # windows up to which each is marked
MINUTES = 300  # seconds from which the axis counts minutes


@style.styled
def presence_over_time(rows: pd.DataFrame, emotions: Sequence[str], truth: Sequence[tuple[float, str]] = ()) -> Figure:
    """Rows of one recording, as in `Prediction.table`: a panel an emotion, its presence in windows and in the whole.

    truth: when each emotion begins, in seconds, and which; a panel is shaded while its emotion is there
    """
    windows, whole = rows[rows["part"] != OVERALL], rows[rows["part"] == OVERALL].iloc[0]
    unit, seconds = ("minutes", 60) if whole["end"] > MINUTES else ("seconds", 1)
    middle = (windows["start"] + windows["end"]) / 2 / seconds
    figure, panels = style.small_multiples(len(emotions), 3, 1.6, 1.0, unit, "presence", sharex=True, sharey=True)
    line = {"color": style.BLUE, "label": f"windows of {WINDOW:g} s, at their middle"}
    shade = {"color": style.PALE, "alpha": 0.6, "linewidth": 0, "label": "the truth"}
    ends = [*(begin for begin, _ in truth), whole["end"]][1:] if truth else []
    if len(windows) <= DOTS:
        line |= {"marker": "o", "markersize": 4}
    for axes, name in zip(panels, emotions, strict=True):
        axes.plot(middle, windows[name + PRESENCE], clip_on=False, **line)
        axes.axhline(
            whole[name + PRESENCE], color=style.INK, linestyle="--", linewidth=1.2, label="the whole recording"
        )
        axes.set_title(name)
        axes.grid(axis="y")
        for (begin, what), end in zip(truth, ends, strict=True):
            if what == name:
                axes.axvspan(begin / seconds, end / seconds, **shade)
    panels[0].set(xlim=(whole["start"] / seconds, whole["end"] / seconds), ylim=(0, 1))
    panels[0].xaxis.set_major_locator(MaxNLocator(4))
    style.legend(figure, 3 if truth else 2)
    return figure


def predict_into(model: Path | str, files: Sequence[Path | str], output: Path | str) -> Prediction:
    """Predict, and keep the predictions in a folder that only this model and these recordings may fill."""
    plt.switch_backend("agg")  # nothing is shown, so no screen is asked for
    paths = {str(file): fingerprint(Path(file)) if Path(file).is_file() else None for file in files}
    there = [Path(model) / name for name in (WEIGHTS, DESCRIPTION)]
    setting = {"model": [fingerprint(path) for path in there if path.exists()], "recordings": paths}
    with OutputFolder(output, "set of predictions", setting) as out:
        found = predict(model, files)
        if len(found.table) and not out.complete:
            write(found, out.path)
            out.finish()
    return found


def write(found: Prediction, folder: Path) -> None:
    recordings = found.table.groupby("file", sort=False)
    for number, (file, rows) in enumerate(recordings):  # names of files may repeat, numbers do not
        with atomic_path(folder / f"{number}-{Path(file).stem}.png") as temporary:
            presence_over_time(rows, found.emotions).savefig(temporary, format="png")
    write_bytes(folder / WORDS, f"{in_words(found)}\n".encode())
    with atomic_path(folder / TABLE) as temporary:
        found.table.round(6).to_csv(temporary, index=False)
