"""Corpus: the one data structure. Every frame of every recording once, memory-mapped; segments point into it.

A prepared folder holds
    frames.bin       (frames, D) float32 or float16, little-endian, NaN = missing
    index.npz        the tables `recordings`, `segments` and `targets`, one array a column
    corpus.json      names, rate, counts, content hash: written last, so a folder without it is unfinished
    report.json      every defect met, and what became of it
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.kinds import Header
from emo_ssl.utils import npz
from emo_ssl.utils.io import absent
from emo_ssl.utils.values import UserError, read_json

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 2
SPLITS = ("train", "valid", "test", "none")
FRAMES, INDEX, HEADER, REPORT = "frames.bin", "index.npz", "corpus.json", "report.json"
AGAIN = "delete the folder, prepare again"
Texts, Numbers, Seconds = (Annotated[np.ndarray, kind] for kind in "Uif")


@dataclass(frozen=True)
class RecordingTable:
    """One row a recording (in MOSEI a video), in the order of the store."""

    id: Texts  # (R,) str
    speaker: Texts  # (R,) str, "" where nobody knows
    offset: Numbers  # (R,) first frame in the store
    length: Numbers  # (R,) frames
    split: Numbers  # (R,) index into SPLITS
    digest: Annotated[np.ndarray, "u", 32]  # (R, 32) uint8, sha256 of the frames as stored

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class SegmentTable:
    """One row a labelled segment: where it lies in its recording and in the store."""

    recording: Numbers  # (N,) index into recordings
    row: Numbers  # (N,) its row in the recording's own label table
    start: Seconds  # (N,) seconds, as labelled
    end: Seconds  # (N,)
    first: Numbers  # (N,) first frame in the store
    length: Numbers  # (N,) frames
    split: Numbers  # (N,) index into SPLITS
    fold: Numbers  # (N,) cross-validation fold that tests it, -1 without
    category: Numbers  # (N,) index into category_names, -1 without

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
            raise absent(folder, "corpus", "corpus …")
        header = read_json(folder / HEADER, Header, AGAIN)
        shape, dtype = (header["frames"], len(header["feature_names"])), np.dtype(header["dtype"])
        expected = shape[0] * shape[1] * dtype.itemsize
        try:
            actual = (folder / FRAMES).stat().st_size
            if actual != expected or not shape[1]:
                raise ValueError(f"{FRAMES} has {actual} bytes, expected {expected} for {shape[1]} features")
            frames = np.memmap(folder / FRAMES, dtype, "r", shape=shape) if expected else np.empty(shape, dtype)
        except (OSError, ValueError) as problem:
            raise UserError(f"{folder}: damaged ({problem}); {AGAIN}.") from problem
        with npz.opened(folder / INDEX, AGAIN) as index:
            recordings, segments = index.table("recordings", RecordingTable), index.table("segments", SegmentTable)
            targets = index.array("targets", "f", len(segments), len(header["target_names"]))
            refuse_impossible(header, recordings, segments, targets)
        return cls(folder, header, recordings, segments, targets, frames)

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
        (recordings where they are unknown) are kept apart by `folds`, unless a column fold (from 0 on) says which of
        them tests each segment, or a column split (train, valid, test, none) where it belongs. A recording without
        labels is for pretraining.
        """
        from emo_ssl.core.writer import write_arrays  # here, for pandas takes half a second to import

        write_arrays(folder, frames, labels, frame_rate, folds, feature_names, half, source)
        return cls.open(folder)

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
        return read_json(self.folder / REPORT, dict, AGAIN)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers of a speech encoder whose features lie side by side; other corpora have none."""
        return tuple(self.header.get("layers", ()))

    def layer(self, *numbers: int) -> "Corpus":
        """The corpus with the features of one layer only, L<number>.000 and so on, or of several in their order."""
        for number in numbers:
            if number not in self.layers:
                there = f"it has {', '.join(map(str, self.layers))}" if self.layers else "it has none"
                raise UserError(f"{self.folder}: no layer {number}, {there}; choose one of them, or record it.")
        if not numbers:
            raise UserError(f"{self.folder}: no layer is named; name one or more, or none at all in the configuration.")
        chosen = tuple(f"L{number}." for number in numbers)
        columns = [i for i, name in enumerate(self.feature_names) if name.startswith(chosen)]
        adjoining = columns == list(range(columns[0], columns[-1] + 1))
        own = slice(columns[0], columns[-1] + 1) if adjoining else columns  # a slice leaves the frames on disk
        kept = [number for number in self.layers if number in numbers]
        header = {**self.header, "feature_names": [self.feature_names[i] for i in columns], "layers": kept}
        if "front_end" in header:  # a name and its layers, as in whisper-tiny:1,2,3
            header["front_end"] = f"{header['front_end'].rpartition(':')[0]}:{','.join(map(str, kept))}"
        return replace(self, header=header, frames=self.frames[:, own])

    def segment(self, i: int) -> np.ndarray:
        """(L, D) raw frames of one segment, a view of the store."""
        return self.frames[self.segments.first[i] : self.segments.first[i] + self.segments.length[i]]

    def recording(self, i: int) -> np.ndarray:
        """(T, D) raw frames of one recording, a view of the store."""
        return self.frames[self.recordings.offset[i] : self.recordings.offset[i] + self.recordings.length[i]]

    def where(self, *splits: str) -> np.ndarray:
        """Indices of the segments of some splits."""
        return np.flatnonzero(np.isin(self.segments.split, [SPLITS.index(name) for name in splits]))

    def recordings_of(self, *splits: str) -> np.ndarray:
        """Indices of the recordings of some splits."""
        return np.flatnonzero(np.isin(self.recordings.split, [SPLITS.index(name) for name in splits]))

    def split(self, name: str) -> "Corpus":
        """The corpus with the segments of one split only: train, valid, test or none."""
        chosen = self.where(name)
        segments = SegmentTable(**{column: values[chosen] for column, values in vars(self.segments).items()})
        return replace(self, segments=segments, targets=self.targets[chosen])

    @property
    def folds(self) -> list[int]:
        """The corpus's cross-validation folds, or just 0 where its split is given."""
        return np.unique(self.segments.fold[self.segments.fold >= 0]).tolist() or [0]

    def of_fold(self, fold: int) -> "Corpus":
        """The corpus split for one cross-validation fold: `fold` is tested, the next one validates, the rest train."""
        if not (self.segments.fold >= 0).any():
            return self
        none, folds = SPLITS.index("none"), int(self.segments.fold.max()) + 1
        of_segment = np.where(self.segments.fold == fold, 2, np.where(self.segments.fold == (fold + 1) % folds, 1, 0))
        of_segment = np.where(self.segments.fold < 0, none, of_segment).astype(np.int8)
        of_recording = np.full(len(self.recordings), none, np.int8)
        of_recording[self.segments.recording] = of_segment
        # an unlabelled recording must not be pretrained on where its speaker is tested
        speaker = self.recordings.speaker
        split_of = {s: code for s, code in zip(speaker, of_recording, strict=True) if s and code != none}
        of_recording = np.array([split_of.get(s, code) for s, code in zip(speaker, of_recording, strict=True)], np.int8)
        return replace(
            self,
            recordings=replace(self.recordings, split=of_recording),
            segments=replace(self.segments, split=of_segment),
        )

    def constant_baselines(self, split: str) -> dict[str, dict[str, np.ndarray]]:
        """constant -> {"mae", "acc4"} -> (E,) on one split, the constants fitted on the training segments."""
        return metrics.constant_baselines(self.targets[self.where("train")], self.targets[self.where(split)])

    def __str__(self) -> str:
        hours = len(self.frames) / self.frame_rate / 3600
        speakers = len(set(self.recordings.speaker.tolist()) - {""})
        parts = ", ".join(f"{name} {len(self.where(name)):,}" for name in SPLITS if len(self.where(name)))
        folds = f" (fold 0 of {len(self.folds)})" if len(self.folds) > 1 else ""
        categories = f"; categories: {', '.join(self.category_names)}" if self.category_names else ""
        return (
            f"Corpus {self.folder}: {self.header['source']}\n{len(self.recordings):,} recordings, {hours:.1f} h, "
            f"{speakers or 'unknown'} speakers; {len(self.feature_names)} features at {self.frame_rate:g} Hz\n"
            f"{len(self):,} labelled segments: {parts}{folds}\n"
            f"emotions: {', '.join(self.target_names)}{categories}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


def refuse_impossible(header: Header, recordings: RecordingTable, segments: SegmentTable, targets: np.ndarray) -> None:
    """Tables that point to what is not there, or hold what no label is."""
    of = segments.recording
    if not inside(of, 0, len(recordings) - 1):
        raise ValueError("segments.recording names a recording that is not there")
    offset, end = recordings.offset, recordings.offset + recordings.length
    spans = {
        "recordings.offset": inside(offset, 0, header["frames"]),
        "recordings.length": inside(recordings.length, 0, header["frames"]) and inside(end, 0, header["frames"]),
        "recordings.split": inside(recordings.split, 0, len(SPLITS) - 1),
        "segments.first": inside(segments.first, offset[of], end[of]),
        "segments.length": inside(segments.length, 1, header["frames"])
        and inside(segments.first + segments.length, 0, end[of]),
        "segments.start": np.isfinite(segments.start).all(),
        "segments.end": np.isfinite(segments.end).all(),
        "segments.split": inside(segments.split, 0, len(SPLITS) - 1),
        "segments.fold": inside(segments.fold, -1, 126),
        "segments.category": inside(segments.category, -1, len(header["category_names"]) - 1),
        "targets": inside(targets, 0, metrics.CEILING),
        "layers": all(any(f.startswith(f"L{k}.") for f in header["feature_names"]) for k in header.get("layers", ())),
    }
    for name, holds in spans.items():
        if not holds:
            raise ValueError(f"{name} is out of range")


def inside(values: np.ndarray, low: object, high: object) -> bool:
    """Of NaN never."""
    return bool(((values >= low) & (values <= high)).all())
