"""Several processes that train one model, as torchrun starts them: equal weights, and of every batch a part each.

Only the first writes. All see the same folders. Without torchrun a process is alone, and nothing here does anything.
"""

import atexit
import contextlib
import os
import re
from collections.abc import Iterator

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from emo_ssl.utils.io import UserError

LOST = re.compile("gloo|nccl|peer|connection|timed out|broken pipe", re.IGNORECASE)


class Parallel(DistributedDataParallel):
    @property
    def encoder(self) -> nn.Module:
        return self.module.encoder


def world() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def join(device: torch.device) -> torch.device:
    """Meet the other processes; the device of this one."""
    if world() == 1:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)
    return device


@contextlib.contextmanager
def together(folder: object) -> Iterator[None]:
    """Where a process is lost all others end, each with this sentence."""
    try:
        yield
    except RuntimeError as problem:
        if world() == 1 or not LOST.search(str(problem)):
            raise
        raise UserError(
            f"{folder}: another process of this run ended; give the same command again to go on from the last "
            "checkpoint, with as many processes as you like."
        ) from problem


def told(answer: bool, device: torch.device) -> bool:
    """What the first process says; where it was refused, the others end without a word."""
    if world() == 1:
        return answer
    said = torch.tensor(int(answer), device=device)
    try:
        distributed.broadcast(said, 0)
    except RuntimeError as problem:
        raise SystemExit(2) from problem
    return bool(said)


def summed(values: Tensor) -> Tensor:
    """The sum over all processes."""
    if world() > 1:
        distributed.all_reduce(values)
    return values


def weighed(loss: Tensor, count: Tensor) -> Tensor:
    """The mean over `count` values as its part of the mean over those of all processes, whose mean DDP takes."""
    return loss if world() == 1 else loss * count / (summed(count.clone()) / world()).clamp(min=1)
