"""The notebooks of the book: what their outputs depend on, and their execution by papermill.

An executed copy lies in build/executed/PROFILE/ with the key of all that its outputs depend on: the code cells, the
parameters, the package, the data it reads, the locked versions. As long as the key is the same, the copy is. Prose is
no part of the key: it is merged with the outputs when the book is staged, so a corrected sentence costs no execution.

As many notebooks run at once as there are cores, in the order of the profile; what one needs of another it waits for
(`emo_ssl.notebook`).
"""

import ast
import copy
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from emo_ssl.utils import io as files
from emo_ssl.utils import provenance
from emo_ssl.utils.io import UserError
from emo_ssl.utils.values import read as read_plain

FOLDER, PROFILES, PACKAGE, LOCK = "notebooks", "notebooks/profiles", "src/emo_ssl", "requirements.lock"
EXECUTED, UNFINISHED = "build/executed", "build/logs"
PARAMETERS, INJECTED = "parameters", "injected-parameters"  # tags
SET_UP = "setup"  # the tag of the cell that installs the project on Colab; elsewhere it does nothing
NOT_READ = ("cli.py", "doctor.py", "__main__.py")  # of the package, by any notebook; the rest is read by each
RECORD = "emo_ssl"  # in the metadata of an executed copy
PROFILE = "profile"  # the parameter that takes the profile's name
LIMIT, CELL_LIMIT = "cell_limit", 1800  # seconds; a cell that hangs has to end some day
RECORDED = re.compile(r"\bresults(?:/[\w.-]+)+|\b_config\.yml")  # files of the repository that a cell names
# jsonschema compiles a grammar of addresses for three seconds where it finds one; no notebook's schema asks for it
sys.modules.setdefault("rfc3987_syntax", None)
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Notebook:
    path: Path
    content: Any  # an nbformat.NotebookNode
    parameters: dict  # the profile's values, over the notebook's own
    cell_limit: int
    executed: Path  # where its executed copy lies, if there is one
    key: str

    @property
    def name(self) -> str:
        return self.path.stem


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(content: Any) -> list:
    return [cell for cell in content.cells if cell.cell_type == "code"]


def read(path: Path) -> Any:
    import nbformat

    try:
        content = nbformat.read(path, as_version=4)
        nbformat.validate(content)
    except (ValueError, AttributeError, nbformat.ValidationError) as problem:
        reason = (str(problem).splitlines() or ["empty"])[0]
        raise UserError(f"{path}: not a notebook ({reason}); restore it or write it anew.") from problem
    return content


def find(root: Path, profile: str) -> list[Notebook]:
    """Every notebook, first those of the profile. What can be checked before the first one runs is checked here."""
    import yaml

    path = root / PROFILES / f"{profile}.yml"
    known = sorted(entry.stem for entry in (root / PROFILES).glob("*.yml"))
    if profile not in known:
        raise UserError(f"{path}: there is no such profile; take one of {', '.join(known)}.")

    def parsed(text: str) -> object:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as problem:
            raise ValueError(" ".join(str(problem).split())) from problem

    settings = read_plain(path, parsed, "YAML", object, "mend it")
    limit = settings.pop(LIMIT, CELL_LIMIT) if isinstance(settings, dict) else None
    if limit is None or not all(isinstance(values, dict) for values in settings.values()):
        raise UserError(f"{path}: it has to map notebooks to their parameters, `01-data: {{seed: 0}}`; correct it.")
    found, order = [], {name: place for place, name in enumerate(settings)}
    for path in sorted((root / FOLDER).glob("*.ipynb"), key=lambda path: (order.get(path.stem, len(order)), path)):
        content, copy_path = read(path), root / EXECUTED / profile / path.name
        values = checked_parameters(path, content, profile, settings.pop(path.stem, {}))
        found.append(Notebook(path, content, values, limit, copy_path, key_of(root, content, values)))
    if settings:
        raise UserError(f"{profile}.yml: {FOLDER}/ has no notebook {', '.join(settings)}; correct the name.")
    return found


def checked_parameters(path: Path, content: Any, profile: str, given: dict) -> dict:
    """papermill only warns of a name that the notebook does not know, and takes a value of any type."""
    code = "\n".join(cell.source for cell in code_cells(content) if PARAMETERS in tags(cell))
    lines = [line for line in ast.parse(code).body if isinstance(line, ast.Assign)]
    declared = {target.id: ast.literal_eval(line.value) for line in lines for target in line.targets}
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise UserError(f"{profile}.yml: {path.name} has no parameter {', '.join(unknown)}; correct the name.")
    for name, value in given.items():
        default = declared[name]
        if type(value) is not type(default) and not (type(default) is float and type(value) is int):
            raise UserError(f"{profile}.yml: {name} of {path.name} is {value!r}, no {type(default).__name__}; mend it.")
    return given | ({PROFILE: profile} if PROFILE in declared else {})


# The key


def key_of(root: Path, content: Any, parameters: dict) -> str:
    cells = [cell for cell in code_cells(content) if SET_UP not in tags(cell)]
    sources = [cell.source for cell in cells]
    package = [path for path in sorted((root / PACKAGE).rglob("*.py")) if path.name not in NOT_READ]
    return files.hash_of(
        {
            "cells": [[cell.source, sorted(tags(cell))] for cell in cells],
            "parameters": parameters,
            "package": [[path.name, path.read_text(encoding="utf-8")] for path in package],
            "data": data_read(root, sources, parameters),
            "lock": (root / LOCK).read_text(encoding="utf-8"),
        }
    )


def data_read(root: Path, sources: list[str], parameters: dict) -> dict[str, str]:
    """File -> fingerprint, as a corpus may have gigabytes, of results that a cell names and what a parameter names."""
    named = {name for source in sources for name in RECORDED.findall(source)}
    named |= {os.path.expanduser(value) for value in parameters.values() if isinstance(value, str) and value}
    paths = [path for name in named for path in (root / name, *(root / name).rglob("*")) if path.is_file()]
    return {os.path.relpath(path, root): files.fingerprint(path) for path in sorted(paths)}


# Execution


def execute_all(found: list[Notebook], root: Path, only: str = "") -> tuple[list[str], list[str]]:
    """Bring up to date all, or those whose name begins with `only`: names of those that failed, and not asked for."""
    if not any(notebook.name.startswith(only) for notebook in found):
        raise UserError(f"{root / FOLDER}: no notebook begins with {only}; name one of those that are there.")
    failed, left, stale = [], [], []
    for notebook in found:
        if is_fresh(notebook):
            print(f"{notebook.name}: unchanged, not executed again")
        else:
            (stale if notebook.name.startswith(only) else left).append(notebook)
    for notebook, reason in failures(stale, root):
        unfinished = root / UNFINISHED / notebook.path.name
        print(f"{reason}\n{notebook.path} failed; as far as it came: {unfinished}", file=sys.stderr, flush=True)
        failed.append(notebook.name)
    return failed, [notebook.name for notebook in left]


def failures(stale: list[Notebook], root: Path) -> Iterator[tuple[Notebook, str]]:
    """Execute them, each in a process of its own, as papermill can do one at a time; those that failed, and why."""
    import joblib

    from tools import kernels

    cores = joblib.cpu_count()
    workers = min(cores, len(stale)) or 1
    os.environ["TQDM_DISABLE"] = "1"  # kernels inherit it: pages show results, not the bars on the way there
    os.environ.setdefault("OMP_NUM_THREADS", str(cores // workers))  # kernels that run side by side share the cores
    context = multiprocessing.get_context("forkserver" if kernels.CAN_FORK else "spawn")
    if kernels.CAN_FORK:
        os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as ipykernel would
        sources = [cell.source for notebook in stale for cell in code_cells(notebook.content)]
        os.environ[kernels.PRELOADED] = " ".join([*kernels.ALWAYS, *kernels.imported_by(sources)])
        context.set_forkserver_preload([__name__, "tools.preload"])
    waiting, running = list(stale), {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                answer, sender = context.Pipe(duplex=False)
                process = context.Process(target=attempt, args=(waiting[0], root, sender))
                process.start()
                sender.close()
                running[answer] = process, waiting.pop(0)
            for answer in connection.wait(running):
                process, notebook = running.pop(answer)
                try:
                    reason = answer.recv()
                except EOFError:
                    reason = "its process was killed"
                process.join()
                if reason:
                    yield notebook, reason
    finally:
        for process, _ in running.values():
            process.kill()  # its kernel ends when it finds itself alone


def attempt(notebook: Notebook, root: Path, answer: connection.Connection) -> None:
    """A whole process: it ends with the one that started it, which gets the Ctrl-C."""
    from tqdm import tqdm

    from tools import kernels

    os.chdir(root)
    if kernels.CAN_FORK:
        kernels.fork_one()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=lambda: os._exit(multiprocessing.parent_process().join() or 1), daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own would leave a semaphore behind
    print(f"{notebook.name}: executing …", flush=True)
    started = time.monotonic()
    try:
        execute(notebook, root)
    except Exception as problem:  # whatever it is, a dead kernel or a timeout, it costs this page only
        answer.send(ANSI.sub("", f"{type(problem).__name__}: {problem}"))
    else:
        print(f"{notebook.name}: done in {time.monotonic() - started:.0f} s", flush=True)
        answer.send("")


def is_fresh(notebook: Notebook) -> bool:
    try:
        return read(notebook.executed).metadata.get(RECORD, {}).get("key") == notebook.key
    except (UserError, OSError):
        return False


def execute(notebook: Notebook, root: Path) -> None:
    """Run it in the repository's root. The copy appears when the last cell has succeeded, or not at all."""
    import nbformat
    import papermill
    from traitlets.config import Config

    # After a timeout papermill's own file says that all went well, so it is kept apart: for whoever looks for the fault
    unfinished = root / UNFINISHED / notebook.path.name
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    notebook.executed.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    content = papermill.execute_notebook(
        copy.deepcopy(notebook.content),
        str(unfinished),
        parameters=notebook.parameters,
        kernel_name="python3",
        cwd=str(root),
        execution_timeout=notebook.cell_limit,
        config=Config(KernelManager={"transport_encryption": "auto"}),  # or other users could read what goes over TCP
        progress_bar={"desc": notebook.name, "disable": None},  # None: only on a terminal
    )
    profile, seconds = notebook.executed.parent.name, time.monotonic() - started
    content.metadata[RECORD] = {
        "key": notebook.key,
        "run": {"profile": profile, "seconds": seconds, "versions": provenance.versions()},
    }
    files.write_bytes(notebook.executed, nbformat.writes(content).encode())
    unfinished.unlink()
