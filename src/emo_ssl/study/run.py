"""The label-budget study: the grid as data -> one tidy table, resumable chunk by chunk.

Finished chunks are kept, so an interrupted study resumes; shards write into folders of their own and the whole collects
them.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from emo_ssl.core import pretrain
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.leaks import leak_in, refuse_other_features, refuse_shared
from emo_ssl.core.model import EncoderConfig, State
from emo_ssl.core.normalise import ADAPTED, INDEPENDENT, PROTOCOLS, under
from emo_ssl.study.arms import Fold, run_chunk
from emo_ssl.study.checks import judge
from emo_ssl.study.chunks import find, read_chunk, shard_folder, write_chunk
from emo_ssl.study.grid import StudyConfig, budgets_of, budgets_under, chunks_of
from emo_ssl.study.predictions import write_predictions
from emo_ssl.study.table import assemble, items_of, meta_of, runs_of, table
from emo_ssl.utils.io import OutputFolder, UserError, fingerprint, write_bytes, write_json
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.provenance import provenance

RESULTS, PROVENANCE = "results.csv", "provenance.json"


def study(
    prepared: Corpus,
    pretrained: Sequence[Path | str],
    output: Path | str,
    config: StudyConfig | None = None,
    device: str | None = None,
    shard: tuple[int, int] | None = None,
) -> Path:
    """Run what is missing of the grid, then write the table. With `shard` (i, n) only every n-th chunk is run."""
    config = config or StudyConfig()
    loaded = [pretrain.load(path) for path in pretrained]
    refuse_mixed(pretrained, loaded, prepared)
    refuse_other_protocols(pretrained, loaded, config)
    setting = {
        **asdict(config),
        "corpus": prepared.content_hash,
        "runs": [fingerprint(Path(path) / pretrain.MODEL) for path in pretrained],
    }
    folder = shard_folder(Path(output), *shard) if shard else Path(output)
    with OutputFolder(folder, "study", json.loads(json.dumps(setting))) as out:
        if not out.complete:
            where = pretrain.device_named(device)
            run_grid(prepared, pretrained, loaded, out, config, where, shard)
            out.finish()
    return folder


def refuse_mixed(paths: Sequence, loaded: Sequence, prepared: Corpus) -> None:
    if not loaded:
        raise UserError("a study compares with a pretrained model; give at least one run with --pretrained.")
    for path, (result, _) in zip(paths, loaded, strict=True):
        refuse_other_features(path, result, prepared)
        if result["encoder"] != loaded[0][0]["encoder"]:
            raise UserError(f"{path}: its encoder differs from that of {paths[0]}; a study compares one shape.")


def refuse_other_protocols(paths: Sequence, loaded: Sequence, config: StudyConfig) -> None:
    """Each protocol needs runs that read frames as its members do."""
    wanted = PROTOCOLS if config.adapted else (INDEPENDENT,)
    for path, (result, _) in zip(paths, loaded, strict=True):
        read = result["config"]
        if read["protocol"] not in wanted:
            raise UserError(f"{path}: pretrained {read['protocol']}, which this study does not run; leave it out.")
        if read["protocol"] == ADAPTED and read["enrolment"] != config.enrolment:
            raise UserError(
                f"{path}: pretrained with {read['enrolment']} enrolled segments a speaker, this study enrols "
                f"{config.enrolment}; make them equal."
            )
    for protocol in wanted:
        if not of_protocol(loaded, protocol):
            raise UserError(
                f"the study runs {protocol} members, and no run was pretrained so; "
                f'pretrain with protocol = "{protocol}" and name that run too.'
            )


def of_protocol(loaded: Sequence, protocol: str) -> list[int]:
    return [i for i, (result, _) in enumerate(loaded) if result["config"]["protocol"] == protocol]


def run_grid(prepared, paths, loaded, out, config, device, shard) -> None:
    """Run the chunks that are missing, and write the table unless this is only a shard."""
    numbers = prepared.folds
    pools = [len(prepared.of_fold(k).where("train")) for k in numbers]
    if min(pools) < 2:
        raise UserError(f"{prepared.folder}: fewer than two labelled training segments; check the folds.")
    budgets = budgets_of(config, min(pools))
    grid = chunks_of(config, numbers, budgets)
    mine = [chunk for i, chunk in enumerate(grid) if shard is None or i % shard[1] == shard[0] - 1]
    # before anything is trained, and also where every chunk comes from a shard
    runs = usable_runs(prepared, paths, loaded, tuple(budgets_under(config, budgets)))
    fold: Fold | None = None
    started = time.monotonic()
    with Progress("study", len(mine), "chunks") as bar:
        for chunk in mine:
            if find(out.path, chunk, out.hash) is None:
                at = (chunk.fold, chunk.protocol)
                if fold is None or (fold.number, fold.protocol) != at:
                    fold = open_fold(prepared, chunk.fold, runs[at], loaded, config, device, chunk.protocol)
                write_chunk(out.path, chunk, out.hash, run_chunk(fold, chunk, config))
            bar.advance(note=chunk.name)
    if not shard:
        collect(prepared, loaded, out, config, grid, budgets, device, time.monotonic() - started)


def usable_runs(
    corpus: Corpus, paths: Sequence, loaded: Sequence, protocols: Sequence[str]
) -> dict[tuple[int, str], list[int]]:
    """(fold, protocol) -> the runs that met nothing of what is scored there; refused where there is none."""
    usable, missing = {}, {}
    for fold in corpus.folds:
        split = corpus.of_fold(fold)
        refuse_shared(split)
        for protocol in protocols:
            reasons = {i: leak_in(loaded[i][0], split) for i in of_protocol(loaded, protocol)}
            usable[fold, protocol] = [i for i, reason in reasons.items() if not reason]
            if usable[fold, protocol]:
                continue
            for i, reason in reasons.items():
                if loaded[i][0]["fold"] == fold:
                    raise UserError(f"{paths[i]}: {reason}; pretrain on this corpus's training recordings.")
            missing.setdefault(protocol, []).append(str(fold))
    for protocol, folds in missing.items():
        raise UserError(
            f"{corpus.folder}: no {protocol} run for fold {', '.join(folds)} was given; make one for each fold "
            "with `emo-ssl pretrain --fold all` and name them all."
        )
    return usable


def open_fold(prepared, number, runs, loaded, config, device, protocol: str = INDEPENDENT) -> Fold:
    """Everything that members of a fold share; `runs` says which of the loaded ones may be used here."""
    seen, normaliser = under(protocol, prepared.of_fold(number), config.enrolment)
    for split in ("train", "valid", "test"):
        if not len(seen.where(split)):
            raise UserError(f"{prepared.folder}: no labelled segment in the {split} split; check the folds.")
    runs = tuple((loaded[i][0]["seed"], encoder_of(loaded[i][1])) for i in runs)
    data = LabelledSegments.build(seen, normaliser, device, config.head)
    return Fold(number, seen, normaliser, data, EncoderConfig(**loaded[0][0]["encoder"]), runs, protocol)


def encoder_of(weights: State) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name.startswith("encoder.")}


def collect(prepared, loaded, out, config, grid, budgets, device, seconds: float) -> None:
    """Put the chunks together: predictions.npz, results.csv, provenance.json; refused where they are not comparable."""
    outcomes = {chunk: read_chunk(find(out.path, chunk, out.hash), out.hash) for chunk in grid}
    verdict = judge({chunk: outcome.record for chunk, outcome in outcomes.items()})
    scored = {
        at: under(at[1], prepared.of_fold(at[0]), config.enrolment)[0].where("test")
        for at in sorted({(chunk.fold, chunk.protocol) for chunk in grid})
    }
    items = items_of(prepared, {k: chosen for (k, protocol), chosen in scored.items() if protocol == INDEPENDENT})
    cells = assemble(outcomes, scored, items, config, loaded[0][0]["encoder"]["kind"])
    meta = meta_of(prepared, loaded, config, budgets)
    write_predictions(out.path, meta, items, cells)
    write_bytes(out.path / RESULTS, table(cells, items, config, runs_of(outcomes), prepared).encode())
    story = {
        "corpus": pretrain.named(prepared),
        "config": asdict(config),
        "pretraining": [
            {
                **{name: r[name] for name in ("fold", "seed", "held_out")},
                "protocol": r["config"]["protocol"],
                "commit": r["provenance"]["commit"],
            }
            for r, _ in loaded
        ],
        "fairness": verdict,
        "tuned_rates": {chunk.name: outcome.record.rate for chunk, outcome in outcomes.items()},
        "seconds_of_the_last_start": round(seconds, 1),
        **provenance(str(device)),
    }
    write_json(out.path / PROVENANCE, story)
