"""JSON, TOML and CSV become values here, and only here: of the kind asked for, or one sentence says what is wrong.

A kind is a type as annotations write it: a dataclass, a TypedDict (keys that it does not name are let through),
dict[str, float], list[str], tuple[int, ...], a union, Literal, or Annotated[int, low, high]. Whatever the kind, numbers
are finite and whole ones fit in 64 bits, text can be written and printed, and nothing is nested deeper than DEEPEST.
"""

import contextlib
import dataclasses
import json
import math
import re
import tomllib
import types
import typing
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NotRequired, TypeVar, Union

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
MESSAGE, ECHO = 400, 80  # letters, at most, of a refusal and of a value in it
DEEPEST = 20
Count = Annotated[int, 0, 2**48]
PLAIN = (str, int, float, bool, types.NoneType)
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # what steers a terminal, and half letters
SEPARATORS = {";": "semicolons", "\t": "tabs"}


class UserError(Exception):
    """One sentence: the file, what is wrong with it and what to do. The command line prints it and exits with 2."""

    def __init__(self, sentence: str):
        super().__init__(one_line(sentence))


def one_line(sentence: str) -> str:
    """What can be printed anywhere: of no more than MESSAGE letters, none of which moves or steers anything."""
    return shortened(printable(sentence).replace("\n", "\\n"), MESSAGE)


def shortened(text: str, most: int) -> str:
    """Its beginning and its end, where all of it is too long."""
    return text if len(text) <= most else f"{text[: most // 2 - 2]} … {text[1 - most // 2 :]}"


def printable(value: object) -> object:
    """A plain value in whose texts everything unprintable stands as its number, such as \\x1b."""
    if isinstance(value, str):
        return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), value)
    if isinstance(value, dict):
        return {printable(name): printable(part) for name, part in value.items()}
    return [printable(part) for part in value] if isinstance(value, list | tuple) else value


def short(value: object) -> str:
    return shortened(repr(value), ECHO)


@contextlib.contextmanager
def refused(where: object, problems: tuple[type[Exception], ...], what: str, advice: str) -> Iterator[None]:
    """Whatever goes wrong inside the `with` ends in one sentence: where, what it means, the reason, what to do."""
    try:
        yield
    except problems as problem:
        reason = shortened(" ".join(str(problem).split()) or type(problem).__name__, 2 * ECHO)
        raise UserError(f"{where}: {what} ({reason}); {advice}.") from problem


def read_json(path: Path | str, kind: object = object, advice: str = "restore or delete it, then run again") -> object:
    return read(Path(path), json.loads, "JSON", kind, advice)


def read_config(path: Path | str | None, kind: type[T]) -> T:
    """The defaults of a dataclass, overridden by what a TOML or JSON file says."""
    if path is None:
        return kind()
    parse = json.loads if Path(path).suffix.lower() == ".json" else tomllib.loads
    return read(Path(path), parse, "TOML or JSON", kind, "mend it and run again")


def read_csv(path: Path | str, columns: Iterable[str] = (), **how: object) -> "pd.DataFrame":
    """A table with these columns at least; `how` is what pandas is told besides."""
    import numpy as np  # both take half a second
    import pandas as pd

    problems = (OSError, EOFError, zlib.error, ValueError, OverflowError)  # what pandas raises is a ValueError
    with refused(path, problems, "not readable as a CSV table", "save it as UTF-8, with commas"):
        with np.errstate(invalid="ignore"):  # pandas casts a gap to a whole number before it refuses it
            table = pd.read_csv(path, encoding="utf-8-sig", **how)
        first = [str(name) for name in (table.iloc[0] if how.get("header", "") is None else table.columns)]
        for sign, words in SEPARATORS.items():
            if len(first) == 1 and sign in first[0]:
                raise ValueError(f"{words} between its columns")
        if absent := [name for name in columns if name not in table]:
            raise ValueError(f"no column {absent[0]}")
        if "index_col" not in how and not isinstance(table.index, pd.RangeIndex):
            raise ValueError("a row with more values than there are columns")
        objects = [name for name in table if pd.api.types.is_object_dtype(table[name])]
        for name in objects:  # where whole numbers fit nothing else
            if any(isinstance(value, int) and not -(2**63) <= value < 2**64 for value in table[name]):
                raise ValueError(f"a number of more than 64 bits in column {name}")
    return table


def read_json_lines(path: Path, kind: object, advice: str) -> list:
    def parse(text: str) -> list[object]:
        return [json.loads(line) for line in text.splitlines()]

    return read(path, parse, "lines of JSON", list[kind], advice)


def read(path: Path, parse: Callable[[str], object], language: str, kind: object, advice: str) -> object:
    with refused(path, (OSError, ValueError, RecursionError), f"not readable as {language}", advice):
        content = parse(path.read_text(encoding="utf-8-sig"))
    return checked(content, kind, str(path), advice)


def checked(value: object, kind: object, where: str, advice: str = "mend it and run again") -> object:
    """A plain value as the kind that is asked for; the refusal names the place."""
    try:
        return convert(convert(value, object), kind)
    except ValueError as problem:
        raise UserError(f"{where}: {problem}; {advice}.") from problem


def convert(value: object, kind: object, name: str = "", depth: int = 0) -> object:
    """See above; `name` is what the value is called in a refusal, which is a ValueError."""
    label = f"{name}: " if name else ""
    if depth > DEEPEST:
        raise ValueError(f"{label}nested deeper than {DEEPEST} levels")
    if type(value) in PLAIN and kind in (object, type(value)) and sound(value):  # first, as nearly all values are
        return value
    origin, inside, named = parts_of(kind)
    within = partial(convert, depth=depth + 1)
    if isinstance(value, dict | list) and kind in (object, type(value)):
        origin, inside = type(value), (object, object)
    if named:
        return structure(value, kind, label, within)
    if origin is NotRequired:
        return convert(value, inside[0], name, depth)
    if origin in (Union, types.UnionType):
        return first_that_fits(value, inside, name, depth)
    if origin is dict and isinstance(value, dict):
        return {within(k, str): within(v, inside[1], f"{label}{shortened(k, ECHO)}") for k, v in value.items()}
    if origin in (list, tuple) and isinstance(value, list):
        return origin(within(item, inside[0], name) for item in value)
    if origin is Annotated:
        found, (low, high) = convert(value, inside[0], name, depth), inside[1:]
        if low <= found <= high:
            return found
    elif origin is Literal and value in inside and type(value) in map(type, inside):
        return value
    elif kind is float and type(value) is int:
        return float(value)
    raise ValueError(f"{name or 'it'} is {short(value)}, expected {in_words(kind)}")


@cache  # a file of evidence asks ten thousands of times
def parts_of(kind: object) -> tuple[object, tuple, bool]:
    """What it is made of, and whether it has names of its own."""
    named = dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)
    return typing.get_origin(kind), typing.get_args(kind), named


@cache
def hints_of(kind: type) -> dict[str, object]:
    return typing.get_type_hints(kind, include_extras=True)


def sound(value: str | float | bool | None) -> bool:
    """Finite, within 64 bits, or text that can be shown."""
    if isinstance(value, str):
        return not UNPRINTABLE.search(value)
    return math.isfinite(value) if isinstance(value, float) else value is None or -(2**63) <= value < 2**63


def structure(value: object, kind: type[T], label: str, within: Callable) -> T:
    """A dataclass, which knows all its names, or a TypedDict, which knows those that are read."""
    hints, known = hints_of(kind), dataclasses.is_dataclass(kind)
    if not isinstance(value, dict):
        raise ValueError(f"{label}expected names and values, found {short(value)}")
    for name in value:
        if known and name not in hints:
            raise ValueError(f"{label}there is no setting {shortened(name, ECHO)}; choose among {', '.join(hints)}")
    absent = dataclasses.MISSING
    asked = [f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is absent] if known else ()
    for name in hints:
        if name not in value and name in (asked or getattr(kind, "__required_keys__", ())):
            raise ValueError(f"{label}{name} is missing")
    found = {k: within(v, hints.get(k, object), f"{label}{shortened(k, ECHO)}") for k, v in value.items()}
    try:
        return kind(**found) if known else found
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"{label}{problem}") from problem


def first_that_fits(value: object, kinds: tuple, name: str, depth: int) -> object:
    problem = None
    for kind in kinds:
        try:
            return convert(value, kind, name, depth)
        except ValueError as found:
            problem = problem or found
    raise problem


def in_words(kind: object) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return f"{in_words(inside[0])} from {inside[1]:g} to {inside[2]:g}"
    if origin is Literal:
        return " or ".join(map(repr, inside))
    return "a finite plain value" if kind is object else getattr(kind, "__name__", str(kind))
