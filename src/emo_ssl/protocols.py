"""Blind or adapted: what may be known about a speaker before any label, and which segments can still be scored.

blind      one normaliser for everybody, from the training frames
adapted    a normaliser a speaker, from a few unlabelled segments of that speaker, which are then never scored
"""

from dataclasses import replace

import numpy as np

from emo_ssl.errors import UserError
from emo_ssl.normalise import FEWEST_SEGMENTS_TO_CENTRE, Normaliser, blind, choose_enrolment, enrolled
from emo_ssl.segments import SPLITS, Segments

PROTOCOLS = ("blind", "adapted")
ENROLMENT = 10  # segments a speaker
ENROLMENT_SEED = 0  # one draw for a corpus: pretraining and every arm read the same frames


def under(protocol: str, segments: Segments, enrolment: int = ENROLMENT) -> tuple[Segments, Normaliser]:
    """The corpus (already split) as the protocol sees it, and its normaliser.

    Enrolment segments of validation and test speakers leave those splits; training speakers keep theirs, since their
    labels may be used anyway.
    """
    base = blind(segments)
    if protocol == "blind":
        return segments, base
    if (segments.videos.speaker == "").any():
        raise UserError(
            f"{segments.folder}: the adapted protocol enrols speakers, and this corpus does not name all of them; "
            "use the blind one."
        )
    if enrolment < FEWEST_SEGMENTS_TO_CENTRE:
        raise UserError(
            f"an enrolment of {enrolment} segments says too little about a speaker; "
            f"take {FEWEST_SEGMENTS_TO_CENTRE} or more."
        )
    chosen = choose_enrolment(segments, enrolment, ENROLMENT_SEED)
    split = segments.cuts.split.copy()
    everyone = np.concatenate(list(chosen.values()))
    scored = np.isin(split[everyone], [SPLITS.index("valid"), SPLITS.index("test")])
    split[everyone[scored]] = SPLITS.index("none")
    return replace(segments, cuts=replace(segments.cuts, split=split)), enrolled(segments, base, chosen)
