"""From a study's stored predictions to DIR/evidence.json: levels, gains, label efficiency, the claim ledger."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.metrics import OVERALL
from emo_ssl.evidence import lookup, tables
from emo_ssl.evidence.bootstrap import Sample, holm, interval
from emo_ssl.evidence.claims import SMALL, EvidenceConfig, Ledger, main_group, small_budgets
from emo_ssl.evidence.effects import MAIN, RECIPE, Effects, Group, compute
from emo_ssl.evidence.efficiency import label_efficiency
from emo_ssl.evidence.verdict import verdict
from emo_ssl.study.predictions import StudyPredictions
from emo_ssl.utils.io import write_json

EVIDENCE = "evidence.json"
LEDGERS = {"ledger": "pretrained", lookup.RECIPE_LEDGER: RECIPE}
DECIMALS = 6  # beyond, processors differ


def evaluate(folder: Path | str, config: EvidenceConfig | None = None, beside: Path | str | None = None) -> dict:
    """Read DIR/predictions.npz, write DIR/evidence.json, return what was written. Same input, same file.

    `beside`: another study of the same segments, labels and seeds, whose arms are compared with those of this one.
    """
    config = config or EvidenceConfig()
    predictions = StudyPredictions.open(folder)
    if beside:
        predictions = predictions.with_arms_of(StudyPredictions.open(beside))
    meta, items = predictions.meta, predictions.items
    effects, main = compute(predictions, config.draws, config.seed), main_group(meta)
    prevalence = dict(zip(meta["target_names"], (items.targets > 0).mean(0).tolist(), strict=True))
    training = meta.get("training_prevalence", prevalence)
    small = small_budgets(meta["budgets"], config)
    confusion, ceiling = class_rows(predictions)
    evidence = {
        "config": asdict(config),
        **{name: meta[name] for name in ("corpus", "main", "headline", "target_names", "category_names")},
        "budgets": sorted(meta["budgets"]),
        "small_budgets": small,
        "full_budget": meta["full_budget"],
        "seeds": len(meta["seeds"]),
        "units": len(np.unique(items.unit)),
        "items": len(items),
        "prevalence": prevalence,
        "training_prevalence": training,
        "floors": meta["floors"],
        **{
            name: [claim.row() for claim in Ledger(effects, meta, training, config, arm).claims()]
            for name, arm in LEDGERS.items()
            if arm == "pretrained" or effects.budgets(main, arm, "scratch")
        },
        "gains": gain_rows(effects, main, small, config),
        "levels": level_rows(effects, main, meta["floors"], config),
        "controls": control_rows(effects, small, config),
        "label_efficiency": [
            {**asdict(group), **needed}
            for group in effects.groups()
            for arm in lookup.RECIPES
            for needed in label_efficiency(effects, group, config.level, arm)
        ],
        "confusion": confusion,
        "ceiling_reading": ceiling,
    }
    evidence = plain(evidence)
    write_json(Path(folder) / EVIDENCE, evidence)
    return evidence


def plain(value: object) -> object:
    """JSON values: numbers rounded, nan and infinity None."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return round(float(value), DECIMALS) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def row(group: Group, effect: dict, sample: Sample, config: EvidenceConfig) -> dict:
    """One line of `gains`, `levels` and `controls`."""
    found = {**asdict(group), **effect, **asdict(interval(sample, config.level))}
    found |= {"units": sample.units, "seeds": sample.seeds}
    # variability is always drawn, but the file is committed: one number a seed only where a figure asks for it
    return found | ({"by_seed": sample.by_seed.tolist()} if effect.get("emotion") == OVERALL else {})


def measures(effects: Effects, detailed: bool) -> list[tuple[str, str]]:
    return [name for name in effects.columns if detailed or name[1] == OVERALL]


def gain_rows(effects: Effects, main: Group, small: list[int], config: EvidenceConfig) -> list[dict]:
    """Every difference at every budget and over the small ones; positive = `arm` is better than `against`.

    A family of Holm's correction: one measure's budgets, or one measure's emotions.
    """
    rows = []
    for group, arm, against in sorted({(g, a, o) for g, a, o, _ in effects.gains}):
        ran = effects.budgets(group, arm, against)
        places: list[tuple[int | str, list[int]]] = [(b, [b]) for b in ran]
        places += [(SMALL, small)] if small and set(small) <= set(ran) else []
        families: dict[tuple, list[dict]] = {}
        for metric, emotion in measures(effects, group == main and (arm, against) == MAIN):
            for budget, budgets in places:
                effect = {"arm": arm, "against": against, "budget": budget, "metric": metric, "emotion": emotion}
                sample = effects.gain(group, arm, against, budgets, metric, emotion)
                found = row(group, effect, sample, config)
                overall = emotion == OVERALL
                family = (metric, overall, "budgets" if overall and budget != SMALL else budget)
                families.setdefault(family, []).append(found)
                rows.append(found)
        for family in families.values():
            adjust(family)
    return rows


def adjust(family: list[dict]) -> None:
    for found, p in zip(family, holm([found["p"] for found in family]), strict=True):
        found["p_holm"] = p


def level_rows(effects: Effects, main: Group, constants: dict, config: EvidenceConfig) -> list[dict]:
    """What each arm reaches, in the measure's own direction; MAE and accuracy with their skill over the constants."""
    rows = []
    for group, arm, budget in sorted(effects.levels):
        for metric, emotion in measures(effects, group == main and arm in MAIN):
            effect = {"arm": arm, "budget": budget, "metric": metric, "emotion": emotion}
            found = row(group, effect, effects.level(group, arm, budget, metric, emotion), config)
            del found["p"]  # of a level being 0: nobody asks
            if metric in ("mae", "acc4"):
                found["skill"] = float(lookup.skill(metric, found["estimate"], constants[emotion][metric]))
            rows.append(found)
    return rows


def control_rows(effects: Effects, small: list[int], config: EvidenceConfig) -> list[dict]:
    """Pretrained against each other arm, headline, over those small budgets that both ran; Holm over the controls."""
    rows = []
    for group in effects.groups():
        family = []
        for against in effects.arms(group):
            budgets = [b for b in effects.budgets(group, "pretrained", against) if b in small]
            if budgets:
                sample = effects.gain(group, "pretrained", against, budgets, effects.headline)
                effect = {"arm": "pretrained", "against": against, "budgets": budgets, "metric": effects.headline}
                family.append(row(group, effect, sample, config))
        adjust(family)
        rows += family
    return rows


def class_rows(predictions: StudyPredictions) -> tuple[list[dict], list[dict]]:
    """Of the main protocol, in which every item is scored, over all seeds:

    what pretrained and scratch confuse, counts with a row for each true class: the four classes of each emotion
    (E, 4, 4), and the categories (C, C); and the 4-class accuracy of every arm when every fraction rounds up.
    """
    meta, items = predictions.meta, predictions.items
    seeds, categories = len(meta["seeds"]), len(meta["category_names"])
    true, rounded_up = np.tile(metrics.to_class(items.targets), (seeds, 1)), metrics.to_class_ceiling(items.targets)
    confusion, ceiling = [], []
    for key in sorted(predictions.keys, key=lambda key: (key.budget, key.arm)):
        if key.protocol != meta["main"]["protocol"]:
            continue
        cell, which = predictions.cell(key), {"arm": key.arm, "budget": key.budget}
        ceiling.append({**which, "acc4": float((metrics.to_class_ceiling(cell.intensity) == rounded_up).mean())})
        if key.arm in MAIN:
            columns = zip(cell.klass.reshape(true.shape).T, true.T, strict=True)
            four = [metrics.confusion(predicted, right, metrics.CLASSES).tolist() for predicted, right in columns]
            chosen = []
            if categories:
                named = np.tile(items.category, seeds)
                chosen = metrics.confusion(cell.category.argmax(-1).ravel(), named, categories).tolist()
            confusion.append({**which, "four_classes": four, "categories": chosen})
    return confusion, ceiling


def table(evidence: dict) -> str:
    """The evidence for a terminal: gains, labels needed, controls, claims."""
    main, names = evidence["main"], [claim["claim"] for claim in evidence["ledger"]]
    level = f"{100 * evidence['config']['level']:.0f} % intervals"
    parts = {
        f"pretrained minus scratch (positive = better), {level}": tables.gain_table(
            evidence, lookup.metrics_of(evidence)
        ),
        f"labels that scratch needs for the same {evidence['headline']}": tables.efficiency_table(evidence),
        f"pretrained against each arm, {evidence['headline']}, small budgets": tables.control_table(evidence),
        "claims": tables.ledger_table(evidence, *names),
    }
    lines = [
        f"{main['protocol']}, {main['backbone']}, {main['readout']}: {evidence['items']} items, "
        f"{evidence['units']} units, {evidence['seeds']} seeds, {evidence['config']['draws']} draws"
    ]
    for title, found in parts.items():
        if len(found):
            lines += ["", title, found.to_string(index=found.index.dtype == object, na_rep="–")]
    for claim in evidence["ledger"]:
        lines += ["", " ".join([f"{claim['claim']}: {claim['reason']}.", *claim["remarks"]])]
    return "\n".join([*lines, "", " ".join(verdict(evidence))])
