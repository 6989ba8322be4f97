"""Features of your own, as `Corpus.write` takes them: a folder with an array a recording, and a table of labels."""

from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.utils import npz
from emo_ssl.utils.npz import UNREADABLE
from emo_ssl.utils.values import UserError, read_csv, refused

KINDS = (".npy", ".npz", ".parquet")
NUMBERS, FRAMES = "fiub", (None, None)  # of any length and width
MOST_RATIO = 200  # of the size of an archive, which may hold much padding, that it unpacks to
AGAIN = "write it again or remove it"


def read_arrays(folder: Path | str) -> tuple[dict[str, np.ndarray], list[str] | None]:
    """NAME.npy, NAME.npz or NAME.parquet -> frames (T, D) by NAME, and the names of the features where files have them.

    A .npz holds one array, or two of the names frames and feature_names; a .parquet holds a column for each feature.
    """
    paths = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in KINDS)
    if not paths:
        raise UserError(f"{folder}: no file {', '.join(KINDS)} here; give the folder that holds one a recording.")
    frames: dict[str, np.ndarray] = {}
    names = None
    for path in paths:
        if path.stem in frames:
            raise UserError(f"{path}: there is another file of recording {path.stem}; keep one of them.")
        frames[path.stem], columns = read_array(path)
        if len(frames) > 1 and columns != names:
            raise UserError(f"{path}: its columns differ from those of {paths[0].name}; give all files the same.")
        names = columns
    return frames, names


def read_array(path: Path) -> tuple[np.ndarray, list[str] | None]:
    with refused(path, (OSError, *UNREADABLE), "not readable as frames", AGAIN):
        if path.suffix.lower() == ".parquet":
            try:
                table = pd.read_parquet(path)
            except ImportError as problem:
                raise UserError(f"{path}: reading parquet needs pyarrow; run: pip install pyarrow") from problem
            return table.to_numpy(np.float32), [str(name) for name in table.columns]
        if path.suffix.lower() == ".npy":
            return npz.parsed(path.read_bytes(), path.name, NUMBERS, FRAMES), None
        with npz.opened(path, AGAIN, MOST_RATIO) as stored:
            if sorted(stored.names) == ["feature_names", "frames"]:
                return stored.array("frames", NUMBERS, *FRAMES), stored.array("feature_names", "U", None).tolist()
            if len(stored.names) != 1:
                raise ValueError(f"it holds {len(stored.names)} arrays, expected one")
            return stored.array(stored.names[0], NUMBERS, *FRAMES), None


def read_labels(path: Path | str) -> pd.DataFrame:
    """CSV with a row a segment; `Corpus.write` says which columns it may have. Names stay text, "007" too."""
    return read_csv(path, dtype={"recording": str, "speaker": str, "category": str})
