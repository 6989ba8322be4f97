"""Blind or adapted: what may be known about a speaker before any label, and which segments can still be scored.

blind      one normaliser for everybody, from the training frames
adapted    a normaliser a speaker, from a few unlabelled segments of that speaker, which are then never scored
"""

from dataclasses import replace

import numpy as np

from emo_ssl.core.corpus import SPLITS, Corpus
from emo_ssl.core.normalise import FEWEST_SEGMENTS_TO_CENTRE, Normaliser, blind, choose_enrolment, enrolled
from emo_ssl.utils.errors import UserError

PROTOCOLS = ("blind", "adapted")
ENROLMENT = 10  # segments a speaker
ENROLMENT_SEED = 0  # one draw for a corpus: pretraining and every arm read the same frames


def under(protocol: str, prepared: Corpus, enrolment: int = ENROLMENT) -> tuple[Corpus, Normaliser]:
    """The corpus (already split) as the protocol sees it, and its normaliser.

    Enrolment segments of validation and test speakers leave those splits; training speakers keep theirs, since their
    labels may be used anyway.
    """
    base = blind(prepared)
    if protocol == "blind":
        return prepared, base
    if (prepared.recordings.speaker == "").any():
        raise UserError(
            f"{prepared.folder}: the adapted protocol enrols speakers, and this corpus does not name all of them; "
            "use the blind one."
        )
    if enrolment < FEWEST_SEGMENTS_TO_CENTRE:
        raise UserError(
            f"an enrolment of {enrolment} segments says too little about a speaker; "
            f"take {FEWEST_SEGMENTS_TO_CENTRE} or more."
        )
    chosen = choose_enrolment(prepared, enrolment, ENROLMENT_SEED)
    split = prepared.segments.split.copy()
    everyone = np.concatenate(list(chosen.values()))
    scored = np.isin(split[everyone], [SPLITS.index("valid"), SPLITS.index("test")])
    split[everyone[scored]] = SPLITS.index("none")
    return replace(prepared, segments=replace(prepared.segments, split=split)), enrolled(prepared, base, chosen)
