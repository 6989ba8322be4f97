"""The encoder, the masked autoencoder and the classifier: ordinary modules, with room for many models of one shape.

Every parameter has a leading member axis, so that M models train as one batch of matrix products. A module made with
`members=1` needs none of it: give it (B, ...) and it returns (B, ...). Shapes: M members, B clips, T frames of D
features, L tokens of S = stack x D values, width W, E emotions, K thresholds, C categories.

    frames (M, B, T, D) -> tokens (M, B, L, S) -> states (M, B, L, W) -> pooled (M, B, 2W) -> scores (M, B, E)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from emo_ssl.utils.io import UserError, write_bytes
from emo_ssl.utils.values import short, shortened

EPS = 1e-5
HEADS = ("ordinal", "l1")
MOST_PARAMETERS, MOST_LAYERS, MOST_OUTPUTS = 10**8, 200, 10_000
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class EncoderConfig:
    features: int
    kind: str = "transformer"  # or "gru"
    stack: int = 4  # frames a token: 25 tokens a second at 100 Hz
    width: int = 96
    layers: int = 3
    heads: int = 4
    feedforward: int = 4  # times the width

    def __post_init__(self):
        if self.kind not in ENCODERS:
            raise ValueError(f"encoder {short(self.kind)} is none of {', '.join(ENCODERS)}")
        if min(self.features, self.stack, self.width, self.heads, self.feedforward) < 1 or self.layers < 0:
            raise ValueError("features, stack, width, heads and feedforward are at least 1, layers at least 0")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the {self.heads} heads")
        parameters = self.width * (2 * self.token_size + self.layers * self.width * (4 + 2 * self.feedforward))
        if parameters > MOST_PARAMETERS or self.layers > MOST_LAYERS:
            raise ValueError(
                f"{self.layers} layers and {parameters:.1e} parameters; at most {MOST_LAYERS} and {MOST_PARAMETERS:.0e}"
            )

    @property
    def token_size(self) -> int:
        return self.stack * self.features


@dataclass(frozen=True)
class HeadConfig:
    levels: tuple[float, ...]  # that labels take, from 0 up
    emotions: int = 6
    categories: int = 0  # 0: no softmax beside the ordinal head
    kind: str = "ordinal"  # or "l1", the literal reading of the paper

    def __post_init__(self):
        rising = all(a < b for a, b in pairwise(self.levels))
        if self.kind not in HEADS or not rising or not 2 <= len(self.levels) <= MOST_OUTPUTS:
            raise ValueError(f"a head is one of {', '.join(HEADS)}, and has 2 rising levels or more")
        if min(self.emotions, self.categories) < 0 or self.emotions + self.categories > MOST_OUTPUTS:
            raise ValueError(f"{self.emotions} emotions and {self.categories} categories; at most {MOST_OUTPUTS}")

    @property
    def thresholds(self) -> tuple[float, ...]:
        """t_k, between the levels."""
        return tuple((a + b) / 2 for a, b in pairwise(self.levels))


def to_tokens(frames: Tensor, valid: Tensor, stack: int) -> tuple[Tensor, Tensor]:
    """frames (..., T, D), valid (..., T) -> tokens (..., L, S), valid (..., L); a token with one real frame counts.

    Missing values (NaN) and padding become 0, the centre of the normalised features.
    """
    short = -frames.shape[-2] % stack
    if short:
        frames, valid = F.pad(frames, (0, 0, 0, short)), F.pad(valid, (0, short))
    frames = torch.where(valid[..., None], frames, 0.0).nan_to_num_(nan=0.0)  # in place: half of the time
    shape = (*frames.shape[:-2], frames.shape[-2] // stack, stack * frames.shape[-1])
    return frames.reshape(shape), valid.reshape(*shape[:-1], stack).any(-1)


# --- layers with a member axis --------------------------------------------------------------------------------------


class Linear(nn.Module):
    """(M, ..., in) -> (M, ..., out)."""

    def __init__(self, fan_in: int, fan_out: int, members: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, fan_in, fan_out))
        self.bias = nn.Parameter(torch.zeros(members, fan_out))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(len(x), -1, x.shape[-1])
        return torch.baddbmm(self.bias[:, None], flat, self.weight).view(*x.shape[:-1], self.weight.shape[-1])


class MaskToken(nn.Module):
    """What stands in for a masked token: x (M, B, L, W), masked (M, B, L)."""

    def __init__(self, width: int, members: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor, masked: Tensor) -> Tensor:
        return torch.where(masked[..., None], self.weight[:, None, None].to(x.dtype), x)


def layer_norm(width: int) -> nn.LayerNorm:
    """Without weights of its own: the linear layer or the units of the training pool that follow can do the same."""
    return nn.LayerNorm(width, elementwise_affine=False)


# --- encoders -------------------------------------------------------------------------------------------------------


def rotary(length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos and sin (L, width / 2): positions as rotations, so that only distances matter and any length works."""
    rates = 10_000.0 ** -(torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (..., L, width), its halves turned by each position's angles."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Attention(nn.Module):
    """Self-attention over (M, B, L, W); no token attends to padding."""

    def __init__(self, width: int, heads: int, members: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.out = Linear(width, 3 * width, members), Linear(width, width, members)
        self.norm = layer_norm(width)

    def forward(self, x: Tensor, valid: Tensor | None, positions: tuple[Tensor, Tensor]) -> Tensor:
        m, b, length, width = x.shape
        qkv = self.qkv(self.norm(x)).view(m * b, length, 3, self.heads, width // self.heads)
        qk, v = qkv.permute(2, 0, 3, 1, 4).split((2, 1))
        q, k = rotate(qk, *positions).to(v.dtype)
        mask = None if valid is None else valid.reshape(m * b, 1, 1, length)
        mixed = F.scaled_dot_product_attention(q, k, v[0], attn_mask=mask)
        return self.out(mixed.transpose(1, 2).reshape(m, b, length, width))


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int, members: int):
        super().__init__()
        self.up, self.down = Linear(width, inner, members), Linear(inner, width, members)
        self.norm = layer_norm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(self.norm(x))))


class Block(nn.Module):
    def __init__(self, config: EncoderConfig, members: int):
        super().__init__()
        self.attention = Attention(config.width, config.heads, members)
        self.feedforward = FeedForward(config.width, config.feedforward * config.width, members)

    def forward(self, x: Tensor, valid: Tensor | None, positions: tuple[Tensor, Tensor]) -> Tensor:
        x = x + self.attention(x, valid, positions)
        return x + self.feedforward(x)


class Transformer(nn.ModuleList):
    """Blocks that normalise first."""

    def __init__(self, config: EncoderConfig, members: int):
        super().__init__(Block(config, members) for _ in range(config.layers))
        self.head_width = config.width // config.heads

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        positions = rotary(x.shape[2], self.head_width, x.device)
        for block in self:
            x = block(x, valid, positions)
        return x


class GRU(nn.ModuleList):
    """A bidirectional torch.nn.GRU for each member: recurrences cannot share their steps."""

    def __init__(self, config: EncoderConfig, members: int):
        half = config.width // 2
        super().__init__(
            nn.GRU(config.width, half, config.layers, bidirectional=True, batch_first=True) for _ in range(members)
        )
        for name, parameter in self.named_parameters():
            if "bias" in name:
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        if valid is None:
            return torch.stack([gru(inputs)[0] for gru, inputs in zip(self, x, strict=True)])
        states = []
        for gru, inputs, lengths in zip(self, x, valid.sum(-1).clamp(min=1).cpu(), strict=True):
            packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            padded = nn.utils.rnn.pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[2])
            states.append(padded[0])
        return torch.stack(states)


ENCODERS = {"transformer": Transformer, "gru": GRU}


class Encoder(nn.Module):
    """Tokens -> states, one a token. A learned token stands in wherever `masked` is true.

    x       (B, L, S) tokens or (B, T, D) frames; with several members (M, B, L, S) or (M, B, T, D)
    valid   (B, L) or (B, T) bool, False = padding; all valid if it is left out
    masked  (B, L) bool, tokens that the model may not see
    """

    def __init__(self, config: EncoderConfig, members: int = 1):
        super().__init__()
        self.config = config
        self.token = Linear(config.token_size, config.width, members)
        self.mask = MaskToken(config.width, members)
        self.layers = ENCODERS[config.kind](config, members)
        self.norm = layer_norm(config.width)

    def as_tokens(self, x: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames (..., T, D) become tokens (..., L, S), as they are with a stack of 1; tokens stay."""
        if x.shape[-1] != self.config.features:
            return x, valid
        return to_tokens(x, torch.isfinite(x).any(-1) if valid is None else valid, self.config.stack)

    def forward(self, x: Tensor, valid: Tensor | None = None, masked: Tensor | None = None) -> Tensor:
        if x.dim() == 3:
            valid, masked = (None if part is None else part[None] for part in (valid, masked))
            return self(x[None], valid, masked)[0]
        x, valid = self.as_tokens(x, valid)
        x = self.token(x)
        if masked is not None:
            x = self.mask(x, masked)
        # without padding attention is faster; asked on the CPU only, since the answer would stall a GPU's queue
        if valid is not None and valid.device.type == "cpu" and not torch.compiler.is_compiling() and bool(valid.all()):
            valid = None
        return self.norm(self.layers(x, valid))


def pool(states: Tensor, valid: Tensor) -> Tensor:
    """Mean and standard deviation over valid tokens: (..., L, W), (..., L) -> (..., 2W)."""
    weight = valid[..., None].to(states.dtype)
    count = weight.sum(-2).clamp(min=1)
    mean = (states * weight).sum(-2) / count
    variance = ((states - mean[..., None, :]).square() * weight).sum(-2) / count
    return torch.cat((mean, (variance + EPS).sqrt()), -1)


# --- the two models -------------------------------------------------------------------------------------------------


class MaskedAutoencoder(nn.Module):
    """Recovers masked tokens from their surroundings: tokens (B, L, S), masked (B, L) -> a guess (B, L, S) at each.

    With `place` (n,), positions in B * L, only those are guessed: (n, S).
    """

    def __init__(self, config: EncoderConfig, members: int = 1):
        super().__init__()
        self.encoder, self.reconstruct = Encoder(config, members), Linear(config.width, config.token_size, members)

    def forward(self, tokens: Tensor, valid: Tensor | None, masked: Tensor, place: Tensor | None = None) -> Tensor:
        if tokens.dim() == 3:
            return self(tokens[None], None if valid is None else valid[None], masked[None], place)[0]
        states = self.encoder(tokens, valid, masked)
        return self.reconstruct(states if place is None else states.flatten(1, 2)[:, place])


class Head(nn.Module):
    """Vectors (B, I) -> scores (B, E), each to be read against its emotion's cut points, and category logits (B, C)."""

    def __init__(self, config: HeadConfig, inputs: int, members: int = 1):
        super().__init__()
        self.config = config
        self.norm = layer_norm(inputs)
        self.linear = Linear(inputs, config.emotions + config.categories, members)
        self.register_buffer("thresholds", torch.tensor(config.thresholds), persistent=False)
        if config.kind == "ordinal":
            self.cuts = nn.Parameter(torch.zeros(members, config.emotions, len(self.thresholds)))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        if vectors.dim() == 2:
            scores, logits = self(vectors[None])
            return scores[0], logits[0]
        out = self.linear(self.norm(vectors))
        return out[..., : self.config.emotions], out[..., self.config.emotions :]

    def exceedance_logits(self, scores: Tensor) -> Tensor:
        """Logits of P(y > t_k): (M, B, E) -> (M, B, E, K). Each cut point lies a positive step above the last one."""
        if scores.dim() == 2:
            return self.exceedance_logits(scores[None])[0]
        cuts = torch.cat((self.cuts[..., :1], self.cuts[..., :1] + F.softplus(self.cuts[..., 1:]).cumsum(-1)), -1)
        return scores[..., None] - cuts[:, None]

    @torch.no_grad()
    def start_at(self, member: int, targets: Tensor) -> None:
        """Begin where the head predicts the distribution of its own labels: targets (n, E)."""
        if self.config.kind == "l1":
            self.linear.bias[member, : self.config.emotions] = targets.median(0).values
            return
        above = torch.stack([(targets > t).float().mean(0) for t in self.config.thresholds], 1)
        cuts = -torch.logit(above.clamp(1e-3, 1 - 1e-3))
        steps = (cuts[:, 1:] - cuts[:, :-1]).clamp(min=1e-2)
        self.cuts[member] = torch.cat((cuts[:, :1], torch.log(torch.expm1(steps))), 1)


class Classifier(nn.Module):
    """Tokens (B, L, S) -> scores (B, E) and category logits (B, C), from mean and deviation of the encoder's states.

    The head reads pooled states in units of the training pool: raw ones differ so much in scale that a head on few
    labels cannot use them. `standardise` sets those units once, before training.
    """

    def __init__(self, config: EncoderConfig, head: HeadConfig, members: int = 1):
        super().__init__()
        self.encoder, self.head = Encoder(config, members), Head(head, 2 * config.width, members)
        # nothing is masked here, and DistributedDataParallel would wait for the gradient
        self.encoder.mask.requires_grad_(False)
        self.register_buffer("center", torch.zeros(members, 2 * config.width))
        self.register_buffer("spread", torch.ones(members, 2 * config.width))

    def pooled(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Tokens (B, L, S) or frames (B, T, D), and which of them are valid -> (B, 2W)."""
        x, valid = self.encoder.as_tokens(x, valid)
        if valid is None:
            valid = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device)
        states = pool(self.encoder(x, valid), valid)
        if states.dim() == 2:
            return (states - self.center[0]) / self.spread[0]
        return (states - self.center[:, None]) / self.spread[:, None]

    @torch.no_grad()
    def standardise(self, pooled: Tensor) -> None:
        """From now on in units of these pooled states (M, n, 2W); one that never varies keeps its own."""
        mean, spread = units_of(pooled)
        self.center += self.spread * mean
        self.spread *= spread

    def forward(self, x: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.head(self.pooled(x, valid))


def units_of(states: Tensor) -> tuple[Tensor, Tensor]:
    """(…, n, I) -> mean and standard deviation (…, I) over n, 1 where nothing varies."""
    spread = states.std(-2, correction=0)
    return states.mean(-2), torch.where(spread > 1e-6, spread, torch.ones_like(spread))


# --- members --------------------------------------------------------------------------------------------------------

RECURRENT = re.compile(r"layers\.(\d+)\.(?:weight|bias)_")  # a GRU's, which has a module a member and no member axis


def member_state(module: nn.Module, m: int = 0) -> dict[str, Tensor]:
    """The state of member m, as a module with one member has it; the tensors are the module's own."""
    state = {}
    for name, value in module.state_dict().items():
        recurrent = RECURRENT.search(name)
        if not recurrent:
            state[name] = value[m : m + 1]
        elif int(recurrent[1]) == m:
            state[name.replace(f"layers.{m}.", "layers.0.")] = value
    return state


def save_state(path: Path, state: State) -> None:
    """As safetensors, whole or not at all."""
    write_bytes(path, save({name: value.detach().cpu().contiguous() for name, value in state.items()}))


def read_state(path: Path, like: State, advice: str) -> dict[str, Tensor]:
    """Tensors of the names, types and shapes of those in `like`, all of them finite; others are passed over."""
    try:
        stored = load_file(path)
        for name, wanted in like.items():
            found = stored[name]
            if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
                raise ValueError(f"{name} is {found.dtype} of {tuple(found.shape)}, not of {tuple(wanted.shape)}")
            if not found.isfinite().all():
                raise ValueError(f"{name} holds values that are no numbers")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise UserError(f"{path}: damaged ({shortened(str(problem), 160)}); {advice}.") from problem
    return {name: stored[name] for name in like}


@torch.no_grad()
def load_members(module: nn.Module, states: Sequence[State]) -> nn.Module:
    """Copy state m, that of a module with one member, into member m; names that the module lacks are passed over."""
    for m, state in enumerate(states):
        own = member_state(module, m)
        for name in own.keys() & state.keys():
            own[name].copy_(state[name])
    return module


@torch.no_grad()
def initialise(module: nn.Module, seeds: Sequence[int]) -> nn.Module:
    """Draw each member's weights on the CPU from its own seed, so that every device starts from the same numbers."""
    for m, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        for name, weight in member_state(module, m).items():
            if "weight" not in name:
                continue
            scale = 0.02 if "mask" in name else weight.shape[1] ** -0.5
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
            if name.endswith(("attention.out.weight", "feedforward.down.weight")):
                weight *= 0.5  # residual branches start small
            elif name.endswith("linear.weight"):
                weight *= 0.1  # a head's first predictions come from its cut points alone
    return module


def depth_of(name: str, layers: int) -> int:
    """How many steps below the head a parameter lies, for layer-wise decay of the learning rate."""
    if name.startswith("head"):
        return 0
    inside = re.search(r"layers\.(\d+)\.(?!weight_|bias_)|_l(\d+)", name)
    return layers - int(inside[1] or inside[2]) if inside else layers + 1
