"""The claims about simulated studies: planted effects are found, absent ones are not, and what is missing is named."""

from dataclasses import replace

import numpy as np
import pytest
import simulated_predictions as simulated
from scipy import stats

from emo_ssl.evidence import lookup
from emo_ssl.evidence.claims import EvidenceConfig, Ledger, small_budgets
from emo_ssl.evidence.effects import RECIPE, compute
from emo_ssl.evidence.report import evaluate, table
from emo_ssl.study.predictions import StudyPredictions

QUICK = EvidenceConfig(draws=200)
FLAT = (0.5, 0.5, 0.5, 0.5)
ARMS = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted")
CLAIMS = ("C1", "C2", "C3", "C4")
JOY, LEAST = ["joy", *simulated.EMOTIONS[1:]], {"mae": 5.0, "acc4": 0.0}


def verdicts(evidence: dict) -> dict[str, str]:
    return {claim["claim"]: claim["verdict"] for claim in evidence["ledger"]}


def reasons(evidence: dict) -> dict[str, str]:
    return {claim["claim"]: claim["reason"] for claim in evidence["ledger"]}


def planted(folder, better, worse, **extra) -> dict:
    """pretrained and frozen-pretrained have `better`, the others `worse`; at the full budget nothing differs."""
    strengths = {arm: (better if arm.endswith("pretrained") else worse,) * 4 for arm in ARMS}
    same = (("pretrained", "scratch", 560),)
    return evaluate(simulated.study(folder, strengths, each=20, same=same, **extra), QUICK)


@pytest.mark.slow
def test_planted_gains_hold_and_planted_losses_are_reversed(tmp_path):
    trio = np.array([1.0, 1, 1, 0.3, 0.3, 0.3])
    better = planted(tmp_path, trio, -1.0)
    assert verdicts(better) == dict.fromkeys(CLAIMS, "holds"), reasons(better)
    assert all(part["met"] for claim in better["ledger"] for part in claim["effects"])
    worse = planted(tmp_path, np.where(trio == 1, -1.0, 0.3), 1.0)
    assert verdicts(worse) == dict.fromkeys(CLAIMS, "reversed"), reasons(worse)


def test_the_claims_asked_of_another_recipe(tmp_path):
    strengths = {"scratch": FLAT, "pretrained": (0.9, 0.8, 0.7, 0.5), RECIPE: FLAT}
    copied = tuple((RECIPE, "pretrained", budget) for budget in simulated.BUDGETS)
    evidence = evaluate(simulated.study(tmp_path, strengths, same=copied), QUICK)
    of_recipe = lookup.of_recipe(evidence)["ledger"]
    assert of_recipe == evidence["ledger"][:3] and [row["claim"] for row in of_recipe] == ["C1", "C2", "C3"]
    (tmp_path / "alone").mkdir()
    alone = evaluate(simulated.study(tmp_path / "alone", {"pretrained": FLAT, RECIPE: FLAT}), QUICK)
    assert lookup.RECIPE_LEDGER not in alone


def test_identical_arms_are_equivalent(tmp_path):
    same = tuple(("pretrained", "scratch", b) for b in simulated.BUDGETS)
    strengths = {"scratch": FLAT, "pretrained": FLAT}
    evidence = evaluate(simulated.study(tmp_path, strengths, categories=4, same=same), QUICK)
    assert set(verdicts(evidence).values()) == {"not shown"} and reasons(evidence)["C1"].startswith("equivalent")


def test_gains_below_the_best_constant_do_not_count(tmp_path):
    best = {name: {"mae": 0.01, "acc4": 0.5} for name in ("overall", *simulated.EMOTIONS)}
    evidence = planted(tmp_path, 1.0, 0.2, floors=best)
    assert verdicts(evidence)["C1"] == "not shown"
    assert reasons(evidence)["C1"].startswith("below the constants: not met is mae over the best constant")
    level = next(r for r in evidence["levels"] if r["metric"] == "mae" and r["emotion"] == "overall")
    assert level["skill"] == pytest.approx((0.01 - level["estimate"]) / 0.01, abs=1e-3)


def test_a_reconstruction_that_loses_once_refutes_c4(tmp_path):
    losses = [{"protocol": "speaker-independent", "masked": m, "interpolation": 1.0} for m in (0.8, 1.01)]
    evidence = planted(tmp_path, 1.0, 0.2, pretraining={"losses": losses})
    assert verdicts(evidence)["C4"] == "not shown" and "masked reconstruction" in reasons(evidence)["C4"]


@pytest.mark.parametrize(
    ("arms", "extra", "missing"),
    [
        (("scratch",), {}, {**dict.fromkeys(CLAIMS[:3], "pretrained against scratch at"), "C4": "frozen"}),
        (("scratch", "pretrained"), {}, {"C4": "frozen-pretrained against frozen-random at 28, 70, 140 labels"}),
        (ARMS, {"full_budget": 999}, {"C2": "at 999 labels"}),
        (ARMS, {"target_names": JOY, "floors": dict.fromkeys(("overall", *JOY), LEAST)}, {"C3": "no happy"}),
    ],
)
def test_what_was_not_run_is_not_shown(tmp_path, arms, extra, missing):
    folder = simulated.study(tmp_path, dict.fromkeys(arms, FLAT), units=6, seeds=2, **extra)
    evidence = evaluate(folder, replace(QUICK, draws=20))
    for claim, words in missing.items():
        assert verdicts(evidence)[claim] == "not shown"
        assert reasons(evidence)[claim].startswith("not run: ") and words in reasons(evidence)[claim]
    assert table(evidence)


def test_too_few_small_budgets():
    assert small_budgets([280, 28, 7, 70, 140], QUICK) == [28, 70, 140]
    assert small_budgets([7, 14, 27, 28, 70], QUICK) == [] == small_budgets([], QUICK)


@pytest.mark.parametrize(("units", "seeds"), [(1, 3), (6, 1), (1, 1)])
def test_single_replicates_show_nothing(tmp_path, units, seeds):
    folder = simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=units, seeds=seeds, categories=3)
    evidence = evaluate(folder, replace(QUICK, draws=20))
    assert set(verdicts(evidence).values()) == {"not shown"}
    assert all(reason.startswith("too few replicates") for reason in reasons(evidence).values())
    assert "not decided: too few replicates" in table(evidence)
    assert evidence["label_efficiency"][0]["low"] is None
    gain = evidence["gains"][0]
    assert gain["estimate"] is not None and gain["low"] is None and gain["p_holm"] is None


def test_emotions_that_cannot_be_scored_leave_c3_undefined(tmp_path):
    simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=6)
    opened = StudyPredictions.open(tmp_path)
    opened.items.targets[:, 5] = 0
    prevalence = dict(zip(simulated.EMOTIONS, (opened.items.targets > 0).mean(0), strict=True))
    claim = Ledger(compute(opened, 20, 0), opened.meta, prevalence, QUICK).trio()
    verdict, reason = claim.verdict()
    assert verdict == "not shown" and reason.startswith("undefined")
    assert "not comparable" in claim.remarks[0]


def test_equal_positives_look_at_a_rare_emotion_with_more_labels(tmp_path):
    simulated.study(tmp_path, {"scratch": FLAT, "pretrained": (1.5, 1.0, 0.8, 0.5)})
    opened = StudyPredictions.open(tmp_path)
    ledger = Ledger(compute(opened, 50, 0), opened.meta, {}, QUICK)
    ran = list(simulated.BUDGETS)
    at = {b: ledger.gain([b], "auroc", "fear").estimate for b in ran}
    assert ledger.interpolated("fear", 70, ran).estimate == pytest.approx(at[70])
    half_way = ledger.interpolated("fear", np.sqrt(70 * 140), ran).estimate
    assert half_way == pytest.approx((at[70] + at[140]) / 2)
    # 28, 70 and 140 labels have four times as many within the study, which ends at 560; only 28 has ten times as many
    for share, words in ((0.1, "(3 of 3 budgets)"), (0.04, "(1 of 3 budgets)"), (0.0, "not comparable")):
        ledger.prevalence = dict.fromkeys(simulated.EMOTIONS, 0.4) | {"fear": share}
        assert words in ledger.equal_positives()


def test_positives_are_counted_where_labels_come_from_and_earlier_studies_count_those_of_test(tmp_path):
    rare = dict.fromkeys(simulated.EMOTIONS, 0.4) | {"fear": 0.04}
    strengths = {"scratch": FLAT, "pretrained": FLAT}
    told = evaluate(simulated.study(tmp_path, strengths, training_prevalence=rare), replace(QUICK, draws=20))
    assert told["training_prevalence"] == rare != told["prevalence"]
    assert "(1 of 3 budgets)" in told["ledger"][2]["remarks"][0]
    untold = evaluate(simulated.study(tmp_path, strengths), replace(QUICK, draws=20))
    assert untold["training_prevalence"] == untold["prevalence"] == told["prevalence"]
    assert "(3 of 3 budgets)" in untold["ledger"][2]["remarks"][0]


@pytest.mark.slow
def test_claims_hold_in_null_scenarios_no_more_often_than_allowed(tmp_path):
    """Exchangeable arms, so each claim that holds is a false alarm: its share is 5 % at most."""
    scenarios, held = 60, dict.fromkeys(CLAIMS, 0)
    for scenario in range(scenarios):
        simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=12, each=4, seeds=4, seed=scenario)
        opened = StudyPredictions.open(tmp_path)
        prevalence = dict.fromkeys(simulated.EMOTIONS, 0.4)
        for claim in Ledger(compute(opened, 80, scenario), opened.meta, prevalence, QUICK).claims():
            held[claim.name] += claim.verdict()[0] == "holds"
    assert max(held.values()) <= stats.binom.ppf(0.999, scenarios, 0.05), held
