"""The claims of the recorded study, had the words of its labels been given other numbers.

    python results/ravdess/label_scales.py STUDY OUTPUT.json

RAVDESS says "normal" and "strong"; that these are intensities 2 and 3 is our convention. Classifiers learn only the
order of the levels, so another convention renames what they predicted and what is true, and nothing is trained again.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.metrics import Predictions
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.evidence.report import evaluate
from emo_ssl.study import collect
from emo_ssl.study.predictions import StudyPredictions, write_predictions
from emo_ssl.utils.io import write_json

SCALES = ((0, 1, 1, 2), (0, 1, 1, 3))  # what levels 0 to 3 become; normal is level 2, strong level 3
ARMS = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted")  # that claims speak of


def renamed(levels: np.ndarray, scale: Sequence[float]) -> np.ndarray:
    return np.asarray(scale, np.float32)[np.rint(levels).astype(np.int64)]


def rescaled(cell: Predictions, scale: Sequence[float]) -> Predictions:
    scored = cell.scored()[..., None]
    intensity = np.where(scored, renamed(np.nan_to_num(cell.intensity), scale), np.nan)
    klass = np.where(scored, metrics.to_class(np.asarray(scale))[np.maximum(cell.klass, 0)], -1)
    return replace(cell, intensity=intensity, klass=klass)


def baselines(targets: np.ndarray, fold: np.ndarray, names: Sequence[str]) -> dict:
    """The best constants of each fold's training items (neither `fold` nor the next one, which validates)."""
    best, count = [], int(fold.max()) + 1
    for k in range(count):
        train = ~np.isin(fold, (k, (k + 1) % count))
        best.append(collect.best_constants(metrics.constant_baselines(targets[train], targets[fold == k])))
    return collect.mean_best(best, names)


def ledger(study: Path | str, scale: Sequence[float], config: EvidenceConfig | None = None) -> list[dict]:
    """The claims about the predictions in `study` on another scale."""
    predictions = StudyPredictions.open(study)
    meta, items = predictions.meta, predictions.items
    targets = renamed(items.targets, scale)
    main = (meta["main"]["protocol"], meta["main"]["readout"])
    keys = [key for key in predictions.keys if key.arm in ARMS and (key.protocol, key.readout) == main]
    cells = {key: rescaled(predictions.cell(key), scale) for key in keys}
    meta = {**meta, "floors": baselines(targets, items.fold, meta["target_names"])}
    with tempfile.TemporaryDirectory() as folder:
        write_predictions(folder, meta, replace(items, targets=targets), cells)
        return evaluate(folder, config)["ledger"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Judge the claims with other numbers for normal and strong.")
    parser.add_argument("study", type=Path, help="folder of the finished study, with its predictions")
    parser.add_argument("output", type=Path, help="the JSON file to write")
    arguments = parser.parse_args()
    write_json(arguments.output, {",".join(map(str, scale)): ledger(arguments.study, scale) for scale in SCALES})
