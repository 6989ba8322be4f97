"""Which layer of a speech encoder to read: a setting, chosen as rates are, on validation speakers and fold by fold.

A layer is scored by what the classical rival makes of it (`logistic.py`). No backbone of ours has a say, so that no arm
is favoured, and test speakers have none either.
"""

from pathlib import Path

import pandas as pd

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.normalise import ENROLMENT, PROTOCOLS, under
from emo_ssl.study.arms import tune
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.logistic import STRENGTHS, LogisticTrainer
from emo_ssl.utils.io import UserError, write_bytes
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.values import read_csv

COLUMNS = ("protocol", "fold", "layer", "strength", "score")


def layer_scores(corpus: Corpus, fold: int, protocol: str, enrolment: int = ENROLMENT) -> pd.DataFrame:
    """A row a layer and strength: the headline on validation segments, mean of a small and all labels."""
    config, rows = StudyConfig(), []
    for layer in corpus.layers:
        split, normaliser = under(protocol, corpus.layer(layer).of_fold(fold), enrolment)
        _, trials = tune(LogisticTrainer(split, normaliser, config), config, STRENGTHS)
        rows += [(protocol, fold, layer, trial["rate"], trial["score"]) for trial in trials]
    return pd.DataFrame(rows, columns=COLUMNS)


def choose(corpus: Corpus, output: Path, adapted: bool = False) -> pd.DataFrame:
    """Score every layer in every fold, with `adapted` under both protocols, and write the table."""
    if not corpus.layers:
        raise UserError(f"{corpus.folder}: holds no layers of a speech encoder; record it with --front-end NAME:1,2,3.")
    protocols, tables = PROTOCOLS[: 1 + adapted], []
    with Progress("layers", len(corpus.folds) * len(protocols), "folds") as bar:
        for protocol in protocols:
            for fold in corpus.folds:
                tables.append(layer_scores(corpus, fold, protocol))
                bar.advance()
    table = pd.concat(tables, ignore_index=True)
    write_bytes(output, table.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())
    return best_of(table)


def best_of(table: pd.DataFrame) -> pd.DataFrame:
    """The row of the best layer of each protocol and fold; of equals the first."""
    return table.loc[table.groupby(["protocol", "fold"])["score"].idxmax()].reset_index(drop=True)


def best(path: Path, fold: int, protocol: str, around: int = 0) -> int | tuple[int, ...]:
    """The layer that a table of `choose` gives to a fold; with `around` so many of the table on each side of it too."""
    table = read_csv(path, COLUMNS, dtype={"fold": int, "layer": int, "score": float})
    if (table["layer"] < 0).any():
        raise UserError(f"{path}: its layer {table['layer'].min()} is below 0; make it with `emo-ssl corpus layers`.")
    chosen = best_of(table[(table["fold"] == fold) & (table["protocol"] == protocol) & table["score"].notna()])
    if chosen.empty:
        raise UserError(f"{path}: no layer for fold {fold}, {protocol}; make it with `emo-ssl corpus layers`.")
    layer = int(chosen["layer"].iloc[0])
    if not around:
        return layer
    there = sorted(set(map(int, table["layer"])))
    place = there.index(layer)
    return tuple(there[max(0, place - around) : place + around + 1])
