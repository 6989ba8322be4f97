"""A corpus for other programs: one file of frames a recording, and one tidy table of segments that points into them.

    about.json             what the corpus says of itself: source, licence, rate, names of the features, folds
    segments.csv           a row a segment: recording, speaker, start, end, split, fold, category, each emotion
    frames/RECORDING.npz   frames (T, D) float32, NaN = missing, and feature_names (D,); or .parquet, a column a feature

Seconds count from the first frame of the file, so a segment is frames[round(start * rate) : round(end * rate)], and
`emo-ssl corpus arrays` reads all of it back.
"""

from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.utils.io import OutputFolder, UserError, atomic_path, require_space, write_json
from emo_ssl.utils.progress import Progress

ABOUT, SEGMENTS, FRAMES = "about.json", "segments.csv", "frames"
KINDS = ("npz", "parquet")


def export(corpus: Corpus, output: Path | str, to: str = "npz") -> Path:
    """Write the folder above. An interrupted run goes on where it stopped; a complete folder is left as it is."""
    refuse(to)
    config = {"corpus": corpus.content_hash, "layers": list(corpus.layers), "to": to}
    with OutputFolder(output, "table of segments", config) as out:
        if not out.complete:
            require_space(out.path, 4 * corpus.frames.size)
            (out.path / FRAMES).mkdir(exist_ok=True)
            names = file_names(corpus)
            with Progress("exporting", len(names), "recordings") as bar:
                for i, name in enumerate(names):
                    path = out.path / FRAMES / f"{name}.{to}"
                    if not path.exists():
                        write_frames(path, corpus.recording(i).astype(np.float32), corpus.feature_names)
                    bar.advance()
            with atomic_path(out.path / SEGMENTS) as temporary:
                segment_table(corpus).to_csv(temporary, index=False)
            write_json(out.path / ABOUT, corpus.header)
            out.finish()
    return out.path


def refuse(to: str) -> None:
    if to not in KINDS:
        raise UserError(f"{to}: a corpus is exported to {' or '.join(KINDS)}; choose one of them.")
    if to == "parquet":
        try:
            import pyarrow  # noqa: F401  pandas writes parquet with it
        except ImportError as problem:
            raise UserError("parquet: writing it needs pyarrow; run: pip install pyarrow, or take npz.") from problem


def file_names(corpus: Corpus) -> np.ndarray:
    """(R,) the recordings' names as files can have them: slashes and the like become %2F and so on."""
    return np.array([quote(name, safe=" ") for name in corpus.recordings.id.tolist()], np.str_)


def write_frames(path: Path, frames: np.ndarray, names: tuple[str, ...]) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if path.suffix == ".npz":
            np.savez(stream, frames=frames, feature_names=np.array(names))
        else:
            pd.DataFrame(frames, columns=list(names)).to_parquet(stream, engine="pyarrow")


def segment_table(corpus: Corpus) -> pd.DataFrame:
    """A row a segment, in the order of the corpus; fold -1 and category "" where it has none."""
    segments, recordings = corpus.segments, corpus.recordings
    first = segments.first - recordings.offset[segments.recording]
    return pd.DataFrame(
        {
            "recording": file_names(corpus)[segments.recording],
            "speaker": recordings.speaker[segments.recording],
            "start": first / corpus.frame_rate,
            "end": (first + segments.length) / corpus.frame_rate,
            "split": np.array(SPLITS)[segments.split],
            "fold": segments.fold,
            "category": np.array([*corpus.category_names, ""])[segments.category],  # -1 is the last
            **dict(zip(corpus.target_names, corpus.targets.T, strict=True)),
        }
    )
