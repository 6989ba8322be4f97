"""What the JSON files of corpora, runs and models hold, as the kinds that their readers ask for."""

from typing import Annotated, Literal, NotRequired, TypedDict

from emo_ssl.core.metrics import BASELINES
from emo_ssl.utils.values import Count

Rate = Annotated[float, 1e-3, 1e6]  # frames a second
Loss = Annotated[float, 0.0, float("inf")]


class SpeechEncoder(TypedDict):
    folder: str
    model: str
    revision: str | None
    family: str
    blocks: Count
    sha256: str


class Header(TypedDict):
    format: Literal[2]
    content_hash: str
    source: str
    folds: str
    feature_names: list[str]
    target_names: list[str]
    category_names: list[str]
    frame_rate: Rate
    frames: Count
    dtype: Literal["<f4", "<f2"]
    convention: NotRequired[str]
    front_end: NotRequired[str]
    front_end_version: NotRequired[str | int]
    front_end_licence: NotRequired[str]
    keep_silence: NotRequired[bool]
    layers: NotRequired[list[Count]]
    speech_encoder: NotRequired[SpeechEncoder]


class Made(TypedDict):
    """Which corpus something was made from."""

    content_hash: str
    source: str
    folds: str


class RunConfig(TypedDict):
    kind: str
    steps: Count
    protocol: str
    enrolment: Count
    layer: NotRequired[Count | list[Count] | None]


class Origin(TypedDict):
    commit: str


class Result(TypedDict):
    config: RunConfig
    encoder: dict
    seed: Count
    fold: Count
    feature_names: list[str]
    frame_rate: float
    front_end: NotRequired[str | None]
    front_end_version: NotRequired[str | int | None]
    corpora: list[Made]
    recordings: list[str]
    speakers: list[str]
    parameters: Count
    held_out: TypedDict("HeldOut", dict.fromkeys(("model", "before training", *BASELINES), float))
    provenance: Origin


class Line(TypedDict):
    step: Count
    loss: NotRequired[Loss]
    held_out: NotRequired[Loss]


class Shape(TypedDict):
    kind: str


class Description(TypedDict):
    encoder: Shape
    head: dict
    feature_names: list[str]
    target_names: list[str]
    category_names: list[str]
    frame_rate: Rate
    front_end: str
    front_end_version: str | int | None
    speech_encoder: NotRequired[SpeechEncoder | None]
    keep_silence: bool | None
    corpus: Made
    labels: Count
    test: dict[str, float | None]
