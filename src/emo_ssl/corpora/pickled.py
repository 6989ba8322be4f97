"""CMU-MOSEI as MMSA and MulT hand it on, cut into clips and pickled -> a Corpus, joined with the label file.

Both files are {"train": part, "valid": part, "test": part}; a part holds `audio` (N, T, D), padded with zeros at one
side, and `id`, and of labels the sentiment alone:

MMSA   unaligned_50.pkl, aligned_50.pkl       id: video$_$clip; regression_labels (N,)
MulT   mosei_senti_data_noalign.pkl           id: [video, start, end]; labels (N, 1, 1)

A clip is a recording and its video stands for the speaker, so that nothing reads across clips, and what a video says
stays together in statistics. Where the label of a clip is not certain, its frames serve pretraining alone.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora import unpickling
from emo_ssl.corpora.audio import SHORTEST
from emo_ssl.corpora.cleaning import EDGE, TOO_SHORT, Tally, drop, make_report, segment_table
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, Csd
from emo_ssl.corpora.folds import LEAST_KNOWN_SHARE, split_of_word
from emo_ssl.corpora.labels import base_of, clean, read_labels
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint
from emo_ssl.utils.values import ECHO, shortened

SAME_TIME, SAME_LENGTH, SAME_SENTIMENT = 0.02, 0.25, 1e-3  # seconds, seconds, points
STEADY = 0.9  # of the clips are as long as a frame rate says, unless a frame is a word
READ = ("audio", "id", "regression_labels", "labels")
UNMATCHED = "clips without a certain label, kept for pretraining"


def import_pickle(
    file: Path | str, labels: Path | str, output: Path | str, label_names: tuple[str, ...] | None = None
) -> Corpus:
    """Read, join, store, report. Returns at once where `output` already holds this corpus."""
    file = Path(file)
    with Csd(labels) as table:
        config = {
            "pickle": fingerprint(file) if file.is_file() else None,
            "labels": fingerprint(table.path),
            "label_names": list(label_names) if label_names else None,
        }
        with OutputFolder(output, "corpus", config) as out:
            if not out.complete:
                rows = read_labels(table, label_names)
                clean(rows, table.path)
                build(file, rows, table.path, out.path)
                out.finish()
    return Corpus.open(output)


def build(file: Path, rows: pd.DataFrame, labels: Path, folder: Path) -> None:
    clips, frames = read_clips(file)
    side = trim(clips, frames)
    rate, a_word = join(clips, rows, file, labels)
    tally, width = Tally(), frames[0].shape[1]
    names = FEATURE_NAMES if width == len(FEATURE_NAMES) else [f"feature {d}" for d in range(width)]
    with CorpusWriter(folder, names, rate) as writer:
        offset = np.zeros(len(clips), np.int64)
        for i, clip in enumerate(clips.itertuples()):
            own = np.array(frames[i][clip.first : clip.first + clip.length], np.float32)
            tally.mark_missing(own, names)
            offset[i] = writer.add_recording(clip.name, own, clip.split, clip.video)
        kept = clips.assign(clip=offset, recording=np.arange(len(clips))).set_index("match").loc[lambda c: c.index >= 0]
        found = kept.reindex(rows.index)  # the clip of each row of the label table
        drop(rows, found["name"].isna(), "no clip of the file has this label for certain")
        drop(rows, found["length"] / rate < SHORTEST - EDGE, TOO_SHORT)
        rows = rows.assign(first=found["clip"], fold=-1, category=-1, **found[["recording", "length", "split"]])
        unmatched = clips[clips["match"] < 0]
        for name in unmatched["name"]:
            tally.recording(UNMATCHED, name)
        tally.frames.update({"in": writer.frame_count, "kept": writer.frame_count})
        good = rows[rows["fate"] == ""].sort_values("recording")
        writer.seal(
            segment_table(good),
            good[list(EMOTIONS)].to_numpy(np.float32),
            EMOTIONS,
            make_report(rows, tally, len(clips), unmatched=unmatched[["name", "reason"]].to_dict("records")),
            source=f"{file.name} + {labels.name}; padding at the {side}, "
            f"{'one frame a word, mean rate' if a_word else 'frame rate'} measured",
            folds="given by the file",
        )


# --- the file


def read_clips(file: Path) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Name, video, place (in time), start, end (NaN in MMSA's), sentiment and split of clips; padded frames (T, D)."""
    data, clips, frames = unpickling.load(file), [], []
    try:
        parts = {split_of_word(unpickling.plain(key)): part for key, part in data.items()}
        for name in SPLITS[:3]:
            part = {unpickling.plain(key): value for key, value in parts[name].items()}
            part = {key: unpickling.plain(value) for key, value in part.items() if key in READ}
            sentiment = part["regression_labels"] if "regression_labels" in part else part["labels"]
            sentiment = np.asarray(sentiment, float).reshape(len(part["id"]), -1)[:, 0]
            if part["audio"].dtype.kind != "f" or part["audio"].shape[:1] != sentiment.shape or part["audio"].ndim != 3:
                raise ValueError(f"audio of {name} is {part['audio'].dtype} {part['audio'].shape}")
            clips += [(*about(one), s, SPLITS.index(name)) for one, s in zip(part["id"], sentiment, strict=True)]
            frames += list(part["audio"])
        if len({one.shape for one in frames}) != 1:
            raise ValueError("audio differs in shape from part to part")
    except (KeyError, *unpickling.BAD) as problem:
        reason = shortened(f"{type(problem).__name__}: {problem}", 2 * ECHO)
        raise UserError(f"{file}: not laid out as files of MMSA or MulT are ({reason}); is it one?") from problem
    clips = pd.DataFrame(clips, columns=["name", "video", "place", "start", "end", "sentiment", "split"])
    splits = clips.groupby("video")["split"].nunique()
    if (splits > 1).any():
        raise UserError(f"{file}: video {splits.idxmax()} stands in two parts, which would leak; leave it in one.")
    first = ~clips["name"].duplicated()
    return clips[first].reset_index(drop=True), [one for one, new in zip(frames, first, strict=True) if new]


def about(one: object) -> tuple[str, str, float, float, float]:
    """name, video, place, start and end of what an `id` names."""
    if isinstance(one, str):
        video, _, clip = one.partition("$_$")
        return one, base_of(video), float(clip), np.nan, np.nan
    video, start, end = (str(word) for word in one)
    f"{video}{start}{end}".encode()  # text that is none is a ValueError
    return f"{video} {start}-{end}", base_of(video), float(start), float(start), float(end)


def trim(clips: pd.DataFrame, frames: list[np.ndarray]) -> str:
    """Find the side of the padding, and add `first` and `length` of what is left; `full` where nothing was padded."""
    real = np.array([(one != 0).any(-1) for one in frames])  # (N, T); NaN and infinities are real
    filled, size = real.any(1), real.shape[1]
    before = np.where(filled, real.argmax(1), size)
    after = np.where(filled, real[:, ::-1].argmax(1), size)
    side = "front" if before[filled].sum() > after[filled].sum() else "back"
    padding = before if side == "front" else after
    clips["first"], clips["length"] = (padding if side == "front" else 0), size - padding
    clips["full"] = padding == 0
    return side


# --- the labels


def join(clips: pd.DataFrame, rows: pd.DataFrame, file: Path, labels: Path) -> tuple[float, bool]:
    """Add `match`, the row that each clip is for certain, else -1 with a `reason`; the frame rate, and if words count.

    MulT's clips name their interval. MMSA's are numbered in the order of time, so they have to fit into the rows of
    their video in this order, with the same sentiment and, where frames come at a steady rate, as long as the label.
    """
    if clips["start"].isna().any() and "sentiment" not in rows:
        raise UserError(f"{labels}: no column named sentiment, by which the clips of {file} are found; name it.")
    match(clips, rows, np.inf)
    seconds = (rows["end"] - rows["start"]).reindex(clips["match"]).to_numpy()
    whole = (clips["match"] >= 0) & ~clips["full"] & (clips["length"] > 0)
    if clips["match"].ge(0).mean() < LEAST_KNOWN_SHARE or not whole.any():
        raise UserError(
            f"{file}: only {(clips['match'] >= 0).sum()} of its {len(clips)} clips are found in {labels}; "
            "are both files of CMU-MOSEI?"
        )
    rate = float(np.median((clips["length"] / seconds)[whole]))
    rate = float(round(rate)) if abs(rate - round(rate)) < 0.03 * rate else round(rate, 2)
    steady = (np.abs(clips["length"] / rate - seconds)[whole] < SAME_LENGTH).mean() >= STEADY
    if steady:
        match(clips, rows, rate)
    return rate, not steady


def match(clips: pd.DataFrame, rows: pd.DataFrame, rate: float) -> None:
    """As `join` says; where the rate is infinite any length will do."""
    clips["match"], clips["reason"] = -1, ""
    rows_of = rows[rows["fate"] == ""].sort_values(["start", "end"]).groupby("name").groups
    for video, own in clips.sort_values("place", kind="stable").groupby("video"):
        there = rows.loc[rows_of.get(video, [])]
        if there.empty:
            clips.loc[own.index, "reason"] = "its video has no usable label"
            continue
        fits = fitting(own, there, rate)
        some = fits.any(1)
        clips.loc[own.index[~some], "reason"] = "no label of its video fits"
        found = certain(fits[some])
        clips.loc[own.index[some], "match"] = np.where(found >= 0, there.index.to_numpy()[found], -1)
        clips.loc[own.index[some][found < 0], "reason"] = "more than one label fits, or none in this order"


def fitting(clips: pd.DataFrame, rows: pd.DataFrame, rate: float) -> np.ndarray:
    """(C, R) bool: which row a clip may be."""

    def apart(name: str) -> np.ndarray:
        return np.abs(clips[name].to_numpy()[:, None] - rows[name].to_numpy())

    if clips["start"].notna().all():
        return (apart("start") < SAME_TIME) & (apart("end") < SAME_TIME)
    fits = apart("sentiment") < SAME_SENTIMENT
    if np.isfinite(rate):
        longer = (rows["end"] - rows["start"]).to_numpy() - clips["length"].to_numpy()[:, None] / rate
        fits &= (longer > -SAME_LENGTH) & ((longer < SAME_LENGTH) | clips["full"].to_numpy()[:, None])
    return fits


def certain(fits: np.ndarray) -> np.ndarray:
    """(C, R) -> (C,): the row of each clip in every way to choose later rows for later clips; -1 where ways differ."""

    def earliest(fits: np.ndarray) -> np.ndarray:
        places, next_row = [], 0
        for row in fits:
            ahead = np.flatnonzero(row[next_row:])
            if not len(ahead):
                return np.full(len(fits), -1)
            places.append(next_row + ahead[0])
            next_row = places[-1] + 1
        return np.array(places, np.int64)

    first, last = earliest(fits), earliest(fits[::-1, ::-1])[::-1]
    return np.where((first >= 0) & (first == fits.shape[1] - 1 - last), first, -1)
