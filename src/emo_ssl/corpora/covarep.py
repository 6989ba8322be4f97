"""What the 74 numbers of a COVAREP frame are, in groups and in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from emo_ssl.corpora.csd import FEATURE_NAMES


@dataclass(frozen=True)
class Group:
    title: str
    first: str  # name of the first feature
    last: str
    meaning: str

    @property
    def span(self) -> str:
        return self.first if self.first == self.last else f"{self.first} … {self.last}"

    @property
    def names(self) -> tuple[str, ...]:
        return FEATURE_NAMES[FEATURE_NAMES.index(self.first) : FEATURE_NAMES.index(self.last) + 1]


GROUPS = (
    Group(
        "pitch", "F0", "VUV", "how often the vocal folds open a second, in Hz, and whether they vibrate at all (0 or 1)"
    ),
    Group("glottis", "NAQ", "Rd_conf", "how the vocal folds open and close: breathy, relaxed or pressed"),
    Group("creak", "creak", "creak", "how likely it is that the voice creaks, as at the end of a tired sentence"),
    Group("spectrum", "MCEP_0", "MCEP_24", "which sound is made: the shape of the mouth, from loudness to fine detail"),
    Group("phase mean", "HMPDM_0", "HMPDM_24", "how the harmonics of the voice line up in time, on average"),
    Group("phase spread", "HMPDD_0", "HMPDD_12", "how much that alignment wavers: a noisy voice wavers more"),
)


def groups_of(names: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """(title, positions among `names`) of every group that occurs, then "other" for names unknown to COVAREP."""
    title_of = {name: group.title for group in GROUPS for name in group.names}
    titles = np.array([title_of.get(name, "other") for name in names])
    order = [title for title in (*(group.title for group in GROUPS), "other") if (titles == title).any()]
    return [(title, np.flatnonzero(titles == title)) for title in order]
