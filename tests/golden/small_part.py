"""A small part of a recorded study computed anew: arms that need no pretraining, in fold 0, with two seeds."""

from dataclasses import fields, replace
from pathlib import Path

import pandas as pd

from emo_ssl.core import pretrain
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.metrics import scores_of
from emo_ssl.core.model import EncoderConfig
from emo_ssl.core.normalise import PROTOCOLS, under
from emo_ssl.evidence import record
from emo_ssl.study.arms import Fold, run_chunk
from emo_ssl.study.collect import PROVENANCE
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.utils.config import build
from emo_ssl.utils.io import read_json

FOLD, PROTOCOL, SEEDS = 0, PROTOCOLS[0], (0, 1)
ARMS = ("statistics", "length", "constants")
WHERE = ["arm", "budget", "seed", "emotion", "metric"]


def small_part(prepared: Corpus, folder: Path | str, device: str | None = None) -> pd.DataFrame:
    """arm, budget, seed, emotion, metric, recorded, recomputed: a row for every number, with two of the budgets.

    folder: a recorded study; prepared: its corpus.
    """
    story, table = read_json(Path(folder) / PROVENANCE), record.results(folder)
    known = {field.name for field in fields(StudyConfig)}  # a study of an earlier version had more settings
    settings = {name: value for name, value in story["config"].items() if name in known}
    settings["finetune"].pop("score_tokens", None), settings["probe"].pop("score_tokens", None)
    config = build(settings, StudyConfig, str(Path(folder) / PROVENANCE))
    there = (table["fold"] == FOLD) & (table["protocol"] == PROTOCOL) & table["arm"].isin(ARMS)
    budgets = sorted(table["budget"][there].unique().tolist())[:3:2]  # the smallest and the third smallest
    ran = table[there & table["seed"].isin(SEEDS) & table["budget"].isin(budgets)]
    seen, normaliser = under(PROTOCOL, prepared.of_fold(FOLD), config.enrolment)
    data = LabelledSegments.build(seen, normaliser, pretrain.device_named(device), config.head)
    unused, no_run = EncoderConfig(features=len(prepared.feature_names)), (0, {})  # these arms have no backbone
    fold = Fold(FOLD, seen, normaliser, data, unused, (no_run,), PROTOCOL)
    again = [row for arm in ARMS for row in rows(fold, arm, tuple(budgets), config, story["tuned_rates"])]
    found = ran[[*WHERE, "value"]].rename(columns={"value": "recorded"})
    return found.merge(pd.DataFrame(again, columns=[*WHERE, "recomputed"]), on=WHERE, how="left")


def rows(fold: Fold, arm: str, budgets: tuple[int, ...], config: StudyConfig, rates: dict[str, float]) -> list[tuple]:
    """What an arm scores at the rate that was recorded: tuning is a part of the study, not of this check."""
    name = f"fold{FOLD}-{PROTOCOL}-{arm}-"
    chosen = {
        rate
        for chunk, rate in rates.items()
        if chunk.startswith(name) and str(budgets[0]) in chunk.removeprefix(name).split("-")
    }
    config = replace(config, rates=tuple(chosen) or config.rates[:1])
    outcome = run_chunk(fold, Chunk(FOLD, arm, budgets, SEEDS), config)
    test = fold.corpus.where("test")
    targets, category = fold.corpus.targets[test], fold.corpus.segments.category[test].astype(int)
    wanted = [(budget, seed) for budget in budgets for seed in SEEDS]
    return [
        (arm, budget, seed, *measured)
        for i, (budget, seed) in enumerate(wanted)
        for measured in scores_of(outcome.predictions, i, targets, category, fold.corpus.target_names)
    ]
