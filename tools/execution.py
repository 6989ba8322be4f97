"""Execute the notebooks of the book that changed. What fails costs its own page and those that build on it."""

import copy
import os
import re
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emo_ssl.utils import io as files
from emo_ssl.utils import progress, provenance
from emo_ssl.utils.io import UserError
from tools import notebooks, profiles
from tools.notebooks import Notebook
from tools.watch import Watch

LOGS = "build/logs"
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class NotebookFailed(Exception):
    """A cell raised, timed out or lost its kernel: what happened, where, and which log has the rest."""


@dataclass
class Outcome:
    failed: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # not executed, for they build on one that failed
    stale: list[str] = field(default_factory=list)  # neither executed nor asked for


def execute_all(root: Path, found: list[Notebook], only: str | None = None) -> Outcome:
    """Bring every notebook up to date, or those whose name starts with `only` and what they build on."""
    chosen = selected(root, found, only)
    keys = notebooks.keys_of(root, found)
    stale = [notebook for notebook in found if not notebooks.is_fresh(root, notebook, keys[notebook.stem])]
    due = [notebook for notebook in stale if notebook.stem in chosen]
    before = {notebook.stem: last_seconds(root, notebook) for notebook in due}
    outcome = Outcome(stale=[notebook.stem for notebook in stale if notebook.stem not in chosen])
    for notebook in found:
        if notebook.stem in chosen and notebook not in stale:
            print(f"{notebook.stem}: unchanged, not executed again")
    for place, notebook in enumerate(due):
        missing = [name for name in notebook.after if name in outcome.failed + outcome.waiting]
        if missing:
            print(f"{notebook.stem}: not executed, it builds on {', '.join(missing)}", file=sys.stderr)
            outcome.waiting.append(notebook.stem)
            continue
        label = f"{notebook.stem} ({place + 1} of {len(due)})"
        print(f"{label}: executing …", flush=True)
        later = total(before[later.stem] for later in due[place + 1 :])
        try:
            seconds = execute(root, notebook, keys[notebook.stem], label, before[notebook.stem], later)
        except NotebookFailed as problem:
            print(problem, file=sys.stderr, flush=True)
            outcome.failed.append(notebook.stem)
        else:
            print(f"{notebook.stem}: done in {progress.duration(seconds)}", flush=True)
    return outcome


def selected(root: Path, found: list[Notebook], only: str | None) -> set[str]:
    chosen = {notebook.stem for notebook in found if notebook.stem.startswith(only or "")}
    if only and not chosen:
        raise UserError(f"{root / notebooks.FOLDER}: no notebook starts with {only}; name one of those that are there.")
    for notebook in reversed(found):
        if notebook.stem in chosen:
            chosen.update(notebook.after)
    return chosen


def last_seconds(root: Path, notebook: Notebook) -> float | None:
    page = notebooks.executed(root, notebook)
    return page.metadata.get(notebooks.RUN, {}).get("seconds") if page else None


def total(values: Iterable[float | None]) -> float | None:
    known = list(values)
    return None if None in known else sum(known)


def execute(
    root: Path, notebook: Notebook, key: str, label: str = "", before: float | None = None, later: float | None = None
) -> float:
    """Run a notebook in the repository's root. The page appears when the last cell has succeeded, or not at all."""
    import nbformat

    page, log = notebooks.executed_path(root, notebook), root / LOGS / f"{notebook.stem}.log"
    page.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    page.unlink(missing_ok=True)  # from here on the old outputs are wrong, whatever happens
    cells = sum(bool(cell.source.strip()) for cell in notebook.code_cells()) + bool(notebook.parameters)
    with log.open("w", encoding="utf-8") as stream, Watch(label or notebook.stem, cells, before, later) as watch:
        content = run_cells(root, notebook, stream, watch)
        seconds = watch.elapsed()
    content.metadata[notebooks.KEY] = key
    content.metadata[notebooks.RUN] = {"seconds": seconds, "profile": notebook.profile, **surroundings()}
    files.write_bytes(page, nbformat.writes(content).encode())
    return seconds


def surroundings() -> dict:
    """The versions and the device that a kernel of this environment computes with."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"versions": provenance.versions(), "hardware": provenance.hardware(device)}


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
        def execute_managed_notebook(cls, nb_man, kernel_name, log=None, watch=None, cell_limit=None, **unused):
            with tempfile.TemporaryDirectory(prefix="emo-ssl-") as sockets:
                client = PapermillNotebookClient(
                    nb_man,
                    kernel_name=kernel_name,
                    timeout=cell_limit,
                    stdout_file=log,
                    stderr_file=log,
                    on_cell_execute=watch and watch.cell,
                    config=kernel_settings(sockets),
                )
                return client.execute(stdout=log, stderr=log)

    papermill_engines.register("emo-ssl", LoggedEngine)
    return "emo-ssl"


def run_cells(root: Path, notebook: Notebook, log, watch: Watch) -> Any:
    import papermill
    from papermill.exceptions import PapermillExecutionError

    os.environ["TQDM_DISABLE"] = "1"  # the kernel inherits it: pages show results, not bars
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
            watch=watch,
            cell_limit=notebook.cell_limit,
        )
    except PapermillExecutionError as problem:
        trace = ANSI.sub("", "\n".join(problem.traceback))
        reason = ANSI.sub("", f"{problem.ename}: {problem.evalue}")
        raise failure(notebook, watch, reason, trace, log) from problem
    except Exception as problem:  # a timeout, a dead kernel, a kernel that does not start: no two share a base class
        raise failure(notebook, watch, reason_of(problem, notebook), "", log) from problem


def reason_of(problem: Exception, notebook: Notebook) -> str:
    kind = type(problem).__name__
    if kind == "CellTimeoutError":
        limit = progress.duration(notebook.cell_limit)
        return f"{kind}: it ran for more than {limit}, which is the profile's `{profiles.LIMIT}`."
    if kind == "DeadKernelError":
        return f"{kind}: its process was killed, by the system when memory runs out, or ended itself."
    return ANSI.sub("", f"{kind}: {problem}").strip()


def failure(notebook: Notebook, watch: Watch, reason: str, trace: str, log) -> NotebookFailed:
    cell = "".join(f"\n    {line}" for line in watch.source.splitlines())
    place = f" in cell {watch.at} of {watch.cells}:{cell}" if watch.at else " before its first cell."
    log.write(f"\nCell {watch.at} of {watch.cells}:\n{watch.source}\n\n{trace or reason}\n")
    return NotebookFailed(f"{notebook.path} failed{place}\n{reason}\nThe whole story: {log.name}")
