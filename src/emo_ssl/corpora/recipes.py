"""What a folder of recordings contains: who speaks in each clip, which emotions, and in which fold it is tested."""

import zipfile
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from emo_ssl.core.corpus import SPLITS
from emo_ssl.core.metrics import CEILING
from emo_ssl.corpora.audio import FORMATS
from emo_ssl.corpora.cleaning import read_csv
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.labels import plain
from emo_ssl.utils.io import UserError

MOST_CATEGORIES = 100
FEWEST_FOLDS, MOST_FOLDS = 3, 5  # one tested, one validating, the rest trained on


@dataclass(frozen=True)
class Listing:
    """Every clip of a source, and how the source was read.

    A row of `clips` is a recording or a part of one: the path of its file (relative to the source, with slashes) and
    the file's name in the corpus; speaker; an intensity for each emotion; category, "" without; start and end in
    seconds, NaN for the edges of the recording; the fold that tests it, -1 without; and its split, in fold 0.
    """

    root: Path  # a folder, or a zip archive
    recipe: str
    source: str  # in words
    clips: pd.DataFrame
    category_names: tuple[str, ...]
    folds: str  # how they were made, in words
    convention: str  # how the source's labels became intensities, in words
    notes: dict[str, list[str]] = field(default_factory=dict)  # what was met -> of which files


def read_recipe(recipe: str, source: Path | str, table: Path | str | None, folds: str = "") -> Listing:
    if recipe == "ravdess" and table is None:
        return ravdess(source, folds)
    if folds:
        raise UserError(f"{source}: only the recipe ravdess has other folds, emobox; leave --folds out.")
    if recipe == "folder" and table is not None:
        return folder(source, table)
    raise UserError(f"{source}: give the recipe ravdess, without a table, or the recipe folder, with --table.")


def split_in_fold_0(fold: pd.Series) -> pd.Series:
    """As in `Corpus.of_fold`."""
    return fold.map({0: "test", 1: "valid"}).fillna("train")


# RAVDESS

RAVDESS_EMOTIONS = dict(enumerate(("neutral", "neutral", "happy", "sad", "anger", "fear", "disgust", "surprise"), 1))
RAVDESS_INTENSITY = {1: 2.0, 2: 3.0}  # normal, strong
RAVDESS_ACTORS, RAVDESS_FOLDS = 24, 5
RAVDESS_PAIRS = "by pairs of actors: pair p = (actor - 1) // 2 is tested in fold p % 5"
RAVDESS_CONVENTION = (
    "an emotion acted at normal intensity is 2, a strong one 3, all others 0; neutral and calm are 0 throughout and "
    "one category. This is emo-ssl's convention: the corpus itself gives no scale from 0 to 3."
)
EMOBOX = "emobox"  # the folds and the eight classes of the benchmark EmoBox (Ma et al. 2024)
EMOBOX_TESTS = ((1, 11, 20, 21), (4, 10, 12, 14), (8, 9, 19, 23), (3, 5, 7, 24), (2, 15, 16, 18), (6, 13, 17, 22))
EMOBOX_FOLD = {actor: fold for fold, actors in enumerate(EMOBOX_TESTS) for actor in actors}
ODD_NAME, DUPLICATE = "name is not one of the corpus's speech, left out", "the same clip again, left out"
ABSENT = "of the corpus, but not in the source"


def ravdess(source: Path | str, folds: str = "") -> Listing:
    """The archive's zip, of which nothing is unpacked, or a folder with the clips anywhere below it."""
    root, names = Path(source), ravdess_names()
    if folds not in ("", EMOBOX):
        raise UserError(f"{root}: there are no folds {folds!r} of RAVDESS; leave --folds out, or take {EMOBOX}.")
    found = pd.DataFrame({"path": audio_members(root)}, dtype=str)
    found["name"] = [PurePosixPath(path).stem for path in found["path"]]
    odd = ~found["name"].isin(names)
    again = found["name"].duplicated() & ~odd
    clips = found[~odd & ~again].sort_values("name", ignore_index=True)
    if clips.empty:
        raise UserError(
            f"{root}: holds no speech clip of RAVDESS (such as 03-01-05-01-02-01-12.wav); give the zip of its "
            "audio-only speech, or the folder it was unpacked into."
        )
    notes = {
        DUPLICATE: found["path"][again].tolist(),
        ODD_NAME: found["path"][odd].tolist(),
        ABSENT: sorted(set(names) - set(clips["name"])),
    }
    code = clips["name"].str.split("-", expand=True).astype(int)
    emotion, intensity, actor = code[2].map(RAVDESS_EMOTIONS), code[3].map(RAVDESS_INTENSITY), code[6]
    categories, category = ("neutral", *EMOTIONS), emotion
    fold, words = (actor - 1) // 2 % RAVDESS_FOLDS, RAVDESS_PAIRS
    if folds == EMOBOX:
        categories, category = ("neutral", "calm", *EMOTIONS), emotion.mask(code[2] == 2, "calm")
        fold, words = actor.map(EMOBOX_FOLD), "the six of EmoBox, which tests four actors in each"
    return Listing(
        root,
        "ravdess",
        source="RAVDESS, speech only (Livingstone & Russo 2018, doi 10.5281/zenodo.1188976, CC BY-NC-SA 4.0)",
        clips=clips.assign(
            speaker=[f"actor-{number:02d}" for number in actor],
            **{name: intensity.where(emotion == name, 0.0) for name in EMOTIONS},
            category=category,
            start=np.nan,
            end=np.nan,
            fold=fold,
            split=split_in_fold_0(fold),
        ),
        category_names=categories,
        folds=words,
        convention=RAVDESS_CONVENTION.replace("one category", "two categories" if folds else "one category"),
        notes={what: paths for what, paths in notes.items() if paths},
    )


def ravdess_names() -> list[str]:
    """The names of all 1,440 clips; neutral is only acted at normal intensity."""
    return [
        f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for actor, emotion in product(range(1, RAVDESS_ACTORS + 1), RAVDESS_EMOTIONS)
        for intensity, statement, repetition in product((1,) if emotion == 1 else (1, 2), (1, 2), (1, 2))
    ]


def audio_members(root: Path) -> list[str]:
    """The audio files of a folder or an archive, in the order of their names."""
    if not root.exists():
        raise UserError(f"{root}: no such file or folder; give the archive's zip or the folder it was unpacked into.")
    if root.is_dir():
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    else:
        try:
            with zipfile.ZipFile(root) as archive:
                found = archive.namelist()
        except zipfile.BadZipFile as problem:
            raise UserError(
                f"{root}: an unfinished download, or not a zip archive ({problem}); download it again or give a folder."
            ) from problem
    return sorted(path for path in found if PurePosixPath(path).suffix.lower() in FORMATS)


# Any folder, described by a table

NEEDED, OPTIONAL = ("path", "speaker"), ("category", "start", "end", "fold", "split")
DEFAULTS = {"category": "", "start": "", "end": "", "fold": "-1", "split": "", **dict.fromkeys(EMOTIONS, "0")}
A_DAY = 86_400.0  # seconds


def folder(source: Path | str, table: Path | str) -> Listing:
    """Any audio files, and a CSV table with a row for each clip; its columns are NEEDED, emotions and OPTIONAL."""
    root, table = Path(source), Path(table)
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give the folder to which the paths of {table} are relative.")
    rows = read_rows(table)
    refuse_values(table, rows)
    clips = pd.DataFrame(DEFAULTS, rows.index).assign(**rows)
    clips["path"] = clips["name"] = [PurePosixPath(path).as_posix() for path in clips["path"]]
    clips = clips.replace({"start": {"": "nan"}, "end": {"": "nan"}})
    clips = clips.astype({"fold": int, **dict.fromkeys(("start", "end", *EMOTIONS), float)})
    refuse_contradictions(table, clips)
    folds = "given by the table"
    if "fold" in rows:
        refuse_folds(table, sorted(clips["fold"].unique()))
    elif "split" not in rows:
        fold_of = deal_speakers(table, set(clips["speaker"]))
        clips["fold"] = clips["speaker"].map(fold_of)
        folds = f"by speaker: the sorted speakers dealt over {max(fold_of.values()) + 1} folds"
    if "split" not in rows:
        clips["split"] = split_in_fold_0(clips["fold"])
    categories = tuple(sorted(set(clips["category"]) - {""}))
    if len(categories) > MOST_CATEGORIES:
        raise UserError(f"{table}: {len(categories)} categories; a category is one of a few kinds, mend that column.")
    convention = "intensities from 0 to 3 as the table gives them; an emotion without a column is 0"
    clips = clips.sort_values("path", kind="stable", ignore_index=True)
    return Listing(root, "folder", f"recordings described by {table.name}", clips, categories, folds, convention)


def read_rows(table: Path) -> pd.DataFrame:
    """The rows as text, numbered by their line in the file, with the names of columns checked."""
    cells = read_csv(table, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False)
    cells = cells.fillna("").apply(lambda column: column.str.strip())
    names = [plain(name) for name in cells.iloc[0]]
    rows = cells[1:].set_axis(range(2, len(cells) + 1)).set_axis(names, axis=1)
    rows = rows[(rows != "").any(axis=1)]
    faults = ["semicolons between its columns instead of commas"] if len(names) == 1 and ";" in names[0] else []
    faults += [f"no column {name}" for name in NEEDED if name not in names]
    faults += [f"an unknown column {name!r}" for name in names if name not in {*NEEDED, *EMOTIONS, *OPTIONAL}]
    faults += [f"two columns {name}" for name in rows.columns[rows.columns.duplicated()]]
    if not {*EMOTIONS, "category"} & set(names):
        faults.append("no emotion and no category")
    if {"fold", "split"} <= set(names):
        faults.append("both fold and split, of which only one can decide")
    if rows.empty:
        faults.append("no row below the names of the columns")
    if faults:
        columns = f"it needs {', '.join(NEEDED)}, any of {', '.join(EMOTIONS)}, and may have {', '.join(OPTIONAL)}"
        raise UserError(f"{table}: {faults[0]}; {columns}.")
    return rows


def refuse_values(table: Path, rows: pd.DataFrame) -> None:
    """Name the first value of a column that cannot be what it has to be."""
    no_more_than = dict.fromkeys(EMOTIONS, CEILING) | {"start": A_DAY, "end": A_DAY}
    words = dict.fromkeys(EMOTIONS, f"a number from 0 to {CEILING:g}") | {
        **dict.fromkeys(("start", "end"), "a number of seconds from 0 on, or nothing"),
        "path": "the name of a file",
        "speaker": "a name, by which the folds are made, or a column fold beside it",
        "category": "a name; without categories leave the whole column out",
        "fold": "a whole number from 0 on",
        "split": f"one of {', '.join(SPLITS)}",
    }
    for name, column in rows.items():
        if name in no_more_than:
            fits = pd.to_numeric(column, errors="coerce").between(0, no_more_than[name])
            fits |= (column == "") & (name not in EMOTIONS)
        elif name == "fold":
            fits = column.str.isdecimal()
        elif name == "split":
            fits = column.isin(SPLITS)
        else:
            fits = (column != "") | (name == "speaker" and bool({"fold", "split"} & set(rows)))
        for line, text in column[~fits].head(1).items():
            raise UserError(f"{table}, line {line}: {name} is {text!r}, expected {words[name]}; mend this line.")


def refuse_contradictions(table: Path, clips: pd.DataFrame) -> None:
    """An end before its start, a part labelled twice, a file of two speakers, a speaker on both sides of a split."""
    path, speaker, line = clips["path"], clips["speaker"], clips.index.to_series()
    for wrong in line[clips["end"] <= clips["start"].fillna(0)]:
        raise UserError(f"{table}, line {wrong}: its end is not after its start; mend this line.")
    part = path + " " + clips["start"].map(str) + " " + clips["end"].map(str)
    who, side = speaker.where(speaker != "", path), clips["fold"].astype(str) + clips["split"]
    for of, fact, words in (
        (part, line, "the same part of a recording again"),
        (path, speaker, "another speaker for {}"),
        (who, side, "another fold or split for {}"),
    ):
        for wrong in line[fact != fact.groupby(of).transform("first")]:
            earlier, what = line[of == of[wrong]].iloc[0], words.format(of[wrong])
            raise UserError(f"{table}, line {wrong}: {what}, after line {earlier}; mend one of them.")


def refuse_folds(table: Path, folds: list[int]) -> None:
    if folds != list(range(len(folds))) or not FEWEST_FOLDS <= len(folds) <= 127:
        raise UserError(
            f"{table}: folds {', '.join(map(str, folds))}; number at least {FEWEST_FOLDS} of them from 0 on "
            "without a gap: one is tested, the next one validates, the rest train."
        )


def deal_speakers(table: Path, speakers: set[str]) -> dict[str, int]:
    """speaker -> fold: the sorted speakers dealt like cards over as many folds as there are speakers, five at most."""
    if len(speakers) < FEWEST_FOLDS:
        raise UserError(
            f"{table}: too few speakers ({len(speakers)}) for folds that keep them apart; record at least "
            f"{FEWEST_FOLDS}, or give in a column split which clips are train, valid and test, naming no speaker."
        )
    return {name: i % min(MOST_FOLDS, len(speakers)) for i, name in enumerate(sorted(speakers))}
