"""Configuration files: TOML or JSON -> the frozen dataclass that they configure; an unknown name is an error."""

import dataclasses
import json
import math
import tomllib
import types
import typing
from pathlib import Path
from typing import TypeVar

from emo_ssl.utils.io import UserError

T = TypeVar("T")


def read_config(path: Path | str | None, kind: type[T]) -> T:
    """The defaults of `kind`, overridden by what the file says."""
    if path is None:
        return kind()
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as problem:
        raise UserError(f"{path}: not readable as TOML or JSON ({problem}); mend it and run again.") from problem
    return build(content, kind, str(path))


def build(content: object, kind: type[T], where: str) -> T:
    if not isinstance(content, dict):
        raise UserError(f"{where}: expected names and values, found {content!r}.")
    hints = typing.get_type_hints(kind)
    unknown = [name for name in content if name not in hints]
    if unknown:
        raise UserError(f"{where}: there is no setting {unknown[0]}; choose among {', '.join(hints)}.")
    try:
        return kind(**{name: convert(value, hints[name], f"{where}: {name}") for name, value in content.items()})
    except ValueError as problem:
        raise UserError(f"{where}: {problem}.") from problem


def convert(value: object, hint: object, where: str) -> object:
    """A plain value as the type that the dataclass asks for."""
    if dataclasses.is_dataclass(hint):
        return build(value, hint, where)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        return None if value is None else convert(value, choices[0], where)
    if origin is tuple and isinstance(value, list):
        return tuple(convert(item, typing.get_args(hint)[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and type(value) is hint and (hint is not float or math.isfinite(value)):
        return value
    raise UserError(f"{where} is {value!r}, expected {getattr(hint, '__name__', hint)}.")
