"""Whether a study compares like with like, checked on what was really trained."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from emo_ssl.core.metrics import OVERALL, Predictions
from emo_ssl.study.grid import ARMS, Chunk
from emo_ssl.utils.io import UserError

PROBE_OF = {"pretrained": "frozen-pretrained", "scratch": "frozen-random"}


@dataclass(frozen=True)
class TrainedWith:
    """What the members of a chunk were trained with, in a form that can be stored and compared."""

    normaliser: str  # a hash, as all strings below are
    settings: str = ""  # of batch, crops, optimiser
    steps: int = 0
    parameters: int = 0
    subsets: dict[str, str] = field(default_factory=dict)  # "budget/seed" -> of the labelled segments
    heads: dict[str, str] = field(default_factory=dict)  # "budget/seed" -> of the head's first weights
    pretraining_seeds: dict[str, int] = field(default_factory=dict)  # "seed" -> seed of the run it starts from
    rate: float = 0.0
    trials: list[dict[str, float]] = field(default_factory=list)  # "rate", "score"; of contrast "strangers"


def hash_arrays(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def check_fairness(trained: Mapping[Chunk, TrainedWith]) -> dict[str, object]:
    """Compare the arms of each fold and protocol: the verdict, or a refusal where they were not treated alike."""

    def of_kind(*kinds: str) -> dict[Chunk, TrainedWith]:
        return {chunk: with_ for chunk, with_ in trained.items() if ARMS[chunk.arm].kind in kinds}

    refuse_difference("normaliser", trained, lambda t: {"": t.normaliser})
    refuse_difference("label subset", of_kind("finetune", "probe", "classical"), lambda t: t.subsets)
    refuse_difference("head's initial weights", of_kind("finetune"), lambda t: t.heads)
    refuse_difference("number of parameters", of_kind("finetune"), lambda t: {"": t.parameters})
    for kind in ("finetune", "probe"):
        alike = of_kind(kind)
        usual = {chunk: t for chunk, t in alike.items() if ARMS[chunk.arm].steps == 1}
        refuse_difference("batch or optimiser", alike, lambda t: {"": t.settings})
        refuse_difference("number of steps", usual, lambda t: {"": t.steps})
        refuse_difference("number of tuned settings", alike, lambda t: {"": len(t.trials)})
    return {
        "verdict": "fair",
        "checked": ["normaliser", "label subsets", "initial weights", "parameters", "steps and optimiser", "tuning"],
        "parameters": sorted({t.parameters for t in of_kind("finetune").values()}),
        "leaks": "none found: no recording and no speaker for validation or test was pretrained on",
    }


def refuse_diverged(chunk: Chunk, rate: float, predictions: Predictions) -> None:
    """Members whose weights became no numbers: scored, they would pass for ones that always answer 0."""
    lost = [member for member, fine in zip(chunk.members, predictions.scored().all(1), strict=True) if not fine]
    if lost:
        budget, seed = lost[0]
        raise UserError(
            f"{len(lost)} of {len(chunk.members)} members of {chunk.arm} diverged at a rate of {rate:g} in fold "
            f"{chunk.fold} ({chunk.protocol}), the first of them at {budget} labels with seed {seed}; they are no "
            "evidence of anything, so study again at smaller rates."
        )


def below_their_probe(table: pd.DataFrame, headline: str) -> list[dict]:
    """Where a fine-tuned arm's mean headline is below its own frozen probe's: there its fine-tuning is at fault."""
    rows = table[(table["emotion"] == OVERALL) & (table["metric"] == headline)]
    found = []
    for protocol, under_it in rows.groupby("protocol"):
        means = under_it.pivot_table("value", "budget", "arm")
        for arm, probe in PROBE_OF.items():
            if arm in means and probe in means:
                budgets = means.index[means[arm] < means[probe]].tolist()
                found += [{"protocol": protocol, "arm": arm, "probe": probe, "budgets": budgets}] if budgets else []
    return found


def refuse_difference(
    what: str, trained: Mapping[Chunk, TrainedWith], facts: Callable[[TrainedWith], Mapping[str, object]]
) -> None:
    """facts: -> name (of a member, or "") -> what must be equal in every arm of a fold and protocol."""
    known: dict[tuple, tuple[object, str]] = {}
    for chunk, trained_with in trained.items():
        for name, value in facts(trained_with).items():
            first, arm = known.setdefault((chunk.fold, chunk.protocol, name), (value, chunk.arm))
            if value != first:
                where = f" at {name}" if name else ""
                raise UserError(
                    f"the study is not fair: {what} of {chunk.arm} and {arm} differ in fold {chunk.fold} "
                    f"({chunk.protocol}){where}; delete the chunks of one and run again."
                )
