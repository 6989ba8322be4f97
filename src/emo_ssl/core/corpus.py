"""Segments: the one data structure. Every frame of every video once, raw and memory-mapped; segments point into it.

A prepared folder holds
    frames.bin       (frames, D) float32 or float16, little-endian, NaN = missing
    index.npz        the tables `videos`, `cuts` and `targets`, one array a column
    segments.json    names, rate, counts, content hash: written last, so a folder without it is unfinished
    report.json      every defect met, and what became of it
"""

import hashlib
import json
import zipfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.utils.io import PARTIAL, UserError, atomic_path, disk_full, is_disk_full, read_json, sync, write_json

FORMAT = 1
RECORDINGS_IN_FLIGHT = 3  # read, but not yet hashed and written
SPLITS = ("train", "valid", "test", "none")
FRAMES, INDEX, HEADER, REPORT = "frames.bin", "index.npz", "segments.json", "report.json"


@dataclass(frozen=True)
class RecordingTable:
    """One row a video (or recording), in the order of the store."""

    id: np.ndarray  # (V,) str
    speaker: np.ndarray  # (V,) str, "" where nobody knows
    offset: np.ndarray  # (V,) first frame in the store
    length: np.ndarray  # (V,) frames
    split: np.ndarray  # (V,) index into SPLITS
    digest: np.ndarray  # (V, 32) uint8, sha256 of the frames as stored

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class SegmentTable:
    """One row a labelled segment: where it lies in its video and in the store."""

    recording: np.ndarray  # (N,) index into recordings
    row: np.ndarray  # (N,) its row in the video's own label table
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
            what = "an unfinished corpus, run the command that makes it again" if folder.is_dir() else "no such folder"
            raise UserError(f"{folder}: {what}; expected a folder made by `emo-ssl corpus prepare`.")
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
                recordings = RecordingTable(**{f.name: index[f"videos.{f.name}"] for f in fields(RecordingTable)})
                segments = SegmentTable(**{f.name: index[f"cuts.{f.name}"] for f in fields(SegmentTable)})
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

    def where(self, split: str) -> np.ndarray:
        """Indices of the segments of one split."""
        return np.flatnonzero(self.segments.split == SPLITS.index(split))

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
        # what a speaker says without a label must not be pretrained on either where the speaker is tested
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

    def gather(self, first: np.ndarray, length: np.ndarray, pad_to: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Runs of frames as a batch: first and length (B,) -> frames (B, L, D), NaN beyond a run, and valid (B, L)."""
        longest = pad_to or int(np.max(length, initial=0))
        steps = np.arange(longest)
        valid = steps < np.asarray(length)[:, None]
        index = np.where(valid, np.asarray(first)[:, None] + steps, 0)
        batch = self.frames[index] if len(self.frames) else np.empty((*index.shape, self.frames.shape[1]), np.float32)
        batch[~valid] = np.nan
        return batch, valid

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The segments `chosen` (B,) -> frames (B, L, D), valid (B, L), targets (B, E)."""
        return *self.gather(self.segments.first[chosen], self.segments.length[chosen]), self.targets[chosen]

    def segment(self, i: int) -> np.ndarray:
        """(L, D) raw frames of one segment, a view of the store."""
        return self.frames[self.segments.first[i] : self.segments.first[i] + self.segments.length[i]]

    def recording(self, i: int) -> np.ndarray:
        """(T, D) raw frames of one video, a view of the store."""
        return self.frames[self.recordings.offset[i] : self.recordings.offset[i] + self.recordings.length[i]]

    @cached_property
    def floors(self) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """split -> constant -> {"mae", "acc4"} -> (E,), the constants fitted on the training segments."""
        train = self.targets[self.where("train")]
        return {split: metrics.floors(train, self.targets[self.where(split)]) for split in ("train", "valid", "test")}

    def summary(self) -> dict:
        """What is in the corpus, as plain JSON values."""
        of_split = {name: self.where(name) for name in SPLITS}
        return {
            "folder": str(self.folder),
            "content_hash": self.content_hash,
            "source": self.header["source"],
            "folds": self.header["folds"],
            "features": len(self.feature_names),
            "frame_rate": self.frame_rate,
            "dtype": self.header["dtype"],
            "float16_error": self.header.get("float16_error"),
            "frames": int(self.header["frames"]),
            "hours": self.header["frames"] / self.frame_rate / 3600,
            "videos": {name: int((self.recordings.split == i).sum()) for i, name in enumerate(SPLITS)},
            "segments": {name: len(chosen) for name, chosen in of_split.items()},
            "labels": {name: label_distribution(self.targets[:, e]) for e, name in enumerate(self.target_names)},
            "floors": {
                split: {
                    constant: {
                        metric: {"overall": float(v.mean()), **dict(zip(self.target_names, v.tolist(), strict=True))}
                        for metric, v in values.items()
                    }
                    for constant, values in rows.items()
                }
                for split, rows in self.floors.items()
            },
            "report": self.report,
        }


def label_distribution(intensity: np.ndarray) -> dict:
    """intensity (N,) -> share above 0, mean, and the share of each of the four classes."""
    if not len(intensity):
        return {"positive": None, "mean": None, "classes": [0, 0, 0, 0]}
    classes = np.bincount(metrics.to_class(intensity), minlength=4) / len(intensity)
    return {"positive": float((intensity > 0).mean()), "mean": float(intensity.mean()), "classes": classes.tolist()}


class CorpusWriter:
    """Stream frames into a folder, then seal it with the tables. Hashing and writing run beside the caller's work."""

    def __init__(self, folder: Path, feature_names: Sequence[str], frame_rate: float, half: bool = False):
        self.folder, self.feature_names, self.frame_rate = Path(folder), list(feature_names), frame_rate
        self.dtype = np.dtype("<f2" if half else "<f4")
        self.float16_error = 0.0
        self._rows: list[tuple[str, str, int, int, int]] = []
        self._digests: list[Future] = []
        self._frames = 0

    @property
    def frame_count(self) -> int:
        return self._frames

    def __enter__(self) -> "CorpusWriter":
        self._path = self.folder / (FRAMES + PARTIAL)
        self._stream = self._path.open("wb", buffering=0)
        # one writes, one hashes: both let go of the interpreter's lock, and neither changes the order
        self._writing, self._hashing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._pending: deque[Future] = deque()
        return self

    def add_recording(self, name: str, frames: np.ndarray, split: int, speaker: str = "") -> int:
        """Append frames (T, D) float32, which then belong to the writer; returns the offset of their first one."""
        offset = self._frames
        self._rows.append((name, speaker, offset, len(frames), split))
        self._frames += len(frames)
        stored = self._round(frames) if self.dtype.itemsize == 2 else np.ascontiguousarray(frames, self.dtype)
        self._digests.append(self._hashing.submit(lambda: hashlib.sha256(stored).digest()))
        self._pending += (self._writing.submit(self._write, stored), self._digests[-1])
        self._wait(2 * RECORDINGS_IN_FLIGHT)
        return offset

    def _write(self, stored: np.ndarray) -> None:
        content = memoryview(stored).cast("B") if stored.size else b""
        while len(content):
            content = content[self._stream.write(content) :]

    def _round(self, frames: np.ndarray) -> np.ndarray:
        """float16, saturated instead of overflowing; the largest error relative to the value is remembered."""
        limit = np.finfo(np.float16).max
        stored = np.clip(frames, -limit, limit).astype("<f2")
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(stored.astype(np.float32) - frames) / np.maximum(np.abs(frames), 1e-2)
        if error.size:
            self.float16_error = max(self.float16_error, float(np.nanmax(error, initial=0.0)))
        return stored

    def _wait(self, most: int = 0) -> None:
        """Until at most so many pieces of work are under way, since each of them holds a video in memory."""
        while len(self._pending) > most:
            try:
                self._pending.popleft().result()
            except OSError as problem:
                if is_disk_full(problem):
                    raise disk_full(self.folder / FRAMES) from problem
                raise

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
        self._wait()
        names = ("id", "speaker", "offset", "length", "split")
        columns = dict(zip(names, zip(*self._rows, strict=True), strict=True)) if self._rows else {n: () for n in names}
        recordings = RecordingTable(
            id=np.array(columns["id"], dtype=np.str_),
            speaker=np.array(columns["speaker"], dtype=np.str_),
            offset=np.array(columns["offset"], np.int64),
            length=np.array(columns["length"], np.int64),
            split=np.array(columns["split"], np.int8),
            digest=np.frombuffer(b"".join(digest.result() for digest in self._digests), np.uint8).reshape(-1, 32),
        )
        header = {
            "format": FORMAT,
            "source": source,
            "folds": folds,
            "feature_names": self.feature_names,
            "target_names": list(target_names),
            "category_names": list(category_names),
            "frame_rate": self.frame_rate,
            "frames": self._frames,
            "dtype": self.dtype.str,
            **({"float16_error": self.float16_error} if self.dtype.itemsize == 2 else {}),
            **extra,
        }
        header["content_hash"] = content_hash(header, recordings, segments, targets)
        self._stream.close()
        sync(self._path)
        self._path.replace(self.folder / FRAMES)
        arrays = {f"videos.{f.name}": getattr(recordings, f.name) for f in fields(RecordingTable)}
        arrays |= {f"cuts.{f.name}": getattr(segments, f.name) for f in fields(SegmentTable)}
        with atomic_path(self.folder / INDEX) as temporary, temporary.open("wb") as stream:
            np.savez(stream, targets=targets.astype(np.float32), **arrays)
        write_json(self.folder / REPORT, report)
        write_json(self.folder / HEADER, header)
        return Corpus.open(self.folder)

    def __exit__(self, kind, problem, trace) -> None:
        self._writing.shutdown(wait=True, cancel_futures=True)
        self._hashing.shutdown(wait=True, cancel_futures=True)
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
