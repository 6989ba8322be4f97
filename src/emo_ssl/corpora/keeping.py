"""Frames of finished files, kept in a folder until their corpus is whole, so that hours of work outlast a kill.

NUMBER.bin holds the frames as the corpus stores them, and NUMBER.json, written last, from which second to which they
were made, or why the recording is left out.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from emo_ssl.core.writer import to_half
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.utils.io import PARTIAL, disk_full, is_disk_full, read_json
from emo_ssl.utils.values import Count, refused

Framed = tuple[np.ndarray, float, float, float]  # frames (T, D), from second, to second, seconds of the recording


class LeftOut(TypedDict):
    reason: str
    detail: str


class Kept(TypedDict):
    frames: Count
    began: float
    ended: float
    seconds: float
    float16_error: float


@dataclass
class Keeper:
    folder: Path
    width: int
    half: bool
    float16_error: float = 0.0  # the largest of those that were read so far

    def has(self, number: int) -> bool:
        return self.note(number).exists()

    def keep(self, number: int, pieces: Iterable[Framed]) -> None:
        """The pieces of one recording in the order of time."""
        self.folder.mkdir(exist_ok=True)
        partial, frames, times, error = self.frames(number).with_suffix(PARTIAL), 0, [], 0.0
        try:
            with partial.open("wb") as stream:
                for piece, *of_piece in pieces:
                    stored = np.ascontiguousarray(piece, "<f4")
                    if self.half:
                        stored, here = to_half(stored)
                        error = max(error, here)
                    stream.write(stored.data)
                    frames += len(stored)
                    times.append(of_piece)
            os.replace(partial, self.frames(number))
            began, (_, ended, seconds) = times[0][0], times[-1]
            note = {"frames": frames, "began": began, "ended": ended, "seconds": seconds, "float16_error": error}
        except BadRecording as problem:
            partial.unlink()
            note = {"reason": problem.reason, "detail": problem.detail}
        except OSError as problem:
            raise (disk_full(self.folder) if is_disk_full(problem) else problem) from problem
        partial.write_text(json.dumps(note), encoding="utf-8")
        os.replace(partial, self.note(number))

    def read(self, number: int) -> Framed | BadRecording:
        """What was kept; the frames are a view of the file."""
        note = read_json(self.note(number), LeftOut | Kept, f"delete {self.folder}, run again")
        if "reason" in note:
            return BadRecording(note["reason"], note["detail"])
        self.float16_error = max(self.float16_error, note["float16_error"])
        kind, shape = "<f2" if self.half else "<f4", (note["frames"], self.width)
        with refused(self.frames(number), (OSError, ValueError), "damaged", f"delete {self.folder}, run again"):
            frames = np.memmap(self.frames(number), kind, "r", shape=shape)
        return frames, note["began"], note["ended"], note["seconds"]

    def frames(self, number: int) -> Path:
        return self.folder / f"{number}.bin"

    def note(self, number: int) -> Path:
        return self.folder / f"{number}.json"
