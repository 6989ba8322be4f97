"""Hidden emotions, the labels they get, and the best that anyone could do.

Every stretch has six latent intensities z, each standard normal over the corpus. A label sees z through noise: the
levels 1/3, 2/3, … 3 begin at evenly spaced thresholds. The noise is in the label, not in the voice: even who knows z
errs now and then.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from emo_ssl.corpora.csd import EMOTIONS

POSITIVE = {"happy": 0.535, "sad": 0.263, "anger": 0.212, "surprise": 0.101, "disgust": 0.178, "fear": 0.083}  # MOSEI
# correlation of the latents: a design choice (signs as one would expect them), order of EMOTIONS
CORRELATION = np.array(
    [
        [1.00, -0.35, -0.40, 0.05, -0.40, -0.20],
        [-0.35, 1.00, 0.30, 0.05, 0.25, 0.30],
        [-0.40, 0.30, 1.00, 0.10, 0.55, 0.15],
        [0.05, 0.05, 0.10, 1.00, 0.10, 0.20],
        [-0.40, 0.25, 0.55, 0.10, 1.00, 0.10],
        [-0.20, 0.30, 0.15, 0.20, 0.10, 1.00],
    ]
)
MIXING = np.linalg.cholesky(CORRELATION)
HIGHEST = 9  # thirds
# share of z's variance that the stretches of a video have in common, so that their labels correlate by about .28
VIDEO_SHARE = np.array([0.51, 0.63, 0.65, 0.72, 0.67, 0.75])
SENTIMENT = np.array([1.3, -0.7, -0.9, 0.1, -0.7, -0.4])  # of the six intensities


@dataclass(frozen=True)
class Rating:
    """How labels follow from the latents."""

    positive: tuple[float, ...]  # share of labels above 0
    noise: float  # standard deviation, in units of z
    step: float  # how far the thresholds of the levels lie apart

    @property
    def typical(self) -> np.ndarray:
        """(6,) as many z lie above as labels above 0."""
        return ndtri(1 - np.array(self.positive))

    @property
    def thresholds(self) -> np.ndarray:
        """(6,) of presence."""
        return self.typical * np.sqrt(1 + self.noise**2)


RATINGS = {
    "mosei": Rating(tuple(POSITIVE.values()), noise=0.7, step=0.38),
    "plain": Rating((0.5,) * 6, noise=0.2, step=0.05),  # there or not, each in half of the segments, and mostly strong
}
MOSEI = RATINGS["mosei"]


def draw_latents(rng: np.random.Generator, n: int) -> np.ndarray:
    """z of n stretches of one video, (n, 6): a part that the video keeps and a part that changes."""
    common, own = rng.standard_normal(6) @ MIXING.T, rng.standard_normal((n, 6)) @ MIXING.T
    return np.sqrt(VIDEO_SHARE) * common + np.sqrt(1 - VIDEO_SHARE) * own


def draw_labels(rng: np.random.Generator, z: np.ndarray, rating: Rating = MOSEI) -> np.ndarray:
    """(n, 6) latents -> (n, 7) labels in thirds: sentiment in [-3, 3], six intensities in [0, 3]."""
    seen = z + rating.noise * rng.standard_normal(z.shape)
    intensities = np.clip(np.ceil((seen - rating.thresholds) / rating.step), 0, HIGHEST) / 3
    mood = intensities @ SENTIMENT + 0.8 * rng.standard_normal(len(z))
    return np.column_stack([np.clip(np.rint(3 * mood), -HIGHEST, HIGHEST) / 3, intensities])


def oracle_auroc(rating: Rating = MOSEI) -> dict[str, float]:
    """AUROC of presence for someone who knows z: the ceiling of every corpus whose frames carry emotion.

    Given z_e the other latents say nothing more about label e, and presence grows with z_e: no score ranks better.
    """
    z = np.linspace(-6, 6, 4001)[:, None]
    density, chance = np.exp(-(z**2) / 2), ndtr((z - rating.thresholds) / rating.noise)
    hit, miss = density * chance, density * (1 - chance)
    below = np.cumsum(miss, 0) - miss / 2
    return dict(zip(EMOTIONS, ((hit * below).sum(0) / (hit.sum(0) * miss.sum(0))).tolist(), strict=True))
