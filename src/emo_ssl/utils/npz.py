"""Arrays and a JSON object in one archive, without a pickle: written whole or not at all, and read with suspicion.

A member is read when it is asked for. It has to be as `numpy.savez` writes it, of the size that its shape says, and all
together unpack to MOST_RATIO times the size of the file at most.
"""

import contextlib
import json
import lzma
import math
import re
import struct
import sys
import typing
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

import numpy as np

from emo_ssl.utils.io import atomic_path
from emo_ssl.utils.values import checked, convert, refused

T = TypeVar("T")
MOST_RATIO = 20  # of the size of an archive that is unpacked to its own
# of a zip archive or its member; RuntimeError where it is encrypted
UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(LookupError, ValueError, RuntimeError, NotImplementedError, OverflowError, MemoryError),
)
TYPES = rb"[<>|](?:f[248]|[iu][1248]|b1|U\d{1,6})"
HEADER = re.compile(rb"{'descr': '(" + TYPES + rb")', 'fortran_order': (True|False), 'shape': \(([\d, ]*)\), } *\n")


def save(path: Path, arrays: Mapping[str, np.ndarray], meta: dict | None = None) -> None:
    """`meta` becomes an array too, the bytes of its JSON."""
    if meta is not None:
        text = json.dumps(meta, sort_keys=True, ensure_ascii=False, allow_nan=False)
        arrays = {"meta": np.frombuffer(text.encode(), np.uint8), **arrays}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


@contextlib.contextmanager
def opened(path: Path, advice: str, ratio: int = MOST_RATIO) -> Iterator["Arrays"]:
    """Whatever turns out to be wrong with the file inside the `with` ends in one sentence."""
    with refused(path, (OSError, *UNREADABLE), "damaged", advice), zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > ratio * path.stat().st_size:
            raise ValueError(f"unpacks to {unpacked:,} bytes, more than {ratio} times its size")
        yield Arrays(path, archive)


def parsed(raw: bytes, name: str, kinds: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """The content of an .npy; kinds: letters of numpy's `dtype.kind`; shape: None where any length will do."""
    begin = 10 + int.from_bytes(raw[8:10], "little")
    header = HEADER.fullmatch(raw[10:begin])
    if raw[:8] != b"\x93NUMPY\x01\x00" or not header:
        raise ValueError(f"{name} is no array of numbers or text, as numpy writes them")
    dtype = np.dtype(header[1].decode())
    found = tuple(int(length) for length in header[3].split(b",") if length.strip())
    if math.prod(found) * dtype.itemsize != len(raw) - begin or not dtype.itemsize:
        raise ValueError(f"{name} has {len(raw) - begin} bytes for the shape {found}")
    wrong = len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True))
    if dtype.kind not in kinds or wrong:
        raise ValueError(f"{name} is {dtype} of shape {found}, expected {kinds} of {shape}".replace("None", "any"))
    order = "F" if header[2] == b"True" else "C"
    array = np.ndarray(found, dtype, raw, begin, order=order)
    if dtype.kind == "U":
        if np.frombuffer(raw, dtype.str[0] + "u4", offset=begin).max(initial=0) > sys.maxunicode:
            raise ValueError(f"{name} is no text")
        convert("".join(array.ravel().tolist()), str, name)
    return array.copy("K")


class Arrays:
    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path, self.archive = path, archive
        self.names = [name.removesuffix(".npy") for name in archive.namelist()]

    def array(self, name: str, kinds: str, *shape: int | None) -> np.ndarray:
        return parsed(self.archive.read(f"{name}.npy"), name, kinds, shape)

    def meta(self, kind: object) -> dict:
        return checked(json.loads(self.array("meta", "u", None).tobytes()), kind, f"{self.path}: meta", "make it anew")

    def table(self, prefix: str, kind: type[T]) -> T:
        """A dataclass of columns, whose annotations are Annotated[np.ndarray, kinds, lengths beside the rows …]."""
        hints, rows, columns = typing.get_type_hints(kind, include_extras=True), None, {}
        for field in fields(kind):
            kinds, *lengths = hints[field.name].__metadata__
            columns[field.name] = self.array(f"{prefix}.{field.name}", kinds, rows, *lengths)
            rows = len(columns[field.name])
        return kind(**columns)
