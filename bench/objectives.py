"""What else can an encoder be asked without labels? Objectives at equal compute, judged on validation speakers.

    python bench/objectives.py CORPUS OUTPUT.csv [--layer 2] [--protocol speaker-adapted] [--folds 0 2 4] [--curves]

Each trains the same encoder for as many steps, and each step reads as many clips. Then the encoder is frozen, and a
logistic regression on mean and deviation of its states gets from 28 labels to all of the training speakers; so does one
on its states beside the numbers of contrast within speakers (`emo_ssl.study.contrast`). Without any encoder, guesses
for the other training clips may be taken for labels too (`emo_ssl.study.logistic`). Scores are UAR on validation
speakers: test speakers are not looked at. Rows are written as they are found, and a run that was stopped goes on.

`--curves` instead trains masked steps alone, with one setting at a time moved from its default, and three seeds of the
default, which show how much chance moves; the states of these are also pooled in other ways.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from emo_ssl.core.batches import MaskConfig, label_order, span_mask
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.metrics import uar
from emo_ssl.core.model import Encoder, EncoderConfig, Linear, initialise, pool, to_tokens
from emo_ssl.core.normalise import INDEPENDENT, Normaliser, under
from emo_ssl.core.optim import AdamConfig, adamw, schedule, step
from emo_ssl.study import contrast, vectors
from emo_ssl.study.arms import UNREPORTED
from emo_ssl.study.logistic import regression, self_trained

BUDGETS = (28, 56, 112)  # and all
SEEDS, STRENGTHS = 5, (1e-3, 1e-2, 1e-1, 1.0)
SPEAKERS, CLIPS = 4, 8  # of a step: CLIPS of each of so many speakers
STEPS, RATE, TEMPERATURE = 1000, 3e-3, 0.1
LAGS = (2, 4, 6, 8)  # frames, or tokens
MASK, SHAPE, TOKEN = MaskConfig(), {"width": 48, "layers": 2, "heads": 4}, 0.04  # seconds that a token covers
FRAMES, LAGGED = "none (the frames)", "none (the frames), with lagged products"
SHARES = (0.2, 0.4, 0.7)  # of training clips without a label, for which guesses are taken for labels
GUESSES = {f"{of}, {share:.0%} guessed": (of, share) for of in (FRAMES, "contrast") for share in SHARES}
COLUMNS = ["protocol", "layer", "fold", "objective", "readout", "budget", "strength", "uar"]


@dataclass(frozen=True)
class Fold:
    """The clips of one fold, normalised: those that train, and those of validation speakers."""

    corpus: Corpus
    normaliser: Normaliser
    frames: dict[int, Tensor]  # segment -> (T, D)
    by_speaker: dict[str, np.ndarray]  # training speaker -> its segments

    @classmethod
    def open(cls, corpus: Corpus, fold: int, protocol: str) -> "Fold":
        split, normaliser = under(protocol, corpus.of_fold(fold), 10)
        recording, train = split.segments.recording, split.where("train")
        speaker = split.recordings.speaker[recording]
        frames = {
            int(i): torch.from_numpy(normaliser(np.asarray(split.segment(i), np.float32), int(recording[i])))
            for i in split.where("train", "valid")
        }
        return cls(split, normaliser, frames, {who: train[speaker[train] == who] for who in np.unique(speaker[train])})


def packed(clips: Sequence[Tensor], stack: int) -> tuple[Tensor, Tensor]:
    """Clips (T_i, D) -> tokens (B, L, S) and which of them are real (B, L)."""
    frames = nn.utils.rnn.pad_sequence(list(clips), batch_first=True)
    length = torch.tensor([len(clip) for clip in clips])
    return to_tokens(frames, torch.arange(frames.shape[1]) < length[:, None], stack)


def halves(clip: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Two parts that do not overlap, cut somewhere in the middle, in random order."""
    cut = int(len(clip) * rng.uniform(0.35, 0.65))
    parts = (clip[:cut], clip[cut:])
    return parts if rng.random() < 0.5 else parts[::-1]


# --- objectives -----------------------------------------------------------------------------------------------------


class Objective(nn.Module):
    """An encoder and a task: `loss` of clips (T_i, D) of some speakers (B,)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config, self.encoder = config, Encoder(config)

    def loss(self, clips: list[Tensor], speaker: Tensor, rng: np.random.Generator) -> Tensor:
        raise NotImplementedError

    def pooled(self, clips: Sequence[Tensor]) -> Tensor:
        tokens, valid = packed(clips, self.config.stack)
        return pool(self.encoder(tokens, valid), valid)

    def after_step(self) -> None:
        """What follows the optimiser's step."""


class MaskedSteps(Objective):
    """The paper's: recover hidden spans of tokens. `everywhere`: seen tokens count as well."""

    def __init__(self, config: EncoderConfig, everywhere: bool = False, mask: MaskConfig = MASK):
        super().__init__(config)
        self.everywhere, self.mask, self.reconstruct = everywhere, mask, Linear(config.width, config.token_size)

    def loss(self, clips, speaker, rng):
        tokens, valid = packed(clips, self.config.stack)
        masked = torch.from_numpy(span_mask(rng, valid.sum(1).numpy(), self.mask))
        guess = self.reconstruct(self.encoder(tokens, valid, masked)[None])[0]
        where = valid if self.everywhere else masked
        return F.smooth_l1_loss(guess[where], tokens[where])


class CrossGroup(Objective):
    """One of four groups of features, drawn once, from the other three (after Wu and others, 2023)."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.reconstruct = Linear(config.width, config.token_size)
        group = np.random.default_rng(0).permutation(np.arange(config.features) % min(4, config.features))
        self.group = torch.from_numpy(group).repeat(config.stack)

    def loss(self, clips, speaker, rng):
        tokens, valid = packed(clips, self.config.stack)
        hidden = self.group == rng.integers(int(self.group.max()) + 1)
        guess = self.reconstruct(self.encoder(tokens.masked_fill(hidden, 0.0), valid)[None])[0]
        return F.smooth_l1_loss(guess[valid][:, hidden], tokens[valid][:, hidden])


class Transformation(Objective):
    """Which of seven things was done to the clip (after Sarkar and Etemad, 2020)."""

    DONE: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda x: x,
        lambda x: x.flip(0),  # backwards
        lambda x: -x,
        lambda x: x + 0.5 * torch.randn_like(x),
        lambda x: x[::2],  # twice as fast
        lambda x: 1.5 * x,
        lambda x: torch.cat([x.tensor_split(4)[k] for k in (2, 0, 3, 1)]),  # its quarters mixed up
    )

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.linear = Linear(2 * config.width, len(self.DONE))

    def loss(self, clips, speaker, rng):
        which = rng.integers(len(self.DONE), size=len(clips))
        changed = [self.DONE[k](clip) for k, clip in zip(which, clips, strict=True)]
        return F.cross_entropy(self.linear(self.pooled(changed)[None])[0], torch.from_numpy(which))


class Contrast(Objective):
    """Which half belongs to which, among clips of one speaker. With `masked`, gaps are filled as well."""

    def __init__(self, config: EncoderConfig, masked: float = 0.0):
        super().__init__(config)
        self.units = nn.BatchNorm1d(2 * config.width, affine=False, track_running_stats=False)
        self.project = Linear(2 * config.width, 64)
        self.share, self.gaps = masked, MaskedSteps(config)
        self.gaps.encoder = self.encoder

    def views(self, clips, rng) -> Iterator[Tensor]:
        for side in zip(*(halves(clip, rng) for clip in clips), strict=True):
            yield self.project(self.units(self.pooled(side))[None])[0]

    def loss(self, clips, speaker, rng):
        first, second = (F.normalize(view, dim=-1) for view in self.views(clips, rng))
        alike = (first @ second.T / TEMPERATURE).masked_fill(speaker[:, None] != speaker, -1e9)
        own = torch.arange(len(clips))
        loss = (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2
        return loss + self.share * self.gaps.loss(clips, speaker, rng) if self.share else loss


class Redundancy(Contrast):
    """Halves agree, while clips of one speaker vary in every direction and in each differently (after VICReg)."""

    def loss(self, clips, speaker, rng):
        first, second = self.views(clips, rng)
        total = F.mse_loss(first, second)
        for view in (first, second):
            away = torch.cat([view[speaker == s] - view[speaker == s].mean(0) for s in speaker.unique()])
            spread = (away.var(0) + 1e-4).sqrt()
            shared = away.T @ away / len(away)
            shared = shared - torch.diag(torch.diag(shared))
            total = total + F.relu(1 - spread).mean() / 2 + shared.square().sum() / len(shared) / 50
        return total


class Teacher(Contrast):
    """From one half with gaps, the other half's pooled states as a slow copy of the encoder sees them, minus those of
    its speaker (an utterance-level task after data2vec and emotion2vec)."""

    def __init__(self, config: EncoderConfig):
        super().__init__(config)
        self.predict = Linear(2 * config.width, 2 * config.width)
        self.teacher: Objective | None = None

    def loss(self, clips, speaker, rng):
        if self.teacher is None:
            self.__dict__["teacher"] = MaskedSteps(self.config)  # no module of ours: nothing trains it
            self.teacher.encoder = deepcopy(self.encoder)
        sides = list(zip(*(halves(clip, rng) for clip in clips), strict=True))
        total = torch.zeros(())
        for seen, asked in (sides, sides[::-1]):
            with torch.no_grad():
                target = self.teacher.pooled(asked)
                target = (target - target.mean(0)) / (target.std(0) + 1e-3)
                for s in speaker.unique():
                    target[speaker == s] -= target[speaker == s].mean(0)
            tokens, valid = packed(seen, self.config.stack)
            masked = torch.from_numpy(span_mask(rng, valid.sum(1).numpy(), MaskConfig(share=0.3)))
            states = self.units(pool(self.encoder(tokens, valid, masked), valid))
            total = total + F.smooth_l1_loss(self.predict(states[None])[0], target)
        return total

    @torch.no_grad()
    def after_step(self):
        for slow, fast in zip(self.teacher.encoder.parameters(), self.encoder.parameters(), strict=True):
            slow.lerp_(fast, 0.004)


OBJECTIVES: dict[str, Callable[[EncoderConfig], Objective]] = {
    "none (random weights)": Objective,
    "masked steps": MaskedSteps,
    "masked steps, loss everywhere": lambda config: MaskedSteps(config, everywhere=True),
    "cross group": CrossGroup,
    "transformation": Transformation,
    "contrast within speakers": Contrast,
    "contrast and masked steps": lambda config: Contrast(config, masked=1.0),
    "redundancy within speakers": Redundancy,
    "teacher and student": Teacher,
}
STRANGERS = 5.0
# the closed form: how much more than words speakers are avoided, and other constants
VARIANTS: dict[str, tuple[float, dict[str, float]]] = {
    "closed form": (STRANGERS, {}),
    "closed form, with covariances": (STRANGERS, {"FEW": contrast.FEW}),
    "closed form, strangers not avoided": (0.0, {}),
    "closed form, strangers 1": (1.0, {}),
    "closed form, ridge 0.3": (STRANGERS, {"RIDGE": 0.3}),
    "closed form, ridge 3": (STRANGERS, {"RIDGE": 3.0}),
    "closed form, plain numbers as strong": (STRANGERS, {"PLAIN": 1.0}),
    "closed form, without plain numbers": (STRANGERS, {"PLAIN": 0.0}),
}


# one setting of masked steps at a time; "speech": the share of each training speaker's clips that is learned from
CURVES: dict[str, tuple[float, ...]] = {
    "seed": (0, 1, 2),
    "share": (0.15, 0.3, 0.7),
    "span": (1, 3, 14),
    "width": (16, 32, 96),
    "layers": (1, 4),
    "steps": (0.25, 0.5, 2.0),  # times those of the others
    "speech": (0.125, 0.25, 0.5),
}


def train(objective: Objective, fold: Fold, seed: int, steps: int) -> None:
    rng, names = np.random.default_rng(seed), list(fold.by_speaker)
    torch.manual_seed(seed)
    settings = AdamConfig()
    optimiser = adamw(objective, settings, RATE)
    for number in range(steps):
        who = rng.choice(len(names), min(SPEAKERS, len(names)), replace=False)
        of = {w: fold.by_speaker[names[w]] for w in who}
        chosen = {w: rng.choice(pool, min(CLIPS, len(pool)), replace=False) for w, pool in of.items()}
        clips = [fold.frames[int(i)] for some in chosen.values() for i in some]
        speaker = torch.tensor(np.repeat(list(chosen), [len(some) for some in chosen.values()]))
        loss = objective.loss(clips, speaker, rng)
        loss.backward()
        nn.utils.clip_grad_norm_(objective.parameters(), settings.clip)
        step(optimiser, schedule(number, steps, settings))
        objective.after_step()


@torch.no_grad()
def states(objective: Objective, fold: Fold) -> np.ndarray:
    """(N, 2W) pooled states, in units of the training pool; zeros for clips that are not looked at."""
    chosen = fold.corpus.where("train", "valid")
    found = np.zeros((len(fold.corpus), 2 * objective.config.width))
    for some in np.array_split(chosen, -(-len(chosen) // 32)):
        found[some] = objective.pooled([fold.frames[int(i)] for i in some]).numpy()
    return in_units(found, fold)


def in_units(table: np.ndarray, fold: Fold) -> np.ndarray:
    centre, spread = vectors.units(table[fold.corpus.where("train")])
    return (table - centre) / spread


def lagged(frames: np.ndarray) -> np.ndarray:
    """(T, D) -> (4 D,): each number's mean product with itself some rows later, 0 where a clip is too short."""
    away = (frames - frames.mean(0)) / np.maximum(frames.std(0), 1e-6)
    products = [(away[lag:] * away[:-lag]).sum(0) / len(away) for lag in LAGS]
    return np.concatenate(products)


def scores(table: np.ndarray, fold: Fold, share: float = 0.0) -> Iterator[tuple[int, float, float]]:
    """(budget, strength, UAR) on validation speakers, mean over seeds. With a share it learns from guesses too."""
    corpus, train, valid = fold.corpus, fold.corpus.where("train"), fold.corpus.where("valid")
    category, classes = corpus.segments.category, len(corpus.category_names)
    for budget in (*BUDGETS, len(train)):
        seeds = SEEDS if budget < len(train) else 1  # all labels are all labels
        subsets = [label_order(corpus, train, UNREPORTED + s)[:budget] for s in range(seeds)]
        for strength in STRENGTHS:
            found = [
                self_trained(table[s], category[s], table[np.setdiff1d(train, s)], strength, classes, share)
                if share
                else regression(table[s], category[s], strength, classes)
                for s in subsets
            ]
            likeliest = [(table[valid] @ weight.T + bias).argmax(1) for weight, bias in found]
            yield budget, strength, float(np.mean([uar(one, category[valid], classes) for one in likeliest]))


def shape_of(corpus: Corpus, **moved: int) -> EncoderConfig:
    stack = max(1, round(TOKEN * corpus.frame_rate))
    return EncoderConfig(len(corpus.feature_names), **SHAPE | {"stack": stack} | moved)


def tables(fold: Fold, steps: int, known: set[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Each objective that is not known yet, and what can be read from it: read-out -> table (N, I)."""
    plain = in_units(vectors.mean_and_deviation(fold.corpus, fold.normaliser), fold)
    with mock.patch.object(contrast, "FEW", 0):  # mean and deviation, as the plain numbers are
        beside = contrast.table(fold.corpus, fold.normaliser, STRANGERS)
    if FRAMES not in known:
        yield FRAMES, {"numbers": plain}
    if LAGGED not in known:
        products = np.zeros((len(plain), len(LAGS) * len(fold.corpus.feature_names)))
        for i, frames in fold.frames.items():
            products[i] = lagged(frames.numpy())
        yield LAGGED, {"numbers": np.hstack([plain, in_units(products, fold)])}
    for name, (strangers, constants) in VARIANTS.items():
        if name not in known and ("FEW" not in constants or contrast.lag_of(fold.corpus)):  # else without covariances
            with mock.patch.multiple(contrast, **{"FEW": 0, **constants}):
                yield name, {"numbers": contrast.table(fold.corpus, fold.normaliser, strangers)}
    for name, (of, _) in GUESSES.items():
        if name not in known:
            yield name, {"numbers": plain if of == FRAMES else contrast.table(fold.corpus, fold.normaliser, STRANGERS)}
    for name, make in OBJECTIVES.items():
        if name not in known:
            objective = initialise(make(shape_of(fold.corpus)), [0])
            if type(objective) is not Objective:
                train(objective, fold, 0, steps)
            found = states(objective, fold)
            as_strong = (plain.shape[1] / found.shape[1]) ** 0.5  # as the directions of one layer
            yield name, {"states": found, "states, closed form": np.hstack([beside, found * as_strong])}


def curves(fold: Fold, steps: int, known: set[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """As `tables`, of masked steps: "masked steps, span 8", "states" -> table (N, I)."""
    for name, value in ((name, value) for name, values in CURVES.items() for value in values):
        objective = f"masked steps, {name} {value:g}"
        if objective in known:
            continue
        moved = {name: type(SHAPE[name])(value)} if name in SHAPE else {}
        mask = replace(MASK, **{name: type(getattr(MASK, name))(value)}) if name in ("share", "span") else MASK
        network = MaskedSteps(shape_of(fold.corpus, **moved), mask=mask)
        seed, seen = int(value) if name == "seed" else 0, fold
        if name == "speech":
            some = {who: clips[: round(value * len(clips))] for who, clips in shuffled(fold.by_speaker).items()}
            seen = replace(fold, by_speaker=some)
        train(initialise(network, [seed]), seen, seed, round(steps * (value if name == "steps" else 1)))
        yield objective, pooled_in_ways(network, fold) if name == "seed" else {"states": states(network, fold)}


@torch.no_grad()
def pooled_in_ways(objective: Objective, fold: Fold) -> dict[str, np.ndarray]:
    """Other poolings of the same states: their mean alone, and products with themselves some tokens later as well."""
    usual = states(objective, fold)
    products = np.zeros((len(usual), len(LAGS) * objective.config.width))
    for i, clip in fold.frames.items():
        tokens, valid = packed([clip], objective.config.stack)
        products[i] = lagged(objective.encoder(tokens, valid)[0].numpy())
    width = objective.config.width
    return {
        "states": usual,
        "states, mean alone": usual[:, :width],
        "states, deviation alone": usual[:, width:],
        "states and lagged products": np.hstack([usual, in_units(products, fold)]),
    }


def shuffled(by_speaker: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {who: rng.permutation(clips) for who, clips in by_speaker.items()}


def main(given: Sequence[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--layer", type=int, nargs="+")
    parser.add_argument("--protocol", default=INDEPENDENT)
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--curves", action="store_true")
    asked = parser.parse_args(given)
    corpus = Corpus.open(asked.corpus)
    corpus = corpus.layer(*asked.layer) if asked.layer else corpus
    layer = " ".join(map(str, asked.layer or ()))
    rows = []
    if asked.output.exists():
        rows = pd.read_csv(asked.output, dtype={"layer": str}, keep_default_na=False).to_numpy().tolist()
    for number in asked.folds:
        fold = Fold.open(corpus, number, asked.protocol)
        known = {row[3] for row in rows if tuple(row[:3]) == (asked.protocol, layer, number)}
        for objective, readouts in (curves if asked.curves else tables)(fold, asked.steps, known):
            _, share = GUESSES.get(objective, (None, 0.0))
            for readout, table in readouts.items():
                of = (asked.protocol, layer, number, objective, readout)
                rows += [(*of, *found) for found in scores(table, fold, share)]
            pd.DataFrame(rows, columns=COLUMNS).to_csv(asked.output, index=False, float_format="%.4f")
            print(number, objective, flush=True)
    return pd.DataFrame(rows, columns=COLUMNS)


if __name__ == "__main__":
    main()
