"""What a folder of recordings says: who speaks in each clip, which emotions, and in which fold it is tested."""

import csv
import math
import re
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

RECIPES = ("ravdess", "folder")
MOST_CATEGORIES = 100
FEWEST_FOLDS, MOST_FOLDS = 3, 5  # one tested, one validating, the rest trained on
ZIP_MAGIC = b"PK\x03\x04"


@dataclass(frozen=True)
class Clip:
    """A recording, or a stretch of one, with what is known about it."""

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
    convention: str  # how what the source says became intensities, in words
    notes: dict[str, list[str]] = field(default_factory=dict)  # what was met -> of which files


# RAVDESS

RAVDESS_NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)")
RAVDESS_CATEGORIES = ("neutral", *EMOTIONS)
RAVDESS_EMOTIONS = dict(enumerate(("neutral", "neutral", "happy", "sad", "anger", "fear", "disgust", "surprise"), 1))
RAVDESS_INTENSITY = {1: 2.0, 2: 3.0}  # normal, strong
RAVDESS_ACTORS, RAVDESS_FOLDS = 24, 5
RAVDESS_SOURCE = "RAVDESS, speech only (Livingstone & Russo 2018, doi 10.5281/zenodo.1188976, CC BY-NC-SA 4.0)"
RAVDESS_CONVENTION = (
    "an emotion acted at normal intensity is 2, a strong one 3, all others 0; neutral and calm are 0 throughout and "
    "one category. This is emo-ssl's convention: the corpus itself gives no scale from 0 to 3."
)
RAVDESS_FOLDS_SAID = "by pairs of actors: pair p = (actor - 1) // 2 is tested in fold p % 5"
ODD_NAME, DUPLICATE = "name is not one of the corpus, left out", "the same clip again, left out"
NOT_SPEECH = "not audio-only speech but video or song, left out"


def ravdess(source: Path | str) -> Listing:
    """The archive's zip, of which nothing is unpacked, or a folder with the clips anywhere below it."""
    root, notes, clips = Path(source), defaultdict(list), {}
    for path in audio_members(root):
        parts = PurePosixPath(path).parts
        match = RAVDESS_NAME.fullmatch(PurePosixPath(path).stem)
        code = [int(number) for number in match.groups()] if match else []
        if not code or ".." in parts or path.startswith("/") or not is_ravdess(code):
            notes[ODD_NAME].append(path)
        elif code[:2] != [3, 1]:
            notes[NOT_SPEECH].append(path)
        elif match[0] in clips:
            notes[DUPLICATE].append(path)
        else:
            clips[match[0]] = ravdess_clip(path, match[0], code)
    if not clips:
        raise UserError(
            f"{root}: holds no speech clip of RAVDESS (such as 03-01-05-01-02-01-12.wav); give the zip of its "
            "audio-only speech, or the folder it was unpacked into."
        )
    absent = [name for name in ravdess_names() if name not in clips]
    if absent:
        notes["of the corpus, but not in the source"] = absent
    unheard = {actor_name(a) for a in range(1, RAVDESS_ACTORS + 1)} - {clip.speaker for clip in clips.values()}
    if unheard:
        notes["actors without any clip"] = sorted(unheard)
    ordered = tuple(clips[name] for name in sorted(clips))
    said = (RAVDESS_CATEGORIES, RAVDESS_FOLDS_SAID, RAVDESS_CONVENTION)
    return Listing(root, "ravdess", RAVDESS_SOURCE, ordered, *said, dict(notes))


def is_ravdess(code: list[int]) -> bool:
    """Whether each number of a name is one that the corpus uses; channel 2 is song."""
    highest = (3, 2, len(RAVDESS_EMOTIONS), 2, 2, 2, RAVDESS_ACTORS)
    return all(1 <= number <= most for number, most in zip(code, highest, strict=True))


def ravdess_names() -> list[str]:
    """The names of all 1,440 clips; neutral is only acted at normal intensity."""
    return [
        f"03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}"
        for actor, emotion in product(range(1, RAVDESS_ACTORS + 1), RAVDESS_EMOTIONS)
        for intensity, statement, repetition in product((1,) if emotion == 1 else (1, 2), (1, 2), (1, 2))
    ]


def actor_name(actor: int) -> str:
    return f"actor-{actor:02d}"


def ravdess_clip(path: str, name: str, code: list[int]) -> Clip:
    _, _, emotion, intensity, _, _, actor = code
    category = RAVDESS_EMOTIONS[emotion]
    targets = tuple(RAVDESS_INTENSITY[intensity] * (name == category) for name in EMOTIONS)
    return Clip(path, name, actor_name(actor), targets, category, fold=(actor - 1) // 2 % RAVDESS_FOLDS)


def audio_members(root: Path) -> list[str]:
    """The audio files of a folder or an archive, in the order of their names."""
    if root.is_dir():
        found = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    elif not root.exists():
        raise UserError(f"{root}: no such file or folder; give the archive's zip or the folder it was unpacked into.")
    else:
        with open_archive(root) as archive:
            found = [member.filename for member in archive.infolist() if not member.is_dir()]
    return sorted(path for path in found if PurePosixPath(path).suffix.lower() in FORMATS)


def open_archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as problem:
        begun = "an unfinished or damaged download" if is_zip_like(path) else "not a zip archive"
        raise UserError(f"{path}: {begun} ({problem}); download it again or give a folder.") from problem


def is_zip_like(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC


# Any folder, described by a table

NEEDED, OPTIONAL = ("path", "speaker"), ("category", "start", "end", "fold", "split")
TABLE_CONVENTION = "intensities from 0 to 3 as the table gives them; an emotion without a column is 0"
GIVEN = "given by the table"


def folder(source: Path | str, table: Path | str) -> Listing:
    """Any audio files, and a CSV table with a row for each clip; its columns are NEEDED, emotions and OPTIONAL."""
    root, table = Path(source), Path(table)
    if not root.is_dir():
        raise UserError(f"{root}: not a folder; give the folder to which the paths of {table} are relative.")
    rows = read_rows(table)
    columns = set(rows[0][1])
    clips = [table_clip(f"{table}, line {line}", row) for line, row in rows]
    refuse_contradictions(table, [line for line, _ in rows], clips)
    folds = GIVEN
    if not columns & {"fold", "split"}:
        fold_of = deal_speakers(table, clips)
        clips = [replace(clip, fold=fold_of[clip.speaker]) for clip in clips]
        folds = f"by speaker: the sorted speakers dealt over {max(fold_of.values()) + 1} folds"
    elif "fold" in columns:
        check_folds(table, {clip.fold for clip in clips})
    clips.sort(key=lambda clip: clip.path)  # stable: the rows of one file stay in the order of the table
    categories = tuple(sorted({clip.category for clip in clips} - {""}))
    if len(categories) > MOST_CATEGORIES:
        raise UserError(f"{table}: {len(categories)} categories; a category is one of a few kinds, mend that column.")
    source = f"recordings described by {table.name}"
    return Listing(root, "folder", source, tuple(clips), categories, folds, TABLE_CONVENTION)


def read_rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(line of the file, column -> value) for each row, with the names of columns checked."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            names = [plain(name) for name in next(reader, [])]
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise UserError(
            f"{table}: not readable as a CSV table ({problem}); save it as UTF-8, with commas."
        ) from problem
    known = {*NEEDED, *EMOTIONS, *OPTIONAL}
    faults = ["semicolons between its columns instead of commas"] if len(names) == 1 and ";" in names[0] else []
    faults += [f"no column {name}" for name in NEEDED if name not in names]
    faults += [f"an unknown column {name!r}" for name in names if name not in known]
    faults += [f"two columns {name}" for name in sorted({name for name in names if names.count(name) > 1})]
    if not {*EMOTIONS, "category"} & set(names):
        faults.append("no emotion and no category")
    if {"fold", "split"} <= set(names):
        faults.append("both fold and split, of which only one can decide")
    if faults:
        columns = f"it needs {', '.join(NEEDED)}, any of {', '.join(EMOTIONS)}, and may have {', '.join(OPTIONAL)}"
        raise UserError(f"{table}: {faults[0]}; {columns}.")
    rows = [(line, row) for line, row in rows if any(row)]
    for line, row in rows:
        if len(row) != len(names):
            raise UserError(f"{table}, line {line}: {len(row)} values under {len(names)} columns; mend this line.")
    if not rows:
        raise UserError(f"{table}: no row below the names of the columns; write one for each clip.")
    return [(line, dict(zip(names, row, strict=True))) for line, row in rows]


def table_clip(place: str, row: dict[str, str]) -> Clip:
    """One row as a clip; `place` says where it stands, for what has to be mended."""
    path = PurePosixPath(row["path"])
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise UserError(f"{place}: path {row['path']!r} is not the name of a file below the source; mend this line.")
    for name in ("category", "split", "fold"):
        if row.get(name) == "":
            raise UserError(f"{place}: no {name}; fill it in, or leave the whole column out.")
    if not row["speaker"] and "fold" not in row and "split" not in row:
        raise UserError(f"{place}: no speaker, by which the folds are made; name one, or add a column fold.")
    if row.get("split", SPLITS[0]) not in SPLITS:
        raise UserError(f"{place}: split {row['split']!r}; use one of {', '.join(SPLITS)}.")
    if not row.get("fold", "0").isdecimal():
        raise UserError(f"{place}: fold {row['fold']!r} is not a whole number from 0 on; mend this line.")
    targets = tuple(number(place, name, row.get(name, "0"), CEILING) for name in EMOTIONS)
    start, end = (number(place, name, row[name]) if row.get(name) else None for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise UserError(f"{place}: end {row['end']} is not after its start; mend this line.")
    said = (row["speaker"], targets, row.get("category", ""), start, end)
    return Clip(path.as_posix(), path.as_posix(), *said, int(row.get("fold", -1)), row.get("split", ""))


def number(place: str, name: str, text: str, most: float = math.inf) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most or math.isinf(value):
        wanted = f"a number from 0 to {most:g}" if most < math.inf else "a number of seconds from 0 on"
        raise UserError(f"{place}: {name} is {text!r}, expected {wanted}; mend this line.")
    return value


def refuse_contradictions(table: Path, lines: list[int], clips: list[Clip]) -> None:
    """A stretch labelled twice, a file of two speakers, a speaker (or file) on both sides of a split."""
    seen: dict[tuple, tuple[int, object]] = {}
    stretches: dict[tuple, int] = {}
    for line, clip in zip(lines, clips, strict=True):
        stretch, side = (clip.path, clip.start, clip.end), (clip.fold, clip.split)
        if stretches.setdefault(stretch, line) != line:
            raise UserError(
                f"{table}, line {line}: the same stretch as in line {stretches[stretch]}; delete one of them."
            )
        claims = [
            (("another speaker for", clip.path), clip.speaker),
            (("another fold or split for", clip.path), side),
            *[(("another fold or split for the speaker", clip.speaker), side)] * bool(clip.speaker),
        ]
        for key, value in claims:
            earlier, said = seen.setdefault(key, (line, value))
            if said != value:
                raise UserError(f"{table}, line {line}: {key[0]} {key[1]} than in line {earlier}; mend one of them.")


def check_folds(table: Path, folds: set[int]) -> None:
    if folds != set(range(len(folds))) or not FEWEST_FOLDS <= len(folds) <= 127:
        raise UserError(
            f"{table}: folds {', '.join(map(str, sorted(folds)))}; number at least {FEWEST_FOLDS} of them from 0 on "
            "without a gap: one is tested, the next one validates, the rest train."
        )


def deal_speakers(table: Path, clips: list[Clip]) -> dict[str, int]:
    """speaker -> fold: the sorted speakers dealt like cards over as many folds as there are speakers, five at most."""
    names = sorted({clip.speaker for clip in clips})
    if len(names) < FEWEST_FOLDS:
        raise UserError(
            f"{table}: too few speakers ({len(names)}) for folds that keep them apart; record at least {FEWEST_FOLDS}, "
            "or say in a column split which clips are train, valid and test, naming no speaker."
        )
    return {name: i % min(MOST_FOLDS, len(names)) for i, name in enumerate(names)}


def read_recipe(recipe: str, source: Path | str, table: Path | str | None) -> Listing:
    if recipe not in RECIPES:
        raise UserError(f"{recipe}: no such recipe; choose one of {', '.join(RECIPES)}.")
    if recipe == "ravdess":
        if table is not None:
            raise UserError(f"{table}: the recipe ravdess reads file names, not a table; leave --table out.")
        return ravdess(source)
    if table is None:
        raise UserError(f"{source}: the recipe folder needs a table of what is in it; give one with --table.")
    return folder(source, table)
