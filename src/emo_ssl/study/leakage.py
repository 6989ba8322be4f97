"""What a split gives away: how much of the test set was in training, and what copying labels from there would score."""

import numpy as np
import pandas as pd

from emo_ssl.core import metrics
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import Normaliser

UNITS = ("segment", "recording")
EXPOSURE = ("test frames met in training", "most alike is of the same recording")


def covered(corpus: Corpus, chosen: np.ndarray | slice = slice(None)) -> np.ndarray:
    """(frames,) bool: which frames of the store lie in at least one of the segments `chosen`, by default in any."""
    first, length = corpus.segments.first[chosen], corpus.segments.length[chosen]
    steps = np.zeros(len(corpus.frames) + 1, np.int32)
    np.add.at(steps, first, 1)
    np.add.at(steps, first + length, -1)
    return np.cumsum(steps[:-1]) > 0


def random_split(
    recording: np.ndarray, unit: str, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The recordings of segments (N,) -> train and test indices; about `share` of the units are for the test."""
    unit_of = np.arange(len(recording)) if unit == "segment" else recording
    units = rng.permutation(np.unique(unit_of))
    test = np.isin(unit_of, units[: max(1, round(share * len(units)))])
    return np.flatnonzero(~test), np.flatnonzero(test)


def shared_frames(corpus: Corpus, train: np.ndarray, test: np.ndarray) -> float:
    """The share of the test segments' frames that lie in a training segment too."""
    return float(covered(corpus, train)[covered(corpus, test)].mean())


def nearest_in_time(corpus: Corpus, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """For each test segment (M,) the training segment of the same recording whose middle is nearest, -1 without one."""
    middle = corpus.segments.first + corpus.segments.length / 2
    nearest = np.full(len(test), -1)
    for recording in np.unique(corpus.segments.recording[test]):
        own = train[corpus.segments.recording[train] == recording]
        if len(own):
            rows = np.flatnonzero(corpus.segments.recording[test] == recording)
            distance = np.abs(middle[test[rows], None] - middle[own])
            nearest[rows] = own[distance.argmin(1)]
    return nearest


def mean_sound(corpus: Corpus, normaliser: Normaliser) -> np.ndarray:
    """(N, D): the mean of each segment's normalised frames."""
    means = np.zeros((len(corpus), len(corpus.feature_names)), np.float32)
    for i, recording in enumerate(corpus.segments.recording):
        means[i] = normaliser(corpus.segment(i), int(recording)).mean(0)
    return means


def nearest_in_sound(sound: np.ndarray, train: np.ndarray, test: np.ndarray, count: int) -> np.ndarray:
    """For each test segment (M,) the `count` training segments whose mean sound (N, D) is nearest, (M, count)."""
    known = (sound[train] ** 2).sum(1)
    nearest = np.empty((len(test), min(count, len(train))), np.int64)
    for start in range(0, len(test), 1024):  # the table of distances stays small, whatever the corpus
        rows = slice(start, start + 1024)
        # |a - b|² without |a|², which is the same for every candidate
        distance = known - 2 * sound[test[rows]] @ sound[train].T
        nearest[rows] = train[np.argpartition(distance, nearest.shape[1] - 1, axis=1)[:, : nearest.shape[1]]]
    return nearest


def score(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """(N, E), (N, E) -> the paper's two measures and AUROC of presence, each the mean over emotions."""
    return {
        "MAE": float(metrics.mean_absolute_error(predicted, true).mean()),
        "4-class accuracy": float(metrics.four_class_accuracy(predicted, true).mean()),
        "AUROC": metrics.macro_auroc(predicted, true > 0),
    }


def copying(
    corpus: Corpus, sound: np.ndarray, train: np.ndarray, test: np.ndarray, count: int = 5
) -> dict[str, dict[str, float]]:
    """How well predictions do that know nothing of emotion: a constant, and two ways of copying labels."""
    known, true = corpus.targets[train], corpus.targets[test]
    median = np.median(known, axis=0)
    neighbour = nearest_in_time(corpus, train, test)
    predictions = {
        "train median": np.broadcast_to(median, true.shape),
        "nearest in time": np.where((neighbour >= 0)[:, None], corpus.targets[neighbour], median),
        "alike in sound": corpus.targets[nearest_in_sound(sound, train, test, count)].mean(1),
    }
    return {name: score(predicted, true) for name, predicted in predictions.items()}


def own_recording_is_nearest(corpus: Corpus, sound: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """How often the training segment nearest in sound is of the test segment's own recording, where it has one."""
    recording = corpus.segments.recording
    possible = test[np.isin(recording[test], recording[train])]
    if not len(possible):
        return float("nan")
    nearest = nearest_in_sound(sound, train, possible, 1)[:, 0]
    return float((recording[nearest] == recording[possible]).mean())


def measure(
    corpus: Corpus, sound: np.ndarray, repetitions: int = 20, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Random splits by segment and by recording: what the test shares with training, and what copying scores.

    Returns exposure (split and EXPOSURE) and tidy scores (split, answer, metric, value), a row a repetition.
    """
    exposure, scores = [], []
    for unit in UNITS:
        for repetition in range(repetitions):
            rng = np.random.default_rng([seed, repetition])
            train, test = random_split(corpus.segments.recording, unit, 0.2, rng)
            nearest = own_recording_is_nearest(corpus, sound, train, test)
            exposure.append((unit, shared_frames(corpus, train, test), nearest))
            for answer, of_metric in copying(corpus, sound, train, test).items():
                scores += [(unit, answer, metric, value) for metric, value in of_metric.items()]
    return (
        pd.DataFrame(exposure, columns=["split", *EXPOSURE]),
        pd.DataFrame(scores, columns=["split", "answer", "metric", "value"]),
    )
