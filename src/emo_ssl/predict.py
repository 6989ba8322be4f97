"""What a saved model predicts for recordings: for the whole of each, and over time.

The model is speaker-independent: its frames are normalised by statistics of its training speakers, and nothing is
learnt about who speaks here, however many recordings of one person are given.

Over time means windows of WINDOW seconds, one every STEP, the last of them ending with the sound. The whole is
predicted as a clip of the corpus is, in one go; beyond LONGEST seconds, which no clip has, it is the mean over equal
parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd

from emo_ssl.core.predictor import EmotionModel, load_model
from emo_ssl.corpora import audio, front_ends
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.corpora.front_ends import FrontEnd
from emo_ssl.utils.io import UserError
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.values import printable

WINDOW, STEP, LONGEST = 3.0, 1.0, 60.0  # seconds
TOGETHER = 600  # runs of frames that the model is given at once
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
    notes: list[dict[str, str]] = field(default_factory=list)  # file, note
    warning: str = ""

    @property
    def emotions(self) -> list[str]:
        return [name.removesuffix(PRESENCE) for name in self.table.columns if name.endswith(PRESENCE)]


def predict(model: Path | str, files: Sequence[Path | str]) -> Prediction:
    """Read each file once, in the order given."""
    audio.soundfile_module()  # rather refused now than once for every file
    saved = load_model(model)
    maker = front_end_of(saved.description, model)
    rows, left_out, notes = [], [], []
    paths = list(dict.fromkeys(str(file) for file in files))
    with Progress("predicting", len(paths), "files") as bar:
        for path in paths:
            try:
                rows += predict_one(saved, maker, path)
                notes += [{"file": printable(path), "note": note}] if (note := audio.narrower(path)) else []
            except BadRecording as problem:
                left_out.append({"file": printable(path), "reason": str(problem)})
            bar.advance(1, f"{len(left_out)} left out" if left_out else "")
    values = [name + what for what in (INTENSITY, PRESENCE) for name in saved.description["target_names"]]
    category = ["category"] * bool(saved.description["category_names"])
    table = pd.DataFrame(rows, columns=["file", "part", "start", "end", *values, *category])
    return Prediction(table, left_out, notes, warning(saved.description))


def front_end_of(description: dict, folder: Path | str) -> FrontEnd:
    """What makes frames as they were made for the model; refused where nothing does."""
    name, version = description["front_end"], description.get("front_end_version")
    if description.get("speech_encoder"):
        from emo_ssl.corpora import encoders  # which other models do without

        maker = encoders.of_model(description, folder)
    elif version is None or name not in front_ends.FRONT_ENDS:
        raise UserError(f"{folder}: its features are not made from sound by a known front end; {RECORD_AGAIN}.")
    else:
        maker = front_ends.front_end(name)
    if (maker.version, list(maker.feature_names)) != (version, description["feature_names"]):
        raise UserError(
            f"{folder}: trained on frames of the front end {name} version {version}, and here is version "
            f"{maker.version}; install that version, or {RECORD_AGAIN}."
        )
    return maker


def predict_one(model: EmotionModel, maker: FrontEnd, path: str) -> list[list]:
    """The rows of one recording: the whole first, then its windows in the order of time."""
    description, rate = model.description, maker.frame_rate
    pieces, begins, ends = zip(*front_ends.stretches(path, maker, bool(description["keep_silence"])), strict=True)
    frames, began, ended = np.concatenate(pieces), begins[0], ends[-1]
    if not len(frames):
        raise BadRecording("too short for a single frame")
    frames[~np.isfinite(frames)] = np.nan
    parts = np.array_split(frames, -(-len(frames) // round(LONGEST * rate)))
    whole = np.average(outputs(model, parts), axis=0, weights=[len(part) for part in parts])
    size = round(WINDOW * rate)
    first = window_starts(len(frames), size, round(STEP * rate))
    times = began + np.stack([first, np.minimum(first + size, len(frames))], 1) / rate
    times[-1, 1] = ended  # frames end a little earlier than the sound that the last one looked at
    windows = outputs(model, [frames[f : f + size] for f in first])
    rows, shown = [], printable(path)
    for i, ((start, end), values) in enumerate(zip([(began, ended), *times], [whole, *windows], strict=True)):
        emotions, scores = np.split(values, [2 * len(description["target_names"])])
        category = [description["category_names"][scores.argmax()]] if len(scores) else []
        rows.append([shown, OF_WINDOW if i else OVERALL, float(start), float(end), *emotions.tolist(), *category])
    return rows


def window_starts(frames: int, size: int, step: int) -> np.ndarray:
    """A window begins every `step` frames, and one more ends with the last frame where none of them does."""
    last = max(0, frames - size)
    return np.unique(np.append(np.arange(0, last + 1, step), last))


def outputs(model: EmotionModel, runs: Sequence[np.ndarray]) -> np.ndarray:
    """Frames (T_i, D) of n runs -> (n, 2 E + C): intensities, presences, scores of categories."""
    found = []
    for i in range(0, len(runs), TOGETHER):
        predicted = model.predict(runs[i : i + TOGETHER])
        scores = [] if predicted.category is None else [predicted.category[0]]
        found.append(np.concatenate([predicted.intensity[0], predicted.presence[0], *scores], axis=1))
    return np.concatenate(found)


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
    notes = [fill(f"{one['file']} {one['note']}.", WIDE) for one in found.notes]
    return "\n\n".join([*parts, *notes, legend, fill(found.warning, WIDE)])
