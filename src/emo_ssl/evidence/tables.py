"""Tables of a study's evidence in words: what stands beside its figures, on its pages and in the terminal."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emo_ssl.evidence import lookup
from emo_ssl.evidence.lookup import ARMS, INTERVAL, NAMES, PAIR, SHORT

GAIN = "pretrained − scratch"


def number(value: float, sign: bool = False, digits: int = 3) -> str:
    """Rounded, with a sign where it is a difference, and never "-0.000"."""
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}"


def hidden(row: pd.Series, digits: int) -> int:
    """How many of an estimate and its bounds look like 0 when they are rounded, and are not."""
    return sum(row[name] != 0 and round(row[name], digits) == 0 for name in INTERVAL)


def interval(row: pd.Series, sign: bool = False, digits: int = 3) -> str:
    """`0.612 (0.590 to 0.630)`, with a sign where it is a difference; a line breaks before the bracket only.

    A difference whose side of 0 would be rounded away gets one digit more.
    """
    if sign and hidden(row, digits + 1) < hidden(row, digits):
        digits += 1
    estimate, low, high = (number(row[name], sign, digits) for name in INTERVAL)
    if not np.isfinite(row["estimate"]):
        return "–"
    bounds = f"({low} to {high})".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{estimate} {bounds}" if np.isfinite(row["low"]) else estimate


def around(row: pd.Series, sign: bool = False, digits: int = 3) -> str:
    """An estimate ± half the length of its interval, which takes little room; our intervals are symmetric."""
    half = (row["high"] - row["low"]) / 2
    estimate = number(row["estimate"], sign, digits)
    return f"{estimate} ±\N{NO-BREAK SPACE}{half:.{digits}f}" if np.isfinite(half) else estimate


def p_value(p: float) -> str:
    """Three decimals, for no p-value is 0."""
    return "–" if not np.isfinite(p) else "< 0.001" if p < 0.0005 else f"{p:.3f}"


def column(found: pd.DataFrame, words=interval, **how: object) -> dict:
    """Budget -> words, of rows with an interval."""
    return {row["budget"]: words(row, **how) for _, row in found.iterrows()}


def level_table(evidence: dict, metric: str, arms: Sequence[str] = ARMS) -> pd.DataFrame:
    """Beside curves: a row a budget, a column an arm, and the constant baseline."""
    columns = {NAMES.get(arm, arm): column(lookup.levels(evidence, arm, metric)) for arm in arms}
    table = pd.DataFrame(columns, evidence["budgets"])
    table["constant"] = f"{lookup.baseline(evidence, metric):.3f}"
    return table


def arm_table(evidence: dict, arms: Sequence[str]) -> pd.DataFrame:
    """The headline of many arms: a row an arm, a column a budget; ± reaches to the ends of the interval."""
    found = {arm: lookup.levels(evidence, arm, evidence["headline"]) for arm in arms}
    columns = {NAMES.get(arm, arm): column(rows, around, digits=2) for arm, rows in found.items()}
    return pd.DataFrame(columns, evidence["budgets"]).T


def protocol_table(evidence: dict, arms: Sequence[str]) -> pd.DataFrame:
    """The headline under each protocol, and pretrained minus from scratch."""
    parts = {}
    for protocol in lookup.protocols_of(evidence):
        part = lookup.under(evidence, protocol)
        table = arm_table(part, arms).T
        table[GAIN] = pd.Series(column(lookup.gains(part, part["headline"]), around, sign=True), dtype=object)
        parts[protocol] = table
    return pd.concat(parts, names=["protocol", "labels"]).reset_index()


def gain_table(evidence: dict, metrics: Sequence[str]) -> pd.DataFrame:
    """Beside paired differences: a row a budget and one for the small ones together."""
    table = {}
    for metric in metrics:
        table[SHORT[metric]] = column(lookup.gains(evidence, metric), sign=True)
        table[SHORT[metric]]["small ones"] = interval(lookup.small_gain(evidence, metric), sign=True)
    return pd.DataFrame(table, [*evidence["budgets"], "small ones"])


def gain_at(evidence: dict, budget: int, pair: Sequence[str] = PAIR) -> str:
    """How far the first of two arms is ahead of the other at one budget, in words also where that was not run."""
    gains = column(lookup.gains(evidence, evidence["headline"], pair=pair), sign=True)
    return gains.get(budget, "unknown, not run")


def control_table(evidence: dict) -> pd.DataFrame:
    rows = [
        (row["name"], row["outcome"], interval(row, sign=True), p_value(row["p_holm"]))
        for _, row in lookup.controls(evidence).iterrows()
    ]
    return pd.DataFrame(rows, columns=["pretrained against", "pretrained is", "difference", "p (Holm)"])


def efficiency_table(evidence: dict) -> pd.DataFrame:
    found = lookup.efficiency(evidence)[["budget", "text"]]
    return found.set_axis(["labels, pretrained", "labels from scratch for the same (interval)"], axis=1)


def skill_table(evidence: dict, table: pd.DataFrame, arm: str, budget: int) -> pd.DataFrame:
    """Beside the plot of skills: an emotion's best constant and skill in both of the paper's measures."""
    names, columns = evidence["target_names"], {}
    for metric in ("mae", "acc4"):
        found = lookup.skills(evidence, table, arm, metric)
        found = found[found["budget"] == budget].set_index("emotion").reindex(names)
        columns[f"best constant, {SHORT[metric]}"] = [f"{lookup.baseline(evidence, metric, e):.3f}" for e in names]
        columns[f"skill, {SHORT[metric]}"] = [interval(row, sign=True, digits=2) for _, row in found.iterrows()]
    return pd.DataFrame(columns, names)


def claim_table(evidence: dict, *names: str) -> pd.DataFrame:
    """What each claim required and what was found."""
    rows = []
    for name in names:
        for part in lookup.claim(evidence, name)["effects"]:
            row = pd.Series({key: part[key] for key in INTERVAL}, dtype=float)
            required, met = part["required"].replace(">=", "≥"), "yes" if part["met"] else "no"
            found = interval(row, sign=True)
            found = found.replace("(", "(runs: ") if part["level"] is None else found
            rows.append((name, in_words(part["name"]), found, required, met))
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
    for found in (lookup.claim(evidence, name) for name in names):
        met = [part["met"] for part in found["effects"]]
        count = f"{sum(met)} of {len(met)}" if met else "–"
        rows.append((found["claim"], found["verdict"], found["title"], short_reason(found), count))
    return pd.DataFrame(rows, columns=["claim", "verdict", "what it says", "why", "met"])


def reason(claim: dict) -> str:
    """Why a claim got its verdict, as a sentence."""
    failed = [part for part in claim["effects"] if not part["met"]]
    if not failed:
        return f"{claim['reason'][0].upper()}{claim['reason'][1:]}."
    row = pd.Series({key: failed[0][key] for key in INTERVAL}, dtype=float)
    are = "is not met" if len(failed) == 1 else "are not met, such as"
    found = f"{in_words(failed[0]['name'])}, {interval(row, sign=True)}, required {failed[0]['required']}"
    return f"Of {len(claim['effects'])} requirements {len(failed)} {are}: {found}."


def short_reason(claim: dict) -> str:
    """Why a claim got its verdict, in a word or two: the rest stands in its table."""
    if claim["verdict"] == "reversed":
        return "the whole interval lies below 0"
    return claim["reason"].split(":")[0]
