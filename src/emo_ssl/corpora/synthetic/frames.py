"""Frames of made-up speech: phones above all, then the speaker and the channel, then rhythms, then a trace of emotion.

A frame is a sum over groups of factors, each turned into the 74 features by a fixed matrix. Each group owns a stated
share of every feature's variance (SHARES), and emotion can enter in two of them and in the phones' order only:

  static     an offset of the speech frames, linear in the six latent intensities;
  rhythm     twelve rotations, each a pair of factors that circle at a rate of about 1 to 5 turns a second. The rate
             follows a carrier: an emotion's latent or a nuisance drawn alike. Position and size of a rotation have one
             distribution whatever the rate, so that no single frame, and no mean or spread, tells the carrier: only
             the order of frames does.
  order      each word belongs to an emotion and turns round, its last phone first, where that emotion is there. Frames
             stay what they were and change places only, so that nothing but knowing the words gives the emotion away.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from emo_ssl.corpora.covarep import FEATURE_NAMES
from emo_ssl.corpora.synthetic.geometry import FRAME_RATE
from emo_ssl.corpora.synthetic.labels import RATINGS
from emo_ssl.corpora.synthetic.scenarios import EVENNESS, WORDS, Scenario

WIDTH = len(FEATURE_NAMES)
COLUMN = {name: i for i, name in enumerate(FEATURE_NAMES)}
GATED = ("NAQ", "QOQ", "H1H2", "PSP")  # measured on glottal pulses: 0 where there are none
ALMOST_ZERO = slice(COLUMN["HMPDM_0"], COLUMN["HMPDM_3"] + 1)  # in nearly every real video
LIMITS = {
    **{"NAQ": (0, 1), "QOQ": (0, 1), "PSP": (0, 2), "MDQ": (0, 1), "peakSlope": (-2, -0.001)},
    **{"Rd": (0.3, 2.7), "Rd_conf": (0, 1)},
}

# Share of a feature's variance over all frames, by group of factors, in a scenario whose strengths are all 1.
SHARES = {
    **{"phones": 0.46, "speaker": 0.14, "channel": 0.08, "rhythm": 0.15},
    **{"residual": 0.06, "noise": 0.10, "static": 0.01},
}
FACTORS = {"phones": 12, "speaker": 10, "channel": 5, "rhythm": 24, "residual": 8, "static": 6}
# Part of the variance of speaker and channel offsets that follows no common factor, so that it cannot be projected out
IDIOSYNCRATIC = 0.4

PHONES, VOWELS, VOICED = 40, 15, 28  # phones 0-14 are vowels, 0-27 voiced, 28-39 voiceless; number 40 is the pause
PAUSE = PHONES
LONGEST_WORD = 8
LONG_WORD = 5  # phones, at least, of a small vocabulary's words
PHONE_FRAMES = 8.0  # 80 ms on average
PAUSE_FRAMES = 30.0  # median
PAUSE_CHANCE = 0.24  # after a word, for the average speaker
PAUSE_SHARE = 0.15  # of all frames; follows from the three above and is used to centre the features

RHYTHMS = 12  # two for each emotion: one quickens with it, the other slows down
RATES = (1.2, 3.6)  # turns a second, geometrically spaced, half to double of that by the carrier
RHYTHM_KNOT = 80  # frames over which a rotation's position is forgotten
RESIDUAL_KNOT = 8

# Mean over real videos of the per-video mean, and its standard deviation, for COVAREP dimensions 0-35: numbers computed
# from 922 videos of CMU-MOSEI (valid and test). The other phase features have no statistics known to us: a guess.
REAL_MEANS = np.array(
    [
        *(173.865, 0.63653, 0.07347, 0.2825, 0.82313, 0.31511, 0.11668, -0.31522, 1.53728, 0.50548, 0.26764),
        *(-7.57923, 2.10557, -0.00412, 0.29292, -0.15323, -0.09752, -0.09404, -0.01859, -0.00137, 0.04219),
        *(-0.03686, 0.02716, -0.05059, 0.04289, -0.04544, 0.01339, -0.02095, 0.02966, -0.02452, 0.02247),
        *(-0.01099, 0.01548, -0.01655, 0.01672, -0.0144),
    ]
)
REAL_SPREADS = np.array(
    [
        *(48.1342, 0.10955, 0.02886, 0.10798, 2.66062, 0.09113, 0.01002, 0.05886, 0.15064, 0.05047, 0.0943),
        *(0.87038, 0.43963, 0.3677, 0.24911, 0.18404, 0.15054, 0.12936, 0.117, 0.09579, 0.08376),
        *(0.06977, 0.06419, 0.06615, 0.05488, 0.05267, 0.05003, 0.04427, 0.04307, 0.03876, 0.03491),
        *(0.0345, 0.03104, 0.0294, 0.02536, 0.02417),
    ]
)


@dataclass(frozen=True)
class Language:
    """What all videos of all scenarios share: words, phones and the matrices from factors to features."""

    words: np.ndarray  # (WORDS, LONGEST_WORD) phone numbers, -1 beyond a word's end
    word_chance: np.ndarray  # (WORDS,)
    targets: np.ndarray  # (PHONES + 1, 12) where each phone draws the articulators
    phone_frames: np.ndarray  # (PHONES + 1,) mean length, of a pause too
    base_rates: np.ndarray  # (RHYTHMS,) turns a second
    loadings: dict[str, np.ndarray]  # group -> (factors, 74), squares in a column sum to the group's share
    pause: np.ndarray  # (1, 74) what a pause changes
    centre: np.ndarray  # (74,)
    scale: np.ndarray  # (74,) one standard deviation of all frames

    def vocabulary(self, words: int) -> tuple[np.ndarray, np.ndarray]:
        """The words and their chances: all of them, or the first long ones, each as frequent as the next."""
        if words == WORDS:
            return self.words, self.word_chance
        return self.words[(self.words >= 0).sum(1) >= LONG_WORD][:words], np.full(words, 1 / words)


@dataclass(frozen=True)
class Stretches:
    """A video cut into stretches of one emotional state each, labelled or not."""

    edges: np.ndarray  # (S + 1,) frames
    latents: np.ndarray  # (S, 6) emotions
    nuisance: np.ndarray  # (S, 6) drawn like them, carries nothing

    def over_frames(self, values: np.ndarray) -> np.ndarray:
        """A value for each stretch, (S, K) -> one for each frame, (T, K)."""
        return np.repeat(values, np.diff(self.edges), axis=0)


def smooth_loadings(rng: np.random.Generator, factors: int) -> np.ndarray:
    """Random (factors, 74) in which neighbouring cepstra resemble each other, as they do in speech."""
    raw = rng.standard_normal((factors, WIDTH + 2))
    return raw[:, 1:-1] + 0.5 * (raw[:, :-2] + raw[:, 2:])


@cache
def language() -> Language:
    """One fixed language: its seed is part of the generator, not of a corpus."""
    rng = np.random.default_rng(20240501)
    consonants = rng.integers(VOWELS, PHONES, (WORDS, LONGEST_WORD))
    syllabic = (np.arange(LONGEST_WORD) + rng.integers(0, 2, (WORDS, 1))) % 2 == 0
    words = np.where(syllabic, rng.integers(0, VOWELS, (WORDS, LONGEST_WORD)), consonants)
    words[np.arange(LONGEST_WORD) >= rng.integers(2, LONGEST_WORD + 1, (WORDS, 1))] = -1
    chance = 1 / (np.arange(WORDS) + 8.0)  # Zipf, flattened at the top
    chance /= chance.sum()
    lengths = np.append(PHONE_FRAMES * np.exp(rng.normal(0, 0.25, PHONES)), PAUSE_FRAMES)
    rates = RATES[0] * (RATES[1] / RATES[0]) ** (rng.permutation(RHYTHMS) / (RHYTHMS - 1))
    loadings = {}
    for group, factors in FACTORS.items():
        matrix = smooth_loadings(rng, factors)
        loadings[group] = matrix * np.sqrt(SHARES[group] / (matrix**2).sum(0))
    loadings["channel"][:, COLUMN["F0"]] = 0  # a microphone does not change the pitch
    pause = 0.25 * smooth_loadings(rng, 1)
    pause[0, [COLUMN["MCEP_0"], COLUMN["MCEP_1"], COLUMN["Rd_conf"]]] = -1.9, -0.7, -0.8
    centre, scale = marginals()

    # move and turn the phones' targets so that the articulators of running speech are uncorrelated with variance 1
    targets = rng.standard_normal((PHONES + 1, FACTORS["phones"]))
    targets[:VOWELS, :4] += 0.8
    targets[VOICED:PHONES, :4] -= 0.8
    phones, _, _ = phone_sequence(rng, words, chance, lengths, 200_000, PAUSE_CHANCE)
    track = glide(targets[phones])
    # rounded, because the last digits of a covariance depend on how many threads computed it
    turn = np.linalg.inv(np.linalg.cholesky(np.cov(track.T))).round(6)
    targets = (targets - track.mean(0).round(6)) @ turn.T
    # features that exist in voiced frames only are centred on those
    voiced_mean = ((track[phones < VOICED].mean(0) - track.mean(0)) @ turn.T).round(6)
    bias = voiced_mean @ loadings["phones"] - PAUSE_SHARE * pause[0]
    centre = centre - np.where(np.isin(FEATURE_NAMES, GATED), bias, 0) * scale
    return Language(words, chance, targets.astype(np.float32), lengths, rates, loadings, pause, centre, scale)


def marginals() -> tuple[np.ndarray, np.ndarray]:
    """Centre and standard deviation of each feature before gating, clipping and the exponential of F0.

    The real table gives per-video means only. Speaker and channel own about a fifth of the variance, so the standard
    deviation over frames is taken as sqrt(5) times that of the means, except where that breaks a feature's bounds.
    """
    centre, scale = np.zeros(WIDTH), np.zeros(WIDTH)
    centre[:36], scale[:36] = REAL_MEANS, np.sqrt(5) * REAL_SPREADS
    for name, spread in {"NAQ": 0.055, "QOQ": 0.20, "H1H2": 7.0, "PSP": 0.22}.items():
        centre[COLUMN[name]], scale[COLUMN[name]] = REAL_MEANS[COLUMN[name]] / REAL_MEANS[COLUMN["VUV"]], spread
    centre[COLUMN["F0"]], scale[COLUMN["F0"]] = 0.0, 0.22  # logarithm, relative to the speaker's base
    centre[COLUMN["creak"]], scale[COLUMN["creak"]] = -1.45, 1.1  # logit
    k = np.arange(21)
    centre[40:61], scale[40:61] = 0.25 * np.sin(k / 4), 0.15 + 0.04 * k
    centre[61:], scale[61:] = 0.3 + 0.05 * k[:13], 0.12 + 0.03 * k[:13]
    return centre, scale


def phone_sequence(
    rng: np.random.Generator,
    words: np.ndarray,
    chance: np.ndarray,
    phone_frames: np.ndarray,
    frames: int,
    pause_chance: float,
    evenness: float = EVENNESS,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Words drawn one by one, now and then a pause between two.

    Of every frame, (frames,): its phone or PAUSE, its word's number in the vocabulary (-1 in a pause), and which of
    the words and pauses spoken it belongs to.
    """
    n = int(1.3 * frames / (5 * phone_frames[:PHONES].mean())) + 20
    spoken = np.full((n, LONGEST_WORD + 1), -1)
    drawn = np.searchsorted(np.cumsum(chance)[:-1], rng.random(n))
    spoken[:, :-1] = words[drawn]
    spoken[rng.random(n) < pause_chance, -1] = PAUSE
    phones, unit = spoken[spoken >= 0], np.nonzero(spoken >= 0)[0]
    word, unit = np.where(phones == PAUSE, -1, drawn[unit]), 2 * unit + (phones == PAUSE)
    spread = rng.standard_gamma(evenness, len(phones)) / evenness
    spread = np.where(phones == PAUSE, np.exp(0.6 * rng.standard_normal(len(phones))), spread)
    lengths = np.maximum(np.rint(phone_frames[phones] * spread), 2).astype(int)
    # cuts; repeats only if every word came out far too short
    return tuple(np.resize(np.repeat(values, lengths), frames) for values in (phones, word, unit))


def turned(phones: np.ndarray, word: np.ndarray, unit: np.ndarray, mood: np.ndarray) -> np.ndarray:
    """phones (T,), their last frame first in every word whose emotion is there when it begins: mood (T, 6) bool."""
    frame = np.arange(len(phones))
    begins = np.flatnonzero(np.diff(unit, prepend=-1))
    number = np.searchsorted(begins, frame, side="right") - 1
    first, last = begins[number], np.append(begins[1:], len(phones))[number] - 1
    backwards = (word >= 0) & mood[first, word % mood.shape[1]]
    return phones[np.where(backwards, first + last - frame, frame)]


def glide(steps: np.ndarray) -> np.ndarray:
    """Coarticulation: (T, K) steps -> (T, K) smoothed by a triangle of 50 ms."""
    padded, n = np.concatenate([steps[:1], steps[:1], steps, steps[-1:], steps[-1:]]), len(steps)
    return sum(weight * padded[i : i + n] for i, weight in enumerate((1, 2, 3, 2, 1))) / 9


def wander(rng: np.random.Generator, frames: int, factors: int, knot: int) -> np.ndarray:
    """Smooth noise, (frames, factors): standard normal at every frame, forgotten after two knots.

    Between two independent normals the path follows a quarter circle, which keeps the variance at 1 all the way.
    """
    start = int(rng.integers(knot))
    n = (frames + start) // knot + 2
    knots = rng.standard_normal((n + 1, 1, factors), dtype=np.float32)
    angle = (np.arange(knot, dtype=np.float32) * np.float32(np.pi / 2 / knot))[:, None]
    path = np.cos(angle) * knots[:-1] + np.sin(angle) * knots[1:]  # (n, knot, factors)
    return path.reshape(n * knot, factors)[start : start + frames]


def carriers(stretches: Stretches, share: float) -> np.ndarray:
    """What drives each rotation, (S, RHYTHMS): of an emotion's two, the first from share .5 on, the second at share 1.

    The second one has the opposite sign, so that no overall tempo gives the emotion away.
    """
    first = stretches.latents if share >= 0.5 else stretches.nuisance
    second = stretches.latents if share == 1 else stretches.nuisance
    return np.concatenate([first, -second], 1)


def rotations(rng: np.random.Generator, stretches: Stretches, share: float, tempo: float) -> np.ndarray:
    """(T, 2 * RHYTHMS): the two coordinates of each rotation, every one standard normal at every frame.

    Only the phase depends on the carrier; all random numbers are the same whatever it is.
    """
    position = wander(rng, int(stretches.edges[-1]), 2 * RHYTHMS, RHYTHM_KNOT)
    x, y = position[:, :RHYTHMS], position[:, RHYTHMS:]
    rates = tempo * language().base_rates * 2 ** np.tanh(carriers(stretches, share) / 2)  # (S, RHYTHMS)
    turns = np.cumsum(stretches.over_frames(rates / FRAME_RATE), axis=0)
    angle = ((turns % 1) * (2 * np.pi)).astype(np.float32)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.concatenate([cos * x - sin * y, sin * x + cos * y], 1)


def offset(rng: np.random.Generator, group: str, strength: float, shift: float = 0.0) -> np.ndarray:
    """A video's constant offset, (1, 74): common factors of the group, and a part of its own in each feature."""
    matrix = language().loadings[group]
    common = (rng.standard_normal((1, len(matrix))) + shift) @ matrix
    own = rng.standard_normal((1, WIDTH)) * np.sqrt((matrix**2).sum(0))
    return strength * (np.sqrt(1 - IDIOSYNCRATIC) * common + np.sqrt(IDIOSYNCRATIC) * own)


def mix(factors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(T, K) @ (K, 74) in blocks of 64 frames: too small for a linear algebra library to share out among threads.

    How it shares work out changes the last digits of the result, and one seed must give one corpus.
    """
    blocks = np.zeros((-(-len(factors) // 64) * 64, len(matrix)), np.float32)
    blocks[: len(factors)] = factors
    return (blocks.reshape(-1, 64, len(matrix)) @ matrix.astype(np.float32)).reshape(-1, WIDTH)[: len(factors)]


def make_frames(rng: np.random.Generator, stretches: Stretches, scenario: Scenario, shift: float) -> np.ndarray:
    """The features of one video, (T, 74) float32; `shift` moves its channel away from those of the training videos.

    Every scenario draws the same random numbers in the same order.
    """
    lang, frames = language(), int(stretches.edges[-1])
    tempo = float(np.exp(0.1 * rng.standard_normal()))
    pauses = PAUSE_CHANCE * rng.gamma(1.5) / 1.4  # speakers differ
    speaker, channel = offset(rng, "speaker", scenario.speaker), offset(rng, "channel", scenario.channel, shift)
    pitch = np.log(130.0 if rng.random() < 0.5 else 214.0) + 0.14 * scenario.speaker * rng.standard_normal()
    lengths = np.append(lang.phone_frames[:PHONES] / tempo, PAUSE_FRAMES)
    phones, word, unit = phone_sequence(
        rng, *lang.vocabulary(scenario.words), lengths, frames, pauses, scenario.evenness
    )
    if scenario.order:
        carrier = stretches.latents if scenario.order == "emotion" else stretches.nuisance
        phones = turned(phones, word, unit, stretches.over_frames(carrier > RATINGS[scenario.rating].typical))
    moving = glide(np.column_stack([lang.targets[phones], (phones == PAUSE).astype(np.float32)]))
    articulators, silence = moving[:, :-1], moving[:, -1:]
    speech = 1 - silence
    groups = [  # factors (T, K) of each group, and their matrix (K, 74)
        (articulators, lang.loadings["phones"]),
        (silence - np.float32(PAUSE_SHARE), lang.pause),
        (rotations(rng, stretches, scenario.share, tempo), scenario.clutter * lang.loadings["rhythm"]),
        (wander(rng, frames, FACTORS["residual"], RESIDUAL_KNOT), scenario.clutter * lang.loadings["residual"]),
        (speech * stretches.over_frames(stretches.latents), scenario.static * lang.loadings["static"]),
        (speech, speaker),
    ]
    factors = np.concatenate([part for part, _ in groups], 1)
    x = mix(factors, np.concatenate([matrix for _, matrix in groups]) * lang.scale)
    noise = rng.standard_normal((frames + 1, WIDTH), dtype=np.float32)
    noise = noise[1:] + 0.5 * noise[:-1]  # neighbouring analysis windows overlap
    x += noise * (scenario.clutter * np.sqrt(SHARES["noise"] / 1.25) * lang.scale).astype(np.float32)
    x += (lang.centre + channel * lang.scale).astype(np.float32)
    return bounded(rng, x, phones, pitch)


def bounded(rng: np.random.Generator, x: np.ndarray, phones: np.ndarray, pitch: float) -> np.ndarray:
    """Give each feature the range it has in real files, in place: gates, bounds, and values nobody could compute."""
    voiced = phones < VOICED
    guess = 0.25 * rng.standard_normal(len(x), dtype=np.float32)  # the pitch tracker guesses where there is no voice
    x[:, COLUMN["F0"]] = np.clip(np.exp(x[:, COLUMN["F0"]] + np.where(voiced, 0, guess) + pitch), 60, 400)
    x[:, COLUMN["VUV"]] = voiced
    x[:, COLUMN["creak"]] = 1 / (1 + np.exp(-x[:, COLUMN["creak"]]))
    for name, (low, high) in LIMITS.items():
        x[:, COLUMN[name]] = np.clip(x[:, COLUMN[name]], low, high)
    for name in GATED:
        x[~voiced, COLUMN[name]] = 0
    if rng.random() < 0.7:  # a share of real videos like this one holds -inf here, in frames without sound
        x[(phones == PAUSE) & (rng.random(len(x)) < 0.3), COLUMN["peakSlope"]] = -np.inf
    x[:, ALMOST_ZERO] = 0
    if rng.random() < 0.08:
        x[:, ALMOST_ZERO] = (rng.random((len(x), 1)) < 0.02) * rng.normal(0, 0.3, (len(x), 4))
    return x
