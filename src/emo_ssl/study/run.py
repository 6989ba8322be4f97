"""The label-budget study: a grid of arms, budgets, seeds and folds, computed chunk by chunk.

Finished chunks are kept, so an interrupted study resumes, whichever engine began it.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path

import torch

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.normalise import ADAPTED, INDEPENDENT, under
from emo_ssl.core.pretrain import MODEL, PretrainedRun, device_named, leak_in, refuse_shared
from emo_ssl.study.arms import Fold, run_chunk
from emo_ssl.study.collect import Study, collect, file_of, read_chunk, write_chunk
from emo_ssl.study.grid import Chunk, StudyConfig, budgets_of, budgets_under, chunks_of
from emo_ssl.utils import engine as engines
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint
from emo_ssl.utils.progress import Progress


def run_study(
    corpus: Corpus,
    runs: Sequence[PretrainedRun | Path | str],
    output: Path | str,
    config: StudyConfig | None = None,
    device: str | None = None,
    jobs: int | None = None,
    engine: str = "local",
    scheduler: str | None = None,
) -> Study:
    """Compute what is missing of the grid, then write the tables.

    `jobs`: chunks beside each other on a processor, each in a thread with one of its cores (default: 1); with the
    engine "dask" in a process (default: every core), unless a scheduler is named, which has workers of its own.
    """
    config, runs = config or StudyConfig(), [PretrainedRun.open(run) for run in runs]
    refuse_unequal_runs(corpus, runs)
    weights = [fingerprint(run.folder / MODEL) for run in runs]
    setting = {**asdict(config), "corpus": corpus.content_hash, "runs": weights}
    with OutputFolder(output, "study", json.loads(json.dumps(setting))) as out:
        if not out.complete:
            with engines.tasks(engine, scheduler, jobs) as tasks:
                run_grid(corpus, runs, out, config, device, jobs or 1, tasks)
            out.finish()
    return Study(Path(output))


def refuse_unequal_runs(corpus: Corpus, runs: Sequence[PretrainedRun]) -> None:
    if not runs:
        raise UserError("a study compares with a pretrained model; give at least one run with --pretrained.")
    for run in runs:
        run.view(corpus)
        if run.result["encoder"] != runs[0].result["encoder"]:
            raise UserError(
                f"{run.folder}: its encoder differs from that of {runs[0].folder}; a study compares one shape."
            )


def fits(run: PretrainedRun, protocol: str, enrolment: int) -> bool:
    """Whether its frames were normalised as those of the study's members are."""
    config = run.result["config"]
    return config["protocol"] == protocol and (protocol == INDEPENDENT or config["enrolment"] == enrolment)


def usable_runs(
    corpus: Corpus, runs: Sequence[PretrainedRun], config: StudyConfig, protocols: Sequence[str]
) -> dict[tuple[int, str], list[PretrainedRun]]:
    """(fold, protocol) -> the runs that met nothing of what is scored there; refused where there is none."""
    usable, missing = {}, {}
    for fold in corpus.folds:
        split = corpus.of_fold(fold)
        refuse_shared(split)
        for protocol in protocols:
            fitting = [run for run in runs if fits(run, protocol, config.enrolment)]
            usable[fold, protocol] = [run for run in fitting if not leak_in(run.result, split)]
            if not usable[fold, protocol]:
                for run in fitting:
                    if run.result["fold"] == fold:
                        run.refuse_leaks(split)
                missing.setdefault(protocol, []).append(str(fold))
            layers = {str(run.result["config"].get("layer")) for run in usable[fold, protocol]}
            if len(layers) > 1:
                named = usable[fold, protocol][0].folder
                raise UserError(f"{named}: the runs of fold {fold} read different layers; give those of one layer.")
    for protocol, folds in missing.items():
        fitting = sorted({run.result["fold"] for run in runs if fits(run, protocol, config.enrolment)})
        given = f"but for fold {', '.join(map(str, fitting))}" if fitting else "but of another protocol"
        enrolment = f", enrolment = {config.enrolment}" if protocol == ADAPTED else ""
        raise UserError(
            f"{corpus.folder}: no {protocol} run for fold {', '.join(folds)} was given ({given}); make one for "
            f'each with `emo-ssl pretrain --fold all` (protocol = "{protocol}"{enrolment}) and name them all.'
        )
    return usable


def run_grid(
    corpus: Corpus,
    runs: Sequence[PretrainedRun],
    out: OutputFolder,
    config: StudyConfig,
    device: str | None,
    jobs: int = 1,
    tasks: engines.Tasks | None = None,
) -> None:
    """Run the chunks that are missing, and collect them all."""
    pool = min(len(corpus.of_fold(k).where("train")) for k in corpus.folds)
    if pool < 2:
        raise UserError(f"{corpus.folder}: fewer than two labelled training segments; check the folds.")
    budgets = budgets_of(config, pool)
    grid = chunks_of(config, corpus.folds, budgets)
    usable = usable_runs(corpus, runs, config, tuple(budgets_under(config, budgets)))  # before anything is trained
    device, started = device_named(device), time.monotonic()
    missing = [chunk for chunk in grid if not is_done(out, chunk, corpus)]

    def here() -> Iterator[str]:
        for (number, protocol), chunks in groupby(missing, lambda chunk: (chunk.fold, chunk.protocol)):
            fold = open_fold(corpus, number, usable[number, protocol], config, device, protocol)
            work = partial(compute, fold, config, out.path, out.hash)
            yield from side_by_side(work, chunks, jobs if device.type == "cpu" else 1)

    def elsewhere() -> Iterator[str]:
        folders = {at: tuple(run.folder.absolute() for run in some) for at, some in usable.items()}
        work = partial(
            compute_elsewhere, corpus.folder.absolute(), folders, config, str(device), out.path.absolute(), out.hash
        )
        return tasks(work, missing)

    with Progress("study", len(grid), "chunks") as bar:
        bar.advance(len(grid) - len(missing))
        for name in elsewhere() if tasks else here():
            bar.advance(note=name)
    collect(runs[0].view(corpus), [run.result for run in runs], out, config, grid, device, time.monotonic() - started)


def is_done(out: OutputFolder, chunk: Chunk, corpus: Corpus) -> bool:
    """A chunk of another study is refused, not overwritten."""
    if not (path := file_of(out.path, chunk)).exists():
        return False
    read_chunk(path, chunk, out.hash, corpus)
    return True


def compute(fold: Fold, config: StudyConfig, folder: Path, study_hash: str, chunk: Chunk) -> str:
    write_chunk(folder, chunk, study_hash, run_chunk(fold, chunk, config))
    return chunk.name


def compute_elsewhere(
    corpus: Path,
    runs: Mapping[tuple[int, str], tuple[Path, ...]],
    config: StudyConfig,
    device: str,
    folder: Path,
    study_hash: str,
    chunk: Chunk,
) -> str:
    """What `compute` does, in a process that has nothing open yet; again where only word of it was lost."""
    if file_of(folder, chunk).exists():
        return chunk.name
    fold = fold_of(corpus, chunk.fold, runs[chunk.fold, chunk.protocol], config, device, chunk.protocol)
    return compute(fold, config, folder, study_hash, chunk)


@lru_cache(maxsize=2)  # chunks of one fold come after each other
def fold_of(corpus: Path, number: int, runs: tuple[Path, ...], config: StudyConfig, device: str, protocol: str) -> Fold:
    opened = [PretrainedRun.open(run) for run in runs]
    return open_fold(Corpus.open(corpus), number, opened, config, device_named(device), protocol)


def side_by_side(work: Callable[[Chunk], str], chunks: Iterable[Chunk], jobs: int) -> Iterator[str]:
    """What `work` returns of each chunk, in their order; threads do, as torch computes without Python's lock."""
    if jobs == 1:
        yield from map(work, chunks)
    else:
        with ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, chunks)


def open_fold(
    corpus: Corpus,
    number: int,
    runs: Sequence[PretrainedRun],
    config: StudyConfig,
    device: torch.device,
    protocol: str = INDEPENDENT,
) -> Fold:
    """Everything that members of a fold share."""
    split, normaliser = under(protocol, runs[0].view(corpus).of_fold(number), config.enrolment)
    for part in ("train", "valid", "test"):
        if not len(split.where(part)):
            raise UserError(f"{corpus.folder}: no labelled segment in the {part} split; check the folds.")
    data = LabelledSegments.build(split, normaliser, device, config.head)
    weights = tuple((run.result["seed"], run.network.state_dict()) for run in runs)
    return Fold(number, split, normaliser, data, runs[0].network.encoder.config, weights, protocol)
