"""Profiles: the parameters that the book's notebooks are executed with, each of the type that its notebook gave it."""

import ast
from dataclasses import dataclass
from pathlib import Path

from emo_ssl.utils import io as files
from emo_ssl.utils.io import UserError

FOLDER, SUFFIX = "notebooks/profiles", ".yml"
USUAL = "demo"
LIMIT, CELL_LIMIT = "cell_limit", 1800  # seconds; a cell that hangs has to end some day
OWN_NAME = "profile"  # the parameter that takes the profile's name
WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list"}


@dataclass(frozen=True)
class Profile:
    path: Path
    parameters: dict[str, dict]  # of each notebook, by its file name without .ipynb
    cell_limit: int = CELL_LIMIT

    @property
    def name(self) -> str:
        return self.path.stem

    def of(self, stem: str, defaults: dict) -> dict:
        """The parameters of one notebook, checked against the defaults of its `parameters` cell."""
        given = self.parameters.get(stem, {})
        unknown = sorted(set(given) - set(defaults))
        if unknown:
            raise UserError(
                f"{self.path}: {stem} has no parameter {', '.join(unknown)}; correct the name, or add it to the "
                "notebook's `parameters` cell."
            )
        for name, value in given.items():
            kind = type(defaults[name])
            if type(value) is not kind and not (kind is float and type(value) is int):
                raise UserError(
                    f"{self.path}: {name} of {stem} is {WORDS[kind]} in the notebook ({defaults[name]!r}), and "
                    f"{value!r} is {WORDS.get(type(value), 'something else')}; correct it."
                )
        if given.get(OWN_NAME, self.name) != self.name:
            raise UserError(
                f"{self.path}: {OWN_NAME} of {stem} has to be {self.name}, as this file is called; leave it out."
            )
        return given | ({OWN_NAME: self.name} if OWN_NAME in defaults else {})


def read(root: Path, name: str) -> Profile:
    """A profile maps a notebook's file name without .ipynb to {parameter: value}."""
    path = root / FOLDER / f"{name}{SUFFIX}"
    there = sorted(entry.stem for entry in (root / FOLDER).glob(f"*{SUFFIX}"))
    if name not in there:
        known = f"take one of {', '.join(there)}" if there else "write one that maps notebooks to parameters"
        raise UserError(f"{path}: there is no such profile; {known}.")
    content = files.read_yaml(path) or {}
    try:
        files.hash_of(content)
    except TypeError as problem:  # YAML knows dates and sets, a key is made of JSON
        raise UserError(f"{path}: a value is neither number, text, list nor mapping; put it in quotes.") from problem
    limit = content.pop(LIMIT, CELL_LIMIT) if isinstance(content, dict) else CELL_LIMIT
    if not isinstance(content, dict) or not all(isinstance(value, dict | None) for value in content.values()):
        raise UserError(f"{path}: it has to map each notebook's name to its parameters, `01-data: {{seed: 0}}`.")
    if type(limit) is not int or limit < 1:
        raise UserError(f"{path}: {LIMIT} has to be a whole number of seconds, {limit!r} is none; correct it.")
    return Profile(path, {str(stem): values or {} for stem, values in content.items()}, limit)


def defaults_of(source: str, where: Path) -> dict:
    """What a `parameters` cell assigns: names and plain values, as in `videos = 160` or `rate: float = 1e-3`."""
    try:
        lines = ast.parse(source).body
    except SyntaxError as problem:
        raise UserError(f"{where}: its `parameters` cell is not Python ({problem.msg}); mend it.") from problem
    found = {}
    for line in lines:
        if not isinstance(line, ast.Assign | ast.AnnAssign) or line.value is None:
            continue
        targets = line.targets if isinstance(line, ast.Assign) else [line.target]
        for target in (target for target in targets if isinstance(target, ast.Name)):
            found[target.id] = plain(line.value, target.id, where)
    return found


def plain(value: ast.expr, name: str, where: Path) -> object:
    try:
        found = ast.literal_eval(value)
    except ValueError:
        found = None
    if type(found) not in WORDS:
        raise UserError(
            f"{where}: its parameter {name} is {ast.unparse(value)}, which has no type that a profile can keep to; "
            "write a number, text, True, False or a list."
        )
    return found
