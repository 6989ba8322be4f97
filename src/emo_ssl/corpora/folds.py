"""Which video is for training, validation and test: read from the user's file, or a stated hash split without one."""

import ast
import csv
import hashlib
import json
from pathlib import Path

from emo_ssl.core.corpus import SPLITS
from emo_ssl.utils.io import UserError

NOT_STANDARD = "by-video hash split, not the standard folds"
WORDS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}
LEAST_KNOWN_SHARE = 0.5


def split_of_word(name: str) -> str | None:
    """`standard_train_fold`, `dev`, `Test` -> the split that the name means, if it means one."""
    return next((split for part in name.lower().replace("-", "_").split("_") if (split := WORDS.get(part))), None)


def read_folds(path: Path | str) -> dict[str, int]:
    """video -> index into SPLITS, from JSON ({"train": [ids], …}), CSV (video, split) or the SDK's Python file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path of the folds.")
    readers = {".json": pairs_in_json, ".csv": pairs_in_csv, ".py": pairs_in_python}
    if path.suffix.lower() not in readers:
        raise UserError(f"{path}: folds are read from .json, .csv or .py files; save it as one of these.")
    try:
        pairs = readers[path.suffix.lower()](path.read_text(encoding="utf-8-sig", errors="replace"))
    except (ValueError, SyntaxError, TypeError, AttributeError, RecursionError, MemoryError, csv.Error) as problem:
        raise UserError(
            f"{path}: no lists of video ids for train, valid and test found ({problem or 'wrong shape'})."
        ) from problem
    if not pairs:
        raise UserError(f"{path}: names no video at all; expected lists of ids for train, valid and test.")
    split_of: dict[str, int] = {}
    for video, name in pairs:
        split = split_of_word(name)
        if split is None:
            raise UserError(f"{path}: `{name}` is none of train, valid, test; rename it.")
        first = SPLITS[split_of.setdefault(video, SPLITS.index(split))]
        if first != split:
            raise UserError(
                f"{path}: video {video} stands in both {first} and {split}, which would leak; leave it in one."
            )
    return split_of


Pairs = list[tuple[str, str]]  # (video, name of its split)


def pairs_in_json(text: str) -> Pairs:
    return pairs_in_lists(json.loads(text))


def pairs_in_python(text: str) -> Pairs:
    """Assignments of list literals, read as data: the file is parsed, never run."""
    statements = [one for one in ast.parse(text).body if isinstance(one, ast.Assign)]
    names = [(getattr(one.targets[0], "id", ""), one.value) for one in statements]
    return pairs_in_lists({name: ast.literal_eval(value) for name, value in names if split_of_word(name)})


def pairs_in_lists(lists: dict[str, object]) -> Pairs:
    for name, videos in lists.items():
        if not isinstance(videos, list | tuple) or not all(isinstance(v, str | int) for v in videos):
            raise ValueError(f"`{name}` is not a list of video ids")
    return [(str(video), name) for name, videos in lists.items() for video in videos]


def pairs_in_csv(text: str) -> Pairs:
    rows = list(csv.DictReader(text.splitlines(), restval=""))
    if rows and not {"video", "split"} <= rows[0].keys():
        raise ValueError("expected the columns video and split")
    return [(row["video"], row["split"]) for row in rows]


def refuse_foreign_folds(path: Path | str, split_of: dict[str, int], known: set[str]) -> None:
    """Where most of the videos are unknown, the folds are another corpus's."""
    unknown = [video for video in split_of if video not in known]
    if len(unknown) > (1 - LEAST_KNOWN_SHARE) * len(split_of):
        raise UserError(
            f"{path}: {len(unknown)} of the {len(split_of)} videos it names (such as {unknown[0]}) are in neither data "
            "file; is it the fold file of another corpus?"
        )


def hash_split(video: str) -> int:
    """A split that depends on the video's id alone, so that it survives added and removed videos."""
    draw = int.from_bytes(hashlib.sha256(video.encode()).digest()[:8]) / 2**64
    return SPLITS.index("train" if draw < 0.7 else "valid" if draw < 0.8 else "test")
