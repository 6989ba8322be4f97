"""Read-outs and metrics: what an arm said becomes intensities, classes and presence, and those become a table."""

from collections.abc import Iterator, Sequence

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.finetune import Scores
from emo_ssl.study.predictions import Cell

COLUMNS = (
    *("profile", "protocol", "backbone", "arm", "readout", "fold", "budget", "seed", "pretrain_seed"),
    *("emotion", "metric", "value"),
)


def read_out(scores: Scores, levels: Sequence[float]) -> Cell:
    """Scores of M members on n segments -> intensity, presence, class and category, each (M, n, …)."""
    if scores.above is not None:
        intensity = metrics.ordinal_median(scores.above, np.array(levels))
        klass = metrics.ordinal_mode(scores.above, np.array(levels))
        presence = metrics.ordinal_presence(scores.above, np.array(levels))
    else:
        intensity = np.clip(scores.intensity, 0, metrics.CEILING)
        klass, presence = metrics.to_class(intensity), scores.intensity
    category = None if scores.category is None else scores.category.astype(np.float32)
    return Cell(intensity.astype(np.float32), presence.astype(np.float32), klass.astype(np.int8), category)


ARRAYS = ("intensity", "presence", "klass", "category")


def of_each(cells: Sequence[Cell], work) -> Cell:
    """`work` on the list of each array of the cells; categories stay absent where they are."""
    lists = {name: [getattr(cell, name) for cell in cells] for name in ARRAYS}
    return Cell(**{name: None if arrays[0] is None else work(arrays) for name, arrays in lists.items()})


def concatenate(cells: Sequence[Cell]) -> Cell:
    """Members end to end."""
    return of_each(cells, np.concatenate)


def only(cell: Cell, items: np.ndarray) -> Cell:
    return of_each([cell], lambda arrays: arrays[0][:, items])


def constant_cell(train: np.ndarray, count: int, seeds: int, categories: np.ndarray | None) -> Cell:
    """The best an arm can do that only knows the training labels (N, E): their median, mode and share above 0."""

    def everywhere(row: np.ndarray, dtype: type) -> np.ndarray:
        return np.broadcast_to(row.astype(dtype), (seeds, count, len(row))).copy()

    classes = metrics.to_class(train)
    mode = np.array([np.bincount(classes[:, e], minlength=4).argmax() for e in range(train.shape[1])])
    return Cell(
        everywhere(np.median(train, 0), np.float32),
        everywhere((train > 0).mean(0), np.float32),
        everywhere(mode, np.int8),
        None if categories is None else everywhere(categories, np.float32),
    )


def cell_metrics(
    cell: Cell, s: int, targets: np.ndarray, category: np.ndarray, names: Sequence[str]
) -> Iterator[tuple[str, str, float]]:
    """(emotion or "overall", metric, value) of row s of a cell on items with targets (n, E) and category (n,)."""
    present = targets > 0
    mae = metrics.mean_absolute_error(cell.intensity[s], targets)
    acc4 = (cell.klass[s] == metrics.to_class(targets)).mean(0)
    ceiling = metrics.four_class_accuracy(cell.intensity[s], targets, metrics.to_class_ceiling)
    columns = {
        "mae": mae,
        "acc4": acc4,
        "acc4_ceiling": ceiling,
        "auroc": [metrics.auroc(cell.presence[s, :, e], present[:, e]) for e in range(len(names))],
        "ccc": [metrics.ccc(cell.intensity[s, :, e], targets[:, e]) for e in range(len(names))],
        "balanced_accuracy": [
            metrics.balanced_accuracy(cell.presence[s, :, e] > 0.5, present[:, e]) for e in range(len(names))
        ],
    }
    for metric, values in columns.items():
        for name, value in zip(names, values, strict=True):
            yield name, metric, float(value)
        known = np.array(values)[np.isfinite(values)]
        yield "overall", metric, float(known.mean()) if len(known) else float("nan")
    if cell.category is not None:
        known = category >= 0
        chosen = cell.category[s, known].argmax(-1)
        yield "overall", "uar", metrics.uar(chosen, category[known], cell.category.shape[-1])


def headline(cell: Cell, s: int, targets: np.ndarray, category: np.ndarray) -> float:
    """The measure that no constant wins: UAR where clips have a category, else macro-AUROC of presence."""
    if cell.category is not None:
        known = category >= 0
        return metrics.uar(cell.category[s, known].argmax(-1), category[known], cell.category.shape[-1])
    return metrics.macro_auroc(cell.presence[s], targets > 0)[0]
