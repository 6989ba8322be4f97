"""Every piece with a member axis against torch's own modules, with the same weights."""

import math

import pytest
import torch
from torch import nn

from emo_ssl.core import model
from emo_ssl.core.model import (
    BackboneConfig,
    HeadConfig,
    apply_head,
    attend,
    backbone_shapes,
    cut_points,
    cuts_from_marginals,
    depth_of,
    encode,
    exceed,
    head_shapes,
    initialise,
    layer_norm,
    linear,
    parameter_count,
    pool,
    rotary_angles,
    rotate,
    stack_members,
    to_tokens,
)

M, B, L, W, HEADS = 2, 3, 9, 16, 4
KINDS = ("transformer", "gru")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def busy(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    """Parameters of one model of which none is 0 or 1, so that nothing can hide behind a bias that is not there."""
    return {
        name: value + 0.3 * draw(*value.shape, seed=seed + i)
        for i, (name, value) in enumerate(initialise(shapes, seed).items())
    }


def config(kind: str = "transformer", **more) -> BackboneConfig:
    return BackboneConfig(**{"features": 5, "kind": kind, "stack": 2, "width": W, "layers": 2, "heads": HEADS, **more})


def backbones(shape: BackboneConfig, members: int = M) -> model.Params:
    return stack_members([busy(backbone_shapes(shape), seed) for seed in range(members)])


def ragged(lengths: list[int], members: int = M) -> torch.Tensor:
    """valid (M, B, max)."""
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return valid.expand(members, *valid.shape)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=tolerance, rtol=1e-5)


# --- tokens


def test_frames_become_tokens_by_hand():
    gap = math.nan
    frames = torch.tensor([[[1.0, 2], [3, gap], [5, 6], [9, 9]]])
    valid = torch.tensor([[True, True, True, False]])
    tokens, real = to_tokens(frames, valid, 2)
    assert tokens.tolist() == [[[1, 2, 3, 0], [5, 6, 0, 0]]]
    assert real.tolist() == [[True, True]]


@pytest.mark.parametrize("stack", [1, 2, 3, 5])
@pytest.mark.parametrize("frames", [0, 1, 4, 7])
def test_any_number_of_frames(frames, stack):
    x = draw(2, 3, frames, 4)
    tokens, real = to_tokens(x, torch.ones(2, 3, frames, dtype=torch.bool), stack)
    count = math.ceil(frames / stack)
    assert tokens.shape == (2, 3, count, stack * 4) and real.shape == (2, 3, count) and real.all()
    flat = tokens.reshape(2, 3, count * stack, 4)
    assert torch.equal(flat[:, :, :frames], x) and not flat[:, :, frames:].any()


def test_a_token_of_padding_alone_does_not_count():
    _, real = to_tokens(torch.ones(1, 6, 1), torch.tensor([[True, True, True, False, False, False]]), 2)
    assert real.tolist() == [[True, True, False]]


# --- pieces


def test_linear():
    x, params = draw(M, B, L, 5), {"a.weight": draw(M, 5, 7), "a.bias": draw(M, 7)}
    out = linear(x, params, "a")
    for m in range(M):
        plain = nn.Linear(5, 7)
        plain.weight.data, plain.bias.data = params["a.weight"][m].T, params["a.bias"][m]
        assert close(out[m], plain(x[m]))
    assert linear(x[:, :0], params, "a").shape == (M, 0, L, 7)


@pytest.mark.parametrize("shape", [(B, W), (B, L, W)])
def test_layer_norm(shape):
    x, params = draw(M, *shape), {"n.scale": draw(M, W), "n.shift": draw(M, W, seed=1)}
    out = layer_norm(x, params, "n")
    for m in range(M):
        plain = nn.LayerNorm(W)
        plain.weight.data, plain.bias.data = params["n.scale"][m], params["n.shift"][m]
        assert close(out[m], plain(x[m]))


def copied_attention(params: model.Params, name: str, m: int) -> nn.MultiheadAttention:
    plain = nn.MultiheadAttention(W, HEADS, batch_first=True)
    plain.in_proj_weight.data, plain.in_proj_bias.data = (
        params[f"{name}.qkv.weight"][m].T,
        params[f"{name}.qkv.bias"][m],
    )
    plain.out_proj.weight.data, plain.out_proj.bias.data = (
        params[f"{name}.out.weight"][m].T,
        params[f"{name}.out.bias"][m],
    )
    return plain


UNTURNED = (torch.ones(L, W // HEADS // 2), torch.zeros(L, W // HEADS // 2))


@pytest.mark.parametrize("lengths", [None, [9, 4, 1]])
def test_attention_without_positions_is_that_of_torch(lengths):
    params, x = backbones(config()), draw(M, B, L, W)
    valid = None if lengths is None else ragged(lengths)
    out = attend(x, valid, params, "layer1.attention", HEADS, UNTURNED)
    for m in range(M):
        padding = None if valid is None else ~valid[m]
        expected, _ = copied_attention(params, "layer1.attention", m)(x[m], x[m], x[m], key_padding_mask=padding)
        assert close(out[m], expected)


def test_a_layer_without_positions_is_that_of_torch(monkeypatch):
    monkeypatch.setattr(model, "rotary_angles", lambda *_: UNTURNED)
    shape = config(layers=1)
    params, x = backbones(shape), draw(M, B, L, W)
    out = model.transformer(shape, params, x, ragged([9, 4, 1]))
    for m in range(M):
        plain = nn.TransformerEncoderLayer(W, HEADS, 4 * W, 0.0, "gelu", batch_first=True, norm_first=True)
        plain.self_attn = copied_attention(params, "layer0.attention", m)
        for ours, theirs in (("feed.in", plain.linear1), ("feed.out", plain.linear2)):
            theirs.weight.data, theirs.bias.data = (
                params[f"layer0.{ours}.weight"][m].T,
                params[f"layer0.{ours}.bias"][m],
            )
        for ours, theirs in (("attention.norm", plain.norm1), ("feed.norm", plain.norm2)):
            theirs.weight.data, theirs.bias.data = params[f"layer0.{ours}.scale"][m], params[f"layer0.{ours}.shift"][m]
        valid = ragged([9, 4, 1])[m]
        plain.train()  # the quick path of eval() treats padding in its own way
        expected = plain(x[m], src_key_padding_mask=~valid)
        assert close(out[m][valid], expected[valid])


def test_rotation_is_a_complex_product():
    cos, sin = rotary_angles(L, 8, torch.device("cpu"))
    x = draw(B, L, 8)
    rates = torch.tensor([10_000 ** (-2 * i / 8) for i in range(4)])
    turn = torch.polar(torch.ones(L, 4), torch.arange(L)[:, None] * rates)
    expected = torch.view_as_real(torch.complex(x[..., :4], x[..., 4:]) * turn)
    assert close(rotate(x, cos, sin), torch.cat((expected[..., 0], expected[..., 1]), -1))


def test_only_distances_matter():
    q, k = draw(8), draw(8, seed=1)
    cos, sin = rotary_angles(50, 8, torch.device("cpu"))

    def score(i: int, j: int) -> float:
        return float(rotate(q, cos[i], sin[i]) @ rotate(k, cos[j], sin[j]))

    assert score(3, 5) == pytest.approx(score(40, 42), abs=1e-4)
    assert abs(score(3, 5) - score(3, 9)) > 1e-3


def test_positions_are_seen():
    shape = config(layers=1)
    params, tokens = backbones(shape), draw(M, B, L, shape.token_size)
    everything = torch.ones(M, B, L, dtype=torch.bool)
    forward, backward = (encode(shape, params, t, everything) for t in (tokens, tokens.flip(2)))
    assert not close(forward, backward.flip(2), 1e-2)


@pytest.mark.parametrize("lengths", [None, [9, 4, 1]])
def test_gru_is_that_of_torch(lengths):
    shape = config("gru")
    params, x = backbones(shape), draw(M, B, L, W)
    valid = None if lengths is None else ragged(lengths)
    out = model.gru(shape, params, x, valid)
    for m in range(M):
        plain = nn.GRU(W, W // 2, 2, batch_first=True, bidirectional=True)
        for i in range(2):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                for suffix in ("", "_reverse"):
                    getattr(plain, f"{part}_l{i}{suffix}").data = params[f"layer{i}.{part}{suffix}"][m]
        for b in range(B):
            length = L if lengths is None else lengths[b]
            expected, _ = plain(x[m, b : b + 1, :length])  # alone, so without padding
            assert close(out[m, b, :length], expected[0])
            assert not out[m, b, length:].any()


# --- backbones


@pytest.mark.parametrize("kind", KINDS)
def test_members_together_are_each_alone(kind):
    shape = config(kind)
    params, tokens = backbones(shape, 3), draw(3, B, L, shape.token_size)
    valid = torch.stack([ragged(lengths, 1)[0] for lengths in ([9, 4, 1], [2, 9, 9], [9, 9, 9])])
    hidden = draw(3, B, L) > 0.5
    together = encode(shape, params, tokens, valid, hidden)
    for m in range(3):
        alone = encode(
            shape, *({n: v[m : m + 1] for n, v in params.items()}, *(x[m : m + 1] for x in (tokens, valid, hidden)))
        )
        assert close(together[m][valid[m]], alone[0][valid[m]])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_real_token(kind):
    shape = config(kind)
    params, tokens, lengths = backbones(shape, 1), draw(1, B, L, shape.token_size), [6, 3, 1]
    padded = torch.nn.functional.pad(ragged(lengths, 1), (0, 3))
    states = encode(shape, params, tokens, padded)
    louder = torch.where(padded[..., None], tokens, 1e3)
    assert close(encode(shape, params, louder, padded)[padded], states[padded])
    for b, length in enumerate(lengths):
        alone = encode(shape, params, tokens[:, b : b + 1, :length], torch.ones(1, 1, length, dtype=torch.bool))
        assert close(states[0, b, :length], alone[0, 0])
        assert close(pool(states, padded)[0, b], pool(alone, torch.ones(1, 1, length, dtype=torch.bool))[0, 0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("features", [1, 3, 74])
def test_any_length_and_any_feature_count(kind, features):
    shape = config(kind, features=features)
    params = backbones(shape, 1)
    for length in (1, 2, 9, 700):  # no table of positions that could end
        states = encode(shape, params, draw(1, 1, length, shape.token_size), torch.ones(1, 1, length, dtype=torch.bool))
        assert states.shape == (1, 1, length, W) and states.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_which_everything_is_missing(kind):
    shape = config(kind)
    params = {name: value.requires_grad_() for name, value in backbones(shape, 1).items()}
    frames = torch.full((1, 2, 8, 5), math.nan)
    frames[0, 1] = draw(8, 5)
    tokens, valid = to_tokens(frames, torch.ones(1, 2, 8, dtype=torch.bool), 2)
    pooled = pool(encode(shape, params, tokens, valid), valid)
    assert pooled.isfinite().all()
    gradients = torch.autograd.grad(pooled.sum(), list(params.values()), allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_a_hidden_token_is_not_seen(kind):
    shape = config(kind)
    params, tokens = backbones(shape, 1), draw(1, B, L, shape.token_size)
    valid, hidden = torch.ones(1, B, L, dtype=torch.bool), torch.zeros(1, B, L, dtype=torch.bool)
    hidden[0, :, 3:6] = True
    other = torch.where(hidden[..., None], draw(1, B, L, shape.token_size, seed=9), tokens)
    assert torch.equal(encode(shape, params, tokens, valid, hidden), encode(shape, params, other, valid, hidden))
    assert not close(encode(shape, params, tokens, valid, hidden), encode(shape, params, tokens, valid), 1e-2)
    params["mask"] = params["mask"] + 1
    assert not close(encode(shape, params, tokens, valid, hidden), encode(shape, params, other, valid), 1e-2)


def test_pool_by_hand():
    states = torch.tensor([[[[1.0, 0.0], [3.0, 0.0], [50.0, 60.0]], [[7.0, 8.0], [0.0, 0.0], [0.0, 0.0]]]])
    pooled = pool(states, ragged([2, 1], 1).new_tensor([[[1, 1, 0], [1, 0, 0]]]).bool())
    tiny = math.sqrt(model.STEADY)
    expected = torch.tensor([[[2.0, 0.0, math.sqrt(1 + model.STEADY), tiny], [7.0, 8.0, tiny, tiny]]])
    assert close(pooled, expected, 1e-6)
    assert pool(states[:, :0], torch.zeros(1, 0, 3, dtype=torch.bool)).shape == (1, 0, 4)


@pytest.mark.parametrize(
    "wrong",
    [{"kind": "lstm"}, {"width": 20}, {"width": 0}, {"heads": 0}, {"stack": 0}, {"features": 0}, {"layers": -1}],
)
def test_impossible_backbones_are_refused(wrong):
    with pytest.raises(ValueError, match=r"backbone|width"):
        config(**wrong)


# --- heads


def test_head_gives_scores_and_categories():
    head = HeadConfig((0.5, 1.5), emotions=3, categories=4)
    params = stack_members([busy(head_shapes(head, 6), seed) for seed in range(M)])
    x = draw(M, B, 6)
    scores, logits = apply_head(head, params, x)
    for m in range(M):
        norm, plain = nn.LayerNorm(6), nn.Linear(6, 7)
        norm.weight.data, norm.bias.data = params["head.norm.scale"][m], params["head.norm.shift"][m]
        plain.weight.data, plain.bias.data = params["head.weight"][m].T, params["head.bias"][m]
        assert close(torch.cat((scores[m], logits[m]), -1), plain(norm(x[m])))
    assert logits.shape == (M, B, 4)
    assert apply_head(
        HeadConfig((0.5,), 3),
        {**params, "head.weight": params["head.weight"][..., :3], "head.bias": params["head.bias"][:, :3]},
        x,
    )[1].shape == (M, B, 0)


def test_cut_points_increase_and_are_softplus_steps():
    raw = 5 * draw(M, 3, 6)
    segments = cut_points({"head.cuts": raw})
    assert (segments.diff(dim=-1) > 0).all()
    assert torch.equal(segments[..., 0], raw[..., 0])
    assert close(segments[..., 2], raw[..., 0] + torch.log1p(raw[..., 1].exp()) + torch.log1p(raw[..., 2].exp()))
    scores = draw(M, B, 3)
    assert close(exceed({"head.cuts": raw}, scores)[1, 2, 0], scores[1, 2, 0] - segments[1, 0])
    assert cut_points({"head.cuts": raw[..., :1]}).shape == (M, 3, 1)


def test_marginals_come_back_at_score_0():
    share = torch.tensor([[0.9, 0.5, 0.2, 0.01], [0.3, 0.2, 0.1, 0.05]])
    raw = cuts_from_marginals(share)
    assert close(torch.sigmoid(exceed({"head.cuts": raw[None]}, torch.zeros(1, 1, 2)))[0, 0], share)


def test_marginals_that_tie_or_are_certain_stay_close_and_finite():
    share = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]])
    raw = cuts_from_marginals(share)
    assert raw.isfinite().all()
    given = torch.sigmoid(exceed({"head.cuts": raw[None]}, torch.zeros(1, 1, 2)))[0, 0]
    # ties are parted by steps of .01, and a logistic curve is nowhere steeper than a quarter
    assert (given - share).abs().max() < 3 * 0.01 / 4 + 1e-3 + 1e-6


# --- parameters


def test_parameter_count_is_that_of_torch():
    plain = nn.TransformerEncoder(nn.TransformerEncoderLayer(W, HEADS, 4 * W), 2, enable_nested_tensor=False)
    edges = [nn.Linear(10, W), nn.LayerNorm(W)]
    expected = sum(p.numel() for part in (plain, *edges) for p in part.parameters()) + W  # the mask token
    assert parameter_count(backbone_shapes(config())) == expected
    recurrent = nn.GRU(W, W // 2, 2, bidirectional=True)
    expected = sum(p.numel() for part in (recurrent, *edges) for p in part.parameters()) + W
    assert parameter_count(backbone_shapes(config("gru"))) == expected
    assert parameter_count({}) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_initialise_is_a_function_of_the_seed_alone(kind):
    shapes = backbone_shapes(config(kind))
    torch.manual_seed(1)
    first = initialise(shapes, 3)
    torch.manual_seed(2)
    again, other = initialise(shapes, 3), initialise(shapes, 4)
    assert list(first) == list(shapes)
    for name, value in first.items():
        assert value.shape == shapes[name] and torch.equal(value, again[name])
    assert not torch.equal(first["token.weight"], other["token.weight"])
    # a head drawn after it changes nothing of the backbone
    longer = initialise({**shapes, **head_shapes(HeadConfig((0.5,)), 2 * W)}, 3)
    assert all(torch.equal(longer[name], value) for name, value in first.items())


def test_first_weights_keep_the_scale_of_what_goes_in():
    shapes = {"a.weight": (400, 300), "layer0.weight_hh": (300, 400), "n.scale": (3,), "n.shift": (3,), "a.bias": (4,)}
    params = initialise(shapes, 0)
    for name in ("a.weight", "layer0.weight_hh"):
        # 1/sqrt(fan in), within 4.5 standard errors of a deviation of 120,000 draws
        assert float(params[name].std()) == pytest.approx(0.05, rel=4.5 / math.sqrt(2 * 120_000))
    assert params["n.scale"].tolist() == [1] * 3 and params["n.shift"].tolist() == [0] * 3
    assert not params["a.bias"].any()


def test_depth_counts_from_the_head_down():
    names = ("head.weight", "last.scale", "layer2.feed.in.weight", "layer0.weight_ih", "token.bias", "mask")
    assert [depth_of(name, 3) for name in names] == [0, 1, 1, 3, 4, 4]


def test_members_are_stacked_and_taken_out():
    models = [initialise(backbone_shapes(config()), seed) for seed in range(3)]
    stacked = stack_members(models)
    assert all(torch.equal(model.member(stacked, 2)[name], value) for name, value in models[2].items())
