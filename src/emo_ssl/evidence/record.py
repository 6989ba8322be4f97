"""A recorded study: what of a finished one is small and lasting, kept in a folder of results/ and read back from there.

Predictions stay behind: they are large, and whoever repeats the study has them.
"""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import Corpus
from emo_ssl.evidence.kinds import Evidence
from emo_ssl.evidence.report import EVIDENCE
from emo_ssl.study.collect import CHUNKS, PROVENANCE, RESULTS, Story, read_results
from emo_ssl.utils.io import UserError, atomic_path, read_json, write_bytes, write_json
from emo_ssl.utils.values import refused

TABLE = RESULTS + ".gz"
CORPUS = "corpus.json"
SCRIPT = "repeat.sh"


def keep(study: Path | str, folder: Path | str, command: str, corpus: Corpus | None = None) -> None:
    """Copy the table, the evidence and the provenance of a finished study to `folder`; `command` is what repeats it.

    With its `corpus`, what that holds is kept as well, in numbers.
    """
    study, folder = Path(study), Path(folder)
    needed = (RESULTS, EVIDENCE, PROVENANCE)
    lacking = [name for name in needed if not (study / name).is_file()]
    if lacking:
        raise UserError(f"{study / lacking[0]}: no such file; finish the study and run `emo-ssl evidence` first.")
    story = read_json(study / PROVENANCE, Story)
    studied = story["corpus"]["content_hash"]
    if corpus is not None and corpus.content_hash != studied:
        raise UserError(f"{corpus.folder}: not the corpus of {study}; name the one that was studied.")
    folder.mkdir(parents=True, exist_ok=True)
    if corpus is not None:
        write_json(folder / CORPUS, corpus_numbers(corpus))
    # no name and no time inside, so that the same table is the same file
    write_bytes(folder / TABLE, gzip.compress((study / RESULTS).read_bytes(), mtime=0))
    with atomic_path(folder / EVIDENCE) as temporary:
        shutil.copyfile(study / EVIDENCE, temporary)
    story = {**story, "command": command, "seconds_of_all_chunks": seconds_of_chunks(study)}
    story.pop("seconds_of_the_last_start", None)
    write_json(folder / PROVENANCE, story)


def corpus_numbers(prepared: Corpus) -> dict:
    """What a corpus holds, as numbers that say nothing about a single clip."""
    header, report = prepared.header, prepared.report
    known = prepared.segments.category[prepared.segments.category >= 0]
    counts = np.bincount(known, minlength=len(prepared.category_names)).tolist()
    seconds = prepared.segments.length / prepared.frame_rate
    of_folds = [prepared.of_fold(fold) for fold in prepared.folds]
    named = ("content_hash", "source", "folds", "convention", "front_end", "front_end_version")
    return {
        **{name: header[name] for name in named if name in header},
        "features": list(prepared.feature_names),
        "frame_rate": prepared.frame_rate,
        "clips": len(prepared),
        "speakers": len(set(prepared.recordings.speaker) - {""}),
        "categories": dict(zip(prepared.category_names, counts, strict=True)),
        "seconds": {f"p{share}": round(float(np.percentile(seconds, share)), 2) for share in (5, 50, 95)},
        "clips_of_folds": {split: [len(s.where(split)) for s in of_folds] for split in ("train", "valid", "test")},
        "frames": report.get("frames", {"in": len(prepared.frames), "kept": len(prepared.frames)}),
        "missing_values": report.get("missing_values", {}),
    }


def corpus_of(folder: Path | str) -> dict:
    """What was kept of a study's corpus; {} where that was not asked for."""
    path = Path(folder) / CORPUS
    return read_json(path, dict) if path.is_file() else {}


def evidence_of(folder: Path | str) -> Evidence:
    path, advice = Path(folder) / EVIDENCE, "restore it, or evaluate the study again"
    found = read_json(path, Evidence, advice)
    emotions, categories = len(found["target_names"]), len(found["category_names"])
    with refused(path, (ValueError,), "a confusion matrix has another shape", advice):
        for row in found["confusion"]:
            np.array(row["four_classes"], np.int64).reshape(emotions, 4, 4)
            np.array(row["categories"], np.int64).reshape(categories, categories)
    return found


def ablations(folder: Path | str) -> dict[str, dict]:
    """Name -> evidence of the smaller studies that are kept in folders inside that of a recorded one."""
    inside = sorted(path.parent for path in Path(folder).glob(f"*/{EVIDENCE}") if (path.parent / TABLE).is_file())
    return {path.name: evidence_of(path) for path in inside}


def commands(folder: Path | str) -> str:
    """How to repeat a recorded study: its script, or the command in its provenance."""
    path = Path(folder) / SCRIPT
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("#!"))  # a page is no script
    return read_json(Path(folder) / PROVENANCE, Story)["command"]


def seconds_taken(provenance: dict) -> float:
    """Of a recorded study, or of the last start of one that is only finished."""
    return float(provenance.get("seconds_of_all_chunks", provenance.get("seconds_of_the_last_start", 0)))


def seconds_of_chunks(study: Path) -> int:
    """From the first finished chunk to the last."""
    times = [path.stat().st_mtime for path in (study / CHUNKS).glob("*.npz")]
    return round(max(times) - min(times)) if times else 0


def results(folder: Path | str) -> pd.DataFrame:
    """The table of a recorded or a finished study, a row for every number."""
    for name in (TABLE, RESULTS):
        if (path := Path(folder) / name).is_file():
            return read_results(path)
    raise UserError(f"{Path(folder) / TABLE}: no such file; expected the folder of a recorded or finished study.")
