"""Notebooks as data: their parameters, what each comes after, what it reads, and the key of all its outputs depend on.

Executed copies go to build/executed/ and carry their key. Prose is no part of it: the current text is merged with the
stored outputs when the book is staged, so a corrected sentence costs no execution.
"""

import copy
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from emo_ssl.said import SAID
from emo_ssl.utils import io as files
from emo_ssl.utils.io import UserError
from tools import profiles
from tools.reach import Graph

FOLDER, EXECUTED = "notebooks", "build/executed"
PARAMETERS, INJECTED = "parameters", "injected-parameters"
SET_UP = "setup"  # the cell that fetches and installs the project on Colab; elsewhere it does nothing
METADATA, AFTER, INPUTS = "emo_ssl", "after", "inputs"
SMALL = 4 << 20  # bytes; a fingerprint reads as many of every file
KEY, RUN = "emo_ssl_key", "emo_ssl_run"


@dataclass(frozen=True)
class Notebook:
    path: Path
    content: Any  # an nbformat.NotebookNode
    profile: str = profiles.USUAL
    parameters: dict = field(default_factory=dict)  # the profile's values, over the notebook's own
    after: tuple[str, ...] = ()  # notebooks whose outcome this one builds on
    inputs: tuple[str, ...] = ()  # files and folders that it reads, relative to the repository's root
    cell_limit: int = profiles.CELL_LIMIT

    @property
    def stem(self) -> str:
        return self.path.stem

    def code_cells(self) -> list:
        return [cell for cell in self.content.cells if cell.cell_type == "code"]


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def read(path: Path) -> Any:
    import nbformat

    try:
        content = nbformat.read(path, as_version=4)
        nbformat.validate(content)
    except (ValueError, AttributeError, nbformat.ValidationError) as problem:
        reason = (str(problem).splitlines() or ["empty"])[0]
        raise UserError(f"{path}: not a notebook ({reason}); restore it or write it anew.") from problem
    return content


def declared_parameters(notebook: Notebook) -> dict:
    """What the cell tagged `parameters` assigns."""
    cells = [cell for cell in notebook.code_cells() if PARAMETERS in tags(cell)]
    if len(cells) != 1:
        count = "no cell" if not cells else f"{len(cells)} cells"
        raise UserError(f"{notebook.path}: {count} tagged `{PARAMETERS}`, where its profile needs one; tag one cell.")
    return profiles.defaults_of(cells[0].source, notebook.path)


def find(root: Path, profile: str = profiles.USUAL) -> list[Notebook]:
    """Every notebook in the order in which to execute them. All that can be checked before that is checked here."""
    chosen = profiles.read(root, profile)
    paths = sorted((root / FOLDER).glob("*.ipynb"))
    strangers = sorted(set(chosen.parameters) - {path.stem for path in paths})
    if strangers:
        raise UserError(
            f"{chosen.path}: it names {', '.join(strangers)}, and {FOLDER}/ has no such notebook; correct the name."
        )
    return in_order([opened(root, path, chosen) for path in paths])


def opened(root: Path, path: Path, profile: profiles.Profile) -> Notebook:
    plain = Notebook(path, read(path), profile.name, cell_limit=profile.cell_limit)
    tagged = any(PARAMETERS in tags(cell) for cell in plain.code_cells())
    defaults = declared_parameters(plain) if tagged or profile.parameters.get(plain.stem) else {}
    after, inputs = declared_links(plain, root)
    return replace(plain, parameters=profile.of(plain.stem, defaults), after=after, inputs=inputs)


def declared_links(notebook: Notebook, root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`"emo_ssl": {"after": ["03-label-budgets"], "inputs": ["results/ravdess"]}` of the notebook's own metadata."""
    said = notebook.content.metadata.get(METADATA, {})
    lists = isinstance(said, dict) and all(
        isinstance(value, list) and all(isinstance(name, str) for name in value) for value in said.values()
    )
    if not lists or not set(said) <= {AFTER, INPUTS}:
        raise UserError(
            f'{notebook.path}: its metadata "{METADATA}" has to hold lists of names called "{AFTER}" and "{INPUTS}" '
            "and nothing else; correct it."
        )
    for name in said.get(INPUTS, []):
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts or not (root / inner).exists():
            raise UserError(
                f"{notebook.path}: its input {name} is not in {root}; restore it, or correct the notebook's metadata."
            )
    return tuple(said.get(AFTER, ())), tuple(said.get(INPUTS, ()))


def in_order(found: list[Notebook]) -> list[Notebook]:
    """By name, but each after those that it names."""
    stems = {notebook.stem for notebook in found}
    for notebook in found:
        unknown = sorted(set(notebook.after) - stems)
        if unknown:
            raise UserError(
                f"{notebook.path}: it comes after {', '.join(unknown)}, and {FOLDER}/ has no such notebook; correct "
                "the name in its metadata."
            )
    ordered, waiting = [], list(found)
    while waiting:
        done = {notebook.stem for notebook in ordered}
        ready = next((notebook for notebook in waiting if done.issuperset(notebook.after)), None)
        if ready is None:
            circle = ", ".join(notebook.stem for notebook in waiting)
            raise UserError(f"{waiting[0].path.parent}: {circle} wait for each other; correct their metadata.")
        ordered.append(ready)
        waiting.remove(ready)
    return ordered


# The key


def keys_of(root: Path, found: list[Notebook]) -> dict[str, str]:
    """The key of each notebook, which holds the keys of those that it comes after; `found` is in order."""
    graph, keys = Graph.of(root), {}
    for notebook in found:
        keys[notebook.stem] = key_of(root, notebook, graph, [keys[name] for name in notebook.after])
    return keys


def key_of(root: Path, notebook: Notebook, graph: Graph, upstream: list[str]) -> str:
    cells = notebook.code_cells()
    depends = {
        "cells": [[cell.source, sorted(tags(cell))] for cell in cells],
        "parameters": notebook.parameters,
        "code": graph.code_hash(root, [cell.source for cell in cells if SET_UP not in tags(cell)]),
        "inputs": {name: contents_of(root / name) for name in notebook.inputs},
        "named": named_data(root, notebook.parameters),
        "after": upstream,
    }
    return files.hash_of(depends)


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def contents_of(path: Path, hash_file: Callable[[Path], str] = sha256) -> dict[str, str]:
    """Every file of a folder, or that file alone, and its hash; what is hidden is none of it."""
    inside = {entry.relative_to(path): entry for entry in [path, *sorted(path.rglob("*"))] if entry.is_file()}
    shown = {name: entry for name, entry in inside.items() if not any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): hash_file(entry) for name, entry in shown.items()}


def named_data(root: Path, parameters: dict) -> dict[str, dict[str, str]]:
    """What a parameter points at, a prepared corpus for one: it may have gigabytes, so a fingerprint has to do."""
    named = {name: value for name, value in parameters.items() if isinstance(value, str) and value}
    paths = {name: root / os.path.expanduser(value) for name, value in named.items()}
    return {name: contents_of(path, quick_hash) for name, path in paths.items() if os.path.exists(path)}


def quick_hash(path: Path) -> str:
    return sha256(path) if path.stat().st_size < SMALL else files.fingerprint(path)


# Executed copies


def executed_path(root: Path, notebook: Notebook) -> Path:
    return root / EXECUTED / notebook.profile / notebook.path.name


def executed(root: Path, notebook: Notebook) -> Any | None:
    """The executed copy, whatever it was made of; None without one, or with a damaged one."""
    try:
        return read(executed_path(root, notebook))
    except (UserError, OSError):
        return None


def is_fresh(root: Path, notebook: Notebook, key: str) -> bool:
    page = executed(root, notebook)
    return page is not None and page.metadata.get(KEY) == key


def with_outputs(notebook: Notebook, executed: Any) -> Any:
    """The notebook as it stands now with the outputs of its execution, and the parameters that were injected."""
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    injected = [cell for cell in copy.deepcopy(ran) if INJECTED in tags(cell)]
    said = {"code_prompt_show": f"Set by the profile {notebook.profile}", "code_prompt_hide": "Hide"}
    for cell in injected:
        cell.metadata = {"tags": [*tags(cell), "hide-input"], "mystnb": said}  # papermill adds times to them
    outputs = iter([cell for cell in ran if INJECTED not in tags(cell)])
    page = copy.deepcopy(notebook.content)
    page.cells = []
    for cell in copy.deepcopy(notebook.content.cells):
        page.cells.append(cell)
        if cell.cell_type == "code":
            source = next(outputs)
            cell.outputs = [output for output in source.outputs if SAID not in output.get("metadata", {})]
            cell.execution_count = source.execution_count
            if PARAMETERS in tags(cell):
                page.cells += injected
    return page
