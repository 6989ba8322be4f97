"""Tiny corpora and settings to train on: seconds of two features, models of a few thousand numbers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from builders import Segment, Video, noise, write_segments
from torch import nn

from emo_ssl.core.batches import MaskConfig
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import FinetuneConfig
from emo_ssl.core.model import member_state
from emo_ssl.core.optim import AdamConfig
from emo_ssl.core.pretrain import PretrainConfig, PretrainedRun, pretrain
from emo_ssl.study.arms import Fold
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.run import open_fold

RATE, NAMES = 100, ("F0", "peakSlope")
SHAPE = {"width": 16, "layers": 1, "heads": 2, "stack": 2}
PRETRAIN = PretrainConfig(
    **SHAPE, window=0.32, batch=4, steps=10, mask=MaskConfig(span=3), evaluate_every=4, checkpoint_every=3
)
FINETUNE = FinetuneConfig(steps=4, batch=4, tokens=12)
STUDY = StudyConfig(
    profile="tiny",
    arms=("scratch", "pretrained", "frozen-random", "frozen-pretrained", "statistics", "constants"),
    budgets=(4, 8),
    seeds=2,
    rates=(1e-2,),
    finetune=FINETUNE,
    probe=FinetuneConfig(steps=20, batch=4, adam=AdamConfig(weight_decay=0.1)),
)
SPLIT_OF = ("train", "train", "valid", "train", "test", "train")  # in turn


def write_mosei_like(
    folder: Path,
    recordings: int = 12,
    frames: Sequence[np.ndarray] | None = None,
    seed: int = 0,
    per_video: int = 3,
    splits: Sequence[str] = SPLIT_OF,
) -> Corpus:
    """Noise that tells nothing of the labels; two emotions in thirds; segments of 20 to 40 frames."""
    rng = np.random.default_rng(seed)
    frames = frames or [noise(140, seed=[seed, v]) for v in range(recordings)]
    made = [Video(f"v{v}", x, splits[v % len(splits)]) for v, x in enumerate(frames)]
    prepared = [
        Segment(
            v, 40 * k, int(rng.integers(20, 41)), tuple((rng.integers(0, 10, 2) * (rng.random(2) < 0.6) / 3).tolist())
        )
        for v in range(len(frames))
        for k in range(per_video)
    ]
    return write_segments(folder, made, prepared)


def write_acted(folder: Path, speakers: int = 6, folds: int = 3, seed: int = 0) -> Corpus:
    """A clip a recording, three categories, cross-validation folds by speaker; the mean gives a category away."""
    length = np.random.default_rng(seed).integers(20, 41, speakers * 6)
    recordings, segments = [], []
    for i, (s, c, k) in enumerate((s, c, k) for s in range(speakers) for c in range(3) for k in range(2)):
        frames = noise(length[i], seed=[seed, i]) + np.float32(c)
        recordings.append(Video(f"{s}-{c}-{k}", frames, "none", f"s{s}"))
        labels = tuple(1.0 + k if c == e else 0.0 for e in (1, 2))
        segments.append(Segment(i, 0, int(length[i]), labels, c, s % folds))
    return write_segments(folder, recordings, segments, category_names=("calm", "happy", "sad"))


def write_acted_and_runs(folder: Path) -> tuple[Corpus, list[Path]]:
    """The acted corpus, and a short pretraining run for each of its folds."""
    prepared = write_acted(folder / "corpus")
    runs = [folder / f"run{fold}" for fold in prepared.folds]
    for fold, run in zip(prepared.folds, runs, strict=True):
        pretrain([prepared], run, PRETRAIN, fold=fold, device="cpu")
    return prepared, runs


def opened_fold(corpus: Corpus, *runs: Path) -> Fold:
    """Fold 0 as a study opens it."""
    return open_fold(corpus, 0, [PretrainedRun.open(run) for run in runs], STUDY, torch.device("cpu"))


def waves(count: int, seed: int) -> np.ndarray:
    """Two sines of known periods, begun anywhere: easy to go on with, impossible to interpolate linearly."""
    phase = np.random.default_rng([9, seed]).uniform(0, 2 * np.pi, 2)
    return np.sin(2 * np.pi * np.arange(count)[:, None] / (16, 24) + phase).astype(np.float32)


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=tolerance, rtol=1e-5)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@torch.no_grad()
def busy(module: nn.Module, seed: int = 0) -> nn.Module:
    """No parameter stays 0 or 1, so that nothing can hide behind a bias that is not there."""
    for i, parameter in enumerate(module.parameters()):
        parameter += 0.3 * draw(*parameter.shape, seed=seed + i)
    return module


def member(module: nn.Module, alone: nn.Module, m: int) -> nn.Module:
    """Member m of `module`, in `alone`, which has one."""
    alone.load_state_dict(member_state(module, m))
    return alone
