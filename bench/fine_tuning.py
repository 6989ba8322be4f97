"""Which settings of fine-tuning matter? One moved at a time, with and without pretraining, on validation speakers.

    python bench/fine_tuning.py CORPUS OUTPUT.csv RUN [RUN ...]

Each pretraining run stands for its fold. Both arms start at every setting from the same labels and the same heads, are
trained at the usual two learning rates, and scored in UAR on validation speakers: test speakers are not looked at.
Rows are written as they are found, and a run that was stopped goes on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import FinetuneConfig
from emo_ssl.core.pretrain import PretrainedRun
from emo_ssl.study.arms import UNREPORTED, ArmTrainer, headlines
from emo_ssl.study.grid import StudyConfig
from emo_ssl.study.run import open_fold

ARMS, BUDGETS, SEEDS, RATES = ("scratch", "pretrained"), (28, 112), 5, (0.003, 0.01)
USUAL = FinetuneConfig(steps=400, batch=8, tokens=48, layer_decay=0.7)  # of the recorded study of RAVDESS
MOVED = {
    "layer_decay": (0.7, 0.0, 0.4, 1.0),  # 0: the encoder is frozen, 1: all layers learn equally fast
    "steps": (100, 800),
    "batch": (4, 16),
    "tokens": (24, 96),  # of a crop
}
COLUMNS = ["fold", "arm", "setting", "value", "rate", "budget", "seed", "uar"]


def main(given: Sequence[str] | None = None) -> pd.DataFrame:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    asked = parser.parse_args(given)
    corpus = Corpus.open(asked.corpus)
    rows = pd.read_csv(asked.output).to_numpy().tolist() if asked.output.exists() else []
    for run in map(PretrainedRun.open, asked.runs):
        fold = open_fold(corpus, run.result["fold"], [run], StudyConfig(), torch.device("cpu"))
        valid = fold.corpus.where("valid")
        members = [(size, UNREPORTED + seed) for size in BUDGETS for seed in range(SEEDS)]
        for setting, value in ((name, value) for name, values in MOVED.items() for value in values):
            for arm in ARMS:
                if [fold.number, arm, setting, value] in [row[:4] for row in rows]:
                    continue
                trainer = ArmTrainer(fold, arm, StudyConfig(finetune=replace(USUAL, **{setting: value})))
                for rate in RATES:
                    found = headlines(trainer.train(members, rate, valid)[0], fold.corpus, valid)
                    where = [fold.number, arm, setting, value, rate]
                    rows += [[*where, size, seed, uar] for (size, seed), uar in zip(members, found, strict=True)]
                pd.DataFrame(rows, columns=COLUMNS).to_csv(asked.output, index=False, float_format="%.4f")
                print(fold.number, setting, value, arm, flush=True)
    return pd.DataFrame(rows, columns=COLUMNS)


if __name__ == "__main__":
    main()
