"""Logistic regression on the mean and deviation of each feature over a segment: as they are, the classical rival, or
along the directions that contrast clips of one speaker.

Categories are predicted where the corpus has them, and from their probabilities each emotion: how often it is present
in a category is counted in the member's own labels. Without categories every emotion has a regression of its own.
"""

from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np
from scipy import special

from emo_ssl.core.batches import label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import Member
from emo_ssl.core.metrics import Predictions, predictions_of, to_class
from emo_ssl.core.normalise import Normaliser
from emo_ssl.study import contrast, vectors
from emo_ssl.study.checks import TrainedWith, hash_arrays
from emo_ssl.study.grid import StudyConfig

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, from the strongest penalty to the weakest
NEVER = -1e4  # a logit: its probability is 0 in any precision
GUESSED = 0.4  # of the unlabelled training segments: for as many of them guesses are taken for labels
CONTRAST_STRENGTHS = (1e-2, 1e-1, 1.0)  # with each of contrast.STRANGERS: an arm may try six settings
softmax = partial(special.softmax, axis=-1)


def regression(x: np.ndarray, y: np.ndarray, strength: float, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Fitted on x (n, I) with classes y (n,): weight (classes, I) and bias (classes,), whose softmax is how likely each
    is. A class without an example is NEVER."""
    from sklearn.linear_model import LogisticRegression  # here, for it takes a second to import

    found = np.unique(y)
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, NEVER)
    bias[found] = 0.0
    if len(found) > 1:
        axes = span(x)
        fitted = LogisticRegression(C=strength, max_iter=5000).fit(x @ axes.T, y)
        learned = found if len(found) > 2 else found[1:]  # of two classes the first stays at 0
        weight[learned], bias[learned] = fitted.coef_ @ axes, fitted.intercept_
    return weight, bias


def span(examples: np.ndarray) -> np.ndarray:
    """(n, I) -> axes (at most n, I): a penalised solution lies in the span of the examples, so that with few of them
    most columns need no weight of their own."""
    few = len(examples) < examples.shape[1]
    return np.linalg.svd(examples, full_matrices=False)[2] if few else np.eye(examples.shape[1])


def self_trained(
    x: np.ndarray, y: np.ndarray, unlabelled: np.ndarray, strength: float, classes: int, guessed: float = GUESSED
) -> tuple[np.ndarray, np.ndarray]:
    """As `regression`, then fitted once more, as if its surest guesses for unlabelled (m, I) were labels: of each class
    as large a share as it has among the labels. Guesses are no reason to be surer, so it ends no surer than it was."""
    weight, bias = regression(x, y, strength, classes)
    surest = np.argsort(-softmax(unlabelled @ weight.T + bias), axis=0, kind="stable").T
    sizes = np.round(guessed * len(unlabelled) * np.bincount(y, minlength=classes) / max(len(y), 1)).astype(int)
    taken = np.concatenate([order[:size] for order, size in zip(surest, sizes, strict=True)])
    if not len(taken):
        return weight, bias
    answers = np.concatenate([y, np.repeat(np.arange(classes), sizes)])
    learned, shift = regression(np.vstack([x, unlabelled[taken]]), answers, strength, classes)
    scale = scale_of(unlabelled @ learned.T + shift, sureness(unlabelled @ weight.T + bias))
    return learned * scale, np.where(shift > NEVER, shift * scale, NEVER)


def sureness(logits: np.ndarray) -> float:
    """(m, classes) -> the probability of what is likeliest, on average."""
    return float(softmax(logits).max(-1).mean())


def scale_of(logits: np.ndarray, most: float) -> float:
    """At most 1; by it (m, classes) are no surer than `most`, and what is likeliest stays so."""
    from scipy.optimize import minimize_scalar  # takes a fifth of a second to import

    found = minimize_scalar(lambda log: (sureness(np.exp(log) * logits) - most) ** 2, bounds=(-5.0, 0.0))
    return float(np.exp(found.x))


class LogisticTrainer:
    """Fits the members of one fold; tuned and asked as an `ArmTrainer` is.

    With `strangers` along directions of contrast, without on the plain numbers; with `guesses` self-trained.
    """

    def __init__(
        self,
        corpus: Corpus,
        normaliser: Normaliser,
        config: StudyConfig,
        strangers: float | None = None,
        guesses: bool = False,
    ):
        self.corpus, self.normaliser, self.labels = corpus, normaliser, config.labels
        self.strangers, self.guesses = strangers, guesses

    @cached_property
    def table(self) -> np.ndarray:
        """(N, I), in units of the training pool."""
        if self.strangers is not None:
            return contrast.table(self.corpus, self.normaliser, self.strangers)
        table = vectors.mean_and_deviation(self.corpus, self.normaliser)
        centre, spread = vectors.units(table[self.corpus.where("train")])
        return (table - centre) / spread

    @cached_property
    def coordinates(self) -> np.ndarray:
        """(N, at most P): the table in the span of the P training segments; nothing is learned outside of it."""
        return self.table @ span(self.table[self.corpus.where("train")]).T

    def train(
        self, wanted: Sequence[tuple[int, int]], strength: float, segments: np.ndarray
    ) -> tuple[Predictions, TrainedWith]:
        """The members at (budget, seed): what they predict for `segments`."""
        pool = self.corpus.where("train")
        members = [Member(seed, label_order(self.corpus, pool, seed, self.labels)[:size]) for size, seed in wanted]
        fitted: dict[bytes, dict[str, np.ndarray]] = {}  # with all labels every seed has the same ones
        alike = [np.sort(member.subset) for member in members]
        for labels in alike:
            if labels.tobytes() not in fitted:
                fitted[labels.tobytes()] = self.fit(labels, strength, segments).arrays()
        predicted = [fitted[labels.tobytes()] for labels in alike]
        found = Predictions(**{name: np.stack([p[name] for p in predicted]) for name in predicted[0]})
        subsets = {f"{len(m.subset)}/{m.seed}": hash_arrays(m.subset) for m in members}
        return found, TrainedWith(hash_arrays(self.normaliser.center, self.normaliser.scale), subsets=subsets)

    def fit(self, subset: np.ndarray, strength: float, segments: np.ndarray) -> Predictions:
        """Of one member: subset (n,), segments (m,) -> (m, …)."""
        weight, bias = self.weights(subset, strength, self.coordinates)
        likely, scores = softmax(self.coordinates[segments] @ weight.swapaxes(1, 2) + bias[:, None]), None
        present, usual = self.counted(subset)
        if self.corpus.category_names:
            (scores,) = likely
            presence = scores @ present
        else:
            presence = likely[..., 1].T
        intensity = np.where(presence > 0.5, usual, 0.0)
        return predictions_of(intensity, presence, to_class(intensity), scores)

    def weights(self, subset: np.ndarray, strength: float, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """On table (N, I): one regression of the categories, or without any one of each emotion's presence: weight
        (R, classes, I) and bias (R, classes)."""
        if classes := len(self.corpus.category_names):
            category = self.corpus.segments.category[subset]
            answers = [category]
        else:
            answers, classes = (self.corpus.targets[subset] > 0).astype(int).T, 2
        examples = [(table[subset[y >= 0]], y[y >= 0]) for y in answers]
        if self.guesses:
            unlabelled = table[np.setdiff1d(self.corpus.where("train"), subset)]
            fitted = [self_trained(x, y, unlabelled, strength, classes) for x, y in examples]
        else:
            fitted = [regression(x, y, strength, classes) for x, y in examples]
        return tuple(np.stack(part) for part in zip(*fitted, strict=True))

    def counted(self, subset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of labels (n,): how often an emotion is present in each category (C, E), how strong it usually is (E,)."""
        targets, category = self.corpus.targets[subset], self.corpus.segments.category[subset]
        shares = np.zeros((len(self.corpus.category_names), targets.shape[1]))
        for c in set(category[category >= 0].tolist()):
            shares[c] = (targets[category == c] > 0).mean(0)
        return shares, np.array([np.median(y[y > 0]) if (y > 0).any() else 0.0 for y in targets.T])
