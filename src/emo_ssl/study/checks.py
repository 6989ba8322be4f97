"""Whether a study compares like with like, checked on what was really run, and whether anything leaked."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from emo_ssl.core.finetune import FinetuneConfig, Member
from emo_ssl.core.model import State
from emo_ssl.core.normalise import Normaliser
from emo_ssl.study.grid import ARMS
from emo_ssl.utils.io import UserError, hash_of


@dataclass(frozen=True)
class Record:
    """What a chunk was trained with, in a form that can be compared."""

    normaliser: str
    kind: str = ""  # "finetune", "probe", "constant"
    settings: str = ""  # hash of batch, crops, optimiser
    steps: int = 0
    parameters: int = 0
    subsets: dict[str, str] = field(default_factory=dict)  # "budget/seed" -> hash
    heads: dict[str, str] = field(default_factory=dict)  # "budget/seed" -> hash of the head's first weights
    pretrained_with: dict[str, int] = field(default_factory=dict)  # "seed" -> seed of the pretraining run
    longer: bool = False
    rate: float = 0.0
    trials: list[dict] = field(default_factory=list)

    @classmethod
    def of_constant(cls, normaliser: Normaliser) -> "Record":
        return cls(hash_arrays(normaliser.center, normaliser.scale), "constant")

    @classmethod
    def of_members(
        cls,
        members: Sequence[Member],
        heads: dict[str, str],
        settings: FinetuneConfig,
        normaliser: Normaliser,
        parameters: int,
        arm: str,
    ) -> "Record":
        plain = {name: value for name, value in asdict(settings).items() if name != "steps"}
        return cls(
            normaliser=hash_arrays(normaliser.center, normaliser.scale),
            kind="finetune" if parameters else "probe",
            settings=hash_of(plain),
            steps=settings.steps,
            parameters=parameters,
            subsets={member_name(m): hash_arrays(m.subset) for m in members},
            heads=heads,
            longer=ARMS[arm].steps > 1,
        )


def hash_arrays(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def member_name(member: Member) -> str:
    return f"{len(member.subset)}/{member.seed}"


def head_hash(state: State) -> str:
    return hash_arrays(*(value.cpu().numpy() for _, value in sorted(state.items())))


def judge(records: Mapping) -> dict[str, object]:
    """Compare the records of a study's chunks (keys have .fold, .protocol, .arm): the verdict, or a refusal."""
    same_in_fold("normaliser", records, lambda r: {"": r.normaliser})
    trained = {chunk: r for chunk, r in records.items() if r.kind != "constant"}
    same_in_fold("label subset", trained, lambda r: r.subsets)
    tuned = {chunk: r for chunk, r in trained.items() if r.kind == "finetune"}
    same_in_fold("head's initial weights", tuned, lambda r: r.heads)
    same_in_fold("number of parameters", tuned, lambda r: {"": r.parameters})
    for kind in ("finetune", "probe"):
        of_kind = {chunk: r for chunk, r in trained.items() if r.kind == kind}
        same_in_fold("batch or optimiser", of_kind, lambda r: {"": r.settings})
        same_in_fold("number of steps", {c: r for c, r in of_kind.items() if not r.longer}, lambda r: {"": r.steps})
        same_in_fold("number of tuned settings", of_kind, lambda r: {"": len(r.trials)})
    return {
        "verdict": "fair",
        "checked": ["normaliser", "label subsets", "initial weights", "parameters", "steps and optimiser", "tuning"],
        "parameters": sorted({r.parameters for r in tuned.values()}),
        "leaks": "none found: no recording and no speaker for validation or test was pretrained on",
    }


def same_in_fold(what: str, records: Mapping, facts) -> None:
    known: dict[tuple, tuple[object, str]] = {}
    for chunk, record in records.items():
        for name, value in facts(record).items():
            first, arm = known.setdefault((chunk.fold, chunk.protocol, name), (value, chunk.arm))
            if value != first:
                where = f" at {name}" if name else ""
                raise UserError(
                    f"the study is not fair: {what} of {chunk.arm} and {arm} differ in fold {chunk.fold} "
                    f"({chunk.protocol}){where}; delete the chunks of one and run again."
                )
