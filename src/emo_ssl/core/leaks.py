"""Nothing of a validation or test recording, and nothing of its speaker, may have been trained on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emo_ssl.core.corpus import Corpus
from emo_ssl.utils.io import UserError


def training_recordings(corpus: Corpus) -> np.ndarray:
    """What pretraining may read: the recordings for training, and those in no split."""
    return corpus.recordings_of("train", "none")


def held_out_recordings(corpus: Corpus) -> np.ndarray:
    return np.setdiff1d(np.arange(len(corpus.recordings)), training_recordings(corpus))


def hashes(corpus: Corpus, chosen: np.ndarray) -> dict[str, dict[str, str]]:
    """sha256 of the chosen recordings' frames and of their speakers' names, each with the name it stands for."""
    recordings = corpus.recordings
    return {
        "recordings": {
            recordings.digest[r].tobytes().hex(): str(recordings.id[r]) for r in chosen if recordings.length[r]
        },
        "speakers": {
            hashlib.sha256(name.encode()).hexdigest(): name for name in set(recordings.speaker[chosen].tolist()) - {""}
        },
    }


def trained_on(corpora: Sequence[Corpus]) -> dict[str, list[str]]:
    """What a pretraining run notes, so that a study can tell whom it was trained on without their names."""
    noted = [hashes(corpus, training_recordings(corpus)) for corpus in corpora]
    return {kind: sorted({value for one in noted for value in one[kind]}) for kind in ("recordings", "speakers")}


def leak_in(result: dict, corpus: Corpus) -> str:
    """Why a run must not be used in this split of a corpus: it has met what is scored there. "" where it may."""
    for kind, names in hashes(corpus, held_out_recordings(corpus)).items():
        met = sorted(names[value] for value in result[kind] if value in names)
        if met:
            return f"was pretrained on {len(met)} {kind} that are for validation or test here (such as {met[0]})"
    return ""


def refuse_leak(path: Path | str, result: dict, corpus: Corpus) -> None:
    refuse_shared(corpus)
    reason = leak_in(result, corpus)
    if reason:
        raise UserError(f"{path}: {reason}; pretrain on this corpus's training recordings.")


def refuse_shared(corpus: Corpus) -> None:
    """A corpus whose own training part holds a recording or a speaker that it scores."""
    training, held_out = (
        hashes(corpus, chosen) for chosen in (training_recordings(corpus), held_out_recordings(corpus))
    )
    for kind, what in (("recordings", "recording"), ("speakers", "speaker")):
        both = sorted(training[kind][value] for value in training[kind].keys() & held_out[kind].keys())
        if both:
            raise UserError(
                f"{corpus.folder}: {what} {both[0]} is in training and scored in validation or test too; "
                "remove the copy, or split by speaker."
            )


def refuse_other_features(path: Path | str, result: dict, corpus: Corpus) -> None:
    if result["feature_names"] != list(corpus.feature_names):
        raise UserError(f"{path}: pretrained on other features than those of {corpus.folder}; pretrain on these.")
