"""Recordings -> frames -> a corpus: a file is a recording, a clip of it a segment, a bad file a line of the report.

Silence before the voice and after it is left out unless it is asked for, or unless the table names a part of that
recording: half of an acted clip is the quiet of the studio, which takes half of every batch and carries nothing. Times
are seconds of the whole recording all the same.

Files are worked on by several processes and stored in the order of their names, so the number of processes changes
nothing but the time. An interrupted run begins anew: all of RAVDESS takes a minute or two.
"""

import contextlib
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from pathlib import Path

import numpy as np

from emo_ssl.core.corpus import SPLITS, Corpus, SegmentTable
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora import audio, front_ends
from emo_ssl.corpora.audio import SHORTEST, BadRecording
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.fetch import UNREADABLE
from emo_ssl.corpora.front_ends import FrontEnd
from emo_ssl.corpora.mosei import EDGE, Tally, cut, mark_missing
from emo_ssl.corpora.recipes import Clip, Listing, read_recipe
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, hash_of
from emo_ssl.utils.progress import Progress

CLIPPED = "end beyond the recording clipped"
SILENCE = "dropped: silence before and after the voice"
Framed = tuple[np.ndarray, float, float, float]  # what `front_ends.frames_of` returns


def record(
    source: Path | str,
    output: Path | str,
    recipe: str = "ravdess",
    table: Path | str | None = None,
    front_end: str | FrontEnd = "acoustics",
    jobs: int | None = None,
    keep_silence: bool = False,
) -> Corpus:
    """Read every clip of `source` into a corpus. Returns at once where `output` already holds it."""
    audio.soundfile_module()  # rather refused now than once for every file
    import joblib

    maker = front_ends.front_end(front_end) if isinstance(front_end, str) else front_end
    listing = read_recipe(recipe, source, table)
    jobs = max(1, joblib.cpu_count() if jobs is None else jobs)
    config = {
        "recipe": recipe,
        "source": fingerprint_of(listing),
        "table": fingerprint(Path(table)) if table else None,
        "front_end": maker.name,
        "front_end_version": maker.version,
        "keep_silence": keep_silence,
    }
    with OutputFolder(output, "corpus", config) as out:
        if not out.complete:
            build(listing, maker, jobs, out.path, keep_silence)
            out.finish()
    return Corpus.open(output)


def fingerprint_of(listing: Listing) -> str:
    """The same for sources of the same content, wherever they lie."""
    if not listing.root.is_dir():
        return fingerprint(listing.root)
    found = {}
    for path in sorted({clip.path for clip in listing.clips}):
        with contextlib.suppress(OSError):  # it will be listed among the recordings that cannot be read
            found[path] = fingerprint(listing.root / path, blocks=4)
    return hash_of(found)


def build(listing: Listing, maker: FrontEnd, jobs: int, folder: Path, keep_silence: bool) -> None:
    files = [list(clips) for _, clips in groupby(listing.clips, key=lambda clip: clip.name)]
    folds = max(clip.fold for clip in listing.clips) + 1
    tally, fates, kept, skipped, recordings, silent = Tally(), Counter(), [], [], 0, 0
    with (
        CorpusWriter(folder, maker.feature_names, maker.frame_rate) as writer,
        Progress("recording", len(files), "files") as bar,
        contextlib.closing(in_order(listing, files, maker, min(jobs, len(files)), keep_silence)) as results,
    ):
        for clips, result in zip(files, results, strict=True):
            if isinstance(result, BadRecording):
                skipped.append({"path": clips[0].path, "reason": str(result)})
                tally.recording(f"left out: {result.reason}", clips[0].path)
                fates[f"recording left out: {result.reason}"] += len(clips)
            else:
                frames, began, ended, seconds = result
                silent += round((began + seconds - ended) * maker.frame_rate)  # never made, hence not to be counted
                mark_missing(frames, maker.feature_names, tally)
                offset = writer.add_recording(clips[0].name, frames, split_of(clips[0], folds), clips[0].speaker)
                kept += placed(clips, recordings, offset, len(frames), (began, ended), maker.frame_rate, fates)
                recordings += 1
            bar.advance(1, f"{len(skipped)} left out" if skipped else "")
        refuse_too_little(listing.root, len(files), skipped, fates, len(kept))
        for what, paths in listing.notes.items():
            tally.recordings[what], tally.named[what] = len(paths), paths[:10]
        clipped = fates.pop(CLIPPED, 0)
        report = {
            "segments": {"in": len(listing.clips), "kept": len(kept), "dropped": dict(sorted(fates.items()))},
            "mended": {CLIPPED: clipped},
            "videos": {"kept": recordings, **dict(sorted(tally.recordings.items()))},
            "frames": {"in": writer.frame_count + silent, "kept": writer.frame_count, SILENCE: silent},
            "missing_values": dict(tally.missing.most_common()),
            "files": {},
            "examples": tally.named,
            "skipped": skipped,
        }
        writer.seal(
            segment_table(kept, folds, listing.category_names),
            np.array([clip.targets for clip, *_ in kept], np.float32),
            EMOTIONS,
            report,
            source=f"{listing.source}; front end {maker.name}",
            folds=listing.folds,
            category_names=listing.category_names,
            recipe=listing.recipe,
            convention=listing.convention,
            front_end=maker.name,
            front_end_version=maker.version,
            front_end_licence=maker.licence,
            keep_silence=keep_silence,
        )


def refuse_too_little(root: Path, files: int, skipped: list[dict], fates: Counter, kept: int) -> None:
    if 2 * len(skipped) > files:
        first = skipped[0]
        raise UserError(
            f"{root}: {len(skipped)} of {files} recordings cannot be used, the first of them, {first['path']}, "
            f"because: {first['reason']}; mend the recordings or what describes them."
        )
    if not kept:
        raise UserError(f"{root}: no clip can be used ({', '.join(fates)}); mend start and end in the table.")


# Files


def in_order(
    listing: Listing, files: list[list[Clip]], maker: FrontEnd, jobs: int, keep_silence: bool
) -> Iterator[Framed | BadRecording]:
    """What becomes of each file, in the order of the files."""
    import joblib

    # one thread a process: those of several processes would wait for each other
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(jobs, return_as="generator", batch_size=1)
    results = pool(
        # the parts that a table names are in seconds of the whole recording
        joblib.delayed(frames_or_reason)(
            maker, listing.root, clips[0].path, keep_silence or any((c.start, c.end) != (None, None) for c in clips)
        )
        for clips in files
    )
    try:
        for result in results:  # noqa: UP028  `yield from` would close them outside of the last block
            yield result
    except BrokenProcessPool as problem:
        raise UserError(
            "a working process ended before its work, most likely for want of memory; run again with fewer --jobs."
        ) from problem
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib complains where the caller stops early
            results.close()


def frames_or_reason(maker: FrontEnd, root: Path, path: str, keep_silence: bool) -> Framed | BadRecording:
    """Frames of a file below a folder, or of a member of an archive, of which nothing is written to the disk."""
    try:
        return front_ends.frames_of(maker, root / path if root.is_dir() else member(root, path), keep_silence)
    except BadRecording as problem:
        return problem


def member(archive: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(name)
    except UNREADABLE as problem:
        raise BadRecording("damaged or locked in the archive", str(problem)) from problem


# Clips


def split_of(clip: Clip, folds: int) -> int:
    """What the clip is in fold 0, or what the table makes it; as in `Corpus.of_fold`."""
    if clip.fold < 0:
        return SPLITS.index(clip.split)
    return SPLITS.index("test" if clip.fold == 0 else "valid" if clip.fold == 1 % folds else "train")


def placed(
    clips: list[Clip], recording: int, offset: int, frames: int, sound: tuple[float, float], rate: float, fates: Counter
) -> Iterator[tuple]:
    """A row (clip, recording, row, start, end, first frame in the store, frames) for each clip with frames enough.

    The recording's frames begin in the store at `offset`; they were made of the sound from one second to another.
    """
    began, ended = sound
    edges = began + np.arange(frames + 1) / rate
    for row, clip in enumerate(clips):
        start, end = began if clip.start is None else clip.start, ended if clip.end is None else clip.end
        first, length = cut(np.stack([edges[:-1], edges[1:]], 1), np.array([start]), np.array([end]))
        if start >= ended:
            fates["interval beyond the end of the recording"] += 1
        elif length[0] / rate < SHORTEST - EDGE:
            fates[f"shorter than {SHORTEST} s of frames"] += 1
        else:
            fates[CLIPPED] += end > ended + 1 / rate
            yield clip, recording, row, start, end, offset + first[0], length[0]


def segment_table(kept: list[tuple], folds: int, category_names: tuple[str, ...]) -> SegmentTable:
    """kept: as `placed` yields them."""
    clips, recording, row, start, end, first, length = zip(*kept, strict=True)
    code = {name: i for i, name in enumerate(category_names)} | {"": -1}
    return SegmentTable(
        recording=np.array(recording, np.int32),
        row=np.array(row, np.int32),
        start=np.array(start),
        end=np.array(end),
        first=np.array(first, np.int64),
        length=np.array(length, np.int32),
        split=np.array([split_of(clip, folds) for clip in clips], np.int8),
        fold=np.array([clip.fold for clip in clips], np.int8),
        category=np.array([code[clip.category] for clip in clips], np.int8),
    )
