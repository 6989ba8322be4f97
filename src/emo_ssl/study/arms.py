"""One chunk of the grid: its members made, tuned, trained in lockstep and read out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from emo_ssl.core import finetune
from emo_ssl.core.batches import budget, label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments, Member, Probe
from emo_ssl.core.leaks import training_recordings
from emo_ssl.core.metrics import to_class
from emo_ssl.core.model import Classifier, EncoderConfig, State, initialise, load_members, member_state, shuffled
from emo_ssl.core.normalise import Normaliser
from emo_ssl.core.readout import Predictions, concatenate, headline
from emo_ssl.study import vectors
from emo_ssl.study.checks import Record, head_hash, member_name
from emo_ssl.study.grid import ARMS, Chunk, StudyConfig, budgets_of

UNREPORTED = 10_000  # seeds of the members that tune; no reported seed is as large
Pooled = Callable[[np.ndarray], Tensor]  # segments (n,) -> vectors (M, n, I), as the head reads them now


@dataclass(frozen=True)
class Fold:
    """One split of the corpus under one protocol, with everything that its members share."""

    number: int
    prepared: Corpus
    normaliser: Normaliser
    data: LabelledSegments
    encoder: EncoderConfig
    runs: tuple[tuple[int, State], ...]  # (pretraining seed, weights)
    protocol: str = "speaker-independent"

    def indices(self, split: str) -> np.ndarray:
        return self.prepared.where(split)


@dataclass(frozen=True)
class Outcome:
    """What a chunk leaves behind: predictions on the test segments, (budgets * seeds, n, …), and how they came."""

    cell: Predictions
    record: Record


def run_chunk(fold: Fold, chunk: Chunk, config: StudyConfig) -> Outcome:
    arm, test = ARMS[chunk.arm], fold.indices("test")
    wanted = [(b, s) for b in chunk.budgets for s in chunk.seeds]
    if arm.kind == "constant":
        train = fold.indices("train")
        shares = None
        if fold.data.head.categories:
            category = fold.prepared.segments.category[train]
            shares = np.bincount(category[category >= 0], minlength=fold.data.head.categories) / len(train)
        cell = constant_predictions(fold.prepared.targets[train], len(test), len(wanted), shares)
        return Outcome(cell, Record.of_constant(fold.normaliser))
    inputs = Inputs(fold, chunk.arm, config)
    rate, trials = tune(inputs, config)
    cell, record = inputs.train_and_score(wanted, rate, test)
    return Outcome(cell, replace(record, rate=rate, trials=trials))


def constant_predictions(train: np.ndarray, count: int, members: int, categories: np.ndarray | None) -> Predictions:
    """The best an arm can do that only knows the training labels (N, E): their median, mode and share above 0."""

    def everywhere(row: np.ndarray, dtype: type) -> np.ndarray:
        return np.broadcast_to(row.astype(dtype), (members, count, len(row))).copy()

    classes = to_class(train)
    mode = np.array([np.bincount(classes[:, e], minlength=4).argmax() for e in range(train.shape[1])])
    return Predictions(
        everywhere(np.median(train, 0), np.float32),
        everywhere((train > 0).mean(0), np.float32),
        everywhere(mode, np.int8),
        None if categories is None else everywhere(categories, np.float32),
    )


def tune(inputs: "Inputs", config: StudyConfig) -> tuple[float, list[dict]]:
    """The learning rate that does best on validation segments with unreported seeds, at a small and the full budget."""
    fold = inputs.fold
    pool, valid = len(fold.indices("train")), fold.indices("valid")
    if len(config.rates) == 1:
        return config.rates[0], []
    budgets = (min(budgets_of(config, pool)), pool)
    wanted = [(b, UNREPORTED + s) for b in dict.fromkeys(budgets) for s in range(config.tuning_seeds)]
    trials = []
    for rate in config.rates:
        cell, _ = inputs.train_and_score(wanted, rate, valid)
        targets, category = fold.prepared.targets[valid], fold.prepared.segments.category[valid]
        scores = [headline(cell, i, targets, category) for i in range(len(wanted))]
        # a validation set without one positive of any emotion tells nothing: the first rate stays
        trials.append({"rate": rate, "score": float(np.nan_to_num(np.mean(scores), nan=0.0))})
    return max(trials, key=lambda trial: trial["score"])["rate"], trials


class Inputs:
    """What the members of one arm read, made once for all of them."""

    def __init__(self, fold: Fold, name: str, config: StudyConfig):
        self.fold, self.name, self.arm = fold, name, ARMS[name]
        self.labels, self.keep = config.labels, config.keep
        self.settings = config.finetune if self.arm.kind == "finetune" else config.probe
        self.settings = replace(self.settings, steps=self.settings.steps * self.arm.steps)
        self.train_pool = fold.indices("train")
        self.tables: dict[int, Tensor] = {}

    def run_of(self, seed: int) -> tuple[int, State]:
        """A seed is a whole replicate: it takes its pretraining run with it."""
        return self.fold.runs[seed % len(self.fold.runs)]

    def classifier(self, seeds: Sequence[int]) -> Classifier:
        """A member for each seed, its encoder as the arm begins and its head freshly drawn."""
        network = Classifier(self.fold.encoder, self.fold.data.head, len(seeds))
        initialise(network.head, seeds)
        if self.arm.start == "fresh":
            initialise(network.encoder, seeds)
        else:
            states = [self.run_of(seed)[1] for seed in seeds]
            if self.arm.start == "permuted":
                states = [shuffled(state, seed) for state, seed in zip(states, seeds, strict=True)]
            load_members(network, states)
        return network.to(self.fold.data.device)

    def table(self, seed: int) -> tuple[int, Tensor]:
        """The vectors (N, I) that a probe of this seed reads, and the number by which seeds share them."""
        fold, start = self.fold, self.arm.start
        source = {"pretrained": seed % len(fold.runs), "fresh": seed, "permuted": seed}.get(start, 0)
        if source not in self.tables:
            if start in ("fresh", "pretrained", "permuted"):
                everything = np.arange(len(fold.prepared))
                table = finetune.embed(self.classifier([seed]), fold.data, everything, self.settings)[0]
            else:
                table = torch.from_numpy(self.fixed_table(start)).to(fold.data.device)
            self.tables[source] = vectors.standardised(table, self.train_pool)
        return source, self.tables[source]

    def fixed_table(self, start: str) -> np.ndarray:
        prepared, normaliser = self.fold.prepared, self.fold.normaliser
        if start == "length":
            return vectors.length_bumps(prepared)
        table = vectors.segment_statistics(prepared, normaliser)
        if start == "statistics":
            return table
        unlabelled = vectors.unlabelled_statistics(prepared, normaliser, training_recordings(prepared))
        return vectors.principal_components(table, unlabelled)

    def members(self, wanted: Sequence[tuple[int, int]]) -> list[Member]:
        """The members at (budget, seed)."""
        order = {s: label_order(self.fold.prepared, self.train_pool, s, self.labels) for _, s in wanted}
        return [Member(seed, budget(order[seed], size)) for size, seed in wanted]

    def network(self, seeds: Sequence[int]) -> tuple[Classifier | Probe, finetune.Inputs, Pooled]:
        """Members that are to be trained, what they are called with while training, and their vectors afterwards."""
        data = self.fold.data
        if self.arm.kind == "finetune":
            network = self.classifier(seeds)
            inputs = finetune.random_crops(data, self.fold.encoder.stack, self.settings)
            return network, inputs, partial(finetune.embed, network, data, config=self.settings)
        shared = dict(self.table(seed) for seed in seeds)
        tables, order = torch.stack(list(shared.values())), list(shared)
        source = torch.tensor([order.index(self.table(seed)[0]) for seed in seeds], device=data.device)[:, None]
        network = Probe(data.head, tables.shape[-1], len(seeds))
        initialise(network.head, seeds)
        return (
            network.to(data.device),
            lambda picked, place: (tables[source, picked],),
            lambda chosen: tables[source, torch.from_numpy(chosen).to(data.device)],
        )

    def check(self, pooled: Pooled) -> Callable[[nn.Module], Tensor] | None:
        """The headline of members on validation segments, where they keep the weights that do best there."""
        if self.keep == "last":
            return None
        valid, prepared = self.fold.indices("valid"), self.fold.prepared
        targets, category = prepared.targets[valid], prepared.segments.category[valid]

        def scores(network: Classifier | Probe) -> Tensor:
            predictions = finetune.predict(network.head, pooled(valid), self.fold.data.levels)
            return torch.tensor([headline(predictions, i, targets, category) for i in range(len(predictions.klass))])

        return scores

    def train_and_score(
        self, wanted: Sequence[tuple[int, int]], rate: float, chosen: np.ndarray
    ) -> tuple[Predictions, Record]:
        """Train the members at (budget, seed) in lockstep, as many at once as the cache holds, and read them out."""
        data, members = self.fold.data, self.members(wanted)
        crop = self.settings.tokens if self.arm.kind == "finetune" else 1
        together = max(1, self.settings.chunk_tokens // (self.settings.batch * crop))
        parts, heads, parameters = [], {}, 0
        for begin in range(0, len(members), together):
            part = members[begin : begin + together]
            network, inputs, pooled = self.network([member.seed for member in part])
            if self.arm.kind == "finetune":
                for m, member in enumerate(part):
                    heads[member_name(member)] = head_hash(member_state(network.head, m))
                parameters = sum(p.numel() for p in network.parameters()) // len(part)
            finetune.train(network, inputs, data, part, self.settings, rate, self.check(pooled))
            parts.append(finetune.predict(network.head, pooled(chosen), data.levels))
        record = Record.of_members(members, heads, self.settings, self.fold.normaliser, parameters, self.name)
        if self.arm.start in ("pretrained", "permuted"):
            record = replace(record, pretrained_with={str(seed): self.run_of(seed)[0] for _, seed in wanted})
        return concatenate(parts), record
