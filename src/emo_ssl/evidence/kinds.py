"""What evidence.json holds, as the kind that its reader asks for: what lookups, tables and figures rely on."""

from typing import Literal, NotRequired, TypedDict

from emo_ssl.core.kinds import Made
from emo_ssl.study.predictions import Floor, MainGroup
from emo_ssl.utils.values import Count

Number = float | None


class Row(TypedDict):
    protocol: str
    backbone: str
    readout: str
    low: Number
    high: Number


class Level(Row):
    arm: str
    metric: str
    emotion: str
    budget: Count
    estimate: Number
    skill: NotRequired[Number]
    by_seed: NotRequired[list[Number]]


class Difference(Row):
    arm: str
    against: str
    metric: str
    estimate: Number
    p: Number
    p_holm: Number


class Gain(Difference):
    emotion: str
    budget: Count | Literal["small"]
    by_seed: NotRequired[list[Number]]


class Efficiency(Row):
    arm: NotRequired[str]  # early evidence has one arm
    budget: Count
    labels: Number
    text: str


class Claim(TypedDict):
    claim: str
    title: str
    verdict: str
    reason: str


class Confusion(TypedDict):
    arm: str
    budget: Count
    four_classes: list[list[list[Count]]]
    categories: list[list[Count]]


class Evidence(TypedDict):
    corpus: Made
    main: MainGroup
    headline: str
    target_names: list[str]
    category_names: list[str]
    budgets: list[Count]
    small_budgets: list[Count]
    full_budget: Count
    seeds: Count
    units: Count
    items: Count
    floors: dict[str, Floor]
    ledger: list[Claim]
    ledger_of_recipe: NotRequired[list[Claim]]  # where that recipe was run beside scratch
    gains: list[Gain]
    levels: list[Level]
    controls: list[Difference]
    label_efficiency: list[Efficiency]
    confusion: list[Confusion]
