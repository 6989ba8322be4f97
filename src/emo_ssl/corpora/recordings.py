"""Recordings -> frames -> Segments: a file is a video, a clip of it a segment, a bad file a line of the report.

Silence before the voice and after it is left out unless it is asked for, or unless the table names a stretch of that
recording: half of an acted clip is the quiet of the studio, which tells nothing and takes half of every batch. Times
are seconds of the whole recording all the same.

Files are worked on by several processes and stored in the order of their names, so the number of processes changes
nothing but the time. An interrupted run begins anew: all of RAVDESS takes a minute or two.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from emo_ssl.core.corpus import SPLITS, Corpus, CorpusWriter, SegmentTable
from emo_ssl.corpora import audio, front_ends, parallel
from emo_ssl.corpora.audio import SHORTEST, BadRecording
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.front_ends import FrontEnd
from emo_ssl.corpora.mosei import EDGE, Tally, cut, mark_missing
from emo_ssl.corpora.recipes import Clip, Listing, open_archive, read_recipe
from emo_ssl.corpora.report import describe
from emo_ssl.corpora.unpack import UNREADABLE
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, hash_of
from emo_ssl.utils.progress import Progress

LARGEST_MEMBER = 100_000_000  # bytes; a clip of RAVDESS is below one million
CLIPPED = "end beyond the recording clipped"
SILENCE = "dropped: silence before and after the voice"
Content = Path | bytes | BadRecording
Frames = tuple[np.ndarray, float, float, float]  # (T, D) float32; from which second to which; of how many


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
    maker = front_ends.front_end(front_end) if isinstance(front_end, str) else front_end
    listing = read_recipe(recipe, source, table)
    jobs = parallel.cores() if jobs is None else jobs
    if jobs < 1:
        raise UserError(f"{jobs} jobs: at least one process has to do the work; leave --jobs out to use every core.")
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
    """Tells sources apart by what is in them, wherever they lie."""
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
    # where the table says which stretches count, it says so in seconds of the whole recording
    whole = [keep_silence or any(clip.start is not None or clip.end is not None for clip in clips) for clips in files]
    with (
        CorpusWriter(folder, maker.feature_names, maker.frame_rate) as writer,
        Progress("recording", len(files), "files") as bar,
        contextlib.closing(contents(listing, [clips[0].path for clips in files])) as sounds,
        contextlib.closing(
            parallel.in_order(partial(frames_of, maker), zip(sounds, whole, strict=True), min(jobs, len(files)))
        ) as results,
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
                for row, clip in enumerate(clips):
                    stretch = judge(clip, len(frames), began, ended, maker.frame_rate, fates)
                    if stretch:
                        kept.append((clip, recordings, row, offset, *stretch))
                recordings += 1
            bar.advance(1, f"{len(skipped)} left out" if skipped else "")
        refuse_too_little(listing.root, len(files), skipped, fates, len(kept))
        report = make_report(listing, tally, fates, [row[0] for row in kept], folds, recordings, writer.frame_count)
        report["frames"] |= {"in": writer.frame_count + silent, SILENCE: silent}
        report |= {"skipped": skipped, "convention": listing.convention}
        writer.seal(
            cut_table(kept, folds, listing.category_names),
            np.array([row[0].targets for row in kept], np.float32),
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


def contents(listing: Listing, paths: list[str]) -> Iterator[Content]:
    """Each file as its path, or as the bytes of a member of the archive, of which nothing is written to the disk."""
    if listing.root.is_dir():
        yield from (listing.root / path for path in paths)
        return
    with open_archive(listing.root) as archive:
        for path in paths:
            try:
                size = archive.getinfo(path).file_size
                yield (
                    archive.read(path)
                    if size <= LARGEST_MEMBER
                    else BadRecording("too large for a clip", f"{size} bytes")
                )
            except UNREADABLE as problem:
                yield BadRecording("damaged or locked in the archive", str(problem))


def frames_of(maker: FrontEnd, work: tuple[Content, bool]) -> Frames | BadRecording:
    content, whole = work
    if isinstance(content, BadRecording):
        return content
    try:
        signal, rate = audio.read(content)
        part = slice(0, len(signal)) if whole else audio.voiced_part(signal, rate)
        frames = np.asarray(maker.frames(signal[part], rate), np.float32)
    except BadRecording as problem:
        return problem
    except MemoryError:
        raise
    except UserError as problem:
        return BadRecording(str(problem))
    except Exception as problem:  # one odd recording must not cost the work on all others; it is named in the report
        return BadRecording(f"the front end {maker.name} failed", f"{type(problem).__name__}: {problem}")
    if not np.isfinite(frames).any():
        return BadRecording(f"the front end {maker.name} finds nothing in it")
    return frames, part.start / rate, part.stop / rate, len(signal) / rate


def split_of(clip: Clip, folds: int) -> int:
    """What the clip is in fold 0, or what the table says it is; as in `Segments.of_fold`."""
    if clip.fold < 0:
        return SPLITS.index(clip.split)
    return SPLITS.index("test" if clip.fold == 0 else "valid" if clip.fold == 1 % folds else "train")


def judge(
    clip: Clip, frames: int, began: float, ended: float, rate: float, fates: Counter
) -> tuple[float, float, int, int] | None:
    """The clip's start and end, its first frame in its file and how many, or None and a fate counted.

    The frames begin at `began` and the sound that they were made of ends at `ended`, in seconds of the recording.
    """
    start, end = began if clip.start is None else clip.start, ended if clip.end is None else clip.end
    edges = began + np.arange(frames + 1) / rate
    first, length = (int(x[0]) for x in cut(np.stack([edges[:-1], edges[1:]], 1), np.array([start]), np.array([end])))
    if start >= ended:
        fates["interval beyond the end of the recording"] += 1
    elif length / rate < SHORTEST - EDGE:
        fates[f"shorter than {SHORTEST} s of frames"] += 1
    else:
        fates[CLIPPED] += end > ended + 1 / rate
        return start, end, first, length
    return None


def refuse_too_little(root: Path, files: int, skipped: list[dict], fates: Counter, kept: int) -> None:
    if 2 * len(skipped) > files:
        first = skipped[0]
        raise UserError(
            f"{root}: {len(skipped)} of {files} recordings cannot be used, the first of them, {first['path']}, "
            f"because: {first['reason']}; mend the recordings or what describes them."
        )
    if not kept:
        raise UserError(f"{root}: no clip can be used ({', '.join(fates)}); mend start and end in the table.")


def cut_table(kept: list[tuple], folds: int, category_names: tuple[str, ...]) -> SegmentTable:
    """kept: a row (clip, video, row, offset of the video, start, end, first frame, frames) for each segment."""
    clips, recording, row, offset, start, end, first, length = zip(*kept, strict=True)
    code = {name: i for i, name in enumerate(category_names)} | {"": -1}
    return SegmentTable(
        recording=np.array(recording, np.int32),
        row=np.array(row, np.int32),
        start=np.array(start),
        end=np.array(end),
        first=np.array(offset, np.int64) + np.array(first, np.int64),
        length=np.array(length, np.int32),
        split=np.array([split_of(clip, folds) for clip in clips], np.int8),
        fold=np.array([clip.fold for clip in clips], np.int8),
        category=np.array([code[clip.category] for clip in clips], np.int8),
    )


def make_report(
    listing: Listing, tally: Tally, fates: Counter, kept: list[Clip], folds: int, recordings: int, frames: int
) -> dict:
    """Every number a reader needs to check that nothing vanished: in = kept + dropped."""
    dropped = {fate: n for fate, n in sorted(fates.items()) if fate != CLIPPED}
    of_split = [Counter(split_of(clip, folds) for clip in clips) for clips in (listing.clips, kept)]
    notes = {what: len(names) for what, names in listing.notes.items()}
    idle = sorted({clip.fold for clip in listing.clips} - {clip.fold for clip in kept})
    notes |= {"folds left without a clip": len(idle)} if idle else {}
    return {
        "segments": {"in": len(listing.clips), "kept": len(kept), "dropped": dropped},
        "by_split": {name: {"in": of_split[0][code], "kept": of_split[1][code]} for code, name in enumerate(SPLITS)},
        "mended": {CLIPPED: fates[CLIPPED]},
        "videos": {"kept": recordings, **dict(sorted(tally.recordings.items())), **notes},
        "frames": {"in": frames, "kept": frames},
        "missing_values": dict(tally.missing.most_common()),
        "files": {},
        "label_columns_not_used": [],
        "examples": {**tally.named, **{what: names[:10] for what, names in listing.notes.items()}},
    }


def summary_in_words(prepared: Corpus, most: int = 10) -> str:
    """What `emo-ssl corpus show` says, and the first of the recordings that were left out, each with its reason."""
    skipped = prepared.report["skipped"]
    lines = [f"  {one['path']}: {one['reason']}" for one in skipped[:most]]
    if skipped:
        more = f", the first {most}" if len(skipped) > most else ""
        lines = ["", f"recordings left out: {len(skipped)}{more} (all of them: report.json)", *lines]
    return describe(prepared) + "\n".join(lines)
