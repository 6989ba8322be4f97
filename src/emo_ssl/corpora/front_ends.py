"""How recordings become frames: by our own acoustics, or by openSMILE's low-level descriptors.

A recording of up to ten minutes is read whole, and the silence at its edges may be left out. A longer one is read in
pieces, so that its sound is never in memory as a whole. Each piece is given to the front end with a second of sound to
either side whose frames are thrown away: the frames are those of the whole, if the front end needs no more context.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from pathlib import Path

import numpy as np

from emo_ssl.corpora import audio
from emo_ssl.corpora.audio import BadRecording, resampled
from emo_ssl.utils.io import UserError

FRONT_ENDS = ("acoustics", "egemaps", "compare")
OPENSMILE_SETS = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}
OPENSMILE_LICENCE = "openSMILE, for private, research and educational use only: no commercial use"
OPENSMILE_RATE = 16_000  # one rate for all recordings, or the same voice would have other spectra at another rate
FRAME_RATE = 100.0
STRETCH, CONTEXT = 600, 1  # seconds, whole ones: every piece then begins on a frame at any sampling rate


@dataclass(frozen=True)
class FrontEnd:
    name: str
    feature_names: tuple[str, ...]
    frame_rate: float
    version: str
    licence: str
    frames: Callable[[np.ndarray, int], np.ndarray]  # samples (n,), their rate -> (T, D) float32, NaN = missing


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


# Recordings


def frames_of(
    maker: FrontEnd, recording: Path | str | bytes, keep_silence: bool
) -> tuple[np.ndarray, float, float, float]:
    """Frames (T, D) of a recording; from which second to which they were made; how many seconds it has."""
    signal, skipped, frames, count = np.empty(0, np.float32), 0, [], 0
    for piece, rate in audio.pieces(recording, STRETCH):
        ended = len(piece) < STRETCH * rate
        signal, count = np.concatenate((signal, piece)), count + len(piece)
        if ended and count == len(piece):
            part = slice(0, count) if keep_silence else audio.voiced_part(signal, rate)
            frames.append(made_by(maker, signal[part], rate))
        else:
            part = slice(0, count)
            seconds = len(signal) / rate - CONTEXT
            made = made_by(maker, signal, rate)
            frames.append(made[skipped : None if ended else round(seconds * maker.frame_rate)])
            signal, skipped = signal[-2 * CONTEXT * rate :], round(CONTEXT * maker.frame_rate)
    found = np.concatenate(frames)
    if not np.isfinite(found).any():
        raise BadRecording(f"the front end {maker.name} finds nothing in it")
    return found, part.start / rate, part.stop / rate, count / rate


def made_by(maker: FrontEnd, signal: np.ndarray, rate: int) -> np.ndarray:
    """Frames (T, D); one odd recording must not cost the work on all others, whatever the front end raises."""
    try:
        return np.asarray(maker.frames(signal, rate), np.float32)
    except MemoryError:
        raise
    except UserError as problem:
        raise BadRecording(str(problem)) from problem
    except Exception as problem:
        failed = f"the front end {maker.name} failed"
        raise BadRecording(failed, f"{type(problem).__name__}: {problem}") from problem


# openSMILE


@cache
def extractor(name: str):
    """One openSMILE object a process: to make it costs more than a recording does."""
    try:
        import opensmile
    except (ImportError, OSError) as problem:
        raise UserError(
            f"the front end {name} needs opensmile, which is missing ({problem}) and whose licence forbids commercial "
            'use; if that suits you, pip install "emo-ssl[audio]", if not, record with --front-end acoustics.'
        ) from problem
    level = opensmile.FeatureLevel.LowLevelDescriptors
    return opensmile.Smile(feature_set=opensmile.FeatureSet[OPENSMILE_SETS[name]], feature_level=level)


def opensmile_frames(name: str, signal: np.ndarray, rate: int) -> np.ndarray:
    """signal (n,) -> (T, D) float32."""
    smile = extractor(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Segment too short")  # a row of NaN shows the same
        frames = smile(resampled(signal, rate, OPENSMILE_RATE), OPENSMILE_RATE)[0].T.astype(np.float32)
    return without_markers(frames, tuple(smile.feature_names))


def without_markers(frames: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """openSMILE's marks for "no value" turned into NaN.

    It writes 0 where a feature of the voice has no value because nobody speaks, and -201 for the logarithm of 0. In the
    eGeMAPS set, in frames without F0, what has no value are the features whose name ends in `nz` where they are 0, and
    those relative to F0 whatever they hold. In the ComParE set it is F0 alone.
    """
    unvoiced = frames[:, [name.startswith("F0") for name in names]] == 0  # (T, 1)
    of_voice = np.array([name.endswith("nz") or name.startswith("F0") for name in names])
    relative = np.array(["logrelf0" in name.lower() for name in names])
    return np.where(unvoiced & (relative | of_voice & (frames == 0)), np.float32(np.nan), frames)
