"""The grid of a study as data: arms, budgets, seeds, and the chunks that are computed one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from emo_ssl.core.batches import ORDERS
from emo_ssl.core.finetune import FinetuneConfig
from emo_ssl.core.model import HEADS
from emo_ssl.core.normalise import ADAPTED, ENROLMENT, INDEPENDENT
from emo_ssl.core.optim import AdamConfig, refuse_absurd
from emo_ssl.utils.values import ECHO, short, shortened


@dataclass(frozen=True)
class Arm:
    """What is trained, and from where it starts."""

    kind: str  # "finetune", "probe", "classical" or "constant"
    start: str = "fresh"  # "fresh", "pretrained", "permuted"; for others also "statistics", "pca", "length", "contrast"
    steps: int = 1  # times the usual number
    guesses: bool = False  # learns once more, from its own surest guesses for unlabelled segments too


ARMS = {
    "scratch": Arm("finetune"),
    "pretrained": Arm("finetune", "pretrained"),
    "permuted": Arm("finetune", "permuted"),
    "scratch-4x": Arm("finetune", steps=4),
    "pretrained-4x": Arm("finetune", "pretrained", steps=4),
    "frozen-random": Arm("probe"),
    "frozen-pretrained": Arm("probe", "pretrained"),
    "frozen-permuted": Arm("probe", "permuted"),
    "statistics": Arm("probe", "statistics"),
    "pca": Arm("probe", "pca"),
    "length": Arm("probe", "length"),
    "logistic": Arm("classical", "statistics"),
    "contrast": Arm("classical", "contrast"),
    "self-trained": Arm("classical", "contrast", guesses=True),
    "constants": Arm("constant"),
}
MAIN = (
    *("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted"),
    *("statistics", "logistic", "contrast", "self-trained", "constants"),
)
KEEPS = ("last", "best")


@dataclass(frozen=True)
class StudyConfig:
    profile: str = "demo"
    arms: tuple[str, ...] = MAIN
    budgets: tuple[int, ...] = (28, 56, 112, 224, 448)  # those below the training pool; all of it is always the last
    seeds: int = 5
    rates: tuple[float, ...] = (1e-3, 4e-3)  # tried by every arm that trains
    tuning_seeds: int = 2
    head: str = "ordinal"
    keep: str = "last"  # weights; "best" keeps those that do best on the validation part, which costs all its labels
    labels: str = "usual"  # which segments a budget takes; "random" and "whole" are sensitivities
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    adapted: tuple[int, ...] = ()  # budgets, and all of the pool, at which the speaker-adapted protocol is run as well
    enrolment: int = ENROLMENT  # segments a speaker, where speaker-adapted
    probe: FinetuneConfig = field(
        default_factory=lambda: FinetuneConfig(steps=200, batch=32, adam=AdamConfig(weight_decay=0.1))
    )

    def __post_init__(self):
        unknown = [name for name in self.arms if name not in ARMS]
        if unknown:
            raise ValueError(f"no arm is called {shortened(unknown[0], ECHO)}; choose among {', '.join(ARMS)}")
        if len(set(self.arms)) < max(1, len(self.arms)) or len(set(self.budgets)) < len(self.budgets):
            raise ValueError("name each arm and budget once, and at least one arm")
        others = sorted(set(self.adapted) - set(self.budgets))
        if others:
            raise ValueError(f"adapted names {others[0]}, which is none of the budgets")
        if not 1 <= len(self.rates) <= 6:
            raise ValueError("an arm is tuned over one to six settings; give as many rates")
        if min(self.seeds, self.tuning_seeds, *self.budgets) < 1:
            raise ValueError("seeds and budgets are at least 1")
        refuse_absurd(seeds=self.seeds, tuning_seeds=self.tuning_seeds)
        for rate in self.rates:
            refuse_absurd(rate=rate)
        for name, choices in (("head", HEADS), ("keep", KEEPS), ("labels", ORDERS)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {short(getattr(self, name))} is none of {', '.join(choices)}")


@dataclass(frozen=True)
class Chunk:
    """The members of one arm in one fold under one protocol: what is computed and stored at a time."""

    fold: int
    arm: str
    budgets: tuple[int, ...]
    seeds: tuple[int, ...]
    protocol: str = INDEPENDENT

    @property
    def name(self) -> str:
        return f"fold{self.fold}-{self.protocol}-{self.arm}-{'-'.join(map(str, self.budgets))}"

    @property
    def members(self) -> list[tuple[int, int]]:
        """(budget, seed) of each."""
        return [(budget, seed) for budget in self.budgets for seed in self.seeds]


def budgets_of(config: StudyConfig, pool: int) -> tuple[int, ...]:
    return (*(b for b in sorted(config.budgets) if b < pool), pool)


def budgets_under(config: StudyConfig, budgets: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Protocol -> the budgets at which it is run; the last one, all of the pool, belongs to both."""
    if not config.adapted:
        return {INDEPENDENT: budgets}
    return {INDEPENDENT: budgets, ADAPTED: tuple(b for b in budgets if b in config.adapted or b == budgets[-1])}


def chunks_of(config: StudyConfig, folds: Sequence[int], budgets: tuple[int, ...]) -> list[Chunk]:
    seeds = tuple(range(config.seeds))
    return [
        Chunk(fold, arm, some, seeds, protocol)
        for fold in folds
        for protocol, some in budgets_under(config, budgets).items()
        for arm in config.arms
    ]
