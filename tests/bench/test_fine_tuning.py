"""Settings of fine-tuning: one moved at a time, both arms at each, test speakers unseen, and a stopped run goes on."""

from dataclasses import replace

import numpy as np
import pandas as pd
from training import write_acted_and_runs

from bench import fine_tuning
from bench.fine_tuning import ARMS, COLUMNS, RATES, UNREPORTED, main


def test_each_setting_is_moved_alone_and_a_stopped_run_goes_on(tmp_path, monkeypatch):
    corpus, runs = write_acted_and_runs(tmp_path)
    monkeypatch.setattr(fine_tuning, "BUDGETS", (4,))
    monkeypatch.setattr(fine_tuning, "SEEDS", 2)
    monkeypatch.setattr(fine_tuning, "USUAL", replace(fine_tuning.USUAL, steps=2, batch=2))
    monkeypatch.setattr(fine_tuning, "MOVED", {"layer_decay": (0.7, 0.0), "batch": (3,)})
    opened, trainers, trainer = [], [], fine_tuning.ArmTrainer
    monkeypatch.setattr(fine_tuning, "ArmTrainer", lambda *given: trainers.append(given) or trainer(*given))
    monkeypatch.setattr(fine_tuning, "headlines", lambda p, c, where: opened.append(where) or [0.75, 0.5])
    given = [str(corpus.folder), str(tmp_path / "out.csv"), str(runs[1])]
    found = main(given)
    assert found.columns.tolist() == COLUMNS and len(found) == 3 * len(ARMS) * len(RATES) * 2
    valid = corpus.of_fold(1).where("valid")
    assert found["budget"].unique().tolist() == [4] and found["uar"].unique().tolist() == [0.75, 0.5]
    assert found["seed"].unique().tolist() == [UNREPORTED, UNREPORTED + 1]
    assert all(np.array_equal(where, valid) for where in opened)
    settings = [config.finetune for _, arm, config in trainers if arm == "scratch"]
    assert settings == [replace(fine_tuning.USUAL, **moved) for moved in ({}, {"layer_decay": 0.0}, {"batch": 3})]
    pd.read_csv(tmp_path / "out.csv").iloc[:-4].to_csv(tmp_path / "out.csv", index=False)
    trainers.clear()
    again = main(given)
    assert [arm for _, arm, _ in trainers] == ["pretrained"] and again.astype(found.dtypes).equals(found)
