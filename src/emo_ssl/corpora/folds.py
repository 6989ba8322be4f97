"""Which video is for training, validation and test: read from the user's file, or a stated hash split without one."""

import ast
import hashlib
from pathlib import Path

from emo_ssl.core.corpus import SPLITS
from emo_ssl.utils.values import UserError, checked, read_csv, read_json, refused

NOT_STANDARD = "by-video hash split, not the standard folds"
WORDS = {"train": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid", "test": "test"}
LEAST_KNOWN_SHARE = 0.5
Lists = dict[str, list[str | int]]  # name of a split -> videos
ADVICE = "give lists of video ids for train, valid and test"


def split_of_word(name: str) -> str | None:
    """`standard_train_fold`, `dev`, `Test` -> the split that the name means, if it means one."""
    return next((split for part in name.lower().replace("-", "_").split("_") if (split := WORDS.get(part))), None)


def read_folds(path: Path | str) -> dict[str, int]:
    """video -> index into SPLITS, from JSON ({"train": [ids], …}), CSV (video, split) or the SDK's Python file."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; check the path of the folds.")
    kind = path.suffix.lower()
    if kind == ".csv":
        table = read_csv(path, ("video", "split"), dtype=str, keep_default_na=False).fillna("")
        pairs = list(zip(table["video"], table["split"], strict=True))
    elif kind in (".json", ".py"):
        lists = read_json(path, Lists, ADVICE) if kind == ".json" else lists_in_python(path)
        pairs = [(str(video), name) for name, videos in lists.items() for video in videos]
    else:
        raise UserError(f"{path}: folds are read from .json, .csv or .py files; save it as one of these.")
    if not pairs:
        raise UserError(f"{path}: names no video at all; {ADVICE}.")
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


def lists_in_python(path: Path) -> Lists:
    """Assignments of list literals, read as data: the file is parsed, never run."""
    problems = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)
    with refused(path, problems, "not readable as lists in Python", ADVICE):
        statements = [one for one in ast.parse(path.read_bytes()).body if isinstance(one, ast.Assign)]
        names = [(getattr(one.targets[0], "id", ""), one.value) for one in statements]
        found = {name: ast.literal_eval(value) for name, value in names if split_of_word(name)}
    lists = {name: list(videos) if isinstance(videos, tuple) else videos for name, videos in found.items()}
    return checked(lists, Lists, str(path), ADVICE)


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
