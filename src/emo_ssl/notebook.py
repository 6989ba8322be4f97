"""Where notebooks keep what they compute: under build/ of the repository, once for each setting, reused by all of them.

A notebook may run from notebooks/, from build/executed/, from the repository's root or on its own; it finds the same
folders. Everything here can be deleted at any time and is made again when it is asked for.
"""

import ast
import html
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import filelock

from emo_ssl.core import pretrain as pretraining_runs
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.pretrain import PretrainConfig
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.synthetic import GENERATOR, SUMMARY, SynthConfig, write_corpus
from emo_ssl.evidence import record, report
from emo_ssl.study.collect import PROVENANCE
from emo_ssl.study.grid import ARMS, MAIN, StudyConfig
from emo_ssl.study.predictions import PREDICTIONS
from emo_ssl.study.run import run_study
from emo_ssl.utils.io import UserError, fingerprint, hash_of, read_json, write_json
from emo_ssl.utils.values import read_json_lines

RAW, PREPARED = "files", "prepared"
KEY_LETTERS = 10


def root() -> Path:
    """The repository around the working folder, else that folder itself."""
    for folder in (here := Path.cwd(), *here.parents):
        project = folder / "pyproject.toml"
        if project.is_file() and '\nname = "emo-ssl"\n' in project.read_text(encoding="utf-8", errors="replace"):
            return folder
    return here


def given(path: str) -> Path:
    """A path as a parameter of a notebook has it."""
    return root() / Path(path).expanduser()


def place(kind: str, name: str, setting: dict) -> Path:
    """The folder of one thing: readable, and another one for every setting."""
    return root() / "build" / kind / f"{name}-{hash_of(setting)[:KEY_LETTERS]}"


@contextmanager
def made_once(folder: Path) -> Iterator[None]:
    """While one page makes what belongs here, another one that asks for the same waits; a kill lets go of it."""
    locks = root() / "build" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(locks / f"{folder.parent.name}-{folder.name}"):
        yield


def code_of(*parts: str) -> str:
    """One hash of the code in these files and folders of the package."""
    paths = [Path(__file__).parent / part for part in parts]
    files = [file for path in paths for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])]
    return hash_of([file.read_text(encoding="utf-8") for file in files])


def preparing_code() -> str:
    """What makes a Corpus: when it changes, what an earlier version prepared is out of date."""
    return code_of("corpora", "core/corpus.py")


def corpus(path: str = "", videos: int = 100, seed: int = 0, scenario: str = "mixed") -> Corpus:
    """The prepared folder `path`; without one a made-up corpus, written and prepared the first time it is asked for."""
    if path:
        return Corpus.open(given(path))
    config = SynthConfig(videos=videos, seed=seed, scenario=scenario)
    name = f"synthetic-{scenario}-{videos}-videos-seed-{seed}"
    folder = place("corpora", name, {"generator": GENERATOR, "config": asdict(config), "code": preparing_code()})
    with made_once(folder):
        if not folder.exists():  # copies by earlier versions of the code are of no more use, and they are large
            for old in folder.parent.glob(f"{name}-{'?' * KEY_LETTERS}"):
                shutil.rmtree(old, ignore_errors=True)
        raw = folder / RAW
        write_corpus(raw, config)
        return prepare(raw / "COVAREP.csd", raw / "LABELS.csd", raw / "folds.json", folder / PREPARED)


def run(
    prepared: Corpus | None,
    seed: int = 0,
    fold: int = 0,
    config: PretrainConfig | None = None,
    path: str = "",
    device: str = "",
) -> Path:
    """The folder of a pretraining run: `path`, or one of these settings, computed the first time it is asked for.

    What counts is the corpus, its split and the settings, not the version of the code: delete build/runs to begin anew.
    """
    if path:
        folder = given(path)
        pretraining_runs.PretrainedRun.open(folder)  # says in one sentence what is wrong with it
        return folder
    config = config or PretrainConfig()
    split = hash_of(prepared.of_fold(fold).recordings.split.tolist())
    setting = {**asdict(config), "seed": seed, "fold": fold, "corpus": prepared.content_hash, "split": split}
    folder = place("runs", f"pretraining-seed-{seed}", setting)
    with made_once(folder):
        pretraining_runs.pretrain([prepared], folder, config, seed, fold, device or None)
    return folder


def study(
    prepared: Corpus | None = None,
    runs: Sequence[Path] = (),
    config: StudyConfig | None = None,
    path: str = "",
    device: str = "",
) -> Path:
    """The folder of a label-budget study that starts from these runs: `path`, or computed as `run` is."""
    if path:
        folder = given(path)
        if not (folder / PROVENANCE).is_file():
            raise UserError(
                f"{folder}: no finished study; run `emo-ssl study … -o {folder}` to its end, or open the notebook in a "
                "clone of the repository, which holds the recorded ones."
            )
        return folder
    config = config or StudyConfig()
    models = [fingerprint(Path(folder) / pretraining_runs.MODEL) for folder in runs]
    setting = {**asdict(config), "corpus": prepared.content_hash, "runs": models}
    folder = place("studies", f"study-{config.profile}", setting)
    with made_once(folder):
        return run_study(prepared, runs, folder, config, device or None, jobs=os.cpu_count() or 1).folder


def evidence(folder: Path | str) -> dict:
    """The evidence of a finished study; of a recorded one, which is kept without its predictions, what it holds."""
    kept, predictions = Path(folder) / report.EVIDENCE, Path(folder) / PREDICTIONS
    if predictions.is_file():
        setting = {"predictions": fingerprint(predictions), "code": code_of("evidence", "core/metrics.py")}
        kept = place("evidence", kept.parent.name, setting) / report.EVIDENCE
        with made_once(kept.parent):
            if not kept.is_file():
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_json(kept, report.evaluate(folder))
    elif not kept.is_file():
        raise UserError(f"{folder}: neither {PREDICTIONS} nor {report.EVIDENCE}; run `emo-ssl study` to its end.")
    return record.evidence_of(kept.parent)


def pretraining(steps: int = 0, batch: int = 0, **changes: object) -> PretrainConfig:
    """The settings of a pretraining run; 0 leaves the library's default. `share` and `span` are those of the mask."""
    usual = PretrainConfig()
    mask = replace(usual.mask, **{name: changes.pop(name) for name in ("share", "span") if name in changes})
    return replace(usual, steps=steps or usual.steps, batch=batch or usual.batch, mask=mask, **changes)


def comparison(
    profile: str, budgets: Sequence[int] = (), seeds: int = 0, steps: int = 0, head: str = "ordinal"
) -> StudyConfig:
    """The settings of a study; 0 and () leave the library's defaults. `steps` holds for whatever learns from labels.

    Without the classical arms: the made-up corpora hide emotion from means and deviations, all that those read. Rates
    are tuned with at most half as many seeds as are reported, for tuning is not to cost more than what it serves.
    """
    usual = StudyConfig(profile=profile, arms=tuple(name for name in MAIN if ARMS[name].kind != "classical"))
    return replace(
        usual,
        head=head,
        budgets=tuple(budgets) or usual.budgets,
        seeds=seeds or usual.seeds,
        tuning_seeds=max(1, min(usual.tuning_seeds, (seeds or usual.seeds) // 2)),
        finetune=replace(usual.finetune, steps=steps or usual.finetune.steps),
        probe=replace(usual.probe, steps=steps or usual.probe.steps),
    )


def recorded(path: str) -> list[dict]:
    """The rows of a recorded result: one JSON object a line."""
    file = root() / path
    if not file.is_file():
        raise UserError(f"{file}: not there; open the notebook in a clone of the repository, which holds results/.")
    return read_json_lines(file, dict, "restore it from the repository")


def refuse_unknown_parameters(executed: Sequence[str] | None = None) -> None:
    """papermill only warns of a parameter that a notebook does not have; a misspelt one must not pass for the default.

    It writes what it was given into a cell of its own, right below the one that names all parameters.
    """
    if executed is None:
        from IPython import get_ipython

        executed = get_ipython().user_ns["In"]
    for declared, injected in pairwise(executed):
        if injected.startswith("# Parameters\n"):
            unknown = sorted(assigned(injected) - assigned(declared))
            if unknown:
                names = ", ".join(sorted(assigned(declared)))
                raise UserError(f"this notebook has no parameter {', '.join(unknown)}; it has {names}.")


def assigned(code: str) -> set[str]:
    """The names that a cell assigns to."""
    return {target.id for line in ast.parse(code).body if isinstance(line, ast.Assign) for target in line.targets}


def raw_files(prepared: Corpus) -> Path | None:
    """The folder of the .csd files that a corpus of ours was prepared from; nobody knows it of another one."""
    folder = prepared.folder.parent / RAW
    return folder if (folder / SUMMARY).is_file() else None


def truth(prepared: Corpus) -> dict | None:
    """What the maker of a made-up corpus knows about it, its oracle's AUROC for one; of a real corpus nobody does."""
    folder = raw_files(prepared)
    return read_json(folder / SUMMARY) if folder else None


def notice(header: Mapping[str, str]) -> str:
    """What a reader has to know of a corpus before any number, as HTML that JupyterLab and the book show in a box.

    header: what a corpus states about itself (source, folds, content_hash), `corpus.header` or `evidence["corpus"]`
    """
    source = header["source"]
    if source.startswith("synthetic"):
        kind, title = "warning", "Made-up voices"
        text = (
            f"These pages were run on a corpus that is {source}. No person spoke or labelled it. "
            "Its numbers test the machinery and say nothing about people."
        )
    else:
        kind, title = "note", "The corpus of this run"
        text = f"{source}; folds: {header.get('folds', 'unknown')}."
    return f'<div class="admonition {kind}"><p class="admonition-title">{title}</p><p>{html.escape(text)}</p></div>'
