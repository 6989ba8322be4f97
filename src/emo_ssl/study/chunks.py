"""Finished chunks of a study on disk: what an interrupted study resumes from and what shards hand in."""

import glob
from dataclasses import asdict
from pathlib import Path

from emo_ssl.core.metrics import Predictions
from emo_ssl.study import predictions
from emo_ssl.study.arms import Outcome
from emo_ssl.study.checks import TrainedWith
from emo_ssl.study.grid import Chunk
from emo_ssl.utils.io import UserError

CHUNKS = "chunks"


def write_chunk(folder: Path, chunk: Chunk, study_hash: str, outcome: Outcome) -> None:
    (folder / CHUNKS).mkdir(exist_ok=True)  # not before: a study that is refused leaves nothing
    meta = {"study": study_hash, "trained_with": asdict(outcome.trained_with)}
    predictions.save(folder / CHUNKS / f"{chunk.name}.npz", meta, outcome.predictions.arrays())


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
    with predictions.opened(path, "delete it and run the study again") as (meta, stored):
        trained_with, study = TrainedWith(**meta["trained_with"]), meta["study"]
        found = Predictions(**{name: stored[name] for name in stored.files if name != "meta"})
    if study != study_hash:
        raise UserError(f"{path}: belongs to a study of another configuration; delete it or choose another -o.")
    return Outcome(found, trained_with)
