"""Corpus: the one data structure. Every frame of every recording once, memory-mapped; labelled segments point into it.

A prepared folder holds
    frames.bin       (frames, D) float32 or float16, little-endian, NaN = missing
    index.npz        the tables `recordings`, `segments` and `targets`, one array a column
    corpus.json      names, rate, counts, content hash: written last, so a folder without it is unfinished
    report.json      every defect met, and what became of it
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.utils.io import PARTIAL, UserError, atomic_path, disk_full, is_disk_full, read_json, sync, write_json

if TYPE_CHECKING:
    import pandas as pd  # opening a corpus, or loading a model, needs none

FORMAT = 2
SPLITS = ("train", "valid", "test", "none")
FRAMES, INDEX, HEADER, REPORT = "frames.bin", "index.npz", "corpus.json", "report.json"


@dataclass(frozen=True)
class RecordingTable:
    """One row a recording (in MOSEI a video), in the order of the store."""

    id: np.ndarray  # (R,) str
    speaker: np.ndarray  # (R,) str, "" where nobody knows
    offset: np.ndarray  # (R,) first frame in the store
    length: np.ndarray  # (R,) frames
    split: np.ndarray  # (R,) index into SPLITS
    digest: np.ndarray  # (R, 32) uint8, sha256 of the frames as stored

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class SegmentTable:
    """One row a labelled segment: where it lies in its recording and in the store."""

    recording: np.ndarray  # (N,) index into recordings
    row: np.ndarray  # (N,) its row in the recording's own label table
    start: np.ndarray  # (N,) seconds, as labelled
    end: np.ndarray  # (N,)
    first: np.ndarray  # (N,) first frame in the store
    length: np.ndarray  # (N,) frames
    split: np.ndarray  # (N,) index into SPLITS
    fold: np.ndarray  # (N,) cross-validation fold that tests it, -1 without
    category: np.ndarray  # (N,) index into category_names, -1 without

    def __len__(self) -> int:
        return len(self.recording)


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus. Opening it reads the index and maps the frames; nothing else is touched."""

    folder: Path
    header: dict
    recordings: RecordingTable
    segments: SegmentTable
    targets: np.ndarray  # (N, E) float32 in [0, 3]
    frames: np.ndarray = field(repr=False)  # (frames, D), memory-mapped

    @classmethod
    def open(cls, folder: Path | str) -> "Corpus":
        folder = Path(folder)
        if not (folder / HEADER).exists():
            what = "an unfinished corpus, or one of an earlier emo-ssl" if folder.is_dir() else "no such folder"
            raise UserError(f"{folder}: {what}; run the `emo-ssl corpus …` command that makes it.")
        header = read_json(folder / HEADER)
        found = header.get("format") if isinstance(header, dict) else None
        if found != FORMAT:
            raise UserError(f"{folder}: format {found}, this emo-ssl reads {FORMAT}; delete the folder, prepare again.")
        try:
            shape, dtype = (header["frames"], len(header["feature_names"])), np.dtype(header["dtype"])
        except (KeyError, TypeError) as problem:
            raise UserError(f"{folder / HEADER}: damaged ({problem}); delete the folder, prepare again.") from problem
        expected = shape[0] * shape[1] * dtype.itemsize
        actual = (folder / FRAMES).stat().st_size if (folder / FRAMES).exists() else 0
        if actual != expected:
            raise UserError(
                f"{folder / FRAMES}: {actual} bytes, expected {expected}; delete the folder, prepare again."
            )
        frames = np.memmap(folder / FRAMES, dtype, "r", shape=shape) if expected else np.empty(shape, dtype)
        try:
            with (folder / INDEX).open("rb") as stream, np.load(stream, allow_pickle=False) as index:
                recordings = RecordingTable(**{f.name: index[f"recordings.{f.name}"] for f in fields(RecordingTable)})
                segments = SegmentTable(**{f.name: index[f"segments.{f.name}"] for f in fields(SegmentTable)})
                return cls(folder, header, recordings, segments, index["targets"], frames)
        except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as problem:
            raise UserError(f"{folder / INDEX}: damaged ({problem}); delete the folder, prepare again.") from problem

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def content_hash(self) -> str:
        return self.header["content_hash"]

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(self.header["feature_names"])

    @property
    def target_names(self) -> tuple[str, ...]:
        return tuple(self.header["target_names"])

    @property
    def category_names(self) -> tuple[str, ...]:
        return tuple(self.header["category_names"])

    @property
    def frame_rate(self) -> float:
        return self.header["frame_rate"]

    @property
    def report(self) -> dict:
        return read_json(self.folder / REPORT)

    def where(self, *splits: str) -> np.ndarray:
        """Indices of the segments of some splits."""
        return np.flatnonzero(np.isin(self.segments.split, [SPLITS.index(name) for name in splits]))

    def recordings_of(self, *splits: str) -> np.ndarray:
        """Indices of the recordings of some splits."""
        return np.flatnonzero(np.isin(self.recordings.split, [SPLITS.index(name) for name in splits]))

    def without_labels(self, chosen: np.ndarray) -> "Corpus":
        """The corpus with these segments (n,) in no split."""
        split = self.segments.split.copy()
        split[chosen] = SPLITS.index("none")
        return replace(self, segments=replace(self.segments, split=split))

    def split(self, name: str) -> "Corpus":
        """The corpus with the segments of one split only: train, valid, test or none."""
        chosen = self.where(name)
        segments = SegmentTable(**{f.name: getattr(self.segments, f.name)[chosen] for f in fields(SegmentTable)})
        return replace(self, segments=segments, targets=self.targets[chosen])

    @property
    def folds(self) -> list[int]:
        """The corpus's cross-validation folds, or just 0 where its split is given."""
        return np.unique(self.segments.fold[self.segments.fold >= 0]).tolist() or [0]

    def of_fold(self, fold: int) -> "Corpus":
        """The corpus split for one cross-validation fold: `fold` is tested, the next one validates, the rest train."""
        if not (self.segments.fold >= 0).any():
            return self
        folds = int(self.segments.fold.max()) + 1
        of_segment = np.where(self.segments.fold == fold, 2, np.where(self.segments.fold == (fold + 1) % folds, 1, 0))
        of_segment = np.where(self.segments.fold < 0, SPLITS.index("none"), of_segment).astype(np.int8)
        of_recording = np.full(len(self.recordings), SPLITS.index("none"), np.int8)
        of_recording[self.segments.recording] = of_segment
        # an unlabelled recording must not be pretrained on where its speaker is tested
        speaker = self.recordings.speaker
        split_of = {
            s: code for s, code in zip(speaker, of_recording, strict=True) if s and code != SPLITS.index("none")
        }
        of_recording = np.array([split_of.get(s, code) for s, code in zip(speaker, of_recording, strict=True)], np.int8)
        return replace(
            self,
            recordings=replace(self.recordings, split=of_recording),
            segments=replace(self.segments, split=of_segment),
        )

    def segment(self, i: int) -> np.ndarray:
        """(L, D) raw frames of one segment, a view of the store."""
        return self.frames[self.segments.first[i] : self.segments.first[i] + self.segments.length[i]]

    def recording(self, i: int) -> np.ndarray:
        """(T, D) raw frames of one recording, a view of the store."""
        return self.frames[self.recordings.offset[i] : self.recordings.offset[i] + self.recordings.length[i]]

    def constant_baselines(self, split: str) -> dict[str, dict[str, np.ndarray]]:
        """constant -> {"mae", "acc4"} -> (E,) on one split, the constants fitted on the training segments."""
        return metrics.constant_baselines(self.targets[self.where("train")], self.targets[self.where(split)])

    def __str__(self) -> str:
        hours = len(self.frames) / self.frame_rate / 3600
        speakers = len(set(self.recordings.speaker.tolist()) - {""})
        parts = ", ".join(f"{name} {len(self.where(name)):,}" for name in SPLITS if len(self.where(name)))
        folds = f" (fold 0 of {len(self.folds)})" if len(self.folds) > 1 else ""
        return (
            f"Corpus {self.folder}: {self.header['source']}\n{len(self.recordings):,} recordings, {hours:.1f} h, "
            f"{speakers or 'unknown'} speakers; {len(self.feature_names)} features at {self.frame_rate:g} Hz\n"
            f"{len(self):,} labelled segments: {parts}{folds}\n"
            f"emotions: {', '.join(self.target_names)}"
            + (f"; categories: {', '.join(self.category_names)}" if self.category_names else "")
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"

    @classmethod
    def write(
        cls,
        folder: Path | str,
        frames: Mapping[str, object],
        labels: "pd.DataFrame",
        frame_rate: float,
        folds: int = 5,
        feature_names: Sequence[str] | None = None,
        half: bool = False,
        source: str = "own features",
    ) -> "Corpus":
        """A corpus from arrays: frames recording -> (T, D) of numpy, torch or pandas, NaN = missing.

        `labels` has a row a segment, with the columns recording, start and end (seconds; the whole recording without
        them), speaker, category, and one for each emotion, its intensity in [0, 3]; of the last three any. Speakers
        (recordings where they are unknown) are kept apart by `folds`. A recording without labels is for pretraining.
        """
        from emo_ssl.core.arrays import write

        return write(folder, frames, labels, frame_rate, folds, feature_names, half, source)


class CorpusWriter:
    """Stream frames into a folder, then seal it with the tables."""

    def __init__(self, folder: Path, feature_names: Sequence[str], frame_rate: float, half: bool = False):
        self.folder, self.feature_names, self.frame_rate = Path(folder), list(feature_names), frame_rate
        self.dtype = np.dtype("<f2" if half else "<f4")
        self.float16_error = 0.0
        self.frame_count = 0
        self._rows: list[tuple[str, str, int, int, int, bytes]] = []

    def __enter__(self) -> "CorpusWriter":
        self._path = self.folder / (FRAMES + PARTIAL)
        self._stream = self._path.open("wb", buffering=0)
        return self

    def add_recording(self, name: str, frames: np.ndarray, split: int, speaker: str = "") -> int:
        """Append frames (T, D) float32; returns the place of their first one."""
        offset = self.frame_count
        stored = self._round(frames) if self.dtype.itemsize == 2 else np.ascontiguousarray(frames, self.dtype)
        self._rows.append((name, speaker, offset, len(frames), split, hashlib.sha256(stored).digest()))
        self.frame_count += len(frames)
        content = memoryview(stored).cast("B") if stored.size else b""
        try:
            while len(content):
                content = content[self._stream.write(content) :]
        except OSError as problem:
            if is_disk_full(problem):
                raise disk_full(self.folder / FRAMES) from problem
            raise
        return offset

    def _round(self, frames: np.ndarray) -> np.ndarray:
        """float16, saturated instead of overflowing; the largest error relative to the value is remembered."""
        limit = np.finfo(np.float16).max
        stored = np.clip(frames, -limit, limit).astype("<f2")
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(stored.astype(np.float32) - frames) / np.maximum(np.abs(frames), 1e-2)
        if error.size:
            self.float16_error = max(self.float16_error, float(np.nanmax(error, initial=0.0)))
        return stored

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
    ) -> Corpus:
        """Write the tables and the header; from here on the folder is a corpus."""
        columns = list(zip(*self._rows, strict=True)) or [()] * 6
        kinds = (np.str_, np.str_, np.int64, np.int64, np.int8)
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
        header["content_hash"] = content_hash(header, recordings, segments, targets)
        self._stream.close()
        sync(self._path)
        self._path.replace(self.folder / FRAMES)
        arrays = {f"recordings.{f.name}": getattr(recordings, f.name) for f in fields(RecordingTable)}
        arrays |= {f"segments.{f.name}": getattr(segments, f.name) for f in fields(SegmentTable)}
        with atomic_path(self.folder / INDEX) as temporary, temporary.open("wb") as stream:
            np.savez(stream, targets=targets.astype(np.float32), **arrays)
        write_json(self.folder / REPORT, report)
        write_json(self.folder / HEADER, header)
        return Corpus.open(self.folder)

    def __exit__(self, kind, problem, trace) -> None:
        self._stream.close()
        if problem is not None:
            for name in (HEADER, FRAMES + PARTIAL, FRAMES, INDEX, REPORT):
                (self.folder / name).unlink(missing_ok=True)


def content_hash(header: dict, recordings: RecordingTable, segments: SegmentTable, targets: np.ndarray) -> str:
    """sha256 over what a model can see: names, rate, frames (by their digests), tables, targets; not the report."""
    seen = ("feature_names", "target_names", "category_names", "frame_rate", "dtype")
    digest = hashlib.sha256(json.dumps({name: header[name] for name in seen}, sort_keys=True).encode())
    for table in (recordings, segments):
        for column in fields(table):
            values = getattr(table, column.name)
            digest.update("\0".join(values.tolist()).encode() if values.dtype.kind == "U" else values.tobytes())
    digest.update(targets.astype("<f4").tobytes())
    return digest.hexdigest()
