"""Recordings -> frames -> a corpus: a file is a recording, a clip of it a segment, a bad file a line of the report.

Silence before the voice and after it is left out unless it is asked for, or unless the table names a part of that
recording: half of an acted clip is the quiet of the studio, which takes half of every batch and carries nothing. Times
are seconds of the whole recording all the same.

Files are worked on by several processes and stored in the order of their names, so the number of processes changes
nothing but the time. An interrupted run begins anew: all of RAVDESS takes a minute or two. Where a front end is slow,
frames of finished files are kept in the folder until the corpus is whole, and an interrupted run goes on after them.
Its files on a disk are read as `predict` reads them, long ones in pieces, so that no length of sound fills the memory.
"""

import contextlib
import shutil
import signal
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora import audio, front_ends
from emo_ssl.corpora.audio import SHORTEST, BadRecording
from emo_ssl.corpora.cleaning import EDGE, LATE, TOO_SHORT, Tally, cut, drop, make_report, segment_table
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.front_ends import FrontEnd
from emo_ssl.corpora.keeping import Framed, Keeper
from emo_ssl.corpora.recipes import Listing, read_recipe
from emo_ssl.utils import engine as engines
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, hash_of
from emo_ssl.utils.npz import UNREADABLE
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.values import ECHO, shortened

SILENCE = "dropped: silence before and after the voice"
KEPT = "files"  # the folder of frames that are kept
MOST_UNPACKED = 1 << 29  # bytes of a recording in an archive; longer ones have to be unpacked
TOGETHER = 1 << 23  # numbers of a recording that are stored at once


def record(
    source: Path | str,
    output: Path | str,
    recipe: str = "ravdess",
    table: Path | str | None = None,
    front_end: str | FrontEnd = "acoustics",
    jobs: int | None = None,
    keep_silence: bool = False,
    folds: str = "",
    half: bool | None = None,
    device: str = "cpu",
    engine: str = "local",
    scheduler: str | None = None,
) -> Corpus:
    """Read every clip of `source` into a corpus. Returns at once where `output` already holds it."""
    audio.soundfile_module()  # rather refused now than once for every file
    import joblib

    maker = front_ends.front_end(front_end, device) if isinstance(front_end, str) else front_end
    half = maker.half if half is None else half
    listing = read_recipe(recipe, source, table, folds)
    jobs = max(1, joblib.cpu_count() if jobs is None else jobs)
    config = {
        "recipe": recipe,
        "source": fingerprint_of(listing),
        "table": fingerprint(listing.table) if listing.table else None,
        "front_end": maker.name,
        "front_end_version": maker.version,
        "keep_silence": keep_silence,
        **({"folds": folds} if folds else {}),
        "half": half,
        **({"device": device} if device != "cpu" else {}),
    }
    with OutputFolder(output, "corpus", config) as out:
        if not out.complete:
            with engines.tasks(engine, scheduler, jobs) as tasks:
                build(listing, maker, jobs if device == "cpu" else 1, out.path, keep_silence, half, tasks)
            out.finish()
        shutil.rmtree(out.path / KEPT, ignore_errors=True)
    return Corpus.open(output)


def fingerprint_of(listing: Listing) -> str:
    """The same for sources of the same content, wherever they lie."""
    if not listing.root.is_dir():
        return fingerprint(listing.root)
    found = {}
    for path in sorted(set(listing.clips["path"])):
        with contextlib.suppress(OSError):  # it will be listed among the recordings that cannot be read
            found[path] = fingerprint(listing.root / path, blocks=4)
    return hash_of(found)


def build(
    listing: Listing,
    maker: FrontEnd,
    jobs: int,
    folder: Path,
    keep_silence: bool,
    half: bool,
    tasks: engines.Tasks | None = None,
) -> None:
    rows, tally, skipped, recordings, rate = listing.clips.assign(fate=""), Tally(), [], 0, maker.frame_rate
    rows["row"] = rows.groupby("name").cumcount()
    files, rows_of = rows.drop_duplicates("name"), rows.groupby("name").indices
    # the parts that a table names are in seconds of the whole recording
    in_parts = rows["name"][rows[["start", "end"]].notna().any(axis=1)]
    work = zip(files["path"], files["name"].isin(in_parts) | keep_silence, strict=True)
    start, end = rows["start"].to_numpy(copy=True), rows["end"].to_numpy(copy=True)
    recording, first, length = (np.zeros(len(rows), np.int64) for _ in range(3))
    ended_of = np.full(len(rows), np.inf)
    keeper = Keeper(folder.absolute() / KEPT, len(maker.feature_names), half) if maker.slow else None
    with (
        CorpusWriter(folder, maker.feature_names, rate, half) as writer,
        Progress("recording", len(files), "files") as bar,
        contextlib.closing(in_order(listing.root, work, maker, min(jobs, len(files)), keeper, tasks)) as results,
    ):
        for file, result in zip(files.itertuples(), results, strict=True):
            mine = rows_of[file.name]
            if isinstance(result, BadRecording):
                skipped.append({"path": file.path, "reason": str(result)})
                tally.recording(f"left out: {result.reason}", file.path)
                rows.loc[mine, "fate"] = f"recording left out: {result.reason}"
            else:
                frames, began, ended, seconds = result
                silent = round((began + seconds - ended) * rate)  # never made, hence not to be counted
                tally.frames.update({"in": len(frames) + silent, "kept": len(frames), SILENCE: silent})
                edges = began + np.arange(len(frames) + 1) / rate
                start[mine] = np.where(np.isnan(start[mine]), began, start[mine])
                end[mine] = np.where(np.isnan(end[mine]), ended, end[mine])
                first[mine], length[mine] = cut(np.stack([edges[:-1], edges[1:]], 1), start[mine], end[mine])
                pieces = marked(frames, tally, maker.feature_names)
                first[mine] += writer.add_recording(file.name, pieces, SPLITS.index(file.split), file.speaker)
                recording[mine], ended_of[mine] = recordings, ended
                recordings += 1
            bar.advance(1, f"{len(skipped)} left out" if skipped else "")
        if keeper:
            writer.float16_error = keeper.float16_error  # what they lost when they were kept
        rows = rows.assign(recording=recording, start=start, end=end, first=first, length=length)
        rows[LATE] = end > ended_of + 1 / rate
        drop(rows, start >= ended_of, "interval beyond the end of the recording")
        drop(rows, length / rate < SHORTEST - EDGE, TOO_SHORT)
        for what, paths in listing.notes.items():
            if paths:
                tally.recordings[what], tally.named[what] = len(paths), paths[:10]
        refuse_too_little(listing.root, len(files), skipped, rows["fate"])
        kept = rows[rows["fate"] == ""]
        categories = pd.Index(listing.category_names, dtype=str)
        writer.seal(
            segment_table(
                kept.assign(split=kept["split"].map(SPLITS.index), category=categories.get_indexer(kept["category"]))
            ),
            kept[list(EMOTIONS)].to_numpy(np.float32),
            EMOTIONS,
            make_report(rows, tally, recordings, skipped=skipped),
            source=f"{listing.source}; front end {maker.name}",
            folds=listing.folds,
            category_names=listing.category_names,
            recipe=listing.recipe,
            convention=listing.convention,
            front_end=maker.name,
            front_end_version=maker.version,
            front_end_licence=maker.licence,
            keep_silence=keep_silence,
            **maker.about,
        )


def marked(frames: np.ndarray, tally: Tally, names: Sequence[str]) -> Iterator[np.ndarray]:
    """Frames (T, D) in pieces of float32, their missing values counted."""
    size = TOGETHER // len(names)
    for begin in range(0, len(frames), size):
        piece = np.array(frames[begin : begin + size], np.float32)
        tally.mark_missing(piece, names)
        yield piece


def refuse_too_little(root: Path, files: int, skipped: list[dict], fates: pd.Series) -> None:
    if 2 * len(skipped) > files:
        first = skipped[0]
        raise UserError(
            f"{root}: {len(skipped)} of {files} recordings cannot be used, the first of them, {first['path']}, "
            f"because: {first['reason']}; mend the recordings or what describes them."
        )
    if (fates != "").all():
        raise UserError(f"{root}: no clip can be used ({', '.join(fates.unique())}); mend start and end in the table.")


# Files


def in_order(
    root: Path,
    work: Iterable[tuple[str, bool]],
    maker: FrontEnd,
    jobs: int,
    keeper: Keeper | None = None,
    tasks: engines.Tasks | None = None,
) -> Iterator[Framed | BadRecording]:
    """What becomes of each file, in the order of the files; work: the path of each, and whether its silence is kept."""
    import joblib

    asked = ((number, path, keep) for number, (path, keep) in enumerate(work))
    one_file = partial(made, keeper, maker, root.absolute())
    if tasks:
        results = tasks(one_file, asked, ahead=2)
    else:
        # one thread a process: those of several processes would wait for each other
        with joblib.parallel_config("loky", inner_max_num_threads=1, initializer=leave_interrupts):
            pool = joblib.Parallel(jobs, return_as="generator", batch_size=1)
        results = pool(map(joblib.delayed(one_file), asked))
    try:
        for number, result in enumerate(results):
            yield keeper.read(number) if keeper else result
    except BrokenProcessPool as problem:
        raise UserError(
            "a working process ended before its work, most likely for want of memory; run again with fewer --jobs."
        ) from problem
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib complains where the caller stops early
            results.close()


def leave_interrupts() -> None:
    """To the process that began this one, which ends it: a terminal sends Ctrl-C to all of them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def made(
    keeper: Keeper | None, maker: FrontEnd, root: Path, asked: tuple[int, str, bool]
) -> Framed | BadRecording | None:
    """Frames of a file, or nothing where they are kept under its number, unless that was done before."""
    number, *how = asked
    if keeper is None:
        return frames_or_reason(maker, root, *how)
    if not keeper.has(number):
        keeper.keep(number, pieces_of(maker, root, *how))
    return None


def frames_or_reason(maker: FrontEnd, root: Path, path: str, keep_silence: bool) -> Framed | BadRecording:
    """Frames of a file below a folder, or of a member of an archive, of which nothing is written to the disk."""
    try:
        sound = root / path if root.is_dir() else unpacked(root, path)
        return front_ends.frames_of(maker, sound, keep_silence)
    except BadRecording as problem:
        return problem


def unpacked(root: Path, path: str) -> bytes:
    """A member of an archive, in the memory."""
    try:
        with zipfile.ZipFile(root) as archive:
            size = archive.getinfo(path).file_size
            if size > MOST_UNPACKED:
                raise BadRecording("too large in the archive", f"{size:,} bytes, at most {MOST_UNPACKED:,}")
            return archive.read(path)
    except (OSError, *UNREADABLE) as problem:
        raise BadRecording("damaged or locked in the archive", shortened(str(problem), ECHO)) from problem


def pieces_of(maker: FrontEnd, root: Path, path: str, keep_silence: bool) -> Iterator[Framed]:
    """A long file in pieces, with whatever silence it has; any other in one."""
    if root.is_dir() and audio.rate_and_seconds(root / path)[1] > front_ends.STRETCH:
        for frames, began, ended in front_ends.stretches(root / path, maker):
            yield frames, began, ended, ended
        return
    result = frames_or_reason(maker, root, path, keep_silence)
    if isinstance(result, BadRecording):
        raise result
    yield result
