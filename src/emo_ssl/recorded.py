"""A recorded study: what of a finished one is small and lasting, kept in a folder of results/ and read back from there.

Predictions stay behind: they are large, and whoever repeats the study has them.
"""

import gzip
import shutil
from pathlib import Path

import pandas as pd

from emo_ssl.chunks import CHUNKS
from emo_ssl.codings import CODINGS
from emo_ssl.errors import UserError
from emo_ssl.evidence import EVIDENCE
from emo_ssl.files import atomic_path, read_json, write_bytes, write_json
from emo_ssl.study import PROVENANCE, RESULTS

TABLE = RESULTS + ".gz"


def keep(study: Path | str, folder: Path | str, command: str) -> None:
    """Copy the table, the evidence and the provenance of a finished study to `folder`; `command` is what repeats it."""
    study, folder = Path(study), Path(folder)
    needed = (RESULTS, EVIDENCE, PROVENANCE)
    lacking = [name for name in needed if not (study / name).is_file()]
    if lacking:
        raise UserError(f"{study / lacking[0]}: no such file; finish the study and run `emo-ssl evidence` first.")
    folder.mkdir(parents=True, exist_ok=True)
    # no name and no time inside, so that the same table is the same file
    write_bytes(folder / TABLE, gzip.compress((study / RESULTS).read_bytes(), mtime=0))
    for name in (EVIDENCE, CODINGS):
        if (study / name).is_file():
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(study / name, temporary)
    story = {**read_json(study / PROVENANCE), "command": command, "seconds_of_all_chunks": seconds_of_chunks(study)}
    story.pop("seconds_of_the_last_start", None)
    write_json(folder / PROVENANCE, story)


def seconds_of_chunks(study: Path) -> int:
    """From the first finished chunk to the last, in the study's own folder and in its shards'."""
    folders = [study, *study.parent.glob(f"{study.name}.shard-*")]
    times = [path.stat().st_mtime for folder in folders for path in (folder / CHUNKS).glob("*.npz")]
    return round(max(times) - min(times)) if times else 0


def results(folder: Path | str) -> pd.DataFrame:
    """The table of a recorded or a finished study, a row for every number."""
    for name in (TABLE, RESULTS):
        if (path := Path(folder) / name).is_file():
            return pd.read_csv(path, keep_default_na=True)
    raise UserError(f"{Path(folder) / TABLE}: no such file; expected the folder of a recorded or finished study.")
