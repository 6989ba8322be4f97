"""Finished chunks of a study on disk: what an interrupted study resumes from and what shards hand in."""

import glob
import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emo_ssl.core.readout import Predictions
from emo_ssl.study.arms import Outcome
from emo_ssl.study.checks import Record
from emo_ssl.study.grid import Chunk
from emo_ssl.utils.io import UserError, atomic_path

CHUNKS = "chunks"


def save(folder: Path, chunk: Chunk, study_hash: str, outcome: Outcome) -> None:
    cell = outcome.cell
    arrays = {"intensity": cell.intensity, "presence": cell.presence, "klass": cell.klass}
    if cell.category is not None:
        arrays["category"] = cell.category
    note = json.dumps({"study": study_hash, "record": asdict(outcome.record)}).encode()
    (folder / CHUNKS).mkdir(exist_ok=True)  # not before: a study that is refused leaves nothing
    with atomic_path(folder / CHUNKS / f"{chunk.name}.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, note=np.frombuffer(note, np.uint8), **arrays)


def shard_folder(output: Path, i: int, n: int) -> Path:
    """Where shard i of n writes: beside the study's own folder, so that shards can run at once, here or elsewhere."""
    return output.with_name(f"{output.name}.shard-{i}-of-{n}")


def find(folder: Path, chunk: Chunk, study_hash: str) -> Path | None:
    """The chunk's file, here or in a shard's folder; one of another study is refused, not overwritten."""
    file = f"{CHUNKS}/{chunk.name}.npz"
    for path in (folder / file, *sorted(folder.parent.glob(f"{glob.escape(folder.name)}.shard-*/{file}"))):
        if path.exists():
            read_chunk(path, study_hash)
            return path
    return None


def read_chunk(path: Path, study_hash: str) -> Outcome:
    try:
        # opened here, because numpy leaves the file of a torn archive open
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            note = json.loads(stored["note"].tobytes())
            category = stored["category"] if "category" in stored.files else None
            cell = Predictions(stored["intensity"], stored["presence"], stored["klass"], category)
        record, study = Record(**note["record"]), note["study"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as problem:
        raise UserError(f"{path}: damaged ({problem}); delete it and run the study again.") from problem
    if study != study_hash:
        raise UserError(f"{path}: belongs to a study of another configuration; delete it or choose another -o.")
    return Outcome(cell, record)
