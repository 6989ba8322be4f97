"""Computational sequences (`.csd`), the HDF5 layout of CMU's multimodal SDK: a lazy reader and an atomic writer.

/<root>/data/<key>/features   (T, D) float32        /<root>/data/<key>/intervals   (T, 2) float64, seconds
/<root>/metadata/<name>       (1,) UTF-8 string holding JSON
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from emo_ssl.utils.io import UserError, atomic_path, failed_download

EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
LABEL_NAMES = ("sentiment", *EMOTIONS)
# what HDF5 raises for a damaged file depends on where the damage lies
HDF5_PROBLEMS = (OSError, RuntimeError, KeyError, ValueError, TypeError)


def refuse_if_not_hdf5(path: Path) -> None:
    """Say what the file is instead."""
    if not path.exists():
        raise UserError(f"{path}: no such file; check the path.")
    if path.is_dir():
        raise UserError(f"{path}: this is a folder; name the .csd file in it.")
    with path.open("rb") as stream:
        found = failed_download(stream.read(512))
    if not found and not h5py.is_hdf5(path):
        found = "not an HDF5 file, so not a computational sequence"
    if found:
        raise UserError(f"{path}: {found}; download it again.")


def decode_metadata(value: object) -> object:
    """JSON if it parses, else the text itself: older files hold plain strings and bytes."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    try:
        return json.loads(text)
    except ValueError:
        return text


class Csd:
    """A `.csd` opened for reading, one entry at a time. Use it as a context manager."""

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._layouts: dict[str, tuple[tuple[int, int], np.dtype]] = {}
        refuse_if_not_hdf5(self.path)
        with contextlib.ExitStack() as stack, self._damage():
            self._file = stack.enter_context(h5py.File(self.path, "r"))
            self._open_root()
            stack.pop_all()

    def _open_root(self) -> None:
        roots = list(self._file.keys())
        root = self._file[roots[0]] if len(roots) == 1 else None
        data = root.get("data") if isinstance(root, h5py.Group) else None
        if not isinstance(data, h5py.Group):
            raise UserError(
                f"{self.path}: expected exactly one root group with a group `data` inside, found {roots[:5]}; "
                "this is not a computational sequence."
            )
        self.root, self._data = roots[0], data
        self.keys = list(data.keys())
        group = root.get("metadata") or {}
        self.metadata = {name: decode_metadata(np.ravel(group[name][()])[0]) for name in group if group[name].size}

    @contextlib.contextmanager
    def _damage(self, where: str = "") -> Iterator[None]:
        try:
            yield
        except HDF5_PROBLEMS as problem:
            reason = "the file is truncated" if "truncated" in str(problem) else "the file is damaged or truncated"
            raise UserError(f"{self.path}: {reason}{where}; download or copy it again.") from problem

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
        return self._layout(key)[0]

    def dtype(self, key: str) -> np.dtype:
        return self._layout(key)[1]

    def _layout(self, key: str) -> tuple[tuple[int, int], np.dtype]:
        if key not in self._layouts:  # HDF5 takes its time to answer, and callers ask more than once
            with self._damage(f" at `{key}`"):
                features = self._data[f"{key}/features"]
                rows, *rest = features.shape or (0,)
                self._layouts[key] = (rows, int(np.prod(rest))) if rows else (0, 0), features.dtype
        return self._layouts[key]

    def read(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """features (T, D) float32 and intervals (T, 2) float64 of one entry."""
        return self._array(key, "features", np.float32), self.intervals(key)

    def intervals(self, key: str) -> np.ndarray:
        intervals = self._array(key, "intervals", np.float64)
        if intervals.shape[1] != 2 or len(intervals) != self.shape(key)[0]:
            raise UserError(
                f"{self.path}: `{key}` has {self.shape(key)[0]} rows of features but intervals of shape "
                f"{intervals.shape}; the file is damaged, download it again."
            )
        return intervals

    def _array(self, key: str, part: str, dtype: type) -> np.ndarray:
        with self._damage(f" at `{key}`"):
            dataset = self._data[f"{key}/{part}"]
            values = np.empty(dataset.shape, dtype)
            if values.size:
                dataset.read_direct(values)
        return values.reshape(len(values), -1) if values.size else np.empty((0, 2 if part == "intervals" else 0), dtype)

    def __enter__(self) -> "Csd":
        return self

    def __exit__(self, kind, problem, trace) -> None:
        self._file.close()


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
