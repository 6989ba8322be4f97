"""Emotions that nobody sees and the raters who score them: latent intensities, labels, and the best anyone could do.

Every segment has six latent intensities z, each standard normal over the corpus. A rater sees z through noise and gives
0, 1, 2 or 3; the label is the mean over three raters, now and then four. The noise is in the raters, not in the voice:
even a listener who knows z errs, and quadrature tells how often.
"""

from functools import cache
from math import sqrt

import numpy as np

from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.corpora.synthetic.geometry import normal_cdf

# share of segments with an intensity above 0, as in CMU-MOSEI
POSITIVE = {"happy": 0.535, "sad": 0.263, "anger": 0.212, "surprise": 0.101, "disgust": 0.178, "fear": 0.083}
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
RATER_NOISE = 0.9  # standard deviation, in units of z
STEPS = (0.0, 1.1, 2.1)  # how far the thresholds for scores 1, 2, 3 lie above the first, in units of z
FOUR_RATERS = 0.03  # share of segments with a fourth rater
LABEL_ICC = 0.28  # correlation of the labels of two segments of one video; real emotions have .2 to .35
SENTIMENT = np.array([1.3, -0.7, -0.9, 0.1, -0.7, -0.4])  # of the six scores, before rounding
SENTIMENT_NOISE = 0.5


@cache
def quadrature() -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for the expectation over one standard normal."""
    points, weights = np.polynomial.hermite_e.hermegauss(48)
    return points, weights / weights.sum()


def chance_of_presence(z: np.ndarray, threshold: float) -> np.ndarray:
    """P(label > 0 | z): at least one rater gives at least 1."""
    silent = normal_cdf((threshold - z) / RATER_NOISE)
    return 1 - (1 - FOUR_RATERS) * silent**3 - FOUR_RATERS * silent**4


def bisect(wanted: float, low: float, high: float, of) -> float:
    """Where the increasing function `of` equals `wanted`."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if of(middle) < wanted else (low, middle)
    return round((low + high) / 2, 9)  # beyond that the digits depend on the machine


@cache
def first_threshold(emotion: str) -> float:
    points, weights = quadrature()
    return bisect(1 - POSITIVE[emotion], -5, 5, lambda t: 1 - weights @ chance_of_presence(points, t))


def score_moments(z: np.ndarray, emotion: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of one rater's score given z."""
    at_least = normal_cdf((z[:, None] - first_threshold(emotion) - np.array(STEPS)) / RATER_NOISE)
    mean = at_least.sum(1)
    return mean, at_least @ np.array([1, 3, 5]) - mean**2


@cache
def video_share(emotion: str) -> float:
    """The share of z's variance that a video's segments have in common, so that their labels correlate by LABEL_ICC."""
    points, weights = quadrature()
    mean, variance = score_moments(points, emotion)
    average = weights @ mean
    raters = (1 - FOUR_RATERS) / 3 + FOUR_RATERS / 4
    total = weights @ (mean - average) ** 2 + raters * (weights @ variance)

    def label_correlation(share: float) -> float:
        other = share * points[:, None] + sqrt(1 - share**2) * points  # a second segment's z given the first one's
        expected = score_moments(other.ravel(), emotion)[0].reshape(other.shape) @ weights
        return weights @ ((mean - average) * (expected - average)) / total

    return bisect(LABEL_ICC, 0, 0.999, label_correlation)


@cache
def shares() -> tuple[np.ndarray, np.ndarray]:
    """video_share of the six emotions, (6,), and the matrix that makes independent normals correlate, (6, 6)."""
    return np.array([video_share(emotion) for emotion in EMOTIONS]), np.linalg.cholesky(CORRELATION)


def draw_latents(rng: np.random.Generator, n: int) -> np.ndarray:
    """z of n stretches of one video, (n, 6): a part that the video keeps and a part that changes."""
    share, mixing = shares()
    common, own = rng.standard_normal(6) @ mixing.T, rng.standard_normal((n, 6)) @ mixing.T
    return np.sqrt(share) * common + np.sqrt(1 - share) * own


def rate(rng: np.random.Generator, z: np.ndarray) -> np.ndarray:
    """(n, 6) latents -> (n, 7) labels: sentiment in [-3, 3], six intensities in [0, 3]."""
    n = len(z)
    thresholds = np.array([first_threshold(emotion) for emotion in EMOTIONS])[:, None] + np.array(STEPS)
    seen = z[:, None, :] + RATER_NOISE * rng.standard_normal((n, 4, 6))
    scores = (seen[..., None] > thresholds).sum(-1)  # (n, 4 raters, 6)
    mood = np.rint(np.clip(scores @ SENTIMENT + 0.3 + SENTIMENT_NOISE * rng.standard_normal((n, 4)), -3, 3))
    raters = np.where(rng.random(n) < FOUR_RATERS, 4, 3)
    present = (np.arange(4) < raters[:, None])[..., None]
    return (np.concatenate([mood[..., None], scores], 2) * present).sum(1) / raters[:, None]


def oracle_auroc() -> dict[str, float]:
    """AUROC of presence for someone who knows z: the ceiling of every corpus whose voices carry emotion.

    Given z_e the other latents say nothing more about label e, and presence grows with z_e: no score ranks better.
    """
    z = np.linspace(-6, 6, 4001)
    density = np.exp(-(z**2) / 2)
    result = {}
    for emotion in EMOTIONS:
        chance = chance_of_presence(z, first_threshold(emotion))
        hit, miss = density * chance, density * (1 - chance)
        below = np.cumsum(miss) - miss / 2
        result[emotion] = float((hit * below).sum() / (hit.sum() * miss.sum()))
    return result
