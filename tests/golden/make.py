"""The golden run: tiny numbers of every step, computed through the command line; tests compare them with stored ones.

    PYTHONPATH=tests python -m golden.make COMMIT

replaces the stored ones by those of the emo_ssl that is imported. Do that where numbers are meant to change, and say in
the commit why they did.
"""

import argparse
import contextlib
import hashlib
import io
import json
import platform
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file
from simulated_predictions import EMOTIONS, key, meta

from emo_ssl.cli import main
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.metrics import Predictions
from emo_ssl.corpora.clips import write_clips
from emo_ssl.evidence import lookup, tables
from emo_ssl.study.predictions import Items, write_predictions

PROTOCOLS = ("speaker-independent", "speaker-adapted")
ARMS = (
    *("scratch", "pretrained", "permuted", "scratch-4x", "pretrained-4x"),
    *("frozen-random", "frozen-pretrained", "frozen-permuted", "statistics", "pca", "length", "constants"),
)
PRETRAIN = """
kind = "{kind}"
stack = {stack}
width = 16
layers = {layers}
heads = 2
window = 1.28
batch = 4
steps = {steps}
evaluate_every = 10
protocol = "{protocol}"
enrolment = 3
[mask]
span = 3
"""
STUDY = """
profile = "golden"
arms = [{arms}]
budgets = [10]  # and all 20 of the pool
adapted = [10]
enrolment = 3
seeds = 2
rates = [0.003, 0.03]
tuning_seeds = 1
[finetune]
steps = 4
batch = 4
tokens = 16
[probe]
steps = 8
batch = 8
"""

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "ravdess"
FOLDS = SPEAKERS = 4
CATEGORIES = ("neutral", "happy", "sad", "anger", "fear")
CLIPS, EVERY = ("voice-01/neutral-1.wav", "voice-03/anger-2.wav", "voice-04/sad-1.wav"), 8  # frames that are stored
ROW = ("claim", "protocol", "backbone", "readout", "arm", "against", "budget", "metric", "emotion")  # names a row


def command(*arguments: object) -> None:
    """`emo-ssl …`."""
    complaints = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(complaints):
        status = main([str(argument) for argument in arguments])
    if status:
        raise RuntimeError(f"emo-ssl {' '.join(map(str, arguments))}: status {status}\n{complaints.getvalue()}")


def made_up_corpus(folder: Path) -> Path:
    """Six videos in CMU-MOSEI's files, prepared."""
    source, prepared = folder / "synthetic", folder / "prepared"
    command("corpus", "synth", "-o", source, "--videos", 6)
    files = ("--acoustic", source / "COVAREP.csd", "--labels", source / "LABELS.csd", "--folds", source / "folds.json")
    command("corpus", "prepare", *files, "-o", prepared)
    return prepared


def voices(folder: Path) -> Path:
    """Forty made-up clips of four speakers in five categories, through the small acoustic front end."""
    rows = pd.read_csv(write_clips(folder / "clips", SPEAKERS), dtype=str, keep_default_na=False)
    few = folder / "clips" / "few.csv"
    rows[rows["category"].isin(CATEGORIES)].to_csv(few, index=False)
    recorded = folder / "voices"
    command("corpus", "record", folder / "clips", "--recipe", "folder", "--table", few, "--jobs", 1, "-o", recorded)
    return recorded


def pretrained(corpus: Path, run: Path, fold: int = 0, **settings: object) -> Path:
    config = run.with_suffix(".toml")
    config.write_text(PRETRAIN.format(**{"kind": "transformer", "stack": 4, "layers": 1, "steps": 10} | settings))
    command("pretrain", corpus, "-o", run, "--config", config, "--device", "cpu", "--fold", fold)
    return run


def two_runs(prepared: Path, recorded: Path, folder: Path) -> dict[str, Path]:
    """The two kinds of backbone, two layers each, on a corpus each."""
    settings = {"layers": 2, "steps": 30, "protocol": PROTOCOLS[0]}
    return {
        "transformer": pretrained(prepared, folder / "transformer", stack=2, **settings),
        "gru": pretrained(recorded, folder / "gru", kind="gru", **settings),
    }


def studied(corpus: Path, folder: Path) -> Path:
    """Every arm, two budgets, two seeds, both protocols; a pretraining run for each fold and protocol."""
    runs = [
        pretrained(corpus, folder / f"{protocol}{fold}", fold, protocol=protocol)
        for protocol in PROTOCOLS
        for fold in range(FOLDS)
    ]
    config = folder / "study.toml"
    config.write_text(STUDY.format(arms=", ".join(f'"{arm}"' for arm in ARMS)))
    command("study", corpus, "--pretrained", *runs, "--config", config, "-o", folder / "study", "--device", "cpu")
    return folder / "study"


# Numbers of a prepared corpus


def corpus_numbers(folder: Path) -> dict[str, dict]:
    """column -> the sha256 of its values; of numbers also mean and deviation a column, missing values left out."""
    with np.load(folder / "index.npz", allow_pickle=False) as index:
        columns = {"frames": np.array(Corpus.open(folder).frames), **index}
    found = {}
    for name, values in sorted(columns.items()):
        if values.dtype.kind == "U":
            content = "\n".join(values).encode()
        else:
            content = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))).tobytes()
        found[name] = {"shape": list(values.shape), "sha256": hashlib.sha256(content).hexdigest()}
        if values.dtype.kind == "f":
            flat = values.reshape(len(values), -1).astype(np.float64)
            found[name] |= {"mean": np.nanmean(flat, 0).tolist(), "deviation": np.nanstd(flat, 0).tolist()}
    return found


def clip_frames(folder: Path) -> dict[str, np.ndarray]:
    """clip -> every eighth of its frames, all features."""
    corpus = Corpus.open(folder)
    names = corpus.recordings.id.tolist()
    return {clip: corpus.recording(names.index(clip))[::EVERY] for clip in CLIPS}


# Numbers of a pretraining run


def weights(run: Path) -> dict[str, np.ndarray]:
    return dict(sorted(load_file(run / "model.safetensors").items()))


def losses(run: Path) -> dict[str, float]:
    """The held-out losses and what the guesses without a model reach, and the training loss of every step."""
    held_out = json.loads((run / "run.json").read_text(encoding="utf-8"))["held_out"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = {f"step {line['step']}": line["loss"] for line in lines if "loss" in line}
    return {**{f"held out, {name}": value for name, value in held_out.items()}, **steps}


# Numbers of a study


def cells(folder: Path) -> dict[str, np.ndarray]:
    """`speaker-independent/transformer/pretrained/ordinal/28.intensity` -> its array."""
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        return {name.removeprefix("cell."): stored[name] for name in stored.files if name.startswith("cell.")}


def simulated(folder: Path) -> Path:
    """Predictions with a known effect at four budgets, so that every claim is judged."""
    rng, seeds, units, each, budgets = np.random.default_rng(0), 4, 12, 8, (28, 56, 112, 448)
    unit = np.repeat(np.arange(units), each)
    targets = np.clip(np.round(3 * rng.normal(0, 1, (len(unit), 6)) - 0.5) / 3, 0, 3).astype(np.float32)
    names = np.array([f"u{u:02}" for u in unit])
    items = Items(np.arange(len(unit)), names, unit % 5, targets, np.full(len(unit), -1))
    arms = {"scratch": 0.0, "pretrained": 1.2, "frozen-random": 0.2, "frozen-pretrained": 0.7, "frozen-permuted": 0.1}
    trio, cells = np.array([1.5, 1.5, 1.5, 0.5, 0.5, 0.5]), {}
    for arm, extra in arms.items():
        for b, budget in enumerate(budgets):
            if arm == "pretrained" and budget == budgets[-1]:  # in the end it is as good as from scratch
                cells[key(arm, budget)] = cells[key("scratch", budget)]
                continue
            strength = 0.6 * (b + 1) + extra * trio * (1 - b / 3)
            score = strength * (targets > 0) + rng.normal(0, 1, (seeds, *targets.shape))
            score = score + rng.normal(0, 0.3, (seeds, units, 6))[:, unit]
            intensity = np.clip(targets + rng.normal(0, 1, score.shape) / (1 + strength), 0, 3)
            presence, klass = 1 / (1 + np.exp(-score)), np.floor(intensity + 0.5).astype(np.int8)
            cells[key(arm, budget)] = Predictions(intensity.astype(np.float32), presence.astype(np.float32), klass)
    best = {name: {"mae": 0.5, "acc4": 0.6} for name in ("overall", *EMOTIONS)}
    folder.mkdir()
    write_predictions(folder, meta(seeds, budgets=budgets, floors=best), items, cells)
    return folder


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """`levels/speaker-independent/transformer/ordinal/scratch/28/uar/overall/estimate` -> a number, a word or None."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in ROW and name != "corpus":
                yield from leaves(part, (*path, str(name)))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            row = [str(part[name]) for name in ROW if name in part] if isinstance(part, dict) else []
            yield from leaves(part, (*path, *(row or [str(i)])))
    else:
        yield "/".join(path), value


def evidence(folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """path -> number (nan where there is none), and claim -> verdict, of the predictions in a folder."""
    command("evidence", folder)
    found = list(leaves(json.loads((folder / "evidence.json").read_text(encoding="utf-8"))))
    assert len({path for path, _ in found}) == len(found), "two numbers of the evidence have one name"
    numbers = {path: np.nan if v is None else float(v) for path, v in found if not isinstance(v, str)}
    return numbers, {path.split("/")[1]: v for path, v in found if path.endswith("/verdict")}


# The tables of the page on real speech


def shown(table) -> dict:
    return {
        "columns": [str(name) for name in table.columns],
        "rows": {
            str(name): [str(cell) for cell in row] for name, row in zip(table.index, table.to_numpy(), strict=True)
        },
    }


def real_tables() -> dict[str, dict]:
    """The tables of notebooks/05-real-speech.ipynb that come out of the recorded evidence alone."""
    recorded = json.loads((RESULTS / "evidence.json").read_text(encoding="utf-8"))
    metrics, claims = lookup.metrics_of(recorded), [row["claim"] for row in recorded["ledger"]]
    found = {f"levels, {metric}": tables.level_table(recorded, metric) for metric in metrics}
    found |= {
        "gains": tables.gain_table(recorded, metrics),
        "efficiency": tables.efficiency_table(recorded),
        "controls": tables.control_table(recorded),
        "ledger": tables.ledger_table(recorded, *claims),
        "claims": tables.claim_table(recorded, *claims),
        "arms": tables.arm_table(recorded, [arm for arm in lookup.arms_of(recorded) if arm != "constants"]),
        "protocols": tables.protocol_table(recorded, ["scratch", "pretrained", "frozen-pretrained", "statistics"]),
    }
    return {name: shown(table) for name, table in found.items()}


# What is stored


def fingerprint() -> dict[str, str]:
    """Where the same numbers are to come out bit by bit."""
    cpu = Path("/proc/cpuinfo")  # Linux; elsewhere the standard library knows
    model = re.search(r"model name\s*:\s*(.*)", cpu.read_text(encoding="utf-8")) if cpu.exists() else None
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": model[1] if model else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def packed(numbers: dict[str, float]) -> np.ndarray:
    """A line a number, `path=value`, as bytes: smaller than binary, since evidence is rounded."""
    return np.frombuffer("\n".join(f"{path}={numbers[path]:.10g}" for path in sorted(numbers)).encode(), np.uint8)


def unpacked(lines: np.ndarray) -> dict[str, float]:
    pairs = (line.rpartition("=") for line in lines.tobytes().decode().split("\n"))
    return {path: float(value) for path, _, value in pairs}


def make(commit: str, work: Path) -> None:
    prepared, recorded = made_up_corpus(work), voices(work)
    runs, study = two_runs(prepared, recorded, work), studied(recorded, work)
    parts = {"study": evidence(study), "simulated": evidence(simulated(work / "simulated"))}
    story = {
        "commit": commit,
        "fingerprint": fingerprint(),
        "corpus": corpus_numbers(prepared),
        "losses": {name: losses(run) for name, run in runs.items()},
        "verdicts": {name: verdicts for name, (_, verdicts) in parts.items()},
        "tables": real_tables(),
    }
    text = json.dumps(story, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\n *", " ", found[0]), text)  # a list a line
    (HERE / "golden.json").write_text(text + "\n", encoding="utf-8")
    np.savez_compressed(HERE / "frames.npz", **clip_frames(recorded))
    arrays = {f"{kind}/{name}": value for kind, run in runs.items() for name, value in weights(run).items()}
    np.savez_compressed(HERE / "weights.npz", **arrays)
    with np.load(study / "predictions.npz", allow_pickle=False) as archive:
        np.savez_compressed(HERE / "predictions.npz", **{name: archive[name] for name in archive.files})
    np.savez_compressed(HERE / "evidence.npz", **{name: packed(numbers) for name, (numbers, _) in parts.items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Replace the stored numbers of the golden run.")
    parser.add_argument("commit", help="whose numbers they are, for the record")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        make(parser.parse_args().commit, Path(work))
    print(f"{HERE}: replaced")
