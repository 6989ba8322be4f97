"""The files of a prepared corpus, and how they are written: frames in a stream, then the tables, then the header.

A prepared folder holds
    frames.bin       (frames, D) float32 or float16, little-endian, NaN = missing
    index.npz        the tables `recordings`, `segments` and `targets`, one array a column
    corpus.json      names, rate, counts, content hash: written last, so a folder without it is unfinished
    report.json      every defect met, and what became of it
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from emo_ssl.utils.io import PARTIAL, atomic_path, disk_full, is_disk_full, sync, write_json

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
    ) -> Path:
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
        return self.folder

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
