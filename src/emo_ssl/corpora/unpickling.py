"""Pickles of arrays, read without letting them run anything: an allow-list of names, and stand-ins for all of them.

numpy's own functions are not among them, because what they rebuild an array from can be forged. Bytes, a type and a
shape are enough: `Array` and `DType` collect them, and `plain` makes arrays, lists, text and numbers of the result.
"""

import math
import pickle
import re
from pathlib import Path

import numpy as np

from emo_ssl.utils.io import refuse_what_is_no_file
from emo_ssl.utils.npz import UNREADABLE
from emo_ssl.utils.values import ECHO, refused, shortened

TYPES = re.compile(r"[<>=|]?(f[248]|i[1248]|u[1248]|b1|[US]\d{1,6}|O8?)")
BAD = (pickle.UnpicklingError, AttributeError, TypeError, IndexError, RecursionError, ImportError, *UNREADABLE)


class DType:
    """A numpy type: of numbers, text or objects, nothing compound."""

    def __init__(self, code: str, *_: object):
        if not isinstance(code, str) or not TYPES.fullmatch(code):
            raise pickle.UnpicklingError(f"an array of the type {shortened(str(code), ECHO)}")
        self.type = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.type = self.type.newbyteorder(state[1]) if state[1] in ("<", ">") else self.type


class Array:
    """An array, until all of its parts are there."""

    value = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = array(raw, dtype, shape, "F" if fortran else "C")


def array(raw: bytes | str | list, dtype: DType, shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    if dtype.type.kind == "O":  # plain values in a list
        if type(raw) is not list or len(raw) != math.prod(shape):
            raise pickle.UnpicklingError("an array of objects that is not as long as its shape")
        values = np.empty(len(raw), object)
        values[:] = raw
        return values.reshape(shape, order=order)
    return np.frombuffer(octets(raw), dtype.type).reshape(shape, order=order)


def octets(raw: bytes | bytearray | str) -> bytes | bytearray:
    """Python 2 wrote bytes as text, of which latin1 makes the same bytes again."""
    return raw.encode("latin1") if isinstance(raw, str) else memoryview(raw)


def from_buffer(raw: bytes, dtype: DType, shape: tuple[int, ...], order: str = "C", axes: object = None) -> Array:
    made = Array()
    made.value = array(raw, dtype, shape, "F" if order == "F" else "C")
    if axes is not None:
        made.value = made.value.transpose(axes)
    return made


class Named:
    """What a pickle gets for a name: it can be called and nothing else, so that no pickle can change it."""

    __slots__ = ("make",)

    def __init__(self, make: object):
        object.__setattr__(self, "make", make)

    def __call__(self, *given: object) -> object:
        return self.make(*given)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError("a name that is given a state")


STAND_INS = {
    "multiarray._reconstruct": lambda *_: Array(),
    "multiarray.scalar": lambda dtype, raw: array(raw, dtype, ())[()],
    "numeric._frombuffer": from_buffer,
    "numpy.ndarray": lambda *_: Array(),  # only named, as an argument of _reconstruct
    "numpy.dtype": DType,
    "_codecs.encode": lambda text, *_: text.encode("latin1"),  # bytes before protocol 3
    "builtins.bytes": lambda *_: b"",
    "builtins.bytearray": lambda raw=b"", *_: bytes(octets(raw)),
    "builtins.set": set,
    "builtins.frozenset": frozenset,
    "builtins.list": list,
    "builtins.dict": dict,
    "collections.OrderedDict": lambda *_: {},
    "collections.defaultdict": lambda *_: {},
}


class Unpickler(pickle._Unpickler):
    """The one in Python: that in C makes room for as many remembered objects as a pickle of a few bytes names."""

    def find_class(self, module: str, name: str) -> Named:
        asked = f"{module}.{name}".replace("__builtin__.", "builtins.")
        known = re.sub(r"^numpy\._?core\.", "", asked)  # numpy 2 and numpy 1
        if known not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {shortened(asked, ECHO)}, which is no array")
        return Named(STAND_INS[known])


def load(path: Path) -> object:
    """The content of a pickle of arrays and plain containers; anything else is refused by its name."""
    refuse_what_is_no_file(path, ".pkl")
    with path.open("rb") as stream, refused(path, BAD, "not read as a pickle of arrays", "nothing of it was run"):
        return Unpickler(stream, encoding="latin1").load()


def plain(value: object) -> object:
    """An array, text, a number, or lists of such."""
    if isinstance(value, Array):
        value = value.value
        return plain(value.tolist()) if value.dtype.kind in "OSU" else value
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value
