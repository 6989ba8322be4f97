"""`make kills`: every command that writes is killed at random moments, with all its processes, and given again.

Each command first runs undisturbed. Then it begins anew elsewhere, is killed after a random part of that time, once or
twice, and is given again until it ends. What it leaves has to be the same, byte for byte; the pages of the book, which
say how long they took, have to say the same otherwise. What is finished is kept in OUT/kills.jsonl, and the same
command goes on after it; OUT/kills.json is the table of all.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Container, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import sounds
from attack.examples import toml_of
from book_tree import code, text, write_contents, write_notebook, write_tree
from training import PRETRAIN, STUDY, write_acted_and_runs

from emo_ssl.corpora.synthetic import SynthConfig, write_corpus
from emo_ssl.utils.io import write_json
from emo_ssl.utils.progress import Progress
from emo_ssl.utils.provenance import provenance

SEED, ROOT = 0, Path(__file__).parents[2]
TIMES = re.compile(rb'executed in \d+ s|"seconds\w*": [\d.]+')
RUNS = "run0 run1 run2"


@dataclass(frozen=True)
class Command:
    share: int  # of 100 kills
    words: str  # to Python
    begins_in: str = "."
    result: str = "out"  # whose files have to be equal
    files: str = "*"


FILES = "--acoustic raw/COVAREP.csd --labels raw/LABELS.csd --folds raw/folds.json"
COMMANDS = {
    "corpus prepare": Command(25, f"-m emo_ssl corpus prepare {FILES} -o out"),
    "corpus record": Command(25, "-m emo_ssl corpus record sounds --recipe folder --table sounds/table.csv -o out"),
    "pretrain": Command(20, "-m emo_ssl pretrain corpus --config pretrain.toml --device cpu -o out"),
    "study": Command(
        20, f"-m emo_ssl study corpus --pretrained {RUNS} --config study.json --device cpu --jobs 2 -o out"
    ),
    "book": Command(10, "-m tools.book", "tree", "build/site", "*.html"),
}


def write_inputs(place: Path) -> None:
    """What the commands read, and a small repository for the book."""
    write_corpus(place / "raw", SynthConfig(videos=24, seed=SEED))
    rows = []
    for i in range(24):
        sounds.write(place / "sounds" / f"{i}.wav", sounds.hum(6.0, pitch=100 + 5 * i))
        rows.append({"path": f"{i}.wav", "speaker": f"s{i % 6}", "category": ("calm", "loud")[i // 6 % 2]})
    pd.DataFrame(rows).to_csv(place / "sounds" / "table.csv", index=False)
    write_acted_and_runs(place)
    longer = replace(PRETRAIN, steps=600, checkpoint_every=40, evaluate_every=100)
    (place / "pretrain.toml").write_text(toml_of(asdict(longer)))
    (place / "study.json").write_text(json.dumps(asdict(STUDY)))
    write_tree(place / "tree")
    for name in ("01-first", "02-second"):
        write_notebook(place / "tree", name, text(f"# {name}"), code("seed = 0", "parameters"), code("seed + 1"))
    write_contents(place / "tree", "01-first", "02-second")
    (place / "tree" / "notebooks" / "profiles" / "demo.yml").write_text("01-first: {}\n02-second: {}\n")


def begun(command: Command, place: Path) -> subprocess.Popen:
    """In a session of its own, so that a kill reaches all its processes."""
    return subprocess.Popen(
        [sys.executable, *command.words.split()],
        cwd=place / command.begins_in,
        env=os.environ | {"TQDM_DISABLE": "1", "PYTHONPATH": f"{ROOT}"},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def ended(command: Command, place: Path) -> None:
    running = begun(command, place)
    _, problem = running.communicate()
    if running.returncode:
        raise RuntimeError(f"{command.words}: {problem.decode()[-500:]}")


def left(command: Command, place: Path) -> dict[str, str]:
    """File -> hash of what it holds, times apart."""
    folder = place / command.begins_in / command.result
    files = [path for path in sorted(folder.rglob(command.files)) if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(TIMES.sub(b"", p.read_bytes())).hexdigest() for p in files}


def killed(command: Command, place: Path, seconds: float, rng: np.random.Generator, wanted: int) -> int:
    """Begin it until it was killed so often: how often it was. Less, if it ended before."""
    for count in range(wanted):
        running = begun(command, place)
        time.sleep(float(rng.uniform(0, seconds)))
        alive = running.poll() is None
        if alive:
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        if not alive:
            return count
    return wanted


def undisturbed(command: Command, made: Path) -> tuple[float, dict[str, str]]:
    """How long it takes, and what it leaves."""
    with copied(made) as place:
        began = time.monotonic()
        ended(command, place)
        return time.monotonic() - began, left(command, place)


@contextlib.contextmanager
def copied(made: Path) -> Iterator[Path]:
    """The inputs, always in the same place, for provenance names it."""
    place = made.with_name("place")
    shutil.copytree(made, place)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def run(kills: int, output: Path, names: Container[str] = frozenset(COMMANDS)) -> dict:
    output.mkdir(parents=True, exist_ok=True)
    log, setting = output / "kills.jsonl", {"kills": kills, "seed": SEED, "commit": provenance("cpu")["commit"]}
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    done = lines[1:] if lines[:1] == [setting] else []
    log.write_text("".join(json.dumps(line) + "\n" for line in (setting, *done)))
    with tempfile.TemporaryDirectory() as folder, Progress("killing", kills, "kills") as bar, log.open("a") as stream:
        made = Path(folder) / "made"
        write_inputs(made)
        for name, command in COMMANDS.items():
            before = [row for row in done if row["command"] == name]
            hits, wanted = sum(row["kills"] for row in before), max(1, round(kills * command.share / 100))
            bar.advance(hits)
            if name not in names or hits >= wanted:
                continue
            seconds, whole = undisturbed(command, made)
            for trial in itertools.count(len(before)):
                rng = np.random.default_rng([SEED, *name.encode(), trial])
                with copied(made) as place:
                    hit = killed(command, place, seconds, rng, min(int(rng.integers(1, 3)), wanted - hits))
                    ended(command, place)
                    row = {"command": name, "kills": hit, "same": left(command, place) == whole}
                hits += hit
                done.append(row)
                stream.write(json.dumps(row) + "\n")
                stream.flush()
                bar.advance(hit, "" if row["same"] else "a difference")
                if hits >= wanted:
                    break
    return table_of(done)


def table_of(done: list[dict]) -> dict:
    """Kills of each command, and those of trials whose result was the same as without any."""
    rows = []
    for name in dict.fromkeys(row["command"] for row in done):
        own = [row for row in done if row["command"] == name]
        same = sum(row["kills"] for row in own if row["same"])
        rows.append({"command": name, "kills": sum(row["kills"] for row in own), "same": same})
    total = {key: sum(row[key] for row in rows) for key in ("kills", "same")}
    return {"seed": SEED, "total": total, "commands": rows}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--output", type=Path, default=Path("build/fuzz"), help="what is finished, and the table")
    given = parser.parse_args()
    found = run(given.kills, given.output)
    made = {**provenance("cpu"), "command": f"make kills KILLS={given.kills}"}
    write_json(given.output / "kills.json", {**found, "provenance": made})
    for row in (*found["commands"], {"command": "all", **found["total"]}):
        print(f"{row['command']:16} {row['kills']:4} kills, {row['same']:4} with the same result")
    return 1 if found["total"]["same"] < found["total"]["kills"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
