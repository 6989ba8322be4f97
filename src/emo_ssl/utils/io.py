"""Files that are either whole or absent, and output folders that know which configuration made them."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TypedDict

import filelock

from emo_ssl.utils.values import UserError, read_json, short

PARTIAL = ".partial"
STATE = "folder.json"
LOCK = ".lock"
OURS = {LOCK, STATE + PARTIAL}  # what a run killed before its first state leaves behind


def sync(path: Path) -> None:
    """Push a file or a folder's entries to the disk, so that a rename that follows cannot outrun the bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success fsync it and rename it into place, on failure remove it."""
    path = Path(path)
    temporary = path.with_name(path.name + PARTIAL)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and is_disk_full(problem):
            raise disk_full(path) from problem
        raise


def is_disk_full(problem: OSError) -> bool:
    return problem.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def disk_full(path: Path, needed: int | None = None) -> UserError:
    room = f" ({needed / 1e9:.1f} GB needed)" if needed else ""
    return UserError(
        f"{path}: the disk is full{room}, nothing was kept; free some space or choose another -o and run again."
    )


def require_space(folder: Path, needed: int) -> None:
    """Refuse before the work starts rather than after an hour of it."""
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    if shutil.disk_usage(existing).free < needed:
        raise disk_full(folder, needed)


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def failed_download(head: bytes) -> str:
    """What the first bytes of a file show it to be instead, in words, or nothing: what failed downloads leave."""
    text = head.lstrip().lower()
    if not head:
        return "an empty file"
    if text.startswith(b"version https://git-lfs"):
        return "a Git-LFS pointer instead of the file, which `git lfs pull` fetches"
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "a web page saved under the name of the file"
    return ""


def refuse_what_is_no_file(path: Path, ending: str) -> None:
    """Say what is there instead."""
    if not path.exists():
        raise UserError(f"{path}: no such file; check the path.")
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; name the {ending} file in it.")
    if not path.is_file():  # a pipe would be waited for
        raise UserError(f"{path}: this is not a regular file; name a {ending} file.")
    with path.open("rb") as stream:
        if found := failed_download(stream.read(512)):
            raise UserError(f"{path}: {found}; download it again.")


def hash_of(value: object) -> str:
    """sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def fingerprint(path: Path, blocks: int = 64, block_size: int = 1 << 16) -> str:
    """A hash of the size and of 64 blocks spread evenly, first and last included: enough, without reading gigabytes."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        for i in range(blocks):
            stream.seek(i * max(size - block_size, 0) // (blocks - 1))
            digest.update(stream.read(block_size))
    return digest.hexdigest()


SOURCES = {  # what lies in folders and becomes a corpus -> by which command
    ".csd": "prepare",
    ".pkl": "import",
    **dict.fromkeys((".wav", ".flac", ".mp3", ".ogg", ".zip"), "record"),
    **dict.fromkeys((".npy", ".npz", ".parquet"), "arrays"),
}
LOOKED_AT = 1000  # files of a folder, to see what it holds


def absent(path: Path, wanted: str, command: str) -> "UserError":
    """Where no finished corpus, run or model is, in words that say what is there instead."""
    inside = [path] if path.is_file() else [] if (path / STATE).exists() else islice(path.rglob("*"), LOOKED_AT)
    raw = [file.suffix.lower() for file in inside if file.suffix.lower() in SOURCES]
    advice = f"`emo-ssl {command}` makes one"
    if not path.exists():
        found = "there is no such file or folder"
    elif (path / STATE).exists():
        kind = read_json(path / STATE, State)["kind"]
        found = f"an unfinished {kind}" if kind == wanted else f"this is a {kind}"
    elif raw:
        found, advice = f"only {raw[0]} data", f"`emo-ssl corpus {SOURCES[raw[0]]}` makes a corpus of it"
    else:
        found = "this is a file" if path.is_file() else "this is another folder, or one of an earlier emo-ssl"
    return UserError(f"{path}: no finished {wanted}: {found}; {advice}.")


class State(TypedDict):
    kind: str
    hash: str
    complete: bool
    config: dict[str, object]


class OutputFolder:
    """A folder that one configuration owns.

    `with OutputFolder(path, "corpus", config) as out:` claims it: an unfinished run of the same configuration
    resumes, a finished one has `out.complete` set, anything else is refused. Nothing counts as finished before
    `out.finish()`.
    """

    def __init__(self, path: Path | str, kind: str, config: dict):
        self.path, self.kind, self.config = Path(path), kind, config
        self.hash = hash_of({"kind": kind, "config": config})
        self.complete = False
        self._lock = filelock.FileLock(self.path / LOCK, timeout=0)

    def __enter__(self) -> "OutputFolder":
        self._made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except filelock.Timeout:
            sentence = f"{self.path}: another emo-ssl is writing here; wait for it or choose another -o."
            raise UserError(sentence) from None
        except OSError as problem:
            raise UserError(f"{self.path}: cannot write here ({problem.strerror}); choose another -o.") from problem
        try:
            self._check_owner()
            if not self.complete:
                self._remove_partials()
                self._write_state(complete=False)
        except BaseException:
            self._release()
            raise
        return self

    def _check_owner(self) -> None:
        if not (self.path / STATE).exists():
            if any(p.name not in OURS for p in self.path.iterdir()):
                raise UserError(
                    f"{self.path}: the folder is not empty and emo-ssl did not make it; choose another -o or empty it."
                )
            return
        state = read_json(self.path / STATE, State)
        if state["hash"] != self.hash:
            raise UserError(
                f"{self.path}: this folder holds a {state['kind']} of another configuration "
                f"({describe_difference(state['config'], self.config)}); choose another -o or delete the folder."
            )
        self.complete = state["complete"]

    def _write_state(self, complete: bool) -> None:
        state = {"kind": self.kind, "hash": self.hash, "complete": complete, "config": self.config}
        write_json(self.path / STATE, state)

    def _remove_partials(self) -> None:
        for leftover in self.path.rglob(f"*{PARTIAL}"):
            leftover.unlink(missing_ok=True)

    def finish(self) -> None:
        self._write_state(complete=True)
        self.complete = True

    def __exit__(self, kind, problem, trace) -> None:
        if not self.complete:
            self._remove_partials()
            if all(p.name in OURS or p.name == STATE for p in self.path.iterdir()):
                (self.path / STATE).unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        with contextlib.suppress(OSError):  # Windows removes no open file; an empty lock that stays harms nobody
            (self.path / LOCK).unlink()
        self._lock.release()
        if self._made and not any(self.path.iterdir()):
            self.path.rmdir()


def describe_difference(theirs: dict, ours: dict) -> str:
    """Name the settings that differ: `seed is 1 there, 2 here`."""
    names = [name for name in sorted({*theirs, *ours}) if theirs.get(name) != ours.get(name)]
    words = [f"{name} is {short(theirs.get(name))} there, {short(ours.get(name))} here" for name in names[:3]]
    return "; ".join(words) or "another kind"
