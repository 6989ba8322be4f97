"""Where notebooks keep what they compute: under build/ of the repository, once for each thing, reused by all of them.

A notebook may run from notebooks/, from build/executed/, from the repository's root or on its own; it finds the same
folders. Everything here can be deleted at any time and is made again when it is asked for.
"""

import html
import shutil
import tomllib
from dataclasses import asdict
from pathlib import Path

from emo_ssl import corpora, segments
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.synthetic import GENERATOR, SUMMARY, SynthConfig, write_corpus
from emo_ssl.files import hash_of, read_json
from emo_ssl.segments import Segments

PROJECT = "emo-ssl"
BUILD, CORPORA = "build", "corpora"
RAW, PREPARED = "files", "prepared"
KEY_LETTERS = 10


def root(start: Path | None = None) -> Path:
    """The repository around `start` (by default the working folder), else that folder itself."""
    start = (start or Path.cwd()).resolve()
    return next((folder for folder in (start, *start.parents) if is_root(folder)), start)


def is_root(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return project == PROJECT


def place(kind: str, name: str, setting: dict) -> Path:
    """The folder of one thing: readable, and another one for every setting."""
    return root() / BUILD / kind / f"{name}-{hash_of(setting)[:KEY_LETTERS]}"


def preparing_code() -> str:
    """What turns .csd files into Segments: when it changes, what an earlier version prepared is out of date."""
    files = [*sorted(Path(corpora.__file__).parent.glob("*.py")), Path(segments.__file__)]
    return hash_of([path.read_text(encoding="utf-8") for path in files])


def corpus(path: str = "", videos: int = 100, seed: int = 0, world: str = "mixed") -> Segments:
    """The prepared folder `path`; without one a made-up corpus, written and prepared the first time it is asked for."""
    if path:
        return Segments.open(root() / Path(path).expanduser())
    config = SynthConfig(videos=videos, seed=seed, world=world)
    name = f"synthetic-{world}-{videos}-videos-seed-{seed}"
    setting = {"generator": GENERATOR, "config": asdict(config), "code": preparing_code()}
    folder = place(CORPORA, name, setting)
    if not folder.exists():  # copies by earlier versions of the code are of no more use, and they are large
        for old in folder.parent.glob(f"{name}-{'?' * KEY_LETTERS}"):
            shutil.rmtree(old, ignore_errors=True)
    raw = folder / RAW
    write_corpus(raw, config)
    return prepare(raw / "COVAREP.csd", raw / "LABELS.csd", raw / "folds.json", folder / PREPARED)


def raw_files(segments: Segments) -> Path | None:
    """The folder of the .csd files that a corpus of ours was prepared from; nobody knows it of another one."""
    folder = segments.folder.parent / RAW
    return folder if (folder / SUMMARY).is_file() else None


def truth(segments: Segments) -> dict | None:
    """What the maker of a made-up corpus knows about it, its oracle's AUROC for one; of a real corpus nobody does."""
    folder = raw_files(segments)
    return read_json(folder / SUMMARY) if folder else None


def is_synthetic(segments: Segments) -> bool:
    return segments.header["source"].startswith("synthetic")


def notice(segments: Segments) -> str:
    """What a reader has to know before any number of this run, as HTML that the book shows in a box."""
    if is_synthetic(segments):
        kind, title = "warning", "Made-up voices"
        text = f"These pages were run on a corpus that is {segments.header['source']}. No person spoke or labelled it. "
        text += "Its numbers test the machinery and say nothing about people."
    else:
        kind, title = "note", "The corpus of this run"
        text = f"{segments.header['source']}; folds: {segments.header['folds']}."
    return f'<div class="admonition {kind}"><p class="admonition-title">{title}</p><p>{html.escape(text)}</p></div>'


def say(**values: float | str) -> None:
    """Hand numbers to a page's text, where {glue:text}`name` shows them; without the book's tools there is no page."""
    try:
        from myst_nb import glue
    except ImportError:
        return
    for name, value in values.items():
        # numpy's own numbers would arrive as text such as np.float64(0.5)
        glue(name, value if isinstance(value, str) else float(value), display=False)
