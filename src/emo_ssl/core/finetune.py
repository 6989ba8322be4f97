"""Fine-tuning classifiers, and heads on fixed vectors: many members (arm x budget x seed) of one shape in lockstep.

A member brings its own labels, batches and crops; all that is random about it is a function of its budget and seed. No
member influences another, so lockstep is only a faster way to train them one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emo_ssl.core.batches import FrameStore
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.metrics import CEILING
from emo_ssl.core.model import Classifier, Head, HeadConfig, depth_of, load_members, member_state
from emo_ssl.core.normalise import Normaliser
from emo_ssl.core.optim import PRECISIONS, AdamConfig, adamw, clip_members, schedule, step
from emo_ssl.core.readout import Predictions, read_out

STANDARDISED_BY = 512  # segments of the training pool, at most
CHECKS = 10  # on validation, where a member keeps its best weights instead of the last
THIRDS = tuple(k / 3 for k in range(10))
WHOLE = tuple(float(k) for k in range(int(CEILING) + 1))


@dataclass(frozen=True)
class FinetuneConfig:
    steps: int = 150
    batch: int = 8
    tokens: int = 64  # longest crop of a segment while training; scoring reads all of it
    layer_decay: float = 0.7  # of the learning rate, a layer down
    adam: AdamConfig = field(default_factory=AdamConfig)
    chunk_tokens: int = 16_384  # of all members in one step: more would fall out of the processor's cache
    score_tokens: int = 65_536
    precision: str = "float32"  # or "bfloat16", on a GPU

    def __post_init__(self):
        if min(self.steps, self.batch, self.tokens) < 1:
            raise ValueError("steps, batch and tokens are at least 1")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Member:
    """One of the models that train side by side."""

    seed: int
    subset: np.ndarray  # (budget,) indices of its labelled segments


@dataclass(frozen=True)
class LabelledSegments:
    """The segments of a corpus on the device: where their frames begin, and their labels."""

    frames: Tensor  # (F + 1, D), missing = 0 and a last frame of zeros, which stands for padding
    first: Tensor  # (N,)
    length: Tensor  # (N,)
    targets: Tensor  # (N, E)
    category: Tensor  # (N,), -1 without
    levels: tuple[float, ...]  # that labels take
    head: HeadConfig

    @classmethod
    def build(
        cls, corpus: Corpus, normaliser: Normaliser, device: torch.device, kind: str = "ordinal"
    ) -> "LabelledSegments":
        store = FrameStore.build(corpus, normaliser, np.unique(corpus.segments.recording), device)
        levels = levels_of(corpus.targets)
        head = HeadConfig(thresholds_between(levels), len(corpus.target_names), len(corpus.category_names), kind)
        return cls(
            with_padding(store.frames),
            torch.from_numpy(store.locate(corpus.segments.recording, corpus.segments.first)).to(device),
            torch.from_numpy(corpus.segments.length.astype(np.int64)).to(device),
            torch.from_numpy(corpus.targets).to(device),
            torch.from_numpy(corpus.segments.category.astype(np.int64)).to(device),
            levels,
            head,
        )

    @cached_property
    def thresholds(self) -> Tensor:
        """(K,) on the device: sending them over in each step would stall it."""
        return torch.tensor(self.head.thresholds, device=self.device)

    @property
    def device(self) -> torch.device:
        return self.frames.device


def with_padding(frames: Tensor) -> Tensor:
    """(F, D), NaN = missing -> (F + 1, D) without a gap, so that a step has nothing left to fill."""
    return torch.cat((frames.nan_to_num(nan=0.0), frames.new_zeros(1, frames.shape[1])))


def tokens_at(frames: Tensor, first: Tensor, length: Tensor, stack: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Padded frames (F + 1, D), first and length (...) -> tokens (..., L, S) and which of them are valid (..., L)."""
    place = torch.arange(tokens * stack, device=frames.device)
    valid = place < length[..., None]
    index = torch.where(valid, first[..., None] + place, len(frames) - 1)
    rows = frames.index_select(0, index.flatten()).float()
    return rows.view(*length.shape, tokens, stack * frames.shape[1]), valid[..., ::stack]


def levels_of(targets: np.ndarray) -> tuple[float, ...]:
    """The label levels: whole numbers if nothing else occurs, else thirds, the means of three raters."""
    return WHOLE if np.array_equal(targets, np.rint(targets)) else THIRDS


def thresholds_between(levels: Sequence[float]) -> tuple[float, ...]:
    return tuple((a + b) / 2 for a, b in pairwise(levels))


# --- what a step reads ----------------------------------------------------------------------------------------------

Inputs = Callable[[Tensor, Tensor], tuple[Tensor, ...]]  # picked and place (M, B) -> what the network is called with


class Probe(nn.Module):
    """A head on vectors (M, B, I) that nothing learns to make."""

    def __init__(self, head: HeadConfig, inputs: int, members: int = 1):
        super().__init__()
        self.head = Head(head, inputs, members)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(vectors)


def random_crops(data: LabelledSegments, stack: int, config: FinetuneConfig) -> Inputs:
    """Of the segments picked (M, B), where in [0, 1) `place` says -> tokens (M, B, L, S), valid (M, B, L)."""
    longest = min(config.tokens, -(-int(data.length.max()) // stack))

    def inputs(picked: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        length = data.length[picked]
        crop = length.clamp(max=longest * stack)
        # a place next to 1 may round to the position after the last
        first = data.first[picked] + torch.minimum(((length - crop + 1) * place).long(), length - crop)
        return tokens_at(data.frames, first, crop, stack, longest)

    return inputs


def draw_batches(member: Member, steps: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """The segments (steps, B) of a member's batches, epochs of its subset end to end, and where in each, in [0, 1)."""
    rng = np.random.default_rng([member.seed, len(member.subset)])
    epochs = -(-steps * batch // len(member.subset))
    order = np.concatenate([rng.permutation(member.subset) for _ in range(epochs)])
    return order[: steps * batch].reshape(steps, batch), rng.random((steps, batch))


# --- the loop -------------------------------------------------------------------------------------------------------


def member_losses(data: LabelledSegments, head: Head, scores: Tensor, logits: Tensor, picked: Tensor) -> Tensor:
    """Scores (M, B, E) and logits (M, B, C) of the segments picked (M, B) -> the members' own mean losses (M,)."""
    scores, targets = scores.float(), data.targets[picked]
    if data.head.kind == "ordinal":
        above = (targets[..., None] > data.thresholds).float()
        errors = F.binary_cross_entropy_with_logits(head.exceedance_logits(scores), above, reduction="none")
        loss = errors.sum(-1).mean((1, 2))
    else:
        loss = (scores - targets).abs().mean((1, 2))
    if data.head.categories:
        category = data.category[picked].flatten()  # -1 where it is not known
        flat = F.cross_entropy(logits.float().flatten(0, 1), category, ignore_index=-1, reduction="none")
        loss = loss + flat.view(picked.shape).mean(1)
    return loss


def train(
    network: Classifier | Probe,
    inputs: Inputs,
    data: LabelledSegments,
    members: Sequence[Member],
    config: FinetuneConfig,
    rate: float,
    check: Callable[[nn.Module], Tensor] | None = None,
) -> None:
    """Train the members of `network` in place; the learning rate falls from the head towards the input.

    With a `check`, which scores the members on validation segments (M,), each ends with the best of its `CHECKS`
    states; without, with its last one.
    """
    device = data.device
    for m, member in enumerate(members):
        network.head.start_at(m, data.targets[torch.from_numpy(member.subset).to(device)])
    layers = network.encoder.config.layers if isinstance(network, Classifier) else 0
    optimiser = adamw(network, config.adam, rate, lambda name: config.layer_decay ** depth_of(name, layers))
    draws = [draw_batches(member, config.steps, config.batch) for member in members]
    picked = torch.from_numpy(np.stack([d[0] for d in draws], 1)).to(device)
    place = torch.from_numpy(np.stack([d[1] for d in draws], 1).astype(np.float32)).to(device)
    amp = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    best, best_state = torch.full((len(members),), -torch.inf), [member_state(network, m) for m in range(len(members))]
    checked = set(np.linspace(0, config.steps, CHECKS + 1).round().astype(int).tolist()) - {0}
    for number in range(config.steps):
        with amp:
            scores, logits = network(*inputs(picked[number], place[number]))
            loss = member_losses(data, network.head, scores, logits, picked[number]).sum()
        loss.backward()
        clip_members(network, len(members), config.adam.clip)
        step(optimiser, schedule(number, config.steps, config.adam))
        if check and number + 1 in checked:
            found = check(network).nan_to_num(nan=-torch.inf)
            for m in torch.nonzero(found >= best)[:, 0].tolist():
                best[m] = found[m]
                best_state[m] = {name: value.clone() for name, value in member_state(network, m).items()}
    if check:
        load_members(network, best_state)


def standardise(network: Classifier, data: LabelledSegments, pool: np.ndarray, config: FinetuneConfig) -> None:
    """Let the head read pooled states in units of the training pool (P,), as the encoder begins. No label is used."""
    places = np.linspace(0, len(pool) - 1, min(len(pool), STANDARDISED_BY)).round().astype(np.int64)
    network.standardise(embed(network, data, pool[places], config))


# --- reading out ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def embed(network: Classifier, data: LabelledSegments, chosen: np.ndarray, config: FinetuneConfig) -> Tensor:
    """Pooled states of whole segments, in buckets of similar length: chosen (n,) -> (M, n, 2W)."""
    members, stack = len(network.encoder.token.weight), network.encoder.config.stack
    lengths = data.length.cpu().numpy()[chosen]
    order = np.argsort(lengths, kind="stable")
    out = torch.empty((members, len(chosen), 2 * network.encoder.config.width), device=data.device)
    amp = torch.autocast(data.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    begin = 0
    while begin < len(order):
        # as many as fit when padded to the longest of them
        tokens = -(-lengths[order[begin:]] // stack)
        fits = np.arange(1, len(tokens) + 1) * tokens * members <= config.score_tokens
        part = order[begin : begin + max(1, int(fits.sum()))]
        begin += len(part)
        index = torch.from_numpy(chosen[part]).to(data.device)
        longest = -(-int(lengths[part[-1]]) // stack)
        tokens, valid = tokens_at(data.frames, data.first[index], data.length[index], stack, longest)
        with amp:
            both = (x.expand(members, *x.shape) for x in (tokens, valid))
            out[:, torch.from_numpy(part).to(data.device)] = network.pooled(*both).float()
    return out


@torch.no_grad()
def predict(head: Head, vectors: Tensor, levels: Sequence[float]) -> Predictions:
    """vectors (M, n, I) -> the members' predictions for n segments."""
    scores, logits = head(vectors)
    category = logits.softmax(-1).cpu().numpy() if head.config.categories else None
    if head.config.kind == "l1":
        return read_out(levels, intensity=scores.cpu().numpy(), category=category)
    return read_out(levels, torch.sigmoid(head.exceedance_logits(scores)).cpu().numpy(), category=category)
