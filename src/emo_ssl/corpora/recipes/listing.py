"""Every clip of a source: who speaks, which emotions, in which fold it is tested; and what every recipe needs."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from emo_ssl.corpora.audio import FORMATS
from emo_ssl.utils.npz import UNREADABLE
from emo_ssl.utils.values import UserError, refused

ODD_NAME, DUPLICATE = "name is not one of the corpus's speech, left out", "the same clip again, left out"
ABSENT = "of the corpus, but not in the source"


@dataclass(frozen=True)
class Listing:
    """Every clip of a source, and how the source was read.

    A row of `clips` is a recording or a part of one: the path of its file (relative to the source, with slashes) and
    the file's name in the corpus; speaker; an intensity for each emotion; category, "" without; start and end in
    seconds, NaN for the edges of the recording; the fold that tests it, -1 without; and its split, in fold 0.
    """

    root: Path  # a folder, or a zip archive
    recipe: str
    source: str  # in words
    clips: pd.DataFrame
    category_names: tuple[str, ...]
    folds: str  # how they were made, in words
    convention: str  # how the source's labels became intensities, in words
    notes: dict[str, list[str]] = field(default_factory=dict)  # what was met -> of which files
    table: Path | None = None  # a file that describes the clips


def split_in_fold_0(fold: pd.Series) -> pd.Series:
    """As in `Corpus.of_fold`."""
    return fold.map({0: "test", 1: "valid"}).fillna("train")


def whole(clips: pd.DataFrame, fold: pd.Series, **columns: object) -> pd.DataFrame:
    """The clips with their columns, each from its first second to its last; `fold` tests it."""
    return clips.assign(**columns, start=np.nan, end=np.nan, fold=fold, split=split_in_fold_0(fold))


def clips_of(
    root: Path, is_speech: Callable[[PurePosixPath], bool], wanted: str
) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """path and name of each clip once, a wav rather than the same in another format; and which files were left out.

    Without any the source is refused; `wanted` says what it should hold and what to do.
    """
    paths = sorted(audio_members(root), key=lambda path: not path.lower().endswith(".wav"))
    found = pd.DataFrame({"path": paths, "name": [PurePosixPath(path).stem for path in paths]}, dtype=str)
    odd = ~pd.Series([is_speech(PurePosixPath(path)) for path in paths], dtype=bool)
    again = found["name"].where(~odd).duplicated() & ~odd
    notes = {DUPLICATE: found["path"][again].tolist(), ODD_NAME: found["path"][odd].tolist()}
    if not (~odd).any():
        raise UserError(f"{root}: holds no {wanted}.")
    return found[~odd & ~again].sort_values("name", ignore_index=True), notes


def audio_members(root: Path) -> list[str]:
    """The audio files of a folder or an archive, in the order of their names."""
    if not root.exists():
        raise UserError(f"{root}: no such file or folder; give the archive's zip or the folder it was unpacked into.")
    if root.is_dir():
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    else:
        what, advice = "an unfinished download, or not a zip archive", "download it again or give a folder"
        with refused(root, (OSError, *UNREADABLE), what, advice), zipfile.ZipFile(root) as archive:
            found = archive.namelist()
    return sorted(path for path in found if PurePosixPath(path).suffix.lower() in FORMATS)
