"""torch.optim.AdamW for many models side by side: clipped one by one, with rates that fall towards the input."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emo_ssl.core.model import RECURRENT

PRECISIONS = ("float32", "bfloat16")
MOST_STEPS, MOST_AT_ONCE, MOST_RATE = 10**7, 10**5, 1e38


def refuse_absurd(**settings: float) -> None:
    """Settings of training that no computer lives to see the end of, that fit no memory, or that are no numbers."""
    for name, value in settings.items():
        most = {"steps": MOST_STEPS, "rate": MOST_RATE}.get(name, MOST_AT_ONCE)
        if not 0 <= value <= most:
            raise ValueError(f"{name} is {value:g}, expected 0 to {most:g}")


@dataclass(frozen=True)
class AdamConfig:
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip: float = 1.0  # of a member's gradient norm
    warmup: float = 0.1  # share of the steps
    last: float = 0.02  # where the cosine ends, as a share of the peak

    def __post_init__(self):
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.warmup <= 1 and self.clip > 0):
            raise ValueError("beta1 and beta2 lie between 0 and 1, as warmup does, and clip is above 0")
        if min(self.epsilon, self.weight_decay, self.last) < 0:
            raise ValueError("epsilon, weight_decay and last are not below 0")


def schedule(step: int, steps: int, config: AdamConfig) -> float:
    """The learning rate at `step` as a share of its peak: a ramp, then a cosine."""
    ramp = max(1, round(config.warmup * steps))
    if step < ramp:
        return (step + 1) / ramp
    turn = (step - ramp) / max(1, steps - ramp)
    return config.last + (1 - config.last) * 0.5 * (1 + math.cos(math.pi * turn))


def decays(name: str) -> bool:
    """Matrices are decayed; biases, cut points and the mask token are not."""
    return "weight" in name.rsplit(".", 1)[-1] and "mask" not in name


def adamw(
    network: nn.Module, config: AdamConfig, rate: float, share_of: Callable[[str], float] = lambda name: 1.0
) -> torch.optim.AdamW:
    """A parameter group for each share of the peak rate, with and without decay; its own peak stands in `peak`."""
    groups: dict[tuple[float, bool], list[Tensor]] = {}
    for name, parameter in network.named_parameters():
        groups.setdefault((share_of(name), decays(name)), []).append(parameter)
    parts = [
        {"params": parameters, "peak": rate * share, "weight_decay": config.weight_decay if decayed else 0.0}
        for (share, decayed), parameters in groups.items()
    ]
    return torch.optim.AdamW(parts, rate, betas=(config.beta1, config.beta2), eps=config.epsilon, fused=True)


def gradients(network: nn.Module) -> Iterator[tuple[int, Tensor]]:
    """The first member that a gradient belongs to, and the gradient with a member axis."""
    for name, parameter in network.named_parameters():
        recurrent = RECURRENT.search(name)
        if parameter.grad is not None:
            yield (int(recurrent[1]), parameter.grad[None]) if recurrent else (0, parameter.grad)


@torch.no_grad()
def clip_members(network: nn.Module, members: int, limit: float) -> Tensor:
    """Scale each member's gradients so that their norm is at most `limit`; returns the norms (M,) before that."""
    parts = []
    for first, gradient in gradients(network):
        norm = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
        parts.append(norm if len(norm) == members else F.pad(norm, (first, members - first - 1)))
    norms = torch.linalg.vector_norm(torch.stack(parts), dim=0)
    scale = (limit / (norms + 1e-6)).clamp(max=1.0)
    for first, gradient in gradients(network):
        own = scale[first : first + len(gradient)]
        gradient.mul_(own.view(-1, *[1] * (gradient.dim() - 1)))
    return norms


def step(optimiser: torch.optim.Optimizer, share: float) -> None:
    """One step at `share` of each group's peak rate; gradients are gone afterwards."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * share
    optimiser.step()
    optimiser.zero_grad()
