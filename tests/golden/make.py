"""The golden run: tiny numbers of every step, computed through the command line; tests compare them with stored ones.

    python tests/golden/make.py COMMIT

replaces the stored ones by those of the emo_ssl that is imported. Do that where numbers are meant to change, and say in
the commit why they did.
"""

import argparse
import contextlib
import csv
import hashlib
import importlib
import io
import json
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

# What a refactoring may have to touch: names of today, and where things are. The first place that exists counts.

PLACES = {
    "main": ("emo_ssl.cli:main",),
    "write_clips": ("emo_ssl.corpora.clips:write_clips",),
    "ClipsConfig": ("emo_ssl.corpora.clips:ClipsConfig",),
    "tables": ("emo_ssl.evidence.tables", "emo_ssl.readings"),
    "lookup": ("emo_ssl.evidence.lookup", "emo_ssl.readings"),
    "Corpus": ("emo_ssl.core.corpus:Corpus", "emo_ssl.segments:Segments"),
}
SYNTH, PREPARE, RECORD = ("corpus", "synth"), ("corpus", "prepare"), ("corpus", "record")
PROTOCOLS = (("speaker-independent", "speaker-adapted"),)  # names of then, and later ones
OLD_NAMES: dict[str, str] = {}  # name of today -> name of then: in keys of cells, paths of evidence, columns, losses
OLD_COLUMNS = {"segments": "cuts", "recordings": "videos", "recording": "video"}  # parts of a prepared corpus's columns
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


def get(name: str) -> object:
    """What PLACES says of this name."""
    for place in PLACES[name]:
        module, _, inside = place.partition(":")
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as problem:
            if not f"{module}.".startswith(f"{problem.name}."):
                raise
            continue
        return getattr(found, inside) if inside else found
    raise LookupError(f"{name} is at none of {', '.join(PLACES[name])}: add its place to PLACES")


def old(word: str) -> str:
    return OLD_NAMES.get(word, word)


# Commands


def attempt(*arguments: object) -> tuple[int, str]:
    """Exit status and complaints of `emo-ssl …`, on one thread."""
    threads, complaints = torch.get_num_threads(), io.StringIO()
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(complaints):
            return get("main")([str(argument) for argument in arguments]), complaints.getvalue()
    finally:
        torch.set_num_threads(threads)


def command(*arguments: object) -> None:
    status, complaints = attempt(*arguments)
    if status:
        raise RuntimeError(f"emo-ssl {' '.join(map(str, arguments))}: status {status}\n{complaints}")


def made_up_corpus(folder: Path) -> Path:
    """Six videos in CMU-MOSEI's files, prepared."""
    source, prepared = folder / "synthetic", folder / "prepared"
    command(*SYNTH, "-o", source, "--videos", 6)
    files = ("--acoustic", source / "COVAREP.csd", "--labels", source / "LABELS.csd", "--folds", source / "folds.json")
    command(*PREPARE, *files, "-o", prepared)
    return prepared


def voices(folder: Path) -> Path:
    """Forty made-up clips of four speakers in five categories, through the small acoustic front end."""
    table = get("write_clips")(folder / "clips", get("ClipsConfig")(speakers=SPEAKERS, each=2, seed=0))
    with table.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["category"] in CATEGORIES]
    few = folder / "clips" / "few.csv"
    with few.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    recorded = folder / "voices"
    command(*RECORD, folder / "clips", "--recipe", "folder", "--table", few, "--jobs", 1, "-o", recorded)
    return recorded


def pretrained(corpus: Path, run: Path, fold: int = 0, **settings: object) -> Path:
    config = run.with_suffix(".toml")
    config.write_text(PRETRAIN.format(**{"kind": "transformer", "stack": 4, "layers": 1, "steps": 10} | settings))
    command("pretrain", corpus, "-o", run, "--config", config, "--device", "cpu", "--fold", fold)
    return run


def two_runs(prepared: Path, recorded: Path, folder: Path, names: tuple[str, str]) -> dict[str, Path]:
    """The two kinds of backbone, two layers each, on a corpus each."""
    settings = {"layers": 2, "steps": 30, "protocol": names[0]}
    return {
        "transformer": pretrained(prepared, folder / "transformer", stack=2, **settings),
        "gru": pretrained(recorded, folder / "gru", kind="gru", **settings),
    }


def protocol_names(corpus: Path, folder: Path) -> tuple[str, str]:
    """What the two protocols are called today: found by trying, so that nothing has to be imported."""
    for i, names in enumerate(PROTOCOLS):
        config = folder / f"try{i}.toml"
        config.write_text(PRETRAIN.format(kind="transformer", stack=4, layers=1, steps=0, protocol=names[0]))
        status, complaints = attempt(
            "pretrain", corpus, "-o", folder / f"try{i}", "--config", config, "--device", "cpu"
        )
        if not status:
            return names
    raise RuntimeError(complaints)


def studied(corpus: Path, folder: Path, names: tuple[str, str]) -> Path:
    """Every arm, two budgets, two seeds, both protocols; a pretraining run for each fold and protocol."""
    runs = [
        pretrained(corpus, folder / f"{protocol}{fold}", fold, protocol=protocol)
        for protocol in names
        for fold in range(FOLDS)
    ]
    config = folder / "study.toml"
    config.write_text(STUDY.format(arms=", ".join(f'"{arm}"' for arm in ARMS)))
    command("study", corpus, "--pretrained", *runs, "--config", config, "-o", folder / "study", "--device", "cpu")
    return folder / "study"


# Numbers of a prepared corpus


def prepared_columns(folder: Path) -> dict[str, np.ndarray]:
    """`frames` and the tables' columns by their names of then."""
    headers = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    header = next(header for header in headers if "feature_names" in header)
    frames = np.fromfile(folder / "frames.bin", header["dtype"]).reshape(-1, len(header["feature_names"]))
    with np.load(folder / "index.npz", allow_pickle=False) as index:
        columns = {".".join(OLD_COLUMNS.get(p, p) for p in name.split(".")): index[name] for name in index.files}
    return {"frames": frames, **columns}


def corpus_numbers(folder: Path) -> dict[str, dict]:
    """column -> the sha256 of its values; of numbers also mean and deviation a column, missing values left out."""
    found = {}
    for name, values in sorted(prepared_columns(folder).items()):
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
    columns = prepared_columns(folder)
    names = columns["videos.id"].tolist()
    found = {}
    for clip in CLIPS:
        first, length = (int(columns[f"videos.{c}"][names.index(clip)]) for c in ("offset", "length"))
        found[clip] = columns["frames"][first : first + length : EVERY]
    return found


# Numbers of a pretraining run

RENAMES = (  # of parameters, then -> now, inside of "encoder." where `to_new_name` puts it
    (r"layer(\d+)\.(weight|bias)_(ih|hh)(_reverse)?", r"layers.0.\2_\3_l\1\4"),
    (r"layer(\d+)\.attention\.(qkv|out)\.(weight|bias)", r"layers.\1.attention.\2.\3"),
    (r"layer(\d+)\.feed\.in\.(weight|bias)", r"layers.\1.feedforward.up.\2"),
    (r"layer(\d+)\.feed\.out\.(weight|bias)", r"layers.\1.feedforward.down.\2"),
    (r"layer(\d+)\.attention\.norm\.scale", r"layers.\1.attention.norm.weight"),
    (r"layer(\d+)\.attention\.norm\.shift", r"layers.\1.attention.norm.bias"),
    (r"layer(\d+)\.feed\.norm\.scale", r"layers.\1.feedforward.norm.weight"),
    (r"layer(\d+)\.feed\.norm\.shift", r"layers.\1.feedforward.norm.bias"),
    (r"last\.scale", "norm.weight"),
    (r"last\.shift", "norm.bias"),
    (r"mask", "mask.weight"),
    (r"token\.(weight|bias)", r"token.\1"),
)
HEAD = {
    "head.norm.scale": "head.norm.weight",
    "head.norm.shift": "head.norm.bias",
    "head.weight": "head.linear.weight",
    "head.bias": "head.linear.bias",
}


def to_new_name(name: str) -> str:
    """`layer0.feed.in.weight` -> `encoder.layers.0.feedforward.up.weight`."""
    for pattern, new in RENAMES:
        found = re.fullmatch(pattern, name)
        if found:
            return "encoder." + found.expand(new)
    return HEAD.get(name, name)


def to_old_name(name: str) -> str:
    """The other way round; a name of then stays as it is."""
    inner = name.removeprefix("encoder.")
    recurrent = re.fullmatch(r"layers\.\d+\.(weight|bias)_(ih|hh)_l(\d+)(_reverse)?", inner)
    if recurrent:
        kind, gate, layer, reverse = recurrent.groups(default="")
        return f"layer{layer}.{kind}_{gate}{reverse}"
    inside = re.fullmatch(r"layers\.(\d+)\.(.*)", inner)
    if inside:
        name = inside[2].replace("feedforward.up", "feed.in").replace("feedforward.down", "feed.out")
        name = (
            name.replace("feedforward", "feed").replace("norm.weight", "norm.scale").replace("norm.bias", "norm.shift")
        )
        return f"layer{inside[1]}.{name}"
    outside = {"norm.weight": "last.scale", "norm.bias": "last.shift", "mask.weight": "mask"}
    return {new: then for then, new in HEAD.items()}.get(name) or outside.get(inner, inner)


def weights(run: Path) -> dict[str, np.ndarray]:
    """Parameters and the normaliser under their names of then, axes of length 1 left out."""
    stored = load_file(run / "model.safetensors")
    return {to_old_name(name): np.squeeze(value) for name, value in sorted(stored.items())}


def losses(run: Path) -> dict[str, float]:
    """The held-out losses and what the guesses without a model reach, and the training loss of every step."""
    held_out = json.loads((run / "run.json").read_text(encoding="utf-8"))["held_out"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = {f"step {line['step']}": line["loss"] for line in lines if "loss" in line}
    return {**{f"held out, {old(name)}": value for name, value in held_out.items()}, **steps}


# Numbers of a study


def cells(folder: Path) -> dict[str, np.ndarray]:
    """`speaker-independent/transformer/pretrained/ordinal/28.intensity` -> its array, with names of then."""
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        names = [name for name in stored.files if name.startswith("cell.")]
        return {"/".join(map(old, name.removeprefix("cell.").split("/"))): stored[name] for name in sorted(names)}


def write_today(stored: Path, folder: Path, names: tuple[str, str]) -> Path:
    """Predictions with names of then -> a study's folder that today's evidence reads."""
    today = dict(zip(PROTOCOLS[0], names, strict=True))

    def renamed(value: object) -> object:
        if isinstance(value, dict):
            return {name: renamed(part) for name, part in value.items()}
        if isinstance(value, list):
            return [renamed(part) for part in value]
        return today.get(value, value) if isinstance(value, str) else value

    folder.mkdir()
    with np.load(stored, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    meta = renamed(json.loads(arrays.pop("meta").tobytes()))
    arrays = {
        re.sub(r"^cell\.([^/]*)/", lambda found: f"cell.{today.get(found[1], found[1])}/", name): value
        for name, value in arrays.items()
    }
    np.savez(folder / "predictions.npz", meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    return folder


def simulated(path: Path) -> Path:
    """Predictions with a known effect at four budgets, so that every claim is judged; nothing of ours is called."""
    rng, seeds, units, each = np.random.default_rng(0), 4, 12, 8
    emotions = ("happy", "sad", "anger", "surprise", "disgust", "fear")
    unit = np.repeat(np.arange(units), each)
    targets = np.clip(np.round(3 * rng.normal(0, 1, (len(unit), 6)) - 0.5) / 3, 0, 3).astype(np.float32)
    arrays = {
        "items.segment": np.arange(len(unit)),
        "items.unit": np.array([f"u{u:02}" for u in unit]),
        "items.fold": unit % 5,
        "items.targets": targets,
        "items.category": np.full(len(unit), -1),
    }
    budgets = (28, 56, 112, 448)
    arms = {"scratch": 0.0, "pretrained": 1.2, "frozen-random": 0.2, "frozen-pretrained": 0.7, "frozen-permuted": 0.1}
    trio = np.array([1.5, 1.5, 1.5, 0.5, 0.5, 0.5])
    for arm, extra in arms.items():
        for b, budget in enumerate(budgets):
            if arm == "pretrained" and budget == budgets[-1]:  # in the end it is as good as from scratch
                for part in ("intensity", "presence", "klass"):
                    name = f"cell.blind/transformer/{{}}/ordinal/{budget}.{part}"
                    arrays[name.format(arm)] = arrays[name.format("scratch")]
                continue
            strength = 0.6 * (b + 1) + extra * trio * (1 - b / 3)
            score = strength * (targets > 0) + rng.normal(0, 1, (seeds, *targets.shape))
            score = score + rng.normal(0, 0.3, (seeds, units, 6))[:, unit]
            intensity = np.clip(targets + rng.normal(0, 1, score.shape) / (1 + strength), 0, 3)
            name = f"cell.blind/transformer/{arm}/ordinal/{budget}"
            arrays[f"{name}.intensity"] = intensity.astype(np.float32)
            arrays[f"{name}.presence"] = (1 / (1 + np.exp(-score))).astype(np.float32)
            arrays[f"{name}.klass"] = np.floor(intensity + 0.5).astype(np.int8)
    meta = {
        "target_names": list(emotions),
        "category_names": [],
        "headline": "auroc",
        "budgets": list(budgets),
        "full_budget": budgets[-1],
        "seeds": list(range(seeds)),
        "corpus": {"name": "simulated"},
        "main": {"protocol": "blind", "backbone": "transformer", "readout": "ordinal"},
        "pretraining": {"losses": [{"fold": 0, "pretrain_seed": 0, "masked": 0.8, "interpolation": 1.0}]},
        "floors": {"overall": {"mae": 0.5, "acc4": 0.6}},
    }
    np.savez(path, meta=np.frombuffer(json.dumps(meta).encode(), np.uint8), **arrays)
    return path


def leaves(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """`levels/blind/transformer/ordinal/scratch/28/uar/overall/estimate` -> a number, a word or None."""
    if isinstance(value, dict):
        for name, part in value.items():
            if name not in ROW and name != "corpus":
                yield from leaves(part, (*path, old(str(name))))
    elif isinstance(value, list):
        for i, part in enumerate(value):
            row = [old(str(part[name])) for name in ROW if name in part] if isinstance(part, dict) else []
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
    tables, lookup = get("tables"), get("lookup")
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
    names = protocol_names(recorded, work)
    runs = two_runs(prepared, recorded, work, names)
    study = studied(recorded, work, names)
    if names != PROTOCOLS[0]:
        raise SystemExit("the protocols have new names: let PROTOCOLS begin with them and empty OLD_NAMES first")
    parts = {
        "study": evidence(study),
        "simulated": evidence(write_today(simulated(work / "simulated.npz"), work / "simulated", names)),
    }
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
    commit = parser.parse_args().commit
    work = Path(tempfile.mkdtemp())
    try:
        make(commit, work)
    finally:
        shutil.rmtree(work)
    print(f"{HERE}: replaced by the numbers of {Path(importlib.import_module('emo_ssl').__file__).parent}")
