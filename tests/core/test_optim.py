"""AdamW and clipping of many members against torch's own, a member at a time."""

import copy
from itertools import pairwise

import pytest
import torch
from training import busy, close, draw, member

from emo_ssl.core.model import Classifier, EncoderConfig, HeadConfig
from emo_ssl.core.optim import AdamConfig, adamw, clip_members, decays, schedule, step

STEPS, CLIP = 12, 1.0
ADAM = AdamConfig(weight_decay=0.3, clip=CLIP)
SHARES = {"encoder.token.weight": 0.5, "encoder.token.bias": 0.5, "head.cuts": 0.25}


def classifier(kind: str, members: int = 1) -> Classifier:
    return busy(Classifier(EncoderConfig(2, kind, 2, 8, 1, 2), HeadConfig((0, 1, 2), 2), members))


def loss_of(net: Classifier, number: int, members: range) -> torch.Tensor:
    """What these members lose at one step: some of them far more than a norm of 1, some less."""
    tokens = torch.stack([draw(3, 5, 4, seed=100 * m + number) for m in members])
    scores, _ = net(tokens, torch.ones(tokens.shape[:3], dtype=torch.bool))
    losses = net.head.exceedance_logits(scores).square().sum((1, 2, 3))
    return sum(1e-4 * 100.0**m * loss for m, loss in zip(members, losses, strict=True))


def by_torch(one: Classifier, m: int) -> list[float]:
    """Train a single member by what torch has for one model; the norms of its gradients."""
    groups = [
        {
            "params": [parameter],
            "peak": 1e-2 * SHARES.get(name, 1.0),
            "weight_decay": 0.3 if name.split(".")[-1].startswith("weight") else 0.0,
        }
        for name, parameter in one.named_parameters()
    ]
    optimiser, norms = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-8), []
    for number in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * schedule(number, STEPS, ADAM)
        optimiser.zero_grad()
        loss_of(one, number, range(m, m + 1)).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(one.parameters(), CLIP)))
        optimiser.step()
    return norms


@pytest.mark.parametrize("kind", ["transformer", "gru"])
@pytest.mark.parametrize("members", [1, 3])
def test_each_member_is_adamw_with_its_own_clipping(kind, members):
    net = classifier(kind, members)
    start, norms = copy.deepcopy(net), []
    optimiser = adamw(net, ADAM, 1e-2, lambda name: SHARES.get(name, 1.0))
    for number in range(STEPS):
        loss_of(net, number, range(members)).backward()
        norms.append(clip_members(net, members, CLIP).tolist())
        step(optimiser, schedule(number, STEPS, ADAM))
        assert all(p.grad is None for p in net.parameters())
    for m in range(members):
        begun, found, alone = (member(of, classifier(kind), m) for of in (start, net, start))
        assert [row[m] for row in norms] == pytest.approx(by_torch(alone, m), rel=1e-4)
        for (name, value), before in zip(found.named_parameters(), begun.parameters(), strict=True):
            assert close(value, alone.get_parameter(name), 1e-5), (m, name)
            assert "mask" in name or not close(value, before, 1e-3), (m, name)  # it went somewhere
    assert members == 1 or (max(norms[0]) > 2 * CLIP and min(norms[0]) < CLIP / 2)


def test_only_matrices_decay():
    matrices, others = ("layers.0.weight_hh_l0", "token.weight"), ("mask.weight", "layers.0.bias_ih_l0", "head.cuts")
    assert all(map(decays, matrices)) and not any(map(decays, others))


def test_schedule_by_hand():
    config = AdamConfig(warmup=0.2, last=0.1)
    found = [schedule(number, 10, config) for number in range(10)]
    # a ramp of two steps, then a cosine over eight from 1 towards .1
    assert found[:3] == pytest.approx([0.5, 1.0, 1.0])
    assert found[6] == pytest.approx(0.55)  # half way
    assert schedule(10, 10, config) == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(found[1:]))
    assert schedule(0, 1, AdamConfig()) == schedule(0, 100, AdamConfig(warmup=0)) == 1.0
