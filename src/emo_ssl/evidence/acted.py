"""A study of acted voices as tables: what it heard, two protocols, categories, other conventions, its relatives.

Beside `readings`, for what only such a study has: pretraining in every fold, an adapted protocol, one category a clip,
labels whose words were given numbers by us, and smaller studies that changed one thing.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.core.baselines import BASELINES as FLOORS
from emo_ssl.core.normalise import PROTOCOLS
from emo_ssl.evidence import tables as readings
from emo_ssl.evidence.tables import NAMES, PAIR, SHORT, short_reason
from emo_ssl.utils.progress import duration

MODEL = "model"
LINE = FLOORS[-1]
BELOW = f"below {LINE}"
PARITY = "parity.csv"
CLOSE = 0.02  # of UAR: bench/parity.py's bound
GROUPS = {  # of our own front end, by the first feature of each
    "cepstrum_0": ("cepstra", "which sound is made: the shape of the mouth, from loudness to fine detail"),
    "energy_db": ("energy", "how loud it is, to a meter and to an ear; how often the wave crosses zero"),
    "centroid_khz": ("spectrum", "where the energy lies: dark or bright, narrow or wide, tone or hiss"),
    "voicing": ("voicing", "whether the vocal folds vibrate, and how much hiss is mixed in"),
    "flux": ("change", "what moves from one frame to the next: sound, loudness, pitch"),
    "h1_h2_db": ("glottis", "how the first two harmonics compare: breathy or pressed"),
    "pitch_semitones": ("pitch", "how high the voice is; missing where nothing vibrates"),
}
RELATIVES = {
    "compare": "openSMILE ComParE",
    "random": "labels at random",
    "whole": "labels by speaker",
    "l1": "plain L1 head",
    "patience": "four times the steps",
    "best": "best on validation",
}
PAIRS = {"patience": ("pretrained-4x", "scratch-4x")}  # what a relative compares in the place of the main two


# --- the corpus -------------------------------------------------------------------------------------------------------


def corpus_table(evidence: dict, numbers: Mapping) -> pd.DataFrame:
    """What was heard; `numbers` is what `recorded.corpus_numbers` kept of the corpus, {} where nothing was."""
    rows = {"speakers": f"{evidence['units']:,}", "clips": f"{evidence['items']:,}"}
    rows["categories"] = ", ".join(evidence["category_names"])
    if numbers:
        frames, rate = numbers["frames"], numbers["frame_rate"]
        gone = sum(n for name, n in frames.items() if name.startswith("dropped"))
        seconds = numbers["seconds"]
        rows |= {
            "clips of each category": ", ".join(f"{name} {n}" for name, n in numbers["categories"].items()),
            "frames read": f"{frames['in']:,} ({duration(frames['in'] / rate)})",
            "of them silence before or after the voice": f"{gone:,} ({gone / max(frames['in'], 1):.0%})",
            "frames kept": f"{frames['kept']:,} ({duration(frames['kept'] / rate)})",
            "a clip lasts, 5 % / half / 95 % of them at most": " / ".join(f"{s:.1f} s" for s in seconds.values()),
            "numbers in a frame": f"{len(numbers['features'])}",
        }
    return pd.DataFrame(rows.items(), columns=["what", "how much"])


def feature_table(names: Sequence[str]) -> pd.DataFrame:
    """Groups of features; those of another front end than ours have no names that we could explain."""
    starts = [i for i, name in enumerate(names) if name in GROUPS]
    if not starts or starts[0] != 0:
        return pd.DataFrame([("of the front end", len(names), "–")], columns=["group", "numbers", "what they say"])
    ends = [*starts[1:], len(names)]
    rows = [(GROUPS[names[a]][0], b - a, GROUPS[names[a]][1]) for a, b in zip(starts, ends, strict=True)]
    return pd.DataFrame(rows, columns=["group", "numbers", "what they say"])


def parity(folder: Path | str) -> pd.DataFrame:
    """Ours beside the prototype, a row a kind of features and a number of labels; empty where it was not compared."""
    path = Path(folder) / PARITY
    columns = ["features", "labels", "prototype", "ours", "ours, clipped", "largest difference"]
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    found = pd.read_csv(path)
    wide = found.pivot(index=["features", "labels", "prototype"], columns="frames", values="uar").reset_index()
    wide = wide.rename(columns={"raw": "ours", "clipped": "ours, clipped"})
    away = wide[["ours", "ours, clipped"]].sub(wide["prototype"], axis=0)
    wide["largest difference"] = away.apply(lambda row: row[row.abs().idxmax()], axis=1)
    return wide[columns].rename_axis(columns=None)


# --- pretraining, fold by fold ----------------------------------------------------------------------------------------


def losses(provenance: dict) -> pd.DataFrame:
    """A row a pretraining run: protocol, fold, seed, the model's loss on hidden frames, the floors', and by which
    share it stays below interpolation."""
    rows = [
        {"protocol": run.get("protocol", PROTOCOLS[0]), "fold": run["fold"], "seed": run["seed"], **run["held_out"]}
        for run in provenance["pretraining"]
    ]
    found = pd.DataFrame(rows, columns=["protocol", "fold", "seed", MODEL, *FLOORS])
    found["below"] = 1 - found[MODEL] / found[LINE]
    return found.sort_values(["protocol", "fold", "seed"], ascending=[False, True, True], ignore_index=True)


def loss_table(provenance: dict) -> pd.DataFrame:
    """The twin of the plot of losses: means over a fold's runs."""
    found = losses(provenance)
    table = found.groupby(["protocol", "fold"], sort=False)[[MODEL, *FLOORS, "below"]].mean()
    table.insert(0, "runs", found.groupby(["protocol", "fold"], sort=False).size())
    table = table.rename(columns={"below": BELOW}).reset_index()
    return table


# --- two protocols ----------------------------------------------------------------------------------------------------


def under(evidence: dict, protocol: str) -> dict:
    """The evidence with another protocol in the place of the main one, so that any reading and figure shows that."""
    main = {**evidence["main"], "protocol": protocol}
    ran = {row["budget"] for row in evidence["levels"] if all(row[name] == value for name, value in main.items())}
    small = [budget for budget in evidence["small_budgets"] if budget in ran]
    whole = small if len(small) == len(evidence["small_budgets"]) else []
    return {**evidence, "main": main, "budgets": sorted(ran), "small_budgets": whole}


def protocols_of(evidence: dict) -> list[str]:
    return [name for name in PROTOCOLS if under(evidence, name)["budgets"]]


def protocol_table(evidence: dict, arms: Sequence[str]) -> pd.DataFrame:
    """The headline under each protocol, and pretrained minus from scratch."""
    parts = {}
    for protocol in protocols_of(evidence):
        part = under(evidence, protocol)
        table = arm_table(part, arms).T
        gain = readings.gains(part, evidence["headline"]).set_index("budget")
        table["pretrained − scratch"] = gain.apply(around, axis=1, sign=True) if len(gain) else np.nan
        parts[protocol] = table.reset_index(names="labels")
    found = pd.concat(parts, names=["protocol"]) if parts else pd.DataFrame(columns=["protocol", "labels"])
    return found.reset_index(level=0).reset_index(drop=True)


def beats_constant(evidence: dict, arm: str, metric: str) -> str:
    """The budgets at which an arm's estimate is better than the best constant, in words."""
    found, best = readings.levels(evidence, arm, metric), readings.floor(evidence, metric)
    better = found["estimate"] < best if metric == "mae" else found["estimate"] > best
    return "all" if len(found) and better.all() else ", ".join(str(b) for b in found["budget"][better]) or "none"


def around(row: pd.Series, digits: int = 3, sign: bool = False) -> str:
    """An estimate ± half the length of its interval, which takes little room; our intervals are symmetric."""
    half = (row["high"] - row["low"]) / 2
    estimate = readings.number(row["estimate"], sign, digits)
    return f"{estimate} ±\N{NO-BREAK SPACE}{half:.{digits}f}" if np.isfinite(half) else estimate


def arm_table(evidence: dict, arms: Sequence[str]) -> pd.DataFrame:
    """The headline of many arms: a row an arm, a column a budget; ± reaches to the ends of the interval."""
    rows = {}
    for arm in arms:
        found = readings.levels(evidence, arm, evidence["headline"]).set_index("budget")
        rows[NAMES.get(arm, arm)] = found.apply(around, axis=1, digits=2) if len(found) else pd.Series(dtype=object)
    return pd.DataFrame(rows).T.reindex(columns=evidence["budgets"])


def verdicts_over_rivals(evidence: dict) -> dict[str, list[str]]:
    """Names of the arms over which the pretrained one is better, worse, or neither."""
    found = readings.controls(evidence)
    words = {row["against"]: readings.outcome(row).split()[0] for _, row in found.iterrows()}
    return {
        word: [NAMES.get(arm, arm) for arm, said in words.items() if said == word]
        for word in ("better", "worse", "neither")
    }


def visible(evidence: dict) -> pd.Series:
    """Budget (and "small ones") -> half the length of the interval of the headline's gain: what could be seen."""
    rows = {row["budget"]: row for _, row in readings.gains(evidence, evidence["headline"]).iterrows()}
    rows["small ones"] = readings.small_gain(evidence, evidence["headline"])
    return pd.Series({budget: (row["high"] - row["low"]) / 2 for budget, row in rows.items()}, dtype=float)


# --- categories -------------------------------------------------------------------------------------------------------


def mistaken(evidence: dict, arm: str, budget: int) -> np.ndarray:
    """Counts of categories over all seeds (C, C), rows true; zeros where the arm was not run there."""
    count = len(evidence["category_names"])
    found = [row for row in evidence["confusion"] if (row["arm"], row["budget"]) == (arm, budget)]
    return np.array(found[0]["categories"]) if found else np.zeros((count, count), int)


def recognised(evidence: dict, arm: str, budget: int) -> pd.Series:
    """Category -> the share of its clips that was recognised; NaN where none was scored."""
    counts = mistaken(evidence, arm, budget)
    totals = counts.sum(1)
    return pd.Series(np.diag(counts) / np.where(totals > 0, totals, np.nan), evidence["category_names"], dtype=float)


def category_table(evidence: dict, arm: str, budgets: Sequence[int]) -> pd.DataFrame:
    """Of each category the share that was recognised, and for what the rest was taken most often."""
    names, columns = evidence["category_names"], {}
    for budget in budgets:
        counts = mistaken(evidence, arm, budget)
        shares = recognised(evidence, arm, budget)
        columns[f"recognised, {budget} labels"] = [f"{s:.0%}" if np.isfinite(s) else "–" for s in shares]
        wrong = counts - np.diag(np.diag(counts))
        columns[f"else mostly, {budget} labels"] = [names[row.argmax()] if row.any() else "–" for row in wrong]
    return pd.DataFrame(columns, names)


# --- conventions and relatives ----------------------------------------------------------------------------------------


def coding_table(evidence: dict, codings: Mapping[str, Sequence[dict]]) -> pd.DataFrame:
    """The ledger in our convention and in others: a row a claim."""

    columns = {"normal 2, strong 3": evidence["ledger"]}
    for name, claims in codings.items():
        normal, strong = name.split(",")[2:]
        columns[f"normal {normal}, strong {strong}"] = claims
    return pd.DataFrame({name: {c["claim"]: judged(c) for c in claims} for name, claims in columns.items()})


def judged(claim: dict) -> str:
    return f"{claim['verdict']} ({short_reason(claim)})"


def verdict(evidence: dict, name: str) -> str:
    return judged(readings.claim(evidence, name))


def changed_verdicts(evidence: dict, codings: Mapping[str, Sequence[dict]]) -> list[str]:
    """The claims whose verdict depends on the convention."""
    ours = {claim["claim"]: claim["verdict"] for claim in evidence["ledger"]}
    others = [claim for claims in codings.values() for claim in claims]
    return sorted({claim["claim"] for claim in others if claim["verdict"] != ours[claim["claim"]]})


def beside(evidence: dict, relatives: Mapping[str, dict]) -> pd.DataFrame:
    """This study and those that changed one thing, at the budgets that all of them have: a row a study and budget."""
    studies = {"this study": evidence, **relatives}
    shared = sorted(set.intersection(*(set(found["budgets"]) for found in studies.values())))
    rows = []
    for name, found in studies.items():
        pretrained, scratch = pair = PAIRS.get(name, PAIR)
        gains = readings.gains(found, found["headline"], pair=pair).set_index("budget")
        arms = {"scratch": scratch, "pretrained": pretrained, "statistics": "statistics"}
        for budget in shared:
            row = {"study": RELATIVES.get(name, name), "labels": budget}
            row |= {NAMES[place]: estimate(found, arm, found["headline"], budget) for place, arm in arms.items()}
            gain = around(gains.loc[budget], sign=True) if budget in gains.index else "–"
            row["pretrained − scratch"] = gain
            row[f"{SHORT['mae']}, pretrained"] = estimate(found, pretrained, "mae", budget)
            rows.append(row)
    return pd.DataFrame(rows)


def estimate(evidence: dict, arm: str, metric: str, budget: int) -> float:
    found = readings.levels(evidence, arm, metric).set_index("budget")["estimate"]
    return float(found.get(budget, np.nan))


def gain_at(evidence: dict, budget: int, pair: Sequence[str] = PAIR) -> str:
    """How far the first of two arms is ahead of the other at one budget, in words also where that was not run."""
    rows = readings.gains(evidence, evidence["headline"], pair=pair).set_index("budget")
    return readings.interval(rows.loc[budget], sign=True) if budget in rows.index else "unknown, not run"
