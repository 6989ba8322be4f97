"""What a folder of recordings contains: who speaks in each clip, which emotions, and in which fold it is tested."""

import csv
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path, PurePosixPath

from emo_ssl.core.corpus import SPLITS
from emo_ssl.core.metrics import CEILING
from emo_ssl.corpora.audio import FORMATS
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.labels import plain
from emo_ssl.utils.io import UserError

MOST_CATEGORIES = 100
FEWEST_FOLDS, MOST_FOLDS = 3, 5  # one tested, one validating, the rest trained on


@dataclass(frozen=True)
class Clip:
    """A recording, or a part of one, with what is known about it."""

    path: str  # of its file, relative to the source, with forward slashes
    name: str  # of its file, in the corpus
    speaker: str
    targets: tuple[float, ...]  # (6,) in the order of EMOTIONS
    category: str = ""
    start: float | None = None  # seconds; None: from the beginning
    end: float | None = None  # None: to the end
    fold: int = -1  # that tests it, -1 without
    split: str = ""  # "" where folds decide


@dataclass(frozen=True)
class Listing:
    """Every clip of a source, and how the source was read."""

    root: Path  # a folder, or a zip archive
    recipe: str
    source: str  # in words
    clips: tuple[Clip, ...]
    category_names: tuple[str, ...]
    folds: str  # how they were made, in words
    convention: str  # how the source's labels became intensities, in words
    notes: dict[str, list[str]] = field(default_factory=dict)  # what was met -> of which files


def read_recipe(recipe: str, source: Path | str, table: Path | str | None) -> Listing:
    if recipe == "ravdess" and table is None:
        return ravdess(source)
    if recipe == "folder" and table is not None:
        return folder(source, table)
    raise UserError(f"{source}: give the recipe ravdess, without a table, or the recipe folder, with --table.")


# RAVDESS

RAVDESS_EMOTIONS = dict(enumerate(("neutral", "neutral", "happy", "sad", "anger", "fear", "disgust", "surprise"), 1))
RAVDESS_INTENSITY = {1: 2.0, 2: 3.0}  # normal, strong
RAVDESS_ACTORS, RAVDESS_FOLDS = 24, 5
RAVDESS_CONVENTION = (
    "an emotion acted at normal intensity is 2, a strong one 3, all others 0; neutral and calm are 0 throughout and "
    "one category. This is emo-ssl's convention: the corpus itself gives no scale from 0 to 3."
)
ODD_NAME, DUPLICATE = "name is not one of the corpus's speech, left out", "the same clip again, left out"


def ravdess(source: Path | str) -> Listing:
    """The archive's zip, of which nothing is unpacked, or a folder with the clips anywhere below it."""
    root, notes, clips = Path(source), defaultdict(list), {}
    names = set(ravdess_names())
    for path in audio_members(root):
        name = PurePosixPath(path).stem
        if name in clips:
            notes[DUPLICATE].append(path)
        elif name in names:
            clips[name] = ravdess_clip(path, name)
        else:
            notes[ODD_NAME].append(path)
    if not clips:
        raise UserError(
            f"{root}: holds no speech clip of RAVDESS (such as 03-01-05-01-02-01-12.wav); give the zip of its "
            "audio-only speech, or the folder it was unpacked into."
        )
    if missing := sorted(names - set(clips)):
        notes["of the corpus, but not in the source"] = missing
    return Listing(
        root,
        "ravdess",
        source="RAVDESS, speech only (Livingstone & Russo 2018, doi 10.5281/zenodo.1188976, CC BY-NC-SA 4.0)",
        clips=tuple(clips[name] for name in sorted(clips)),
        category_names=("neutral", *EMOTIONS),
        folds="by pairs of actors: pair p = (actor - 1) // 2 is tested in fold p % 5",
        convention=RAVDESS_CONVENTION,
        notes=dict(notes),
    )


def ravdess_names() -> list[str]:
    """The names of all 1,440 clips; neutral is only acted at normal intensity."""
    return [
        f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for actor, emotion in product(range(1, RAVDESS_ACTORS + 1), RAVDESS_EMOTIONS)
        for intensity, statement, repetition in product((1,) if emotion == 1 else (1, 2), (1, 2), (1, 2))
    ]


def ravdess_clip(path: str, name: str) -> Clip:
    _, _, emotion, intensity, _, _, actor = map(int, name.split("-"))
    category = RAVDESS_EMOTIONS[emotion]
    targets = tuple(RAVDESS_INTENSITY[intensity] * (other == category) for other in EMOTIONS)
    return Clip(path, name, f"actor-{actor:02d}", targets, category, fold=(actor - 1) // 2 % RAVDESS_FOLDS)


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


def folder(source: Path | str, table: Path | str) -> Listing:
    """Any audio files, and a CSV table with a row for each clip; its columns are NEEDED, emotions and OPTIONAL."""
    root, table = Path(source), Path(table)
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give the folder to which the paths of {table} are relative.")
    rows = read_rows(table)
    clips = {line: table_clip(f"{table}, line {line}", row) for line, row in rows.items()}
    refuse_contradictions(table, clips)
    listed, folds = sorted(clips.values(), key=lambda clip: clip.path), "given by the table"
    columns = set(next(iter(rows.values())))
    if "fold" in columns:
        check_folds(table, {clip.fold for clip in listed})
    elif "split" not in columns:
        fold_of = deal_speakers(table, {clip.speaker for clip in listed})
        listed = [replace(clip, fold=fold_of[clip.speaker]) for clip in listed]
        folds = f"by speaker: the sorted speakers dealt over {max(fold_of.values()) + 1} folds"
    categories = tuple(sorted({clip.category for clip in listed} - {""}))
    if len(categories) > MOST_CATEGORIES:
        raise UserError(f"{table}: {len(categories)} categories; a category is one of a few kinds, mend that column.")
    convention = "intensities from 0 to 3 as the table gives them; an emotion without a column is 0"
    source = f"recordings described by {table.name}"
    return Listing(root, "folder", source, tuple(listed), categories, folds, convention)


def read_rows(table: Path) -> dict[int, dict[str, str]]:
    """Line of the file -> column -> value, with the names of columns checked."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True, restval="")
            reader.fieldnames = names = [plain(name) for name in reader.fieldnames or []]
            rows = [(reader.line_num, row) for row in reader if any(row.values())]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UserError(
            f"{table}: not readable as a CSV table ({problem}); save it as UTF-8, with commas."
        ) from problem
    faults = ["semicolons between its columns instead of commas"] if len(names) == 1 and ";" in names[0] else []
    faults += [f"no column {name}" for name in NEEDED if name not in names]
    faults += [f"an unknown column {name!r}" for name in names if name not in {*NEEDED, *EMOTIONS, *OPTIONAL}]
    if not {*EMOTIONS, "category"} & set(names):
        faults.append("no emotion and no category")
    if {"fold", "split"} <= set(names):
        faults.append("both fold and split, of which only one can decide")
    faults += [f"more values than columns in line {line}" for line, row in rows if None in row]
    if not rows:
        faults.append("no row below the names of the columns")
    if faults:
        columns = f"it needs {', '.join(NEEDED)}, any of {', '.join(EMOTIONS)}, and may have {', '.join(OPTIONAL)}"
        raise UserError(f"{table}: {faults[0]}; {columns}.")
    return {line: {name: value.strip() for name, value in row.items()} for line, row in rows}


def is_number(text: str, most: float) -> bool:
    try:
        return 0 <= float(text) <= most
    except ValueError:
        return False


A_DAY = 86_400.0  # seconds
EXPECTED = {  # column -> what its values are, in code and in words
    "path": (bool, "the name of a file"),
    "speaker": (lambda text: True, "a name"),
    "category": (bool, "a name; without categories leave the whole column out"),
    **dict.fromkeys(
        ("start", "end"), (lambda text: not text or is_number(text, A_DAY), "a number of seconds from 0 on, or nothing")
    ),
    "fold": (str.isdecimal, "a whole number from 0 on"),
    "split": (SPLITS.__contains__, f"one of {', '.join(SPLITS)}"),
    **dict.fromkeys(EMOTIONS, (lambda text: is_number(text, CEILING), f"a number from 0 to {CEILING:g}")),
}


def table_clip(place: str, row: dict[str, str]) -> Clip:
    """One row as a clip; `place` names it, for what has to be mended."""
    for name, text in row.items():
        fits, wanted = EXPECTED[name]
        if not fits(text):
            raise UserError(f"{place}: {name} is {text!r}, expected {wanted}; mend this line.")
    if not row["speaker"] and "fold" not in row and "split" not in row:
        raise UserError(f"{place}: no speaker, by which the folds are made; name one, or add a column fold.")
    start, end = (float(row[name]) if row.get(name) else None for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise UserError(f"{place}: end {row['end']} is not after its start; mend this line.")
    path = PurePosixPath(row["path"]).as_posix()
    targets = tuple(float(row.get(name, 0)) for name in EMOTIONS)
    fold, split = int(row.get("fold", -1)), row.get("split", "")
    return Clip(path, path, row["speaker"], targets, row.get("category", ""), start, end, fold, split)


def refuse_contradictions(table: Path, clips: dict[int, Clip]) -> None:
    """A part labelled twice, a file of two speakers, a speaker (or file) on both sides of a split."""
    seen: dict[tuple, tuple[int, object]] = {}
    for line, clip in clips.items():
        facts = [
            (("the same part of a recording again", clip.path, clip.start, clip.end), line),
            ((f"another speaker for {clip.path}",), clip.speaker),
            ((f"another fold or split for {clip.speaker or clip.path}",), (clip.fold, clip.split)),
        ]
        for key, value in facts:
            earlier, known = seen.setdefault(key, (line, value))
            if known != value:
                raise UserError(f"{table}, line {line}: {key[0]}, after line {earlier}; mend one of them.")


def check_folds(table: Path, folds: set[int]) -> None:
    if folds != set(range(len(folds))) or not FEWEST_FOLDS <= len(folds) <= 127:
        raise UserError(
            f"{table}: folds {', '.join(map(str, sorted(folds)))}; number at least {FEWEST_FOLDS} of them from 0 on "
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
