"""Folders and archives of empty files, for what is read from names alone, and what was read."""

import zipfile
from pathlib import Path

from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes import Listing

NAN = "nan"


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    return root


def zipped(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return path


def rows_of(listing: Listing) -> list[tuple]:
    """path, name, speaker, six emotions, category, start, end, fold"""
    columns = ["path", "name", "speaker", *EMOTIONS, "category", "start", "end", "fold"]
    return [tuple(NAN if value != value else value for value in row) for row in listing.clips[columns].values]


def counts_of(listing: Listing) -> dict[str, int]:
    """What was met -> how often."""
    return {what: len(paths) for what, paths in listing.notes.items() if paths}
