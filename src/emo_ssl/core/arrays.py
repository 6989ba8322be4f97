"""A corpus out of arrays and a table of labels: the way in for anybody's own features."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.writer import SPLITS, CorpusWriter, SegmentTable
from emo_ssl.utils.io import OutputFolder, UserError, hash_of

NO_EMOTION = ("recording", "speaker", "start", "end", "category", "split")
STRONGEST = 3.0


def write(
    folder: Path | str,
    frames: Mapping[str, object],
    labels: pd.DataFrame,
    frame_rate: float,
    folds: int,
    feature_names: Sequence[str] | None,
    half: bool,
    source: str,
) -> None:
    """See Corpus.write."""
    arrays = {str(name): as_frames(str(name), values) for name, values in frames.items()}
    widths = {values.shape[1] for values in arrays.values()}
    if len(widths) != 1:
        raise UserError(
            f"recordings have {sorted(widths) or 'no'} features; each needs the same, and there must be one."
        )
    names = [f"feature {d}" for d in range(widths.pop())] if feature_names is None else list(map(str, feature_names))
    if arrays and len(names) != next(iter(arrays.values())).shape[1]:
        raise UserError(
            f"{len(names)} feature names for {next(iter(arrays.values())).shape[1]} features; name each once."
        )
    table = checked(labels, arrays, frame_rate)
    digests = {name: hashlib.sha256(values).hexdigest() for name, values in arrays.items()}
    setting = {"frames": hash_of(digests), "labels": hash_of(table.to_json()), "rate": frame_rate, "half": half}
    setting |= {"folds": folds, "features": hash_of(names), "source": source}
    with OutputFolder(folder, "corpus", setting) as out:
        if not out.complete:
            fill(out.path, arrays, table, frame_rate, folds, names, half, source)
            out.finish()


def as_frames(name: str, values: object) -> np.ndarray:
    """(T, D) float32 of a numpy array, a torch tensor or a DataFrame; infinities count as missing."""
    try:
        array = np.asarray(values, np.float32)  # np.array warns of a torch tensor
    except (TypeError, ValueError) as problem:
        raise UserError(f"{name}: its frames are not numbers ({problem}); give an array (T, D).") from problem
    if array.ndim != 2:
        raise UserError(f"{name}: its frames have the shape {array.shape}; give an array (T, D).")
    return np.ascontiguousarray(np.where(np.isfinite(array), array, np.float32(np.nan)))


def checked(labels: pd.DataFrame, arrays: Mapping[str, np.ndarray], frame_rate: float) -> pd.DataFrame:
    """The table with every column filled in, or a refusal that names the row."""
    if "recording" not in labels:
        raise UserError("labels: there is no column recording; name the recording of each segment there.")
    table = labels.reset_index(drop=True).assign(recording=labels["recording"].astype(str).to_numpy())
    unknown = table.loc[~table["recording"].isin(list(arrays)), "recording"]
    if len(unknown):
        raise UserError(f"labels, row {unknown.index[0]}: no frames of recording {unknown.iloc[0]}; add or drop them.")
    seconds = table["recording"].map({name: len(values) / frame_rate for name, values in arrays.items()})
    for name, usual in (("start", 0.0), ("end", seconds), ("speaker", ""), ("category", "")):
        table[name] = table[name].fillna(usual) if name in table else usual
    table["category"] = table["category"].astype(str)
    emotions = [name for name in table if name not in NO_EMOTION]
    for name in ("start", "end", *emotions):
        column = pd.to_numeric(table[name], errors="coerce")
        most = np.inf if name in ("start", "end") else STRONGEST
        wrong = ~column.between(0, most)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            asked = "seconds" if most == np.inf else f"an intensity from 0 to {STRONGEST:g}"
            raise UserError(f"labels, row {row}: {name} is {str(table[name][row])[:40]}, expected {asked}.")
        table[name] = column
    if "split" in table and not table["split"].isin(SPLITS).all():
        raise UserError(f"labels: split is one of {', '.join(SPLITS)}; mend the column or leave it out.")
    if not emotions and not (table["category"] != "").any():
        raise UserError(
            "labels: neither an emotion nor a category; add a column for each emotion, or one of categories."
        )
    return table


def fill(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    frame_rate: float,
    folds: int,
    names: Sequence[str],
    half: bool,
    source: str,
) -> None:
    speaker = table.groupby("recording")["speaker"].first().astype(str)
    categories = sorted(set(table["category"]) - {""})
    emotions = [name for name in table if name not in NO_EMOTION] or categories
    # with categories alone, each counts as an emotion that is there or not
    targets = [table[e] if e in table else (table["category"] == e).astype(float) for e in emotions]
    fold, split = parts(table, speaker, folds)
    of_recording = dict(zip(table["recording"], split, strict=True))
    with CorpusWriter(folder, names, frame_rate, half) as writer:
        offset = {
            name: writer.add_recording(
                name, values, of_recording.get(name, SPLITS.index("none")), speaker.get(name, "")
            )
            for name, values in arrays.items()
        }
        length = table["recording"].map({name: len(values) for name, values in arrays.items()}).to_numpy()
        first = np.minimum(np.rint(table["start"] * frame_rate).astype(np.int64), length)
        last = np.minimum(np.rint(table["end"] * frame_rate).astype(np.int64), length)
        empty = np.flatnonzero(last <= first)
        if len(empty):
            row = table.iloc[empty[0]]
            raise UserError(
                f"labels, row {empty[0]}: {row['start']:g} to {row['end']:g} s holds no frame of {row['recording']}; "
                "mend or drop the row."
            )
        order = {name: r for r, name in enumerate(arrays)}
        segments = SegmentTable(
            recording=table["recording"].map(order).to_numpy(np.int32),
            row=table.groupby("recording").cumcount().to_numpy(np.int32),
            start=table["start"].to_numpy(np.float64),
            end=table["end"].to_numpy(np.float64),
            first=table["recording"].map(offset).to_numpy(np.int64) + first.to_numpy(),
            length=(last - first).to_numpy(np.int32),
            split=split,
            fold=fold,
            category=table["category"]
            .astype(str)
            .map({c: i for i, c in enumerate(categories)})
            .fillna(-1)
            .to_numpy(np.int8),
        )
        report = {
            "segments": {"in": len(table), "kept": len(table), "dropped": {}},
            "frames": {"in": writer.frame_count, "kept": writer.frame_count},
            **{"mended": {}, "videos": {}, "missing_values": {}, "files": {}},
        }
        by = "the column split" if "split" in table else f"{folds} folds by speaker"
        writer.seal(segments, np.stack(targets, 1), emotions, report, source, by, categories)


def parts(table: pd.DataFrame, speaker: pd.Series, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """The fold that tests each segment, and its split as the column says or as fold 0 makes it."""
    if "split" in table:
        return np.full(len(table), -1, np.int8), table["split"].map(SPLITS.index).to_numpy(np.int8)
    unit = table["recording"].map(speaker).where(lambda names: names != "", "recording " + table["recording"])
    units = np.sort(unit.unique())
    if not 3 <= folds <= len(units):
        raise UserError(f"{folds} folds of {len(units)} speakers; take 3 or more, and at most one a speaker.")
    place = np.random.default_rng(0).permutation(len(units)) % folds
    fold = unit.map(dict(zip(units, place, strict=True))).to_numpy(np.int8)
    return fold, np.where(fold == 0, SPLITS.index("test"), np.where(fold == 1, SPLITS.index("valid"), 0)).astype(
        np.int8
    )
