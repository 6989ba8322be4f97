"""What the 74 features of a COVAREP frame are: their names in the order of the files, in groups and in plain words."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Group:
    title: str
    names: tuple[str, ...]
    meaning: str

    @property
    def span(self) -> str:
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]} … {self.names[-1]}"


def numbered(stem: str, count: int) -> tuple[str, ...]:
    return tuple(f"{stem}_{i}" for i in range(count))


GLOTTIS = ("NAQ", "QOQ", "H1H2", "PSP", "MDQ", "peakSlope", "Rd", "Rd_conf")
GROUPS = (
    Group("pitch", ("F0", "VUV"), "how often the vocal folds open a second, in Hz, and whether they vibrate (0 or 1)"),
    Group("glottis", GLOTTIS, "how the vocal folds open and close: breathy, relaxed or pressed"),
    Group("creak", ("creak",), "how likely it is that the voice creaks, as at the end of a tired sentence"),
    Group("spectrum", numbered("MCEP", 25), "which sound is made: the shape of the mouth, from loudness to detail"),
    Group("phase mean", numbered("HMPDM", 25), "how the harmonics of the voice line up in time, on average"),
    Group("phase spread", numbered("HMPDD", 13), "how much that alignment wavers: a noisy voice wavers more"),
)
FEATURE_NAMES = tuple(name for group in GROUPS for name in group.names)


def groups_of(names: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """(title, positions among `names`) of every group that occurs, then "other" for names unknown to COVAREP."""
    title_of = {name: group.title for group in GROUPS for name in group.names}
    titles = np.array([title_of.get(name, "other") for name in names])
    order = [title for title in (*(group.title for group in GROUPS), "other") if (titles == title).any()]
    return [(title, np.flatnonzero(titles == title)) for title in order]
