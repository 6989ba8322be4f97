"""AdamW with a member axis against torch's own, a member at a time."""

import math
from itertools import pairwise

import pytest
import torch

from emo_ssl.core.optim import Adam, AdamConfig, decays, schedule

SHAPES = {"token.weight": (4, 3), "token.bias": (3,), "layer0.feed.norm.scale": (3,), "head.cuts": (2, 2), "mask": (3,)}
RATES = {"token.weight": 0.5, "token.bias": 0.5, "mask": 0.25}
STEPS = 25


def problem(members: int, seed: int = 0):
    """Parameters, gradients of each step and the members' rates; gradients of very different size."""
    generator = torch.Generator().manual_seed(seed)

    def draw(scale=1.0):
        return {name: scale * torch.randn(members, *shape, generator=generator) for name, shape in SHAPES.items()}

    size = torch.logspace(-2, 2, members)
    gradients = [{name: g * size.view(-1, *[1] * (g.dim() - 1)) for name, g in draw().items()} for _ in range(STEPS)]
    return draw(), gradients, torch.linspace(1e-3, 1e-2, members)


def by_torch(start, gradients, rates, m: int, config: AdamConfig, rate_of) -> dict[str, torch.Tensor]:
    """Member m alone."""
    params = {name: torch.nn.Parameter(value[m].clone()) for name, value in start.items()}
    matrices = ("token.weight",)
    groups = [
        {
            "params": [p],
            "lr": float(rates[m]) * rate_of.get(name, 1.0),
            "weight_decay": config.weight_decay if name in matrices else 0.0,
        }
        for name, p in params.items()
    ]
    peaks = [group["lr"] for group in groups]
    optimiser = torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), eps=config.epsilon)
    for step, gradient in enumerate(gradients):
        for name, p in params.items():
            p.grad = gradient[name][m].clone()
        torch.nn.utils.clip_grad_norm_(params.values(), config.clip)
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(step, STEPS, config)
        optimiser.step()
    return {name: p.detach() for name, p in params.items()}


def ours(start, gradients, rates, config: AdamConfig, rate_of) -> Adam:
    adam = Adam(start, config, rate_of)
    for step, gradient in enumerate(gradients):
        adam.step(tuple(gradient.values()), rates * schedule(step, STEPS, config))
    return adam


@pytest.mark.parametrize("rate_of", [{}, RATES])
@pytest.mark.parametrize("members", [1, 3])
def test_each_member_is_adamw_with_its_own_clipping(members, rate_of):
    config = AdamConfig(weight_decay=0.3, clip=1.0)
    start, gradients, rates = problem(members)
    adam = ours(start, gradients, rates, config, rate_of)
    for m in range(members):
        expected = by_torch(start, gradients, rates, m, config, rate_of)
        for name, value in expected.items():
            assert torch.allclose(adam.params[name][m], value, atol=1e-5), (m, name)
            assert not torch.allclose(value, start[name][m], atol=1e-4)  # it went somewhere


def test_a_member_never_hears_of_the_others():
    config = AdamConfig()
    start, gradients, rates = problem(3)
    together = ours(start, gradients, rates, config, RATES)
    alone = ours(
        {n: v[1:2] for n, v in start.items()},
        [{n: g[1:2] for n, g in gradient.items()} for gradient in gradients],
        rates[1:2],
        config,
        RATES,
    )
    for name in SHAPES:
        assert torch.allclose(together.params[name][1], alone.params[name][0], atol=1e-6)


def test_the_norm_is_told_before_clipping():
    start, gradients, rates = problem(2)
    norm = Adam(start, AdamConfig()).step(tuple(gradients[0].values()), rates)
    expected = [math.sqrt(sum(float((g[m] ** 2).sum()) for g in gradients[0].values())) for m in (0, 1)]
    assert norm.tolist() == pytest.approx(expected, rel=1e-5)


def test_only_matrices_decay():
    config = AdamConfig(weight_decay=0.5)
    start, _, _ = problem(1)
    adam = Adam(start, config)
    adam.step(tuple(torch.zeros_like(v) for v in start.values()), torch.tensor([0.1]))
    for name, value in start.items():
        factor = 0.95 if name == "token.weight" else 1.0
        assert torch.allclose(adam.params[name], factor * value, atol=1e-7)
    names = ("layer0.weight_hh_reverse", "layer0.bias_ih", "head.weight", "head.bias", "last.shift", "head.norm.scale")
    assert [decays(name) for name in names] == [True, False, True, False, False, False]


def test_restoring_goes_on_as_if_nothing_had_happened():
    config = AdamConfig()
    start, gradients, rates = problem(2)
    whole = ours(start, gradients, rates, config, {})
    half = ours(start, gradients[:10], rates, config, {})
    resumed = Adam(start, config)
    resumed.restore({name: value.clone() for name, value in half.state().items()}, 10)
    for step in range(10, STEPS):
        resumed.step(tuple(gradients[step].values()), rates * schedule(step, STEPS, config))
    assert torch.equal(resumed.flat, whole.flat)


def test_schedule_by_hand():
    config = AdamConfig(warmup=0.2, last=0.1)
    found = [schedule(step, 10, config) for step in range(10)]
    # a ramp of two steps, then a cosine over eight from 1 towards .1
    assert found[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert found[6] == pytest.approx(0.55)  # half way
    assert schedule(10, 10, config) == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(found[1:]))


def test_schedule_of_one_step_and_without_warm_up():
    assert schedule(0, 1, AdamConfig()) == 1.0
    assert schedule(0, 100, AdamConfig(warmup=0)) == 1.0
