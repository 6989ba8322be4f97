"""How much sound a front end turns into frames in a second of one core, ours against openSMILE's in the same run.

    python bench/front_ends.py                a quarter of a minute; openSMILE takes part where it is installed

The sound is made up: a gliding, trembling voice with pauses over faint noise, in clips as long as those of acted
corpora, and once at 48 kHz, where resampling is part of the work. Processor time is counted, of all threads together;
the front ends take turns, so that the machine's mood cancels in the ratios.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from emo_ssl.corpora.front_ends import FRONT_ENDS, front_end
from emo_ssl.utils.io import UserError


def voice(seconds: float, rate: int, seed: int) -> np.ndarray:
    """(n,) float32: harmonics of a wandering pitch, gated three times a second, silent at both ends."""
    random = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    hertz = 180 * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * at + seed) + 0.01 * np.sin(2 * np.pi * 6 * at))
    phase = 2 * np.pi * np.cumsum(hertz) / rate
    tones = np.sum([np.cos(n * phase) / n for n in range(1, 21)], 0)
    gate = np.clip(2 * np.sin(2 * np.pi * 3 * at), 0, 1) * (np.abs(at - seconds / 2) < seconds / 3)
    return (0.05 * gate * tones + random.normal(0, 1e-4, len(at))).astype(np.float32)


def processor_seconds(frames: Callable, clips: list[np.ndarray], rate: int) -> float:
    started = time.process_time()
    for clip in clips:
        frames(clip, rate)
    return time.process_time() - started


def bench_rate(rate: int, count: int, seconds: float, repeats: int) -> list[dict]:
    """A row a front end; the first round warms up and does not count."""
    clips = [voice(seconds, rate, seed) for seed in range(count)]
    ready, rows = {}, []
    for name in FRONT_ENDS:
        try:
            ready[name] = front_end(name)
        except UserError as problem:
            rows.append({"front_end": name, "rate": rate, "not_measured": str(problem)})
    spent = {name: [] for name in ready}
    for _ in range(repeats + 1):
        for name, ours in ready.items():
            spent[name].append(processor_seconds(ours.frames, clips, rate))
    sound = count * seconds
    for name, ours in ready.items():
        ratios = [other / own for other, own in zip(spent[name][1:], spent["acoustics"][1:], strict=True)]
        rows.append(
            {
                "front_end": name,
                "rate": rate,
                "features": len(ours.feature_names),
                "times_real_time": round(sound / statistics.median(spent[name][1:])),
                "acoustics_is_faster_by": round(statistics.median(ratios), 2),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a clip (default: 4)")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for rate in (16_000, 48_000):
        for row in bench_rate(rate, options.clips, options.seconds, options.repeats):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
