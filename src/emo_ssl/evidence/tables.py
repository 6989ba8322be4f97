"""A study's evidence as tables: what figures draw and what stands beside them, from the evidence JSON alone.

Every function takes what `evidence.evaluate` returned or what a recorded evidence.json holds, and looks at the main
group: one protocol, one backbone, one read-out.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from emo_ssl.study import grid

ALL, SMALL = "overall", "small"
ARMS = ("scratch", "pretrained")
PAIR = ARMS[::-1]  # the first minus the second
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
SHORT = {
    "auroc": "AUROC",
    "uar": "UAR",
    "mae": "MAE",
    "acc4": "accuracy",
    "ccc": "CCC",
    "balanced": "balanced accuracy",
}
INTERVAL = ["estimate", "low", "high"]


def pick(evidence: dict, part: str, **wanted: object) -> pd.DataFrame:
    """The rows of `gains`, `levels`, `controls` or `label_efficiency` whose columns have the wanted values."""
    wanted = {**evidence["main"], **wanted}
    rows = [row for row in evidence.get(part, []) if all(row.get(name) == value for name, value in wanted.items())]
    found = pd.DataFrame(rows, columns=list(dict.fromkeys([*(rows[0] if rows else ()), "budget", *INTERVAL])))
    numbers = [name for name in (*INTERVAL, "p", "p_holm", "skill", "labels") if name in found]
    found[numbers] = found[numbers].astype(float)
    return found


def levels(evidence: dict, arm: str, metric: str, emotion: str = ALL) -> pd.DataFrame:
    """What an arm reaches, a row a budget."""
    return pick(evidence, "levels", arm=arm, metric=metric, emotion=emotion).sort_values("budget", ignore_index=True)


def gains(evidence: dict, metric: str, emotion: str = ALL, pair: Sequence[str] = PAIR) -> pd.DataFrame:
    """Paired differences, a row a budget; positive = the first of the pair is better, whatever the measure."""
    found = pick(evidence, "gains", arm=pair[0], against=pair[1], metric=metric, emotion=emotion)
    return found[found["budget"] != SMALL].sort_values("budget", ignore_index=True)


def small_gain(evidence: dict, metric: str, emotion: str = ALL, pair: Sequence[str] = PAIR) -> pd.Series:
    """The mean paired difference over the small budgets; NaN where it was not run."""
    found = pick(evidence, "gains", arm=pair[0], against=pair[1], metric=metric, emotion=emotion, budget=SMALL)
    return found.iloc[0] if len(found) else pd.Series(dict.fromkeys([*INTERVAL, "p", "p_holm"], np.nan))


def metrics_of(evidence: dict) -> list[str]:
    """The headline, which no constant can win, and the paper's two."""
    return [evidence["headline"], "mae", "acc4"]


def arms_of(evidence: dict) -> list[str]:
    """The arms that were run, in the order in which we name them."""
    ran = {row["arm"] for row in evidence["levels"]}
    return [*(arm for arm in NAMES if arm in ran), *sorted(ran - set(NAMES))]


def models_of(evidence: dict) -> list[str]:
    """The arms that hear something; what constants reach is drawn as the floor."""
    return [arm for arm in arms_of(evidence) if arm != "constants"]


def arm_groups(evidence: dict) -> dict[str, list[str]]:
    """The models in two groups that are easier to look at than all of them in one panel."""
    tuned = [name for name, arm in grid.ARMS.items() if arm.kind == "finetune"]
    arms = models_of(evidence)
    return {
        "the whole network learns": [arm for arm in arms if arm in tuned],
        "only a head learns": [arm for arm in arms if arm not in tuned],
    }


def unit(evidence: dict) -> str:
    """What a label is given to: whole recordings where each has a category, stretches of a longer one elsewhere."""
    return "clips" if evidence["category_names"] else "segments"


def floor(evidence: dict, metric: str, emotion: str = ALL) -> float:
    """What a constant reaches: chance for the headlines, the best constant for MAE and accuracy; NaN if unknown."""
    if metric in ("auroc", "balanced"):
        return 0.5
    if metric == "uar":
        return 1 / max(len(evidence["category_names"]), 1)
    value = evidence.get("floors", {}).get(emotion, {}).get(metric)
    return float("nan") if value is None else value


def number(value: float, sign: bool = False, digits: int = 3) -> str:
    """Rounded, with a sign where it is a difference, and never "-0.000"."""
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def interval(row: pd.Series, sign: bool = False, digits: int = 3) -> str:
    """`0.612 (0.590 to 0.630)`, with a sign where it is a difference."""
    estimate, low, high = (number(row[name], sign, digits) for name in INTERVAL)
    if not np.isfinite(row["estimate"]):
        return "–"
    return f"{estimate} ({low} to {high})" if np.isfinite(row["low"]) else estimate


def cell(row: pd.Series, sign: bool = False, digits: int = 3) -> str:
    """An interval for a table: if its line has to break, then before the bracket."""
    words = interval(row, sign, digits).split(" ", 1)
    return " ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in words)


def outcome(row: pd.Series) -> str:
    """What an interval of a paired difference says, in words that follow "pretraining is"."""
    if not np.isfinite([row["low"], row["high"]]).all():
        return "not judged, for want of replicates"
    return "better" if row["low"] > 0 else "worse" if row["high"] < 0 else "neither clearly better nor clearly worse"


def level_table(evidence: dict, metric: str, arms: Sequence[str] = ARMS, emotion: str = ALL) -> pd.DataFrame:
    """The twin of curves: a row a budget, a column an arm, and the floor."""
    columns = {}
    for arm in arms:
        found = levels(evidence, arm, metric, emotion).set_index("budget")
        columns[NAMES.get(arm, arm)] = found.apply(cell, axis=1) if len(found) else pd.Series(dtype=object)
    table = pd.DataFrame(columns).reindex(evidence["budgets"])
    table["floor"] = f"{floor(evidence, metric, emotion):.3f}"
    return table


def gain_table(evidence: dict, metrics: Sequence[str]) -> pd.DataFrame:
    """The twin of paired differences: a row a budget and one for the small ones together."""
    table = {}
    for metric in metrics:
        found = gains(evidence, metric)
        column = {row["budget"]: cell(row, sign=True) for _, row in found.iterrows()}
        column["small ones"] = cell(small_gain(evidence, metric), sign=True)
        table[SHORT[metric]] = column
    return pd.DataFrame(table).reindex([*evidence["budgets"], "small ones"])


def controls(evidence: dict) -> pd.DataFrame:
    """The pretrained arm over each other arm, small budgets, headline; in the order of the arms."""
    found = pick(evidence, "controls")
    order = {arm: i for i, arm in enumerate(arms_of(evidence))}
    return found.sort_values("against", key=lambda arms: arms.map(order), ignore_index=True) if len(found) else found


def control_table(evidence: dict) -> pd.DataFrame:
    found = controls(evidence)
    rows = [
        (NAMES.get(row["against"], row["against"]), cell(row, sign=True), p_value(row["p_holm"]), outcome(row))
        for _, row in found.iterrows()
    ]
    return pd.DataFrame(rows, columns=["pretrained against", "difference", "p (Holm)", "pretrained is"])


def hardest_rival(evidence: dict) -> dict[str, str]:
    """Over which arm the pretrained one gains least: its name, the difference, and what its interval says."""
    found = controls(evidence).dropna(subset="estimate")
    if not len(found):
        return {"rival": "none", "rival_by": "–", "rival_is": "not judged, for want of small budgets"}
    least = found.loc[found["estimate"].idxmin()]
    name = NAMES.get(least["against"], least["against"])
    return {"rival": name, "rival_by": interval(least, sign=True), "rival_is": outcome(least)}


def efficiency(evidence: dict) -> pd.DataFrame:
    """budget, labels, low, high, each with `…_beyond` = "less", "more" or None where it lies outside the study."""
    found = pick(evidence, "label_efficiency").drop(columns="estimate")
    return found.sort_values("budget", ignore_index=True)


def efficiency_table(evidence: dict) -> pd.DataFrame:
    found = efficiency(evidence)
    rows = zip(found["budget"], found["text"], strict=True) if len(found) else []
    return pd.DataFrame(rows, columns=["labels, pretrained", "labels from scratch for the same (interval)"])


def emotion_levels(evidence: dict, arm: str, budget: int, metric: str) -> pd.DataFrame:
    """What an arm reaches at one budget, a row an emotion; NaN where it was not run."""
    rows = {}
    for emotion in evidence["target_names"]:
        found = levels(evidence, arm, metric, emotion)
        found = found[found["budget"] == budget]
        rows[emotion] = found.iloc[0][INTERVAL] if len(found) else dict.fromkeys(INTERVAL, np.nan)
    return pd.DataFrame(rows).T.astype(float)


def emotion_gains(evidence: dict, metric: str) -> pd.DataFrame:
    """The mean paired difference over the small budgets, a row an emotion."""
    rows = {emotion: small_gain(evidence, metric, emotion) for emotion in evidence["target_names"]}
    return pd.DataFrame(rows).T.reindex(columns=[*INTERVAL, "p", "p_holm"]).astype(float)


def emotion_table(evidence: dict, metrics: Sequence[str]) -> pd.DataFrame:
    """The twin of the forest plot."""
    columns = {SHORT[m]: emotion_gains(evidence, m).apply(cell, axis=1, sign=True) for m in metrics}
    return pd.DataFrame(columns)


def skills(evidence: dict, table: pd.DataFrame, arm: str, metric: str) -> pd.DataFrame:
    """emotion, budget, estimate, low, high: the share of the way from the best constant (0) to perfection (1).

    Out of results.csv, for arm and constant are scored on the same segments: what one seed has over the constant does
    not waver with the choice of test videos as the arm's own level does. So `low` and `high` are the extreme seeds.
    """
    of_arm = (table["arm"] == arm) & (table["metric"] == metric)
    group = [table[name] == evidence["main"][name] for name in ("protocol", "backbone", "readout")]
    found = table[np.logical_and.reduce([of_arm, *group])]
    by_seed = found.groupby(["emotion", "budget", "seed"])["value"].mean()
    best = by_seed.index.get_level_values("emotion").map(lambda emotion: floor(evidence, metric, emotion))
    room, sign = (best, -1) if metric == "mae" else (1 - best, 1)
    skill = (sign * (by_seed - best) / np.where(room > 0, room, np.nan)).groupby(["emotion", "budget"])
    ends = pd.DataFrame({"estimate": skill.mean(), "low": skill.min(), "high": skill.max()}).reset_index()
    return ends[ends["emotion"].isin(evidence["target_names"])]


def ends(values: pd.Series) -> tuple[str, str]:
    """The names of the least and the largest value; "none" where no value is known."""
    known = values.dropna()
    return (str(known.idxmin()), str(known.idxmax())) if len(known) else ("none", "none")


def skill_table(evidence: dict, table: pd.DataFrame, arm: str, budget: int) -> pd.DataFrame:
    """The twin of the plot of skills: an emotion's floor and skill in both of the paper's measures."""
    columns = {}
    for metric in ("mae", "acc4"):
        found = skills(evidence, table, arm, metric)
        found = found[found["budget"] == budget].set_index("emotion")
        columns[f"best constant, {SHORT[metric]}"] = {
            e: f"{floor(evidence, metric, e):.3f}" for e in evidence["target_names"]
        }
        columns[f"skill, {SHORT[metric]}"] = found.apply(cell, axis=1, sign=True, digits=2)
    return pd.DataFrame(columns).reindex(evidence["target_names"])


def confusion(evidence: dict, arm: str, budget: int) -> np.ndarray:
    """Counts over all seeds (E, 4, 4), rows true; zeros where the arm was not run there."""
    found = [row for row in evidence["confusion"] if (row["arm"], row["budget"]) == (arm, budget)]
    return np.array(found[0]["four_classes"]) if found else np.zeros((len(evidence["target_names"]), 4, 4), int)


def recall_table(evidence: dict, arm: str, budget: int) -> pd.DataFrame:
    """The twin of the confusions: how many of each true class were recognised."""
    counts = confusion(evidence, arm, budget)
    totals, hits = counts.sum(2), np.diagonal(counts, axis1=1, axis2=2)
    cells = [[f"{h} of {n}" for h, n in zip(*rows, strict=True)] for rows in zip(hits, totals, strict=True)]
    return pd.DataFrame(cells, evidence["target_names"], [f"class {c}" for c in range(4)])


def claim(evidence: dict, name: str) -> dict:
    return next(row for row in evidence["ledger"] if row["claim"] == name)


def claim_table(evidence: dict, *names: str) -> pd.DataFrame:
    """What each claim required and what was found."""
    rows = []
    for name in names:
        for part in claim(evidence, name)["effects"]:
            row = pd.Series({key: np.nan if part[key] is None else part[key] for key in INTERVAL})
            found = "not computable" if part["met"] is None else "yes" if part["met"] else "no"
            required = part["required"].replace(">=", "≥")
            rows.append((name, in_words(part["name"]), cell(row, sign=True), required, found))
    return pd.DataFrame(rows, columns=["claim", "effect", "found", "required", "met"])


def in_words(effect: str) -> str:
    """`mae gain, happy` -> `gain in MAE, happy`: an effect's name in the ledger without the codes of the metrics."""
    metric, _, rest = effect.partition(" ")
    if metric not in SHORT:
        return effect
    if rest.startswith("gain"):
        return f"gain in {SHORT[metric]}{rest.removeprefix('gain')}"
    return f"{SHORT[metric]} {rest.replace('over', 'ahead of')}"


def ledger_table(evidence: dict, *names: str) -> pd.DataFrame:
    """A line a claim: the verdict, its reason, and how many of its requirements are met; `claim_table` lists them."""
    rows = []
    for found in (claim(evidence, name) for name in names):
        met = [bool(part["met"]) for part in found["effects"]]
        count = f"{sum(met)} of {len(met)}" if met else "–"
        rows.append((found["claim"], found["title"], found["verdict"], short_reason(found), count))
    return pd.DataFrame(rows, columns=["claim", "what it says", "verdict", "why", "met"])


def p_value(p: float) -> str:
    """Three decimals, for no p-value is 0."""
    return "–" if not np.isfinite(p) else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def short_reason(found: dict) -> str:
    """Why a claim got its verdict, in a word or two: the rest stands in its table."""
    if found["verdict"] == "reversed":
        return "the whole interval lies below 0"
    return found["reason"].split(":")[0]


def rates_of(provenance: dict, arm: str, protocol: str = "blind") -> list[float]:
    """The learning rates that tuning chose for an arm, in all of its chunks and folds."""
    chunks, wanted = provenance["tuned_rates"].items(), rf"fold\d+-{protocol}-{re.escape(arm)}(-\d+)+"
    return sorted({rate for name, rate in chunks if re.fullmatch(wanted, name)})


def fairness_table(provenance: dict) -> pd.DataFrame:
    """What two arms have in common and where they differ, as it was run."""
    settings, fairness = provenance["config"], provenance["fairness"]
    tuned = settings["finetune"]
    tried = ", ".join(f"{rate:g}" for rate in settings["rates"])
    count = len(provenance["pretraining"])
    runs = "the pretraining run" if count == 1 else f"one of {count} pretraining runs"
    same = {
        "numbers to learn": f"{max(fairness['parameters'], default=0):,}",
        "steps": f"{tuned['steps']:,}",
        "segments a step": f"{tuned['batch']:,}",
        "learning rates tried": tried,
        "labelled segments": "the same, seed by seed",
        "head at the start": "the same, seed by seed",
        "scale of the input": "the same",
    }
    rows = [("backbone at the start", "random numbers", runs)]
    rows += [(what, value, value) for what, value in same.items()]
    chosen = [", ".join(f"{rate:g}" for rate in rates_of(provenance, arm)) for arm in ARMS]
    rows.append(("learning rate chosen on valid", *chosen))
    return pd.DataFrame(rows, columns=["", *(NAMES[arm] for arm in ARMS)])
