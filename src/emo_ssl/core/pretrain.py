"""Masked pretraining: hide spans of tokens, recover the frames behind them, on windows of whole recordings.

Everything random about step t is a function of (seed, t), so the state of a run is its weights, its moments and t:
a resumed run ends in the same weights as one that was never stopped.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from emo_ssl.core import parallel
from emo_ssl.core.batches import MaskConfig, MaskedBatch, WindowPool, drawn, gather, masked_batch, span_mask
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.kinds import Line, Result
from emo_ssl.core.metrics import BASELINES, reconstruction_baselines, smooth_l1
from emo_ssl.core.model import EncoderConfig, MaskedAutoencoder, initialise, read_state, save_state, to_tokens
from emo_ssl.core.normalise import ENROLMENT, INDEPENDENT, PROTOCOLS, typical_frame, under
from emo_ssl.core.optim import PRECISIONS, AdamConfig, adamw, clip_members, refuse_absurd, schedule, step
from emo_ssl.utils.io import OutputFolder, UserError, absent, hash_of, read_json, write_bytes, write_json
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.provenance import provenance
from emo_ssl.utils.values import checked, read_json_lines, short

MODEL, CHECKPOINT, METRICS, RESULT = "model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "run.json"
AGAIN = "it may be of another version, so pretrain again"


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
    protocol: str = INDEPENDENT  # or "speaker-adapted": frames normalised speaker by speaker
    enrolment: int = ENROLMENT  # segments a speaker, where speaker-adapted
    layer: int | tuple[int, ...] | None = None  # one or more of the speech encoder, in a corpus that holds several

    def __post_init__(self):
        if min(self.batch, self.evaluate_every, self.checkpoint_every) < 1 or self.steps < 0 or self.window <= 0:
            raise ValueError("window, batch, evaluate_every and checkpoint_every are above 0, steps not below")
        refuse_absurd(steps=self.steps, batch=self.batch, window=self.window, rate=self.rate)
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {short(self.precision)} is none of {', '.join(PRECISIONS)}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"protocol {short(self.protocol)} is none of {', '.join(PROTOCOLS)}")
        self.encoder(1)  # refuses a shape that there is not

    def encoder(self, features: int) -> EncoderConfig:
        return EncoderConfig(features, self.kind, self.stack, self.width, self.layers, self.heads)


@dataclass(frozen=True)
class PretrainedRun:
    """A finished run: what was measured and noted, and the network."""

    folder: Path
    result: dict
    network: MaskedAutoencoder = field(repr=False)

    @classmethod
    def open(cls, run: "PretrainedRun | Path | str") -> "PretrainedRun":
        """The run in a folder; one that is open stays as it is."""
        if isinstance(run, PretrainedRun):
            return run
        folder = Path(run)
        if not (folder / RESULT).exists():
            raise absent(folder, "pretraining run", "pretrain …")
        result = read_json(folder / RESULT, Result, AGAIN)
        network = MaskedAutoencoder(checked(result["encoder"], EncoderConfig, f"{folder / RESULT}: encoder", AGAIN))
        network.load_state_dict(read_state(folder / MODEL, network.state_dict(), AGAIN))
        return cls(folder, result, network)

    def view(self, corpus: Corpus) -> Corpus:
        """The corpus with the features that the run was pretrained on; refused where they are others."""
        corpus = of_layer(corpus, self.result["config"].get("layer"))
        if self.result["feature_names"] != list(corpus.feature_names):
            raise UserError(
                f"{self.folder}: pretrained on other features than those of {corpus.folder}; pretrain on these."
            )
        version = corpus.header.get("front_end_version")
        if self.result.get("front_end_version", version) != version:
            raise UserError(
                f"{self.folder}: pretrained on frames of the front end {self.result['front_end']} version "
                f"{self.result['front_end_version']}, and those of {corpus.folder} are of version {version}; pretrain "
                "on these."
            )
        return corpus

    def refuse_leaks(self, corpus: Corpus) -> None:
        """Where the corpus, as it is split, scores what the run was pretrained on."""
        leak = leak_in(self.result, corpus)
        if leak:
            raise UserError(f"{self.folder}: was pretrained on {leak}; pretrain on this corpus's training recordings.")

    def __str__(self) -> str:
        losses = ", ".join(f"{name} {value:.3f}" for name, value in self.result["held_out"].items())
        config = self.result["config"]
        return (
            f"{self.folder}: {config['kind']} of {self.result['parameters']:,} parameters, {config['steps']:,} steps, "
            f"seed {self.result['seed']}, fold {self.result['fold']}\nloss on held-out recordings: {losses}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


# --- the method -----------------------------------------------------------------------------------------------------


def reconstruction_loss(
    network: MaskedAutoencoder, frames: Tensor, batch: MaskedBatch
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean smooth L1 over the known values behind the mask; also the sum and the count that it is made of."""
    config = network.encoder.config
    raw, real = gather(frames, batch.first, batch.length, batch.steps)
    tokens, valid = to_tokens(raw, real, config.stack)
    guess = network(tokens, valid if batch.padded else None, batch.masked, batch.place)  # attention is then faster
    target = raw.reshape(-1, config.token_size)[batch.place]
    known = torch.isfinite(target) & real.reshape(-1, config.stack)[batch.place].repeat_interleave(config.features, -1)
    errors = F.smooth_l1_loss(guess.float(), torch.where(known, target, 0.0), reduction="none")
    total, count = torch.where(known, errors, 0.0).sum(), known.sum()
    return total / count.clamp(min=1), total.detach(), count


def held_out_batches(held_out: WindowPool, config: PretrainConfig, seed: int) -> Iterator[MaskedBatch]:
    """Every held-out window once, always behind the same mask."""
    order = np.argsort(held_out.length, kind="stable")
    for number, i in enumerate(range(0, len(order), 2 * config.batch)):
        rng = np.random.default_rng([seed, 2, number])
        yield masked_batch(held_out, order[i : i + 2 * config.batch], rng, config.mask, config.stack)


@torch.no_grad()
def held_out_loss(network: MaskedAutoencoder, held_out: WindowPool, config: PretrainConfig, seed: int) -> float:
    """The mean over all held-out values behind the masks."""
    batches = islice(held_out_batches(held_out, config, seed), parallel.rank(), None, parallel.world())
    parts = [reconstruction_loss(network, held_out.frames, batch)[1:] for batch in batches]
    sums, counts = map(torch.stack, zip(*parts, strict=True)) if parts else held_out.frames.new_zeros(2, 1)
    return float(parallel.summed(sums.sum().double()) / parallel.summed(counts.sum().double()))


def baseline_losses(held_out: WindowPool, mean: np.ndarray, config: PretrainConfig, seed: int) -> dict[str, float]:
    """What needs no model, on the very masks that the held-out loss uses."""
    sums, count = dict.fromkeys(BASELINES, 0.0), 0
    for batch in held_out_batches(held_out, config, seed):
        raw, valid = (x.cpu().numpy() for x in gather(held_out.frames, batch.first, batch.length, batch.steps))
        masked = np.repeat(batch.masked.cpu().numpy(), config.stack, 1)
        known, filled = masked[..., None] & valid[..., None] & np.isfinite(raw), np.nan_to_num(raw)
        for name, guess in reconstruction_baselines(filled, masked, valid, mean).items():
            sums[name] += float(smooth_l1(guess - filled)[known].sum())
        count += int(known.sum())
    if not count:
        raise UserError(
            "nothing to recover in the validation recordings: too short for a mask, or all missing; choose a smaller "
            "stack or other folds."
        )
    return {name: total / count for name, total in sums.items()}


def train(
    network: MaskedAutoencoder, pool: WindowPool, held_out: WindowPool, config: PretrainConfig, seed: int, folder: Path
) -> list[dict]:
    """Train in place, from the last checkpoint in `folder` if there is one; returns the log."""
    device = pool.frames.device
    optimiser = adamw(network, config.adam, config.rate)
    begin, log = resume(folder, network, optimiser)
    if begin == 0:
        log = [{"step": 0, "held_out": held_out_loss(network, held_out, config, seed)}]
        refuse_diverged(log, config, folder)
    model = parallel.Parallel(network) if parallel.world() > 1 else network
    own = slice(parallel.rank(), None, parallel.world())
    amp = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    waiting: list[tuple[int, Tensor]] = []  # losses stay on the device until somebody looks
    with Progress("pretraining", config.steps, "steps") as bar:
        bar.advance(begin)
        for number in range(begin, config.steps):
            chosen = drawn(seed, number, config.batch, len(pool))
            rng = np.random.default_rng([seed, 1, number])
            batch = masked_batch(pool, chosen, rng, config.mask, config.stack, own)
            with amp:
                loss, _, count = reconstruction_loss(model, pool.frames, batch)
            loss = parallel.weighed(loss, count)
            loss.backward()
            clip_members(network, 1, config.adam.clip)
            step(optimiser, schedule(number, config.steps, config.adam))
            waiting.append((number + 1, loss.detach()))
            done, last = number + 1, number + 1 == config.steps
            evaluates, saves = (last or done % every == 0 for every in (config.evaluate_every, config.checkpoint_every))
            note, new = "", []
            if evaluates or saves:
                losses = parallel.summed(torch.stack([x for _, x in waiting])) / parallel.world()
                new = [{"step": s, "loss": x} for (s, _), x in zip(waiting, losses.tolist(), strict=True)]
                waiting.clear()
            if evaluates:
                new.append({"step": done, "held_out": held_out_loss(network, held_out, config, seed)})
                note = f"held-out loss {new[-1]['held_out']:.4f}"
            refuse_diverged(new, config, folder)
            log += new
            if saves and not parallel.rank():
                save_checkpoint(folder, network, optimiser, done, log)
            bar.advance(note=note)
    return log


def refuse_diverged(log: Sequence[dict], config: PretrainConfig, folder: Path) -> None:
    """Before anything is saved, so that the last checkpoint is one of a model that still learned."""
    for line in log:
        for what in ("loss", "held_out"):
            if not math.isfinite(line.get(what, 0.0)):
                raise UserError(
                    f"{folder}: pretraining diverged, its {what.replace('_', '-')} at step {line['step']} is no number "
                    f"at a rate of {config.rate:g}; choose a smaller rate and another -o."
                )


# --- a run in its folder --------------------------------------------------------------------------------------------


def pretrain(
    corpora: Corpus | Sequence[Corpus],
    output: Path | str,
    config: PretrainConfig | None = None,
    seed: int = 0,
    fold: int = 0,
    device: str | None = None,
) -> PretrainedRun:
    """Pretrain on the training recordings of one corpus or several, and on those in no fold. Resumes what was stopped.

    `fold` says which split of a corpus with cross-validation folds; others have one.
    """
    config = config or PretrainConfig()
    corpora = [c.of_fold(fold) for c in ([corpora] if isinstance(corpora, Corpus) else corpora)]
    corpora = [of_layer(corpus, config.layer) for corpus in corpora]
    for other in corpora[1:]:
        if (other.feature_names, other.frame_rate) != (corpora[0].feature_names, corpora[0].frame_rate):
            raise UserError(
                f"{other.folder}: its features or frame rate differ from those of {corpora[0].folder}; "
                "only corpora with equal features can be pretrained on together."
            )
        made = [f"{c.header.get('front_end')} version {c.header.get('front_end_version')}" for c in (other, corpora[0])]
        if other.header.get("front_end_version") != corpora[0].header.get("front_end_version"):
            raise UserError(
                f"{other.folder}: its frames are of the front end {made[0]}, those of {corpora[0].folder} of "
                f"{made[1]}; record both by one."
            )
    setting = {**asdict(config), "seed": seed, "fold": fold, "corpora": [c.content_hash for c in corpora]}
    setting["splits"] = [hash_of(c.recordings.split.tolist()) for c in corpora]
    if config.batch < parallel.world():
        raise UserError(f"a batch of {config.batch} windows for {parallel.world()} processes; give each one at least.")
    device = parallel.join(device_named(device))
    folder = OutputFolder(output, "pretraining run", setting)
    with nullcontext() if parallel.rank() else folder, parallel.together(folder.path):
        if not parallel.told(folder.complete, device):
            run(corpora, folder.path, config, seed, fold, device)
            if not parallel.rank():
                folder.finish()
        parallel.told(True, device)  # all is written
    return PretrainedRun.open(output)


def of_layer(corpus: Corpus, layer: int | Sequence[int] | None) -> Corpus:
    if layer is None:
        return corpus
    return corpus.layer(layer) if isinstance(layer, int) else corpus.layer(*layer)


def device_named(name: str | None) -> torch.device:
    """The device that was asked for; without a name a GPU if there is one."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise UserError(f"{name}: no such device here; choose another --device, such as cpu.") from problem
    return device


def run(
    corpora: Sequence[Corpus], folder: Path, config: PretrainConfig, seed: int, fold: int, device: torch.device
) -> None:
    """Train, then write the weights, what was measured and what was pretrained on."""
    normalised = [under(config.protocol, corpus, config.enrolment) for corpus in corpora]
    pool = WindowPool.build(normalised, ("train", "none"), config.window, device)
    held_out = WindowPool.build(normalised, ("valid",), config.window, device)
    if not len(held_out):
        raise UserError(
            f"{corpora[0].folder}: no validation recording to measure on; prepare it with folds that have some."
        )
    mean = np.mean([typical_frame(corpus, normaliser) for corpus, normaliser in normalised], 0)
    baselines = baseline_losses(held_out, mean, config, seed)
    network = initialise(MaskedAutoencoder(config.encoder(len(corpora[0].feature_names))), [seed]).to(device)
    log = train(network, pool, held_out, config, seed, folder)
    if parallel.rank():
        return
    center, scale = (torch.from_numpy(part[0]) for part in (normalised[0][1].center, normalised[0][1].scale))
    save_state(folder / MODEL, {**network.state_dict(), "normaliser.center": center, "normaliser.scale": scale})
    losses = [line["held_out"] for line in log if "held_out" in line]
    full = np.full(config.batch, -(-round(config.window * corpora[0].frame_rate) // config.stack))
    result = {
        "config": asdict(config),
        "encoder": asdict(network.encoder.config),
        "seed": seed,
        "fold": fold,
        "feature_names": list(corpora[0].feature_names),
        "frame_rate": corpora[0].frame_rate,
        **{name: corpora[0].header.get(name) for name in ("front_end", "front_end_version")},
        "corpora": [named(corpus) for corpus in corpora],
        **trained_on(corpora),
        "mask_share": float(span_mask(np.random.default_rng([seed, 1, 0]), full, config.mask).mean()),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "held_out": {"model": losses[-1], "before training": losses[0], **baselines},
        "provenance": provenance(str(device)),
    }
    write_json(folder / RESULT, result)
    (folder / CHECKPOINT).unlink(missing_ok=True)


def save_checkpoint(
    folder: Path, network: MaskedAutoencoder, optimiser: torch.optim.Optimizer, number: int, log: list[dict]
) -> None:
    """The log first: a kill between the two leaves a log that is ahead, and resuming cuts it back."""
    write_bytes(folder / METRICS, "".join(json.dumps(line) + "\n" for line in log).encode())
    state = {"step": torch.tensor(number)}
    for name, parameter in network.named_parameters():
        moments = optimiser.state[parameter]
        state[f"weight.{name}"] = parameter
        state[f"first.{name}"], state[f"second.{name}"] = moments["exp_avg"], moments["exp_avg_sq"]
    save_state(folder / CHECKPOINT, state)


@torch.no_grad()
def resume(folder: Path, network: MaskedAutoencoder, optimiser: torch.optim.Optimizer) -> tuple[int, list[dict]]:
    """The step to go on from and the log up to there; 0 and nothing for a new run."""
    if not (folder / CHECKPOINT).exists():
        return 0, []
    anew, parts = f"delete {CHECKPOINT} to begin anew", ("weight", "first", "second")
    like = {f"{part}.{name}": value for name, value in network.named_parameters() for part in parts}
    stored = read_state(folder / CHECKPOINT, {"step": torch.tensor(0), **like}, anew)
    number = int(stored["step"])
    lines = read_json_lines(folder / METRICS, Line, anew)
    log = [line for line in lines if line["step"] <= number]
    # steps follow each other, and the log begins with a held-out loss
    steps = [line["step"] for line in log if "loss" in line]
    if not log or "held_out" not in log[0] or steps != list(range(1, len(steps) + 1)) or len(steps) != number:
        raise UserError(f"{folder / METRICS}: does not lead up to step {number} of {CHECKPOINT}; {anew}.")
    for name, parameter in network.named_parameters():
        weight, first, second = (stored[f"{part}.{name}"].to(parameter.device) for part in parts)
        parameter.copy_(weight)
        step = torch.tensor(float(number), device=parameter.device)
        optimiser.state[parameter] = {"step": step, "exp_avg": first, "exp_avg_sq": second}
    return number, log


# --- what a run has met ---------------------------------------------------------------------------------------------


def named(corpus: Corpus) -> dict[str, str]:
    return {name: corpus.header[name] for name in ("content_hash", "source", "folds")}


def hashes(corpus: Corpus, *splits: str) -> dict[str, dict[str, str]]:
    """sha256 of frames of the splits' recordings and of their speakers' names, each with the name it stands for."""
    recordings, chosen = corpus.recordings, corpus.recordings_of(*splits)
    return {
        "recordings": {
            recordings.digest[r].tobytes().hex(): str(recordings.id[r]) for r in chosen if recordings.length[r]
        },
        "speakers": {
            hashlib.sha256(name.encode()).hexdigest(): name for name in set(recordings.speaker[chosen].tolist()) - {""}
        },
    }


def trained_on(corpora: Sequence[Corpus]) -> dict[str, list[str]]:
    """What a run notes, so that others can tell whom it was trained on without their names."""
    noted = [hashes(corpus, "train", "none") for corpus in corpora]
    return {kind: sorted({value for one in noted for value in one[kind]}) for kind in ("recordings", "speakers")}


def leak_in(noted: dict, corpus: Corpus) -> str:
    """What of a corpus's scored parts a run has met, going by what it noted. "" where it may be used here."""
    for kind, names in hashes(corpus, "valid", "test").items():
        met = sorted(names[value] for value in noted[kind] if value in names)
        if met:
            return f"{len(met)} {kind} that are for validation or test here (such as {met[0]})"
    return ""


def refuse_shared(corpus: Corpus) -> None:
    """A corpus whose own training part holds a recording or a speaker that it scores."""
    leak = leak_in(trained_on([corpus]), corpus)
    if leak:
        raise UserError(f"{corpus.folder}: its training part holds {leak}; remove the copies, or split by speaker.")
