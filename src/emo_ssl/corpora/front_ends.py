"""How recordings become frames: by our own acoustics, by openSMILE's low-level descriptors, or by a speech encoder.

A clip of a corpus is read whole, without the silence at its edges. A longer recording is read in pieces: an hour of
sound needs 200 MB and more, an hour of frames 60 MB. Each piece is given to the front end with a second of sound to
either side whose frames are thrown away. The frames are then those of the whole, if it needs no more context.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import metadata
from pathlib import Path

import numpy as np

from emo_ssl.corpora import audio
from emo_ssl.corpora.audio import RATE_OF_FEATURES, BadRecording, resampled
from emo_ssl.utils.io import UserError

OPENSMILE_SETS = {"egemaps": "eGeMAPSv02", "compare": "ComParE_2016"}
FRONT_ENDS = ("acoustics", *OPENSMILE_SETS)
OPENSMILE_LICENCE = "openSMILE, for private, research and educational use only: no commercial use"
FRAME_RATE = 100.0
STRETCH, CONTEXT = 600, 1  # seconds, whole ones: every piece then begins on a frame at any sampling rate
Stretch = tuple[np.ndarray, float, float]  # frames (T, D), and from which second of the recording to which


@dataclass(frozen=True)
class FrontEnd:
    name: str
    feature_names: tuple[str, ...]
    frame_rate: float
    version: str
    licence: str
    frames: Callable[[np.ndarray, int], np.ndarray]  # samples (n,), their rate -> (T, D) float32, NaN = missing
    half: bool = False  # whether a corpus stores them as float16 where nobody says
    slow: bool = False  # whether frames are worth keeping clip by clip until their corpus is whole
    about: dict = field(default_factory=dict)  # what else a corpus and its models note


def front_end(name: str, device: str = "cpu") -> FrontEnd:
    """By its name, or by that of a speech encoder, which alone can use another device."""
    if name == "acoustics":
        from emo_ssl.corpora import acoustics

        version = str(acoustics.VERSION)
        return FrontEnd(name, tuple(acoustics.NAMES), acoustics.FRAME_RATE, version, "MIT", acoustics.frames)
    if name in OPENSMILE_SETS:
        names = tuple(extractor(name).feature_names)
        version = f"opensmile {metadata.version('opensmile')}"
        return FrontEnd(name, names, FRAME_RATE, version, OPENSMILE_LICENCE, partial(opensmile_frames, name))
    from emo_ssl.corpora import encoders

    return encoders.named(name, device)


# Recordings


def frames_of(
    maker: FrontEnd, recording: Path | str | bytes, keep_silence: bool
) -> tuple[np.ndarray, float, float, float]:
    """Frames (T, D) of a clip; from which second to which they were made; how many seconds it has."""
    signal, rate = audio.read(recording)
    part = slice(0, len(signal)) if keep_silence else audio.voiced_part(signal, rate)
    frames = made_by(maker, signal[part], rate)
    if not np.isfinite(frames).any():
        raise BadRecording(f"the front end {maker.name} finds nothing in it")
    return frames, part.start / rate, part.stop / rate, len(signal) / rate


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


def stretches(path: Path | str, maker: FrontEnd, keep_silence: bool = False) -> Iterator[Stretch]:
    """Frames of a recording of any length, one stretch after the other without a gap."""
    if audio.rate_and_seconds(path)[1] <= STRETCH:
        yield frames_of(maker, path, keep_silence)[:3]
        return
    signal, skipped, began = np.empty(0, np.float32), 0, 0.0
    for piece, rate in audio.pieces(path, STRETCH):
        ended = len(piece) < STRETCH * rate
        signal = np.concatenate((signal, piece))
        frames = made_by(maker, signal, rate)
        seconds = len(signal) / rate - skipped / maker.frame_rate - (0 if ended else CONTEXT)
        until = len(frames) if ended else skipped + round(seconds * maker.frame_rate)
        yield frames[skipped:until], began, began + seconds
        signal, skipped, began = signal[-2 * CONTEXT * rate :], round(CONTEXT * maker.frame_rate), began + seconds


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
        frames = smile(resampled(signal, rate, RATE_OF_FEATURES), RATE_OF_FEATURES)[0].T.astype(np.float32)
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
