"""RAVDESS, read off the names of its files: 24 actors, eight manners, two strengths."""

from itertools import product
from pathlib import Path

from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes.listing import ABSENT, Listing, clips_of, whole
from emo_ssl.utils.io import UserError

MANNERS = dict(enumerate(("neutral", "neutral", "happy", "sad", "anger", "fear", "disgust", "surprise"), 1))
INTENSITY = {1: 2.0, 2: 3.0}  # normal, strong
ACTORS, FOLDS = 24, 5
PAIRS = "by pairs of actors: pair p = (actor - 1) // 2 is tested in fold p % 5"
CONVENTION = (
    "an emotion acted at normal intensity is 2, a strong one 3, all others 0; neutral and calm are 0 throughout and "
    "one category. This is emo-ssl's convention: the corpus itself gives no scale from 0 to 3."
)
WANTED = (
    "speech clip of RAVDESS (such as 03-01-05-01-02-01-12.wav); give the zip of its audio-only speech, or the folder "
    "it was unpacked into"
)
EMOBOX = "emobox"  # the folds and the eight classes of the benchmark EmoBox (Ma et al. 2024)
EMOBOX_TESTS = ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22))
EMOBOX_FOLD = {actor: fold for fold, actors in enumerate(EMOBOX_TESTS) for actor in actors}


def read(source: Path | str, folds: str = "") -> Listing:
    """The archive's zip, of which nothing is unpacked, or a folder with the clips anywhere below it."""
    root, known = Path(source), set(names())
    if folds not in ("", EMOBOX):
        raise UserError(f"{root}: there are no folds {folds!r} of RAVDESS; leave --folds out, or take {EMOBOX}.")
    clips, notes = clips_of(root, lambda path: path.stem in known, WANTED)
    notes[ABSENT] = sorted(known - set(clips["name"]))
    code = clips["name"].str.split("-", expand=True).astype(int)
    emotion, intensity, actor = code[2].map(MANNERS), code[3].map(INTENSITY), code[6]
    categories, category = ("neutral", *EMOTIONS), emotion
    fold, words = (actor - 1) // 2 % FOLDS, PAIRS
    if folds == EMOBOX:
        categories, category = ("neutral", "calm", *EMOTIONS), emotion.mask(code[2] == 2, "calm")
        fold, words = actor.map(EMOBOX_FOLD), "the six of EmoBox, which tests four actors in each"
    return Listing(
        root,
        "ravdess",
        source="RAVDESS, speech only (Livingstone & Russo 2018, doi 10.5281/zenodo.1188976, CC BY-NC-SA 4.0)",
        clips=whole(
            clips,
            fold,
            speaker=[f"actor-{number:02d}" for number in actor],
            **{name: intensity.where(emotion == name, 0.0) for name in EMOTIONS},
            category=category,
        ),
        category_names=categories,
        folds=words,
        convention=CONVENTION.replace("one category", "two categories" if folds else "one category"),
        notes=notes,
    )


def names() -> list[str]:
    """The names of all 1,440 clips; neutral is only acted at normal intensity."""
    return [
        f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for actor, emotion in product(range(1, ACTORS + 1), MANNERS)
        for intensity, statement, repetition in product((1,) if emotion == 1 else (1, 2), (1, 2), (1, 2))
    ]
