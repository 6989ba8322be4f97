"""CREMA-D: who acts what stands in the names of its files, what people heard in it in its table of votes.

A row of processedResults/tabulatedVotes.csv is a clip in one of three manners, which its number tells: 100000 and more
for those who only heard it, 200000 for those who only saw it, 300000 for both. Only what was heard counts here.
"""

import re
from pathlib import Path, PurePosixPath

import pandas as pd

from emo_ssl.core.metrics import CEILING
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.recipes.listing import ABSENT, Listing, clips_of, whole
from emo_ssl.utils.values import UserError, read_csv

ACTED = {"NEU": "neutral", "HAP": "happy", "SAD": "sad", "ANG": "anger", "DIS": "disgust", "FEA": "fear"}
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
FIRST, LAST, FOLDS = 1001, 1091, 5
NAME = re.compile(rf"(1\d\d\d)_({'|'.join(SENTENCES)})_({'|'.join(ACTED)})_(LO|MD|HI|XX)")
VOTES = Path("processedResults", "tabulatedVotes.csv")
LETTERS = {"H": "happy", "S": "sad", "A": "anger", "D": "disgust", "F": "fear", "N": "neutral"}
A_MANNER, VOICE = 100_000, 1
BROKEN = {"1076_MTI_NEU_XX", "1076_MTI_SAD_XX", "1064_TIE_SAD_XX", "1064_IEO_DIS_MD"}  # as its README says
WANTED = "clip of CREMA-D (such as 1001_DFA_ANG_XX.wav); give its folder AudioWAV, or all of it"
HEARD_BROKEN = "raters heard a broken file instead, left out"
NO_VOTES = "nobody voted on the voice alone, left out"
CONVENTION = (
    "an emotion's intensity is 3 times the share of those who named it among the raters who only heard the clip; votes "
    "for neutral count among them and surprise could not be chosen. This is emo-ssl's convention. The category is the "
    "emotion that was acted, which has no ties and is what others report, not the raters' majority."
)


def read(source: Path | str, votes: Path | str | None = None) -> Listing:
    """The repository's folder, or any folder or zip with its clips and the table of votes beside."""
    root = Path(source)
    found, notes = clips_of(root, is_speech, WANTED)
    table = Path(votes) if votes else root / VOTES
    if not votes and not table.is_file():
        raise UserError(f"{root}: holds no {VOTES.as_posix()}, what raters heard; give that file with --table.")
    share = voice_votes(table)
    broken, heard = found["name"].isin(BROKEN), found["name"].isin(share.index)
    notes[HEARD_BROKEN] = found["path"][broken].tolist()
    notes[NO_VOTES] = found["path"][~heard & ~broken].tolist()
    notes[ABSENT] = sorted(set(share.index) - set(found["name"]))
    clips = found[heard & ~broken].reset_index(drop=True)
    if clips.empty:
        raise UserError(f"{table}: none of the {len(found)} clips in {root} has votes in it; is it CREMA-D's own file?")
    intensity = CEILING * share.loc[clips["name"]].set_axis(clips.index).reindex(columns=list(EMOTIONS), fill_value=0.0)
    actor = clips["name"].str[:4].astype(int)
    return Listing(
        root,
        "cremad",
        source=(
            "CREMA-D (Cao et al. 2014, doi 10.1109/TAFFC.2014.2336244, "
            "https://github.com/CheyneyComputerScience/CREMA-D, Open Database License 1.0)"
        ),
        clips=whole(
            clips,
            (actor - FIRST) % FOLDS,
            speaker=[f"actor-{number}" for number in actor],
            **intensity,
            category=clips["name"].str[9:12].map(ACTED),
        ),
        category_names=tuple(ACTED.values()),
        folds=f"by actor: actor a is tested in fold (a - {FIRST}) % {FOLDS}",
        convention=CONVENTION,
        notes=notes,
        table=table,
    )


def is_speech(path: PurePosixPath) -> bool:
    name = NAME.fullmatch(path.stem)
    return bool(name) and FIRST <= int(name[1]) <= LAST


def voice_votes(path: Path) -> pd.DataFrame:
    """clip -> the share of each emotion, and of neutral, in the votes of those who only heard it."""
    table = read_csv(path, index_col=0, low_memory=False)
    if missing := [name for name in ("fileName", *LETTERS) if name not in table]:
        raise UserError(f"{path}: has no column {missing[0]}; give CREMA-D's {VOTES.as_posix()}.")
    number = pd.to_numeric(table.index.to_series(), errors="coerce")
    votes = table[(number // A_MANNER == VOICE).to_numpy()].set_index("fileName")[list(LETTERS)]
    if votes.empty:
        raise UserError(f"{path}: no row of it has a number from 100001 on, the votes on voices; restore the file.")
    votes = votes.apply(pd.to_numeric, errors="coerce")
    wrong = (~(votes >= 0)).any(axis=1) | votes.index.duplicated()
    if wrong.any():
        raise UserError(
            f"{path}: the votes on the voice in {wrong.idxmax()} are no counts, or twice; restore the file."
        )
    total = votes.sum(axis=1)
    return votes[total > 0].div(total[total > 0], axis=0).rename(columns=LETTERS)
