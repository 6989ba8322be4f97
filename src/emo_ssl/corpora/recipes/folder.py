"""Any folder of recordings, described by a table with a row for each clip, whose every mistake is named."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pandas as pd

from emo_ssl.core.corpus import SPLITS
from emo_ssl.core.metrics import CEILING
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.labels import plain
from emo_ssl.corpora.recipes.listing import Listing, split_in_fold_0
from emo_ssl.utils.values import UNPRINTABLE, UserError, read_csv, short

MOST_CATEGORIES = 100
FEWEST_FOLDS, MOST_FOLDS = 3, 5  # one tested, one validating, the rest trained on
NEEDED, OPTIONAL = ("path", "speaker"), ("category", "start", "end", "fold", "split")
DEFAULTS = {"category": "", "start": "", "end": "", "fold": "-1", "split": "", **dict.fromkeys(EMOTIONS, "0")}
A_DAY = 86_400.0  # seconds
LONGEST_PATH, LONGEST_NAME = 1000, 255  # bytes; of a name no file system takes more


def read(source: Path | str, table: Path | str) -> Listing:
    """Any audio files, and a CSV table with a row for each clip; its columns are NEEDED, emotions and OPTIONAL."""
    root, table = Path(source), Path(table)
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give the folder to which the paths of {table} are relative.")
    rows = read_rows(table)
    refuse_values(table, rows)
    clips = pd.DataFrame(DEFAULTS, rows.index).assign(**rows)
    clips["path"] = clips["name"] = [path_in(root, path) for path in clips["path"]]
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
    words = f"recordings described by {table.name}"
    return Listing(root, "folder", words, clips, categories, folds, convention, table=table)


def path_in(root: Path, path: str) -> str:
    """As the folder has it, where the table was written on Windows, too."""
    slashes = path.replace("\\", "/")
    return PurePosixPath(slashes if (root / slashes).is_file() else path).as_posix()


def read_rows(table: Path) -> pd.DataFrame:
    """The rows as text, numbered by their line in the file, with the names of columns checked."""
    cells = read_csv(table, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False)
    cells = cells.fillna("").apply(lambda column: column.str.strip())
    names = [plain(name) for name in cells.iloc[0]]
    rows = cells[1:].set_axis(range(2, len(cells) + 1)).set_axis(names, axis=1)
    rows = rows[(rows != "").any(axis=1)]
    faults = [f"no column {name}" for name in NEEDED if name not in names]
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
        "path": "the name of a file inside the folder",
        "speaker": "a name, by which the folds are made, or a column fold beside it",
        "category": "a name; without categories leave the whole column out",
        "fold": "a whole number from 0 on",
        "split": f"one of {', '.join(SPLITS)}",
    }
    for name, column in rows.items():
        if name in no_more_than:
            fits = pd.to_numeric(column, errors="coerce").between(0, no_more_than[name])
            fits |= (column == "") & (name not in EMOTIONS)
        elif name == "path":
            fits = column.map(is_inside)
        elif name == "fold":
            fits = column.str.isdecimal() & (column.str.len() < 10)
        elif name == "split":
            fits = column.isin(SPLITS)
        else:
            fits = (column != "") | (name == "speaker" and bool({"fold", "split"} & set(rows)))
        for line, text in column[~fits].head(1).items():
            raise UserError(f"{table}, line {line}: {name} is {short(text)}, expected {words[name]}; mend this line.")


def is_inside(path: str) -> bool:
    """Whether it can only mean a file of the folder, on any system."""
    whole = PureWindowsPath(path)
    if path == "" or UNPRINTABLE.search(path) or whole.anchor or ".." in whole.parts:
        return False
    return len(path.encode()) <= LONGEST_PATH and all(len(part.encode()) <= LONGEST_NAME for part in whole.parts)


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
