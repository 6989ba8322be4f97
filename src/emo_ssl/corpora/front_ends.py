"""How sound becomes frames: our own acoustics, or openSMILE's low-level descriptors.

openSMILE writes 0 where a feature of the voice has no value because nobody speaks, and -201 for the logarithm of 0.
What has no value is missing (NaN) for us. In the eGeMAPS set these are, in frames without F0, the features whose name
ends in `nz` where they are 0, and those that are relative to F0, whatever they hold. In the ComParE set it is F0
alone; its jitter, shimmer and harmonics-to-noise ratio stay as openSMILE writes them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from math import gcd

import numpy as np

from emo_ssl.utils.io import UserError

FRONT_ENDS = ("acoustics", "egemaps", "compare")
OPENSMILE_SETS = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}
OPENSMILE_LICENCE = "openSMILE, for private, research and educational use only: no commercial use"
OPENSMILE_RATE = 16_000  # one rate for all recordings, or the same voice would have other spectra at another rate
FRAME_RATE = 100.0


@dataclass(frozen=True)
class FrontEnd:
    name: str
    feature_names: tuple[str, ...]
    frame_rate: float
    version: str
    licence: str
    frames: Callable[
        [np.ndarray, int], np.ndarray
    ]  # samples (T,), their rate -> (frames, features) float32, NaN = missing


def front_end(name: str) -> FrontEnd:
    if name == "acoustics":
        from emo_ssl.corpora import acoustics

        version = str(acoustics.VERSION)
        return FrontEnd(name, tuple(acoustics.NAMES), acoustics.FRAME_RATE, version, "MIT", acoustics.frames)
    if name in OPENSMILE_SETS:
        names = tuple(extractor(name).feature_names)
        version = f"opensmile {metadata.version('opensmile')}"
        return FrontEnd(name, names, FRAME_RATE, version, OPENSMILE_LICENCE, partial(opensmile_frames, name))
    raise UserError(f"{name}: no such front end; choose one of {', '.join(FRONT_ENDS)}.")


@cache
def extractor(name: str):
    """One openSMILE object a process: to make it costs more than a recording does."""
    try:
        import opensmile
    except (ImportError, OSError) as problem:
        raise UserError(
            f"the front end {name} needs opensmile, which is missing ({problem}); its licence forbids commercial use. "
            'If that suits you: pip install "emo-ssl[audio]"; if not, take --front-end acoustics.'
        ) from problem
    level = opensmile.FeatureLevel.LowLevelDescriptors
    return opensmile.Smile(feature_set=opensmile.FeatureSet[OPENSMILE_SETS[name]], feature_level=level)


def opensmile_frames(name: str, signal: np.ndarray, rate: int) -> np.ndarray:
    """signal (T,) -> (frames, features) float32."""
    smile = extractor(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Segment too short")  # a row of NaN says the same
        frames = smile(resampled(signal, rate, OPENSMILE_RATE), OPENSMILE_RATE)[0].T.astype(np.float32)
    return without_markers(frames, tuple(smile.feature_names))


def without_markers(frames: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """What stands for "no value" in frames without F0, turned into NaN; see the head of this file."""
    unvoiced = frames[:, [name.startswith("F0") for name in names]] == 0  # (frames, 1)
    of_voice = np.array([name.endswith("nz") or name.startswith("F0") for name in names])
    relative = np.array(["logrelf0" in name.lower() for name in names])
    return np.where(unvoiced & (relative | of_voice & (frames == 0)), np.float32(np.nan), frames)


def resampled(signal: np.ndarray, rate: int, to: int) -> np.ndarray:
    """signal (T,) at `rate` -> (ceil(T * to / rate),) float32."""
    from scipy.signal import resample_poly

    if rate == to:
        return signal.astype(np.float32, copy=False)
    common = gcd(rate, to)
    return resample_poly(signal, to // common, rate // common).astype(np.float32)
