"""`make fuzz`: damaged files are given to everything that reads files, and whatever comes of each is counted.

A case is one file with one damage, a function of the seed, the reader and its number. It has to be accepted or refused
by a short sentence, within seconds, in little memory, without reading or writing anything else and without running
anything. Chunks of cases run in processes of their own, so that a crash costs one case. What is finished is kept in
OUT/chunks.jsonl, and the same command goes on after it; OUT/fuzz.json is the table of all.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from attack.forking import Forked
from attack.readers import READERS, Reader, write_all

from emo_ssl.corpora.audio import BadRecording
from emo_ssl.utils.io import write_json
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.provenance import provenance
from emo_ssl.utils.values import MESSAGE, UserError

SEED, CHUNK = 0, 500
HANG, LOST = 5, 90  # seconds of computing in Python, and on the clock where nothing comes back
REFUSED, ACCEPTED = "refused", "accepted"
FAULTS = ("tracebacks", "crashes", "hangs", "foreign files", "long messages")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGING = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.truncate", "shutil.rmtree")
RUNNING = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "socket.connect", "pty.spawn")


class Hang(BaseException):
    """No Exception, so that no reader can take it for a damaged file."""


class Guard:
    """Sees what Python opens, changes and runs; while `place` is set, whatever lies outside of it is noted."""

    place: Path | None = None
    met: str = ""

    def __call__(self, event: str, given: tuple) -> None:
        if self.place is None or self.met:
            return
        if event in RUNNING or (event in CHANGING and self.outside(given[0])):
            self.met = f"{event} {str(given[:2])[:100]}"
        elif event == "open":
            path, mode, flags = given
            writes = any(letter in (mode or "") for letter in "wax+") or (flags or 0) & WRITING
            if isinstance(path, str | bytes) and (writes or b"secret" in os.fsencode(path)) and self.outside(path):
                self.met = f"open {os.fsdecode(path)[:100]} {mode}"

    def outside(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        where = os.path.realpath(os.fsdecode(path))
        return not where.startswith((f"{self.place}{os.sep}", os.devnull)) and "__pycache__" not in where


GUARD = Guard()
sys.addaudithook(GUARD)


@contextlib.contextmanager
def guarded(place: Path) -> Iterator[None]:
    def stop(number: int, frame: object) -> None:
        raise Hang

    GUARD.place, GUARD.met = Path(os.path.realpath(place)), ""
    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        GUARD.place = None


def generator(reader: Reader, number: int) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(reader.name.encode()), number])


def run_case(reader: Reader, place: Path, number: int) -> tuple[str, str]:
    """What becomes of one case, and the details where it is a fault."""
    name, whole, damaged = reader.damaged(generator(reader, number), place)
    (place / name).write_bytes(damaged)
    try:
        with guarded(place):
            found, words = ACCEPTED, ""
            try:
                reader.use(place, name)
            except (UserError, BadRecording) as problem:
                found, words = REFUSED, str(problem)
    except Hang:
        return "hangs", name
    except Exception as problem:
        last = [frame for frame in traceback.extract_tb(problem.__traceback__) if "emo_ssl" in frame.filename][-1:]
        where = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in last)
        return "tracebacks", f"{name}: {type(problem).__name__}: {str(problem)[:200]!r} {where}"
    finally:
        (place / name).write_bytes(whole)
    if GUARD.met:
        return "foreign files", f"{name}: {GUARD.met}"
    if len(words) > MESSAGE or "\n" in words:
        return "long messages", f"{name}: {len(words)} letters: {words[:100]!r}"
    return found, ""


# --- many cases -----------------------------------------------------------------------------------------------------


def run_chunk(reader: Reader, made: Path, first: int, last: int, log: Path) -> None:
    """In a process of its own: cases first to last - 1, and a line of JSON for what becomes of each."""
    warnings.simplefilter("error")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(dir=made.parent) as folder, log.open("w") as stream:
        place = Path(folder) / "made"
        shutil.copytree(made, place)
        shutil.copy(made.parent / "secret", folder)
        shutil.copy(made.parent / "secret.wav", folder)
        os.chdir(place)
        for number in range(first, last):
            print(json.dumps(run_case(reader, place, number)), file=stream, flush=True)
        usage = [resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        print(json.dumps(["megabytes", max(*usage, Forked.megabytes)]), file=stream)


class Worker:
    """One chunk in its process."""

    def __init__(self, reader: Reader, made: Path, first: int, last: int):
        self.reader, self.first, self.last, self.began = reader, first, last, time.monotonic()
        self.log = made.parent / f"{reader.name} from {first}.jsonl"
        self.log.touch()
        given = (reader, made, first, last, self.log)
        self.process = get_context("fork").Process(target=run_chunk, args=given)
        self.process.start()

    def row(self) -> dict | None:
        """What came of its cases, once there is nothing to wait for any more."""
        silent = time.time() - self.log.stat().st_mtime > LOST
        if self.process.is_alive() and not silent:
            return None
        self.process.kill()
        self.process.join()
        found, megabytes = [json.loads(line) for line in self.log.read_text().splitlines()], 0
        if found and found[-1][0] == "megabytes":
            megabytes = found.pop()[1]
        elif silent:
            found.append(["hangs", "nothing came back"])
        else:
            found.append(["crashes", f"exit status {self.process.exitcode}"])
        seconds, name = round(time.monotonic() - self.began, 1), self.reader.name
        known = {"reader": name, "first": self.first, "last": self.first + len(found), "seconds": seconds}
        faults = [(kind, self.first + i, words) for i, (kind, words) in enumerate(found) if kind in FAULTS]
        told = [f"{name}, {kind}, case {number}: {words}" for kind, number, words in faults]
        return {**known, "megabytes": megabytes, "counts": Counter(kind for kind, _ in found), "faults": told}


def waiting(cases: int, done: list[dict], only: str = "") -> list[tuple[Reader, int, int]]:
    """The chunks that are not there yet, the dear ones first; of readers whose name begins with `only`."""
    finished = {(row["reader"], row["first"]): row["last"] for row in done}
    total = sum(reader.share for reader in READERS)
    chunks = []
    for reader in sorted((r for r in READERS if r.name.startswith(only)), key=lambda reader: reader.share):
        count = max(1, round(cases * reader.share / total))
        for begin in range(0, count, CHUNK):
            end, first = min(begin + CHUNK, count), begin
            while first < end and (reader.name, first) in finished:
                first = finished[reader.name, first]
            if first < end:
                chunks.append((reader, first, end))
    return chunks


def fuzz(cases: int, processes: int, output: Path, only: str = "") -> dict:
    output.mkdir(parents=True, exist_ok=True)
    setting = {"cases": cases, "seed": SEED, "reader": only, "commit": provenance("cpu")["commit"]}
    log = output / "chunks.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = lines[1:] if lines[:1] == [setting] else []
    log.write_text("".join(json.dumps(line) + "\n" for line in (setting, *done)))
    chunks, running = waiting(cases, done, only), []
    asked = sum(last - first for _, first, last in waiting(cases, [], only))
    with tempfile.TemporaryDirectory() as folder, Progress("fuzzing", asked, "cases") as bar, log.open("a") as stream:
        made = write_all(Path(folder).resolve())
        bar.advance(sum(row["last"] - row["first"] for row in done))
        while chunks or running:
            while chunks and len(running) < processes:
                reader, first, last = chunks.pop(0)
                running.append(Worker(reader, made, first, last))
            for worker, row in [(worker, row) for worker in running if (row := worker.row())]:
                running.remove(worker)
                if row["last"] < worker.last:  # it crashed, or nothing came back
                    chunks.append((worker.reader, row["last"], worker.last))
                done.append(row)
                stream.write(json.dumps(row) + "\n")
                stream.flush()
                faults = sum(len(one["faults"]) for one in done)
                bar.advance(row["last"] - row["first"], f"{faults} faults" if faults else "")
            time.sleep(0.05)
    return table_of(done, processes)


def table_of(done: list[dict], processes: int) -> dict:
    rows = []
    for reader in READERS:
        own = [row for row in done if row["reader"] == reader.name]
        if not own:
            continue
        counts = sum((Counter(row["counts"]) for row in own), Counter())
        numbers = {kind: counts[kind] for kind in (REFUSED, ACCEPTED, *FAULTS)}
        most = {"megabytes": max(row["megabytes"] for row in own)}
        seconds = {"seconds": round(sum(row["seconds"] for row in own))}
        rows.append({"reader": reader.name, "cases": counts.total(), **numbers, **most, **seconds})
    faults = [fault for row in done for fault in row["faults"]]
    total = {name: sum(row[name] for row in rows) for name in ("cases", REFUSED, ACCEPTED, *FAULTS, "seconds")}
    total["megabytes"] = max(row["megabytes"] for row in rows)
    return {"seed": SEED, "processes": processes, "total": total, "readers": rows, "faults": faults[:100]}


def in_words(found: dict) -> str:
    names = ["cases", REFUSED, ACCEPTED, *FAULTS, "megabytes", "seconds"]
    lines = [f"{'':32}" + "".join(f"{name:>15}" for name in names)]
    for row in (*found["readers"], {"reader": "all", **found["total"]}):
        lines.append(f"{row['reader']:32}" + "".join(f"{row[name]:>15,}" for name in names))
    return "\n".join([*lines, *found["faults"]])


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="what is finished, and the table")
    parser.add_argument("--reader", default="", help="only readers whose name begins so, with their part of the cases")
    given = parser.parse_args()
    if not any(reader.name.startswith(given.reader) for reader in READERS):
        parser.error(f"no reader begins with {given.reader}; name one of {', '.join(r.name for r in READERS)}")
    found = fuzz(given.cases, given.processes, given.output, given.reader)
    command = f"make fuzz CASES={given.cases}" + (f" READER='{given.reader}'" if given.reader else "")
    write_json(given.output / "fuzz.json", {**found, "provenance": {**provenance("cpu"), "command": command}})
    print(in_words(found))
    return 1 if any(found["total"][kind] for kind in FAULTS) else 0


if __name__ == "__main__":
    raise SystemExit(main())
