"""`python -m attack.fuzz_csd SEED COUNT` (in tests/): damaged `.csd` files are read; prints what came.

The reader's process is forked here, out of one that has h5py already: a hundred times faster than a new interpreter.
"""

import collections
import json
import os
import resource
import signal
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from attack.mutations import mutants
from builders import noise, times, write_csd, write_plain_csd

from emo_ssl.corpora import csd, foreign
from emo_ssl.corpora.labels import read_labels
from emo_ssl.utils.io import UserError

SECRET = b"not for your eyes, as 32 bytes.\n"
LONGEST = 400  # characters of a sentence


class Forked:
    """Stands in for the subprocess.Popen that `Csd` starts."""

    returncode = None

    def __init__(self, args: list[str], **pipes: object):
        self.args = args
        (request, requests), (answers, answer) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(requests), os.close(answers)
                foreign.serve(args[-1], os.fdopen(request, "rb"), os.fdopen(answer, "wb"))
                os._exit(0)
            finally:
                os._exit(1)
        os.close(request), os.close(answer)
        self.stdin, self.stdout = os.fdopen(requests, "wb"), os.fdopen(answers, "rb")

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *problem: object) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()


def samples(folder: Path) -> list[bytes]:
    """Files of several layouts, and one that leads out of itself in every way that HDF5 knows."""
    names, secret = json.dumps(csd.EMOTIONS), folder / "secret"
    secret.write_bytes(SECRET * 8)
    entries = {key: (noise(9, 6), times(9)) for key in ("a", "b[0]", "b[1]")}
    write_csd(folder / "ours.csd", entries, csd.EMOTIONS)
    write_plain_csd(folder / "gzip.csd", entries, {"dimension names": names}, compression="gzip")
    write_plain_csd(folder / "text.csd", entries, {"dimension names": np.bytes_(names), "corpus": '"made up"'})
    with h5py.File(folder / "latest.csd", "w", libver="latest") as file:
        for key, (features, intervals) in entries.items():
            group = file.create_group(f"COVAREP/data/{key}")
            group.create_dataset(
                "features", data=features, chunks=(2, 1), shuffle=True, compression="lzf", maxshape=(None, 6)
            )
            group.create_dataset("intervals", data=intervals, chunks=(2, 2), fletcher32=True)
        file["COVAREP/metadata/dimension names"] = names
    with h5py.File(folder / "outward.csd", "w") as file:
        data = file.create_group("COVAREP/data")
        external = {"external": [(str(secret), 0, 216)]}
        data.create_dataset("a/features", (9, 6), "f4", **external)
        data["a/intervals"] = times(9)
        layout = h5py.VirtualLayout((9, 6), "f4")
        layout[:] = h5py.VirtualSource(str(folder / "ours.csd"), "COVAREP/data/a/features", (9, 6))
        data.create_virtual_dataset("b/features", layout)
        data["b/intervals"] = h5py.ExternalLink(str(folder / "ours.csd"), "COVAREP/data/a/intervals")
    return [path.read_bytes() for path in sorted(folder.glob("*.csd"))]


def read_all(path: Path) -> str:
    """What becomes of one file."""
    try:
        with csd.Csd(path) as opened:
            parts = [part for key in opened.keys for part in opened.read(key)]
            if any(SECRET[:16] in part.tobytes() for part in parts):
                return "foreign bytes"
            read_labels(opened)
    except UserError as problem:
        sentence = str(problem).removeprefix(str(path))
        if "\n" in sentence or len(sentence) > LONGEST:
            return f"not a sentence: {sentence[:LONGEST]!r}"
        contained = {"breaks down": "refused, crashed", "does not end": "refused, endless"}
        return next((kind for words, kind in contained.items() if words in sentence), "refused")
    return "read"


def main(seed: int, count: int) -> None:
    csd.subprocess.Popen, foreign.SECONDS = Forked, 1
    table: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.csd"
        for case, content in enumerate(mutants(samples(Path(folder)), seed, count)):
            path.write_bytes(content)
            try:
                table[read_all(path)] += 1
            except Exception as problem:
                table[f"{type(problem).__name__}: {problem}, case {case} of seed {seed}"[:LONGEST]] += 1
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({**table, "megabytes": usage.ru_maxrss // 1024}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
