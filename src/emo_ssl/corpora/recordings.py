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
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.writer import CorpusWriter
from emo_ssl.corpora import audio, front_ends
from emo_ssl.corpora.audio import SHORTEST, BadRecording
from emo_ssl.corpora.cleaning import EDGE, LATE, TOO_SHORT, Tally, cut, drop, make_report, segment_table
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.fetch import UNREADABLE
from emo_ssl.corpora.front_ends import FrontEnd
from emo_ssl.corpora.recipes import Listing, read_recipe
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, hash_of
from emo_ssl.utils.progress import Progress

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
    for path in sorted(set(listing.clips["path"])):
        with contextlib.suppress(OSError):  # it will be listed among the recordings that cannot be read
            found[path] = fingerprint(listing.root / path, blocks=4)
    return hash_of(found)


def build(listing: Listing, maker: FrontEnd, jobs: int, folder: Path, keep_silence: bool) -> None:
    rows = listing.clips.assign(recording=-1, first=0, length=0, fate="", **{LATE: False})
    rows["row"] = rows.groupby("name").cumcount()
    files, tally, placed, skipped, recordings = [of for _, of in rows.groupby("name", sort=False)], Tally(), [], [], 0
    with (
        CorpusWriter(folder, maker.feature_names, maker.frame_rate) as writer,
        Progress("recording", len(files), "files") as bar,
        contextlib.closing(in_order(listing.root, files, maker, jobs, keep_silence)) as results,
    ):
        for clips, result in zip(files, results, strict=True):
            path, name, speaker, split = clips.iloc[0][["path", "name", "speaker", "split"]]
            if isinstance(result, BadRecording):
                skipped.append({"path": path, "reason": str(result)})
                tally.recording(f"left out: {result.reason}", path)
                placed.append(clips.assign(fate=f"recording left out: {result.reason}"))
            else:
                frames, began, ended, seconds = result
                silent = round((began + seconds - ended) * maker.frame_rate)  # never made, hence not to be counted
                tally.frames.update({"in": len(frames) + silent, "kept": len(frames), SILENCE: silent})
                tally.mark_missing(frames, maker.feature_names)
                offset = writer.add_recording(name, frames, SPLITS.index(split), speaker)
                placed.append(with_frames(clips, recordings, offset, len(frames), began, ended, maker.frame_rate))
                recordings += 1
            bar.advance(1, f"{len(skipped)} left out" if skipped else "")
        for what, paths in listing.notes.items():
            tally.recordings[what], tally.named[what] = len(paths), paths[:10]
        rows = pd.concat(placed)
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
        )


def with_frames(
    clips: pd.DataFrame, recording: int, offset: int, frames: int, began: float, ended: float, rate: float
) -> pd.DataFrame:
    """The clips of one recording with their place in the store and their fate.

    The recording's frames begin in the store at `offset`; they were made of the sound from one second to another.
    """
    edges = began + np.arange(frames + 1) / rate
    clips = clips.assign(recording=recording, start=clips["start"].fillna(began), end=clips["end"].fillna(ended))
    first, length = cut(np.stack([edges[:-1], edges[1:]], 1), clips["start"].to_numpy(), clips["end"].to_numpy())
    clips["first"], clips["length"], clips[LATE] = offset + first, length, clips["end"] > ended + 1 / rate
    drop(clips, clips["start"] >= ended, "interval beyond the end of the recording")
    drop(clips, clips["length"] / rate < SHORTEST - EDGE, TOO_SHORT)
    return clips


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
    root: Path, files: list[pd.DataFrame], maker: FrontEnd, jobs: int, keep_silence: bool
) -> Iterator[Framed | BadRecording]:
    """What becomes of each file, in the order of the files."""
    import joblib

    # one thread a process: those of several processes would wait for each other
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(min(jobs, len(files)), return_as="generator", batch_size=1)
    # the parts that a table names are in seconds of the whole recording
    whole = [keep_silence or clips[["start", "end"]].notna().any(axis=None) for clips in files]
    paths = [clips["path"].iloc[0] for clips in files]
    results = pool(joblib.delayed(frames_or_reason)(maker, root, *given) for given in zip(paths, whole, strict=True))
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
        if root.is_dir():
            return front_ends.frames_of(maker, root / path, keep_silence)
        with zipfile.ZipFile(root) as archive:
            return front_ends.frames_of(maker, archive.read(path), keep_silence)
    except UNREADABLE as problem:
        return BadRecording("damaged or locked in the archive", str(problem))
    except BadRecording as problem:
        return problem
