"""What a frozen representation knows: ridge regression and nearest neighbours, with intervals over test recordings.

No encoder is trained here. Each representation gives a segment one vector, and the question is what a straight line
through these vectors can tell. Beside each score stands what chance reaches. Segments of a recording have similar
labels, so chance varies more than their number suggests, and it is simulated with whole recordings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from emo_ssl.core import metrics
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.pretrain import PretrainedRun
from emo_ssl.study.arms import ArmTrainer
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.run import open_fold

PENALTIES = 10.0 ** np.arange(0, 6)
RANDOM = 3  # draws of random weights: one alone may be lucky
MIDDLE = [0.025, 0.975]  # the quantiles of an interval
R, AUROC, SHARE = "correlation", "AUROC", "share"
COLUMNS = ["question", "measure", "representation", "value", "low", "high", "chance", "chance_low", "chance_high"]
Score = Callable[[np.ndarray], float]  # of the items (n,) that a draw holds, some of them several times


def representations(corpus: Corpus, folder: Path | str) -> dict[str, list[np.ndarray]]:
    """name -> tables (N, I), several where weights are drawn: a vector a segment, untouched by any label."""
    run = PretrainedRun.open(folder)
    protocol, config = run.result["config"]["protocol"], StudyConfig(enrolment=run.result["config"]["enrolment"])
    fold = open_fold(corpus, run.result["fold"], [run], config, torch.device("cpu"), protocol)
    counts = {"frozen-pretrained": 1, "frozen-permuted": RANDOM, "frozen-random": RANDOM, "statistics": 1}
    tables = {
        arm: [ArmTrainer(fold, arm, config).table(seed)[1].numpy() for seed in range(count)]
        for arm, count in counts.items()
    }
    return {"pretrained": tables.pop("frozen-pretrained"), **tables}


@dataclass(frozen=True)
class Question:
    """What is asked of a vector: columns (N, Q), NaN where there is no answer."""

    name: str
    measure: str  # R or AUROC, the mean over columns
    answers: np.ndarray

    def score(self, predicted: np.ndarray, items: np.ndarray, answered: np.ndarray | None = None) -> float:
        """Of predictions (N, Q) on the given items, which may repeat; NaN where undefined.

        The answers are those of the items themselves, or of the items `answered`, which stand in their place.
        """
        each = []
        answers = self.answers[items if answered is None else answered]
        for y, p in zip(answers.T, predicted[items].T, strict=True):
            known = np.isfinite(y)
            if self.measure == AUROC:
                each.append(metrics.auroc(p[known], y[known] > 0.5))
            else:  # unlike explained variance, it forgives an offset: what is asked is whether the order is known
                moves = known.any() and np.ptp(y[known]) > 0 and np.ptp(p[known]) > 0
                each.append(np.corrcoef(y[known], p[known])[0, 1] if moves else np.nan)
        return metrics.mean_of_known(np.array(each))


def questions(corpus: Corpus) -> list[Question]:
    """About the sound, where the corpus names the features for it, and about the emotions."""
    names, found = list(corpus.feature_names), []
    if {"F0", "VUV"} <= set(names):
        columns = [names.index("F0"), names.index("VUV")]
        sound = [np.asarray(corpus.segment(i))[:, columns] for i in range(len(corpus))]
        voiced = [s[:, 1] > 0.5 for s in sound]
        pitch = [np.log2(np.median(s[v, 0])) if v.any() else np.nan for s, v in zip(sound, voiced, strict=True)]
        found.append(Question("how much is voiced", R, np.array([v.mean() for v in voiced])[:, None]))
        found.append(Question("height of the voice", R, np.array(pitch)[:, None]))
    found.append(Question("emotions present", AUROC, (corpus.targets > 0).astype(float)))
    return found


def ridge_predictions(table: np.ndarray, question: Question, splits: Mapping[str, np.ndarray]) -> np.ndarray:
    """Predictions (N, Q): fitted on train, its one penalty chosen on valid."""
    train, y = splits["train"], question.answers
    spread = table[train].std(0)
    x = (table - table[train].mean(0)) / np.where(spread > 1e-6, spread, 1.0)
    predictions = np.empty((len(PENALTIES), *y.shape))
    for q in range(y.shape[1]):
        known = train[np.isfinite(y[train, q])]
        level, middle = y[known, q].mean(), x[known].mean(0)
        given = x[known] - middle
        gram, right = given.T @ given, given.T @ (y[known, q] - level)
        for k, penalty in enumerate(PENALTIES):
            predictions[k, :, q] = (x - middle) @ np.linalg.solve(gram + penalty * np.eye(len(gram)), right) + level
    scores = [np.nan_to_num(question.score(p, splits["valid"]), nan=-np.inf) for p in predictions]
    return predictions[int(np.argmax(scores))]


def items_of_each(recording: np.ndarray) -> list[np.ndarray]:
    """(n,) -> the items of each recording."""
    order = np.argsort(recording, kind="stable")
    return np.split(order, np.unique(recording[order], return_index=True)[1][1:])


def swapped(items_of: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """(n,) the item whose answer each item gets when recordings swap their answers; its own recording may come up.

    A recording with more items than the one whose answers it gets repeats some of them, one with fewer leaves some out.
    """
    given = np.empty(sum(map(len, items_of)), np.int64)
    for own, other in zip(items_of, rng.permutation(len(items_of)), strict=True):
        given[own] = np.resize(rng.permutation(items_of[other]), len(own))
    return given


def chance_of_answers(
    question: Question, predicted: Sequence[np.ndarray], test: np.ndarray, recording: np.ndarray, draws: int, seed: int
) -> tuple[float, float]:
    """95 % of the mean score of predictions (N, Q), several where weights are drawn, that know nothing.

    Predictions that know nothing would go as well with the answers of any other recording. So recordings of the test
    part swap their answers, as blocks: segments of one recording are alike in answers and in predictions, and
    swapping single segments would give too narrow a band. Predictions stay as they are. No refit is needed, since no
    test answer has any part in them.
    """
    rng, items_of = np.random.default_rng([seed, 1]), items_of_each(recording)
    if len(items_of) < 2:
        return np.nan, np.nan
    found = []
    for _ in range(draws):
        answered = test[swapped(items_of, rng)]
        found.append(np.mean([question.score(p, test, answered) for p in predicted]))
    return middle(found)


def likeness(table: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(n, n) the cosines between vectors of the items, each feature centred and scaled by them."""
    x = table[items] - table[items].mean(0)
    x = x / np.where(x.std(0) > 1e-6, x.std(0), 1.0)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return x @ x.T


@dataclass(frozen=True)
class Neighbours:
    """Which test items may find which others: those that share no frame, as finding these recognises no voice."""

    apart: np.ndarray  # (n, n) bool
    same: np.ndarray  # (n, n) bool, of the same recording

    @classmethod
    def of(cls, corpus: Corpus, items: np.ndarray) -> "Neighbours":
        recording, first = corpus.segments.recording[items], corpus.segments.first[items]
        last = first + corpus.segments.length[items]
        same = recording[:, None] == recording
        return cls((last[:, None] <= first) | (first[:, None] >= last), same)

    @property
    def possible(self) -> np.ndarray:
        """(n,) whether an item has both a right and a wrong one to find."""
        return (self.same & self.apart).any(1) & (~self.same & self.apart).any(1)

    def found(self, alike: np.ndarray) -> np.ndarray:
        """(n,) whether the most alike item (n, n) is of the same recording; NaN where that is not possible."""
        best = np.where(self.apart, alike, -np.inf).argmax(1)
        return np.where(self.possible, self.same[np.arange(len(best)), best], np.nan)

    def chance(self) -> float:
        """The share that picking any item would find."""
        right = (self.same & self.apart).sum(1) / np.maximum(self.apart.sum(1), 1)
        return metrics.mean_of_known(np.where(self.possible, right, np.nan))

    def chance_band(self, alike: Sequence[np.ndarray], draws: int, seed: int) -> tuple[float, float]:
        """95 % of the mean share found when vectors are dealt out to the items anew."""
        rng = np.random.default_rng([seed, 1])
        found = []
        for _ in range(draws):
            dealt = rng.permutation(len(self.same))
            found.append(np.mean([metrics.mean_of_known(self.found(a[np.ix_(dealt, dealt)])) for a in alike]))
        return middle(found)


def middle(drawn: Sequence[float]) -> tuple[float, float]:
    """95 % of what was drawn, NaN where that is nothing."""
    known = np.array(drawn)[np.isfinite(drawn)]
    low, high = np.quantile(known, MIDDLE) if len(known) > 1 else (np.nan, np.nan)
    return float(low), float(high)


def interval(scores: Sequence[Score], recording: np.ndarray, draws: int, seed: int) -> tuple[float, float, float]:
    """The mean of `scores` on all items, and 95 % of it over draws of recordings; a draw takes one of the scores."""
    rng = np.random.default_rng(seed)
    items_of = items_of_each(recording)
    whole = np.mean([score(np.arange(len(recording))) for score in scores])
    drawn = []
    for _ in range(draws):
        items = np.concatenate([items_of[v] for v in rng.integers(0, len(items_of), len(items_of))])
        drawn.append(scores[rng.integers(len(scores))](items))
    low, high = middle(drawn) if len(items_of) > 1 else (np.nan, np.nan)
    return float(whole), low, high


def knowledge(
    corpus: Corpus, tables: Mapping[str, Sequence[np.ndarray]], fold: int = 0, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """A row a question and representation, with the columns COLUMNS: chance_low and chance_high are 95 % of chance."""
    corpus = corpus.of_fold(fold)
    splits = {name: corpus.where(name) for name in ("train", "valid", "test")}
    test = splits["test"]
    recording, rows = corpus.segments.recording[test], []
    for question in questions(corpus):
        chance = 0.5 if question.measure == AUROC else 0.0
        for name, versions in tables.items():
            predicted = [ridge_predictions(table, question, splits) for table in versions]
            scores = [lambda items, p=p, q=question: q.score(p, test[items]) for p in predicted]
            found = interval(scores, recording, draws, seed)
            band = chance_of_answers(question, predicted, test, recording, draws, seed)
            rows.append((question.name, question.measure, name, *found, chance, *band))
    neighbours = Neighbours.of(corpus, test)
    for name, versions in tables.items():
        alike = [likeness(table, test) for table in versions]
        hits = [neighbours.found(a) for a in alike]
        found = interval([lambda items, h=h: metrics.mean_of_known(h[items]) for h in hits], recording, draws, seed)
        band = neighbours.chance_band(alike, draws, seed)
        rows.append(("the same recording", SHARE, name, *found, neighbours.chance(), *band))
    return pd.DataFrame(rows, columns=COLUMNS)
