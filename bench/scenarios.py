"""What the study finds in scenarios whose truth is known, and how often the ledger cries wolf where there is nothing.

python bench/scenarios.py                     100 null corpora with cheap arms, then each scenario once: half an hour
python bench/scenarios.py --null 0 --scenarios null dynamics       some of it
"""

import argparse
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import LabelledSegments
from emo_ssl.core.model import EncoderConfig
from emo_ssl.core.normalise import speaker_independent
from emo_ssl.core.pretrain import named, pretrain
from emo_ssl.corpora.mosei import prepare
from emo_ssl.corpora.synthetic import SCENARIOS, SynthConfig, write_corpus
from emo_ssl.evidence import lookup
from emo_ssl.evidence import report as evidence
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.study.arms import ArmTrainer, Fold, Outcome
from emo_ssl.study.collect import assemble, items_of
from emo_ssl.study.grid import Chunk, StudyConfig, budgets_of
from emo_ssl.study.predictions import write_predictions
from emo_ssl.study.run import run_study


def make(folder: Path, config: SynthConfig) -> Corpus:
    write_corpus(folder / "csd", config)
    files = [folder / "csd" / name for name in ("COVAREP.csd", "LABELS.csd", "folds.json")]
    prepared = prepare(*files, folder / "corpus")
    shutil.rmtree(folder / "csd")
    return prepared


def scenario_row(scenario: str, folder: Path, recordings: int, seed: int) -> dict:
    """Pretraining, study and evidence in one scenario: effects over small budgets with intervals, and the verdicts."""
    prepared = make(folder, SynthConfig(videos=recordings, scenario=scenario, seed=seed))
    run = pretrain([prepared], folder / "run", seed=seed)
    found = evidence.evaluate(run_study(prepared, [run], folder / "study").folder)

    def interval(row: dict | pd.Series) -> list[float]:
        return [round(row[name], 3) for name in ("estimate", "low", "high")]

    def curve(arm: str) -> dict[int, list[float]]:
        return {int(row["budget"]): interval(row) for _, row in lookup.levels(found, arm, "auroc").iterrows()}

    return {
        "scenario": scenario,
        "videos": recordings,
        "held_out": {name: round(value, 3) for name, value in run.result["held_out"].items()},
        "levels": {arm: curve(arm) for arm in ("scratch", "pretrained", "statistics")},
        "pretrained_over": {row["against"]: interval(row) for row in found["controls"]},
        "claims": {row["claim"]: row["verdict"] for row in found["ledger"]},
    }


def null_verdicts(folder: Path, seed: int, recordings: int) -> dict[str, str]:
    """The ledger of one null scenario in which two cheap arms stand in for scratch and pretrained."""
    prepared = make(folder, SynthConfig(videos=recordings, scenario="null", seed=seed))
    config = replace(StudyConfig(), rates=(1e-3,))
    normaliser, device = speaker_independent(prepared), torch.device("cpu")
    data = LabelledSegments.build(prepared, normaliser, device)
    no_run = (0, {})  # these arms have no encoder
    fold = Fold(0, prepared, normaliser, data, EncoderConfig(len(prepared.feature_names)), (no_run,))
    test, budgets = prepared.where("test"), budgets_of(config, len(prepared.where("train")))
    seeds, outcomes = tuple(range(config.seeds)), {}
    for role, arm in (("scratch", "length"), ("pretrained", "statistics")):
        chunk = Chunk(0, role, budgets, seeds)
        outcomes[chunk] = Outcome(*ArmTrainer(fold, arm, config).train(chunk.members, 1e-3, test))
    items = items_of(prepared, {0: test})
    floors = {"mae": 0.0, "acc4": 1.0}
    meta = {
        "target_names": list(prepared.target_names),
        "category_names": [],
        "headline": "auroc",
        "budgets": list(budgets),
        "full_budget": budgets[-1],
        "seeds": list(seeds),
        "corpus": named(prepared),
        "main": {"protocol": "speaker-independent", "backbone": "transformer", "readout": "ordinal"},
        "pretraining": {"losses": []},
        "floors": {"overall": floors, **dict.fromkeys(prepared.target_names, floors)},
    }
    write_predictions(
        folder, meta, items, assemble(outcomes, {(0, "speaker-independent"): test}, items, config, "transformer")
    )
    found = evidence.evaluate(folder, EvidenceConfig(draws=1000))
    return {row["claim"]: row["verdict"] for row in found["ledger"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--null", type=int, default=100, metavar="N", help="the ledger on N null corpora (default: 100)"
    )
    parser.add_argument("--scenarios", nargs="*", default=list(SCENARIOS), choices=list(SCENARIOS))
    parser.add_argument("--videos", type=int, default=160)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    verdicts: dict[str, Counter] = {}
    for seed in tqdm(range(options.null), "null scenarios"):
        with tempfile.TemporaryDirectory() as folder:
            for claim, verdict in null_verdicts(Path(folder), seed, 40).items():
                verdicts.setdefault(claim, Counter())[verdict] += 1
    if options.null:
        print(
            json.dumps({"null_scenarios": options.null, "verdicts": {c: dict(v) for c, v in verdicts.items()}}),
            flush=True,
        )
    for scenario in options.scenarios:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(scenario_row(scenario, Path(folder), options.videos, options.seed)), flush=True)


if __name__ == "__main__":
    main()
