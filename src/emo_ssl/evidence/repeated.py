"""A small part of a recorded study computed anew, beside what was recorded: arms that need no pretraining, one fold.

It takes seconds, so whoever has the recordings can see at once whether their corpus is the one that was studied.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core import pretrain
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.model import EncoderConfig
from emo_ssl.core.normalise import under
from emo_ssl.core.readout import scores_of
from emo_ssl.evidence import record as recorded
from emo_ssl.study.arms import Fold, run_chunk
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.study.run import PROVENANCE
from emo_ssl.utils.config import build
from emo_ssl.utils.io import UserError, read_json

FOLD, PROTOCOL = 0, "blind"
ARMS = ("statistics", "length", "constants")
SEEDS = 2
WHERE = ["arm", "budget", "seed", "emotion", "metric"]


def small_part(prepared: Corpus, folder: Path | str, seed: int = 0, device: str | None = None) -> pd.DataFrame:
    """arm, budget, seed, emotion, metric, recorded, recomputed, difference: a row for every number of fold 0, blind,
    two budgets, two seeds from `seed` on. `folder`: a recorded or a finished study; `segments`: its corpus."""
    story, table = read_json(Path(folder) / PROVENANCE), recorded.results(folder)
    refuse_another_corpus(prepared, story, folder)
    config = build(story["config"], StudyConfig, str(Path(folder) / PROVENANCE))
    ran = table[(table["fold"] == FOLD) & (table["protocol"] == PROTOCOL) & table["arm"].isin(ARMS)]
    seeds = [s for s in range(seed, seed + SEEDS) if s < config.seeds]
    budgets = sorted(ran["budget"].unique().tolist())[::2][:2]  # the smallest and the third smallest
    ran = ran[ran["seed"].isin(seeds) & ran["budget"].isin(budgets)]
    if not len(ran):
        raise UserError(
            f"{folder}: none of {', '.join(ARMS)} was run blind in fold {FOLD} with seed {seed}; take another."
        )
    fold = open_without_runs(prepared, config, device)
    again = [
        row
        for arm in (arm for arm in ARMS if arm in set(ran["arm"]))
        for row in rows(fold, Chunk(FOLD, arm, tuple(budgets), tuple(seeds)), config, story["tuned_rates"])
    ]
    found = ran[[*WHERE, "value"]].rename(columns={"value": "recorded"})
    found = found.merge(pd.DataFrame(again, columns=[*WHERE, "recomputed"]), on=WHERE, how="left")
    found["difference"] = found["recomputed"] - found["recorded"]
    return found


def refuse_another_corpus(prepared: Corpus, story: dict, folder: Path | str) -> None:
    """By its source, not by its hash: another processor may hear the last digit differently."""
    source = story["corpus"]["source"]
    if prepared.header["source"] != source:
        raise UserError(
            f"{prepared.folder}: it holds {prepared.header['source']}, while {folder} records a study of {source}; "
            "name a corpus made in the same way."
        )


def open_without_runs(prepared: Corpus, config: StudyConfig, device: str | None) -> Fold:
    seen, normaliser = under(PROTOCOL, prepared.of_fold(FOLD), config.enrolment)
    data = LabelledSegments.build(seen, normaliser, pretrain.device_named(device), config.head)
    unused = EncoderConfig(features=len(prepared.feature_names))
    no_run = (0, {})  # these arms never look at it
    return Fold(FOLD, seen, normaliser, data, unused, (no_run,), PROTOCOL)


def rows(fold: Fold, chunk: Chunk, config: StudyConfig, rates: dict[str, float]) -> list[tuple]:
    """What members of a chunk score. Their rate is the recorded one: tuning is a part of the study, not of a check."""
    name = f"fold{chunk.fold}-{chunk.protocol}-{chunk.arm}-"
    found = {rate for key, rate in rates.items() if key.startswith(name) and holds(key, name, chunk.budgets[0])}
    outcome = run_chunk(fold, chunk, replace(config, rates=tuple(found) or config.rates[:1]))
    test = fold.indices("test")
    targets, category = fold.prepared.targets[test], fold.prepared.segments.category[test].astype(np.int64)
    wanted = [(budget, seed) for budget in chunk.budgets for seed in chunk.seeds]
    return [
        (chunk.arm, budget, seed, *measured)
        for i, (budget, seed) in enumerate(wanted)
        for measured in scores_of(outcome.cell, i, targets, category, fold.prepared.target_names)
    ]


def holds(key: str, name: str, budget: int) -> bool:
    return str(budget) in key.removeprefix(name).split("-")


def headline_table(found: pd.DataFrame) -> pd.DataFrame:
    """Of a small part the overall numbers in the paper's measures and the headline; three columns each."""
    shown = found[(found["emotion"] == "overall") & found["metric"].isin(["uar", "mae", "acc4"])]
    return shown.drop(columns="emotion").reset_index(drop=True)


def largest_difference(found: pd.DataFrame) -> float:
    """NaN where a number is known on one side only, for that is a difference too."""
    one_sided = found["recorded"].isna() != found["recomputed"].isna()
    return float("nan") if one_sided.any() else float(found["difference"].abs().max())
