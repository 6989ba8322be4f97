"""Where a result comes from: commit, versions, hardware, command."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGES = ("emo-ssl", "torch", "numpy", "pandas", "scipy", "h5py", "safetensors")


def commit() -> str:
    """The commit of the checkout that this library runs from, with `+` where files were changed; "" outside one."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10
        ).stdout.strip()

    try:
        head = git("rev-parse", "HEAD")
        return head + ("+" if head and git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def hardware(device: str = "cpu") -> dict[str, object]:
    import torch

    on_gpu = device.startswith("cuda")
    name = torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine()
    return {"device": device, "name": name, "cores": os.cpu_count(), "threads": torch.get_num_threads()}


def provenance(device: str = "cpu") -> dict[str, object]:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"commit": commit(), "versions": versions(), "hardware": hardware(device), "command": command}
