"""Tiny corpora, made in a few lines: .csd files, folds and prepared folders."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from emo_ssl.core.corpus import SPLITS, Corpus, SegmentTable
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora.csd import EMOTIONS, LABEL_NAMES, csd_writer
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.report import describe

RATE = 100
NAMES = ("F0", "peakSlope")
SDK_STRING = h5py.string_dtype()
NOTHING_MET = {"segments": {"in": 0, "kept": 0, "dropped": {}}, "frames": {"in": 0, "kept": 0}}  # a report
NOTHING_MET |= {name: {} for name in ("mended", "videos", "missing_values", "files")}


def times(count: int, rate: float = RATE, start: float = 0.0) -> np.ndarray:
    """(count, 2): frame after frame without a gap."""
    edges = start + np.arange(count + 1) / rate
    return np.stack([edges[:-1], edges[1:]], 1)


def noise(count: int, width: int = len(NAMES), seed: int | list[int] = 0) -> np.ndarray:
    return np.random.default_rng([*np.atleast_1d(seed), count, width]).normal(size=(count, width)).astype(np.float32)


def intensities(**given: float) -> tuple[float, ...]:
    """The six intensities in order, 0 where none is given."""
    return tuple(given.get(emotion, 0.0) for emotion in EMOTIONS)


def label_table(rows: Sequence[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of (start, end) or (start, end, six intensities) -> features (n, 7) with a sentiment, intervals (n, 2)."""
    values = [(-1.0, *(row[2] if len(row) > 2 else intensities(happy=1))) for row in rows]
    return np.array(values, np.float32).reshape(-1, 7), np.array([row[:2] for row in rows], float).reshape(-1, 2)


def write_csd(path: Path, entries: Mapping, names: Sequence[str] | None, root: str = "COVAREP") -> Path:
    """entries: key -> (features, intervals)."""
    with csd_writer(path, root, names) as add:
        for key, (features, intervals) in entries.items():
            add(key, features, intervals)
    return path


def write_plain_csd(
    path: Path, entries: Mapping, metadata: Mapping | None, root: str = "COVAREP", compression: str | None = None
) -> Path:
    """The same by nothing but h5py, step by step as the SDK does it. metadata: name -> text, bytes or a ready array."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root)
        data = group.create_group("data")
        for key, (features, intervals) in entries.items():
            entry = data.create_group(key)
            entry.create_dataset("features", data=features, compression=compression)
            entry.create_dataset("intervals", data=intervals, compression=compression)
        if metadata is not None:
            texts = group.create_group("metadata")
            for name, value in metadata.items():
                if isinstance(value, str):
                    texts.create_dataset(name, (1,), dtype=SDK_STRING)
                    texts[name][0] = value
                else:
                    texts.create_dataset(name, data=value)
    return path


def spoil_chunk(path: Path, dataset: str) -> None:
    """Overwrite a compressed dataset's bytes, so that reading them fails and nothing else does."""
    with h5py.File(path) as file:
        chunk = file[dataset].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset)
        stream.write(b"\xff" * chunk.size)


def as_entry(recording: object, key: str) -> tuple[np.ndarray, np.ndarray]:
    """A number of frames, features (T, D), or (features, intervals)."""
    if isinstance(recording, int):
        recording = noise(recording, seed=sum(key.encode()))
    return recording if isinstance(recording, tuple) else (recording, times(len(recording)))


def write_corpus(
    folder: Path,
    recordings: Mapping[str, object],
    labels: Mapping[str, Sequence[tuple]],
    folds: object = None,
    names: Sequence[str] | None = NAMES,
    label_names: Sequence[str] | None = LABEL_NAMES,
    roots: tuple[str, str] = ("COVAREP", "All Labels"),
) -> dict[str, Path | None]:
    """The files of a corpus, as the arguments that `prepare` takes. See `as_entry` and `label_table` for the values."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {"acoustic": folder / "COVAREP.csd", "labels": folder / "LABELS.csd", "folds": None}
    write_csd(
        paths["acoustic"], {key: as_entry(recording, key) for key, recording in recordings.items()}, names, roots[0]
    )
    write_csd(paths["labels"], {key: label_table(rows) for key, rows in labels.items()}, label_names, roots[1])
    if folds is not None:
        paths["folds"] = folder / "folds.json"
        paths["folds"].write_text(json.dumps(folds))
    return paths


def prepared(folder: Path, recordings: Mapping, labels: Mapping, folds: object = None, **options: object) -> Corpus:
    """Write a corpus and prepare it; options go to `write_corpus`, `half` and `given_names` to `prepare`."""
    half, given_names = options.pop("half", False), options.pop("given_names", None)
    paths = write_corpus(folder / "source", recordings, labels, folds, **options)
    return prepare(**paths, output=folder / "corpus", half=half, label_names=given_names)


def check_sums(opened: Corpus) -> dict:
    """In = kept + dropped, for segments and for frames, and whoever asks is told so; returns the report."""
    report, text = opened.report, describe(opened)
    counts = {name: n for name, n in report["frames"].items() if name.startswith("dropped: ")}
    of_frames = {**report["frames"], "dropped": counts}
    for what, count, kept in (("segments", report["segments"], len(opened)), ("frames", of_frames, len(opened.frames))):
        gone = sum(count["dropped"].values())
        assert count["kept"] == kept and count["in"] == kept + gone
        assert f"{what}: {kept + gone:,} in = {kept:,} kept + {gone:,} dropped" in text
    assert report["videos"]["kept"] == len(opened.recordings) and opened.header["frames"] == len(opened.frames)
    return report


@dataclass(frozen=True)
class Video:
    id: str
    frames: np.ndarray
    split: str = "train"
    speaker: str = ""


@dataclass(frozen=True)
class Segment:
    recording: int
    first: int  # frame in its video
    length: int
    targets: tuple[float, ...] = (0.0, 0.0)
    category: int = -1
    fold: int = -1


def write_segments(
    folder: Path,
    recordings: Sequence[Video],
    segments: Sequence[Segment] = (),
    names: Sequence[str] = NAMES,
    target_names: Sequence[str] = ("happy", "sad"),
    category_names: Sequence[str] = (),
    report: dict | None = None,
    half: bool = False,
) -> Corpus:
    """A prepared folder without any source file."""
    folder.mkdir(parents=True, exist_ok=True)
    split = [SPLITS.index(recording.split) for recording in recordings]
    with CorpusWriter(folder, names, float(RATE), half) as writer:
        offset = [writer.add_recording(v.id, v.frames.copy(), split[i], v.speaker) for i, v in enumerate(recordings)]
        table = SegmentTable(
            recording=np.array([s.recording for s in segments], np.int32),
            row=np.arange(len(segments), dtype=np.int32),
            start=np.array([s.first / RATE for s in segments]),
            end=np.array([(s.first + s.length) / RATE for s in segments]),
            first=np.array([offset[s.recording] + s.first for s in segments], np.int64),
            length=np.array([s.length for s in segments], np.int32),
            split=np.array([split[s.recording] for s in segments], np.int8),
            fold=np.array([s.fold for s in segments], np.int8),
            category=np.array([s.category for s in segments], np.int8),
        )
        targets = np.array([s.targets for s in segments], np.float32).reshape(len(segments), len(target_names))
        return Corpus.open(
            writer.seal(
                table,
                targets,
                target_names,
                report or NOTHING_MET | {"frames": {"in": writer.frame_count, "kept": writer.frame_count}},
                source="made up",
                folds="made up",
                category_names=category_names,
            )
        )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder and what is in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@contextlib.contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """A file that others share with another content, and with its own again afterwards."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


def run_python(code: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run code in an interpreter of its own; warnings are errors there too."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)
