"""`emo-ssl doctor`: is this computer fit for the work, and if not, what to do. Needs no extra to say so."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType

PACKAGE = "emo-ssl"
# Preparing a corpus of any size stays under 2 GB, and so does training on the demonstration's scale
MEMORY_NEEDED = 2e9
# The demonstration corpus, its Segments, the executed notebooks and the rendered pages together
DISK_NEEDED = 2e9
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    text: str  # what was found, or what is wrong and what to do

    def line(self) -> str:
        return f"{'OK ' if self.ok else 'FIX'}  {self.name}: {self.text}"


def check_python(version: str, requires: str, bits: int) -> Check:
    from packaging.specifiers import SpecifierSet

    if version not in SpecifierSet(requires, prereleases=True):
        return Check("Python", False, f"{version} is here, {requires} is needed; install one and make .venv anew")
    if bits != 64:
        return Check("Python", False, "this is a 32-bit build and torch has none; install a 64-bit Python")
    return Check("Python", True, version)


def check_package(line: str, installed: str | None) -> Check:
    """One requirement such as `numpy>=2.1` against the version that is there, None where it is not."""
    from packaging.requirements import Requirement

    requirement = Requirement(line)
    wanted = f"{requirement.name}{requirement.specifier}"
    if installed is None:
        return Check(requirement.name, False, f"not installed; run: pip install '{wanted}'")
    if not requirement.specifier.contains(installed, prereleases=True):
        return Check(requirement.name, False, f"{installed} is here; run: pip install '{wanted}'")
    return Check(requirement.name, True, installed)


def needed_by(lines: Iterable[str], extra: str) -> list[str]:
    """The requirements that `extra` adds here; those of the core for the empty name."""
    from packaging.requirements import Requirement

    chosen = []
    for line in lines:
        marker = Requirement(line).marker
        in_core = marker is None or marker.evaluate({"extra": ""})
        if (not extra and in_core) or (extra and not in_core and marker.evaluate({"extra": extra})):
            chosen.append(line)
    return chosen


def check_extra(extra: str, lines: list[str], version_of: Callable[[str], str | None]) -> list[Check]:
    """An extra may be absent, in whole or in part; what is there of it has to fit."""
    from packaging.requirements import Requirement

    names = [Requirement(line).name for line in lines]
    found = [check_package(line, version_of(name)) for line, name in zip(lines, names, strict=True)]
    here = [check for check, name in zip(found, names, strict=True) if version_of(name) is not None]
    wrong = [check for check in here if not check.ok]
    if len(here) == len(found):
        said = "complete"
    else:
        missing = ", ".join(name for name in names if version_of(name) is None)
        said = f"optional, without {missing}; to add it: pip install '{PACKAGE}[{extra}]'"
    return wrong or [Check(f"extra {extra}", True, said)]


def check_packages(lines: list[str], extras: list[str], version_of: Callable[[str], str | None]) -> list[Check]:
    from packaging.requirements import Requirement

    core = [check_package(line, version_of(Requirement(line).name)) for line in needed_by(lines, "")]
    return core + [check for extra in extras for check in check_extra(extra, needed_by(lines, extra), version_of)]


def best_device(torch: ModuleType) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def describe_device(torch: ModuleType, device: str, has_nvidia_driver: bool) -> str:
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        return f"CUDA, {properties.name}, {properties.total_memory / 1e9:.0f} GB"
    if device == "mps":
        return "MPS, the GPU of an Apple computer"
    hint = "; an NVIDIA driver is here, so a CUDA build of torch would be faster" if has_nvidia_driver else ""
    return f"CPU, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads{hint}"


def check_device(torch: ModuleType, device: str, has_nvidia_driver: bool = False) -> Check:
    """A device counts when it multiplies two small matrices rightly, not when it is merely listed."""
    try:
        grid = torch.arange(16, dtype=torch.float32, device=device).reshape(4, 4)
        total = float((grid @ grid).sum())
    except Exception as problem:  # a broken driver may raise anything
        reason = str(problem).strip().splitlines() or [type(problem).__name__]
        return Check("device", False, f"{device} fails ({reason[0]}); install the torch build of your driver")
    if total != 3920.0:  # the column sums 24 28 32 36 times the row sums 6 22 38 54
        return Check("device", False, f"{device} multiplies wrongly (3920 became {total:g}); reinstall torch")
    return Check("device", True, describe_device(torch, device, has_nvidia_driver))


def cgroup_room(folder: Path = CGROUP) -> int | None:
    """Bytes left to a container, which the system's own count does not know of."""
    try:
        limit = (folder / "memory.max").read_text().strip()
        used = int((folder / "memory.current").read_text())
        return None if limit == "max" else max(int(limit) - used, 0)
    except (OSError, ValueError):
        return None


def free_memory() -> int | None:
    try:
        import psutil

        free = psutil.virtual_memory().available
    except ImportError:
        try:
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):  # Windows and macOS do not tell
            return None
    room = cgroup_room()
    return free if room is None else min(free, room)


def check_memory(free: int | None, needed: float = MEMORY_NEEDED) -> Check:
    if free is None:
        return Check("memory", True, f"unknown; pip install '{PACKAGE}[scaling]' lets it be seen")
    if free < needed:
        advice = f"{needed / 1e9:.0f} GB are needed; close other programs"
        return Check("memory", False, f"only {free / 1e9:.1f} GB are free, {advice}")
    return Check("memory", True, f"{free / 1e9:.1f} GB free")


def check_disk(folder: Path, free: int, writable: bool, needed: float = DISK_NEEDED) -> Check:
    if not writable:
        return Check("disk", False, f"{folder}: cannot write here; work in a folder of your own")
    if free < needed:
        advice = f"{needed / 1e9:.0f} GB are needed; free some space"
        return Check("disk", False, f"{folder}: only {free / 1e9:.1f} GB are free, {advice}")
    return Check("disk", True, f"{free / 1e9:.1f} GB free in {folder}")


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_installation() -> list[Check]:
    """Python and the packages, against what the installed emo-ssl says of itself."""
    if installed_version(PACKAGE) is None:
        return [Check(PACKAGE, False, "the package itself is not installed; run: pip install -e . in the repository")]
    if installed_version("packaging") is None:
        return [Check("packaging", False, "not installed; run: pip install packaging")]
    about = metadata.metadata(PACKAGE)
    lines, extras = metadata.requires(PACKAGE) or [], about.get_all("Provides-Extra") or []
    python = check_python(platform.python_version(), about["Requires-Python"], 64 if sys.maxsize > 2**32 else 32)
    return [python, *check_packages(lines, extras, installed_version)]


def find_device() -> Check:
    try:
        import torch
    except Exception as problem:  # a half-installed torch raises OSError as readily as ImportError
        return Check("device", False, f"torch does not load ({problem}); reinstall it")
    return check_device(torch, best_device(torch), shutil.which("nvidia-smi") is not None)


def checks() -> list[Check]:
    here = Path.cwd()
    disk = check_disk(here, shutil.disk_usage(here).free, os.access(here, os.W_OK))
    return [*check_installation(), find_device(), check_memory(free_memory()), disk]


def report(found: list[Check]) -> int:
    for check in found:
        print(check.line())
    wrong = sum(not check.ok for check in found)
    print("All is well." if not wrong else f"{wrong} to fix.")
    return 2 if wrong else 0
