"""The recipe that earned its labels in our studies, as a model: contrast within speakers, then logistic regression.

Both are linear in mean and deviation of the features, so what is saved is one linear layer. It needs no pretraining run
and no GPU. How much strangers are avoided and how strong the penalty is, validation speakers choose.
"""

from pathlib import Path

import numpy as np
import torch

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import labelled, tested
from emo_ssl.core.linear import LinearClassifier
from emo_ssl.core.normalise import Normaliser, speaker_independent
from emo_ssl.core.predictor import LINEAR, EmotionModel, load_model
from emo_ssl.study import contrast, vectors
from emo_ssl.study.arms import headlines
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.logistic import CONTRAST_STRENGTHS, LogisticTrainer
from emo_ssl.utils.io import OutputFolder


def fit_contrast(
    corpus: Corpus, output: Path | str, labels: int | None = None, seed: int = 0, fold: int = 0
) -> EmotionModel:
    """Learn from `labels` segments (all by default) of a fold's training part, and save the model in `output`."""
    setting = {"corpus": corpus.content_hash, "labels": labels, "seed": seed, "fold": fold, "recipe": "contrast"}
    with OutputFolder(output, "fine-tuned model", setting) as out:
        if not out.complete:
            split = corpus.of_fold(fold)
            build(split, labelled(split, labels, seed), seed).save(out.path)
            out.finish()
    return load_model(output)


def build(corpus: Corpus, subset: np.ndarray, seed: int) -> EmotionModel:
    normaliser = speaker_independent(corpus)
    strangers, strength = chosen(corpus, normaliser, subset)
    network = network_of(corpus, normaliser, subset, strangers, strength)
    described = {"encoder": {"kind": LINEAR}, "head": {"kind": "linear"}, "labels": len(subset), "seed": seed}
    described |= {"config": {"recipe": "contrast", "strangers": strangers, "strength": strength}}
    return tested(network, normaliser, corpus, described)


def chosen(corpus: Corpus, normaliser: Normaliser, subset: np.ndarray) -> tuple[float, float]:
    """What does best on validation segments; the first where none of them tells."""
    valid, tried = corpus.where("valid"), {}
    for strangers in contrast.STRANGERS:
        trainer = LogisticTrainer(corpus, normaliser, StudyConfig(), strangers)
        for strength in CONTRAST_STRENGTHS:
            found = trainer.fit(subset, strength, valid).map(lambda values: values[None])
            (score,) = headlines(found, corpus, valid) if len(valid) else (0.0,)
            tried[strangers, strength] = np.nan_to_num(score, nan=0.0)
    return max(tried, key=tried.get)


def network_of(
    corpus: Corpus, normaliser: Normaliser, subset: np.ndarray, strangers: float, strength: float
) -> LinearClassifier:
    """Directions, scales and regression of `LogisticTrainer`, multiplied out."""
    trainer = LogisticTrainer(corpus, normaliser, StudyConfig(), strangers)
    whole = vectors.mean_and_deviation(corpus, normaliser)
    centre, matrix = contrast.columns(corpus, normaliser, strangers, whole[corpus.where("train")])
    weight, bias = trainer.weights(subset, strength, (whole - centre) @ matrix)
    if corpus.category_names:
        weight, bias = weight[0], bias[0]
    else:  # of an emotion's two classes the second, as the first stays at 0
        weight, bias = weight[:, 1] - weight[:, 0], bias[:, 1] - bias[:, 0]
    weight = weight @ matrix.T
    network = LinearClassifier(len(corpus.feature_names), len(corpus.target_names), len(corpus.category_names))
    present, usual = trainer.counted(subset)
    parts = (weight, bias - weight @ centre, present, usual)
    names = ("linear.weight", "linear.bias", "present", "usual")
    network.load_state_dict({name: torch.from_numpy(part).float() for name, part in zip(names, parts, strict=True)})
    return network
