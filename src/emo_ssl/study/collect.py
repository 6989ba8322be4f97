"""What a study writes: its chunks one by one, and at the end predictions.npz, results.csv and provenance.json.

Chunks are what an interrupted study resumes from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import pandas as pd
import torch

from emo_ssl.core import metrics
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.kinds import Made
from emo_ssl.core.metrics import OVERALL, Predictions
from emo_ssl.core.normalise import INDEPENDENT, enrolled
from emo_ssl.core.pretrain import named
from emo_ssl.study.arms import Outcome
from emo_ssl.study.checks import TrainedWith, below_their_probe, check_fairness
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.study.predictions import Items, Key, StudyPredictions, read_predictions, write_predictions
from emo_ssl.utils import npz
from emo_ssl.utils.io import OutputFolder, UserError, read_json, write_bytes, write_json
from emo_ssl.utils.provenance import provenance
from emo_ssl.utils.values import read_csv

CHUNKS, RESULTS, PROVENANCE = "chunks", "results.csv", "provenance.json"
COLUMNS = (
    *("profile", "protocol", "backbone", "arm", "readout", "fold", "budget", "seed", "pretrain_seed"),
    *("emotion", "metric", "value"),
)


class ChunkMeta(TypedDict):
    study: str
    trained_with: TrainedWith


class Below(TypedDict):
    protocol: str
    arm: str
    budgets: list[int]


class Story(TypedDict):
    command: str
    corpus: Made
    below_their_probe: NotRequired[list[Below]]  # early studies have none


@dataclass(frozen=True)
class Study:
    """A study in its folder; printed, it shows the headline of each arm at the smallest and the full budget."""

    folder: Path

    def __str__(self) -> str:
        meta = StudyPredictions.open(self.folder).meta
        rows = read_results(self.folder / RESULTS)
        budgets, metric = [meta["budgets"][0], meta["full_budget"]], meta["headline"]
        chosen = rows[(rows["emotion"] == OVERALL) & (rows["metric"] == metric) & rows["budget"].isin(budgets)]
        table = chosen.pivot_table("value", ["protocol", "arm"], "budget").to_string(float_format="%.3f")
        below = [
            f"{row['arm']} at {', '.join(map(str, row['budgets']))} labels ({row['protocol']})"
            for row in read_json(self.folder / PROVENANCE, Story).get("below_their_probe", [])
        ]
        return (
            f"{self.folder}: {rows['arm'].nunique()} arms, budgets {', '.join(map(str, meta['budgets']))}, "
            f"{len(meta['seeds'])} seeds, {rows['fold'].nunique()} folds; mean {metric} on test segments:\n{table}"
            + (f"\nbelow their own frozen probe, so fine-tuning is at fault: {'; '.join(below)}" if below else "")
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


def read_results(path: Path) -> pd.DataFrame:
    return read_csv(path, COLUMNS, dtype={"fold": int, "budget": int, "seed": int, "value": float})


def file_of(folder: Path, chunk: Chunk) -> Path:
    return folder / CHUNKS / f"{chunk.name}.npz"


def write_chunk(folder: Path, chunk: Chunk, study_hash: str, outcome: Outcome) -> None:
    (folder / CHUNKS).mkdir(exist_ok=True)  # not before: a study that is refused leaves nothing
    meta = {"study": study_hash, "trained_with": asdict(outcome.trained_with)}
    npz.save(file_of(folder, chunk), outcome.predictions.arrays(), meta)


def read_chunk(path: Path, chunk: Chunk, study_hash: str, corpus: Corpus, items: int | None = None) -> Outcome:
    with npz.opened(path, "delete it and run the study again") as stored:
        meta = stored.meta(ChunkMeta)
        if meta["study"] != study_hash:
            raise UserError(f"{path}: belongs to a study of another configuration; delete it or choose another -o.")
        found = read_predictions(stored, "", len(chunk.members), items, corpus.header)
    return Outcome(found, meta["trained_with"])


def collect(
    corpus: Corpus,
    runs: Sequence[dict],
    out: OutputFolder,
    config: StudyConfig,
    grid: Sequence[Chunk],
    device: torch.device,
    seconds: float,
) -> None:
    """Put the chunks together; refused where they are not comparable. `runs`: what each pretraining run measured."""
    scored = {
        (fold, protocol): enrolled(protocol, corpus.of_fold(fold), config.enrolment)[0].where("test")
        for fold, protocol in sorted({(chunk.fold, chunk.protocol) for chunk in grid})
    }
    outcomes = {
        chunk: read_chunk(file_of(out.path, chunk), chunk, out.hash, corpus, len(scored[chunk.fold, chunk.protocol]))
        for chunk in grid
    }
    verdict = check_fairness({chunk: outcome.trained_with for chunk, outcome in outcomes.items()})
    items = items_of(corpus, {fold: chosen for (fold, protocol), chosen in scored.items() if protocol == INDEPENDENT})
    kind = runs[0]["encoder"]["kind"]
    cells = assemble(outcomes, scored, items, config, kind)
    meta = meta_of(corpus, runs, config, grid)
    write_predictions(out.path, meta, items, cells)
    table = results(outcomes, scored, corpus, config, kind)
    text = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_bytes(out.path / RESULTS, text.encode())
    story = {
        "corpus": named(corpus),
        "config": asdict(config),
        "pretraining": [
            {
                **{name: run[name] for name in ("fold", "seed", "held_out")},
                "protocol": run["config"]["protocol"],
                "commit": run["provenance"]["commit"],
            }
            for run in runs
        ],
        "fairness": verdict,
        "below_their_probe": below_their_probe(table, meta["headline"]),
        "tuned_rates": {chunk.name: outcome.trained_with.rate for chunk, outcome in outcomes.items()},
        "trials": {chunk.name: outcome.trained_with.trials for chunk, outcome in outcomes.items()},
        "seconds_of_the_last_start": round(seconds, 1),
        **provenance(str(device)),
    }
    write_json(out.path / PROVENANCE, story)


def items_of(corpus: Corpus, tests: Mapping[int, np.ndarray]) -> Items:
    """fold -> the segments that it tests, as one row each."""
    chosen = np.concatenate(list(tests.values()))
    recording = corpus.segments.recording[chosen]
    known = (corpus.recordings.speaker != "").all()
    unit = corpus.recordings.speaker[recording] if known else corpus.recordings.id[recording]
    fold = np.repeat(list(tests), [len(t) for t in tests.values()])
    return Items(chosen, unit, fold, corpus.targets[chosen], corpus.segments.category[chosen].astype(np.int64))


def assemble(
    outcomes: Mapping[Chunk, Outcome],
    scored: Mapping[tuple[int, str], np.ndarray],
    items: Items,
    config: StudyConfig,
    kind: str,
) -> dict[Key, Predictions]:
    """Chunks -> one cell a protocol, arm and budget, folds side by side, NaN where an item was not scored.

    `scored` holds the segments that (fold, protocol) tests: the speaker-adapted protocol leaves its enrolment out.
    """

    def nothing(like: np.ndarray) -> np.ndarray:
        return np.full((config.seeds, len(items), like.shape[-1]), metrics.unscored(like.dtype))

    places = {at: np.flatnonzero((items.fold == at[0]) & np.isin(items.segment, s)) for at, s in scored.items()}
    cells: dict[Key, Predictions] = {}
    for chunk, outcome in outcomes.items():
        for i, size in enumerate(chunk.budgets):
            key = Key(chunk.protocol, kind, chunk.arm, config.head, size)
            if key not in cells:
                cells[key] = outcome.predictions.map(nothing)
            rows = slice(i * len(chunk.seeds), (i + 1) * len(chunk.seeds))
            for name, values in outcome.predictions.arrays().items():
                getattr(cells[key], name)[:, places[chunk.fold, chunk.protocol]] = values[rows]
    return cells


Scores = dict[str, np.ndarray]  # {"mae", "acc4"} -> (E,)


def best_constants(baselines: dict[str, Scores]) -> Scores:
    """Of the constants the best, for each emotion and measure by itself."""
    rows = baselines.values()
    return {name: best([row[name] for row in rows], axis=0) for name, best in (("mae", np.min), ("acc4", np.max))}


def mean_best(best: Sequence[Scores], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The best constants of each fold -> {"overall" or emotion: {"mae", "acc4"}}, their means over the folds."""
    mean = {metric: np.mean([of_fold[metric] for of_fold in best], axis=0) for metric in ("mae", "acc4")}
    each = {name: {metric: float(values[e]) for metric, values in mean.items()} for e, name in enumerate(names)}
    return {"overall": {metric: float(values.mean()) for metric, values in mean.items()}, **each}


def meta_of(corpus: Corpus, runs: Sequence[dict], config: StudyConfig, grid: Sequence[Chunk]) -> dict:
    budgets = sorted({budget for chunk in grid for budget in chunk.budgets})
    folds = [corpus.of_fold(k) for k in corpus.folds]
    best = [best_constants(fold.constant_baselines("test")) for fold in folds]
    present = np.mean([(fold.targets[fold.where("train")] > 0).mean(0) for fold in folds], axis=0)
    losses = [
        {
            "protocol": run["config"]["protocol"],
            "fold": run["fold"],
            "pretrain_seed": run["seed"],
            "masked": run["held_out"]["model"],
            "interpolation": run["held_out"]["linear interpolation"],
        }
        for run in runs
    ]
    return {
        "target_names": list(corpus.target_names),
        "category_names": list(corpus.category_names),
        "headline": "uar" if corpus.category_names else "auroc",
        "budgets": budgets,
        "full_budget": budgets[-1],
        "seeds": list(range(config.seeds)),
        "corpus": named(corpus),
        "main": {"protocol": INDEPENDENT, "backbone": runs[0]["encoder"]["kind"], "readout": config.head},
        "pretraining": {"losses": losses},
        "floors": mean_best(best, corpus.target_names),
        "training_prevalence": dict(zip(corpus.target_names, present.tolist(), strict=True)),
    }


def results(
    outcomes: Mapping[Chunk, Outcome],
    scored: Mapping[tuple[int, str], np.ndarray],
    corpus: Corpus,
    config: StudyConfig,
    kind: str,
) -> pd.DataFrame:
    """A row a fold, budget, seed, emotion and metric, and nothing that changes when no result does."""
    rows = []
    for chunk, outcome in outcomes.items():
        segments = scored[chunk.fold, chunk.protocol]
        targets, category = corpus.targets[segments], corpus.segments.category[segments]
        for m, (size, seed) in enumerate(chunk.members):
            begun = outcome.trained_with.pretraining_seeds.get(str(seed), "")
            row = (config.profile, chunk.protocol, kind, chunk.arm, config.head, chunk.fold, size, seed, begun)
            found = scores_of(outcome.predictions, m, targets, category, corpus.target_names)
            rows += [(*row, *values) for values in found]
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["protocol", "arm", "budget", "fold", "seed"], kind="stable")


def scores_of(
    predictions: Predictions, member: int, targets: np.ndarray, category: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[str, str, float]]:
    """(emotion or "overall", metric, value) of one member on segments with targets (n, E) and category (n,)."""
    intensity, presence = predictions.intensity[member], predictions.presence[member]
    present, emotions = targets > 0, range(len(names))
    columns = {
        "mae": metrics.mean_absolute_error(intensity, targets),
        "acc4": (predictions.klass[member] == metrics.to_class(targets)).mean(0),
        "acc4_ceiling": metrics.four_class_accuracy(intensity, targets, metrics.to_class_ceiling),
        "auroc": [metrics.auroc(presence[:, e], present[:, e]) for e in emotions],
        "ccc": [metrics.ccc(intensity[:, e], targets[:, e]) for e in emotions],
        "balanced_accuracy": [metrics.balanced_accuracy(presence[:, e] > 0.5, present[:, e]) for e in emotions],
    }
    for metric, values in columns.items():
        for name, value in zip(names, values, strict=True):
            yield name, metric, float(value)
        yield OVERALL, metric, metrics.mean_of_known(values)
    if predictions.category is not None:
        scores = predictions.category[member]
        yield OVERALL, "uar", metrics.uar(scores.argmax(-1), category, scores.shape[-1])
