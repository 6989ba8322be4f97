"""From a study's stored predictions to DIR/evidence.json: levels, gains, label efficiency, the claim ledger."""

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np

from emo_ssl.core import metrics
from emo_ssl.core.readout import OVERALL
from emo_ssl.evidence.bootstrap import Interval, Sample, holm, interval
from emo_ssl.evidence.claims import TITLES, Claim, EvidenceConfig, Ledger, main_group, small_budgets
from emo_ssl.evidence.effects import MAIN, Effects, Group, cells_of, compute
from emo_ssl.evidence.efficiency import label_efficiency
from emo_ssl.study.predictions import StudyPredictions
from emo_ssl.utils.io import write_json

EVIDENCE = "evidence.json"
DECIMALS = 6  # beyond, processors differ
SMALL = "small"


def evaluate(folder: Path | str, config: EvidenceConfig | None = None) -> dict:
    """Read DIR/predictions.npz, write DIR/evidence.json, return what was written. Same input, same file."""
    config = config or EvidenceConfig()
    predictions = StudyPredictions.open(folder)
    effects = compute(predictions, config.draws, config.seed)
    meta, items = predictions.meta, predictions.items
    prevalence = prevalence_of(predictions)
    small = small_budgets(meta["budgets"], config)
    evidence = {
        "config": asdict(config),
        "corpus": meta["corpus"],
        "main": meta["main"],
        "headline": meta["headline"],
        "target_names": meta["target_names"],
        "category_names": meta["category_names"],
        "budgets": sorted(meta["budgets"]),
        "small_budgets": small,
        "full_budget": meta["full_budget"],
        "seeds": len(meta["seeds"]),
        "units": len(np.unique(items.unit)),
        "items": len(items),
        "prevalence": prevalence,
        "floors": meta.get("floors", {}),
        "ledger": [claim_row(claim) for claim in Ledger(effects, meta, prevalence, config).claims()],
        "gains": gain_rows(effects, main_group(meta), small, config),
        "levels": level_rows(effects, main_group(meta), meta, config),
        "controls": control_rows(effects, small, config),
        "label_efficiency": efficiency_rows(effects, config),
        "confusion": confusion_rows(predictions),
        "ceiling_reading": ceiling_rows(predictions),
    }
    evidence = plain(evidence)
    write_json(Path(folder) / EVIDENCE, evidence)
    return evidence


def prevalence_of(predictions: StudyPredictions) -> dict[str, float]:
    """Emotion -> the share of items in which it is present."""
    targets = predictions.items.targets
    positive = (targets > 0).mean(0) if len(targets) else np.zeros(targets.shape[1])
    return dict(zip(predictions.meta["target_names"], positive.tolist(), strict=True))


def plain(value: object) -> object:
    """JSON values: numbers rounded, nan and infinity None."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return round(float(value), DECIMALS) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def bounds(found: Interval) -> dict:
    return {"estimate": found.estimate, "low": found.low, "high": found.high}


def row(group: Group, effect: dict, sample: Sample, config: EvidenceConfig) -> dict:
    """One line of `gains` and `levels`."""
    found = interval(sample, config.level, config.degrees)
    return {
        **asdict(group),
        **effect,
        **bounds(found),
        "p": found.p,
        "units": sample.units,
        "seeds": sample.seeds,
        # variability is always drawn, but the file is committed: one number a seed only where a figure asks for it
        **({"by_seed": sample.by_seed.tolist()} if effect.get("emotion") == OVERALL else {}),
    }


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
        own = []
        for metric, emotion in measures(effects, group == main and (arm, against) == MAIN):
            for name, budgets in places:
                effect = {"arm": arm, "against": against, "budget": name, "metric": metric, "emotion": emotion}
                sample = effects.gain(group, arm, against, budgets, metric, emotion)
                own.append(row(group, effect, sample, config))
        families: dict[tuple, list[dict]] = {}
        for r in own:
            part = r["emotion"] if r["emotion"] == OVERALL else "emotions"
            across = "budgets" if part == OVERALL and r["budget"] != SMALL else r["budget"]
            families.setdefault((r["metric"], part, across), []).append(r)
        for family in families.values():
            adjust(family)
        rows += own
    return rows


def adjust(family: list[dict]) -> None:
    for r, p in zip(family, holm([r["p"] for r in family]), strict=True):
        r["p_holm"] = p


def level_rows(effects: Effects, main: Group, meta: dict, config: EvidenceConfig) -> list[dict]:
    """What each arm reaches, in the measure's own direction; MAE and accuracy with their skill over the constants."""
    rows = []
    floors = meta.get("floors", {})
    for group, arm, budget in sorted(effects.levels):
        for metric, emotion in measures(effects, group == main and arm in MAIN):
            effect = {"arm": arm, "budget": budget, "metric": metric, "emotion": emotion}
            found = row(group, effect, effects.level(group, arm, budget, metric, emotion), config)
            del found["p"]  # of a level being 0: nobody asks
            floor = floors.get(emotion, {}).get(metric)
            if floor is not None and metric in ("mae", "acc4"):
                found["skill"] = float(metrics.skill(metric, np.array(found["estimate"]), np.array(floor)))
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


def efficiency_rows(effects: Effects, config: EvidenceConfig) -> list[dict]:
    """`labels`, `low`, `high` are clipped to the study's budgets; `…_beyond` and `text` say where they lie outside."""
    rows = []
    for group in effects.groups():
        for needed in label_efficiency(effects, group, config.level, config.degrees):
            values = {"labels": needed.labels, "low": needed.low, "high": needed.high}
            clipped = {name: float(np.clip(v, needed.smallest, needed.largest)) for name, v in values.items()}
            sides = {f"{name}_beyond": side(v) for name, v in values.items()}
            rows.append({**asdict(group), "budget": needed.budget, **clipped, **sides, "text": str(needed)})
    return rows


def side(labels: float) -> str | None:
    return {0.0: "less", math.inf: "more"}.get(labels)


def claim_row(claim: Claim) -> dict:
    parts = [
        {"name": p.name, **bounds(p.interval), "level": p.level, "required": p.required, "met": p.met}
        for p in claim.parts
    ]
    return {
        "claim": claim.name,
        "title": TITLES[claim.name],
        "verdict": claim.verdict,
        "reason": claim.reason,
        "effects": parts,
        "remarks": claim.remarks,
    }


def main_cells(predictions: StudyPredictions) -> list[tuple[str, int, object]]:
    main = main_group(predictions.meta)
    found = sorted(
        (b, arm, key)
        for (group, b), arms in cells_of(predictions.keys).items()
        if group == main
        for arm, key in arms.items()
    )
    return [(arm, budget, key) for budget, arm, key in found]


def confusion_rows(predictions: StudyPredictions) -> list[dict]:
    """Counts over all seeds, rows true: the four classes of each emotion (E, 4, 4), and the categories (C, C)."""
    meta, items = predictions.meta, predictions.items
    true, categories = metrics.to_class(items.targets), len(meta["category_names"])
    rows = []
    for arm, budget, key in main_cells(predictions):
        if arm not in MAIN:
            continue
        cell = predictions.cell(key)
        scored = cell.scored()
        four = np.zeros((len(meta["target_names"]), 4, 4), np.int64)
        chosen = np.zeros((categories, categories), np.int64)
        for s, mask in enumerate(scored):
            four += metrics.four_class_confusion(cell.klass[s, mask], true[mask])
            if categories:
                chosen += metrics.confusion(cell.category[s, mask].argmax(-1), items.category[mask], categories)
        rows.append({"arm": arm, "budget": budget, "four_classes": four.tolist(), "categories": chosen.tolist()})
    return rows


def ceiling_rows(predictions: StudyPredictions) -> list[dict]:
    """4-class accuracy of the intensities under the other reading (every fraction rounds up), mean over seeds."""
    rows = []
    for arm, budget, key in main_cells(predictions):
        cell = predictions.cell(key)
        each = [
            metrics.four_class_accuracy(
                cell.intensity[s, mask], predictions.items.targets[mask], metrics.to_class_ceiling
            ).mean()
            for s, mask in enumerate(cell.scored())
            if mask.any()
        ]
        if each:
            rows.append({"arm": arm, "budget": budget, "acc4": float(np.mean(each))})
    return rows


def table(evidence: dict) -> str:
    """The evidence for a terminal: gains, labels needed, controls, claims."""
    main = evidence["main"]
    config = evidence["config"]
    lines = [
        f"{main['protocol']}, {main['backbone']}, {main['readout']}: {evidence['items']} items, "
        f"{evidence['units']} units, {evidence['seeds']} seeds, {config['draws']} draws",
        "",
        f"pretrained over scratch (positive = better), {100 * config['level']:.0f} % intervals",
    ]
    shown = list(dict.fromkeys([evidence["headline"], "mae", "acc4"]))
    ours = [r for r in evidence["gains"] if (r["arm"], r["against"]) == MAIN and in_group(r, main)]
    cells = {(r["budget"], r["metric"]): r for r in ours if r["emotion"] == OVERALL}
    budgets = list(dict.fromkeys(budget for budget, _ in cells))
    lines.append("  labels  " + "".join(f"{name:<28}" for name in shown).rstrip())
    for budget in budgets:
        words = [said(cells[budget, name]) for name in shown]
        lines.append((f"  {budget!s:>6}  " + "".join(f"{word:<28}" for word in words)).rstrip())
    needed = [r for r in evidence["label_efficiency"] if in_group(r, main)]
    if needed:
        lines += ["", f"labels that scratch needs for the same {evidence['headline']}"]
        lines += [f"  {r['budget']:>6}  {r['text']}" for r in needed]
    controls = [r for r in evidence["controls"] if in_group(r, main)]
    if controls:
        lines += ["", f"pretrained over each arm, {evidence['headline']}, small budgets (p by Holm)"]
        for r in controls:
            p = "" if r["p_holm"] is None else f"  p {r['p_holm']:.3f}"
            lines.append(f"  {r['against']:<18}{said(r):<28}{p}".rstrip())
    lines += ["", "claims"]
    for claim in evidence["ledger"]:
        lines.append(f"  {claim['claim']}  {claim['verdict']:<10} {claim['title']}")
        lines.append(f"      {claim['reason']}")
        lines += [f"      {remark}" for remark in claim["remarks"]]
    return "\n".join(lines)


def in_group(found: dict, group: dict) -> bool:
    return all(found[name] == group[name] for name in ("protocol", "backbone", "readout"))


def said(found: dict) -> str:
    if found["estimate"] is None:
        return "undefined"
    if found["low"] is None:
        return f"{found['estimate']:+.3f} (no interval)"
    return f"{found['estimate']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"
