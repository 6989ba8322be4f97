"""What a corpus holds and what became of its defects, as text that a person can read."""

from typing import NotRequired, TypedDict

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.corpus import AGAIN, REPORT, SPLITS, Corpus
from emo_ssl.utils.values import Count, checked

FRONT_END = ("front_end", "front_end_version", "front_end_licence", "layers", "speech_encoder")
MOST_SPEAKERS, MOST_EXAMPLES = 8, 10  # named on a terminal

Counts = dict[str, Count]
Inside = TypedDict("Inside", {"in": Count, "kept": Count})
Segments = TypedDict("Segments", {"in": Count, "kept": Count, "dropped": Counts})


class Report(TypedDict):
    segments: Segments
    frames: Inside
    mended: Counts
    videos: Counts
    missing_values: Counts
    files: dict[str, str]
    skipped: NotRequired[list[TypedDict("Skipped", {"path": str, "reason": str})]]


def parts(corpus: Corpus) -> list[dict]:
    """Who is in each split, or in each cross-validation fold where the corpus has some."""
    segments, speaker = corpus.segments, corpus.recordings.speaker
    if (segments.fold >= 0).any():
        inside = {f"fold {fold}": np.flatnonzero(segments.fold == fold) for fold in corpus.folds}
        found = {name: (np.unique(segments.recording[chosen]), chosen) for name, chosen in inside.items()}
    else:
        found = {name: (corpus.recordings_of(name), corpus.where(name)) for name in SPLITS}
    return [
        {
            "part": name,
            "recordings": len(recordings),
            "speakers": sorted({*speaker[recordings].tolist()} - {""}),  # none where nobody knows them
            "segments": len(chosen),
        }
        for name, (recordings, chosen) in found.items()
    ]


def describe(corpus: Corpus) -> str:
    """A short table: how much there is, who is in which part, every fault, and recordings that were left out."""
    header, frame_count = corpus.header, corpus.header["frames"]
    report = checked(corpus.report, Report, str(corpus.folder / REPORT), AGAIN)
    lines = [
        f"{corpus.folder}: {header['source']}",
        f"content hash {corpus.content_hash}",
        f"{frame_count:,} frames ({frame_count / corpus.frame_rate / 3600:.1f} h) of {len(corpus.feature_names)} "
        f"features at {corpus.frame_rate:g} Hz, {header['dtype'].lstrip('<')}",
        *front_end_lines(header),
        *([f"labels: {header['convention']}"] if "convention" in header else []),
        f"folds: {header['folds']}" + (f", {len(corpus.folds)} of them" if len(corpus.folds) > 1 else ""),
        "",
        f"{'':<10}{'videos':>9}{'speakers':>10}{'segments':>10}",
    ]
    for part in parts(corpus):
        speakers = part["speakers"]
        names = f"  {', '.join(speakers)}" if 0 < len(speakers) <= MOST_SPEAKERS else ""
        counts = f"{part['recordings']:>9,}{len(speakers) or '?':>10}{part['segments']:>10,}"
        lines.append(f"{part['part']:<10}{counts}{names}")
    lines.append("")
    for what in ("segments", "frames"):
        inside, kept = report[what]["in"], report[what]["kept"]
        lines.append(f"{what}: {inside:,} in = {kept:,} kept + {inside - kept:,} dropped")
    lines += [f"{n:>8,}  {of}, {fate}: {what}" for of, fate, what, n in faults(report)]
    if skipped := report.get("skipped"):
        lines += ["", f"recordings left out: {len(skipped)} (all of them: report.json), such as"]
        lines += [f"  {one['path']}: {one['reason']}" for one in skipped[:MOST_EXAMPLES]]
    return "\n".join(lines) + "\n"


def front_end_lines(header: dict) -> list[str]:
    """What made the frames, where it is known, and which weights where it is a speech encoder."""
    if "front_end" not in header:
        return []
    licence = header["front_end_licence"]
    lines = [f"front end {header['front_end']}, version {header['front_end_version']}; licence: {licence}"]
    if model := header.get("speech_encoder"):
        layers, revision = ", ".join(map(str, header["layers"])), model["revision"] or "not from the hub"
        lines.append(f"layers {layers} of 0 to {model['blocks']} of a {model['family']} encoder, revision {revision}")
        lines.append(f"weights sha256 {model['sha256']}")
    return lines


def faults(report: dict) -> list[tuple[str, str, str, int]]:
    """Every fault that was met: (of what, what became of it, the fault, how many), in the order of the report."""
    found = [("segments", "dropped", what, n) for what, n in report["segments"]["dropped"].items()]
    found += [("segments", "mended", what, n) for what, n in report["mended"].items()]
    found += [("videos", "noted", what, n) for what, n in report["videos"].items() if what != "kept"]
    gone = "dropped: "
    found += [("frames", "dropped", k.removeprefix(gone), n) for k, n in report["frames"].items() if k.startswith(gone)]
    found += [("values", "noted", f"missing in {what}", n) for what, n in report["missing_values"].items()]
    found += [("files", "noted", f"{what} in {name}", 1) for what, name in report["files"].items()]
    return [row for row in found if row[-1]]


def summary(corpus: Corpus) -> dict:
    """What is in the corpus, as plain JSON values."""
    header = corpus.header
    return {
        "folder": str(corpus.folder),
        **{name: header.get(name) for name in ("content_hash", "source", "folds", "dtype", "float16_error")},
        **{name: header[name] for name in FRONT_END if name in header},
        "features": len(corpus.feature_names),
        "frame_rate": corpus.frame_rate,
        "frames": int(header["frames"]),
        "hours": header["frames"] / corpus.frame_rate / 3600,
        "videos": {name: len(corpus.recordings_of(name)) for name in SPLITS},
        "segments": {name: len(corpus.where(name)) for name in SPLITS},
        "labels": {name: label_distribution(corpus.targets[:, e]) for e, name in enumerate(corpus.target_names)},
        "parts": parts(corpus),
        "report": corpus.report,
    }


def label_distribution(intensity: np.ndarray) -> dict:
    """intensity (N,) -> share above 0, mean, and the share of each of the four classes."""
    if not len(intensity):
        return {"positive": None, "mean": None, "classes": [0, 0, 0, 0]}
    classes = np.bincount(metrics.to_class(intensity), minlength=4) / len(intensity)
    return {"positive": float((intensity > 0).mean()), "mean": float(intensity.mean()), "classes": classes.tolist()}
