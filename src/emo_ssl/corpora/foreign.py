"""The one place where a `.csd` of unknown origin is opened: a process of its own, which emo_ssl.corpora.csd starts.

libhdf5 follows links into other files, and damaged bytes can crash it or keep it busy for ever. Here it can open no
second file, its time and memory are limited, and whatever becomes of it, the process that asked goes on.

Answers are lines of JSON. The first says what the file holds. Each request is a line [key, part], answered by a line
`null` and the bytes of the values. Either answer may be {"refused": what is wrong and what to do} instead.
"""

import encodings.ascii  # noqa: F401  h5py would import it when no file can be opened any more
import json
import math
import signal
import sys
from collections.abc import Callable
from typing import BinaryIO

import h5py
import numpy as np

try:
    import resource
except ImportError:  # Windows: a process of its own all the same, and the checks by name, but no limits
    resource = None

RATIO = 100  # the most that the arrays may unpack to, in sizes of the file
SECONDS, BYTES_A_SECOND = 5, 20_000_000  # of computing: to open the file or an entry, and to unpack values
MEMORY = 1 << 30
MOST_ENTRIES, LONGEST_NAME, LONGEST_TEXT = 100_000, 100, 1 << 20
TEXTS = ("dimension names", "corpus")  # all that is used of the metadata
PARTS = {"features": np.dtype("f4"), "intervals": np.dtype("f8")}
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
LINKS = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}
AGAIN = "the file is damaged, download it again"
WHOLE = "only values that the file itself holds are read, ask for a whole copy"
# what h5py raises for a damaged file depends on where the damage lies
PROBLEMS = (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError, MemoryError, AttributeError)


class Refusal(Exception):
    """What is wrong and what to do, in words."""


def limit(name: str, value: int) -> None:
    if resource:
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def limit_seconds(seconds: float) -> None:
    """Of computing, so that nothing is refused for a slow disk or a busy machine; 0 lifts the limit."""
    if resource:
        signal.setitimer(signal.ITIMER_PROF, seconds)


def limit_memory(largest: int) -> None:
    if sys.platform == "linux":
        limit("AS", MEMORY + 4 * largest)


def member(group: object, name: str | bytes) -> object:
    """What a name stands for in the file itself, or None; h5py gives bytes for what is no text."""
    if isinstance(name, bytes) or "/" in name or not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        raise Refusal(f"one of its names is no plain text ({name[:20]!a}); {AGAIN}")
    if not isinstance(group, h5py.Group) or not group.id.links.exists(name.encode()):
        return None
    kind = group.id.links.get_info(name.encode()).type
    if kind != h5py.h5l.TYPE_HARD:
        raise Refusal(f"`{name}` is {LINKS.get(kind, 'a link of an unknown kind')}, which is not followed; {WHOLE}")
    return group[name]


def dataset(group: object, name: str, where: str) -> h5py.Dataset:
    found = member(group, name)
    if not isinstance(found, h5py.Dataset):
        raise Refusal(f"`{where}` holds no dataset `{name}`; {AGAIN}")
    created = found.id.get_create_plist()
    if created.get_layout() == h5py.h5d.VIRTUAL:
        raise Refusal(f"`{name}` of `{where}` is a virtual dataset, a view of other files; {WHOLE}")
    if created.get_external_count():
        raise Refusal(f"`{name}` of `{where}` has external storage, its values lie in another file; {WHOLE}")
    for number in (created.get_filter(i)[0] for i in range(created.get_nfilters())):
        if number not in FILTERS:
            known = ", ".join(FILTERS.values())
            raise Refusal(f"`{name}` of `{where}` is packed by HDF5's filter {number}; pack it by one of {known}")
    if name in PARTS and found.dtype.kind not in "iuf":
        raise Refusal(
            f"`{name}` of `{where}` holds {found.dtype!s:.40}, not numbers; name a file of features or labels"
        )
    return found


def layout(found: h5py.Dataset) -> tuple[int, int]:
    """(T, D); a vector counts as one column, and what is empty has none."""
    rows, *rest = found.shape or (0,)
    return (rows, math.prod(rest)) if rows else (0, 0)


def unpacked(found: h5py.Dataset) -> int:
    """Bytes. Of a dataset in chunks at least one is unpacked."""
    return max(math.prod(found.shape or (0,)), math.prod(found.chunks or (0,))) * found.dtype.itemsize


def text(metadata: object, name: str) -> str | None:
    """The first string of one dataset of the metadata; older files hold bytes."""
    if member(metadata, name) is None:
        return None
    found = dataset(metadata, name, "metadata")
    if h5py.check_string_dtype(found.dtype) is None or found.shape is None or 0 in found.shape:
        return None
    size = found.dtype.itemsize
    if size <= LONGEST_TEXT:
        value = found[(0,) * found.ndim]
        size = len(value)
    if size > LONGEST_TEXT:
        raise Refusal(f"`{name}` of its metadata has {size:,} bytes, more than {LONGEST_TEXT:,}; {AGAIN}")
    return value.decode("utf-8", "replace")


class ForeignFile:
    def describe(self, path: str) -> dict:
        """All that can be read, its sizes checked: {"root", "texts", "entries": {key: [T, D, type]}}."""
        limit("CORE", 0)
        limit_memory(0)
        if not h5py.is_hdf5(path):
            raise Refusal("not an HDF5 file, so not a computational sequence; download it again")
        file = h5py.File(path, "r")
        limit("NOFILE", 0)  # whatever the file names, nothing else can be opened any more
        roots = list(file)
        root = member(file, roots[0]) if len(roots) == 1 else None
        self.data = member(root, "data")
        if not isinstance(self.data, h5py.Group):
            sentence = f"expected exactly one root group with a group `data` inside, found {roots[:5]!s:.80}"
            raise Refusal(f"{sentence}; this is not a computational sequence")
        if len(self.data) > MOST_ENTRIES:
            raise Refusal(f"it has {len(self.data):,} entries, and at most {MOST_ENTRIES:,} are read; split it")
        entries, total, largest = {}, 0, 0
        for key in self.data:
            limit_seconds(SECONDS)
            entry = member(self.data, key)
            features, intervals = (dataset(entry, part, key) for part in PARTS)
            rows, width = layout(features)
            if layout(intervals) != ((rows, 2) if rows else (0, 0)):
                shape = intervals.shape
                raise Refusal(f"`{key}` has {rows} rows of features but intervals of shape {shape}; {AGAIN}")
            entries[key] = [rows, width, features.dtype.str]
            sizes = unpacked(features), unpacked(intervals)
            total, largest = total + sum(sizes), max(largest, *sizes)
        times = total // file.id.get_filesize()
        if times > RATIO:
            sentence = f"it unpacks to {total:,} bytes, {times:,} times its size, and at most {RATIO} times is read"
            raise Refusal(f"{sentence}; check where it comes from")
        limit_memory(largest)
        metadata = member(root, "metadata")
        return {"root": roots[0], "texts": {name: text(metadata, name) for name in TEXTS}, "entries": entries}

    def values(self, key: str, part: str) -> np.ndarray:
        found = dataset(member(self.data, key), part, key)
        limit_seconds(SECONDS + unpacked(found) / BYTES_A_SECOND)
        array = np.empty(found.shape, PARTS[part])
        found.read_direct(array)
        return array


def serve(path: str, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until nobody asks any more."""

    def answer(work: Callable[..., object], *arguments: str, where: str = "") -> None:
        limit_seconds(SECONDS)
        try:
            result = work(*arguments)
        except Refusal as refusal:
            result = {"refused": str(refusal)}
        except PROBLEMS as problem:
            reason = "truncated" if "truncated" in str(problem) else "damaged or truncated"
            result = {"refused": f"the file is {reason}{where}; download or copy it again"}
        limit_seconds(0)
        is_array = isinstance(result, np.ndarray)
        answers.write(json.dumps(None if is_array else result).encode() + b"\n")
        if is_array:
            answers.write(result)
        answers.flush()

    file = ForeignFile()
    answer(file.describe, path)
    for line in requests:
        key, part = json.loads(line)
        answer(file.values, key, part, where=f" at `{key}`")


if __name__ == "__main__":
    serve(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
