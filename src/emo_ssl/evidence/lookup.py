"""The numbers of a study's evidence, looked up by arm, label budget, measure and emotion.

Every function takes what `report.evaluate` returned, or the JSON of a recorded study, and looks at the main group: one
protocol, one backbone, one read-out.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from emo_ssl.core.metrics import BASELINES, OVERALL
from emo_ssl.core.normalise import PROTOCOLS
from emo_ssl.evidence.claims import SMALL
from emo_ssl.evidence.scores import ratio
from emo_ssl.study import grid

ARMS = ("scratch", "pretrained")
PAIR = ARMS[::-1]  # the first minus the second
RECIPES = ("pretrained", "contrast", "self-trained")  # what learns from speech without labels, and is not a control
RECIPE_LEDGER = "ledger_of_recipe"  # the claims, asked of ours
NAMES = {
    "scratch": "from scratch",
    "pretrained": "pretrained",
    "permuted": "shuffled weights",
    "scratch-4x": "from scratch, four times the steps",
    "pretrained-4x": "pretrained, four times the steps",
    "frozen-random": "frozen, random weights",
    "frozen-pretrained": "frozen, pretrained",
    "frozen-permuted": "frozen, shuffled weights",
    "statistics": "plain statistics",
    "pca": "principal components",
    "length": "length alone",
    "logistic": "logistic regression on statistics",
    "contrast": "contrast within speakers",
    "self-trained": "contrast, then self-training",
    "constants": "constants",
}
MEASURES = {
    "auroc": "AUROC of presence",
    "uar": "unweighted average recall",
    "mae": "mean absolute error",
    "acc4": "4-class accuracy",
    "ccc": "concordance",
    "balanced": "balanced accuracy",
}
SHORT = {**MEASURES, "auroc": "AUROC", "uar": "UAR", "mae": "MAE", "acc4": "accuracy", "ccc": "CCC"}
INTERVAL = ["estimate", "low", "high"]
ADJUSTED = [*INTERVAL, "p", "p_holm"]
BETTER, WORSE, NEITHER = "better", "worse", "neither clearly better nor clearly worse"
UNKNOWN = "not decided: too few replicates"
SIGNIFICANT = 0.05


def pick(evidence: dict, part: str, **wanted: object) -> pd.DataFrame:
    """The rows of `gains`, `levels`, `controls` or `label_efficiency` whose columns have the wanted values."""
    wanted = {**evidence["main"], **wanted}
    rows = [row for row in evidence[part] if all(row.get(name) == value for name, value in wanted.items())]
    always = ["against", "budget", "emotion", *ADJUSTED]
    found = pd.DataFrame(rows, columns=list(dict.fromkeys([*(rows[0] if rows else ()), *always])))
    numbers = [name for name in (*ADJUSTED, "skill", "labels") if name in found]
    return found.astype(dict.fromkeys(numbers, float))


def levels(evidence: dict, arm: str, metric: str, emotion: str = OVERALL) -> pd.DataFrame:
    """What an arm reaches, a row a budget."""
    return pick(evidence, "levels", arm=arm, metric=metric, emotion=emotion).sort_values("budget", ignore_index=True)


def level(evidence: dict, arm: str, metric: str, budget: int) -> float:
    """What an arm reaches with one budget; NaN where it was not run."""
    return float(levels(evidence, arm, metric).set_index("budget")["estimate"].get(budget, np.nan))


def gains(evidence: dict, metric: str, pair: Sequence[str] = PAIR) -> pd.DataFrame:
    """Paired differences, a row a budget; positive = the first of the pair is better, whatever the measure."""
    found = pick(evidence, "gains", arm=pair[0], against=pair[1], metric=metric, emotion=OVERALL)
    return found[found["budget"] != SMALL].sort_values("budget", ignore_index=True)


def gain(evidence: dict, arm: str, against: str, metric: str, budget: int | str = SMALL) -> pd.Series:
    """One arm minus another with one budget, or mean over the small ones; NaN where it was not run."""
    found = pick(evidence, "gains", arm=arm, against=against, metric=metric, emotion=OVERALL, budget=budget)
    return found.iloc[0] if len(found) else pd.Series(np.nan, ADJUSTED)


def small_gain(evidence: dict, metric: str) -> pd.Series:
    """Pretrained minus from scratch, mean over the small budgets; NaN where it was not run."""
    return gain(evidence, *PAIR, metric)


def emotion_levels(evidence: dict, arm: str, budget: int, metric: str) -> pd.DataFrame:
    """What an arm reaches with one budget, a row an emotion; NaN where it was not run."""
    found = pick(evidence, "levels", arm=arm, budget=budget, metric=metric)
    return found.set_index("emotion").reindex(evidence["target_names"])[INTERVAL]


def emotion_gains(evidence: dict, metric: str) -> pd.DataFrame:
    """Pretrained minus from scratch, mean over the small budgets, a row an emotion."""
    found = pick(evidence, "gains", arm=PAIR[0], against=PAIR[1], metric=metric, budget=SMALL)
    return found.set_index("emotion").reindex(evidence["target_names"])[ADJUSTED]


def outcome(row: pd.Series) -> str:
    """Whether the first of a pair is better, by the p-value that is adjusted for its family (Holm): the only rule."""
    if not np.isfinite(row["p_holm"]):
        return UNKNOWN
    if row["p_holm"] >= SIGNIFICANT:
        return NEITHER
    return BETTER if row["estimate"] > 0 else WORSE


def controls(evidence: dict) -> pd.DataFrame:
    """Pretrained minus each other arm, small budgets, headline: a row an arm, with its name and the outcome."""
    found = pick(evidence, "controls")
    order = {arm: i for i, arm in enumerate(arms_of(evidence))}
    found = found.sort_values("against", key=lambda arms: arms.map(order), ignore_index=True)
    found["name"] = [NAMES.get(arm, arm) for arm in found["against"]]
    found["outcome"] = [outcome(row) for _, row in found.iterrows()]
    return found


def efficiency(evidence: dict, arm: str = PAIR[0]) -> pd.DataFrame:
    """budget, labels, low, high, each with `…_beyond` = "less", "more" or None where it lies outside the study."""
    found = pick(evidence, "label_efficiency").sort_values("budget", ignore_index=True)
    found = found[found["arm"] == arm] if "arm" in found else found  # early evidence has one arm
    return found if len(found) else found.assign(text=pd.Series(dtype=object))


def metrics_of(evidence: dict) -> list[str]:
    """The headline, which no constant can win, and the paper's two."""
    return [evidence["headline"], "mae", "acc4"]


def arms_of(evidence: dict) -> list[str]:
    """The arms that were run, in the order in which we name them."""
    ran = {row["arm"] for row in evidence["levels"]}
    return [*(arm for arm in NAMES if arm in ran), *sorted(ran - set(NAMES))]


def arm_groups(evidence: dict) -> dict[str, list[str]]:
    """The arms in two groups, since one panel cannot show all of them; constants are drawn as a line."""
    tuned = [name for name, arm in grid.ARMS.items() if arm.kind == "finetune"]
    arms = [arm for arm in arms_of(evidence) if arm != "constants"]
    return {
        "the whole network learns": [arm for arm in arms if arm in tuned],
        "only a head learns": [arm for arm in arms if arm not in tuned],
    }


def unit(evidence: dict) -> str:
    """What a label is given to: whole recordings where each has a category, stretches of a longer one elsewhere."""
    return "clips" if evidence["category_names"] else "segments"


def baseline(evidence: dict, metric: str, emotion: str = OVERALL) -> float:
    """What a constant reaches: chance for the headlines, the best constant for MAE and accuracy; NaN if unknown."""
    if metric in ("auroc", "balanced"):
        return 0.5
    if metric == "uar":
        return 1 / max(len(evidence["category_names"]), 1)
    return evidence["floors"][emotion].get(metric, float("nan"))


def skill(metric: str, value: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """The share of the way from the best constant (0) to perfection (1); below 0 a constant is better."""
    value, floor = np.asarray(value, np.float64), np.asarray(floor, np.float64)
    # a constant that is already perfect leaves no room
    return ratio(floor - value, floor) if metric == "mae" else ratio(value - floor, 1 - floor)


def skills(evidence: dict, table: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    """emotion, budget, estimate, low, high: the share of the way from the best constant (0) to perfection (1).

    Out of results.csv, for arm and constant are scored on the same segments: what one seed has over the constant does
    not waver with the choice of test videos as the arm's own level does. So `low` and `high` are the extreme seeds.
    """
    wanted = {**evidence["main"], "arm": arm, "metric": metric}
    found = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    by_seed = found.groupby(["emotion", "budget", "seed"])["value"].mean()
    best = np.array([baseline(evidence, metric, emotion) for emotion, *_ in by_seed.index])
    shares = pd.Series(skill(metric, by_seed, best), by_seed.index).groupby(["emotion", "budget"])
    found = pd.DataFrame({"estimate": shares.mean(), "low": shares.min(), "high": shares.max()}).reset_index()
    return found[found["emotion"].isin(evidence["target_names"])]


def confusion(evidence: dict, arm: str, budget: int, of: str = "four_classes") -> np.ndarray:
    """Counts over all seeds, rows true, zeros where the arm was not run: (E, 4, 4), or (C, C) of "categories"."""
    found = [row[of] for row in evidence["confusion"] if (row["arm"], row["budget"]) == (arm, budget)]
    emotions, categories = len(evidence["target_names"]), len(evidence["category_names"])
    shape = (emotions, 4, 4) if of == "four_classes" else (categories, categories)
    return np.array(found[0] if found else np.zeros(shape), np.int64).reshape(shape)


def claim(evidence: dict, name: str) -> dict:
    return next(row for row in evidence["ledger"] if row["claim"] == name)


def of_recipe(evidence: dict) -> dict:
    """The evidence with the claims as they are of our recipe, so that any table shows those."""
    return {**evidence, "ledger": evidence[RECIPE_LEDGER]}


def under(evidence: dict, protocol: str) -> dict:
    """The evidence with another protocol as the main one, so that any table and figure shows that."""
    main = {**evidence["main"], "protocol": protocol}
    ran = {row["budget"] for row in evidence["levels"] if all(row[name] == value for name, value in main.items())}
    small = evidence["small_budgets"] if ran.issuperset(evidence["small_budgets"]) else []
    return {**evidence, "main": main, "budgets": sorted(ran), "small_budgets": small}


def protocols_of(evidence: dict) -> list[str]:
    return [name for name in PROTOCOLS if under(evidence, name)["budgets"]]


def losses(provenance: dict) -> pd.DataFrame:
    """A row a pretraining run: protocol, fold, seed, the model's loss on hidden frames, that of the reconstruction
    baselines, and by which share the model stays below interpolation."""
    rows = [
        {"protocol": run["protocol"], "fold": run["fold"], "seed": run["seed"], **run["held_out"]}
        for run in provenance["pretraining"]
    ]
    found = pd.DataFrame(rows, columns=["protocol", "fold", "seed", "model", *BASELINES])
    found["below"] = 1 - found["model"] / found[BASELINES[-1]]
    return found.sort_values(["protocol", "fold", "seed"], ascending=[False, True, True], ignore_index=True)


def rates_of(provenance: dict, arm: str) -> list[float]:
    """The learning rates that tuning chose for an arm in the main protocol, in all of its chunks and folds."""
    chunks, wanted = provenance["tuned_rates"].items(), rf"fold\d+-{PROTOCOLS[0]}-{re.escape(arm)}(-\d+)+"
    return sorted({rate for name, rate in chunks if re.fullmatch(wanted, name)})
