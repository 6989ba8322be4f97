"""A finished study as files that others read: predictions.npz, and results.csv with a row for every number."""

import csv
import io
from collections.abc import Mapping

import numpy as np

from emo_ssl.core import pretrain
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.metrics import best_floor, mean_floors
from emo_ssl.core.readout import Predictions, scores_of
from emo_ssl.study.arms import Outcome
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.study.predictions import Items, Key

COLUMNS = (
    *("profile", "protocol", "backbone", "arm", "readout", "fold", "budget", "seed", "pretrain_seed"),
    *("emotion", "metric", "value"),
)


def items_of(prepared: Corpus, tests: dict[int, np.ndarray]) -> Items:
    chosen = np.concatenate(list(tests.values()))
    recording = prepared.segments.recording[chosen]
    known = (prepared.recordings.speaker != "").all()
    unit = prepared.recordings.speaker[recording] if known else prepared.recordings.id[recording]
    fold = np.repeat(list(tests), [len(t) for t in tests.values()])
    return Items(chosen, unit, fold, prepared.targets[chosen], prepared.segments.category[chosen].astype(np.int64))


def runs_of(outcomes: Mapping[Chunk, Outcome]) -> dict[tuple[int, str, str, int], int]:
    """(fold, protocol, arm, seed) -> the seed of the pretraining run that the member began from."""
    return {
        (chunk.fold, chunk.protocol, chunk.arm, int(seed)): run
        for chunk, outcome in outcomes.items()
        for seed, run in outcome.record.pretrained_with.items()
    }


def assemble(
    outcomes: Mapping[Chunk, Outcome],
    scored: Mapping[tuple[int, str], np.ndarray],
    items: Items,
    config: StudyConfig,
    kind: str,
) -> dict[Key, Predictions]:
    """Chunks -> one cell a protocol, arm and budget, folds side by side, NaN where an item was not scored.

    `scored` holds the segments that (fold, protocol) tests: the adapted protocol leaves its enrolment out.
    """
    places = {at: np.flatnonzero((items.fold == at[0]) & np.isin(items.segment, s)) for at, s in scored.items()}
    cells: dict[Key, Predictions] = {}
    for chunk, outcome in outcomes.items():
        for i, size in enumerate(chunk.budgets):
            key = Key(chunk.protocol, kind, chunk.arm, config.head, size)
            cell = cells.setdefault(key, outcome.cell.map(lambda values: unscored(values, config.seeds, len(items))))
            rows = slice(i * len(chunk.seeds), (i + 1) * len(chunk.seeds))
            for name, values in outcome.cell.arrays().items():
                getattr(cell, name)[:, places[chunk.fold, chunk.protocol]] = values[rows]
    return cells


def unscored(like: np.ndarray, seeds: int, items: int) -> np.ndarray:
    return np.full((seeds, items, like.shape[-1]), -1 if like.dtype == np.int8 else np.nan, like.dtype)


def meta_of(prepared, loaded, config, budgets) -> dict:
    best = [best_floor(prepared.of_fold(k).constant_baselines("test")) for k in prepared.folds]
    losses = [
        {
            "protocol": result["config"]["protocol"],
            "fold": result.get("fold", 0),
            "pretrain_seed": result["seed"],
            "masked": result["held_out"]["model"],
            "interpolation": result["held_out"]["linear interpolation"],
            "previous": result["held_out"]["previous frame"],
            "mean": result["held_out"]["mean frame"],
        }
        for result, _ in loaded
    ]
    return {
        "target_names": list(prepared.target_names),
        "category_names": list(prepared.category_names),
        "headline": "uar" if prepared.category_names else "auroc",
        "budgets": list(budgets),
        "full_budget": budgets[-1],
        "seeds": list(range(config.seeds)),
        "corpus": pretrain.named(prepared),
        "main": {
            "protocol": "speaker-independent",
            "backbone": loaded[0][0]["encoder"]["kind"],
            "readout": config.head,
        },
        "pretraining": {"losses": losses},
        "floors": mean_floors(best, prepared.target_names),
    }


def table(
    cells: Mapping[Key, Predictions], items: Items, config: StudyConfig, runs: Mapping[tuple, int], prepared: Corpus
) -> str:
    """results.csv: a row a fold, budget, seed, emotion and metric, and nothing that changes when no result does."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    names = prepared.target_names
    for key, cell in sorted(cells.items()):
        of_key = (config.profile, key.protocol, key.backbone, key.arm, key.readout)
        for fold in np.unique(items.fold).tolist():
            here = np.flatnonzero((items.fold == fold) & cell.scored().all(0))
            part, targets, category = cell.take(here), items.targets[here], items.category[here]
            for s in range(config.seeds):
                row = (*of_key, fold, key.budget, s, runs.get((fold, key.protocol, key.arm, s), ""))
                for name, metric, value in scores_of(part, s, targets, category, names):
                    writer.writerow((*row, name, metric, "" if np.isnan(value) else f"{value:.6f}"))
    return text.getvalue()
