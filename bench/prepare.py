"""How fast a corpus is prepared, cut and opened, each against the plain way in the same run.

    python bench/prepare.py                      a hundredth and a tenth of MOSEI, a minute or two
    python bench/prepare.py --videos 33 329 3293 the last one is MOSEI's full size: 45 GB of free disk, some ten minutes

Both ways start with the input dropped from the page cache where the system allows it. The machine's mood cancels in the
ratios, not in the absolute figures.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gpu import line

from emo_ssl.core.corpus import Corpus
from emo_ssl.corpora.cleaning import EDGE, cut
from emo_ssl.corpora.csd import Csd
from emo_ssl.corpora.synthetic import SynthConfig, write_corpus

BLOCK = 1 << 22


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as stream:
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def plain_copy(source: Path, target: Path, size: int) -> float:
    """Seconds to read `source`, write `size` bytes and sync them, with no work in between."""
    forget(source)
    started, block, left = time.perf_counter(), bytearray(BLOCK), size
    with source.open("rb", 0) as reader, target.open("wb", 0) as writer:
        while count := reader.readinto(block):
            left -= writer.write(memoryview(block)[: min(count, left)]) if left else 0
        os.fsync(writer.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def anonymous_memory(pid: int) -> int:
    """Bytes that belong to the process alone; pages of mapped files can be dropped and do not count."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        lines = [line for line in status.read_text().splitlines() if line.startswith("RssAnon")]
        return int(lines[0].split()[1]) * 1024 if lines else 0
    import psutil

    return psutil.Process(pid).memory_full_info().uss


PREPARE = """
import sys, time
from emo_ssl.corpora.mosei import prepare
started = time.perf_counter()
prepare(*sys.argv[1:])
print(time.perf_counter() - started)
"""


def run_prepare(corpus: Path, output: Path) -> tuple[float, int]:
    """Seconds and peak anonymous bytes of `prepare`, in a process of its own; its start is not counted."""
    shutil.rmtree(output, ignore_errors=True)
    forget(corpus / "COVAREP.csd")
    files = [str(path) for path in (corpus / "COVAREP.csd", corpus / "LABELS.csd", corpus / "folds.json", output)]
    process = subprocess.Popen([sys.executable, "-c", PREPARE, *files], stdout=subprocess.PIPE, text=True)
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_memory(process.pid))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"prepare ended with status {process.returncode}")
    return float(process.stdout.read()), peak


def scan(times: list, start: float, end: float) -> list[int]:
    """The straightforward cut: look at every frame of the video."""
    return [i for i, (a, b) in enumerate(times) if a < end + EDGE and b > start - EDGE]


def bench_cut(corpus: Path, most: int = 40) -> dict:
    """Microseconds a segment, by scan and by search, over the segments of some videos; the frames must be the same."""
    slow, fast, count = 0.0, 0.0, 0
    with Csd(corpus / "COVAREP.csd") as sound, Csd(corpus / "LABELS.csd") as labels:
        for key in [key for key in labels.keys if key in set(sound.keys)][:most]:
            times, spans = sound.intervals(key), labels.intervals(key)
            times = times[np.argsort(times[:, 0], kind="stable")]
            listed = times.tolist()
            started = time.perf_counter()
            scanned = [scan(listed, start, end) for start, end in spans.tolist()]
            slow += time.perf_counter() - started
            fast += median_seconds(lambda t=times, s=spans: cut(t, s[:, 0], s[:, 1]), 21)
            first, length = cut(times, spans[:, 0], spans[:, 1])
            count += len(spans)
            if scanned != [list(range(f, f + n)) for f, n in zip(first, length, strict=True)]:
                raise SystemExit(f"{key}: the two cuts differ")
    return {"segments": count, "scan_us": slow / count * 1e6, "search_us": fast / count * 1e6, "ratio": slow / fast}


def median_seconds(work, repeats: int = 9) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def bench_size(recordings: int, folder: Path, repeats: int) -> dict:
    """Everything at one size; the two ways take turns, after a first round that does not count and warms the memory."""
    corpus, output = folder / f"synthetic-{recordings}", folder / f"prepared-{recordings}"
    write_corpus(corpus, SynthConfig(videos=recordings))
    ours, plain, peaks = [], [], []
    run_prepare(corpus, output)
    size = (output / "frames.bin").stat().st_size
    plain_copy(corpus / "COVAREP.csd", folder / "copy.bin", size)
    for _ in range(repeats):
        seconds, peak = run_prepare(corpus, output)
        ours.append(seconds)
        peaks.append(peak)
        plain.append(plain_copy(corpus / "COVAREP.csd", folder / "copy.bin", size))
    prepared = Corpus.open(output)
    row = {
        "videos": recordings,
        "frames": prepared.header["frames"],
        "gigabytes": round((output / "frames.bin").stat().st_size / 1e9, 2),
        "prepare_s": round(statistics.median(ours), 2),
        "plain_s": round(statistics.median(plain), 2),
        "throughput": round(statistics.median(p / o for p, o in zip(plain, ours, strict=True)), 2),
        "throughputs": [round(p / o, 2) for p, o in zip(plain, ours, strict=True)],
        "us_a_frame": round(statistics.median(ours) / prepared.header["frames"] * 1e6, 3),
        "peak_anonymous_mb": round(max(peaks) / 1e6),
        "open_ms": round(median_seconds(lambda: Corpus.open(output)) * 1e3, 1),
        "cut": {name: round(value, 2) for name, value in bench_cut(corpus).items()},
    }
    shutil.rmtree(corpus)
    shutil.rmtree(output)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[33, 329])
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = []
        for recordings in options.videos:
            rows.append(bench_size(recordings, Path(folder), options.repeats))
            print(json.dumps(rows[-1]), flush=True)
        if len(rows) > 1:
            print(json.dumps(line([row["frames"] for row in rows], [row["prepare_s"] for row in rows])))


if __name__ == "__main__":
    main()
