"""What a model predicts, as a folder: one table, and for each recording a figure with its words beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS
from emo_ssl.figures.style import BLUE, INK, WIDTH, styled
from emo_ssl.predict import INTENSITY, OVERALL, PRESENCE, STEP, WINDOW, Prediction, predict
from emo_ssl.utils.io import OutputFolder, atomic_path, fingerprint, write_bytes

TABLE = "predictions.csv"
DOTS = 60  # windows up to which each is marked
MINUTES = 300  # seconds from which the axis counts minutes


@styled
def over_time(rows: pd.DataFrame, emotions: Sequence[str]) -> Figure:
    """Rows of one recording, as in `Prediction.table`: a panel an emotion, its presence in windows and in the whole."""
    windows, whole = rows[rows["part"] != OVERALL], rows[rows["part"] == OVERALL].iloc[0]
    unit, seconds = ("minutes", 60) if whole["end"] > MINUTES else ("seconds", 1)
    middle = (windows["start"] + windows["end"]) / 2 / seconds
    height = -(-len(emotions) // 3)
    figure, panels = plt.subplots(
        height, min(3, len(emotions)), figsize=(WIDTH, 1.0 + 1.6 * height), sharex=True, sharey=True, squeeze=False
    )
    marker = {"marker": "o", "markersize": 4} if len(windows) <= DOTS else {}
    dashed = {"color": INK, "linestyle": "--", "linewidth": 1.2}
    for axes, name in zip(panels.flat, emotions, strict=False):
        axes.plot(middle, windows[name + PRESENCE], color=BLUE, clip_on=False, **marker)
        axes.axhline(whole[name + PRESENCE], **dashed)
        axes.set_title(name)
        axes.grid(axis="y")
    for axes in panels.flat[len(emotions) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(emotions) - panels.shape[1]) : len(emotions)]:
        axes.set_xlabel(unit)
        axes.tick_params(labelbottom=True)
    panels[0, 0].set(xlim=(whole["start"] / seconds, whole["end"] / seconds), ylim=(0, 1))
    panels[0, 0].xaxis.set_major_locator(MaxNLocator(4))
    for axes in panels[:, 0]:
        axes.set_ylabel("presence")
    handles = [
        Line2D([], [], color=BLUE, label=f"windows of {WINDOW:g} s, at their middle", **marker),
        Line2D([], [], **dashed, label="the whole recording"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


def predict_into(model: Path | str, files: Sequence[Path | str], output: Path | str) -> Prediction:
    """Predict, and keep it in a folder that only this model and these recordings may fill."""
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
    taken = set()
    for file, rows in found.recordings():
        name = unused(Path(file).stem, taken)
        with atomic_path(folder / f"{name}.png") as temporary:
            over_time(rows, found.emotions).savefig(temporary, format="png")
        write_bytes(folder / f"{name}.md", caption(name, file, rows, found).encode())
    with atomic_path(folder / TABLE) as temporary:
        found.table.round(6).to_csv(temporary, index=False)


def unused(stem: str, taken: set[str]) -> str:
    """The stem, or the stem with a number: two recordings of one name get a figure each, on any file system."""
    name, number = stem, 1
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.lower())
    return name


def caption(name: str, file: str, rows: pd.DataFrame, found: Prediction) -> str:
    whole = rows[rows["part"] == OVERALL].iloc[0]
    presence = np.array([whole[emotion + PRESENCE] for emotion in found.emotions])
    first = found.emotions[int(presence.argmax())]
    lines = [f"| {e} | {whole[e + PRESENCE]:.2f} | {whole[e + INTENSITY]:.2f} |" for e in found.emotions]
    return (
        f"# {Path(file).name}\n\n![Presence of {len(found.emotions)} emotions over time; in the whole recording "
        f"{first} is the likeliest, {presence.max():.2f}]({name}.png)\n\nHow likely each emotion is present: in "
        f"windows of {WINDOW:g} s, one every {STEP:g} s (line), and in the whole recording (dashed). The same with "
        f"intensities from 0 to 3: `{TABLE}`.\n\n| the whole recording | presence | intensity |\n|---|---|---|\n"
        + "\n".join(lines)
        + f"\n\n{found.warning}\n"
    )
