"""Forward and backward, and the optimiser's step, for one model and for 32 side by side. Milliseconds, medians.

python bench/step.py                     this checkout
python bench/step.py --beside CHECKOUT   and one of the first edition (commit f994079) in turns: ratios, medians
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

SHAPE = {"features": 35, "width": 48, "layers": 2, "clips": 8, "tokens": 48}
NOW = """
from emo_ssl.core.model import Classifier, EncoderConfig, HeadConfig, initialise
from emo_ssl.core.optim import AdamConfig, adamw, clip_members, step

def prepare(members):
    config, head = EncoderConfig(features, width=width, layers=layers), HeadConfig((0, 1, 2, 3), 6, 7)
    network = Classifier(config, head, members)
    initialise(network.encoder, range(members)), initialise(network.head, range(members))
    optimiser = adamw(network, AdamConfig(), 1e-3)
    def run():
        scores, logits = network(x, valid)
        (network.head.exceedance_logits(scores).square().mean() + logits.square().mean()).backward()
    def move():
        clip_members(network, members, 1.0)
        step(optimiser, 1.0)
    return run, move
"""
THEN = """
from emo_ssl import model as old
from emo_ssl.optimise import Adam, AdamConfig

def prepare(members):
    config = old.BackboneConfig(features, width=width, layers=layers)
    head = old.HeadConfig((0.5, 1.5, 2.5), 6, 7)
    shapes = {**old.backbone_shapes(config), **old.head_shapes(head, 2 * width)}
    adam = Adam(old.stack_members([old.initialise(shapes, s) for s in range(members)]), AdamConfig())
    leaves, rate, gradients = list(adam.params.values()), torch.full((members,), 1e-3), []
    def run():
        scores, logits = old.apply_head(head, adam.params, old.pool(old.encode(config, adam.params, x, valid), valid))
        loss = old.exceed(adam.params, scores).square().mean() + logits.square().mean()
        gradients[:] = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
    def move():
        adam.step(tuple(gradients), rate)
    return run, move
"""
TIMING = """
import json, statistics, sys, time
import torch
torch.set_num_threads(1)
features, width, layers, clips, tokens = {sizes}
{code}
found = {{}}
for members in (1, 32):
    x = torch.randn(members, clips, tokens, 4 * features)
    valid = torch.ones(members, clips, tokens, dtype=torch.bool)
    run, move = prepare(members)
    seconds = {{"forward and backward": [], "optimiser's step": []}}
    for _ in range({repeats}):
        for name, work in zip(seconds, (run, move)):
            started = time.perf_counter()
            work()
            seconds[name].append(1e3 * (time.perf_counter() - started))
    found |= {{f"{{name}}, {{members}}": statistics.median(values[3:]) for name, values in seconds.items()}}
print(json.dumps(found))
"""


def measure(source: Path, code: str, repeats: int) -> dict[str, float]:
    text = TIMING.format(sizes=tuple(SHAPE.values()), code=code, repeats=repeats)
    environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="a checkout of commit f994079")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=30)
    given = parser.parse_args()
    here = Path(__file__).parents[1] / "src"
    rounds = []
    for _ in range(given.rounds):
        now = measure(here, NOW, given.repeats)
        rounds.append((now, measure(given.beside / "src", THEN, given.repeats) if given.beside else now))
    for name in rounds[0][0]:
        row = f"{name:<28}{statistics.median(now[name] for now, _ in rounds):>9.3f} ms"
        if given.beside:
            ratio = statistics.median(then[name] / now[name] for now, then in rounds)
            row += f"{statistics.median(then[name] for _, then in rounds):>9.3f} ms then, now {ratio:.2f} times as fast"
        print(row)
