"""What a pretrained model puts in place of masked frames, beside what needs no model: window by window, by feature.

The windows and the masks are those of the run's own held-out loss, so that the numbers here add up to that one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from emo_ssl.core import metrics, pretrain
from emo_ssl.core.batches import MaskConfig, MaskedBatch, WindowPool, gather, windows
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.model import MaskedAutoencoder, to_tokens
from emo_ssl.core.normalise import typical_frame, under
from emo_ssl.core.pretrain import PretrainConfig, PretrainedRun
from emo_ssl.study.probes import interval
from emo_ssl.utils.values import checked

MODEL, INTERPOLATION = "model", metrics.BASELINES[-1]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class HeldOut:
    """A run, and the windows of validation recordings that it is measured on."""

    config: PretrainConfig
    network: MaskedAutoencoder
    pool: WindowPool
    recording: np.ndarray  # (W,) of each window of the pool
    mean: np.ndarray  # (D,) the mean frame of the training recordings
    seed: int
    features: tuple[str, ...]

    @classmethod
    def open(cls, corpus: Corpus, folder: Path | str) -> "HeldOut":
        run = PretrainedRun.open(folder)
        corpus = run.view(corpus)
        config = checked(run.result["config"], PretrainConfig, str(folder))
        corpus, normaliser = under(config.protocol, corpus.of_fold(run.result["fold"]), config.enrolment)
        pool = WindowPool.build([(corpus, normaliser)], ("valid",), config.window, CPU)
        recording, _, _ = windows(corpus, corpus.recordings_of("valid"), round(config.window * corpus.frame_rate))
        mean = typical_frame(corpus, normaliser)
        return cls(config, run.network, pool, recording, mean, run.result["seed"], corpus.feature_names)

    def with_mask(self, mask: MaskConfig) -> "HeldOut":
        """The same model before another kind of gaps."""
        return replace(self, config=replace(self.config, mask=mask))


@dataclass(frozen=True)
class Recovered:
    """Windows with their gaps: what was there, and every guess at it."""

    window: np.ndarray  # (B,) index into the pool
    true: np.ndarray  # (B, T, D), NaN = missing
    hidden: np.ndarray  # (B, T) bool, frames behind the mask
    guesses: dict[str, np.ndarray]  # name -> (B, T, D), the model's and the baselines'

    @property
    def known(self) -> np.ndarray:
        """(B, T, D) bool, the values that a guess is measured on."""
        return self.hidden[..., None] & np.isfinite(self.true)

    def errors(self, name: str) -> np.ndarray:
        """(B, T, D): smooth L1 of a guess, 0 where nothing is measured."""
        return np.where(self.known, metrics.smooth_l1(self.guesses[name] - np.nan_to_num(self.true)), 0.0)

    def only(self, i: int) -> "Recovered":
        guesses = {name: guess[i : i + 1] for name, guess in self.guesses.items()}
        return Recovered(self.window[i : i + 1], self.true[i : i + 1], self.hidden[i : i + 1], guesses)


def recover(held_out: HeldOut) -> Iterator[Recovered]:
    """Every held-out window once, in batches."""
    config, pool = held_out.config, held_out.pool
    by_start = np.argsort(pool.first)
    for batch in pretrain.held_out_batches(pool, config, held_out.seed):
        frames, valid = gather(pool.frames, batch.first, batch.length, batch.steps)
        true, real = frames.numpy(), valid.numpy()
        hidden = np.repeat(batch.masked.numpy(), config.stack, 1) & real
        guesses = metrics.reconstruction_baselines(np.nan_to_num(true), hidden, real, held_out.mean)
        guesses = {MODEL: model_guess(held_out, batch, frames, valid), **guesses}
        window = by_start[np.searchsorted(pool.first[by_start], batch.first.numpy())]
        yield Recovered(window, np.where(real[..., None], true, np.nan), hidden, guesses)


@torch.no_grad()
def model_guess(held_out: HeldOut, batch: MaskedBatch, frames: torch.Tensor, valid: torch.Tensor) -> np.ndarray:
    """frames (B, T, D), valid (B, T) -> the model's output at every place (B, T, D), masked or not."""
    config = held_out.network.encoder.config
    tokens, real = to_tokens(frames, valid, config.stack)
    guess = held_out.network(tokens, real, batch.masked)
    return guess.reshape(len(frames), -1, config.features)[:, : frames.shape[1]].float().numpy()


@dataclass(frozen=True)
class Errors:
    """Summed smooth L1 on hidden, known values."""

    features: tuple[str, ...]
    recording: np.ndarray  # (W,)
    sums: dict[str, np.ndarray]  # guess -> (W, D)
    count: np.ndarray  # (W, D)

    def loss(self, chosen: np.ndarray | slice = slice(None)) -> dict[str, float]:
        """Mean over the hidden values of the chosen features; of all of them this is the run's held-out loss."""
        count = max(int(self.count[:, chosen].sum()), 1)
        return {name: float(sums[:, chosen].sum() / count) for name, sums in self.sums.items()}

    def below(self, baseline: str = INTERPOLATION, draws: int = 2000) -> tuple[float, float, float]:
        """By which share the model's loss lies below a baseline's, and 95 % of it over draws of held-out recordings."""
        model, other = (self.sums[name].sum(1) for name in (MODEL, baseline))
        return interval([lambda items: 1 - model[items].sum() / other[items].sum()], self.recording, draws, seed=0)


def errors(held_out: HeldOut) -> Errors:
    """How far every guess is off, for each held-out window and feature."""
    parts = list(recover(held_out))
    return Errors(
        held_out.features,
        np.concatenate([held_out.recording[part.window] for part in parts]),
        {name: np.concatenate([part.errors(name).sum(1) for part in parts]) for name in parts[0].guesses},
        np.concatenate([part.known.sum(1) for part in parts]),
    )


def typical(held_out: HeldOut) -> Recovered:
    """One window: full length, no value missing if possible, and a model's loss in the middle of such windows."""
    single = [part.only(i) for part in recover(held_out) for i in np.flatnonzero(part.hidden.any(1))]
    missing = [np.isnan(window.true).sum() for window in single]
    fullest = [window for window, count in zip(single, missing, strict=True) if count == min(missing)]
    fullest.sort(key=lambda window: window.errors(MODEL).sum() / max(window.known.sum(), 1))
    return fullest[len(fullest) // 2]
