"""A folder of made-up recordings with its table: voices that hum in syllables, for trying out what real ones need.

Nobody speaks here. A voice is a pitch, a throat, a tempo and a level; an emotion moves them in a way that we made up,
more so the stronger it is. A model that recognises these has shown that the machinery works, and nothing about people.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from emo_ssl.corpora.audio import soundfile_module
from emo_ssl.corpora.csd import EMOTIONS
from emo_ssl.utils.io import atomic_path, write_bytes

RATE = 16_000
SOURCE = "synthetic: voices that hum, made up by a program"
NEUTRAL = "neutral"
TABLE = "made-up-clips.csv"
HARMONICS = 24
VOWELS = ((700, 1200), (500, 1800), (300, 2300), (450, 850), (330, 750))  # Hz, two resonances each
ROOM = 1e-4  # of full scale: the noise while nobody hums
SECONDS, QUIET = (1.5, 3.0), (0.2, 0.5)  # of humming, and of the room before and after it
INTENSITIES = (2.0, 3.0)  # of the takes, in turn
STRANGER = 2**32 - 1  # the number of a speaker who is in no folder


@dataclass(frozen=True)
class Manner:
    """What an emotion at full strength adds to a voice."""

    pitch: float = 0.0  # semitones
    melody: float = 0.0  # semitones by which syllables differ
    level: float = 0.0  # dB
    tempo: float = 0.0  # octaves
    brightness: float = 0.0  # of the spectrum's slope


MANNERS = {
    NEUTRAL: Manner(),
    "happy": Manner(pitch=4, melody=3, level=3, tempo=0.2, brightness=0.3),
    "sad": Manner(pitch=-3, melody=-0.8, level=-7, tempo=-0.5, brightness=-0.5),
    "anger": Manner(pitch=1, melody=1, level=9, tempo=0.3, brightness=0.8),
    "surprise": Manner(pitch=8, melody=5, level=4, tempo=-0.2, brightness=0.1),
    "disgust": Manner(pitch=-5, melody=0.5, level=2, tempo=-0.4, brightness=0.4),
    "fear": Manner(pitch=6, melody=0, level=-4, tempo=0.6, brightness=-0.1),
}


@dataclass(frozen=True)
class Voice:
    pitch: float  # Hz
    throat: float  # by which resonances are higher than those of VOWELS
    level: float  # dB
    tempo: float  # syllables a second


def voice(rng: np.random.Generator) -> Voice:
    pitch = 120 * 2 ** rng.uniform(0, 0.7)
    return Voice(pitch, (pitch / 150) ** 0.3, rng.normal(0, 2), rng.uniform(3.5, 4.5))


def hum(who: Voice, emotion: str, strength: float, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """(T,) sound of a voice in an emotion of strength 0 to 1, with a chance of its own in every clip."""
    manner, count = MANNERS[emotion], round(seconds * RATE)
    place = np.arange(count) / RATE * who.tempo * 2 ** (strength * manner.tempo + rng.normal(0, 0.08))  # in syllables
    syllable, within = place.astype(int), place % 1
    most = syllable[-1] + 2
    melody = np.interp(place, np.arange(most), rng.normal(0, 1.2 + strength * manner.melody, most))
    pitch = who.pitch * 2 ** ((strength * manner.pitch + melody + rng.normal(0, 0.8)) / 12)  # (T,) Hz
    turn, slope = 2 * np.pi * np.cumsum(pitch) / RATE, 1.6 - strength * manner.brightness + rng.normal(0, 0.1)
    resonance = who.throat * np.array(VOWELS)[rng.integers(len(VOWELS), size=most)][syllable]  # (T, 2) Hz
    sound = np.zeros(count)
    for k in range(1, HARMONICS + 1):
        near = 1 / (1 + ((k * pitch[:, None] - resonance) / 200) ** 2)
        sound += np.where(k * pitch < RATE / 2, (0.1 + near.sum(1)) * k**-slope * np.sin(k * turn), 0)
    sound *= np.sin(np.pi * within) ** 0.7
    sound += np.where(within < 0.12, rng.normal(0, 0.15, count), 0)  # each syllable begins with a hiss
    return sound * 0.04 * 10 ** ((who.level + strength * manner.level + rng.normal(0, 1)) / 20)


def in_a_room(sound: np.ndarray, before: float, after: float, rng: np.random.Generator) -> np.ndarray:
    """The sound with the noise of a quiet room, which goes on for so many seconds before and after it."""
    sound = np.pad(sound, (round(before * RATE), round(after * RATE)))
    return np.clip(sound + rng.normal(0, ROOM, len(sound)), -0.99, 0.99)


def write_sound(path: Path, sound: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        soundfile_module().write(temporary, sound, RATE, subtype="PCM_16", format="WAV")


def write_clips(folder: Path | str, speakers: int = 6, each: int = 2, seed: int = 0) -> Path:
    """One wav a clip below `folder`, `each` for an emotion of a speaker; returns the path of the table beside them."""
    folder, lines = Path(folder), []
    for speaker in range(speakers):
        who = voice(np.random.default_rng([seed, speaker]))
        name = f"voice-{speaker + 1:02d}"
        (folder / name).mkdir(parents=True, exist_ok=True)
        for kind, emotion in enumerate(MANNERS):
            for take in range(each):
                rng = np.random.default_rng([seed, speaker, kind, take])
                intensity = INTENSITIES[take % len(INTENSITIES)]
                sound = hum(who, emotion, intensity / max(INTENSITIES), rng.uniform(*SECONDS), rng)
                path = f"{name}/{emotion}-{take + 1}.wav"
                write_sound(folder / path, in_a_room(sound, *rng.uniform(*QUIET, 2), rng))
                lines.append((path, name, emotion, *(intensity * (emotion == target) for target in EMOTIONS)))
    with atomic_path(folder / TABLE) as temporary:
        pd.DataFrame(lines, columns=["path", "speaker", "category", *EMOTIONS]).to_csv(temporary, index=False)
    return folder / TABLE


def damage(folder: Path | str) -> dict[str, str]:
    """Spoil three clips as real folders are spoilt: path -> what became of it."""
    paths = sorted(Path(folder).rglob("*.wav"))
    empty, short, silent = (paths[i * len(paths) // 3 + i] for i in range(3))
    write_bytes(empty, b"")
    write_bytes(short, short.read_bytes()[: short.stat().st_size // 2])
    write_sound(silent, np.zeros(2 * RATE))
    done = {empty: "emptied", short: "cut off in the middle", silent: "replaced by silence"}
    return {path.relative_to(folder).as_posix(): what for path, what in done.items()}


def write_scene(
    path: Path | str, emotions: Sequence[str], seconds: float = 5.0, seed: int = 0
) -> list[tuple[float, str]]:
    """A recording by a voice that is in no clip, which passes through emotions: when each begins, and which."""
    rng = np.random.default_rng([seed, STRANGER])
    who = voice(rng)
    before, after = rng.uniform(*QUIET, 2)
    parts = [hum(who, emotion, 1.0, seconds, rng) for emotion in emotions]
    write_sound(Path(path), in_a_room(np.concatenate(parts), before, after, rng))
    return [(before + i * seconds, emotion) for i, emotion in enumerate(emotions)]
