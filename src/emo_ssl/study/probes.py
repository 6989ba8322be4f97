"""What a frozen representation knows: ridge regression and nearest neighbours, with intervals over test recordings.

No encoder is trained here. Each representation gives a segment one vector, and the question is what a straight line
through these vectors can tell.
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
R, AUROC, SHARE = "correlation", "AUROC", "share"
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

    def score(self, predicted: np.ndarray, items: np.ndarray) -> float:
        """Of predictions (N, Q) on the given items, which may repeat; NaN where undefined."""
        each = []
        for y, p in zip(self.answers[items].T, predicted[items].T, strict=True):
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


def same_recording(table: np.ndarray, corpus: Corpus, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) whether the most alike item is of the same recording, and how likely that is by chance; NaN where none is.

    Segments that share frames are no candidates: finding those is no recognition of a voice.
    """
    segments = corpus.segments
    x = table[items] - table[items].mean(0)
    x = x / np.where(x.std(0) > 1e-6, x.std(0), 1.0)
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    recording, first = segments.recording[items], segments.first[items]
    last = first + segments.length[items]
    same = recording[:, None] == recording
    apart = (last[:, None] <= first) | (first[:, None] >= last)
    alike = np.where(apart, x @ x.T, -np.inf)
    possible = (same & apart).any(1) & (~same & apart).any(1)
    hit = same[np.arange(len(items)), alike.argmax(1)]
    chance = (same & apart).sum(1) / np.maximum(apart.sum(1), 1)
    return np.where(possible, hit, np.nan), np.where(possible, chance, np.nan)


def interval(scores: Sequence[Score], recording: np.ndarray, draws: int, seed: int) -> tuple[float, float, float]:
    """The mean of `scores` on all items, and 95 % of it over draws of recordings; a draw takes one of the scores."""
    rng = np.random.default_rng(seed)
    names = np.unique(recording)
    items_of = [np.flatnonzero(recording == name) for name in names]
    whole = np.mean([score(np.arange(len(recording))) for score in scores])
    drawn = []
    for _ in range(draws):
        items = np.concatenate([items_of[v] for v in rng.integers(0, len(names), len(names))])
        drawn.append(scores[rng.integers(len(scores))](items))
    known = np.array(drawn)[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) > 1 and len(names) > 1 else (np.nan, np.nan)
    return float(whole), float(low), float(high)


def knowledge(
    corpus: Corpus, tables: Mapping[str, Sequence[np.ndarray]], fold: int = 0, draws: int = 300, seed: int = 0
) -> pd.DataFrame:
    """A row a question and representation: question, measure, representation, value, low, high, chance."""
    corpus = corpus.of_fold(fold)
    splits = {name: corpus.where(name) for name in ("train", "valid", "test")}
    test = splits["test"]
    recording, rows = corpus.segments.recording[test], []
    for question in questions(corpus):
        chance = 0.5 if question.measure == AUROC else 0.0
        for name, versions in tables.items():
            predicted = [ridge_predictions(table, question, splits) for table in versions]
            scores = [lambda items, p=p, q=question: q.score(p, test[items]) for p in predicted]
            rows.append((question.name, question.measure, name, *interval(scores, recording, draws, seed), chance))
    for name, versions in tables.items():
        found = [same_recording(table, corpus, test) for table in versions]
        scores = [lambda items, hit=hit: metrics.mean_of_known(hit[items]) for hit, _ in found]
        chance = metrics.mean_of_known(found[0][1])
        rows.append(("the same recording", SHARE, name, *interval(scores, recording, draws, seed), chance))
    return pd.DataFrame(rows, columns=["question", "measure", "representation", "value", "low", "high", "chance"])
