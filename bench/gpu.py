"""What a device can do, what share of it training reaches, and how long the whole study takes at CMU-MOSEI's size.

python bench/gpu.py                       on the GPU if there is one, else smaller on a processor; some minutes
python bench/gpu.py --device cpu --tiny   that everything runs, in seconds

Prints a line of JSON a row. Every corpus is made of noise: the time of a step does not depend on what is heard.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from emo_ssl.core import pretrain as engine
from emo_ssl.core.batches import WindowPool, drawn, masked_batch
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.model import MaskedAutoencoder, initialise
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.optim import adamw, clip_members, schedule, step
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.study.arms import ArmTrainer
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.run import open_fold
from emo_ssl.utils.provenance import provenance

MOSEI_FRAMES, PASSES = 46_468_664, 20
BUDGETS, SEEDS, ARMS = 8, 10, 2
RATE, FEATURES, SECONDS = 100, 74, 60  # frames a second, numbers a frame, length of a recording
ONCE_A_STEP = 9  # times that a parameter's float32 is moved: weights 3, gradients 2, moments 4


def seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The median, after one call that is not counted."""
    found = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
    return statistics.median(found[1:])


def ceilings(device: torch.device, size: int, repeats: int) -> dict[str, float]:
    """Bytes a second of a large copy, and operations a second of a large product in two precisions."""
    source = torch.ones(16 * size * size, device=device)
    target, found = torch.empty_like(source), {}
    found["copy, GB/s"] = 2e-9 * source.nbytes / seconds(lambda: target.copy_(source), device, repeats)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        square = torch.randn(size, size, device=device).to(dtype)
        taken = seconds(lambda square=square: square @ square, device, repeats)
        found[f"product in {name}, TFLOP/s"] = 2e-12 * size**3 / taken
    return found


def made_corpus(folder: Path, recordings: int, width: int = FEATURES) -> Corpus:
    """A minute of noise each, cut into segments of six seconds with two emotions."""
    rng = np.random.default_rng(0)
    frames = {f"r{i}": rng.standard_normal((RATE * SECONDS, width), np.float32) for i in range(recordings)}
    rows = [(name, start, start + 6.0) for name in frames for start in range(0, SECONDS, 6)]
    labels = pd.DataFrame(rows, columns=["recording", "start", "end"])
    labels[["happy", "sad"]] = rng.integers(0, 4, (len(rows), 2))
    labels["split"] = [("train", "train", "train", "valid", "test")[int(name[1:]) % 5] for name, *_ in rows]
    return Corpus.write(folder, frames, labels, RATE)


class Pretraining:
    """The steps of the library's loop, without its log."""

    def __init__(self, corpus: Corpus, config: PretrainConfig, device: torch.device):
        self.config, self.number = config, 0
        self.pool = WindowPool.build([(corpus, speaker_independent(corpus))], ("train",), config.window, device)
        self.network = initialise(MaskedAutoencoder(config.encoder(len(corpus.feature_names))), [0]).to(device)
        self.optimiser = adamw(self.network, config.adam, config.rate)
        self.amp = torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")

    def one(self) -> None:
        config, chosen = self.config, drawn(0, self.number, self.config.batch, len(self.pool))
        rng = np.random.default_rng([0, 1, self.number])
        batch = masked_batch(self.pool, chosen, rng, config.mask, config.stack)
        with self.amp:
            loss = engine.reconstruction_loss(self.network, self.pool.frames, batch)[0]
        loss.backward()
        clip_members(self.network, 1, config.adam.clip)
        step(self.optimiser, schedule(self.number, 10**6, config.adam))
        self.number += 1

    @property
    def frames(self) -> int:
        """In a step."""
        return self.config.batch * round(self.config.window * RATE)


def bench_step(corpus: Corpus, config: PretrainConfig, device: torch.device, peak: dict, repeats: int) -> dict:
    work = Pretraining(corpus, config, device)
    work.one()
    with FlopCounterMode(display=False) as counter:
        work.one()
    operations = counter.get_total_flops()
    taken = seconds(lambda: [work.one() for _ in range(10)], device, repeats) / 10
    parameters = sum(parameter.numel() for parameter in work.network.parameters())
    moved = 4 * ONCE_A_STEP * parameters + work.pool.frames.element_size() * work.frames * FEATURES
    return {
        "pretraining": f"width {config.width}, {config.layers} layers, batch {config.batch}, {config.precision}",
        "parameters": parameters,
        "frames_a_step": work.frames,
        "frames_s": work.frames / taken,
        "ms_a_step": 1e3 * taken,
        "operations_a_step": operations,
        "bytes_a_step_at_least": moved,
        "share_of_the_product": operations / taken / (1e12 * peak[f"product in {config.precision}, TFLOP/s"]),
        "share_of_the_copy_at_least": moved / taken / (1e9 * peak["copy, GB/s"]),
    }


def bench_members(corpus: Corpus, folder: Path, device: torch.device, members: int, steps: int, precision: str) -> dict:
    """Members a second at a small budget: one after another, and as many side by side as do best."""
    config = StudyConfig()
    config = replace(config, finetune=replace(config.finetune, steps=steps, precision=precision))
    run = engine.pretrain(corpus, folder / "run", PretrainConfig(steps=0), device=str(device))
    fold, test = open_fold(corpus, 0, [run], config, device), corpus.where("test")[:16]

    def rate(wanted: int, chunk_tokens: int) -> float:
        own = replace(config, finetune=replace(config.finetune, chunk_tokens=chunk_tokens))
        trainer = ArmTrainer(fold, "scratch", own)
        asked = [(28, seed) for seed in range(wanted)]
        return wanted / seconds(lambda: trainer.train(asked, 1e-3, test), device, 1)

    one = config.finetune.batch * config.finetune.tokens
    loop = rate(min(3, members), one)
    together = {count: rate(members, one * count) for count in (4, 16, 64, 256) if count <= members}
    best = max(together, key=together.get, default=1)
    fastest = together.get(best, loop)
    return {
        "members": members,
        "steps": steps,
        "loop, members/s": loop,
        "lockstep, members/s": fastest,
        "side by side": best,
        "times_faster": fastest / loop,
        "chunk_tokens": one * best,
    }


def bench_sizes(folder: Path, sizes: tuple[int, ...], config: PretrainConfig, device: torch.device) -> dict:
    """Seconds to build the pool and pass over it once, at three sizes; a line through them, and how far off it is."""
    frames, found = [], []
    for size in sizes:
        corpus = made_corpus(folder / f"size-{size}", size)
        started = time.perf_counter()
        work = Pretraining(corpus, config, device)
        for _ in range(max(1, len(work.pool) // config.batch)):
            work.one()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - started)
        frames.append(len(work.pool.frames))
    return line(frames, found)


def line(frames: list[int], seconds: list[float]) -> dict:
    """Nanoseconds a frame, and how far the worst size is off a straight line, as a part of its seconds."""
    slope, begin = np.polyfit(frames, seconds, 1)
    off = np.abs(np.polyval([slope, begin], frames) - seconds) / np.asarray(seconds)
    return {"frames": frames, "seconds": seconds, "ns_a_frame": 1e9 * slope, "largest_residual": float(off.max())}


def whole_study(step_row: dict, member_row: dict, steps: int) -> dict:
    """Computed from the rows above: pretraining and every member of two arms at eight budgets, with ten seeds."""
    pretraining = PASSES * MOSEI_FRAMES / step_row["frames_s"]
    members = BUDGETS * SEEDS * ARMS
    finetuning = members / member_row["lockstep, members/s"] * steps / member_row["steps"]
    return {
        "whole study at MOSEI's size": f"{PASSES} passes, {members} members of {steps} steps, computed",
        "pretraining_min": pretraining / 60,
        "fine_tuning_min": finetuning / 60,
        "frames_on_the_device_GB": 2e-9 * MOSEI_FRAMES * FEATURES,
    }


def on_paper(step_row: dict, times: int = 1000) -> dict:
    """What a corpus of so many times MOSEI's size would ask for, with half-precision frames and this step."""
    frames, bytes_a_frame = times * MOSEI_FRAMES, 2 * FEATURES
    return {
        "on paper": f"{times} times MOSEI, {PASSES} passes",
        "hours_of_sound": frames / RATE / 3600,
        "frames_TB": 1e-12 * bytes_a_frame * frames,
        "operations": PASSES * frames * step_row["operations_a_step"] / step_row["frames_a_step"],
        "device_hours": PASSES * frames / step_row["frames_s"] / 3600,
        "reading_GB_s": 1e-9 * bytes_a_frame * step_row["frames_s"],
    }


def rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def main(argv: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", help="default: a GPU if there is one")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, help="windows of 5.12 seconds")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="default: bfloat16 on a GPU")
    parser.add_argument("--recordings", type=int, help="minutes of noise")
    parser.add_argument("--members", type=int)
    parser.add_argument("--tiny", action="store_true", help="that it runs; the numbers mean nothing")
    given = parser.parse_args(argv)
    device = engine.device_named(given.device)
    on_gpu = device.type == "cuda"
    batch, recordings, members = (64, 200, 160) if on_gpu else (16, 20, 16)
    if given.tiny:
        batch, recordings, members, given.width = 2, 10, 4, 16
    batch, recordings, members = given.batch or batch, given.recordings or recordings, given.members or members
    precision = given.precision or ("bfloat16" if on_gpu else "float32")
    size, repeats, steps = (64, 1, 2) if given.tiny else (8192 if on_gpu else 1024, 5, 150)
    config = PretrainConfig(width=given.width, layers=2 if given.tiny else 4, batch=batch, precision=precision)
    rows = [{"device": provenance(str(device))["hardware"]}, ceilings(device, size, repeats)]
    print(json.dumps(rounded(rows[0])), json.dumps(rounded(rows[1])), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        corpus = made_corpus(folder / "corpus", recordings)
        for work in (
            lambda: bench_step(corpus, config, device, rows[1], repeats),
            lambda: bench_members(corpus, folder, device, members, steps, precision),
            lambda: whole_study(rows[2], rows[3], StudyConfig().finetune.steps),
            lambda: on_paper(rows[2]),
            lambda: bench_sizes(folder, tuple(recordings * k // 4 for k in (1, 2, 4)), config, device),
        ):
            rows.append(work())
            print(json.dumps(rounded(rows[-1]), ensure_ascii=False), flush=True)
    return rows


if __name__ == "__main__":
    main()
