"""`emo-ssl doctor`: is this computer fit for the work, and if not, what to do. Needs no extra to say so."""

import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

PACKAGE = "emo-ssl"
NEEDED = 2e9  # bytes of memory, and of disk, for the demonstration: its corpus, training, notebooks and pages
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    text: str  # what was found, or what is wrong and what to do

    def line(self) -> str:
        return f"{'OK ' if self.ok else 'FIX'}  {self.name}: {self.text}"


def check_package(requirement: Requirement, installed: str | None) -> Check:
    wanted = f"{requirement.name}{requirement.specifier}"
    if installed is None:
        return Check(requirement.name, False, f"not installed; run: pip install '{wanted}'")
    if not requirement.specifier.contains(installed, prereleases=True):
        return Check(requirement.name, False, f"{installed} is here; run: pip install '{wanted}'")
    return Check(requirement.name, True, installed)


def check_packages(lines: Sequence[str], extras: Sequence[str], version_of: Callable[[str], str | None]) -> list[Check]:
    """Every package of the core has to be there and to fit; an extra may be absent, but what is there of it has to fit.

    lines: requirements such as `numpy>=2.1` and `papermill>=2.6; extra == 'book'`
    """

    def belongs(requirement: Requirement, extra: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})

    requirements = [Requirement(line) for line in lines]
    checks = [check_package(r, version_of(r.name)) for r in requirements if belongs(r, "")]
    for extra in extras:
        own = [r for r in requirements if belongs(r, extra) and not belongs(r, "")]
        missing = [r.name for r in own if version_of(r.name) is None]
        here = [check_package(r, version_of(r.name)) for r in own if r.name not in missing]
        advice = f"optional, without {', '.join(missing)}; to add it: pip install '{PACKAGE}[{extra}]'"
        complete = Check(f"extra {extra}", True, advice if missing else "complete")
        checks += [check for check in here if not check.ok] or [complete]
    return checks


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_installation() -> list[Check]:
    """The packages, against what the installed emo-ssl asks for; pip has refused any Python that does not fit."""
    if installed_version(PACKAGE) is None:
        return [Check(PACKAGE, False, "the package itself is not installed; run: pip install -e . in the repository")]
    python = Check("Python", True, platform.python_version())
    extras = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    return [python, *check_packages(metadata.requires(PACKAGE) or [], extras, installed_version)]


def check_device(device: str | None = None) -> Check:
    """A device counts when it multiplies two small matrices rightly, not when it is merely listed."""
    try:
        import torch

        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        grid = torch.arange(16, dtype=torch.float32, device=device).reshape(4, 4)
        total = float((grid @ grid).sum())
    except Exception as problem:  # a broken driver, or half a torch, may raise anything
        reason = str(problem).strip().splitlines() or [type(problem).__name__]
        return Check("device", False, f"{device or 'torch'} fails ({reason[0]}); install the torch of your driver anew")
    if total != 3920:  # the column sums 24 28 32 36 times the row sums 6 22 38 54
        return Check("device", False, f"{device} multiplies wrongly (3920 became {total:g}); reinstall torch")
    if device == "cuda":
        return Check("device", True, f"CUDA, {torch.cuda.get_device_name()}")
    hint = "; an NVIDIA driver is here, so a CUDA build of torch would be faster" if shutil.which("nvidia-smi") else ""
    return Check("device", True, f"CPU, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads{hint}")


def container_memory(folder: Path = CGROUP) -> float:
    """Bytes left to a container, which the system's own count does not know of."""
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit, which reads "max"
        return float("inf")


def free_memory() -> float | None:
    try:
        import psutil
    except ImportError:
        return None
    return min(psutil.virtual_memory().available, container_memory())


def check_room(name: str, free: float | None, advice: str) -> Check:
    if free is None:
        return Check(name, True, f"unknown; pip install '{PACKAGE}[scaling]' shows it")
    if free < NEEDED:
        return Check(name, False, f"only {free / 1e9:.1f} GB are free, {NEEDED / 1e9:.0f} GB are needed; {advice}")
    return Check(name, True, f"{free / 1e9:.1f} GB free")


def check_disk(folder: Path) -> Check:
    if not os.access(folder, os.W_OK):
        return Check("disk", False, f"{folder}: cannot write here; work in a folder of your own")
    return check_room("disk", shutil.disk_usage(folder).free, "free some space")


def checks() -> list[Check]:
    memory = check_room("memory", free_memory(), "close other programs")
    return [*check_installation(), check_device(), memory, check_disk(Path.cwd())]


def report(found: Sequence[Check]) -> int:
    for check in found:
        print(check.line())
    wrong = sum(not check.ok for check in found)
    print("All is well." if not wrong else f"{wrong} to fix.")
    return 2 if wrong else 0
