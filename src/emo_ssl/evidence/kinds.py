"""What evidence.json holds, as the kind that its reader asks for: what lookups, tables and figures rely on."""

from typing import NotRequired, TypedDict

from emo_ssl.core.kinds import Made
from emo_ssl.study.predictions import Floor, MainGroup
from emo_ssl.utils.values import Count

Number = float | None


class Row(TypedDict):
    protocol: str
    backbone: str
    readout: str
    arm: NotRequired[str]
    against: NotRequired[str]
    metric: NotRequired[str]
    emotion: NotRequired[str]
    budget: NotRequired[Count | str]
    estimate: NotRequired[Number]
    low: Number
    high: Number
    p: NotRequired[Number]
    p_holm: NotRequired[Number]
    skill: NotRequired[Number]
    labels: NotRequired[Number]
    by_seed: NotRequired[list[Number]]


class Level(Row):
    arm: str


class Control(Row):
    against: str


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
    ledger_of_contrast: NotRequired[list[Claim]]  # where that recipe was run beside scratch
    gains: list[Row]
    levels: list[Level]
    controls: list[Control]
    label_efficiency: list[Row]
    confusion: list[Confusion]
