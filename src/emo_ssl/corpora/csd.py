"""Computational sequences (`.csd`), the HDF5 layout of CMU's multimodal SDK: a lazy reader and an atomic writer.

/<root>/data/<key>/features   (T, D) float32        /<root>/data/<key>/intervals   (T, 2) float64, seconds
/<root>/metadata/<name>       (1,) UTF-8 string holding JSON
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import h5py
import numpy as np

from emo_ssl.corpora import foreign
from emo_ssl.utils.io import UserError, atomic_path, refuse_what_is_no_file
from emo_ssl.utils.values import convert, printable

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
LABEL_NAMES = ("sentiment", *EMOTIONS)


def decode_metadata(text: str) -> object:
    """JSON if it is sound, else the text itself: older files hold plain strings."""
    try:
        return convert(json.loads(text), object)
    except (ValueError, RecursionError):
        return printable(text)


class Csd:
    """A `.csd` opened for reading, one entry at a time, by a process of its own. Use it as a context manager."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        refuse_what_is_no_file(self.path, ".csd")
        command = [sys.executable, "-P", foreign.__file__, str(self.path)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        # one thread starts sooner, no plug-in is loaded, and Ctrl-C comes to this process alone
        settings = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
        self._process = subprocess.Popen(command, **pipes, env=settings, start_new_session=True)
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            found = self._answer()
            stack.pop_all()
        self.root, self._entries = found["root"], found["entries"]
        self.metadata = {name: decode_metadata(text) for name, text in found["texts"].items() if text is not None}

    def _answer(self, where: str = "") -> dict | None:
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            self._refuse_dead(where)
        answer = json.loads(line)
        if answer and "refused" in answer:
            raise UserError(f"{self.path}: {answer['refused']}.")
        return answer

    def _refuse_dead(self, where: str) -> NoReturn:
        status = self._process.wait()
        if status == 1:  # an exception, so a fault of ours
            raise RuntimeError(f"{self.path}: the process that reads it failed; run {' '.join(self._process.args)}")
        how = "reading it does not end" if status == -getattr(signal, "SIGPROF", 0) else "HDF5 breaks down over it"
        raise UserError(f"{self.path}: the file is damaged{where}, {how}; download or copy it again.")

    @property
    def keys(self) -> list[str]:
        return list(self._entries)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the columns, or None where the file does not say."""
        names = self.metadata.get("dimension names")
        if not isinstance(names, list) or not names:
            return None
        flat = [name[0] if isinstance(name, list) and name else name for name in names]
        return tuple(str(name) for name in flat)

    def shape(self, key: str) -> tuple[int, int]:
        """(T, D) of one entry without reading it; a vector counts as one column."""
        rows, width, _ = self._entries[key]
        return rows, width

    def dtype(self, key: str) -> np.dtype:
        return np.dtype(self._entries[key][2])

    def read(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """features (T, D) float32 and intervals (T, 2) float64 of one entry."""
        return self._values(key, "features", self.shape(key)), self.intervals(key)

    def intervals(self, key: str) -> np.ndarray:
        return self._values(key, "intervals", (self.shape(key)[0], 2))

    def _values(self, key: str, part: str, shape: tuple[int, int]) -> np.ndarray:
        values, where = np.empty(shape, foreign.PARTS[part]), f" at `{key}`"
        if values.size:
            with contextlib.suppress(BrokenPipeError):  # the answer will be missing
                os.write(self._process.stdin.fileno(), json.dumps([key, part]).encode() + b"\n")
            self._answer(where)
            if self._process.stdout.readinto(values) != values.nbytes:
                self._refuse_dead(where)
        return values

    def close(self) -> None:
        self._process.kill()
        with self._process:  # closes its pipes and waits
            pass

    def __enter__(self) -> "Csd":
        return self

    def __exit__(self, kind, problem, trace) -> None:
        self.close()


@contextlib.contextmanager
def csd_writer(
    path: Path | str, root: str, names: Sequence[str] | None, description: str = "", metadata: dict | None = None
) -> Iterator[Callable[[str, np.ndarray, np.ndarray], None]]:
    """Yield `add(key, features (T, D), intervals (T, 2))`; the file appears whole when the block ends, or never."""
    texts = {
        "root name": root,
        "computational sequence description": description,
        "computational sequence version": "1.0",
        "alignment compatible": True,
        "dataset version": "1.0",
        "creator": "emo-ssl",
        **dict.fromkeys(("dataset name", "contact", "featureset bib citation", "dataset bib citation"), ""),
        **({"dimension names": list(names)} if names is not None else {}),
        **(metadata or {}),
    }
    with atomic_path(Path(path)) as temporary, h5py.File(temporary, "w") as file:
        data = file.create_group(f"{root}/data")

        def add(key: str, features: np.ndarray, intervals: np.ndarray) -> None:
            group = data.create_group(key)
            group.create_dataset("features", data=features)
            group.create_dataset("intervals", data=intervals)

        yield add
        group = file.create_group(f"{root}/metadata")
        for name, value in texts.items():
            group.create_dataset(name, data=[json.dumps(value)], dtype=h5py.string_dtype())
