"""Made-up recordings, and a front end that costs nothing: a module of its own, which worker processes can import."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from emo_ssl.corpora.front_ends import FrontEnd

RATE = 16_000


def hum(seconds: float, rate: int = RATE, pitch: float = 150.0, level: float = 0.1) -> np.ndarray:
    """A buzz of ten harmonics that rises and falls, (T,) float64."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * pitch * (time - 0.05 * np.cos(2 * np.pi * time))
    return level * sum(np.sin(k * phase) / k for k in range(1, 11)) / 3


def between_silences(signal: np.ndarray, before: float, after: float, rate: int = RATE) -> np.ndarray:
    """The signal (T,) with so many seconds of nothing before it and after it."""
    return np.pad(signal, (round(before * rate), round(after * rate)))


def sixteen_bit(signal: np.ndarray) -> np.ndarray:
    """Rounded here, since the writers of wav and of flac round differently."""
    return np.round(signal * 2**15).astype(np.int16)


def write(path: Path, signal: np.ndarray, rate: int = RATE, **options: object) -> Path:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, signal, rate, **options)
    return path


def level_and_crossings(signal: np.ndarray, rate: int) -> np.ndarray:
    """(T // 10 ms, 2): mean square, and crossings of zero, missing where the sound is faint."""
    step = rate // 100
    pieces = signal[: len(signal) // step * step].reshape(-1, step)
    level = (pieces**2).mean(1)
    crossings = (np.diff(np.sign(pieces), axis=1) != 0).sum(1)
    return np.stack([level, np.where(level > 1e-6, crossings, np.nan)], 1).astype(np.float32)


def stub(frames: Callable[[np.ndarray, int], np.ndarray] = level_and_crossings, version: str = "1") -> FrontEnd:
    return FrontEnd("stub", ("level", "crossings"), 100.0, version, "none", frames)


def fails_on_long_sound(signal: np.ndarray, rate: int) -> np.ndarray:
    if len(signal) > rate:
        raise ValueError("too long for me")
    return level_and_crossings(signal, rate)
