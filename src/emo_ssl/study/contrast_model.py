"""The recipe that earned its labels in our studies, as a model: contrast within speakers, then logistic regression,
which learns once more from its surest guesses for segments without a label.

All is linear in a summary of the frames, so what is saved is one linear layer. It needs no pretraining run
and no GPU. How much strangers are avoided and how strong the penalty is, validation speakers choose.
"""

from pathlib import Path

import numpy as np
import torch

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import labelled, tested
from emo_ssl.core.linear import LinearClassifier
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.predictor import LINEAR, EmotionModel, load_model
from emo_ssl.study import contrast
from emo_ssl.study.arms import headlines
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.logistic import CONTRAST_STRENGTHS, LogisticTrainer
from emo_ssl.utils.io import OutputFolder
from emo_ssl.utils.progress import Progress


def fit_contrast(
    corpus: Corpus, output: Path | str, labels: int | None = None, seed: int = 0, fold: int = 0
) -> EmotionModel:
    """Learn from `labels` segments (all by default) of a fold's training part, and save the model in `output`."""
    setting = {"corpus": corpus.content_hash, "labels": labels, "seed": seed, "fold": fold, "recipe": "self-trained"}
    with OutputFolder(output, "fine-tuned model", setting) as out:
        if not out.complete:
            split = corpus.of_fold(fold)
            build(split, labelled(split, labels, seed), seed).save(out.path)
            out.finish()
    return load_model(output)


def build(corpus: Corpus, subset: np.ndarray, seed: int) -> EmotionModel:
    """The model of the settings that do best on validation segments; of the first where none of them tells."""
    normaliser, valid = speaker_independent(corpus), corpus.where("valid")
    whole, *seen = contrast.summaries(corpus, normaliser)
    best, scores = {}, [-np.inf]
    with Progress("learning", len(contrast.STRANGERS) * len(CONTRAST_STRENGTHS), "settings") as bar:
        for strangers in contrast.STRANGERS:
            found = contrast.Contrast.of(whole[corpus.where("train")], *seen, strangers)
            trainer = LogisticTrainer(corpus, normaliser, StudyConfig(), strangers, guesses=True)
            trainer.coordinates = found(whole)  # the span of one subset is small enough
            for strength in CONTRAST_STRENGTHS:
                guess = trainer.fit(subset, strength, valid).map(lambda values: values[None])
                score = float(np.nan_to_num(headlines(guess, corpus, valid)[0])) if len(valid) else 0.0
                if score > max(scores):
                    best = {"strangers": strangers, "strength": strength}
                    network = multiplied_out(trainer, subset, strength, found)
                scores.append(score)
                bar.advance()
    encoder = {"kind": LINEAR, "lag": contrast.lag_of(corpus)}
    described = {"encoder": encoder, "head": {"kind": "linear"}, "labels": len(subset), "seed": seed}
    return tested(network, normaliser, corpus, {**described, "config": {"recipe": "self-trained", **best}})


def multiplied_out(
    trainer: LogisticTrainer, subset: np.ndarray, strength: float, found: contrast.Contrast
) -> LinearClassifier:
    """Directions, scales and regression as one layer on the summary."""
    corpus = trainer.corpus
    weight, bias = trainer.weights(subset, strength, trainer.coordinates)
    if corpus.category_names:
        weight, bias = weight[0], bias[0]
    else:  # of an emotion's two classes the second, less the first
        weight, bias = weight[:, 1] - weight[:, 0], bias[:, 1] - bias[:, 0]
    named = (corpus.feature_names, corpus.target_names, corpus.category_names)
    network = LinearClassifier(*map(len, named), contrast.lag_of(corpus))
    parts = (*found.read_off(weight, bias), *trainer.counted(subset))
    names = ("linear.weight", "linear.bias", "present", "usual")
    network.load_state_dict({name: torch.from_numpy(part).float() for name, part in zip(names, parts, strict=True)})
    return network
