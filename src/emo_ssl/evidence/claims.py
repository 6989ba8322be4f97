"""The claim ledger: the paper's four claims, each with a verdict, its reason and the numbers that it rests on.

Verdicts are "holds", "reversed" or "not shown", the last with its reason: not run, too few replicates, undefined,
below the constants, equivalent, inconclusive. The rules were written before any run; nothing here is tuned to a result.
"""

from dataclasses import dataclass, field

import numpy as np

from emo_ssl.core.metrics import OVERALL
from emo_ssl.evidence.bootstrap import Interval, Sample, interval, mean, simultaneous
from emo_ssl.evidence.effects import FROZEN_PAIRS, Effects, Group

TRIO = ("happy", "sad", "anger")
OTHERS = ("surprise", "disgust", "fear")
SMALL = "small"  # the budget of a mean over the small ones
HOLDS, REVERSED, NOT_SHOWN = "holds", "reversed", "not shown"
TITLES = {
    "C1": "Pretraining improves every metric",
    "C2": "It helps most with few labels, then converges to training from scratch",
    "C3": "It helps most for happy, sad and anger",
    "C4": "It works on embedded features",
}


@dataclass(frozen=True)
class EvidenceConfig:
    """What evidence is computed with. Margins say which differences are too small to matter."""

    draws: int = 10_000
    seed: int = 0
    level: float = 0.95
    equivalence_level: float = 0.90
    margin_uar: float = 0.03
    margin_auroc: float = 0.01
    emotion_floor: float = -0.02  # what a single emotion may lose while "every metric" still improves
    least_budget: int = 28  # below, a subset may lack whole classes
    small_budgets: int = 3

    def margin(self, metric: str) -> float:
        return self.margin_uar if metric == "uar" else self.margin_auroc


def part(name: str, found: Interval, required: str, met: bool, level: float | None = None) -> dict:
    """One number of a claim. level: of the interval; None where it is the range over pretraining runs."""
    numbers = {"estimate": found.estimate, "low": found.low, "high": found.high, "level": level}
    return {"name": name, **numbers, "required": required, "met": bool(met)}


def in_words(found: dict) -> str:
    return f"{found['name']} {found['estimate']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


@dataclass
class Claim:
    name: str
    parts: list[dict] = field(default_factory=list)  # the first is the primary one: below 0, the claim is reversed
    baselines: list[dict] = field(default_factory=list)  # those of the parts that compare with the best constant
    equivalent: bool = False
    missing: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def verdict(self) -> tuple[str, str]:
        """The verdict and its reason."""
        if self.missing:
            return NOT_SHOWN, f"not run: {'; '.join(self.missing)}"
        undefined = [found["name"] for found in self.parts if not np.isfinite(found["estimate"])]
        if undefined:
            return NOT_SHOWN, f"undefined: {listed(undefined)} cannot be computed from the scored items"
        if not np.isfinite([found["low"] for found in self.parts]).all():
            return NOT_SHOWN, "too few replicates: an interval needs at least two seeds and two units"
        primary, failed = self.parts[0], [found for found in self.parts if not found["met"]]
        if primary["high"] < 0:
            return REVERSED, f"the whole interval of {in_words(primary)} lies below 0"
        if not failed:
            return HOLDS, f"all {len(self.parts)} requirements are met"
        if primary["low"] > 0 and any(found in failed for found in self.baselines):
            word = "below the constants"
        else:
            word = "equivalent" if self.equivalent else "inconclusive"
        lacking = [f"{in_words(found)}, required {found['required']}" for found in failed]
        return NOT_SHOWN, f"{word}: not met is {listed(lacking)}"

    def row(self) -> dict:
        """What the evidence holds of it."""
        verdict, reason = self.verdict()
        found = {"claim": self.name, "title": TITLES[self.name], "verdict": verdict, "reason": reason}
        return {**found, "effects": self.parts, "remarks": self.remarks}


def listed(words: list[str]) -> str:
    return "; ".join(words[:3]) + (f"; and {len(words) - 3} more" if len(words) > 3 else "")


class Ledger:
    """The claims about one corpus: `Ledger(effects, meta, prevalence, config).claims()`, the prevalence among the
    segments that are labelled for training.

    With another `arm` than the paper's they are asked of that recipe, but for the last, on frozen networks and gaps.
    """

    def __init__(
        self,
        effects: Effects,
        meta: dict,
        prevalence: dict[str, float],
        config: EvidenceConfig,
        arm: str = "pretrained",
    ):
        self.effects, self.meta, self.prevalence, self.config = effects, meta, prevalence, config
        self.arm = arm
        self.group = main_group(meta)
        self.headline = effects.headline
        self.full = meta["full_budget"]
        self.small = small_budgets(meta["budgets"], config)

    def claims(self) -> list[Claim]:
        every = [self.every_metric(), self.few_labels(), self.trio()]
        return [*every, self.embedded()] if self.arm == "pretrained" else every

    def gain(self, budgets: list[int], metric: str, emotion: str = OVERALL) -> Sample:
        return self.effects.gain(self.group, self.arm, "scratch", budgets, metric, emotion)

    def lacks(self, claim: Claim, arm: str, against: str, budgets: list[int]) -> bool:
        """Whether something was not run; it is noted."""
        if not self.small:
            reason = f"fewer than {self.config.small_budgets} budgets of at least {self.config.least_budget} labels"
            claim.missing += [reason] if reason not in claim.missing else []
            return True
        ran = self.effects.budgets(self.group, arm, against)
        lacking = [str(b) for b in budgets if b not in ran]
        if lacking:
            claim.missing.append(f"{arm} against {against} at {', '.join(lacking)} labels")
        return bool(lacking)

    def positive(self, name: str, sample: Sample) -> dict:
        found = interval(sample, self.config.level)
        return part(name, found, "lower bound > 0", found.low > 0, self.config.level)

    def estimated(self, name: str, sample: Sample) -> dict:
        found = interval(sample, self.config.level)
        return part(name, found, "estimate > 0", found.estimate > 0, self.config.level)

    def within_margin(self, name: str, sample: Sample, metric: str) -> dict:
        level, margin = self.config.equivalence_level, self.config.margin(metric)
        found = interval(sample, level)
        return part(name, found, f"interval within ±{margin}", -margin < found.low and found.high < margin, level)

    def every_metric(self) -> Claim:
        claim = Claim("C1")
        if self.lacks(claim, self.arm, "scratch", self.small):
            return claim
        best = self.meta["floors"][OVERALL]
        name, least = "{} gain, small budgets", self.config.emotion_floor
        overall = {metric: self.gain(self.small, metric) for metric in (self.headline, "mae", "acc4")}
        claim.parts = [self.positive(name.format(metric), gain) for metric, gain in overall.items()]
        claim.equivalent = self.within_margin("", overall[self.headline], self.headline)["met"]
        claim.baselines = [
            self.estimated(f"{metric} over the best constant", self.over_constant(metric, best[metric]))
            for metric in ("mae", "acc4")
        ]
        each = [(metric, emotion) for metric in ("mae", "acc4") for emotion in self.effects.emotions]
        bounds = simultaneous([self.gain(self.small, *names) for names in each], self.config.level)
        claim.parts += claim.baselines + [
            part(f"{metric} gain, {emotion}", b, f"lower bound >= {least}", b.low >= least, self.config.level)
            for (metric, emotion), b in zip(each, bounds, strict=True)
        ]
        return claim

    def over_constant(self, metric: str, best: float) -> Sample:
        """How much better than the best constant, mean over the small budgets."""
        reached = mean([self.effects.level(self.group, self.arm, b, metric) for b in self.small])
        return (reached - best) * (-1.0 if metric == "mae" else 1.0)

    def few_labels(self) -> Claim:
        claim = Claim("C2")
        fewest = self.small[:2]
        if self.lacks(claim, self.arm, "scratch", [*fewest, self.full]):
            return claim
        few, full = self.gain(fewest, self.headline), self.gain([self.full], self.headline)
        claim.equivalent = self.within_margin("", few - full, self.headline)["met"]
        claim.parts = [
            self.positive(f"{self.headline} gain, two smallest budgets minus full", few - full),
            self.positive(f"{self.headline} gain, two smallest budgets", few),
            self.within_margin(f"{self.headline} gain, full budget", full, self.headline),
        ]
        claim.remarks.append("Near the constants gains can rise before they fall; the figure shows it.")
        return claim

    def trio(self) -> Claim:
        claim = Claim("C3")
        absent = [emotion for emotion in (*TRIO, *OTHERS) if emotion not in self.effects.emotions]
        if absent:
            claim.missing.append(f"the corpus has no {', '.join(absent)}")
            return claim
        if self.lacks(claim, self.arm, "scratch", self.small):
            return claim
        own = mean([self.gain(self.small, "auroc", emotion) for emotion in TRIO])
        more = own - mean([self.gain(self.small, "auroc", emotion) for emotion in OTHERS])
        claim.equivalent = self.within_margin("", more, "auroc")["met"]
        claim.parts = [
            self.positive("auroc gain, the trio minus the others", more),
            self.estimated("auroc gain, the trio", own),
        ]
        claim.remarks.append(self.equal_positives())
        if self.meta["category_names"]:
            claim.remarks.append("Acted, balanced emotions: this corpus does not test the claim as MOSEI does.")
        return claim

    def equal_positives(self) -> str:
        """The trio is often also the most frequent: compare gains at equal numbers of labelled positives instead.

        An emotion that is k times rarer than the most frequent one is taken at k times the budget, between the budgets
        of the study by linear interpolation in their logarithm; nothing is extrapolated.
        """
        ran, start = self.effects.budgets(self.group, self.arm, "scratch"), "With equal numbers of positives"
        most = max(self.prevalence[e] for e in (*TRIO, *OTHERS))
        rarer = {e: most / self.prevalence[e] if self.prevalence[e] > 0 else np.inf for e in (*TRIO, *OTHERS)}
        budgets = [b for b in self.small if b * max(rarer.values()) <= ran[-1]]
        if not budgets:
            return f"{start}: not comparable, the rarest emotion would need more labels than exist."

        def at(emotions: tuple[str, ...]) -> Sample:
            return mean([self.interpolated(e, b * rarer[e], ran) for b in budgets for e in emotions])

        found = interval(at(TRIO) - at(OTHERS), self.config.level)
        bounds = f"{found.low:+.3f} to {found.high:+.3f}" if np.isfinite(found.low) else "no interval"
        counts = f"({len(budgets)} of {len(self.small)} budgets)"
        return f"{start} {counts}: the trio minus the others {found.estimate:+.3f} ({bounds})."

    def interpolated(self, emotion: str, budget: float, ran: list[int]) -> Sample:
        above = min(int(np.searchsorted(ran, budget)), len(ran) - 1)
        if ran[above] <= budget or above == 0:
            return self.gain([ran[above]], "auroc", emotion)
        share = np.log(budget / ran[above - 1]) / np.log(ran[above] / ran[above - 1])
        low, high = (self.gain([b], "auroc", emotion) for b in ran[above - 1 : above + 1])
        return low * (1 - share) + high * share

    def embedded(self) -> Claim:
        claim = Claim("C4")
        for arm, against in (("pretrained", "scratch"), *FROZEN_PAIRS):
            if not self.lacks(claim, arm, against, self.small):
                sample = self.effects.gain(self.group, arm, against, self.small, self.headline)
                name = f"{self.headline} gain, {arm} over {against}, small budgets"
                claim.parts.append(self.positive(name, sample))
        if claim.missing:
            return claim
        claim.equivalent = self.within_margin("", self.gain(self.small, self.headline), self.headline)["met"]
        claim.parts.append(self.reconstruction())
        claim.remarks.append("Superiority over raw input is not claimed.")
        return claim

    def reconstruction(self) -> dict:
        """By which share the masked loss is below that of interpolation: mean and range over pretraining runs."""
        losses = [row for row in self.meta["pretraining"]["losses"] if row["protocol"] == self.group.protocol]
        shares = np.array([1 - row["masked"] / row["interpolation"] for row in losses])
        found = Interval(float(shares.mean()), float(shares.min()), float(shares.max()), float("nan"))
        return part("masked reconstruction below interpolation", found, "in every pretraining run", found.low > 0)


def main_group(meta: dict) -> Group:
    return Group(**{name: meta["main"][name] for name in ("protocol", "backbone", "readout")})


def small_budgets(budgets: list[int], config: EvidenceConfig) -> list[int]:
    """The smallest budgets of at least 28 labels, none where there are fewer of them than the claims speak of."""
    eligible = sorted(b for b in budgets if b >= config.least_budget)
    return eligible[: config.small_budgets] if len(eligible) >= config.small_budgets else []
