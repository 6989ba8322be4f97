"""Backbones and heads as pure functions over parameters with a leading member axis.

A member is one model: `params[name]` is (M, ...), and M models of one shape run as one batch of matrix products.
A single model is M = 1. Shapes: M members, B clips, T frames, D features, L tokens of S = stack x D values, W width,
E emotions, C categories.

    frames (M, B, T, D) -> tokens (M, B, L, S) -> states (M, B, L, W) -> pooled (M, B, 2W) -> heads
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Params = dict[str, Tensor]
STEADY = 1e-5
HEADS = ("ordinal", "l1")


@dataclass(frozen=True)
class BackboneConfig:
    features: int
    kind: str = "transformer"  # or "gru"
    stack: int = 4  # frames a token: 25 tokens a second at 100 Hz
    width: int = 96
    layers: int = 3
    heads: int = 4
    feedforward: int = 4  # times the width

    def __post_init__(self):
        if self.kind not in BACKBONES:
            raise ValueError(f"backbone {self.kind!r} is none of {', '.join(BACKBONES)}")
        if min(self.features, self.stack, self.width, self.heads, self.feedforward) < 1 or self.layers < 0:
            raise ValueError("features, stack, width, heads and feedforward are at least 1")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the {self.heads} heads")

    @property
    def token_size(self) -> int:
        return self.stack * self.features


@dataclass(frozen=True)
class HeadConfig:
    thresholds: tuple[float, ...]  # t_k between the corpus's label levels
    emotions: int = 6
    categories: int = 0  # 0: no softmax beside the ordinal head
    kind: str = "ordinal"  # or "l1", the literal reading of the paper


# --- tokens ---------------------------------------------------------------------------------------------------------


def to_tokens(frames: Tensor, valid: Tensor, stack: int) -> tuple[Tensor, Tensor]:
    """frames (..., T, D), valid (..., T) -> tokens (..., L, S), valid (..., L); a token with one real frame counts.

    Missing values (NaN) and padding become 0, the centre of the normalised features.
    """
    short = -frames.shape[-2] % stack
    if short:
        frames, valid = F.pad(frames, (0, 0, 0, short)), F.pad(valid, (0, short))
    frames = torch.where(valid[..., None], frames, 0.0).nan_to_num(nan=0.0)
    shape = (*frames.shape[:-2], frames.shape[-2] // stack, stack * frames.shape[-1])
    return frames.reshape(shape), valid.reshape(*shape[:-1], stack).any(-1)


# --- pieces with a member axis --------------------------------------------------------------------------------------


def linear(x: Tensor, params: Params, name: str) -> Tensor:
    """(M, ..., in) -> (M, ..., out) with weight (M, in, out) and bias (M, out)."""
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    flat = x.reshape(len(x), -1, x.shape[-1])
    return torch.baddbmm(bias[:, None], flat, weight).view(*x.shape[:-1], weight.shape[-1])


def over_members(parameter: Tensor, like: Tensor) -> Tensor:
    """(M, n) shaped to multiply (M, ..., n)."""
    return parameter.view(len(parameter), *[1] * (like.dim() - 2), parameter.shape[-1])


def layer_norm(x: Tensor, params: Params, name: str) -> Tensor:
    scaled = F.layer_norm(x, x.shape[-1:])
    return torch.addcmul(over_members(params[f"{name}.shift"], x), scaled, over_members(params[f"{name}.scale"], x))


def rotary_angles(length: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin (L, head_width / 2): positions as rotations, so that only distances matter and any length works."""
    rates = 10_000.0 ** -(torch.arange(0, head_width, 2, device=device, dtype=torch.float32) / head_width)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (..., L, head_width), its halves turned by the position's angles."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


def attend(
    x: Tensor, valid: Tensor | None, params: Params, name: str, heads: int, turn: tuple[Tensor, Tensor]
) -> Tensor:
    """Self-attention over (M, B, L, W); padded tokens are read by nobody."""
    m, b, length, width = x.shape
    qkv = linear(x, params, f"{name}.qkv").view(m * b, length, 3, heads, width // heads)
    qk, v = qkv.permute(2, 0, 3, 1, 4).split((2, 1))
    q, k = rotate(qk, *turn).to(v.dtype)
    mask = None if valid is None else valid.reshape(m * b, 1, 1, length)
    mixed = F.scaled_dot_product_attention(q, k, v[0], attn_mask=mask)
    return linear(mixed.transpose(1, 2).reshape(m, b, length, width), params, f"{name}.out")


# --- backbones ------------------------------------------------------------------------------------------------------


def transformer_shapes(config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    w, inner = config.width, config.feedforward * config.width
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(config.layers):
        for name, (fan_in, fan_out) in {
            "attention.qkv": (w, 3 * w),
            "attention.out": (w, w),
            "feed.in": (w, inner),
            "feed.out": (inner, w),
        }.items():
            shapes |= {f"layer{i}.{name}.weight": (fan_in, fan_out), f"layer{i}.{name}.bias": (fan_out,)}
        for norm in ("attention.norm", "feed.norm"):
            shapes |= {f"layer{i}.{norm}.scale": (w,), f"layer{i}.{norm}.shift": (w,)}
    return shapes


def transformer(config: BackboneConfig, params: Params, x: Tensor, valid: Tensor | None) -> Tensor:
    """(M, B, L, W) -> (M, B, L, W): layers that normalise first."""
    turn = rotary_angles(x.shape[2], config.width // config.heads, x.device)
    for i in range(config.layers):
        name = f"layer{i}"
        normed = layer_norm(x, params, f"{name}.attention.norm")
        x = x + attend(normed, valid, params, f"{name}.attention", config.heads, turn)
        inner = F.gelu(linear(layer_norm(x, params, f"{name}.feed.norm"), params, f"{name}.feed.in"))
        x = x + linear(inner, params, f"{name}.feed.out")
    return x


def gru_shapes(config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    half, shapes = config.width // 2, {}
    for i in range(config.layers):
        for suffix in ("", "_reverse"):
            shapes |= {
                f"layer{i}.weight_ih{suffix}": (3 * half, config.width),
                f"layer{i}.weight_hh{suffix}": (3 * half, half),
                f"layer{i}.bias_ih{suffix}": (3 * half,),
                f"layer{i}.bias_hh{suffix}": (3 * half,),
            }
    return shapes


def gru(config: BackboneConfig, params: Params, x: Tensor, valid: Tensor | None) -> Tensor:
    """Both directions over (M, B, L, W), a member after another: recurrences cannot share their steps."""
    members = []
    for m in range(len(x)):
        lengths = torch.full((x.shape[1],), x.shape[2]) if valid is None else valid[m].sum(-1).clamp(min=1).cpu()
        state = x[m]
        for i in range(config.layers):
            parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            flat = [params[f"layer{i}.{part}{suffix}"][m] for suffix in ("", "_reverse") for part in parts]
            packed = torch.nn.utils.rnn.pack_padded_sequence(state, lengths, batch_first=True, enforce_sorted=False)
            start = state.new_zeros(2, x.shape[1], config.width // 2)
            data, _ = torch._VF.gru(packed.data, packed.batch_sizes, start, flat, True, 1, 0.0, False, True)
            out = torch.nn.utils.rnn.PackedSequence(
                data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
            )
            state, _ = torch.nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=x.shape[2])
        members.append(state)
    return torch.stack(members)


BACKBONES = {"transformer": (transformer_shapes, transformer), "gru": (gru_shapes, gru)}


def backbone_shapes(config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    w = config.width
    return {
        "token.weight": (config.token_size, w),
        "token.bias": (w,),
        "mask": (w,),
        **BACKBONES[config.kind][0](config),
        "last.scale": (w,),
        "last.shift": (w,),
    }


def encode(
    config: BackboneConfig, params: Params, tokens: Tensor, valid: Tensor, hidden: Tensor | None = None
) -> Tensor:
    """tokens (M, B, L, S), valid (M, B, L) -> states (M, B, L, W); where `hidden` the learned mask token stands in."""
    x = linear(tokens, params, "token")
    if hidden is not None:
        x = torch.where(hidden[..., None], over_members(params["mask"], x).to(x.dtype), x)
    ragged = valid if not bool_all(valid) else None
    return layer_norm(BACKBONES[config.kind][1](config, params, x, ragged), params, "last")


def bool_all(valid: Tensor) -> bool:
    """Whether nothing is padded; asked on the CPU only, since the answer would stall a GPU's queue."""
    return valid.device.type == "cpu" and bool(valid.all())


def pool(states: Tensor, valid: Tensor) -> Tensor:
    """Mean and standard deviation over valid tokens: (M, B, L, W), (M, B, L) -> (M, B, 2W)."""
    weight = valid[..., None].to(states.dtype)
    count = weight.sum(-2).clamp(min=1)
    mean = (states * weight).sum(-2) / count
    variance = ((states - mean[..., None, :]).square() * weight).sum(-2) / count
    return torch.cat((mean, (variance + STEADY).sqrt()), -1)


# --- heads ----------------------------------------------------------------------------------------------------------


def head_shapes(config: HeadConfig, inputs: int) -> dict[str, tuple[int, ...]]:
    outputs = config.emotions + config.categories
    shapes = {"head.norm.scale": (inputs,), "head.norm.shift": (inputs,)}
    shapes |= {"head.weight": (inputs, outputs), "head.bias": (outputs,)}
    if config.kind == "ordinal":
        shapes["head.cuts"] = (config.emotions, len(config.thresholds))
    return shapes


def apply_head(config: HeadConfig, params: Params, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """vectors (M, B, I) -> scores (M, B, E) and category logits (M, B, C)."""
    out = linear(layer_norm(vectors, params, "head.norm"), params, "head")
    return out[..., : config.emotions], out[..., config.emotions :]


def cut_points(params: Params) -> Tensor:
    """(M, E, K) increasing: the first is free, each next one lies a positive step above."""
    raw = params["head.cuts"]
    return torch.cat((raw[..., :1], raw[..., :1] + F.softplus(raw[..., 1:]).cumsum(-1)), -1)


def exceed(params: Params, scores: Tensor) -> Tensor:
    """Logits of P(y > t_k): scores (M, B, E) -> (M, B, E, K)."""
    return scores[..., None] - cut_points(params)[:, None]


def cuts_from_marginals(share_above: Tensor) -> Tensor:
    """share_above (E, K), the subset's P(y > t_k) -> raw cut parameters (E, K) that give just these at score 0."""
    segments = -torch.logit(share_above.clamp(1e-3, 1 - 1e-3))
    steps = (segments[:, 1:] - segments[:, :-1]).clamp(min=1e-2)
    return torch.cat((segments[:, :1], torch.log(torch.expm1(steps))), 1)


# --- parameters -----------------------------------------------------------------------------------------------------


def initialise(shapes: dict[str, tuple[int, ...]], seed: int) -> Params:
    """Parameters of one model (no member axis), drawn on the CPU so that every device starts from the same numbers."""
    generator = torch.Generator().manual_seed(seed)
    params = {}
    for name, shape in shapes.items():
        last = name.rsplit(".", 1)[-1]
        if last == "scale":
            params[name] = torch.ones(shape)
        elif last.startswith("weight") or name == "mask":
            # recurrent weights are (out, in), all others (in, out)
            fan_in = shape[-1] if "_" in last else shape[0]
            params[name] = torch.randn(shape, generator=generator) * (0.02 if name == "mask" else fan_in**-0.5)
        else:
            params[name] = torch.zeros(shape)
    for name in [n for n in params if n.endswith(("attention.out.weight", "feed.out.weight"))]:
        params[name] *= 0.5  # residual branches start small
    if "head.weight" in params:
        params["head.weight"] *= 0.1  # first predictions come from the cut-points alone
    return params


def stack_members(members: Sequence[Params]) -> Params:
    """M models of one shape -> parameters with a member axis."""
    return {name: torch.stack([member[name] for member in members]) for name in members[0]}


def member(params: Params, m: int) -> Params:
    return {name: value[m] for name, value in params.items()}


def parameter_count(shapes: dict[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def depth_of(name: str, layers: int) -> int:
    """How many steps below the head a parameter lies, for layer-wise decay of the learning rate."""
    if name.startswith("head"):
        return 0
    if name.startswith("layer"):
        return layers - int(name[len("layer") : name.index(".")])
    return layers + 1 if name.startswith(("token", "mask")) else 1
