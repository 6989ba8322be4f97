"""A recording as samples of one channel, or the reason why it cannot be used."""

import io
import re
from collections.abc import Iterator
from math import gcd
from pathlib import Path

import numpy as np

from emo_ssl.utils.io import UserError, failed_download
from emo_ssl.utils.values import ECHO, shortened

FORMATS = (".wav", ".flac", ".mp3", ".ogg")
SHORTEST = 0.3  # seconds
RATE_OF_FEATURES = 16_000  # Hz, at which every front end looks at a recording, whatever its own rate
QUIETEST = 10 ** (-90 / 20)  # peak, of full scale: one step of 16 bits is -90.3 dB, so dither alone counts as silence
RATES = (4_000, 768_000)  # Hz; beyond them the header is damaged, and resampling would ask for absurd filters
SHORT_OF = re.compile(r"\b(?:data|SSND) : (\d+) \(should be (\d+)\)")
WHOLE = 0.99  # the decoders of lossy formats may miss the last few samples
UNKNOWN_LENGTH = 0x7FFF_0000  # what is recorded into a pipe promises about this many bytes or more
BESIDE_THE_VOICE = 35.0  # dB below the loudest moment: quieter edges of a recording are room, not voice
MOMENT, MARGIN = 0.025, 0.15  # seconds: what loudness is measured over, and what is left standing before and after
MINUTE = 60  # seconds
INSTALL = 'install it with: pip install "emo-ssl[audio]"'


class BadRecording(Exception):
    """Why a recording is left out: `reason`, the same words for the same fault, and `detail` where there is one."""

    def __init__(self, reason: str, detail: str = ""):
        detail = shortened(" ".join(detail.split()), 2 * ECHO)
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


def soundfile_module():
    try:
        import soundfile
    except (ImportError, OSError) as problem:  # OSError where the package is there and its C library is not
        raise UserError(f"recordings are read by soundfile, which is missing ({problem}); {INSTALL}") from problem
    return soundfile


def read(recording: Path | str | bytes) -> tuple[np.ndarray, int]:
    """A file, or its content -> samples (T,) float32 with the channels averaged, and their rate in Hz."""
    parts = list(pieces(recording, MINUTE))
    return np.concatenate([samples for samples, _ in parts]), parts[0][1]


def pieces(recording: Path | str | bytes, seconds: int) -> Iterator[tuple[np.ndarray, int]]:
    """The same, so many seconds at a time. The last piece is shorter, which may mean empty.

    What is wrong with the whole of a recording can only be known after its last piece.
    """
    soundfile = soundfile_module()
    try:
        with io.BytesIO(recording) if isinstance(recording, bytes) else Path(recording).open("rb") as stream:
            if what := failed_download(stream.read(512)):
                raise BadRecording(what)
        with soundfile.SoundFile(io.BytesIO(recording) if isinstance(recording, bytes) else recording) as sound:
            rate, count, peak, ended = sound.samplerate, 0, 0.0, False
            if not RATES[0] <= rate <= RATES[1]:
                raise BadRecording("a sampling rate outside 4 kHz to 768 kHz", f"{rate} Hz")
            while not ended:
                block = sound.read(seconds * rate, "float32", always_2d=True)
                with np.errstate(invalid="ignore", over="ignore"):
                    samples = block.mean(1, dtype=np.float32)
                if not np.isfinite(samples).all():
                    raise BadRecording("samples that are not finite numbers")
                count, peak = count + len(samples), max(peak, float(np.abs(samples).max(initial=0)))
                ended = len(samples) < seconds * rate
                yield samples, rate
            refuse_what_is_cut_off(count, sound.frames, sound.extra_info)
    except (TypeError, soundfile.SoundFileError) as problem:  # the former of a format without a header, such as .raw
        raise BadRecording("corrupt or not audio", str(problem).rpartition(": ")[2].strip(" .")) from problem
    except OSError as problem:
        raise BadRecording("the file cannot be read", problem.strerror or str(problem)) from problem
    if count < SHORTEST * rate:
        raise BadRecording(f"shorter than {SHORTEST} s", f"{count / rate:.3f} s")
    if peak <= QUIETEST:
        raise BadRecording("silent: no sample above -90 dB of full scale")


def refuse_what_is_cut_off(read: int, promised: int, header: str) -> None:
    """Fewer samples than the file promises; libsndfile only mentions in its log that a wav ends early."""
    if match := SHORT_OF.search(header):
        promised, read = map(int, match.groups())
    if read < WHOLE * promised and promised < UNKNOWN_LENGTH:
        raise BadRecording("cut off before its end", f"{read / promised:.0%} of it is there")


def rate_and_seconds(path: Path | str) -> tuple[int, float]:
    """As the file's own header has them; 0 where that cannot be read, for which `read` finds the words."""
    soundfile = soundfile_module()
    try:
        found = soundfile.info(path)
    except (soundfile.SoundFileError, OSError, TypeError, ZeroDivisionError):
        return 0, 0.0
    return found.samplerate, found.duration


def narrower(path: Path | str) -> str:
    """What a recording lacks for every front end, in words, or nothing."""
    rate, _ = rate_and_seconds(path)
    if not 0 < rate < RATE_OF_FEATURES:
        return ""
    return (
        f"has {rate:,} samples a second, so nothing above {rate / 2000:g} kHz, where features look up to "
        f"{RATE_OF_FEATURES / 2000:g} kHz: unless the model was trained on such recordings, do not rely on this one"
    )


def voiced_part(signal: np.ndarray, rate: int) -> slice:
    """The samples (T,) from the first loud moment to the last, with a margin: silence between words stays."""
    half = max(1, round(MOMENT * rate / 2))  # moments overlap by half
    begin = np.arange(0, len(signal), half)
    if not len(begin):
        return slice(0, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        swing = signal - signal.mean()  # a microphone's constant offset is no sound
        power = np.add.reduceat(np.square(swing, out=swing), begin)
        power[:-1] += power[1:].copy()  # of the moment around begin + half
    if not np.isfinite(power).all():
        raise BadRecording("samples far beyond full scale")
    loud = np.flatnonzero(power >= power.max() * 10 ** (-BESIDE_THE_VOICE / 10))
    first, last = (begin[loud[[0, -1]]] + half).tolist()
    margin = round(MARGIN * rate)
    return slice(max(0, first - margin), min(len(signal), last + margin))


def resampled(signal: np.ndarray, rate: int, to: int) -> np.ndarray:
    """signal (T,) at `rate` -> (ceil(T * to / rate),) float32."""
    from scipy.signal import resample_poly  # takes a third of a second to import

    signal = np.ascontiguousarray(signal, np.float32)
    if rate == to or not len(signal):
        return signal
    common = gcd(rate, to)
    return resample_poly(signal, to // common, rate // common).astype(np.float32, copy=False)
