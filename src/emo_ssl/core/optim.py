"""AdamW with a member axis: every member has its own clipping and learning rate, and never hears of the others.

All parameters of a member lie in one row of a matrix (M, P), so that a step is a dozen operations whatever the model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from emo_ssl.core.model import Params

PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class AdamConfig:
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8
    weight_decay: float = 0.01
    clip: float = 1.0  # of a member's gradient norm
    warmup: float = 0.1  # share of the steps
    last: float = 0.02  # where the cosine ends, as a share of the peak


def schedule(step: int, steps: int, config: AdamConfig) -> float:
    """The learning rate at `step` as a share of its peak: a ramp, then a cosine."""
    ramp = max(1, round(config.warmup * steps))
    if step < ramp:
        return (step + 1) / ramp
    turn = (step - ramp) / max(1, steps - ramp)
    return config.last + (1 - config.last) * 0.5 * (1 + math.cos(math.pi * turn))


def decays(name: str) -> bool:
    """Matrices are decayed; biases, norms, cut-points and the mask token are not."""
    return name.rsplit(".", 1)[-1].startswith("weight")


class Adam:
    """Owns the parameters it is given: `params` become views of one matrix, updated in place by `step`."""

    def __init__(self, params: Params, config: AdamConfig, rate_of: Mapping[str, float] | None = None):
        self.config, self.count = config, 0
        self.flat = torch.cat([p.detach().flatten(1) for p in params.values()], 1)
        self.first, self.second = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        sizes = [p[0].numel() for p in params.values()]
        repeats = torch.tensor(sizes)
        share = torch.tensor([(rate_of or {}).get(name, 1.0) for name in params]).repeat_interleave(repeats)
        decay = torch.tensor([float(decays(name)) for name in params]).repeat_interleave(repeats)
        self.share, self.decay = share.to(self.flat), (share * decay * config.weight_decay).to(self.flat)
        pieces = self.flat.split(sizes, 1)
        self.params = {
            name: piece.view(p.shape).detach().requires_grad_()
            for (name, p), piece in zip(params.items(), pieces, strict=True)
        }

    @torch.no_grad()
    def step(self, gradients: tuple[Tensor, ...], rate: Tensor) -> Tensor:
        """gradients in the order of `params`, rate (M,) -> the members' gradient norms (M,) before clipping."""
        c = self.config
        gradient = torch.cat([g.flatten(1) for g in gradients], 1)
        norm = gradient.norm(dim=1)
        gradient *= (c.clip / (norm + 1e-12)).clamp(max=1.0)[:, None]
        self.count += 1
        self.first.lerp_(gradient, 1 - c.beta1)
        self.second.mul_(c.beta2).addcmul_(gradient, gradient, value=1 - c.beta2)
        correction = math.sqrt(1 - c.beta2**self.count) / (1 - c.beta1**self.count)
        move = self.second.sqrt().add_(c.epsilon)
        torch.div(self.first, move, out=move)
        move.mul_(correction * self.share).addcmul_(self.flat, self.decay)
        self.flat.addcmul_(move, -rate[:, None])
        return norm

    def state(self) -> dict[str, Tensor]:
        return {"flat": self.flat, "first": self.first, "second": self.second}

    def restore(self, state: Mapping[str, Tensor], count: int) -> None:
        for name, mine in self.state().items():
            mine.copy_(state[name])
        self.count = count
