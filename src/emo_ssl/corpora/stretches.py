"""A recording of any length as frames, stretch after stretch, so that a day of sound needs no more memory than an hour.

What fits into one stretch is read as `recordings` reads a clip: whole, and without the silence at its edges. A longer
one keeps its edges, which no longer matter much, and is read piece by piece. Each piece is given to the front end with
a second of sound to either side whose frames are thrown away; the frames are then those of the whole, as far as the
front end looks no further than that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from emo_ssl.corpora import audio
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.corpora.front_ends import FrontEnd
from emo_ssl.corpora.recordings import frames_of
from emo_ssl.utils.io import UserError

STRETCH, CONTEXT = 600, 1  # seconds, whole ones: every piece then begins on a frame at any sampling rate
Stretch = tuple[np.ndarray, float, float]  # frames (T, D), and from which second of the recording to which


def stretches(path: Path | str, maker: FrontEnd, keep_silence: bool = False) -> Iterator[Stretch]:
    """Frames that follow each other without a gap; BadRecording where there is nothing to hear."""
    if seconds_of(path) > STRETCH:
        yield from piece_by_piece(path, maker)
        return
    result = frames_of(maker, (Path(path), keep_silence))
    if isinstance(result, BadRecording):
        raise result
    yield result[:3]


def seconds_of(path: Path | str) -> float:
    """As the file's own header has it; 0 where that cannot be read, which `audio.read` then explains."""
    soundfile = audio.soundfile_module()
    try:
        return soundfile.info(path).duration
    except (soundfile.SoundFileError, OSError, TypeError, ZeroDivisionError):
        return 0.0


def piece_by_piece(path: Path | str, maker: FrontEnd) -> Iterator[Stretch]:
    with opened(path) as sound:
        rate, spare = sound.samplerate, round(CONTEXT * maker.frame_rate)
        signal, skipped, began, peak, ended = np.empty(0, np.float32), 0, 0.0, 0.0, False
        while not ended:
            piece = mono(sound, STRETCH * rate)
            if not np.isfinite(piece).all():
                raise BadRecording("samples that are not finite numbers")
            peak, ended = max(peak, float(np.abs(piece).max(initial=0))), len(piece) < STRETCH * rate
            signal = np.concatenate((signal, piece))
            frames = frames_by(maker, signal, rate)
            seconds = len(signal) / rate - skipped / maker.frame_rate - (0 if ended else CONTEXT)
            until = len(frames) if ended else skipped + round(seconds * maker.frame_rate)
            yield frames[skipped:until], began, began + seconds
            signal, skipped, began = signal[-2 * CONTEXT * rate :], spare, began + seconds
        audio.refuse_what_is_cut_off(sound.tell(), sound.frames, sound.extra_info)
    if peak <= audio.QUIETEST:
        raise BadRecording("silent: no sample above -90 dB of full scale")


@contextmanager
def opened(path: Path | str):
    soundfile = audio.soundfile_module()
    try:
        with soundfile.SoundFile(path) as sound:
            if not audio.RATES[0] <= sound.samplerate <= audio.RATES[1]:
                raise BadRecording("a sampling rate outside 4 kHz to 768 kHz", f"{sound.samplerate} Hz")
            yield sound
    except soundfile.SoundFileError as problem:
        raise BadRecording("corrupt or not audio", str(problem).rpartition(": ")[2].strip(" .")) from problem
    except OSError as problem:
        raise BadRecording("the file cannot be read", problem.strerror or str(problem)) from problem


def mono(sound, most: int) -> np.ndarray:
    """The next samples of an open file, up to `most` of them, with the channels averaged."""
    blocks, left = [np.empty(0, np.float32)], most
    while left and len(block := sound.read(min(left, audio.BLOCK // sound.channels), "float32", always_2d=True)):
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is judged by the caller
            blocks.append(block.mean(1, dtype=np.float32))
        left -= len(block)
    return np.concatenate(blocks)


def frames_by(maker: FrontEnd, signal: np.ndarray, rate: int) -> np.ndarray:
    """As with a clip of a corpus, one odd recording must not cost the work on all others."""
    try:
        return np.asarray(maker.frames(signal, rate), np.float32)
    except MemoryError:
        raise
    except UserError as problem:
        raise BadRecording(str(problem)) from problem
    except Exception as problem:
        name = f"the front end {maker.name} failed"
        raise BadRecording(name, f"{type(problem).__name__}: {problem}") from problem
