"""Contrast within speakers, in closed form: what stays the same within a clip and differs between clips of one speaker.

Two parts of one clip share its mood, its microphone and its speaker, but not its words. Clips of the same speaker share
the last two as well. So directions in which parts of a clip agree, while clips of one speaker do not, are about how a
clip is spoken. With linear features no network is needed for such a contrast: the directions solve an eigenproblem.
No label is used. What is contrasted are mean and deviation of each feature, and where features are few also how every
two of them move together, at once and a moment apart.
"""

from dataclasses import dataclass

import numpy as np

from emo_ssl.core.batches import windows
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.linear import MOST_LAGGED
from emo_ssl.core.normalise import Normaliser
from emo_ssl.study import vectors

PARTS = 4  # of a clip
WINDOW = 5.0  # seconds: longer recordings are cut into clips of this length
RIDGE = 1.0  # times the mean variance, added to what is to be avoided
STRANGERS = (1.0, 5.0)  # how much more than variance within clips that between speakers is avoided; one is tuned
FEW = MOST_LAGGED  # features at most for covariances beside mean and deviation
LAG = 0.02  # seconds between the frames of a lagged covariance
PLAIN = 0.1  # the variance of plain numbers beside the 1 of those along directions


def directions(parts: np.ndarray, speaker: np.ndarray, strangers: float) -> tuple[np.ndarray, np.ndarray]:
    """parts (U, K, I) of U unlabelled clips, speaker (U,) -> contrast (J,) and its direction, a column of (I, J).

    The contrast of a direction: the variance between clips of a speaker, as far as chance does not explain it, over the
    variance within clips and between speakers. Directions without any have 0, or are left out, J < I, where there are
    fewer parts than numbers: along them nothing differs.
    """
    from scipy.linalg import eigh  # takes a quarter of a second to import

    numbers, span = parts.shape[2], None
    if parts.size < numbers**2:
        span = np.linalg.svd((parts - parts.mean((0, 1))).reshape(-1, numbers), full_matrices=False)[2]
        parts = parts @ span.T
    clips, count = parts.mean(1), parts.shape[1]
    _, who = np.unique(speaker, return_inverse=True)
    speakers = np.stack([clips[who == s].mean(0) for s in range(who.max() + 1)])
    within = covariance((parts - clips[:, None]).reshape(-1, parts.shape[2])) * count / (count - 1)
    between = covariance(clips - speakers[who]) - within / count
    avoided = within + strangers * covariance(speakers - speakers.mean(0))
    avoided += RIDGE * max(np.trace(avoided) / numbers, 1e-9) * np.eye(len(avoided))  # frames may be constant
    contrast, axes = eigh(between, avoided)
    return np.maximum(contrast, 0.0), axes if span is None else span.T @ axes


def covariance(x: np.ndarray) -> np.ndarray:
    """Of centred rows (n, I)."""
    return x.T @ x / len(x)


@dataclass(frozen=True)
class Contrast:
    """A summary of frames (J,) -> the plain numbers, and their values along directions (I,); all of it linear.

    Each layer of a speech encoder has directions of its own. Beside them stand the plain numbers, so that many labels
    can find what no contrast has shown; alone, where there is nothing to contrast.
    """

    centre: np.ndarray  # (J,)
    spread: np.ndarray  # (J,)
    along: list[tuple[np.ndarray, np.ndarray]]  # a layer's columns (n,) and directions (n, m)

    @classmethod
    def of(cls, pool: np.ndarray, parts: np.ndarray, speaker: np.ndarray, layers: list, strangers: float) -> "Contrast":
        """From training segments (P, J), and parts (U, K, J) of unlabelled clips by speakers (U,)."""
        centre, spread = vectors.units(pool)
        plain, parts, along = (pool - centre) / spread, (parts - centre) / spread, []
        for columns in layers:
            contrast, axes = directions(parts[..., columns], speaker, strangers)
            if contrast.any():  # else clips of one speaker differ no more than their parts do
                # the variance of a direction is its contrast; all together they are as large as standardised features
                scale = np.sqrt(contrast * len(columns) / contrast.sum()) / vectors.units(plain[:, columns] @ axes)[1]
                along.append((columns, axes * scale))
        return cls(centre, spread, along)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(N, J) -> (N, I)."""
        plain = (x - self.centre) / self.spread
        return np.hstack([plain * PLAIN**0.5, *(plain[:, columns] @ axes for columns, axes in self.along)])

    def read_off(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What weight (C, I) and bias (C,) on our numbers are on the summary itself: (C, J) and (C,)."""
        sizes = [len(self.centre), *(axes.shape[1] for _, axes in self.along)]
        out, *rest = np.split(weight, np.cumsum(sizes)[:-1], 1)
        out = out * PLAIN**0.5
        for (columns, axes), part in zip(self.along, rest, strict=True):
            out[:, columns] += part @ axes.T
        out /= self.spread
        return out, bias - out @ self.centre


def table(corpus: Corpus, normaliser: Normaliser, strangers: float) -> np.ndarray:
    """(N, I): what contrast, as the training pool shows it, makes of the summaries of segments."""
    whole, *seen = summaries(corpus, normaliser)
    return Contrast.of(whole[corpus.where("train")], *seen, strangers)(whole)


def summaries(corpus: Corpus, normaliser: Normaliser) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
    """Of segments (N, J); of the parts of unlabelled clips (U, K, J), their speakers (U,); columns of each layer."""
    lag = lag_of(corpus)
    segments = range(len(corpus))
    frames = (
        normaliser(np.asarray(corpus.segment(i), np.float32), int(corpus.segments.recording[i])) for i in segments
    )
    whole = np.stack([summary(part, lag) for part in frames])
    return whole, *unlabelled(corpus, normaliser), blocks(corpus, whole.shape[1])


def lag_of(corpus: Corpus) -> int:
    """Frames between those of a lagged covariance; 0 where there are too many features for covariances."""
    return 0 if corpus.layers or len(corpus.feature_names) > FEW else max(1, round(LAG * corpus.frame_rate))


def summary(frames: np.ndarray, lag: int) -> np.ndarray:
    """(T, D) -> mean and deviation of each feature; with a lag also the covariances of every two, at one time and with
    so many frames between them: (2 D,) or (2 D + D (D - 1) / 2 + D D,)."""
    found = [vectors.mean_deviation(frames)]
    if lag:
        away = frames - frames.mean(0)
        found.append(covariance(away)[np.triu_indices(frames.shape[1], 1)])
        found.append((away[lag:].T @ away[: max(0, len(away) - lag)] / len(away)).ravel())
    return np.concatenate(found)


def blocks(corpus: Corpus, numbers: int) -> list[np.ndarray]:
    """Columns of summaries (N, J) a layer; all in one where there are no layers."""
    of = np.array([name.partition(".")[0] for name in corpus.feature_names])
    layers = [np.flatnonzero(of == f"L{number}") for number in corpus.layers]
    return [np.concatenate((columns, len(of) + columns)) for columns in layers] or [np.arange(numbers)]


def unlabelled(corpus: Corpus, normaliser: Normaliser) -> tuple[np.ndarray, np.ndarray]:
    """Clips of all that pretraining may read: summaries of their parts (U, K, J), speakers (U,)."""
    recordings, lag = corpus.recordings, lag_of(corpus)
    cut = windows(corpus, corpus.recordings_of("train", "none"), round(WINDOW * corpus.frame_rate))
    long_enough = cut[2] >= PARTS
    parts, speaker = [], []
    for r, first, length in zip(*(column[long_enough] for column in cut), strict=True):
        frames = normaliser(np.asarray(corpus.frames[first : first + length], np.float32), int(r))
        parts.append([summary(part, lag) for part in np.array_split(frames, PARTS)])
        speaker.append(recordings.speaker[r] or recordings.id[r])
    return np.array(parts, np.float64), np.array(speaker)
