"""A small part of a recorded study computed anew: arms that need no pretraining, in fold 0, with two seeds."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.model import EncoderConfig
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.evidence import record
from emo_ssl.study.arms import Fold, run_chunk
from emo_ssl.study.collect import PROVENANCE, results
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.utils.io import read_json
from emo_ssl.utils.values import checked

ARMS, SEEDS = ("statistics", "length", "constants"), (0, 1)
WHERE = ["protocol", "arm", "fold", "budget", "seed", "emotion", "metric"]


def small_part(prepared: Corpus, folder: Path) -> pd.DataFrame:
    """WHERE, value_recorded, value_recomputed: a row for every number, at the smallest and the third smallest budget.

    folder: a recorded study; prepared: its corpus. Rates are those that were recorded: tuning is no part of this check.
    """
    story, table = read_json(folder / PROVENANCE), record.results(folder)
    config = checked(story["config"], StudyConfig, str(folder / PROVENANCE))
    seen = prepared.of_fold(0)
    normaliser = speaker_independent(seen)
    data = LabelledSegments.build(seen, normaliser, torch.device("cpu"), config.head)
    unused, no_run = EncoderConfig(features=len(prepared.feature_names)), (0, {})  # these arms have no backbone
    fold = Fold(0, seen, normaliser, data, unused, (no_run,))
    budgets = tuple(sorted(table["budget"].unique().tolist()))
    outcomes = {}
    for arm in ARMS:
        rate = story["tuned_rates"][Chunk(0, arm, budgets, SEEDS).name]
        chunk = Chunk(0, arm, budgets[:3:2], SEEDS)
        outcomes[chunk] = run_chunk(fold, chunk, replace(config, rates=(rate,)))
    again = results(outcomes, {(0, fold.protocol): seen.where("test")}, seen, config, "")
    return again[[*WHERE, "value"]].merge(table, on=WHERE, how="left", suffixes=("_recomputed", "_recorded"))
