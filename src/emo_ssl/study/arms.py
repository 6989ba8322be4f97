"""One chunk of the grid: its learning rate is tuned, its members are trained in lockstep, and they predict."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from emo_ssl.core.batches import label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import Inputs, LabelledSegments, Member, members_at_once, random_crops, standardise, train
from emo_ssl.core.metrics import Predictions, macro_auroc, predictions_of, to_class, uar
from emo_ssl.core.model import (
    Classifier,
    EncoderConfig,
    Head,
    HeadConfig,
    State,
    initialise,
    load_members,
    member_state,
    units_of,
)
from emo_ssl.core.normalise import Normaliser
from emo_ssl.core.predictor import embed, predict
from emo_ssl.study import contrast, vectors
from emo_ssl.study.checks import TrainedWith, hash_arrays, refuse_diverged
from emo_ssl.study.grid import ARMS, Chunk, StudyConfig, budgets_of
from emo_ssl.study.logistic import CONTRAST_STRENGTHS, STRENGTHS, LogisticTrainer
from emo_ssl.utils.io import hash_of

DIVERGED = -1.0  # below every score, so that a rate at which a member diverges is never chosen
UNREPORTED = 10_000  # seeds of the members that tune; no reported seed is as large
Pooled = Callable[[np.ndarray], Tensor]  # segments (n,) -> vectors (M, n, I), as the head reads them now


class Probe(nn.Module):
    """A head on vectors (M, B, I) that nothing learns to make."""

    def __init__(self, head: HeadConfig, inputs: int, members: int = 1):
        super().__init__()
        self.head = Head(head, inputs, members)

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(vectors)


@dataclass(frozen=True)
class Fold:
    """One split of the corpus under one protocol, with everything that its members share."""

    number: int
    corpus: Corpus
    normaliser: Normaliser
    data: LabelledSegments
    encoder: EncoderConfig
    runs: tuple[tuple[int, State], ...]  # (pretraining seed, weights)
    protocol: str = "speaker-independent"

    @property
    def normaliser_hash(self) -> str:
        return hash_arrays(self.normaliser.center, self.normaliser.scale)


@dataclass(frozen=True)
class Outcome:
    """What a chunk leaves behind: predictions on the test segments, (budgets * seeds, n, …), and how they came."""

    predictions: Predictions
    trained_with: TrainedWith


def run_chunk(fold: Fold, chunk: Chunk, config: StudyConfig) -> Outcome:
    if ARMS[chunk.arm].kind == "constant":
        return Outcome(constant_predictions(fold, len(chunk.members)), TrainedWith(fold.normaliser_hash))
    if ARMS[chunk.arm].kind == "classical":
        trainer, rate, trials = tuned_classical(fold, chunk, config)
    else:
        trainer = ArmTrainer(fold, chunk.arm, config)
        rate, trials = tune(trainer, config, config.rates)
    predictions, trained_with = trainer.train(chunk.members, rate, fold.corpus.where("test"))
    refuse_diverged(chunk, rate, predictions)
    return Outcome(predictions, replace(trained_with, rate=rate, trials=trials))


def tuned_classical(fold: Fold, chunk: Chunk, config: StudyConfig) -> tuple[LogisticTrainer, float, list[dict]]:
    """The trainer and penalty that do best on validation segments, over all budgets: it takes seconds to try them."""
    plain = ARMS[chunk.arm].start != "contrast"
    found = []
    for strangers in (None,) if plain else contrast.STRANGERS:
        trainer = LogisticTrainer(fold.corpus, fold.normaliser, config, strangers, ARMS[chunk.arm].guesses)
        rate, trials = tune(trainer, config, STRENGTHS if plain else CONTRAST_STRENGTHS, chunk.budgets)
        found.append((trainer, rate, [trial if plain else trial | {"strangers": strangers} for trial in trials]))
    trainer, rate, _ = max(found, key=lambda tried: max(trial["score"] for trial in tried[2]))
    return trainer, rate, [trial for _, _, trials in found for trial in trials]


def constant_predictions(fold: Fold, members: int) -> Predictions:
    """The best guess that knows only the training labels: their median, mode, shares above 0 and of categories."""
    corpus, train = fold.corpus, fold.corpus.where("train")
    targets, category = corpus.targets[train], corpus.segments.category[train]
    classes = to_class(targets)
    mode = [np.bincount(classes[:, e], minlength=4).argmax() for e in range(targets.shape[1])]
    shares = np.bincount(category[category >= 0], minlength=len(corpus.category_names)) / len(train)
    known = shares if corpus.category_names else None
    one = predictions_of(np.median(targets, 0), (targets > 0).mean(0), np.array(mode), known)
    return one.map(lambda row: np.tile(row, (members, len(corpus.where("test")), 1)))


def tune(
    trainer: "ArmTrainer | LogisticTrainer", config: StudyConfig, rates: Sequence[float], budgets: Sequence[int] = ()
) -> tuple[float, list[dict]]:
    """The rate that does best on validation segments with unreported seeds, mean over budgets: the smallest and the
    full one where no others are named."""
    if len(rates) == 1:
        return rates[0], []
    corpus = trainer.corpus
    pool, valid = len(corpus.where("train")), corpus.where("valid")
    tried = budgets or sorted({min(budgets_of(config, pool)), pool})
    members = [(b, UNREPORTED + s) for b in tried for s in range(config.tuning_seeds)]
    trials = []
    for rate in rates:
        predictions, _ = trainer.train(members, rate, valid)
        # validation segments without one positive of any emotion decide nothing: the first rate stays
        score = float(np.nan_to_num(np.mean(headlines(predictions, corpus, valid)), nan=0.0))
        trials.append({"rate": rate, "score": score if predictions.scored().all() else DIVERGED})
    return max(trials, key=lambda trial: trial["score"])["rate"], trials


def headlines(predictions: Predictions, corpus: Corpus, segments: np.ndarray) -> list[float]:
    """What no constant wins, for each member: UAR where clips have a category, else macro-AUROC of presence.

    NaN where a member has diverged.
    """
    if predictions.category is None:
        found = [macro_auroc(presence, corpus.targets[segments] > 0) for presence in predictions.presence]
    else:
        category, classes = corpus.segments.category[segments], len(corpus.category_names)
        found = [uar(scores.argmax(-1), category, classes) for scores in predictions.category]
    return np.where(predictions.scored().all(1), found, np.nan).tolist()


class ArmTrainer:
    """Trains members of one arm in one fold, and keeps the vectors that its probes share."""

    def __init__(self, fold: Fold, name: str, config: StudyConfig):
        self.fold, self.arm, self.corpus = fold, ARMS[name], fold.corpus
        self.labels, self.keep = config.labels, config.keep
        settings = config.finetune if self.arm.kind == "finetune" else config.probe
        self.settings = replace(settings, steps=settings.steps * self.arm.steps)
        self.tables: dict[int, Tensor] = {}

    def train(
        self, wanted: Sequence[tuple[int, int]], rate: float, segments: np.ndarray
    ) -> tuple[Predictions, TrainedWith]:
        """Train the members at (budget, seed) in lockstep, as many at once as the cache holds; their predictions."""
        data, settings, members = self.fold.data, self.settings, self.members(wanted)
        crop = settings.tokens if self.arm.kind == "finetune" else 1
        together = members_at_once(settings, self.fold.encoder, crop, data.device)
        parts, heads, parameters = [], {}, 0
        for begin in range(0, len(members), together):
            part = members[begin : begin + together]
            network, inputs, pooled = self.network([member.seed for member in part])
            if self.arm.kind == "finetune":
                states = [member_state(network.head, m) for m in range(len(part))]
                heads |= {name_of(member): hash_state(s) for member, s in zip(part, states, strict=True)}
                parameters = sum(p.numel() for p in network.parameters()) // len(part)
            train(network, inputs, data, part, settings, rate, self.validation_check(pooled))
            parts.append(predict(network.head, pooled(segments)))
        return concatenate(parts), TrainedWith(
            self.fold.normaliser_hash,
            hash_of({name: value for name, value in asdict(settings).items() if name != "steps"}),
            settings.steps,
            parameters,
            {name_of(member): hash_arrays(member.subset) for member in members},
            heads,
            {str(s): self.run_of(s)[0] for _, s in wanted} if self.arm.start in ("pretrained", "permuted") else {},
        )

    def members(self, wanted: Sequence[tuple[int, int]]) -> list[Member]:
        """The members at (budget, seed), each with its labelled segments."""
        pool = self.fold.corpus.where("train")
        order = {seed: label_order(self.fold.corpus, pool, seed, self.labels) for _, seed in wanted}
        return [Member(seed, order[seed][:size]) for size, seed in wanted]

    def network(self, seeds: Sequence[int]) -> tuple[Classifier | Probe, Inputs, Pooled]:
        """Members that are to be trained, what they are called with while training, and their vectors at any time."""
        data = self.fold.data
        if self.arm.kind == "finetune":
            network = self.classifier(seeds)
            standardise(network, data, self.fold.corpus.where("train"), self.settings)
            crops = random_crops(data, self.fold.encoder.stack, self.settings)
            return network, crops, partial(embed, network, data, precision=self.settings.precision)
        shared = dict(self.table(seed) for seed in seeds)
        tables, order = torch.stack(list(shared.values())), list(shared)
        source = torch.tensor([order.index(self.table(seed)[0]) for seed in seeds], device=data.device)[:, None]
        network = Probe(data.head, tables.shape[-1], len(seeds))
        initialise(network.head, seeds)
        return (
            network.to(data.device),
            lambda picked, place: (tables[source, picked],),
            lambda segments: tables[source, torch.from_numpy(segments).to(data.device)],
        )

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

    def run_of(self, seed: int) -> tuple[int, State]:
        """A seed is a whole replicate: it takes its pretraining run with it."""
        return self.fold.runs[seed % len(self.fold.runs)]

    def table(self, seed: int) -> tuple[int, Tensor]:
        """The vectors (N, I) that a probe of this seed reads, and the number by which seeds share them."""
        corpus, start = self.fold.corpus, self.arm.start
        source = {"pretrained": seed % len(self.fold.runs), "fresh": seed, "permuted": seed}.get(start, 0)
        if source not in self.tables:
            if start in vectors.FIXED:
                table = torch.from_numpy(vectors.FIXED[start](corpus, self.fold.normaliser)).to(self.fold.data.device)
            else:
                everything = np.arange(len(corpus))
                table = embed(self.classifier([seed]), self.fold.data, everything, self.settings.precision)[0]
            center, spread = units_of(table[torch.from_numpy(corpus.where("train")).to(table.device)])
            self.tables[source] = (table - center) / spread
        return source, self.tables[source]

    def validation_check(self, pooled: Pooled) -> Callable[[Classifier | Probe], Tensor] | None:
        """Scores of members on validation segments, where they keep the weights that do best there."""
        if self.keep == "last":
            return None
        corpus, valid = self.corpus, self.corpus.where("valid")

        def scores(network: Classifier | Probe) -> Tensor:
            predictions = predict(network.head, pooled(valid))
            return torch.tensor(headlines(predictions, corpus, valid))

        return scores


def name_of(member: Member) -> str:
    return f"{len(member.subset)}/{member.seed}"


def hash_state(state: State) -> str:
    return hash_arrays(*(value.cpu().numpy() for _, value in sorted(state.items())))


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Members end to end."""
    arrays = [part.arrays() for part in parts]
    return Predictions(**{name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]})


def shuffled(state: State, seed: int) -> dict[str, Tensor]:
    """Each tensor's values in random order: the scale of trained weights without their content."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value.flatten()[torch.randperm(value.numel(), generator=generator)].view(value.shape)
        for name, value in state.items()
    }
