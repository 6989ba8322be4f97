"""Where emotion is in a made-up corpus, and what is asked for when one is written."""

from dataclasses import dataclass, replace
from functools import cached_property

from emo_ssl.utils.io import UserError

GENERATOR = 2  # raise it with every change of what is written: results on two versions cannot be compared
SHARES = (0.0, 0.5, 1.0)
LEAST_VIDEOS = 4
WORDS = 400
EVENNESS = 4.0


@dataclass(frozen=True)
class Scenario:
    """Where emotion is and what stands in its way; 1 is the usual strength, in standard deviations."""

    static: float  # emotion in the mean level of speech
    share: float  # of the rhythms: 0, half or all of them follow emotion, the rest a nuisance
    order: str = ""  # what turns words round: "emotion", a "nuisance" drawn alike, or nothing
    words: int = WORDS  # in the vocabulary
    evenness: float = EVENNESS  # of the phones' lengths: their variance is the squared mean over this
    clutter: float = 1.0  # what moves besides the phones: rhythms, residual, noise
    rating: str = "mosei"  # how labels follow from emotion: as in CMU-MOSEI, or "plain"
    speaker: float = 1.0
    channel: float = 1.0
    channel_shift: float = 0.0  # how far the channels of valid and test videos lie from those of training

    @property
    def carries_emotion(self) -> bool:
        return self.static > 0 or self.share > 0 or self.order == "emotion"


CONTROL = Scenario(0.0, 0.0, "emotion", 6, 40.0, clutter=0.5, rating="plain", speaker=0.3, channel=0.3)
SCENARIOS = {
    "order": CONTROL,
    "order-null": replace(CONTROL, order="nuisance"),
    "null": Scenario(static=0.0, share=0.0),
    "static": Scenario(static=1.0, share=0.0),
    "dynamics": Scenario(static=0.0, share=1.0),
    "mixed": Scenario(static=0.5, share=0.5),
    "speaker": Scenario(static=0.5, share=0.5, speaker=2.0),
    "channel": Scenario(static=0.5, share=0.5, channel_shift=2.0),
}


@dataclass(frozen=True)
class SynthConfig:
    """What to write. `share` overrides the scenario's own; `clean` leaves the defects out."""

    videos: int = 40
    seed: int = 0
    scenario: str = "mixed"
    share: float | None = None
    clean: bool = False

    def __post_init__(self):
        if self.scenario not in SCENARIOS:
            raise UserError(f"There is no scenario {self.scenario!r}; choose one of {', '.join(SCENARIOS)}.")
        if self.share is not None and self.share not in SHARES:
            raise UserError(f"The share of the dynamics that carries emotion is one of 0, 0.5 and 1, not {self.share}.")
        if self.videos < LEAST_VIDEOS:
            raise UserError(f"A corpus needs at least {LEAST_VIDEOS} videos, one in each fold, not {self.videos}.")
        if self.seed < 0:
            raise UserError(f"A seed is a whole number from 0, not {self.seed}.")

    @cached_property
    def knobs(self) -> Scenario:
        scenario = SCENARIOS[self.scenario]
        return scenario if self.share is None else replace(scenario, share=float(self.share))
