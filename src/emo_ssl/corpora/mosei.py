"""CMU-MOSEI's files (acoustic features, labels, folds) -> a Corpus, and a report of every defect met.

The label table is checked first, then the acoustic file streams by once: each video is cleaned, stored, hashed, and its
segments are found by two binary searches. Memory holds a few videos at a time, whatever the size of the corpus.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS, Corpus, SegmentTable
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora.audio import SHORTEST
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, Csd
from emo_ssl.corpora.folds import NOT_STANDARD, hash_split, read_folds, refuse_foreign_folds
from emo_ssl.corpora.labels import LabelRows, base_of, clean, in_order, read_labels
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, require_space
from emo_ssl.utils.progress import Progress

EDGE = 1e-5  # seconds by which an interval's ends reach out, against rounding in the files
USUAL_ROOTS = ("COVAREP", "Labels", "All Labels", "Emotion Labels")


@dataclass(frozen=True)
class Sources:
    """The opened files and what was read of them before the frames."""

    sound: Csd
    table: Csd
    rows: LabelRows
    names: tuple[str, ...]  # of the features
    groups: dict[str, list[str]]  # video -> its keys in the acoustic file
    folds: dict[str, int] | None  # video -> split, None without a fold file

    def split(self, video: str) -> int:
        return hash_split(video) if self.folds is None else self.folds.get(video, SPLITS.index("none"))


@dataclass
class Tally:
    """What was met on the way through the acoustic file."""

    recordings: Counter = field(default_factory=Counter)
    frames: Counter = field(default_factory=Counter)
    missing: Counter = field(default_factory=Counter)
    named: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def recording(self, kind: str, name: str) -> None:
        self.recordings[kind] += 1
        if len(self.named[kind]) < 10:
            self.named[kind].append(name)


def prepare(
    acoustic: Path | str,
    labels: Path | str,
    folds: Path | str | None,
    output: Path | str,
    half: bool = False,
    label_names: tuple[str, ...] | None = None,
) -> Corpus:
    """Clean, store, report. Returns at once where `output` already holds this corpus."""
    split_of = read_folds(folds) if folds else None
    with Csd(acoustic) as sound, Csd(labels) as table:
        config = {
            "acoustic": fingerprint(sound.path),
            "labels": fingerprint(table.path),
            "folds": fingerprint(Path(folds)) if folds else None,
            "half": half,
            "label_names": list(label_names) if label_names else None,
        }
        with OutputFolder(output, "corpus", config) as out:
            if not out.complete:
                sources = read_tables(sound, table, split_of, folds, label_names)
                frames = sum(sound.shape(key)[0] for key in sound.keys)
                require_space(out.path, frames * len(sources.names) * (2 if half else 4))
                build(sources, frames, half, out.path)
                out.finish()
    return Corpus.open(output)


def read_tables(sound: Csd, table: Csd, split_of: dict | None, folds: Path | str | None, label_names) -> Sources:
    """Everything but the frames, with the refusals that need no frames."""
    rows = read_labels(table, label_names)
    names = feature_names(sound)
    groups: dict[str, list[str]] = {}
    for key in in_order(sound.keys):  # several keys a video where the file was aligned into pieces `id[0]`, `id[1]`, …
        groups.setdefault(base_of(key), []).append(key)
    labelled = set(rows.video.tolist())
    if not set(groups) & labelled:
        raise UserError(
            f"{table.path}: none of its videos (such as {rows.video[0]}) is in {sound.path} "
            f"(such as {next(iter(groups))}); the two files are of different corpora."
        )
    if split_of is not None:
        refuse_foreign_folds(folds, split_of, set(groups) | labelled)
    clean(rows, table.path)
    return Sources(sound, table, rows, names, groups, split_of)


def feature_names(sound: Csd) -> tuple[str, ...]:
    """The names of the columns, checked against the width that most videos have."""
    widths = Counter(sound.shape(key)[1] for key in sound.keys if sound.shape(key)[0])
    if not widths:
        raise UserError(f"{sound.path}: holds no frames; download it again.")
    width = widths.most_common(1)[0][0]
    names = sound.names or FEATURE_NAMES
    if len(names) != width:
        expected = "the file names" if sound.names else "COVAREP has"
        raise UserError(f"{sound.path}: rows hold {width} values, {expected} {len(names)}; is it the acoustic file?")
    return names


def build(sources: Sources, total: int, half: bool, folder: Path) -> None:
    """Stream the acoustic file into `folder` once, then seal the folder with the table of segments."""
    rows, sound, tally = sources.rows, sources.sound, Tally()
    first, length, video_end = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.full(len(rows), np.nan)
    rows_of, offset_of = pd.Series(rows.row).groupby(rows.video).indices, {}
    rate = frame_rate(sound, sources.groups)
    with CorpusWriter(folder, sources.names, rate, half) as writer, Progress("preparing", total, "frames") as bar:
        for video, keys in sorted(sources.groups.items()):
            frames, times = read_video(sources, video, tally)
            bar.advance(sum(sound.shape(key)[0] for key in keys))
            if len(frames):
                mine = rows_of.get(video, [])
                first[mine], length[mine] = cut(times, rows.start[mine], rows.end[mine])
                video_end[mine] = times[-1, 1]
                offset_of[video] = writer.add_recording(video, frames, sources.split(video))
        compare_files(sources, offset_of, tally)
        drop_by_frames(rows, length, video_end, rate)
        kept = np.flatnonzero(rows.kept)
        kept = kept[np.lexsort((rows.row[kept], rows.video[kept]))]
        videos, index = rows.video[kept].tolist(), {video: i for i, video in enumerate(offset_of)}
        segments = SegmentTable(
            recording=np.array([index[video] for video in videos], np.int32),
            row=rows.row[kept].astype(np.int32),
            start=rows.start[kept],
            end=rows.end[kept],
            first=first[kept] + np.array([offset_of[video] for video in videos], np.int64),
            length=length[kept].astype(np.int32),
            split=np.array([sources.split(video) for video in videos], np.int8),
            fold=np.full(len(kept), -1, np.int8),
            category=np.full(len(kept), -1, np.int8),
        )
        writer.seal(
            segments,
            rows.values[kept].astype(np.float32),
            EMOTIONS,
            make_report(sources, tally, len(offset_of), writer.frame_count),
            source=str(sound.metadata.get("corpus") or f"{sound.path.name} + {sources.table.path.name}"),
            folds=NOT_STANDARD if sources.folds is None else "given by the user",
        )


def frame_rate(sound: Csd, groups: dict[str, list[str]]) -> float:
    """Frames a second: the inverse of the median step in the first video that has two frames."""
    for keys in groups.values():
        if sound.shape(keys[0])[0] > 1:
            starts = sound.intervals(keys[0])[:, 0]
            steps = np.diff(np.sort(starts[np.isfinite(starts)]))
            if (steps > 0).any():
                return float(round(1 / np.median(steps[steps > 0]), 6))
    raise UserError(f"{sound.path}: no video has two frames, so there is no frame rate; is it the acoustic file?")


def read_video(sources: Sources, video: str, tally: Tally) -> tuple[np.ndarray, np.ndarray]:
    """Frames (T, D) float32, missing = NaN, and intervals (T, 2) of one video in order of time, each frame once.

    Nothing (T = 0) where the video has no frame, or rows of another width than the rest of the file.
    """
    sound, nothing = sources.sound, (np.empty((0, 0), np.float32), np.empty((0, 2)))
    keys = [key for key in sources.groups[video] if sound.shape(key)[0]]
    size = sum(sound.shape(key)[0] for key in keys)
    tally.frames["in"] += size
    if any(sound.shape(key)[1] != len(sources.names) for key in keys):
        tally.recording("with rows of another width, dropped", video)
        tally.frames["dropped: row of the wrong width"] += size
        return nothing
    if any(sound.dtype(key) != np.float32 for key in keys):
        tally.recording("stored in another number format, read as float32", video)
    pieces = [sound.read(key) for key in keys] or [nothing]
    frames, times = pieces[0] if len(pieces) == 1 else map(np.concatenate, zip(*pieces, strict=True))
    known = np.isfinite(times).all(1)
    if not known.all():
        tally.frames["dropped: interval is not a number"] += int((~known).sum())
        frames, times = frames[known], times[known]
    if not len(frames):
        tally.recording("in the acoustic file with no frame, dropped", video)
        return nothing
    if (np.diff(times[:, 0]) < 0).any():
        tally.recording("rows out of time order, sorted", video)
        order = np.argsort(times[:, 0], kind="stable")
        frames, times = frames[order], times[order]
    if len(pieces) > 1:  # the pieces of overlapping segments hold the same frames again
        again = np.concatenate([[False], (np.diff(times, axis=0) == 0).all(1)])
        tally.frames["dropped: repeated in an overlapping piece"] += int(again.sum())
        frames, times = frames[~again], times[~again]
    mark_missing(frames, sources.names, tally)
    return frames, times


def mark_missing(frames: np.ndarray, names: tuple[str, ...], tally: Tally) -> None:
    """Turn every infinity into NaN, in place, counting missing values a feature."""
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(~np.isfinite(frames.sum(0)))  # one sweep tells which columns need a closer look
    for d in suspects:
        missing = ~np.isfinite(frames[:, d])
        if missing.any():
            tally.missing[names[d]] += int(missing.sum())
            frames[missing, d] = np.nan


def cut(times: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """times (T, 2) sorted, start and end (S,) -> first (S,) and length (S,) of the frames that touch each interval."""
    first = np.searchsorted(times[:, 1], start - EDGE, side="right")
    last = np.searchsorted(times[:, 0], end + EDGE, side="left")
    return first, np.maximum(last - first, 0)


def compare_files(sources: Sources, offset_of: dict[str, int], tally: Tally) -> None:
    """Drop the rows whose video gave no frames, and count the videos that stand in one file and not in another."""
    rows, labelled = sources.rows, set(sources.rows.video.tolist())
    sound, width = sources.sound, len(sources.names)
    uneven = [v for v, keys in sources.groups.items() if any(sound.shape(k)[1] not in (0, width) for k in keys)]
    rows.drop(np.isin(rows.video, uneven), "video with rows of the wrong width")
    rows.drop(~np.isin(rows.video, list(offset_of)), "video without frames")
    found = {
        "labelled but without frames": labelled - set(sources.groups),
        "with frames but without labels, kept for pretraining": set(offset_of) - labelled,
    }
    if sources.folds is not None:
        found["named by the folds but without frames"] = set(sources.folds) - set(offset_of)
        found["in no fold, kept for pretraining"] = set(offset_of) - set(sources.folds)
    for kind, videos in found.items():
        for video in sorted(videos):
            tally.recording(kind, video)


def drop_by_frames(rows: LabelRows, length: np.ndarray, video_end: np.ndarray, rate: float) -> None:
    """Drop rows without frames or with too few, and note what was clipped; `length` and `video_end` are (N,)."""
    rows.drop((length == 0) & (rows.start >= video_end), "interval beyond the end of the video")
    rows.drop(length == 0, "interval without frames")
    rows.drop(length / rate < SHORTEST - EDGE, f"shorter than {SHORTEST} s of frames")
    rows.mended["start below 0 clipped"] = rows.start < 0
    rows.mended["end beyond the video clipped"] = rows.end > video_end + 1 / rate


def make_report(sources: Sources, tally: Tally, recordings: int, frames: int) -> dict:
    """Every number a reader needs to check that nothing vanished: in = kept + dropped, for segments and for frames."""
    rows = sources.rows
    dropped = Counter(rows.fate[~rows.kept].tolist())
    examples = {
        reason: [f"{rows.video[i]} row {rows.row[i]}" for i in np.flatnonzero(rows.fate == reason)[:5]]
        for reason in dropped
    }
    csds = (sources.sound, sources.table)
    return {
        "segments": {"in": len(rows), "kept": int(rows.kept.sum()), "dropped": dict(sorted(dropped.items()))},
        "mended": {repair: int((which & rows.kept).sum()) for repair, which in sorted(rows.mended.items())},
        "videos": {"kept": recordings, **dict(sorted(tally.recordings.items()))},
        "frames": {**tally.frames, "kept": frames},
        "missing_values": dict(tally.missing.most_common()),
        "files": {f"unusual root group `{csd.root}`": csd.path.name for csd in csds if csd.root not in USUAL_ROOTS},
        "examples": {**examples, **tally.named},
    }
