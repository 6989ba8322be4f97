"""The three sentences that a study ends in, for a recipe that wins, loses or ties, and for what cannot be compared."""

import simulated_predictions as simulated

from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.evidence.effects import pairs
from emo_ssl.evidence.report import evaluate, table
from emo_ssl.evidence.verdict import verdict

QUICK = EvidenceConfig(draws=200)
LOW, HIGH, TOP = (0.3, 0.4, 0.5, 0.6), (1.2, 1.3, 1.4, 1.5), (1.8, 1.9, 2.0, 2.1)


def evidence(folder, **strengths: tuple) -> dict:
    folder.mkdir(exist_ok=True)
    return evaluate(simulated.study(folder, strengths), QUICK)


def test_the_better_recipe_against_the_best_rival(tmp_path):
    found = evidence(tmp_path, scratch=LOW, statistics=HIGH, pretrained=HIGH, contrast=TOP)
    which, saved, worth = verdict(found)
    wanted = {"arm": "contrast", "metric": "auroc", "emotion": "overall"}
    reached = [r["estimate"] for r in found["levels"] if wanted.items() <= r.items() and r["budget"] < 560]
    assert which == (
        "What learns from speech without labels: contrast within speakers, the better of 2 recipes, reaches AUROC "
        f"{sum(reached) / 3:.3f} with few labels (mean over 28, 70, 140)."
    )
    assert "training from scratch needs more than 560 (more than 560 to more than 560)." in saved
    assert worth.startswith("It is worth it: +0.") and worth.endswith(
        "over plain statistics, the best of what learns from labels alone."
    )
    assert table(found).endswith(" ".join([which, saved, worth]))


def test_the_best_of_three_recipes(tmp_path):
    taught = {"self-trained": TOP}
    found = evidence(tmp_path, scratch=LOW, pretrained=LOW, contrast=HIGH, **taught)
    which, saved, _ = verdict(found)
    assert ": contrast, then self-training, the best of 3 recipes, reaches AUROC " in which
    assert "training from scratch needs more than 560" in saved
    compared = {(row["arm"], row["against"]) for row in found["gains"]}
    assert {("self-trained", "contrast"), ("self-trained", "scratch"), ("contrast", "scratch")} < compared


def test_the_classical_arms_are_compared_with_scratch_and_nothing_with_an_arm_that_did_not_run():
    assert pairs(["scratch", "statistics", "constants"]) == [("statistics", "scratch")]
    assert set(pairs(["logistic", "scratch", "statistics"])) == {("logistic", "scratch"), ("statistics", "scratch")}
    assert pairs(["scratch"]) == pairs([]) == []


def test_a_recipe_that_loses_and_one_that_is_no_different(tmp_path):
    worth = verdict(evidence(tmp_path / "loses", scratch=TOP, pretrained=LOW))[2]
    assert worth.startswith("It is not worth it: -0.")
    same = tuple(("pretrained", "scratch", b) for b in simulated.BUDGETS)
    tie = evaluate(simulated.study(tmp_path, {"scratch": HIGH, "pretrained": HIGH}, same=same), QUICK)
    which, saved, worth = verdict(tie)
    assert "the one recipe that was run" in which and "needs 28 (28 to 28)." in saved
    assert worth.startswith("That it is worth it is not shown: +0.000")


def test_without_scratch_nothing_is_said_of_labels(tmp_path):
    assert "not known" in verdict(evidence(tmp_path, logistic=LOW, contrast=HIGH))[1]


def test_nothing_to_compare(tmp_path):
    assert verdict(evidence(tmp_path / "alone", pretrained=HIGH)) == [
        "No verdict: it takes a recipe, a rival and the small budgets."
    ]
    few = evaluate(simulated.study(tmp_path, {"scratch": (1,), "pretrained": (1,)}, budgets=(28,)), QUICK)
    assert len(verdict(few)) == 1
