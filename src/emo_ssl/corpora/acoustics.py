"""Our own acoustic front end: 100 frames a second of mel cepstra, energy, pitch, voicing and the shape of the spectrum.

Frame t is made of samples 160 t to 160 t + 768 of the signal at 16 kHz: all 48 ms for pitch and voicing, the 25 ms in
their middle for the rest; its centre is at 0.024 + t / 100 s. There is no padding, so that every frame rests on sound
that was there: n samples make max(0, 1 + (n - 768) // 160) frames.

A frame depends on a tenth of a second to either side and on nothing else: no normalisation over the file, since level
and pitch are emotion. There is no dither; white noise of -100 dB, about what rounding to 16 bits leaves, is added to
every power spectrum instead, so that digital silence has a finite logarithm and finer formats show no more than it.
The pitch is missing (NaN) where a frame is unvoiced; nothing else is ever missing.
"""

import contextlib
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor

from emo_ssl.corpora.audio import RATE_OF_FEATURES, resampled
from emo_ssl.utils.io import UserError

VERSION = 1  # part of a corpus's header: raise it whenever a number changes
SAMPLE_RATE = RATE_OF_FEATURES
FRAME_RATE = 100.0
HOP, WINDOW, SHORT = 160, 768, 400  # samples
SHORT_FFT, LONG_FFT = 512, 1152  # the latter is longer than WINDOW and the longest lag together
BANDS, CEPSTRA = 40, 21
ROUNDING = 1e-10  # mean square; rounding to 16 bits leaves 0.8e-10
LOUDEST = 8.0  # formats of floating point may go beyond full scale, but not as far as unscaled integers
LOUDNESS_POWER = 0.3  # loudness grows about as intensity to this power

PITCH_RANGE = (60.0, 500.0)  # Hz
SEMITONE_0 = 27.5  # Hz, the lowest A of a piano
CANDIDATES = 5
VOICED_FROM = 0.45  # strength at which voiced and unvoiced are equally good
SHORTER_LAG = 0.02  # an octave up is worth this much strength: half of a frequency fits a periodic sound just as well
OCTAVE_JUMP, VOICE_SWITCH = 0.35, 0.14  # the price in strength of a jump by an octave, of starting or ending a voice
AUDIBLE = 3e-8  # mean square below which nothing counts as voiced: the hum of a quiet room
AROUND = 10  # frames to either side that decide where the pitch is

BLOCK = 512  # frames worked on together; an hour then takes a few hundred megabytes

NAMES = (
    *(f"cepstrum_{i}" for i in range(CEPSTRA)),
    *("energy_db", "loudness", "zero_crossings"),
    *("centroid_khz", "spread_khz", "skewness", "entropy", "flatness_db"),
    *("rolloff_25_khz", "rolloff_50_khz", "rolloff_85_khz"),
    *("slope_0_500", "slope_500_1500", "alpha_ratio_db", "hammarberg_db"),
    *("voicing", "harmonicity_db"),
    *("flux", "energy_step_db", "pitch_step", "h1_h2_db", "pitch_semitones"),
)


def frames(signal: np.ndarray, rate: int) -> np.ndarray:
    """Mono sound (n,) in [-1, 1] at any rate -> (T, len(NAMES)) float32; NaN = missing."""
    if not np.abs(signal).max(initial=0) <= LOUDEST:
        raise UserError("the samples go far beyond full scale; save the recording with samples in [-1, 1]")
    signal = resampled(signal, rate, SAMPLE_RATE)
    count = max(0, 1 + (len(signal) - WINDOW) // HOP)
    if not count:
        return np.empty((0, len(NAMES)), np.float32)
    with torch.inference_mode(), one_thread():
        parts = []
        for first in range(0, count, BLOCK):
            here = min(BLOCK, count - first)
            piece = torch.from_numpy(signal[first * HOP : (first + here - 1) * HOP + WINDOW])
            parts.append(one_block(piece.unfold(0, WINDOW, HOP)))
        still, bands, candidates = (torch.cat(part) for part in zip(*parts, strict=True))
        return assemble(still, bands, candidates).numpy()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Sums in another order would be other numbers, and often a process on each core does the same."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def tables() -> SimpleNamespace:
    """Everything that does not depend on the sound."""
    short, long = (unit_energy(np.hanning(n + 1)[:-1]) for n in (SHORT, WINDOW))
    hertz = np.arange(1, SHORT_FFT // 2 + 1) * SAMPLE_RATE / SHORT_FFT  # without the constant, which is taken out
    correlation = np.fft.irfft(np.abs(np.fft.rfft(long, LONG_FFT)) ** 2)
    shortest, longest = (int(SAMPLE_RATE / f) for f in reversed(PITCH_RANGE))
    made = {
        "short": short,
        "long": long,
        "sides": np.where(hertz < SAMPLE_RATE / 2, 2, 1) / SHORT_FFT,
        "mel": mel_filters(hertz),
        "cosines": dct(np.eye(BANDS), norm="ortho")[:, :CEPSTRA],
        "khz": hertz / 1000,
        "slopes": np.stack([regression(hertz, 0, 500), regression(hertz, 500, 1500)], 1),
        "ratio": np.stack([(hertz >= 50) & (hertz < 1000), (hertz >= 1000) & (hertz < 5000)], 1),
        "corrected": correlation[0] / correlation[shortest - 1 : longest + 2],
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in made.items()}
    two, five = np.searchsorted(hertz, (2000, 5000)).tolist()
    return SimpleNamespace(**tensors, shortest=shortest, longest=longest, two_khz=two, five_khz=five)


def unit_energy(window: np.ndarray) -> np.ndarray:
    """Scaled so that the squares of a windowed sound add up to its mean square."""
    return window / np.sqrt((window**2).sum())


def mel_filters(hertz: np.ndarray) -> np.ndarray:
    """(bins, BANDS): triangles of height one, their corners equally spaced in mel from 0 Hz to half the sample rate."""
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    rising = (hertz[:, None] - corners[:-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[2:] - hertz[:, None]) / (corners[2:] - corners[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)


def regression(hertz: np.ndarray, low: float, high: float) -> np.ndarray:
    """Weights (bins,) whose product with a spectrum in dB is its least-squares slope from low to high, in dB a kHz."""
    inside = (hertz >= low) & (hertz <= high)
    centred = np.where(inside, hertz - hertz[inside].mean(), 0) / 1000
    return centred / (centred**2).sum()


def one_block(sound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Windows of sound (n, WINDOW) -> columns of a frame alone (n, 39), loudness bands (n, BANDS), pitch candidates."""
    table = tables()
    edge = (WINDOW - SHORT) // 2
    middle = sound[:, edge : edge + SHORT]
    power = (windowed_power(middle, table.short, SHORT_FFT)[:, 1:] + ROUNDING) * table.sides  # sums to the mean square
    bands = power @ table.mel
    middle = middle - middle.mean(1, keepdim=True)
    crossings = (middle[:, 1:] * middle[:, :-1] < 0).float().mean(1)
    candidates, strength = pitch_candidates(sound)
    harmonicity = decibels(strength / (1 - strength).clamp(min=1e-4) + 0.01)
    loud = bands**LOUDNESS_POWER
    columns = (decibels(power.sum(1)), loud.sum(1), crossings, *spectral_shape(power), strength, harmonicity)
    return torch.cat([bands.log() @ table.cosines, torch.stack(columns, 1)], 1), loud, candidates


def windowed_power(sound: Tensor, window: Tensor, size: int) -> Tensor:
    """|FFT|² (n, size / 2 + 1) of windows of sound; a constant is no sound and is taken out."""
    constant = (sound @ window / window.sum())[:, None]
    transform = torch.fft.rfft((sound - constant) * window, size)
    return transform.real**2 + transform.imag**2


def decibels(power: Tensor) -> Tensor:
    return 10 * power.log10()


def spectral_shape(power: Tensor) -> list[Tensor]:
    """Power spectra (n, bins) -> twelve columns (n,), in the order of NAMES from the centroid to Hammarberg's index."""
    table = tables()
    total = power.sum(1)
    share, level = power / total[:, None], decibels(power)
    centroid = share @ table.khz
    away = table.khz - centroid[:, None]
    spread = (share * away**2).sum(1).sqrt()
    skewness = (share * away**3).sum(1) / spread**3
    entropy = -(share * share.log()).sum(1) / np.log(power.shape[1])
    flatness = level.mean(1) - decibels(total / power.shape[1])
    heaped = share.cumsum(1)
    rolloff = [(1 + (heaped < part).float().sum(1)) * table.khz[0] for part in (0.25, 0.5, 0.85)]
    slopes = level @ table.slopes
    ratio = decibels(power @ table.ratio)
    peaks = level[:, : table.two_khz].amax(1) - level[:, table.two_khz : table.five_khz].amax(1)
    return [centroid, spread, skewness, entropy, flatness, *rolloff, *slopes.T, ratio[:, 0] - ratio[:, 1], peaks]


def pitch_candidates(sound: Tensor) -> tuple[Tensor, Tensor]:
    """Windows (n, WINDOW) -> candidates (n, 3, CANDIDATES + 1), and how periodic the sound is (n,), in [0, 1].

    A candidate is its worth, its frequency in octaves above SEMITONE_0 and the level of its first harmonic over its
    second; the last one stands for "unvoiced". Its strength is the autocorrelation at a peak over that at lag 0, each
    divided by the window's own, so that a steady tone reaches 1 at every lag; its worth takes the lag into account.
    """
    table = tables()
    power = windowed_power(sound, table.long, LONG_FFT)
    correlation = torch.fft.irfft(power, LONG_FFT)
    whole = correlation[:, 0]  # the mean square
    near = correlation[:, table.shortest - 1 : table.longest + 2] * table.corrected / (whole + ROUNDING)[:, None]
    left, here, right = near[:, :-2], near[:, 1:-1], near[:, 2:]
    is_peak = (here > left) & (here >= right) & (here > 0)
    lags = torch.arange(table.shortest, table.longest + 1)
    worth = torch.where(is_peak, here, 0) - SHORTER_LAG * torch.log2(lags / table.shortest)
    at = worth.topk(CANDIDATES, dim=1).indices
    low, mid, high = (side.gather(1, at) for side in (left, here, right))
    bend = (2 * mid - low - high).clamp(min=1e-9)
    shift = ((high - low) / (2 * bend)).clamp(-0.5, 0.5)
    found = is_peak.gather(1, at)
    strength = torch.where(found, mid + bend * shift**2 / 2, 0).clamp(0, 1)
    hertz = SAMPLE_RATE / (at + table.shortest + shift)

    level = decibels(power[:, : 2 + int(2.1 * PITCH_RANGE[1] * LONG_FFT / SAMPLE_RATE)] + ROUNDING)
    harmonics = at_frequency(level, hertz) - at_frequency(level, 2 * hertz)
    unvoiced = torch.where(whole > AUDIBLE, VOICED_FROM, 2.0)  # no periodicity is stronger than 1
    octaves = torch.log2(hertz / SEMITONE_0)
    worth = strength - SHORTER_LAG * torch.log2(PITCH_RANGE[1] / hertz)
    stacked = torch.stack([worth, octaves, harmonics], 1)
    last = torch.stack([unvoiced, torch.zeros_like(unvoiced), torch.zeros_like(unvoiced)], 1)
    return torch.cat([stacked, last[:, :, None]], 2), strength.amax(1)


def at_frequency(level: Tensor, hertz: Tensor) -> Tensor:
    """Levels (n, bins) of the long spectrum, read off between bins at frequencies (n, k)."""
    place = hertz * (LONG_FFT / SAMPLE_RATE)
    below = place.long().clamp(max=level.shape[1] - 2)
    part = place - below
    return level.gather(1, below) * (1 - part) + level.gather(1, below + 1) * part


def best_path(worth: Tensor, octaves: Tensor) -> Tensor:
    """Which candidate (T,) each frame takes, given their worth and pitch (T, CANDIDATES + 1).

    For every frame the best path through it and AROUND frames to either side, by dynamic programming: all frames take a
    step at once, so the loop is over steps and not over frames.
    """
    price = OCTAVE_JUMP * (octaves[:-1, :, None] - octaves[1:, None, :]).abs()  # (T - 1, from, to)
    price[:, -1, :] = VOICE_SWITCH
    price[:, :, -1] = VOICE_SWITCH
    price[:, -1, -1] = 0
    before, after = torch.zeros_like(worth), torch.zeros_like(worth)
    for _ in range(AROUND):
        before[1:], after[:-1] = (
            ((worth + before)[:-1, :, None] - price).amax(1),
            ((worth + after)[1:, None, :] - price).amax(2),
        )
    return (before + worth + after).argmax(1)


def assemble(still: Tensor, bands: Tensor, candidates: Tensor) -> Tensor:
    """All columns (T, len(NAMES)): of frames alone, of the change from frame to frame, pitch."""
    worth, octaves, harmonics = candidates.unbind(1)
    chosen = best_path(worth, octaves)
    voiced = chosen < CANDIDATES
    pitch = torch.where(voiced, 12 * octaves.gather(1, chosen[:, None])[:, 0], torch.nan)
    first_over_second = harmonics.gather(1, chosen[:, None])[:, 0]
    change = step(bands)
    flux = change.abs().sum(1) / (2 * bands - change).sum(1)  # share of the loudness of both frames; 1 = all is new
    energy_step = step(still[:, NAMES.index("energy_db")])
    pitch_step = step(pitch).abs().nan_to_num(0)
    columns = (flux, energy_step, pitch_step, first_over_second, pitch)
    return torch.cat([still, torch.stack(columns, 1)], 1)


def step(values: Tensor) -> Tensor:
    """Differences to the frame before, shaped as the values; the first is 0."""
    return torch.cat([torch.zeros_like(values[:1]), values[1:] - values[:-1]])
