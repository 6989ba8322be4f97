"""The evidence of simulated studies: its numbers are those of the plain measures, and the same every time."""

import json
from dataclasses import replace

import numpy as np
import pytest
import simulated_predictions as simulated

from emo_ssl.core import metrics
from emo_ssl.evidence.bootstrap import holm
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.evidence.report import EVIDENCE, evaluate
from emo_ssl.study.predictions import StudyPredictions

QUICK = EvidenceConfig(draws=200)
FLAT = (0.5, 0.5, 0.5, 0.5)


def rows(evidence: dict, part: str, **wanted: object) -> list[dict]:
    return [row for row in evidence[part] if all(row[name] == value for name, value in wanted.items())]


def test_identical_arms_differ_by_exactly_nothing(tmp_path):
    same = tuple(("pretrained", "scratch", b) for b in simulated.BUDGETS)
    rising = (0.2, 0.4, 0.6, 1.2)
    evidence = evaluate(simulated.study(tmp_path, {"scratch": rising, "pretrained": rising}, same=same), QUICK)
    for r in evidence["gains"]:
        assert (r["estimate"], r["low"], r["high"], r["p"]) == (0, 0, 0, 1)
    for r in evidence["label_efficiency"]:
        assert (r["labels"], r["low"], r["high"]) == pytest.approx((r["budget"],) * 3)


def test_the_numbers_are_those_of_the_plain_measures(tmp_path):
    simulated.study(tmp_path, {"scratch": FLAT, "pretrained": (1, 1, 1, 1)}, categories=4)
    evidence = evaluate(tmp_path, QUICK)
    opened = StudyPredictions.open(tmp_path)
    truth, reached = opened.items, {}
    for arm in ("scratch", "pretrained"):
        cell = opened.cell(simulated.key(arm, 28))
        positive = truth.targets > 0
        each = [
            {
                "mae": np.mean(metrics.mean_absolute_error(cell.intensity[s], truth.targets)),
                "acc4": np.mean(cell.klass[s] == metrics.to_class(truth.targets)),
                "auroc": metrics.macro_auroc(cell.presence[s], positive),
                "uar": metrics.uar(cell.category[s].argmax(1), truth.category, 4),
            }
            for s in range(6)
        ]
        reached[arm] = {metric: np.mean([scores[metric] for scores in each]) for metric in each[0]}
    for metric, sign in (("mae", -1), ("acc4", 1), ("auroc", 1), ("uar", 1)):
        where = {"budget": 28, "metric": metric, "emotion": "overall"}
        (found,) = rows(evidence, "gains", against="scratch", **where)
        expected = sign * (reached["pretrained"][metric] - reached["scratch"][metric])
        assert found["estimate"] == pytest.approx(expected, abs=2e-6) == np.mean(found["by_seed"])
        assert found["low"] < found["estimate"] < found["high"]
        assert (found["units"], found["seeds"]) == (24, 6)
        (level,) = rows(evidence, "levels", arm="scratch", **where)
        assert level["estimate"] == pytest.approx(reached["scratch"][metric], abs=2e-6)
    gains = rows(evidence, "gains", metric="uar")  # four budgets, which are a family, and the small ones by themselves
    assert gains[-1]["estimate"] == pytest.approx(np.mean([r["estimate"] for r in gains[:3]]), abs=2e-6)
    assert [r["p_holm"] for r in gains[:4]] == pytest.approx(holm([r["p"] for r in gains[:4]]), abs=4e-6)
    assert gains[-1]["budget"] == "small" and gains[-1]["p_holm"] == gains[-1]["p"]
    (counts,) = rows(evidence, "confusion", arm="scratch", budget=28)
    assert np.sum(counts["categories"]) == 6 * len(truth)
    assert np.array_equal(np.sum(counts["four_classes"], (1, 2)), np.full(6, 6 * len(truth)))


def test_the_file_is_what_was_returned_and_the_same_every_time(tmp_path):
    simulated.study(tmp_path, {"scratch": FLAT, "pretrained": FLAT})
    first = evaluate(tmp_path, QUICK)
    content = (tmp_path / EVIDENCE).read_bytes()
    assert json.loads(content) == first
    evaluate(tmp_path, QUICK)
    assert (tmp_path / EVIDENCE).read_bytes() == content
    assert evaluate(tmp_path, replace(QUICK, seed=1)) != first
