"""Fine-tuning: one classifier, or many members (arm x budget x seed) of one shape in lockstep; heads on fixed vectors.

A member brings its own labels, batches and crops; all that is random about it is a function of its budget and seed. No
member influences another, so lockstep is only a faster way to train them one by one.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emo_ssl.core.batches import Runs, gather_tokens, label_order, normalised_frames, without_gaps
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.metrics import CEILING
from emo_ssl.core.model import (
    Classifier,
    Encoder,
    EncoderConfig,
    Head,
    HeadConfig,
    depth_of,
    initialise,
    load_members,
    member_state,
)
from emo_ssl.core.normalise import INDEPENDENT, Normaliser, speaker_independent
from emo_ssl.core.optim import MOST_RATE, PRECISIONS, AdamConfig, adamw, clip_members, refuse_absurd, schedule, step
from emo_ssl.core.predictor import EmotionModel, embed, load_model
from emo_ssl.core.pretrain import MODEL, PretrainedRun, device_named, named, refuse_shared
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint
from emo_ssl.utils.provenance import provenance
from emo_ssl.utils.values import short

CACHED_TOKENS = 16_384  # of all members in one step: more would fall out of a processor's cache
KEPT = 24  # numbers a token, layer and unit of width that a step keeps for its way back; 19.6 to 21.4 were counted
STANDARDISED_BY = 256  # crops of the training pool, at most: spreads are then known to 5 %
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
    chunk_tokens: int = 0  # of all members in one step; 0: as the device has room
    precision: str = "float32"  # or "bfloat16", on a GPU

    def __post_init__(self):
        if min(self.steps, self.batch, self.tokens, self.chunk_tokens + 1) < 1 or not 0 <= self.layer_decay <= 1:
            raise ValueError(
                "steps, batch, tokens are at least 1, chunk_tokens 0, and layer_decay lies between 0 and 1"
            )
        refuse_absurd(steps=self.steps, batch=self.batch, tokens=self.tokens)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {short(self.precision)} is none of {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class Member:
    """One of the models that train side by side."""

    seed: int
    subset: np.ndarray  # (budget,) indices of its labelled segments


@dataclass(frozen=True)
class LabelledSegments(Runs):
    """The segments of a corpus on the device, with their labels."""

    targets: Tensor  # (N, E)
    category: Tensor  # (N,), -1 without
    head: HeadConfig

    @classmethod
    def build(
        cls, corpus: Corpus, normaliser: Normaliser, device: torch.device, kind: str = "ordinal"
    ) -> "LabelledSegments":
        segments = corpus.segments
        frames, shift = normalised_frames(corpus, normaliser, np.unique(segments.recording), device)
        head = HeadConfig(levels_of(corpus.targets), len(corpus.target_names), len(corpus.category_names), kind)
        first = segments.first + shift[segments.recording]
        parts = (first, segments.length.astype(np.int64), corpus.targets, segments.category.astype(np.int64))
        return cls(without_gaps(frames), *(torch.from_numpy(part).to(device) for part in parts), head)


def levels_of(targets: np.ndarray) -> tuple[float, ...]:
    """The label levels: whole numbers if nothing else occurs, else thirds, the means of three raters."""
    return WHOLE if np.array_equal(targets, np.rint(targets)) else THIRDS


# --- what a step reads ----------------------------------------------------------------------------------------------

Inputs = Callable[[Tensor, Tensor], tuple[Tensor, ...]]  # picked and place (M, B) -> what the network is called with


def random_crops(data: LabelledSegments, stack: int, config: FinetuneConfig) -> Inputs:
    """Of the segments picked (M, B), where in [0, 1) `place` says -> tokens (M, B, L, S), valid (M, B, L)."""
    longest = min(config.tokens, -(-int(data.length.max()) // stack))

    def inputs(picked: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        length = data.length[picked]
        crop = length.clamp(max=longest * stack)
        # a place next to 1 may round to the position after the last
        first = data.first[picked] + torch.minimum(((length - crop + 1) * place).long(), length - crop)
        return gather_tokens(data.frames, first, crop, stack, longest)

    return inputs


def draw_batches(member: Member, steps: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """The segments (steps, B) of a member's batches, epochs of its subset end to end, and where in each, in [0, 1)."""
    rng = np.random.default_rng([member.seed, len(member.subset)])
    epochs = -(-steps * batch // len(member.subset))
    order = np.concatenate([rng.permutation(member.subset) for _ in range(epochs)])
    return order[: steps * batch].reshape(steps, batch), rng.random((steps, batch))


def members_at_once(config: FinetuneConfig, encoder: EncoderConfig, crop: int, device: torch.device) -> int:
    """How many members train side by side, each with batches of so many tokens a segment: on a GPU those that fit into
    half of the memory that is free."""
    tokens = config.batch * crop
    if config.chunk_tokens or device.type != "cuda":
        return max(1, (config.chunk_tokens or CACHED_TOKENS) // tokens)
    free, _ = torch.cuda.mem_get_info(device)
    kept = KEPT * encoder.layers * encoder.width + encoder.token_size
    learned = 4 * sum(p.numel() for p in Encoder(encoder).parameters())  # weights, gradients and Adam's two moments
    return max(1, free // 2 // (4 * (tokens * kept + learned)))


# --- the loop -------------------------------------------------------------------------------------------------------


def member_losses(data: LabelledSegments, head: Head, scores: Tensor, logits: Tensor, picked: Tensor) -> Tensor:
    """Scores (M, B, E) and logits (M, B, C) of the segments picked (M, B) -> the members' own mean losses (M,)."""
    scores, targets = scores.float(), data.targets[picked]
    if head.config.kind == "ordinal":
        above = (targets[..., None] > head.thresholds).float()
        errors = F.binary_cross_entropy_with_logits(head.exceedance_logits(scores), above, reduction="none")
        loss = errors.sum(-1).mean((1, 2))
    else:
        loss = (scores - targets).abs().mean((1, 2))
    if head.config.categories:
        category = data.category[picked].flatten()  # -1 where it is not known
        flat = F.cross_entropy(logits.float().flatten(0, 1), category, ignore_index=-1, reduction="none")
        loss = loss + flat.view(picked.shape).mean(1)
    return loss


def train(
    network: nn.Module,
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
    layers = network.encoder.config.layers if isinstance(network, Classifier) else 0  # else a head alone
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
    crop = data.length.clamp(max=config.tokens * network.encoder.config.stack)
    middle = replace(data, first=data.first + (data.length - crop) // 2, length=crop)
    network.standardise(embed(network, middle, pool[places], config.precision))


# --- one model ------------------------------------------------------------------------------------------------------


def finetune(
    corpus: Corpus,
    run: PretrainedRun | Path | str,
    output: Path | str,
    labels: int | None = None,
    rate: float = 1e-3,
    seed: int = 0,
    config: FinetuneConfig | None = None,
    device: str | None = None,
) -> EmotionModel:
    """Fine-tune one model from a pretraining run on `labels` segments (all by default) and save it in `output`."""
    config, run = config or FinetuneConfig(), PretrainedRun.open(run)
    corpus = run.view(corpus)
    if not 0 <= rate <= MOST_RATE:
        raise UserError(f"a learning rate of {rate:g}: choose a number above 0, such as 0.001.")
    if run.result["config"]["protocol"] != INDEPENDENT:
        raise UserError(
            f"{run.folder}: pretrained speaker by speaker; a saved model meets strangers, so pretrain it "
            "speaker-independent."
        )
    choices = {"labels": labels, "rate": rate, "seed": seed}
    setting = {**asdict(config), "corpus": corpus.content_hash, "run": fingerprint(run.folder / MODEL), **choices}
    with OutputFolder(output, "fine-tuned model", setting) as out:
        if not out.complete:
            split = corpus.of_fold(run.result["fold"])
            subset = labelled(split, labels, seed)
            run.refuse_leaks(split)
            build(split, run, Member(seed, subset), rate, config, device_named(device)).save(out.path)
            out.finish()
    return load_model(output)


def labelled(corpus: Corpus, labels: int | None, seed: int) -> np.ndarray:
    """The training segments (n,) whose labels are used; refused where there are not so many, or where it is unfair."""
    refuse_shared(corpus)
    subset = label_order(corpus, corpus.where("train"), seed)[:labels]
    if not len(subset) or labels not in (None, len(subset)):
        raise UserError(
            f"{corpus.folder}: {labels} labels are asked for; take 1 or more, and at most the "
            f"{len(corpus.where('train'))} of the training segments."
        )
    return subset


def build(
    corpus: Corpus, run: PretrainedRun, member: Member, rate: float, config: FinetuneConfig, device: torch.device
) -> EmotionModel:
    normaliser = speaker_independent(corpus)
    data = LabelledSegments.build(corpus, normaliser, device)
    network = Classifier(run.network.encoder.config, data.head)
    load_members(network, [run.network.state_dict()])
    initialise(network.head, [member.seed])
    network.to(device)
    standardise(network, data, corpus.where("train"), config)
    train(network, random_crops(data, network.encoder.config.stack, config), data, [member], config, rate)
    if not all(value.isfinite().all() for value in network.state_dict().values()):
        raise UserError(
            f"fine-tuning on {len(member.subset)} labels diverged at a rate of {rate:g} (seed {member.seed}): its "
            "weights are no numbers any more; choose a smaller rate."
        )
    described = {"encoder": run.result["encoder"], "head": asdict(data.head), "config": asdict(config), "rate": rate}
    return tested(network, normaliser, corpus, {**described, "labels": len(member.subset), "seed": member.seed})


def tested(network: nn.Module, normaliser: Normaliser, corpus: Corpus, described: dict) -> EmotionModel:
    """The model, with its scores on the test segments."""
    names = ("front_end_version", "front_end_licence", "speech_encoder", "keep_silence")
    description = {
        **described,
        "feature_names": list(corpus.feature_names),
        "target_names": list(corpus.target_names),
        "category_names": list(corpus.category_names),
        "frame_rate": corpus.frame_rate,
        "front_end": corpus.header.get("front_end", "as in the corpus"),
        **{name: corpus.header.get(name) for name in names},
        "corpus": named(corpus),
        "test": {},
        "provenance": provenance(str(next(network.parameters()).device)),
    }
    model = EmotionModel(network, replace(normaliser, group=np.zeros(1, np.int64)), description)
    test = corpus.split("test")
    if len(test):
        scores = model.evaluate(test)
        description["test"] = {name: None if np.isnan(value) else value for name, value in scores.items()}
    return model
