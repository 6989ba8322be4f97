"""Execute the notebooks of the book, each once per key: what its outputs depend on, and nothing else.

Executed copies go to build/executed/ and carry their key. Prose is no part of it: the current text is merged with the
stored outputs when the book is staged, so a corrected sentence costs no execution.
"""

import ast
import copy
import hashlib
import os
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emo_ssl import files, progress
from emo_ssl.errors import UserError

FOLDER, PROFILES, EXECUTED, LOGS = "notebooks", "notebooks/profiles", "build/executed", "build/logs"
PARAMETERS, INJECTED = "parameters", "injected-parameters"
KEY = "emo_ssl_key"
CELL_LIMIT = 1800  # seconds; a cell that hangs has to end some day
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class NotebookFailed(Exception):
    """A cell raised, timed out or lost its kernel: what happened, where, and which log has the rest."""


@dataclass(frozen=True)
class Notebook:
    path: Path
    content: Any  # an nbformat.NotebookNode
    parameters: dict = field(default_factory=dict)  # the profile's values, over the notebook's own

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


def read_profile(path: Path) -> dict[str, dict]:
    """A profile maps a notebook's file name without .ipynb to {parameter: value}."""
    import yaml

    if not path.is_file():
        raise UserError(
            f"{path}: there is no such profile; restore it, or write one that maps notebooks to parameters."
        )
    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        files.hash_of(profile)
    except TypeError as problem:  # YAML knows dates and sets, a key is made of JSON
        raise UserError(f"{path}: a value is neither number, text, list nor mapping; put it in quotes.") from problem
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        reason = str(problem).replace("\n", " ")
        raise UserError(f"{path}: not readable as YAML ({reason}); mend it and run again.") from problem
    if not isinstance(profile, dict) or not all(isinstance(value, dict | None) for value in profile.values()):
        raise UserError(f"{path}: it has to map each notebook's name to its parameters, `01-data: {{seed: 0}}`.")
    return {str(stem): values or {} for stem, values in profile.items()}


def declared_parameters(notebook: Notebook) -> set[str]:
    """The names that the cell tagged `parameters` assigns."""
    cells = [cell for cell in notebook.code_cells() if PARAMETERS in tags(cell)]
    if len(cells) != 1:
        count = "no cell" if not cells else f"{len(cells)} cells"
        raise UserError(f"{notebook.path}: {count} tagged `{PARAMETERS}`, where its profile needs one; tag one cell.")
    try:
        statements = ast.parse(cells[0].source).body
    except SyntaxError as problem:
        raise UserError(
            f"{notebook.path}: its `{PARAMETERS}` cell is not Python ({problem.msg}); mend it."
        ) from problem
    targets = [target for line in statements for target in getattr(line, "targets", [getattr(line, "target", None)])]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def find(root: Path, profile: str = "demo") -> list[Notebook]:
    """Every notebook in the order of its name, with its parameters. All that can be checked is checked here."""
    values = read_profile(root / PROFILES / f"{profile}.yml")
    paths = sorted((root / FOLDER).glob("*.ipynb"))
    strangers = sorted(set(values) - {path.stem for path in paths})
    if strangers:
        raise UserError(
            f"{root / PROFILES / profile}.yml: it names {', '.join(strangers)}, and {FOLDER}/ has no such notebook; "
            "correct the name."
        )
    found = [Notebook(path, read(path), values.get(path.stem, {})) for path in paths]
    for notebook in found:
        unknown = sorted(set(notebook.parameters) - declared_parameters(notebook)) if notebook.parameters else []
        if unknown:
            raise UserError(
                f"{root / PROFILES / profile}.yml: {notebook.stem} has no parameter {', '.join(unknown)}; correct the "
                f"name, or add it to the notebook's `{PARAMETERS}` cell."
            )
    return found


def code_hash(root: Path) -> str:
    """sha256 over everything besides a notebook that its outputs may depend on: src/ and the locked versions."""
    digest = hashlib.sha256()
    for path in [*sorted((root / "src").rglob("*.py")), root / "requirements.lock"]:
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def key_of(notebook: Notebook, code: str) -> str:
    cells = [[cell.source, sorted(tags(cell))] for cell in notebook.code_cells()]
    return files.hash_of({"cells": cells, "parameters": notebook.parameters, "code": code})


def executed_path(root: Path, notebook: Notebook) -> Path:
    return root / EXECUTED / notebook.path.name


def is_fresh(root: Path, notebook: Notebook, key: str) -> bool:
    try:
        return read(executed_path(root, notebook)).metadata.get(KEY) == key
    except (UserError, OSError):
        return False


def execute(root: Path, notebook: Notebook, key: str, cell_limit: int = CELL_LIMIT) -> Path:
    """Run a notebook in the repository's root. The page appears when the last cell has succeeded, or not at all."""
    import nbformat

    page, log = executed_path(root, notebook), root / LOGS / f"{notebook.stem}.log"
    page.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    page.unlink(missing_ok=True)  # from here on the old outputs are wrong, whatever happens
    with log.open("w", encoding="utf-8") as stream:
        content = run_cells(root, notebook, stream, cell_limit)
    content.metadata[KEY] = key
    files.write_bytes(page, nbformat.writes(content).encode())
    return page


def kernel_settings(folder: str) -> Any:
    """Talk to the kernel through sockets in a folder that only this user can enter: TCP can be overheard."""
    from traitlets.config import Config

    if os.name == "nt":  # has no such sockets
        return Config()
    own = {"transport": "ipc", "ip": f"{folder}/k", "connection_file": f"{folder}/k.json"}
    return Config({"KernelManager": own})


def register_engine() -> str:
    """Papermill's own engine, but what the kernel's process says by itself goes to the log, not to the terminal."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class LoggedEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, log=None, cell_limit=None, **unused):
            with tempfile.TemporaryDirectory(prefix="emo-ssl-") as sockets:
                client = PapermillNotebookClient(
                    nb_man,
                    kernel_name=kernel_name,
                    timeout=cell_limit,
                    stdout_file=log,
                    stderr_file=log,
                    config=kernel_settings(sockets),
                )
                return client.execute(stdout=log, stderr=log)

    papermill_engines.register("emo-ssl", LoggedEngine)
    return "emo-ssl"


def run_cells(root: Path, notebook: Notebook, log, cell_limit: int) -> Any:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        return papermill.execute_notebook(
            copy.deepcopy(notebook.content),
            None,
            parameters=notebook.parameters,
            engine_name=register_engine(),
            kernel_name="python3",
            progress_bar=False,
            cwd=root,
            log=log,
            cell_limit=cell_limit,
        )
    except PapermillExecutionError as problem:
        trace = ANSI.sub("", "\n".join(problem.traceback))
        log.write(f"\nIn [{problem.exec_count}]:\n{problem.source}\n\n{trace}\n")
        reason = ANSI.sub("", f"{problem.ename}: {problem.evalue}")
        raise NotebookFailed(failure(notebook, problem.source, reason, log.name)) from problem
    except Exception as problem:  # a timeout, a dead kernel, a kernel that does not start: no two share a base class
        reason = ANSI.sub("", f"{type(problem).__name__}: {problem}").strip()
        log.write(f"\n{reason}\n")
        raise NotebookFailed(failure(notebook, "", reason, log.name)) from problem


def failure(notebook: Notebook, source: str, reason: str, log: str) -> str:
    cell = "".join(f"\n    {line}" for line in source.splitlines())
    place = " in this cell:" if cell else "."
    return f"{notebook.path} failed{place}{cell}\n{reason}\nThe whole story: {log}"


def with_outputs(notebook: Notebook, executed: Any) -> Any:
    """The notebook as it stands now with the outputs of its execution, and the parameters that were injected."""
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    injected = [cell for cell in ran if INJECTED in tags(cell)]
    outputs = iter([cell for cell in ran if INJECTED not in tags(cell)])
    page = copy.deepcopy(notebook.content)
    page.cells = []
    for cell in copy.deepcopy(notebook.content.cells):
        page.cells.append(cell)
        if cell.cell_type == "code":
            source = next(outputs)
            cell.outputs, cell.execution_count = source.outputs, source.execution_count
            if PARAMETERS in tags(cell):
                page.cells += injected
    return page


def execute_all(root: Path, found: list[Notebook], only: str | None = None) -> list[Notebook]:
    """Bring every notebook up to date, or those whose name starts with `only`; return those that still are not."""
    chosen = [notebook for notebook in found if notebook.stem.startswith(only or "")]
    if only and not chosen:
        raise UserError(f"{root / FOLDER}: no notebook starts with {only}; name one of those that are there.")
    code = code_hash(root)
    keys = {notebook.stem: key_of(notebook, code) for notebook in found}
    for notebook in chosen:
        if is_fresh(root, notebook, keys[notebook.stem]):
            print(f"{notebook.stem}: unchanged, not executed again")
            continue
        print(f"{notebook.stem}: executing …", flush=True)
        started = time.monotonic()
        execute(root, notebook, keys[notebook.stem])
        print(f"{notebook.stem}: done in {progress.duration(time.monotonic() - started)}")
    return [notebook for notebook in found if not is_fresh(root, notebook, keys[notebook.stem])]
