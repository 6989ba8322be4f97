"""Training many members (arm x budget x seed) of one shape in lockstep along a member axis.

A member brings its own subset, batches, crops, start and learning rate; all that is random about it is a function of
its budget and seed. It never hears of the members beside it, so lockstep is only a faster way to train them one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emo_ssl.core.batches import FrameStore
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.metrics import CEILING
from emo_ssl.core.model import (
    BackboneConfig,
    HeadConfig,
    Params,
    apply_head,
    cuts_from_marginals,
    depth_of,
    encode,
    exceed,
    pool,
    stack_members,
)
from emo_ssl.core.normalise import Normaliser
from emo_ssl.core.optim import PRECISIONS, Adam, AdamConfig, schedule
from emo_ssl.core.readout import Predictions, read_out

LOOKS = 10  # at which a member is judged, where it keeps its best weights instead of the last
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
    """One model to train."""

    budget: int
    seed: int
    subset: np.ndarray  # (budget,) indices of its labelled segments
    start: Params  # without member axis
    rate: float
    source: int = 0  # which table of vectors a probe reads


@dataclass(frozen=True)
class Task:
    """Labelled segments on the device: where their frames begin, and what people said about them."""

    frames: Tensor  # (F + 1, D), missing = 0 and a last frame of zeros, which stands for padding
    first: Tensor  # (N,)
    length: Tensor  # (N,)
    targets: Tensor  # (N, E)
    category: Tensor  # (N,), -1 without
    levels: tuple[float, ...]  # that labels take
    head: HeadConfig

    @classmethod
    def build(cls, prepared: Corpus, normaliser: Normaliser, device: torch.device, kind: str = "ordinal") -> "Task":
        recordings = np.unique(prepared.segments.recording)
        store = FrameStore.build(prepared, normaliser, recordings, device)
        levels = levels_of(prepared.targets)
        head = HeadConfig(
            thresholds_between(levels),
            emotions=len(prepared.target_names),
            categories=len(prepared.category_names),
            kind=kind,
        )
        return cls(
            with_padding(store.frames),
            torch.from_numpy(store.locate(prepared.segments.recording, prepared.segments.first)).to(device),
            torch.from_numpy(prepared.segments.length.astype(np.int64)).to(device),
            torch.from_numpy(prepared.targets).to(device),
            torch.from_numpy(prepared.segments.category.astype(np.int64)).to(device),
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


def clip_tokens(frames: Tensor, first: Tensor, length: Tensor, stack: int, tokens: int) -> tuple[Tensor, Tensor]:
    """Padded frames (F + 1, D), first and length (...) -> tokens (..., L, S) and which of them are real (..., L)."""
    step = torch.arange(tokens * stack, device=frames.device)
    valid = step < length[..., None]
    index = torch.where(valid, first[..., None] + step, len(frames) - 1)
    rows = frames.index_select(0, index.flatten()).float()
    return rows.view(*length.shape, tokens, stack * frames.shape[1]), valid[..., ::stack]


def levels_of(targets: np.ndarray) -> tuple[float, ...]:
    """The label levels: whole numbers if nothing else occurs, else thirds, the means of three raters."""
    return WHOLE if np.array_equal(targets, np.rint(targets)) else THIRDS


def thresholds_between(levels: Sequence[float]) -> tuple[float, ...]:
    return tuple((a + b) / 2 for a, b in pairwise(levels))


def with_marginals(start: Params, targets: Tensor, head: HeadConfig) -> Params:
    """The head begun where it predicts its subset's own distribution: targets (n, E)."""
    start = dict(start)
    if head.kind == "ordinal":
        above = torch.stack([(targets > t).float().mean(0) for t in head.thresholds], 1)
        start["head.cuts"] = cuts_from_marginals(above).to(start["head.cuts"])
    else:
        start["head.bias"] = start["head.bias"].clone()
        start["head.bias"][: head.emotions] = targets.median(0).values.to(start["head.bias"])
    return start


def draw_batches(member: Member, steps: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """The segments (steps, B) that a member sees, epochs of its subset end to end, and where in them, in [0, 1)."""
    rng = np.random.default_rng([member.seed, member.budget])
    epochs = -(-steps * batch // len(member.subset))
    order = np.concatenate([rng.permutation(member.subset) for _ in range(epochs)])
    return order[: steps * batch].reshape(steps, batch), rng.random((steps, batch))


def member_losses(task: Task, params: Params, vectors: Tensor, picked: Tensor) -> Tensor:
    """vectors (M, B, I) of the segments picked (M, B) -> the members' own mean losses (M,)."""
    scores, logits = apply_head(task.head, params, vectors)
    scores, targets = scores.float(), task.targets[picked]
    if task.head.kind == "ordinal":
        above = (targets[..., None] > task.thresholds).float()
        loss = F.binary_cross_entropy_with_logits(exceed(params, scores), above, reduction="none").sum(-1).mean((1, 2))
    else:
        loss = (scores - targets).abs().mean((1, 2))
    if task.head.categories:
        members, batch = picked.shape
        told = task.category[picked].flatten()  # -1 where nobody said
        flat = F.cross_entropy(logits.float().flatten(0, 1), told, ignore_index=-1, reduction="none")
        loss = loss + flat.view(members, batch).mean(1)
    return loss


Vectors = Callable[[Params, Tensor, Tensor], Tensor]


def backbone_vectors(task: Task, backbone: BackboneConfig, config: FinetuneConfig) -> Vectors:
    """Pooled states of random crops: picked (M, B), place (M, B) -> (M, B, 2W)."""
    longest = min(config.tokens, -(-int(task.length.max()) // backbone.stack))

    def vectors(params: Params, picked: Tensor, place: Tensor) -> Tensor:
        length = task.length[picked]
        crop = length.clamp(max=longest * backbone.stack)
        # a place next to 1 may round to the position after the last
        first = task.first[picked] + torch.minimum(((length - crop + 1) * place).long(), length - crop)
        tokens, real = clip_tokens(task.frames, first, crop, backbone.stack, longest)
        return pool(encode(backbone, params, tokens, real), real)

    return vectors


def table_vectors(tables: Tensor, sources: Tensor) -> Vectors:
    """Rows of fixed tables (S, N, I): a probe of whatever filled them."""

    def vectors(params: Params, picked: Tensor, place: Tensor) -> Tensor:
        return tables[sources[:, None], picked]

    return vectors


Judge = Callable[[Params], Tensor]


def keep_better(kept: Params, best: Tensor, params: Params, found: Tensor) -> tuple[Params, Tensor]:
    """Each member's better weights (M, ...) and score (M,): the later of equal ones; NaN is worse than any number."""
    found = found.nan_to_num(nan=-torch.inf)
    better = found >= best
    chosen = {
        name: torch.where(better.view(-1, *[1] * (value.dim() - 1)), value.detach(), kept[name])
        for name, value in params.items()
    }
    return chosen, torch.where(better, found, best)


def train(
    task: Task,
    members: Sequence[Member],
    vectors: Vectors,
    config: FinetuneConfig,
    layers: int | None = None,
    judge: Judge | None = None,
) -> Params:
    """The members' weights after the last step, (M, ...). With `layers` the learning rate falls towards the input.

    With a `judge`, which scores the members (M,), each keeps the weights of the best of `LOOKS` looks instead.
    """
    device = task.device
    starts = [with_marginals(m.start, task.targets[torch.from_numpy(m.subset).to(device)], task.head) for m in members]
    params = {name: value.to(device) for name, value in stack_members(starts).items()}
    params = {name: value for name, value in params.items() if layers is not None or name.startswith("head")}
    decay = {name: config.layer_decay ** depth_of(name, layers or 0) for name in params}
    adam = Adam(params, config.adam, decay if layers is not None else None)
    draws = [draw_batches(m, config.steps, config.batch) for m in members]
    picked = torch.from_numpy(np.stack([d[0] for d in draws], 1)).to(device)
    place = torch.from_numpy(np.stack([d[1] for d in draws], 1).astype(np.float32)).to(device)
    peak = torch.tensor([m.rate for m in members], device=device)
    leaves = list(adam.params.values())
    amp = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    kept, best = params, torch.full((len(members),), -torch.inf, device=device)
    looks = set(np.linspace(0, config.steps, LOOKS + 1).round().astype(int).tolist()) - {0}
    for step in range(config.steps):
        with amp:
            loss = member_losses(task, adam.params, vectors(adam.params, picked[step], place[step]), picked[step]).sum()
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        adam.step(gradients, peak * schedule(step, config.steps, config.adam))
        if judge and step + 1 in looks:
            kept, best = keep_better(kept, best, adam.params, judge(adam.params).to(best))
    return kept if judge else {name: value.detach() for name, value in adam.params.items()}


@torch.no_grad()
def embed(task: Task, backbone: BackboneConfig, params: Params, chosen: np.ndarray, config: FinetuneConfig) -> Tensor:
    """Pooled states of whole segments, in buckets of similar length: chosen (n,) -> (M, n, 2W)."""
    members = len(next(iter(params.values())))
    lengths = task.length.cpu().numpy()[chosen]
    order = np.argsort(lengths, kind="stable")
    out = torch.empty((members, len(chosen), 2 * backbone.width), device=task.device)
    amp = torch.autocast(task.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    begin = 0
    while begin < len(order):
        # as many as fit when padded to the longest of them
        tokens = -(-lengths[order[begin:]] // backbone.stack)
        fits = np.arange(1, len(tokens) + 1) * tokens * members <= config.score_tokens
        part = order[begin : begin + max(1, int(fits.sum()))]
        begin += len(part)
        index = torch.from_numpy(chosen[part]).to(task.device)
        longest = -(-int(lengths[part[-1]]) // backbone.stack)
        tokens, real = clip_tokens(task.frames, task.first[index], task.length[index], backbone.stack, longest)
        with amp:
            real = real.expand(members, *real.shape)
            states = encode(backbone, params, tokens.expand(members, *tokens.shape), real)
            out[:, torch.from_numpy(part).to(task.device)] = pool(states, real).float()
    return out


@dataclass(frozen=True)
class Scores:
    """What members say of n segments, before any read-out."""

    above: np.ndarray | None  # (M, n, E, K) P(y > t_k), ordinal head
    intensity: np.ndarray | None  # (M, n, E), L1 head
    category: np.ndarray | None  # (M, n, C) probabilities


@torch.no_grad()
def score(task: Task, params: Params, vectors: Tensor) -> Scores:
    """vectors (M, n, I) -> what the heads make of them."""
    scores, logits = apply_head(task.head, params, vectors)
    ordinal = task.head.kind == "ordinal"
    return Scores(
        above=torch.sigmoid(exceed(params, scores)).cpu().numpy() if ordinal else None,
        intensity=None if ordinal else scores.cpu().numpy(),
        category=logits.softmax(-1).cpu().numpy() if task.head.categories else None,
    )


def predict(task: Task, params: Params, vectors: Tensor) -> Predictions:
    """vectors (M, n, I) -> the members' predictions for n segments."""
    scores = score(task, params, vectors)
    return read_out(task.levels, scores.above, scores.intensity, scores.category)


def permuted(backbone: Params, seed: int) -> Params:
    """Every tensor's values shuffled: the scale of a pretrained backbone without its content."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.flatten()[torch.randperm(value.numel(), generator=generator)].view(value.shape)
        for name, value in backbone.items()
    }
