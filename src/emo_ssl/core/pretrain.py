"""Masked pretraining: hide spans of tokens, recover the frames behind them, on windows of whole videos.

Everything random about step t is a function of (seed, t), so the state of a run is its parameters, its moments and t:
a resumed run ends in the same weights as one that was never stopped.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from emo_ssl.core import reconstruct
from emo_ssl.core.batches import FrameStore, MaskConfig, channel_mask, gather, realised_share, span_mask, windows
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.leaks import trained_on
from emo_ssl.core.model import (
    BackboneConfig,
    Params,
    backbone_shapes,
    encode,
    initialise,
    linear,
    parameter_count,
    stack_members,
    to_tokens,
)
from emo_ssl.core.normalise import ENROLMENT, PROTOCOLS, Normaliser, typical_frame, under
from emo_ssl.core.optim import PRECISIONS, Adam, AdamConfig, schedule
from emo_ssl.utils.io import OutputFolder, UserError, atomic_path, hash_of, read_json, write_bytes, write_json
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.provenance import provenance

MODEL, CHECKPOINT, METRICS, RESULT = "model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "run.json"


@dataclass(frozen=True)
class PretrainConfig:
    kind: str = "transformer"
    stack: int = 4
    width: int = 48
    layers: int = 2
    heads: int = 4
    window: float = 5.12  # seconds
    batch: int = 16  # windows
    steps: int = 2000
    rate: float = 3e-3
    adam: AdamConfig = field(default_factory=AdamConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    evaluate_every: int = 250
    checkpoint_every: int = 250
    precision: str = "float32"  # or "bfloat16", on a GPU
    protocol: str = "blind"  # or "adapted": frames normalised speaker by speaker
    enrolment: int = ENROLMENT  # segments a speaker, where adapted

    def __post_init__(self):
        if min(self.batch, self.evaluate_every, self.checkpoint_every) < 1 or self.steps < 0 or self.window <= 0:
            raise ValueError("window, batch, evaluate_every and checkpoint_every are above 0, steps not below")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {self.protocol!r} is none of {', '.join(PROTOCOLS)}")
        self.backbone(1)  # refuses a shape that there is not

    def backbone(self, features: int) -> BackboneConfig:
        return BackboneConfig(features, self.kind, self.stack, self.width, self.layers, self.heads)


@dataclass(frozen=True)
class Pool:
    """Windows of normalised frames, on the device."""

    frames: Tensor  # (F, D), NaN = missing
    first: np.ndarray  # (W,)
    length: np.ndarray  # (W,)

    def __len__(self) -> int:
        return len(self.first)


def make_pool(
    corpora: Sequence[tuple[Corpus, Normaliser]], splits: Sequence[str], config: PretrainConfig, device: torch.device
) -> Pool:
    """All windows of the videos in `splits`, of every corpus."""
    stores, firsts, lengths, begin = [], [], [], 0
    for prepared, normaliser in corpora:
        recordings = np.flatnonzero(np.isin(prepared.recordings.split, [SPLITS.index(name) for name in splits]))
        store = FrameStore.build(prepared, normaliser, recordings, device)
        cut = windows(prepared, recordings, round(config.window * prepared.frame_rate))
        firsts.append(store.locate(cut.recording, cut.first) + begin)
        lengths.append(cut.length)
        stores.append(store.frames)
        begin += len(store.frames)
    return Pool(torch.cat(stores), np.concatenate(firsts), np.concatenate(lengths))


def drawn(seed: int, step: int, batch: int, total: int) -> np.ndarray:
    """The windows of step `step`: epochs of permutations end to end, cut into batches."""
    places = np.arange(step * batch, (step + 1) * batch)
    epochs = places // total
    orders = {e: np.random.default_rng([seed, 0, int(e)]).permutation(total) for e in np.unique(epochs)}
    return np.array([orders[e][p % total] for e, p in zip(epochs, places, strict=True)], np.int64)


@dataclass(frozen=True)
class Batch:
    """What one step needs, chosen on the host and sent over at once."""

    first: Tensor  # (B,)
    length: Tensor  # (B,)
    hidden: Tensor  # (B, L) bool
    place: Tensor  # (n,) the hidden tokens' positions in (B * L)
    channels: Tensor | None  # (B, S) bool, features hidden over the whole window
    steps: int  # frames
    tokens: int


def make_batch(pool: Pool, chosen: np.ndarray, rng: np.random.Generator, config: PretrainConfig) -> Batch:
    length = pool.length[chosen]
    token_length = -(-length // config.stack)
    steps = int(token_length.max()) * config.stack
    hidden = span_mask(rng, token_length, config.mask)
    channels = None
    if config.mask.channel_share:
        blocks = channel_mask(rng, len(chosen), pool.frames.shape[1], config.mask)
        channels = torch.from_numpy(np.tile(blocks, (1, config.stack)))
    device = pool.frames.device
    parts = [torch.from_numpy(x) for x in (pool.first[chosen], length, hidden, np.flatnonzero(hidden))]
    if device.type == "cuda":
        parts = [part.pin_memory().to(device, non_blocking=True) for part in parts]
        channels = None if channels is None else channels.pin_memory().to(device, non_blocking=True)
    return Batch(*parts, channels, steps, int(token_length.sum()))


def reconstruction_loss(
    config: BackboneConfig, params: Params, frames: Tensor, batch: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean smooth L1 over the known values behind the mask; also the sum and the count it is made of."""
    raw, b = gather(frames, batch.first, batch.length, batch.steps)
    tokens, valid = to_tokens(raw[None], b[None], config.stack)
    seen = tokens if batch.channels is None else tokens.masked_fill(batch.channels[None, :, None], 0.0)
    states = encode(config, params, seen, valid, batch.hidden[None])
    chosen = states.reshape(1, -1, config.width)[:, batch.place]
    guess = linear(chosen, params, "reconstruct")
    target = raw.reshape(-1, config.token_size)[batch.place][None]
    known = torch.isfinite(target) & b.reshape(-1, config.stack)[batch.place].repeat_interleave(
        config.token_size // config.stack, -1
    )
    errors = F.smooth_l1_loss(guess.float(), torch.where(known, target, 0.0), reduction="none")
    total, count = torch.where(known, errors, 0.0).sum(), known.sum()
    return total / count.clamp(min=1), total.detach(), count


def pretrain(
    corpora: Sequence[Corpus],
    output: Path | str,
    config: PretrainConfig | None = None,
    seed: int = 0,
    fold: int = 0,
    device: str | None = None,
) -> dict:
    """Pretrain on the training videos of `corpora` and on those in no fold; returns the run's result.

    `fold` says which split of a corpus with cross-validation folds; others have one.
    """
    config = config or PretrainConfig()
    corpora = [prepared.of_fold(fold) for prepared in corpora]
    refuse_unequal(corpora)
    setting = {**asdict(config), "seed": seed, "fold": fold, "corpora": [s.content_hash for s in corpora]}
    setting["splits"] = [hash_of(s.recordings.split.tolist()) for s in corpora]
    with OutputFolder(output, "pretraining run", setting) as out:
        if not out.complete:
            run(corpora, out.path, config, seed, fold, device_named(device))
            out.finish()
    return read_json(Path(output) / RESULT)


def refuse_unequal(corpora: Sequence[Corpus]) -> None:
    first = corpora[0]
    for other in corpora[1:]:
        if other.feature_names != first.feature_names or other.frame_rate != first.frame_rate:
            raise UserError(
                f"{other.folder}: its features or frame rate differ from those of {first.folder}; "
                "only corpora with equal features can be pretrained on together."
            )


def device_named(name: str | None) -> torch.device:
    """The device that was asked for; without a name a GPU if there is one."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise UserError(f"{name}: no such device here; choose another --device, such as cpu.") from problem
    return device


def run_shapes(config: PretrainConfig, features: int) -> dict[str, tuple[int, ...]]:
    backbone = config.backbone(features)
    size = backbone.token_size
    return {
        **backbone_shapes(backbone),
        "reconstruct.weight": (config.width, size),
        "reconstruct.bias": (size,),
    }


def run(
    corpora: Sequence[Corpus], folder: Path, config: PretrainConfig, seed: int, fold: int, device: torch.device
) -> None:
    normalised = [under(config.protocol, prepared, config.enrolment) for prepared in corpora]
    pool = make_pool(normalised, ("train", "none"), config, device)
    held_out = make_pool(normalised, ("valid",), config, device)
    if not len(held_out):
        raise UserError(
            f"{corpora[0].folder}: no validation video to measure on; prepare it with folds that have some."
        )
    features = len(corpora[0].feature_names)
    backbone = config.backbone(features)
    shapes = run_shapes(config, features)
    start = {name: value.to(device) for name, value in stack_members([initialise(shapes, seed)]).items()}
    adam = Adam(start, config.adam)
    begin, log = resume(folder, adam, device)
    if begin == 0:
        floors = floors_of(held_out, config, normalised, seed)
        log = [{"step": 0, "held_out": held_out_loss(backbone, adam.params, held_out, config, seed), **floors}]
    amp = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    waiting: list[tuple[int, Tensor, int]] = []
    paces = torch.tensor(
        [config.rate * schedule(t, config.steps, config.adam) for t in range(config.steps)], device=device
    )
    with Progress("pretraining", config.steps, "steps") as bar:
        bar.advance(begin)
        started, tokens = time.monotonic(), 0
        for step in range(begin, config.steps):
            chosen = drawn(seed, step, config.batch, len(pool))
            batch = make_batch(pool, chosen, np.random.default_rng([seed, 1, step]), config)
            with amp:
                loss, _, _ = reconstruction_loss(backbone, adam.params, pool.frames, batch)
            gradients = torch.autograd.grad(loss, list(adam.params.values()))
            adam.step(gradients, paces[step : step + 1])
            waiting.append((step + 1, loss.detach(), batch.tokens))
            tokens += batch.tokens
            last = step + 1 == config.steps
            if last or (step + 1) % config.evaluate_every == 0:
                log += [{"step": s, "loss": float(x), "tokens": n} for s, x, n in waiting]
                waiting = []
                log.append({"step": step + 1, "held_out": held_out_loss(backbone, adam.params, held_out, config, seed)})
                bar.note = f"held-out loss {log[-1]['held_out']:.4f}"
            if last or (step + 1) % config.checkpoint_every == 0:
                log += [{"step": s, "loss": float(x), "tokens": n} for s, x, n in waiting]
                waiting = []
                save_checkpoint(folder, adam, step + 1, log)
            bar.advance()
    seconds = time.monotonic() - started
    finish(
        folder, corpora, normalised, config, seed, fold, shapes, adam, log, device, tokens / seconds if seconds else 0.0
    )


def floors_of(
    held_out: Pool, config: PretrainConfig, normalised: Sequence[tuple[Corpus, Normaliser]], seed: int
) -> dict[str, dict[str, float]]:
    """The three guesses that need no model, on the very masks that the held-out loss uses."""
    mean = np.mean([typical_frame(prepared, normaliser) for prepared, normaliser in normalised], 0)
    sums, count = dict.fromkeys(reconstruct.FLOORS, 0.0), 0
    for batch in held_out_batches(held_out, config, seed):
        raw, valid = gather(held_out.frames, batch.first, batch.length, batch.steps)
        hidden = reconstruct.frame_mask(batch.hidden.cpu().numpy(), config.stack, batch.steps)
        some, known = reconstruct.floor_losses(raw.cpu().numpy(), hidden, valid.cpu().numpy(), mean)
        sums, count = {name: sums[name] + some[name] for name in sums}, count + known
    if not count:
        raise UserError(
            f"{normalised[0][0].folder}: nothing to recover in the validation videos: too short for a mask, or all "
            "missing; choose a smaller stack or other folds."
        )
    return {"floors": {name: total / count for name, total in sums.items()}}


def held_out_batches(held_out: Pool, config: PretrainConfig, seed: int):
    """Every held-out window once, always behind the same mask."""
    order = np.argsort(held_out.length, kind="stable")
    for number, i in enumerate(range(0, len(order), 2 * config.batch)):
        rng = np.random.default_rng([seed, 2, number])
        yield make_batch(held_out, order[i : i + 2 * config.batch], rng, config)


@torch.no_grad()
def held_out_loss(backbone: BackboneConfig, params: Params, held_out: Pool, config: PretrainConfig, seed: int) -> float:
    sums, counts = [], []
    for batch in held_out_batches(held_out, config, seed):
        _, total, count = reconstruction_loss(backbone, params, held_out.frames, batch)
        sums.append(total)
        counts.append(count)
    return float(torch.stack(sums).sum().double() / torch.stack(counts).sum())


def save_checkpoint(folder: Path, adam: Adam, step: int, log: list[dict]) -> None:
    """The log first: a kill between the two leaves a log that is ahead, and resuming cuts it back."""
    write_bytes(folder / METRICS, "".join(json.dumps(line) + "\n" for line in log).encode())
    with atomic_path(folder / CHECKPOINT) as temporary:
        state = {name: value.detach().cpu().contiguous() for name, value in adam.state().items()}
        save_file(state, temporary, metadata={"step": str(step)})


def resume(folder: Path, adam: Adam, device: torch.device) -> tuple[int, list[dict]]:
    """The step to go on from and the log up to there; 0 and nothing for a new run."""
    if not (folder / CHECKPOINT).exists():
        return 0, []
    try:
        with safe_open(folder / CHECKPOINT, "pt", device=str(device)) as stored:
            step = int(stored.metadata()["step"])
            adam.restore({name: stored.get_tensor(name) for name in stored.keys()}, step)  # noqa: SIM118
        lines = [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as problem:
        raise UserError(f"{folder / CHECKPOINT}: damaged ({problem}); delete it to begin anew.") from problem
    return step, [line for line in lines if line["step"] <= step]


def finish(folder, corpora, normalised, config, seed, fold, shapes, adam, log, device, speed) -> None:
    """The weights, what was measured, what was seen, and a card that says so."""
    weights = {name: value.detach()[0].cpu().contiguous() for name, value in adam.params.items()}
    normaliser = normalised[0][1]
    weights["normaliser.center"] = torch.from_numpy(normaliser.center[0])
    weights["normaliser.scale"] = torch.from_numpy(normaliser.scale[0])
    with atomic_path(folder / MODEL) as temporary:
        save_file(weights, temporary)
    held_out = [line["held_out"] for line in log if "held_out" in line]
    floors = next(line["floors"] for line in log if "floors" in line)
    rng = np.random.default_rng([seed, 1, 0])
    lengths = np.full(config.batch, -(-round(config.window * corpora[0].frame_rate) // config.stack))
    result = {
        "config": asdict(config),
        "backbone": asdict(config.backbone(len(corpora[0].feature_names))),
        "seed": seed,
        "fold": fold,
        "feature_names": list(corpora[0].feature_names),
        "frame_rate": corpora[0].frame_rate,
        "corpora": [named(s) for s in corpora],
        **trained_on(corpora),
        "parameters": parameter_count(shapes),
        "mask_share": realised_share(span_mask(rng, lengths, config.mask), lengths),
        "held_out": {"model": held_out[-1], "before training": held_out[0], **floors},
        "tokens_a_second": speed,
        "provenance": provenance(str(device)),
    }
    write_json(folder / RESULT, result)
    write_bytes(folder / "README.md", card(result).encode())
    (folder / CHECKPOINT).unlink(missing_ok=True)


def named(prepared: Corpus) -> dict[str, str]:
    return {name: prepared.header[name] for name in ("content_hash", "source", "folds")}


def card(result: dict) -> str:
    sources = "\n".join(f"- {c['source']}, content hash `{c['content_hash']}`" for c in result["corpora"])
    losses = "\n".join(f"| {name} | {value:.4f} |" for name, value in result["held_out"].items())
    commit = result["provenance"]["commit"] or "unknown"
    return (
        f"# A pretrained backbone\n\n{result['backbone']['kind']}, {result['parameters']:,} parameters, "
        f"seed {result['seed']}, commit `{commit}`.\n\nPretrained on\n\n{sources}\n\n"
        "to recover masked frames. Smooth L1 on held-out videos:\n\n| guess | loss |\n|---|---|\n"
        f"{losses}\n\nThe whole configuration is in `run.json`; the weights load with `emo_ssl.core.pretrain.load`.\n"
    )


def load(folder: Path | str) -> tuple[dict, Params]:
    """A finished run: its result and its weights (no member axis)."""
    folder = Path(folder)
    if not (folder / RESULT).exists():
        raise UserError(f"{folder}: no finished pretraining run; run `emo-ssl pretrain … -o {folder}` first.")
    result = read_json(folder / RESULT)
    try:
        if not {"recordings", "speakers"} <= set(result):
            raise ValueError(f"{RESULT} does not note what it was trained on")
        with safe_open(folder / MODEL, "pt") as stored:
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        shapes = run_shapes(read(result["config"]), len(result["feature_names"]))
        if any(tuple(weights[name].shape) != shape for name, shape in shapes.items()):
            raise ValueError("the weights do not fit the configuration")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise UserError(f"{folder}: damaged, or made by another version ({problem}); pretrain again.") from problem
    return result, weights


def read(config: dict) -> PretrainConfig:
    return PretrainConfig(**{**config, "adam": AdamConfig(**config["adam"]), "mask": MaskConfig(**config["mask"])})
