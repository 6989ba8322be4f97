"""CMU-MOSEI's files (acoustic features, labels, folds) -> a Corpus, and a report of every defect met.

The label table is checked first, then the acoustic file streams by once: each video is cleaned, stored, hashed, and its
segments are found by two binary searches, while the next one is read. Memory holds a few videos at a time, whatever the
size of the corpus.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora.audio import SHORTEST
from emo_ssl.corpora.cleaning import EARLY, EDGE, LATE, TOO_SHORT, Tally, cut, drop, make_report, segment_table
from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.csd import EMOTIONS, Csd
from emo_ssl.corpora.folds import NOT_STANDARD, hash_split, read_folds, refuse_foreign_folds
from emo_ssl.corpora.labels import base_of, clean, in_order, plain, read_labels
from emo_ssl.utils import engine as engines
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, require_space
from emo_ssl.utils.progress import Progress

Read = tuple[np.ndarray, np.ndarray, Tally]
USUAL_ROOTS = ("COVAREP", "Labels", "All Labels", "Emotion Labels")


@dataclass(frozen=True)
class Sources:
    """The opened files and what was read of them before the frames."""

    sound: Csd
    table: Csd
    rows: pd.DataFrame  # as `read_labels` returns it
    names: tuple[str, ...]  # of the features
    groups: dict[str, list[str]]  # video -> its keys in the acoustic file
    folds: dict[str, int] | None  # video -> split, None without a fold file

    def split(self, video: str) -> int:
        return hash_split(video) if self.folds is None else self.folds.get(video, SPLITS.index("none"))


def prepare(
    acoustic: Path | str,
    labels: Path | str,
    folds: Path | str | None,
    output: Path | str,
    half: bool = False,
    label_names: tuple[str, ...] | None = None,
    engine: str = "local",
    scheduler: str | None = None,
    jobs: int | None = None,
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
                with engines.tasks(engine, scheduler, jobs) as tasks:
                    build(sources, frames, half, out.path, tasks)
                out.finish()
    return Corpus.open(output)


def read_tables(sound: Csd, table: Csd, split_of: dict | None, folds: Path | str | None, label_names) -> Sources:
    """Everything but the frames, with the refusals that need no frames."""
    refuse_swapped(sound, table)
    rows = read_labels(table, label_names)
    names = feature_names(sound)
    groups: dict[str, list[str]] = {}
    for key in in_order(sound.keys):  # several keys a video where the file was aligned into pieces `id[0]`, `id[1]`, …
        groups.setdefault(base_of(key), []).append(key)
    labelled = set(rows["name"])
    if not set(groups) & labelled:
        raise UserError(
            f"{table.path}: none of its videos (such as {rows['name'][0]}) is in {sound.path} "
            f"(such as {next(iter(groups))}); the two files are of different corpora."
        )
    if split_of is not None:
        refuse_foreign_folds(folds, split_of, set(groups) | labelled)
    clean(rows, table.path)
    return Sources(sound, table, rows, names, groups, split_of)


def refuse_swapped(sound: Csd, table: Csd) -> None:
    """The labels given as the sound: the one file whose columns are named like emotions, or else the narrower one."""
    named = [set(EMOTIONS) <= set(map(plain, csd.names or ())) for csd in (sound, table)]
    width = [max((csd.shape(key)[1] for key in csd.keys), default=0) for csd in (sound, table)]
    if named[0] > named[1] or (sound.names is table.names is None and width[0] < len(FEATURE_NAMES) <= width[1]):
        raise UserError(
            f"{sound.path}: holds labels, and {table.path} the features; give the first as --labels and the second as "
            "--acoustic."
        )


def feature_names(sound: Csd) -> tuple[str, ...]:
    """The names of the columns, checked against the width that most videos have."""
    widths = Counter(sound.shape(key)[1] for key in sound.keys if sound.shape(key)[0])
    names = sound.names or FEATURE_NAMES
    width = max(widths, key=widths.get, default=len(names))
    if len(names) != width:
        expected = "the file names" if sound.names else "COVAREP has"
        raise UserError(f"{sound.path}: rows hold {width} values, {expected} {len(names)}; is it the acoustic file?")
    return names


def build(sources: Sources, total: int, half: bool, folder: Path, tasks: engines.Tasks | None = None) -> None:
    """Stream the acoustic file into `folder` once, then seal the folder with the table of segments."""
    rows, sound, tally = sources.rows, sources.sound, Tally()
    first, length, video_end = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.full(len(rows), np.nan)
    start, end = rows["start"].to_numpy(), rows["end"].to_numpy()
    rows_of, offset_of = rows.groupby("name").indices, {}
    rate = frame_rate(sound, sources.groups)
    with CorpusWriter(folder, sources.names, rate, half) as writer, Progress("preparing", total, "frames") as bar:
        groups = sorted(sources.groups.items())
        results = (
            tasks(partial(read_elsewhere, sound.path.absolute(), sources.names), groups, ahead=2)
            if tasks
            else engines.one_ahead(partial(read_video, sound, sources.names), groups)
        )
        for (video, keys), (frames, times, found) in zip(groups, results, strict=True):
            tally.add(found)
            bar.advance(sum(sound.shape(key)[0] for key in keys))
            if len(frames):
                mine = rows_of.get(video, [])
                first[mine], length[mine] = cut(times, start[mine], end[mine])
                video_end[mine] = times[-1, 1]
                offset_of[video] = writer.add_recording(video, frames, sources.split(video))
        tally.frames["kept"] = writer.frame_count
        compare_files(sources, offset_of, tally)
        drop(rows, (length == 0) & (start >= video_end), "interval beyond the end of the video")
        drop(rows, length == 0, "interval without frames")
        drop(rows, length / rate < SHORTEST - EDGE, TOO_SHORT)
        rows[EARLY], rows[LATE] = start < 0, end > video_end + 1 / rate
        kept = rows.assign(first=first, length=length, fold=-1, category=-1)[rows["fate"] == ""]
        kept = kept.sort_values(["name", "row"])
        kept["first"] += kept["name"].map(offset_of)
        kept["recording"] = kept["name"].map({video: i for i, video in enumerate(offset_of)})
        kept["split"] = kept["name"].map(sources.split)
        csds = (sound, sources.table)
        unusual = {f"unusual root group `{csd.root}`": csd.path.name for csd in csds if csd.root not in USUAL_ROOTS}
        writer.seal(
            segment_table(kept),
            kept[list(EMOTIONS)].to_numpy(np.float32),
            EMOTIONS,
            make_report(rows, tally, len(offset_of), files=unusual),
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


@lru_cache(maxsize=1)
def opened(path: Path) -> Csd:
    return Csd(path)


def read_elsewhere(path: Path, names: Sequence[str], group: tuple[str, list[str]]) -> Read:
    """What `read_video` does, in a process that has nothing open yet."""
    return read_video(opened(path), names, group)


def read_video(sound: Csd, names: Sequence[str], group: tuple[str, list[str]]) -> Read:
    """Frames (T, D) float32, missing = NaN, and intervals (T, 2) of one video in order of time, each frame once.

    Nothing (T = 0) where the video has no frame, or rows of another width than the rest of the file.
    """
    video, keys = group
    tally = Tally()
    nothing = (np.empty((0, 0), np.float32), np.empty((0, 2)))
    keys = [key for key in keys if sound.shape(key)[0]]
    size = sum(sound.shape(key)[0] for key in keys)
    tally.frames["in"] += size
    if any(sound.shape(key)[1] != len(names) for key in keys):
        tally.recording("with rows of another width, dropped", video)
        tally.frames["dropped: row of the wrong width"] += size
        return *nothing, tally
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
        return *nothing, tally
    if (np.diff(times[:, 0]) < 0).any():
        tally.recording("rows out of time order, sorted", video)
        order = np.argsort(times[:, 0], kind="stable")
        frames, times = frames[order], times[order]
    if len(pieces) > 1:  # the pieces of overlapping segments hold the same frames again
        again = np.concatenate([[False], (np.diff(times, axis=0) == 0).all(1)])
        tally.frames["dropped: repeated in an overlapping piece"] += int(again.sum())
        frames, times = frames[~again], times[~again]
    tally.mark_missing(frames, names)
    return frames, times, tally


def compare_files(sources: Sources, offset_of: dict[str, int], tally: Tally) -> None:
    """Drop the rows whose video gave no frames, and count the videos that stand in one file and not in another."""
    rows, labelled = sources.rows, set(sources.rows["name"])
    sound, width = sources.sound, len(sources.names)
    uneven = [v for v, keys in sources.groups.items() if any(sound.shape(k)[1] not in (0, width) for k in keys)]
    drop(rows, rows["name"].isin(uneven), "video with rows of the wrong width")
    drop(rows, ~rows["name"].isin(list(offset_of)), "video without frames")
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
