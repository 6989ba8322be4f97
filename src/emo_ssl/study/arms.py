"""One chunk of the grid: its members made, tuned, trained in lockstep and read out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from emo_ssl.core import finetune
from emo_ssl.core.batches import budget, label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import Member, Task
from emo_ssl.core.leaks import training_recordings
from emo_ssl.core.metrics import to_class
from emo_ssl.core.model import (
    BackboneConfig,
    Params,
    backbone_shapes,
    head_shapes,
    initialise,
    parameter_count,
    stack_members,
)
from emo_ssl.core.normalise import Normaliser
from emo_ssl.core.readout import Predictions, concatenate, headline
from emo_ssl.study import vectors
from emo_ssl.study.checks import Record
from emo_ssl.study.grid import ARMS, Chunk, StudyConfig, budgets_of

UNREPORTED = 10_000  # seeds of the members that tune; no reported seed is as large


@dataclass(frozen=True)
class Fold:
    """One split of the corpus under one protocol, with everything that its members share."""

    number: int
    prepared: Corpus
    normaliser: Normaliser
    task: Task
    backbone: BackboneConfig
    runs: tuple[tuple[int, Params], ...]  # (pretraining seed, backbone weights)
    protocol: str = "blind"

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
        if fold.task.head.categories:
            told = fold.prepared.segments.category[train]
            shares = np.bincount(told[told >= 0], minlength=fold.task.head.categories) / len(train)
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


def rows_of(tables: Tensor, params: Params, chosen: np.ndarray) -> Tensor:
    """Tables (M, N, I) -> rows of the chosen segments (M, n, I): no weights of a probe change its vectors."""
    return tables[:, torch.from_numpy(chosen).to(tables.device)]


class Inputs:
    """What the members of one arm read, made once for all of them."""

    def __init__(self, fold: Fold, name: str, config: StudyConfig):
        self.fold, self.name, self.arm = fold, name, ARMS[name]
        self.labels, self.keep = config.labels, config.keep
        self.settings = config.finetune if self.arm.kind == "finetune" else config.probe
        self.settings = replace(self.settings, steps=self.settings.steps * self.arm.steps)
        self.train_pool = fold.indices("train")
        self.tables: dict[int, Tensor] = {}

    def run_of(self, seed: int) -> tuple[int, Params]:
        """A seed is a whole replicate: it takes its pretraining run with it."""
        return self.fold.runs[seed % len(self.fold.runs)]

    def backbone_of(self, seed: int) -> Params:
        if self.arm.start == "fresh":
            return initialise(backbone_shapes(self.fold.backbone), seed)
        _, weights = self.run_of(seed)
        return finetune.permuted(weights, seed) if self.arm.start == "permuted" else weights

    def table(self, seed: int) -> tuple[int, Tensor]:
        """The vectors (N, I) that a probe of this seed reads, and the number by which they are shared."""
        fold, start = self.fold, self.arm.start
        source = {"pretrained": seed % len(fold.runs), "fresh": seed, "permuted": seed}.get(start, 0)
        if source not in self.tables:
            if start in ("fresh", "pretrained", "permuted"):
                params = {n: v.to(fold.task.device) for n, v in stack_members([self.backbone_of(seed)]).items()}
                everything = np.arange(len(fold.prepared))
                table = finetune.embed(fold.task, fold.backbone, params, everything, self.settings)[0]
            else:
                table = torch.from_numpy(self.fixed_table(start)).to(fold.task.device)
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

    def members(self, wanted: Sequence[tuple[int, int]], rate: float) -> tuple[list[Member], list[Tensor]]:
        """The members at (budget, seed), and the distinct tables that they read."""
        members, sources, tables = [], {}, []
        for size, seed in wanted:
            subset = budget(label_order(self.fold.prepared, self.train_pool, seed, self.labels), size)
            if self.arm.kind == "finetune":
                start, width, place = self.backbone_of(seed), 2 * self.fold.backbone.width, 0
            else:
                source, table = self.table(seed)
                if source not in sources:
                    sources[source] = len(tables)
                    tables.append(table)
                start, width, place = {}, table.shape[1], sources[source]
            head = initialise(head_shapes(self.fold.task.head, width), seed)
            members.append(Member(size, seed, subset, {**start, **head}, rate, place))
        return members, tables

    def judge(self, pooled: Callable[[Params, np.ndarray], Tensor]) -> finetune.Judge | None:
        """The headline of members on validation segments, where they keep the weights that do best there."""
        if self.keep == "last":
            return None
        valid, prepared, task = self.fold.indices("valid"), self.fold.prepared, self.fold.task
        targets, category = prepared.targets[valid], prepared.segments.category[valid]

        def scores(params: Params) -> Tensor:
            cell = finetune.predict(task, params, pooled(params, valid))
            count = len(next(iter(params.values())))
            return torch.tensor([headline(cell, i, targets, category) for i in range(count)])

        return scores

    def train_and_score(
        self, wanted: Sequence[tuple[int, int]], rate: float, chosen: np.ndarray
    ) -> tuple[Predictions, Record]:
        """Train the members at (budget, seed) in lockstep, as many at once as the cache holds, and read them out."""
        task, backbone = self.fold.task, self.fold.backbone
        members, tables = self.members(wanted, rate)
        tuned = self.arm.kind == "finetune"
        crop = self.settings.tokens if tuned else 1
        together = max(1, self.settings.chunk_tokens // (self.settings.batch * crop))
        parts = []
        for begin in range(0, len(members), together):
            part = members[begin : begin + together]
            if tuned:
                read = finetune.backbone_vectors(task, backbone, self.settings)
                pooled = partial(finetune.embed, task, backbone, config=self.settings)
            else:
                stacked = torch.stack(tables)
                sources = torch.tensor([m.source for m in part], device=task.device)
                read = finetune.table_vectors(stacked, sources)
                pooled = partial(rows_of, stacked[sources])
            layers = backbone.layers if tuned else None
            params = finetune.train(task, part, read, self.settings, layers, self.judge(pooled))
            parts.append(finetune.predict(task, params, pooled(params, chosen)))
        shapes = {**backbone_shapes(backbone), **head_shapes(task.head, 2 * backbone.width)}
        count = parameter_count(shapes) if tuned else 0
        record = Record.of_members(members, self.settings, self.fold.normaliser, count, self.name)
        if self.arm.start in ("pretrained", "permuted"):
            record = replace(record, pretrained_with={str(seed): self.run_of(seed)[0] for _, seed in wanted})
        return concatenate(parts), record
