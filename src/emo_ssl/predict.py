"""What a saved model predicts for recordings: for the whole of each, and over time.

The model is speaker-independent: its frames are normalised by statistics of its training speakers, and nothing is
learnt about who speaks here, however many recordings of one person are given.

Over time means windows of WINDOW seconds, one every STEP, the last of them ending with the sound. The whole is
predicted as a clip of the corpus is, in one go; beyond LONGEST seconds, which no clip has, it is the mean over equal
parts.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd

from emo_ssl.core.predictor import EmotionModel, load_model
from emo_ssl.corpora import audio, front_ends
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.corpora.front_ends import FrontEnd, Stretch
from emo_ssl.utils.io import UserError
from emo_ssl.utils.progress import Progress

WINDOW, STEP, LONGEST = 3.0, 1.0, 60.0  # seconds
OVERALL, OF_WINDOW = "overall", "window"
INTENSITY, PRESENCE = "_intensity", "_presence"
WIDE = 100  # letters in a line on a terminal
SHOWN = 12  # windows of a recording on a terminal
RECORD_AGAIN = "record the corpus with `emo-ssl corpus record` and fine-tune again"


@dataclass(frozen=True)
class Prediction:
    """Rows of all recordings that could be used, and why the others could not."""

    table: pd.DataFrame  # file, part, start, end, <emotion>_intensity …, <emotion>_presence …, category where known
    left_out: list[dict[str, str]] = field(default_factory=list)  # file, reason
    warning: str = ""

    @property
    def emotions(self) -> list[str]:
        return [name.removesuffix(PRESENCE) for name in self.table.columns if name.endswith(PRESENCE)]


def predict(model: Path | str, files: Sequence[Path | str]) -> Prediction:
    """Read each file once, in the order given."""
    audio.soundfile_module()  # rather refused now than once for every file
    saved = load_model(model)
    maker = front_end_of(saved.description, model)
    rows, left_out = [], []
    paths = list(dict.fromkeys(str(file) for file in files))
    with Progress("predicting", len(paths), "files") as bar:
        for path in paths:
            try:
                rows += predict_one(saved, maker, path)
            except BadRecording as problem:
                left_out.append({"file": path, "reason": str(problem)})
            bar.advance(1, f"{len(left_out)} left out" if left_out else "")
    values = [name + what for what in (INTENSITY, PRESENCE) for name in saved.description["target_names"]]
    category = ["category"] * bool(saved.description["category_names"])
    table = pd.DataFrame(rows, columns=["file", "part", "start", "end", *values, *category])
    return Prediction(table, left_out, warning(saved.description))


def front_end_of(description: dict, folder: Path | str) -> FrontEnd:
    """What makes frames as they were made for the model; refused where nothing does."""
    name, version = description["front_end"], description.get("front_end_version")
    if version is None or name not in front_ends.FRONT_ENDS:
        raise UserError(f"{folder}: its features are not made from sound by a known front end; {RECORD_AGAIN}.")
    maker = front_ends.front_end(name)
    if (maker.version, list(maker.feature_names)) != (version, description["feature_names"]):
        raise UserError(
            f"{folder}: trained on frames of the front end {name} version {version}, and here is version "
            f"{maker.version}; install that version, or {RECORD_AGAIN}."
        )
    return maker


def predict_one(model: EmotionModel, maker: FrontEnd, path: str) -> list[list]:
    """The rows of one recording: the whole first, then its windows in the order of time."""
    rate = maker.frame_rate
    edges, weights, of_parts, times, of_windows = [], [], [], [], []

    def predicted_parts(found: Iterable[Stretch]) -> Iterator[np.ndarray]:
        for frames, start, end in found:
            frames[~np.isfinite(frames)] = np.nan
            edges.append((start, end))
            if len(frames):
                runs = np.array_split(frames, -(-len(frames) // round(LONGEST * rate)))
                of_parts.append(outputs(model, runs))
                weights.extend(map(len, runs))
            yield frames

    found = front_ends.stretches(path, maker, bool(model.description["keep_silence"]))
    for ready in windows(predicted_parts(found), round(WINDOW * rate), round(STEP * rate)):
        times += [(edges[0][0] + first / rate, edges[0][0] + (first + len(frames)) / rate) for first, frames in ready]
        of_windows.append(outputs(model, [frames for _, frames in ready]))
    if not times:
        raise BadRecording("too short for a single frame")
    began, ended = edges[0][0], edges[-1][1]
    times[-1] = (times[-1][0], ended)  # frames end a little earlier than the sound that the last one looked at
    whole = np.average(np.concatenate(of_parts), axis=0, weights=weights)
    parts = [OVERALL] + [OF_WINDOW] * len(times)
    rows = []
    for part, time, values in zip(parts, [(began, ended), *times], [whole, *np.concatenate(of_windows)], strict=True):
        emotions, scores = np.split(values, [2 * len(model.description["target_names"])])
        category = [model.description["category_names"][scores.argmax()]] if len(scores) else []
        rows.append([path, part, *time, *emotions.tolist(), *category])
    return rows


def outputs(model: EmotionModel, runs: Sequence[np.ndarray]) -> np.ndarray:
    """Frames (T_i, D) of n runs -> (n, 2 E + C): intensities, presences, scores of categories."""
    found = model.predict(runs)
    scores = [] if found.category is None else [found.category[0]]
    return np.concatenate([found.intensity[0], found.presence[0], *scores], axis=1)


def windows(found: Iterable[np.ndarray], size: int, step: int) -> Iterator[list[tuple[int, np.ndarray]]]:
    """Stretches of frames (T, D) one after the other -> windows (first frame, frames), a list for each stretch.

    A window begins every `step` frames, and one more ends with the last frame where none of them does.
    """
    kept, begun, following, covered = None, 0, 0, 0
    for frames in found:
        kept = frames if kept is None else np.concatenate((kept, frames))
        starts = range(following, begun + len(kept) - size + 1, step)
        if starts:
            yield [(first, kept[first - begun :][:size]) for first in starts]
            following, covered = starts[-1] + step, starts[-1] + size
        begun, kept = begun + max(0, len(kept) - size), kept[-size:]
    if kept is not None and begun + len(kept) > covered:
        yield [(begun, kept)]


def warning(description: dict) -> str:
    """What the model cannot know, in words for whoever sees its predictions."""
    test, names = description["test"], description["category_names"]
    measured = [f"a mean absolute error of {test['mae']:.2f}"] if test.get("mae") is not None else []
    if test.get("uar") is not None:
        measured.insert(0, f"a UAR of {test['uar']:.2f} (guessing: {1 / len(names):.2f})")
    elif test.get("auroc") is not None:
        measured.insert(0, f"an AUROC of {test['auroc']:.2f} (guessing: 0.50)")
    reached = f"reached {' and '.join(measured)} on that corpus's test recordings" if measured else "were never tested"
    return (
        "This model knows only the voices, the language, the recording conditions and the acted or real manner of "
        f"its training corpus ({description['corpus']['source']}); it predicts which labels a voice would get in that "
        "corpus, and cannot know what a person feels. Its predictions were learnt from "
        f"{description['labels']:,} labelled segments and {reached}. Do not use them for decisions about people."
    )


def in_words(found: Prediction) -> str:
    """For a terminal: a table for each recording, and the warning."""
    parts = []
    for file, rows in found.table.groupby("file", sort=False):
        shown = rows.drop(columns=["file", *(name + INTENSITY for name in found.emotions)])
        shown = shown.rename(columns=lambda name: name.removesuffix(PRESENCE)).head(1 + SHOWN)
        parts.append(f"{file}\n{shown.to_string(index=False, float_format='{:.2f}'.format)}")
        if len(rows) > len(shown):
            parts[-1] += f"\n… and {len(rows) - len(shown):,} more windows, which -o DIR writes down or --json prints"
    legend = "How likely each emotion is present; -o DIR and --json give its intensity, from 0 to 3, too."
    return "\n\n".join([*parts, legend, fill(found.warning, WIDE)])
