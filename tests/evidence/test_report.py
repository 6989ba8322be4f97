"""The evidence of simulated studies: planted effects are found, absent ones are not, equal arms differ by nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import simulated_predictions as simulated
from scipy import stats

from emo_ssl.core import metrics
from emo_ssl.evidence.claims import EvidenceConfig, Ledger, small_budgets
from emo_ssl.evidence.effects import Group, cells_of, compute, pairs
from emo_ssl.evidence.efficiency import ABOVE, BELOW, isotonic, label_efficiency, labels_needed, percentile
from emo_ssl.evidence.report import EVIDENCE, evaluate, table
from emo_ssl.study.predictions import Key, StudyPredictions
from emo_ssl.utils.io import UserError

QUICK = EvidenceConfig(draws=200)
MAIN = Group("speaker-independent", "transformer", "ordinal")
FLAT = (0.5, 0.5, 0.5, 0.5)
ARMS = ("scratch", "pretrained", "frozen-random", "frozen-pretrained", "frozen-permuted")


def verdicts(evidence: dict) -> dict[str, str]:
    return {claim["claim"]: claim["verdict"] for claim in evidence["ledger"]}


def reasons(evidence: dict) -> dict[str, str]:
    return {claim["claim"]: claim["reason"] for claim in evidence["ledger"]}


def gain(evidence: dict, budget: int | str, metric: str, emotion: str = "overall", against: str = "scratch") -> dict:
    (found,) = (
        r
        for r in evidence["gains"]
        if (r["arm"], r["against"], r["budget"], r["metric"], r["emotion"])
        == ("pretrained", against, budget, metric, emotion)
    )
    return found


def test_identical_arms_differ_by_exactly_nothing(tmp_path):
    same = tuple(("pretrained", "scratch", b) for b in simulated.BUDGETS)
    rising = (0.2, 0.4, 0.6, 1.2)
    evidence = evaluate(
        simulated.study(tmp_path, {"scratch": rising, "pretrained": rising}, categories=4, same=same), QUICK
    )
    for r in evidence["gains"]:
        assert (r["estimate"], r["low"], r["high"]) == (0, 0, 0)
        assert r["p"] == 1
    assert verdicts(evidence) == dict.fromkeys(("C1", "C2", "C3", "C4"), "not shown")
    assert reasons(evidence)["C1"].startswith("equivalent")
    for r in evidence["label_efficiency"]:
        assert (r["labels"], r["low"], r["high"]) == pytest.approx((r["budget"],) * 3)


def test_the_numbers_are_those_of_the_plain_measures(tmp_path):
    simulated.study(tmp_path, {"scratch": FLAT, "pretrained": (1, 1, 1, 1)}, categories=4)
    evidence = evaluate(tmp_path, QUICK)
    opened = StudyPredictions.open(tmp_path)
    truth = opened.items
    reached = {}
    for arm in ("scratch", "pretrained"):
        cell = opened.cell(simulated.key(arm, 28))
        seeds = range(6)
        positive = truth.targets > 0
        reached[arm] = {
            "mae": np.mean([metrics.mean_absolute_error(cell.intensity[s], truth.targets) for s in seeds]),
            "acc4": np.mean([cell.klass[s] == metrics.to_class(truth.targets) for s in seeds]),
            "auroc": np.mean([metrics.macro_auroc(cell.presence[s], positive)[0] for s in seeds]),
            "uar": np.mean([metrics.uar(cell.category[s].argmax(1), truth.category, 4) for s in seeds]),
        }
    for metric, sign in (("mae", -1), ("acc4", 1), ("auroc", 1), ("uar", 1)):
        found = gain(evidence, 28, metric)
        expected = sign * (reached["pretrained"][metric] - reached["scratch"][metric])
        assert found["estimate"] == pytest.approx(expected, abs=2e-6)
        assert np.mean(found["by_seed"]) == pytest.approx(expected, abs=2e-6)
        assert found["low"] < found["estimate"] < found["high"]
        assert (found["units"], found["seeds"]) == (24, 6)
        level = next(
            r
            for r in evidence["levels"]
            if (r["arm"], r["budget"], r["metric"], r["emotion"]) == ("scratch", 28, metric, "overall")
        )
        assert level["estimate"] == pytest.approx(reached["scratch"][metric], abs=2e-6)
    small = np.mean([gain(evidence, b, "uar")["estimate"] for b in (28, 70, 140)])
    assert gain(evidence, "small", "uar")["estimate"] == pytest.approx(small, abs=2e-6)
    counts = next(r for r in evidence["confusion"] if (r["arm"], r["budget"]) == ("scratch", 28))
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


def planted(folder, better, worse, **extra):
    """pretrained and frozen-pretrained have `better`, the others `worse`; at the full budget nothing differs."""
    strengths = {arm: (better if arm.endswith("pretrained") else worse,) * 4 for arm in ARMS}
    return simulated.study(folder, strengths, each=20, same=(("pretrained", "scratch", 560),), **extra)


def test_planted_gains_hold(tmp_path):
    better = np.array([1.0, 1, 1, 0.3, 0.3, 0.3])
    evidence = evaluate(planted(tmp_path, better, -1.0), QUICK)
    assert verdicts(evidence) == dict.fromkeys(("C1", "C2", "C3", "C4"), "holds"), reasons(evidence)
    for claim in evidence["ledger"]:
        assert all(part["met"] for part in claim["effects"])
    assert gain(evidence, "small", "auroc")["p_holm"] < 0.05
    control = next(r for r in evidence["controls"] if r["against"] == "frozen-random")
    assert control["low"] > 0 and control["budgets"] == [28, 70, 140]


def test_planted_losses_are_reversed(tmp_path):
    worse = np.array([-1.0, -1, -1, 0.3, 0.3, 0.3])
    evidence = evaluate(planted(tmp_path, worse, 1.0), QUICK)
    assert verdicts(evidence) == dict.fromkeys(("C1", "C2", "C3", "C4"), "reversed"), reasons(evidence)


def test_gains_below_the_best_constant_do_not_count(tmp_path):
    floors = {"overall": {"mae": 0.01, "acc4": 0.5}}
    evidence = evaluate(planted(tmp_path, 1.0, 0.2, floors=floors), QUICK)
    assert verdicts(evidence)["C1"] == "not shown"
    assert reasons(evidence)["C1"].startswith("below the floor: not met is mae over the best constant")
    level = next(r for r in evidence["levels"] if r["metric"] == "mae" and r["emotion"] == "overall")
    assert level["skill"] == pytest.approx((0.01 - level["estimate"]) / 0.01, abs=1e-3)


def test_a_reconstruction_that_loses_once_refutes_c4(tmp_path):
    losses = [{"masked": 0.8, "interpolation": 1.0}, {"masked": 1.01, "interpolation": 1.0}]
    evidence = evaluate(planted(tmp_path, 1.0, 0.2, pretraining={"losses": losses}), QUICK)
    assert verdicts(evidence)["C4"] == "not shown"
    assert "masked reconstruction" in reasons(evidence)["C4"]


@pytest.mark.parametrize(
    ("arms", "extra", "missing"),
    [
        (
            ("scratch",),
            {},
            {"C1": "pretrained against scratch", "C2": "pretrained", "C3": "pretrained", "C4": "frozen"},
        ),
        (("scratch", "pretrained"), {}, {"C4": "frozen-pretrained against frozen-random at 28, 70, 140 labels"}),
        (ARMS, {"pretraining": {"losses": []}}, {"C4": "no pretraining losses"}),
        (ARMS, {"pretraining": {"losses": [{"masked": None, "interpolation": 1.0}]}}, {"C4": "no pretraining"}),
        (ARMS, {"floors": {}}, {"C1": "no floors"}),
        (ARMS, {"full_budget": 999}, {"C2": "at 999 labels"}),
        (ARMS, {"full_budget": 70}, {"C2": "beyond the two smallest"}),
        (ARMS, {"target_names": ["joy", *simulated.EMOTIONS[1:]]}, {"C3": "no happy"}),
    ],
)
def test_what_was_not_run_is_not_shown(tmp_path, arms, extra, missing):
    folder = simulated.study(tmp_path, dict.fromkeys(arms, FLAT), units=6, seeds=2, **extra)
    evidence = evaluate(folder, replace(QUICK, draws=20))
    for claim, words in missing.items():
        assert verdicts(evidence)[claim] == "not shown"
        assert reasons(evidence)[claim].startswith("not run: ")
        assert words in reasons(evidence)[claim]
    assert table(evidence)


def test_too_few_small_budgets():
    assert small_budgets([280, 28, 7, 70, 140], QUICK) == [28, 70, 140]
    assert small_budgets([7, 14, 27, 28, 70], QUICK) == []
    assert small_budgets([], QUICK) == []


@pytest.mark.parametrize(("units", "seeds"), [(1, 3), (6, 1), (1, 1)])
def test_single_replicates_are_not_shown_and_never_crash(tmp_path, units, seeds):
    folder = simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=units, seeds=seeds, categories=3)
    evidence = evaluate(folder, replace(QUICK, draws=20))
    assert all(v == "not shown" for v in verdicts(evidence).values())
    assert all(r.startswith("too few replicates") for r in reasons(evidence).values())
    found = gain(evidence, 28, "uar")
    assert found["estimate"] is not None and found["low"] is None and found["p_holm"] is None
    assert "(no interval)" in table(evidence)
    assert evidence["label_efficiency"][0]["low"] is None


def test_an_empty_study(tmp_path):
    folder = simulated.study(tmp_path, {}, units=0, each=0, seeds=0)
    evidence = evaluate(folder, replace(QUICK, draws=5))
    assert evidence["gains"] == [] and evidence["items"] == 0
    assert set(verdicts(evidence).values()) == {"not shown"}
    assert "claims" in table(evidence)
    folder = simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=0, each=0, seeds=2)
    assert set(verdicts(evaluate(folder, replace(QUICK, draws=5))).values()) == {"not shown"}


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        evaluate(tmp_path)


def test_emotions_that_cannot_be_scored_leave_c3_undefined(tmp_path):
    simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=6)
    opened = StudyPredictions.open(tmp_path)
    opened.items.targets[:, 5] = 0
    effects = compute(opened, 20, 0)
    prevalence = dict(zip(simulated.EMOTIONS, (opened.items.targets > 0).mean(0), strict=True))
    claim = Ledger(effects, opened.meta, prevalence, QUICK).trio().judge()
    assert claim.verdict == "not shown"
    assert claim.reason.startswith("undefined")
    assert "not comparable" in claim.remarks[0]


def test_arms_are_compared_on_what_both_scored_seed_by_seed(tmp_path):
    rng = np.random.default_rng(0)
    truth = simulated.items(8, 6, rng)
    cells = {simulated.key(arm, 28): simulated.cell(truth, rng, 3, 0.5) for arm in ("scratch", "pretrained")}
    scratch = cells[simulated.key("scratch", 28)]
    scratch.intensity[0, ::2], scratch.presence[0, ::2], scratch.klass[0, ::2] = np.nan, np.nan, -1
    scratch.intensity[2], scratch.presence[2], scratch.klass[2] = np.nan, np.nan, -1
    simulated.write_predictions(tmp_path, simulated.meta(3), truth, cells)
    effects = compute(StudyPredictions.open(tmp_path), 50, 0)
    found = effects.gain(MAIN, "pretrained", "scratch", [28], "mae")
    both = cells[simulated.key("pretrained", 28)]
    expected = [
        np.abs(scratch.intensity[s, kept] - truth.targets[kept]).mean()
        - np.abs(both.intensity[s, kept] - truth.targets[kept]).mean()
        for s, kept in ((0, np.arange(1, 48, 2)), (1, np.arange(48)))
    ]
    assert found.by_seed[:2] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(found.by_seed[2]) and found.seeds == 2
    assert found.estimate == pytest.approx(np.mean(expected), abs=1e-6)


def test_arms_without_a_backbone_are_found_under_any_name():
    keys = [
        Key("speaker-independent", "gru", "pretrained", "ordinal", 28),
        Key("speaker-independent", "none", "pca", "ordinal", 28),
        Key("speaker-adapted", "none", "length", "ordinal", 28),
    ]
    assert {k: sorted(arms) for k, arms in cells_of(keys).items()} == {
        (Group("speaker-independent", "gru", "ordinal"), 28): ["pca", "pretrained"]
    }
    assert pairs(["pretrained", "pca", "scratch"]) == [("pretrained", "pca"), ("pretrained", "scratch")]
    assert pairs(["frozen-random", "frozen-pretrained"]) == [("frozen-pretrained", "frozen-random")]


def test_isotonic_pools_what_falls():
    assert isotonic(np.array([[1.0, 3, 2, 4], [4, 2, 0, 2], [1, 1, 1, 1]])) == pytest.approx(
        np.array([[1, 2.5, 2.5, 4], [2, 2, 2, 2], [1, 1, 1, 1]])
    )
    assert isotonic(np.ones((2, 1))).tolist() == [[1], [1]]


def test_labels_needed_by_hand():
    budgets = np.array([10.0, 100, 1000])
    curve = np.array([[0.1, 0.2, 0.4]])

    def needed(target, had=10, given=curve):
        return labels_needed(given, np.array([target]), budgets, had)[0]

    assert needed(0.15) == pytest.approx(10**1.5)
    assert needed(0.3) == pytest.approx(10**2.5)
    assert needed(0.2) == pytest.approx(100)
    assert needed(0.4) == pytest.approx(1000)
    assert needed(0.41) == ABOVE
    assert needed(0.09) == BELOW
    assert np.isnan(needed(np.nan))
    level = np.array([[0.2, 0.2, 0.4]])  # anything from 10 to 100 gives .2
    assert [needed(0.2, had, level) for had in (10, 50, 1000)] == pytest.approx([10, 50, 100])
    assert labels_needed(np.array([[0.3]]), np.array([0.3]), np.array([28.0]), 28) == pytest.approx([28])


def test_percentiles_are_rounded_outwards():
    values = np.array([1.0, np.nan, 3, ABOVE, BELOW, 2])
    assert percentile(values, 0.3, False) == 1.0
    assert percentile(values, 0.7, True) == 3.0
    assert percentile(values, 0.9, True) == ABOVE
    assert np.isnan(percentile(np.full(2, np.nan), 0.5, True))


def test_label_efficiency_covers_the_shift_of_the_curve(tmp_path):
    """Pretrained at a budget is as strong as scratch at the next one: it needs half the labels."""
    budgets = (28, 56, 112, 224)
    strengths = {"scratch": (0.1, 0.6, 1.1, 1.6), "pretrained": (0.6, 1.1, 1.6, 2.4)}
    covered, last = [], []
    for world in range(60):
        simulated.study(tmp_path, strengths, each=10, seeds=6, budgets=budgets, seed=world)
        rows = label_efficiency(compute(StudyPredictions.open(tmp_path), 200, world), MAIN)
        covered += [row.low <= 2 * row.budget <= row.high for row in rows[:2]]
        last.append(rows[3])
    assert np.mean(covered) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / len(covered))
    # above the full budget nobody knows
    assert all(row.labels == ABOVE and str(row).startswith("more than 224") for row in last)


def test_label_efficiency_in_the_file_is_clipped_to_the_budgets(tmp_path):
    simulated.study(tmp_path, {"scratch": (0, 0.5, 1, 1.5), "pretrained": (-1, 0.5, 1, 3)}, each=20)
    rows = evaluate(tmp_path, QUICK)["label_efficiency"]
    assert (rows[0]["labels"], rows[0]["labels_beyond"]) == (28, "less")
    assert rows[0]["text"].startswith("less than 28")
    assert (rows[3]["labels"], rows[3]["labels_beyond"]) == (560, "more")
    assert rows[1]["labels_beyond"] is None


def test_one_budget_gives_no_label_efficiency(tmp_path):
    simulated.study(tmp_path, {"scratch": (1,), "pretrained": (1,)}, budgets=(28,), units=4)
    assert label_efficiency(compute(StudyPredictions.open(tmp_path), 10, 0), MAIN) == []


def test_equal_positives_read_a_rare_emotion_at_more_labels(tmp_path):
    simulated.study(tmp_path, {"scratch": FLAT, "pretrained": (1.5, 1.0, 0.8, 0.5)})
    opened = StudyPredictions.open(tmp_path)
    ledger = Ledger(compute(opened, 50, 0), opened.meta, {}, QUICK)
    ran = list(simulated.BUDGETS)
    at = {b: ledger.gain([b], "auroc", "fear").estimate for b in ran}
    assert ledger.interpolated("fear", 70, ran).estimate == pytest.approx(at[70])
    half_way = ledger.interpolated("fear", np.sqrt(70 * 140), ran).estimate
    assert half_way == pytest.approx((at[70] + at[140]) / 2)
    ledger.prevalence = dict.fromkeys(simulated.EMOTIONS, 0.4) | {"fear": 0.1}
    # 28 and 70 labels have four times as many within the study, and so has 140: 560
    assert "(3 of 3 budgets)" in ledger.equal_positives()
    ledger.prevalence["fear"] = 0.04
    assert "(1 of 3 budgets)" in ledger.equal_positives()
    ledger.prevalence["fear"] = 0.0
    assert "not comparable" in ledger.equal_positives()


def test_claims_hold_in_null_worlds_no_more_often_than_allowed(tmp_path):
    """Exchangeable arms, so each claim that holds is a false alarm: its share is 5 % at most."""
    worlds = 100
    held = dict.fromkeys(("C1", "C2", "C3", "C4"), 0)
    for world in range(worlds):
        simulated.study(tmp_path, dict.fromkeys(ARMS, FLAT), units=12, each=8, seeds=5, seed=world)
        opened = StudyPredictions.open(tmp_path)
        prevalence = dict.fromkeys(simulated.EMOTIONS, 0.4)
        for claim in Ledger(compute(opened, 150, world), opened.meta, prevalence, QUICK).claims():
            held[claim.name] += claim.verdict == "holds"
    most = stats.binom.ppf(0.999, worlds, 0.05)
    assert all(count <= most for count in held.values()), held
