"""How fast the engine trains, against the plain way (bench/_plain.py) in the same run. Ratios, medians, both losses.

python bench/train.py             everything, some minutes on two cores
python bench/train.py --only pretrain|lockstep|demo
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from _plain import Pieces, PlainClassifier, PlainPretrainer, batches, hide, pad
from torch.nn import functional as F

from emo_ssl.core import pretrain as engine
from emo_ssl.core.batches import WindowPool, drawn, gather, label_order, masked_batch, windows
from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.model import Encoder, MaskedAutoencoder, initialise
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.optim import adamw, clip_members, schedule, step
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.synthetic import SynthConfig, write_corpus
from emo_ssl.study.arms import ArmTrainer, Fold
from emo_ssl.study.grid import StudyConfig


def demo_corpus(folder: Path, recordings: int) -> Corpus:
    write_corpus(folder / "csd", SynthConfig(videos=recordings))
    files = [folder / "csd" / name for name in ("COVAREP.csd", "LABELS.csd", "folds.json")]
    return prepare(*files, folder / "corpus")


# --- pretraining ----------------------------------------------------------------------------------------------------


def uneven_pieces(prepared: Corpus, recordings: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """The same videos cut into pieces as long as the corpus's own segments: what a random batch has to pad."""
    rows = []
    for v in recordings:
        at, end = int(prepared.recordings.offset[v]), int(prepared.recordings.offset[v] + prepared.recordings.length[v])
        while end - at >= 16:
            length = min(int(rng.choice(prepared.segments.length)), end - at)
            rows.append((v, at, length))
            at += length
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def plain_pretraining(prepared, config: PretrainConfig, cut, tokens: int, held_out, seed: int) -> dict:
    """Train until `tokens` real tokens have gone by; speed and held-out loss."""
    torch.manual_seed(seed)
    encoder = config.encoder(len(prepared.feature_names))
    model = PlainPretrainer(encoder)
    optimiser = torch.optim.AdamW(model.parameters(), config.rate, betas=(0.9, 0.98), weight_decay=0.01)
    pieces = Pieces(prepared, speaker_independent(prepared), *cut, config.stack)
    rng, seen, steps = np.random.default_rng(seed), 0, 0
    per_batch = config.batch * float(np.mean(-(-cut[2] // config.stack)))
    total = max(1, round(tokens / per_batch))
    started = time.perf_counter()
    for padded, valid in cycle(batches(pieces, config.batch, seed)):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * schedule(steps, total, config.adam)
        optimiser.zero_grad()
        model(padded, valid, hide(valid, rng, config.mask)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        seen, steps = seen + int(valid.sum()), steps + 1
        if steps >= total:
            break
    seconds = time.perf_counter() - started
    with torch.no_grad():
        losses, counts = [], []
        for batch in engine.held_out_batches(held_out, config, seed):
            raw, real = gather(held_out.frames, batch.first, batch.length, batch.steps)
            shaped = raw.masked_fill(~real[..., None], float("nan")).view(len(raw), -1, encoder.token_size)
            known = int((batch.masked[..., None] & torch.isfinite(shaped)).sum())
            losses.append(float(model(shaped, real.view(len(raw), -1, config.stack).any(-1), batch.masked)) * known)
            counts.append(known)
    parameters = sum(p.numel() for p in model.parameters())
    return {"tokens_s": seen / seconds, "held_out": sum(losses) / sum(counts), "parameters": parameters}


def our_pretraining(corpus, config: PretrainConfig, pool, held_out, seed: int) -> dict:
    network = initialise(MaskedAutoencoder(config.encoder(len(corpus.feature_names))), [seed])
    optimiser = adamw(network, config.adam, config.rate)
    tokens, started = 0, time.perf_counter()
    for number in range(config.steps):
        chosen, rng = drawn(seed, number, config.batch, len(pool)), np.random.default_rng([seed, 1, number])
        batch = masked_batch(pool, chosen, rng, config.mask, config.stack)
        engine.reconstruction_loss(network, pool.frames, batch)[0].backward()
        clip_members(network, 1, config.adam.clip)
        step(optimiser, schedule(number, config.steps, config.adam))
        tokens += batch.tokens
    seconds = time.perf_counter() - started
    loss = engine.held_out_loss(network, held_out, config, seed)
    parameters = sum(p.numel() for p in network.parameters())
    return {"tokens_s": tokens / seconds, "held_out": loss, "parameters": parameters, "tokens": tokens}


def bench_pretraining(prepared: Corpus, steps: int, repeats: int) -> list[dict]:
    """Ours on even windows; the plain loop on the same windows, and on pieces as uneven as segments are."""
    config = replace(PretrainConfig(), steps=steps)
    normalised = [(prepared, speaker_independent(prepared))]
    cpu = torch.device("cpu")
    pool = WindowPool.build(normalised, ("train", "none"), config.window, cpu)
    held_out = WindowPool.build(normalised, ("valid",), config.window, cpu)
    recordings = np.flatnonzero(np.isin(prepared.recordings.split, [SPLITS.index("train"), SPLITS.index("none")]))
    even = windows(prepared, recordings, round(config.window * prepared.frame_rate))
    segments = {
        "plain, uneven pieces": uneven_pieces(prepared, recordings, np.random.default_rng(0)),
        "plain, our windows": even,
    }
    rows: dict[str, list[dict]] = {"ours": [], **{name: [] for name in segments}}
    for seed in range(repeats):
        ours = our_pretraining(prepared, config, pool, held_out, seed)
        rows["ours"].append(ours)
        for name, cut in segments.items():
            rows[name].append(plain_pretraining(prepared, config, cut, ours["tokens"], held_out, seed))
    table = []
    for name, found in rows.items():
        ratio = statistics.median(o["tokens_s"] / f["tokens_s"] for o, f in zip(rows["ours"], found, strict=True))
        table.append(
            {
                "pretraining": name,
                "tokens_s": round(statistics.median(f["tokens_s"] for f in found)),
                "ours_times_faster": round(ratio, 2),
                "held_out_loss": round(statistics.median(f["held_out"] for f in found), 4),
                "parameters": found[0]["parameters"],
            }
        )
    return table


# --- lockstep -------------------------------------------------------------------------------------------------------


def plain_member(fold: Fold, config: StudyConfig, subset: np.ndarray, seed: int, test: np.ndarray) -> np.ndarray:
    """One member trained and scored with torch.nn modules: P(y > t_k) of the test segments."""
    torch.manual_seed(seed)
    settings, prepared, encoder = config.finetune, fold.corpus, fold.encoder
    model = PlainClassifier(encoder, fold.data.head)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.98), weight_decay=0.01)
    thresholds = torch.tensor(fold.data.head.thresholds)
    above = (torch.from_numpy(prepared.targets)[..., None] > thresholds).float()
    rng, most = np.random.default_rng(seed), settings.tokens * encoder.stack
    for number in range(settings.steps):
        picked = rng.choice(subset, settings.batch, replace=len(subset) < settings.batch)
        length = np.minimum(prepared.segments.length[picked], most)
        room = prepared.segments.length[picked] - length
        first = prepared.segments.first[picked] + (rng.random(len(picked)) * (room + 1)).astype(np.int64)
        pieces = Pieces(prepared, fold.normaliser, prepared.segments.recording[picked], first, length, encoder.stack)
        tokens, valid = pad([pieces[i] for i in range(len(picked))])
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * schedule(number, settings.steps, settings.adam)
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(model(tokens.nan_to_num(), valid), above[picked]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    segments = prepared.segments
    everything = Pieces(
        prepared, fold.normaliser, segments.recording[test], segments.first[test], segments.length[test], encoder.stack
    )
    with torch.no_grad():
        parts = [
            model(tokens.nan_to_num(), valid).sigmoid()
            for tokens, valid in torch.utils.data.DataLoader(everything, 16, collate_fn=pad)
        ]
    return torch.cat(parts).numpy()


def bench_lockstep(prepared: Corpus, repeats: int, members: int) -> list[dict]:
    """Members a second: in lockstep, the same code one after another, and torch.nn modules one after another."""
    config = StudyConfig()
    shape = PretrainConfig().encoder(len(prepared.feature_names))
    normaliser = speaker_independent(prepared)
    weights = {f"encoder.{name}": value for name, value in initialise(Encoder(shape), [0]).state_dict().items()}
    data = LabelledSegments.build(prepared, normaliser, torch.device("cpu"))
    fold = Fold(0, prepared, normaliser, data, shape, ((0, weights),))
    pool, test = prepared.where("train"), prepared.where("test")
    trainer = ArmTrainer(fold, "scratch", config)
    table = []
    for size in [*(b for b in config.budgets if b < len(pool)), len(pool)]:
        found: dict[str, list[float]] = {"lockstep": [], "one by one": [], "torch.nn": []}
        for repeat in range(repeats):
            started = time.perf_counter()
            trainer.train([(size, s) for s in range(members)], 1e-3, test)
            found["lockstep"].append(members / (time.perf_counter() - started))
            started = time.perf_counter()
            for seed in range(3):
                trainer.train([(size, seed)], 1e-3, test)
            found["one by one"].append(3 / (time.perf_counter() - started))
            started = time.perf_counter()
            plain_member(fold, config, label_order(prepared, pool, repeat)[:size], repeat, test)
            found["torch.nn"].append(1 / (time.perf_counter() - started))
        middle = {name: statistics.median(values) for name, values in found.items()}
        table.append(
            {
                "budget": size,
                **{f"{name}, members/s": round(value, 3) for name, value in middle.items()},
                "over one by one": round(ratio(found, "one by one"), 2),
                "over torch.nn": round(ratio(found, "torch.nn"), 2),
            }
        )
    return table


def ratio(found: dict[str, list[float]], other: str) -> float:
    return statistics.median(a / b for a, b in zip(found["lockstep"], found[other], strict=True))


# --- the demo study -------------------------------------------------------------------------------------------------

DEMO = """
import resource, sys, time
from emo_ssl.core.corpus import Corpus
from emo_ssl.study.run import run_study
started = time.perf_counter()
run_study(Corpus.open(sys.argv[1]), [sys.argv[2]], sys.argv[3])
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def bench_demo(prepared: Corpus, folder: Path) -> dict:
    """The study of the command line's defaults as a process of its own: seconds and peak memory."""
    started = time.perf_counter()
    result = engine.pretrain([prepared], folder / "run")
    pretraining = time.perf_counter() - started
    command = [sys.executable, "-c", DEMO, str(prepared.folder), str(folder / "run"), str(folder / "study")]
    seconds, kilobytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {
        "pretraining_s": round(pretraining, 1),
        "held_out": {name: round(value, 4) for name, value in result.result["held_out"].items()},
        "study_s": round(float(seconds), 1),
        "study_peak_gb": round(int(kilobytes) / 1e6, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("pretrain", "lockstep", "demo"))
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300, help="of each pretraining run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--members", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepared = demo_corpus(Path(folder), options.videos)
        if options.only in (None, "pretrain"):
            for row in bench_pretraining(prepared, options.steps, options.repeats):
                print(json.dumps(row), flush=True)
        if options.only in (None, "lockstep"):
            for row in bench_lockstep(prepared, options.repeats, options.members):
                print(json.dumps(row), flush=True)
        if options.only in (None, "demo"):
            print(json.dumps(bench_demo(prepared, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
