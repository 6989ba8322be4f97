"""What a study means for whoever ran it, in three sentences: which recipe, how many labels it saves, is it worth it."""

import numpy as np

from emo_ssl.evidence import lookup, tables
from emo_ssl.evidence.effects import CLASSICAL

RIVALS = ("scratch", *CLASSICAL)  # what learns from labels alone


def verdict(evidence: dict) -> list[str]:
    """Of the protocol that the evidence has in front. One sentence where there is nothing to compare."""
    metric, budgets = evidence["headline"], evidence["small_budgets"]

    def few(arm: str) -> float:
        """What it reaches, mean over the small budgets; NaN where it was not run with all of them."""
        return sum(lookup.level(evidence, arm, metric, budget) for budget in budgets) / max(len(budgets), 1)

    recipes, rivals = ([arm for arm in arms if np.isfinite(few(arm))] for arms in (lookup.RECIPES, RIVALS))
    if not budgets or not recipes or not rivals:
        return ["No verdict: it takes a recipe, a rival and the small budgets."]
    best, rival = max(recipes, key=few), max(rivals, key=few)
    name, other = lookup.NAMES[best], lookup.NAMES[rival]
    few_recipes = {1: "the one recipe that was run", 2: "the better of 2 recipes"}
    many = few_recipes.get(len(recipes), f"the best of {len(recipes)} recipes")
    which = (
        f"What learns from speech without labels: {name}, {many}, reaches {lookup.SHORT[metric]} {few(best):.3f} "
        f"with few labels (mean over {', '.join(map(str, budgets))})."
    )
    needed = lookup.efficiency(evidence, best)
    needed = needed[needed["budget"] == budgets[0]]
    saved = "How many labels it saves is not known: training from scratch was not run beside it."
    if len(needed):
        saved = f"For what it reaches with {budgets[0]} labels training from scratch needs {needed['text'].iloc[0]}."
    change = lookup.gain(evidence, best, rival, metric)
    worth = {
        lookup.BETTER: "It is worth it",
        lookup.WORSE: "It is not worth it",
        lookup.NEITHER: "That it is worth it is not shown",
        lookup.UNKNOWN: "Whether it is worth it cannot be decided with so few speakers or seeds",
    }[lookup.outcome(change)]
    over = f"{tables.interval(change, sign=True)} over {other}, the best of what learns from labels alone"
    return [which, saved, f"{worth}: {over}."]
