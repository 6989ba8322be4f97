"""How the folder of a corpus is written: frames in a stream, then the tables, then the header; or out of arrays."""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import FORMAT, FRAMES, HEADER, INDEX, REPORT, SPLITS, RecordingTable, SegmentTable
from emo_ssl.core.metrics import CEILING
from emo_ssl.utils import npz
from emo_ssl.utils.io import OutputFolder, UserError, atomic_path, hash_of, write_json
from emo_ssl.utils.values import printable

NO_EMOTION = ("recording", "speaker", "start", "end", "category", "split", "fold")
MOST_FOLDS = 127  # that int8 holds


class CorpusWriter:
    """Stream frames into a folder, then seal it with the tables."""

    def __init__(self, folder: Path, feature_names: Sequence[str], frame_rate: float, half: bool = False):
        self.folder, self.feature_names, self.frame_rate = Path(folder), list(feature_names), frame_rate
        self.dtype = np.dtype("<f2" if half else "<f4")
        self.float16_error = 0.0
        self.frame_count = 0
        self._rows: list[tuple[str, str, int, int, int, bytes]] = []

    def __enter__(self) -> "CorpusWriter":
        self._open = contextlib.ExitStack()
        path = self._open.enter_context(atomic_path(self.folder / FRAMES))
        self._stream = self._open.enter_context(path.open("wb"))
        return self

    def add_recording(self, name: str, frames: Iterable[np.ndarray], split: int, speaker: str = "") -> int:
        """Append frames (T, D) float32, as an array or in pieces of one; returns the place of their first one."""
        offset, digest = self.frame_count, hashlib.sha256()
        for piece in [frames] if isinstance(frames, np.ndarray) else frames:
            stored = np.ascontiguousarray(piece, "<f4")
            if self.dtype.itemsize == 2:
                stored, error = to_half(stored)
                self.float16_error = max(self.float16_error, error)
            digest.update(stored)
            self._stream.write(stored.data)
            self.frame_count += len(piece)
        self._rows.append((name, speaker, offset, self.frame_count - offset, split, digest.digest()))
        return offset

    def seal(
        self,
        segments: SegmentTable,
        targets: np.ndarray,
        target_names: Sequence[str],
        report: dict,
        source: str,
        folds: str,
        category_names: Sequence[str] = (),
        **extra: object,
    ) -> Path:
        """Write the tables and the header; from here on the folder is a corpus."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        kinds = (np.str_, np.str_, np.int64, np.int64, np.int8)
        columns[:2] = map(printable, columns[:2])
        tables = [np.array(column, kind) for column, kind in zip(columns[:5], kinds, strict=True)]
        recordings = RecordingTable(*tables, np.frombuffer(b"".join(columns[5]), np.uint8).reshape(-1, 32))
        header = {
            "format": FORMAT,
            "source": source,
            "folds": folds,
            "feature_names": self.feature_names,
            "target_names": list(target_names),
            "category_names": list(category_names),
            "frame_rate": self.frame_rate,
            "frames": self.frame_count,
            "dtype": self.dtype.str,
            **({"float16_error": self.float16_error} if self.dtype.itemsize == 2 else {}),
            **extra,
        }
        header, report = printable(header), printable(report)
        header["content_hash"] = content_hash(header, recordings, segments, targets)
        self._open.close()
        arrays = {f"recordings.{name}": values for name, values in vars(recordings).items()}
        arrays |= {f"segments.{name}": values for name, values in vars(segments).items()}
        npz.save(self.folder / INDEX, {"targets": targets.astype(np.float32), **arrays})
        write_json(self.folder / REPORT, report)
        write_json(self.folder / HEADER, header)
        return self.folder

    def __exit__(self, *problem: object) -> None:
        try:
            self._open.__exit__(*problem)
        finally:
            if problem[0] is not None:
                for name in (HEADER, FRAMES, INDEX, REPORT):
                    (self.folder / name).unlink(missing_ok=True)


def to_half(frames: np.ndarray) -> tuple[np.ndarray, float]:
    """float16, saturated instead of overflowing, and the largest error relative to the value."""
    limit = np.finfo(np.float16).max
    stored = np.clip(frames, -limit, limit).astype("<f2")
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.abs(stored.astype(np.float32) - frames) / np.maximum(np.abs(frames), 1e-2)
    return stored, float(np.nanmax(error, initial=0.0))


def content_hash(header: dict, recordings: RecordingTable, segments: SegmentTable, targets: np.ndarray) -> str:
    """sha256 over what a model can see: names, rate, frames (by their digests), tables, targets; not the report."""
    seen = ("feature_names", "target_names", "category_names", "frame_rate", "dtype")
    digest = hashlib.sha256(json.dumps({name: header[name] for name in seen}, sort_keys=True).encode())
    for table in (recordings, segments):
        for values in vars(table).values():
            digest.update("\0".join(values.tolist()).encode() if values.dtype.kind == "U" else values.tobytes())
    digest.update(targets.astype("<f4").tobytes())
    return digest.hexdigest()


# --- arrays and a table of labels: the way in for your own features --------------------------------------------------


def write_arrays(
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
    widths = sorted({values.shape[1] for values in arrays.values()})
    if len(widths) != 1:
        raise UserError(f"recordings have {widths or 'no'} features; each needs the same, and there must be one.")
    names = [f"feature {d}" for d in range(widths[0])] if feature_names is None else list(map(str, feature_names))
    if len(names) != widths[0]:
        raise UserError(f"{len(names)} feature names for {widths[0]} features; name each once.")
    table = checked(labels, {name: len(values) / frame_rate for name, values in arrays.items()})
    digests = {name: hashlib.sha256(values).hexdigest() for name, values in arrays.items()}
    setting = {"frames": hash_of(digests), "labels": hash_of(table.to_json()), "rate": frame_rate, "half": half}
    setting |= {"folds": folds, "features": hash_of(names), "source": source}
    with OutputFolder(folder, "corpus", setting) as out:
        if not out.complete:
            with CorpusWriter(out.path, names, frame_rate, half) as writer:
                fill(writer, arrays, table, folds, source)
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


def checked(labels: pd.DataFrame, seconds: Mapping[str, float]) -> pd.DataFrame:
    """The table with every column filled in, or a refusal that names the row. `seconds`: how long a recording is."""
    if "recording" not in labels:
        raise UserError("labels: there is no column recording; name the recording of each segment there.")
    table = labels.reset_index(drop=True).assign(recording=labels["recording"].astype(str).to_numpy())
    for name, usual in (("start", 0.0), ("end", table["recording"].map(seconds)), ("speaker", ""), ("category", "")):
        # as objects, since a column of text takes no number
        table[name] = table[name].astype(object).where(table[name].notna(), usual) if name in table else usual
    numbers = ("start", "end", *(name for name in table if name not in NO_EMOTION))
    if numbers == ("start", "end") and (table["category"] == "").all():
        raise UserError(
            "labels: neither an emotion nor a category; add a column for each emotion, or one of categories."
        )
    wanted = {"recording": (table["recording"].isin(list(seconds)), "one with frames")}
    if "split" in table:
        wanted["split"] = (table["split"].isin(SPLITS), f"one of {', '.join(SPLITS)}")
    if "fold" in table:
        column = pd.to_numeric(table["fold"], errors="coerce")
        wanted["fold"] = (column.between(-1, MOST_FOLDS - 1) & (column % 1 == 0), "a whole number from 0 on, or -1")
    for name in numbers:
        most, words = (np.inf, "seconds") if name in ("start", "end") else (CEILING, "an intensity from 0 to 3")
        column = pd.to_numeric(table[name], errors="coerce")
        wanted[name] = (column.between(0, most), words)
    for name, (good, words) in wanted.items():
        if not good.all():
            row = int(good.argmin())
            raise UserError(f"labels, row {row}: {name} is {str(table[name][row])[:40]}, expected {words}.")
    return table.astype({"category": str, **dict.fromkeys(numbers, float)})


def fill(writer: CorpusWriter, arrays: Mapping[str, np.ndarray], table: pd.DataFrame, folds: int, source: str) -> None:
    """Stream the frames and seal them with the table, its times as frames and its names as numbers."""
    speaker = table.groupby("recording")["speaker"].first().astype(str)
    categories = sorted(set(table["category"]) - {""})
    emotions = [name for name in table if name not in NO_EMOTION] or categories
    # with categories alone, each counts as an emotion that is there or not
    targets = [table[e] if e in table else (table["category"] == e).astype(float) for e in emotions]
    fold, split = parts(table, speaker, folds)
    of_recording = dict(zip(table["recording"], split, strict=True))
    offset = {
        name: writer.add_recording(name, values, of_recording.get(name, SPLITS.index("none")), speaker.get(name, ""))
        for name, values in arrays.items()
    }
    length = table["recording"].map({name: len(values) for name, values in arrays.items()}).to_numpy()
    first, last = (np.minimum(np.rint(table[time] * writer.frame_rate), length) for time in ("start", "end"))
    empty = np.flatnonzero(last <= first)
    if len(empty):
        row = table.iloc[empty[0]]
        raise UserError(
            f"labels, row {empty[0]}: {row['start']:g} to {row['end']:g} s holds no frame of {row['recording']}; "
            "mend or drop the row."
        )
    segments = SegmentTable(
        recording=pd.Index(arrays).get_indexer(table["recording"]).astype(np.int32),
        row=table.groupby("recording").cumcount().to_numpy(np.int32),
        start=table["start"].to_numpy(),
        end=table["end"].to_numpy(),
        first=(table["recording"].map(offset) + first).to_numpy(np.int64),
        length=(last - first).to_numpy(np.int32),
        split=split,
        fold=fold,
        category=pd.Index(categories, dtype=str).get_indexer(table["category"]).astype(np.int8),
    )
    report = {
        "segments": {"in": len(table), "kept": len(table), "dropped": {}},
        "frames": {"in": writer.frame_count, "kept": writer.frame_count},
        **{"mended": {}, "videos": {}, "missing_values": {}, "files": {}},
    }
    given = [name for name in ("fold", "split") if name in table and (name == "split" or (table[name] >= 0).any())]
    by = f"the column {given[0]}" if given else f"{folds} folds by speaker"
    writer.seal(segments, np.stack(targets, 1), emotions, report, source, by, categories)


def parts(table: pd.DataFrame, speaker: pd.Series, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """The fold that tests each segment, -1 without, and its split: each as its column says, or as fold 0 makes it."""
    fold = table["fold"].to_numpy(np.int8) if "fold" in table else np.full(len(table), -1, np.int8)
    if "split" in table:
        return fold, table["split"].map(SPLITS.index).to_numpy(np.int8)
    if not (fold >= 0).any():
        unit = table["recording"].map(speaker).where(lambda names: names != "", "recording " + table["recording"])
        units = np.sort(unit.unique())
        if not 3 <= folds <= len(units):
            raise UserError(f"{folds} folds of {len(units)} speakers; take 3 or more, and at most one a speaker.")
        place = np.random.default_rng(0).permutation(len(units)) % folds
        fold = unit.map(dict(zip(units, place, strict=True))).to_numpy(np.int8)
    split = np.array([SPLITS.index(name) for name in ("test", "valid", "train", "none")], np.int8)
    return fold, split[np.minimum(fold, 2)]  # fold -1 is the last
