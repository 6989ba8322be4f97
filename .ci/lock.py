"""Print requirements.lock: exact pins of everything that the project needs, as installed beside the running Python.

`make lock` runs it in a fresh environment. It walks from the requirements of pyproject.toml through the metadata of
the installed packages, so whatever else is in that environment stays out. It needs nothing but packaging.
"""

import importlib.metadata
import platform
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

EXTRAS = ("book", "scaling", "dev")
# A GPU's companions of torch differ from machine to machine: torch itself asks for the right ones
OWN_BUILD = ("nvidia-", "cuda-", "triton", "pytorch-triton")
HEADER = f"""\
# Exact versions of everything that the core and the extras {", ".join(EXTRAS)} need: two people, one environment.
# Made by `make lock` (Python {platform.python_version()}, {sys.platform}) from the bounds in pyproject.toml.
# No index and no build suffix is named here: any package index serves it, and a CPU and a CUDA build of torch share
# their pin. For all but torch hashes.lock says what the files have to be. What another system needs
# besides (a GPU's libraries, say) its own packages ask for.
"""


def declared(pyproject: Path) -> list[Requirement]:
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    lines = project["build-system"]["requires"] + project["project"]["dependencies"]
    for extra in EXTRAS:
        lines += project["project"]["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def applies(requirement: Requirement, extras: set[str]) -> bool:
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""})


def closure(requirements: list[Requirement]) -> dict[str, str]:
    """Canonical name -> version of every installed package reachable from `requirements`."""
    pins, seen, queue = {}, set(), list(requirements)
    while queue:
        requirement = queue.pop()
        name, extras = canonicalize_name(requirement.name), set(requirement.extras)
        if (name, *sorted(extras)) in seen or name.startswith(OWN_BUILD):
            continue
        seen.add((name, *sorted(extras)))
        found = importlib.metadata.distribution(name)
        pins[name] = Version(found.version).public
        children = [Requirement(line) for line in found.requires or []]
        queue += [child for child in children if applies(child, extras)]
    return pins


if __name__ == "__main__":
    pins = closure(declared(Path(__file__).parents[1] / "pyproject.toml"))
    print(HEADER + "\n".join(f"{name}=={version}" for name, version in sorted(pins.items())))
