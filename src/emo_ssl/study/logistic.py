"""Logistic regression on the mean and deviation of each feature over a segment: as they are, the classical rival, or
along the directions that contrast clips of one speaker.

Categories are predicted where the corpus has them, and from their probabilities each emotion: how often it is present
in a category is counted in the member's own labels. Without categories every emotion has a regression of its own.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from emo_ssl.core.batches import label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import Member
from emo_ssl.core.metrics import Predictions, predictions_of, to_class
from emo_ssl.core.normalise import Normaliser
from emo_ssl.study import contrast, vectors
from emo_ssl.study.checks import TrainedWith, hash_arrays
from emo_ssl.study.grid import StudyConfig

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, from the strongest penalty to the weakest
CONTRAST_STRENGTHS = (1e-2, 1e-1, 1.0)  # with each of contrast.STRANGERS: an arm may try six settings


def probabilities(x: np.ndarray, y: np.ndarray, asked: np.ndarray, strength: float, classes: int) -> np.ndarray:
    """Fitted on x (n, I) with classes y (n,), the probability (m, classes) of each for `asked` (m, I)."""
    from sklearn.linear_model import LogisticRegression  # here, for it takes a second to import

    found = np.unique(y)
    out = np.zeros((len(asked), classes))
    if len(found) == 1:
        out[:, found[0]] = 1.0
        return out
    x, asked = in_span(x, asked)
    fitted = LogisticRegression(C=strength, max_iter=5000).fit(x, y)
    out[:, fitted.classes_] = fitted.predict_proba(asked)
    return out


def in_span(examples: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, I) and (m, I) as coordinates, at most n: a penalised solution lies in the span of the examples, so that with
    few of them most columns need no weight of their own."""
    if len(examples) >= examples.shape[1]:
        return examples, asked
    axes = np.linalg.svd(examples, full_matrices=False)[2]
    return examples @ axes.T, asked @ axes.T


class LogisticTrainer:
    """Fits the members of one fold; tuned and asked as an `ArmTrainer` is.

    With `strangers` along directions of contrast, without on the plain numbers.
    """

    def __init__(self, corpus: Corpus, normaliser: Normaliser, config: StudyConfig, strangers: float | None = None):
        self.corpus, self.normaliser, self.labels, self.strangers = corpus, normaliser, config.labels, strangers

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
        return in_span(self.table[self.corpus.where("train")], self.table)[1]

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
        targets, table = self.corpus.targets[subset], self.coordinates
        category, present = self.corpus.segments.category[subset], targets > 0
        scores = None
        if self.corpus.category_names:
            known, classes = category >= 0, len(self.corpus.category_names)
            scores = probabilities(table[subset[known]], category[known], table[segments], strength, classes)
            none = np.zeros(targets.shape[1])
            share = [present[category == c].mean(0) if c in category else none for c in range(classes)]
            presence = scores @ np.array(share)
        else:
            each = [probabilities(table[subset], p.astype(int), table[segments], strength, 2)[:, 1] for p in present.T]
            presence = np.stack(each, 1)
        usual = [np.median(y[y > 0]) if (y > 0).any() else 0.0 for y in targets.T]
        intensity = np.where(presence > 0.5, usual, 0.0)
        return predictions_of(intensity, presence, to_class(intensity), scores)
