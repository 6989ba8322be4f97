"""EmoDB, the Berlin database, read off the names of its files: 03a01Fa is speaker 03, text a01, Freude, version a."""

import re
from pathlib import Path

import numpy as np

from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes.listing import Listing, clips_of, whole

PAIRS = (("03", "08"), ("10", "09"), ("11", "13"), ("12", "14"), ("15", "16"))  # a man and a woman
FOLD = {speaker: fold for fold, pair in enumerate(PAIRS) for speaker in pair}
TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
LETTERS = {"N": "neutral", "L": "boredom", "F": "happy", "T": "sad", "W": "anger", "E": "disgust", "A": "fear"}
NAME = re.compile(rf"({'|'.join(FOLD)})({'|'.join(TEXTS)})([{''.join(LETTERS)}])[a-z]")
LARYNX = "laryngo"  # where later editions keep what an electroglottograph took up, under the names of the speech
INTENSITY = 2.0
WANTED = "clip of EmoDB (such as 03a01Fa.wav); give its zip, or the folder it was unpacked into"
CONVENTION = (
    "the emotion that is acted is 2, all others 0; neutral and boredom are 0 throughout and categories of their own. "
    "This is emo-ssl's convention, 2 as for RAVDESS's normal intensity: the corpus itself gives no scale from 0 to 3."
)


def read(source: Path | str) -> Listing:
    """The archive's zip, or a folder with the clips anywhere below it."""
    root = Path(source)
    clips, notes = clips_of(root, lambda path: bool(NAME.fullmatch(path.stem)) and LARYNX not in path.parts, WANTED)
    speaker, emotion = clips["name"].str[:2], clips["name"].str[5].map(LETTERS)
    return Listing(
        root,
        "emodb",
        source=(
            "EmoDB, Berlin Database of Emotional Speech (Burkhardt et al. 2005, doi 10.21437/Interspeech.2005-446, "
            "licence: see its page, http://emodb.bilderbar.info)"
        ),
        clips=whole(
            clips,
            speaker.map(FOLD),
            speaker="speaker-" + speaker,
            **{name: np.where(emotion == name, INTENSITY, 0.0) for name in EMOTIONS},
            category=emotion,
        ),
        category_names=tuple(LETTERS.values()),
        folds="by pairs of speakers: a man and a woman are tested in each of five",
        convention=CONVENTION,
        notes=notes,
    )
