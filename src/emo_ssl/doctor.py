"""`emo-ssl doctor`: is this computer fit for the work, and if not, what to do. Needs no extra to say so."""

import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement

NEEDED = 2e9  # bytes of disk, for the demonstration: its corpus, training, notebooks and pages

Finding = tuple[bool, str]  # is it well; what was found, or what is wrong and what to do


def check_packages(lines: Iterable[str], installed: Mapping[str, str]) -> Iterator[Finding]:
    """The core's packages have to be there, those of extras may be absent; what is there has to fit.

    lines: requirements such as `numpy>=2.1` and `papermill>=2.6; extra == 'book'`; installed: name -> version
    """
    absent = []
    for requirement in {wanted.name: wanted for wanted in map(Requirement, lines)}.values():
        name, here = requirement.name, installed.get(requirement.name)
        if here is None and requirement.marker is not None:
            absent.append(name)
        elif here is not None and requirement.specifier.contains(here, prereleases=True):
            yield True, f"{name}: {here}"
        else:
            yield False, f"{name}: {here or 'not installed'}; run: pip install '{name}{requirement.specifier}'"
    if absent:
        yield True, f"optional and not installed: {', '.join(absent)}; pyproject.toml names the extra of each"


def check_device(device: str | None = None) -> Finding:
    """A device counts when it multiplies two small matrices rightly, not when it is merely listed."""
    try:
        import torch

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        grid = torch.arange(16, dtype=torch.float32, device=device).reshape(4, 4)
        if float((grid @ grid).sum()) != 3920:  # the column sums 24 28 32 36 times the row sums 6 22 38 54
            raise ValueError("it multiplies wrongly")
    except Exception as problem:  # a broken driver, or half a torch, may raise anything
        reason = str(problem).strip().splitlines() or [type(problem).__name__]
        return False, f"device: {device or 'torch'} fails ({reason[0]}); install the torch of your driver anew"
    return True, f"device: {device}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"


def check_disk(free: float) -> Finding:
    if free < NEEDED:
        return False, f"disk: only {free / 1e9:.1f} GB are free, {NEEDED / 1e9:.0f} GB are needed; free some"
    return True, f"disk: {free / 1e9:.1f} GB free"


def findings() -> Iterator[Finding]:
    yield True, f"Python: {platform.python_version()}"
    installed = {found.metadata["Name"].lower(): found.version for found in metadata.distributions()}
    yield from check_packages(metadata.requires("emo-ssl"), installed)
    yield check_device()
    yield check_disk(shutil.disk_usage(".").free)


def report(found: Iterable[Finding]) -> int:
    wrong = 0
    for well, text in found:
        print(f"{'OK ' if well else 'FIX'}  {text}")
        wrong += not well
    print(f"{wrong} to fix." if wrong else "All is well.")
    return 2 if wrong else 0
