"""Where notebooks keep what they compute: under build/ of the repository, once for each thing, reused by all of them.

A notebook may run from notebooks/, from build/executed/, from the repository's root or on its own; it finds the same
folders. Everything here can be deleted at any time and is made again when it is asked for.
"""

import html
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from emo_ssl import corpora
from emo_ssl.core import corpus as prepared
from emo_ssl.core import metrics
from emo_ssl.core.corpus import Corpus
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.synthetic import GENERATOR, SUMMARY, SynthConfig, write_corpus
from emo_ssl.evidence import bootstrap, effects, efficiency
from emo_ssl.evidence import claims as ledger
from emo_ssl.evidence import report as evidence_of
from emo_ssl.evidence import scores as weighted
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.study.predictions import PREDICTIONS
from emo_ssl.utils.io import UserError, fingerprint, hash_of, read_json, write_json

PROJECT = "emo-ssl"
BUILD, CORPORA, RUNS, STUDIES, EVIDENCE = "build", "corpora", "runs", "studies", "evidence"
RAW, PREPARED = "files", "prepared"
KEY_LETTERS = 10


def root(start: Path | None = None) -> Path:
    """The repository around `start` (by default the working folder), else that folder itself."""
    start = (start or Path.cwd()).resolve()
    return next((folder for folder in (start, *start.parents) if is_root(folder)), start)


def is_root(folder: Path) -> bool:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return project == PROJECT


def place(kind: str, name: str, setting: dict) -> Path:
    """The folder of one thing: readable, and another one for every setting."""
    return root() / BUILD / kind / f"{name}-{hash_of(setting)[:KEY_LETTERS]}"


def preparing_code() -> str:
    """What turns .csd files into Segments: when it changes, what an earlier version prepared is out of date."""
    files = [*sorted(Path(corpora.__file__).parent.rglob("*.py")), Path(prepared.__file__)]
    return hash_of([path.read_text(encoding="utf-8") for path in files])


def corpus(path: str = "", videos: int = 100, seed: int = 0, scenario: str = "mixed") -> Corpus:
    """The prepared folder `path`; without one a made-up corpus, written and prepared the first time it is asked for."""
    if path:
        return Corpus.open(root() / Path(path).expanduser())
    config = SynthConfig(videos=videos, seed=seed, scenario=scenario)
    name = f"synthetic-{scenario}-{videos}-videos-seed-{seed}"
    setting = {"generator": GENERATOR, "config": asdict(config), "code": preparing_code()}
    folder = place(CORPORA, name, setting)
    if not folder.exists():  # copies by earlier versions of the code are of no more use, and they are large
        for old in folder.parent.glob(f"{name}-{'?' * KEY_LETTERS}"):
            shutil.rmtree(old, ignore_errors=True)
    raw = folder / RAW
    write_corpus(raw, config)
    return prepare(raw / "COVAREP.csd", raw / "LABELS.csd", raw / "folds.json", folder / PREPARED)


def run(prepared: Corpus, seed: int = 0, fold: int = 0, config=None, path: str = "") -> Path:
    """The folder of a pretraining run: `path`, or one of these settings, computed the first time it is asked for.

    What counts is the corpus, its split and the settings, not the version of the code: delete build/runs to begin anew.
    """
    from emo_ssl.core.pretrain import PretrainConfig, load, pretrain

    if path:
        folder = root() / Path(path).expanduser()
        load(folder)  # says in one sentence what is wrong with it
        return folder
    config = config or PretrainConfig()
    split = hash_of(prepared.of_fold(fold).recordings.split.tolist())
    setting = {**asdict(config), "seed": seed, "fold": fold, "corpus": prepared.content_hash, "split": split}
    folder = place(RUNS, f"pretraining-seed-{seed}", setting)
    pretrain([prepared], folder, config, seed, fold)
    return folder


def study(prepared: Corpus | None = None, runs: Sequence[Path] = (), config=None, path: str = "") -> Path:
    """The folder of a label-budget study that starts from these runs: `path`, or computed as `run` is."""
    from emo_ssl.core.pretrain import MODEL
    from emo_ssl.study.grid import StudyConfig
    from emo_ssl.study.run import PROVENANCE
    from emo_ssl.study.run import study as compare

    if path:
        folder = root() / Path(path).expanduser()
        if not (folder / PROVENANCE).is_file():
            what = f"run `emo-ssl study … -o {folder}` to its end first"
            if not is_root(root()):
                what = "open the notebook inside a clone of the repository, or name a finished study in its first cell"
            raise UserError(f"{folder}: no finished study; {what}.")
        return folder
    config = config or StudyConfig()
    models = [fingerprint(Path(folder) / MODEL) for folder in runs]
    setting = {**asdict(config), "corpus": prepared.content_hash, "runs": models}
    return compare(prepared, runs, place(STUDIES, f"study-{config.profile}", setting), config)


def evidence(folder: Path | str, config: EvidenceConfig | None = None) -> dict:
    """The evidence of a finished study; of a recorded one, which is kept without its predictions, what it holds."""
    folder, config = Path(folder), config or EvidenceConfig()
    recorded, predictions = folder / evidence_of.EVIDENCE, folder / PREDICTIONS
    if not predictions.is_file() and recorded.is_file():
        return read_json(recorded)
    if not predictions.is_file():
        raise UserError(f"{folder}: neither {PREDICTIONS} nor {evidence_of.EVIDENCE}; run `emo-ssl study` to its end.")
    modules = (evidence_of, bootstrap, effects, efficiency, ledger, metrics, weighted)
    code = [Path(module.__file__).read_text(encoding="utf-8") for module in modules]
    setting = {**asdict(config), "predictions": fingerprint(predictions), "code": hash_of(code)}
    kept = place(EVIDENCE, folder.name, setting) / evidence_of.EVIDENCE
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, evidence_of.evaluate(folder, config))
    return read_json(kept)


def pretraining(steps: int = 0):
    """The settings of a pretraining run; 0 leaves the library's default."""
    from emo_ssl.core.pretrain import PretrainConfig

    return PretrainConfig(**({"steps": steps} if steps else {}))


def comparison(profile: str, budgets: Sequence[int] = (), seeds: int = 0, steps: int = 0):
    """The settings of a study; 0 and () leave the library's defaults. `steps` holds for whatever learns from labels."""
    from emo_ssl.study.grid import StudyConfig

    config = replace(StudyConfig(), profile=profile)
    if steps:
        short = {name: replace(getattr(config, name), steps=steps) for name in ("finetune", "probe")}
        config = replace(config, **short)
    given = {"budgets": tuple(budgets), "seeds": seeds}
    return replace(config, **{name: value for name, value in given.items() if value})


def raw_files(prepared: Corpus) -> Path | None:
    """The folder of the .csd files that a corpus of ours was prepared from; nobody knows it of another one."""
    folder = prepared.folder.parent / RAW
    return folder if (folder / SUMMARY).is_file() else None


def truth(prepared: Corpus) -> dict | None:
    """What the maker of a made-up corpus knows about it, its oracle's AUROC for one; of a real corpus nobody does."""
    folder = raw_files(prepared)
    return read_json(folder / SUMMARY) if folder else None


def is_synthetic(prepared: Corpus) -> bool:
    return prepared.header["source"].startswith("synthetic")


def notice(prepared: Corpus) -> str:
    """What a reader has to know before any number of this run, as HTML that the book shows in a box."""
    return notice_of(prepared.header)


def notice_of(corpus: Mapping[str, str]) -> str:
    """The same for what a corpus says of itself (source, folds), which is all that a recorded study keeps of it."""
    source = corpus.get("source", "a corpus that does not say where it comes from")
    if source.startswith("synthetic"):
        kind, title = "warning", "Made-up voices"
        text = f"These pages were run on a corpus that is {source}. No person spoke or labelled it. "
        text += "Its numbers test the machinery and say nothing about people."
    else:
        kind, title = "note", "The corpus of this run"
        text = f"{source}; folds: {corpus.get('folds', 'unknown')}."
    known = corpus.get("content_hash", "")[:12]
    mark = f' data-corpus="{html.escape(known)}"' if known else ""  # which the stamp at the foot of the page repeats
    body = f'<p class="admonition-title">{title}</p><p>{html.escape(text)}</p>'
    return f'<div class="admonition {kind}"{mark}>{body}</div>'
