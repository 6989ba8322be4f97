"""Every file that may come from elsewhere, damaged at random: it is read, or one short sentence says what is wrong."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from attack.examples import fresh
from builders import noise
from safetensors.torch import load_file, save_file

from emo_ssl.core import pretrain as engine
from emo_ssl.core.corpus import FRAMES, HEADER, INDEX, REPORT, Corpus
from emo_ssl.core.predictor import DESCRIPTION, WEIGHTS, load_model
from emo_ssl.core.pretrain import CHECKPOINT, METRICS, MODEL, RESULT, PretrainConfig, PretrainedRun
from emo_ssl.corpora import report
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.corpora.recipes.listing import audio_members
from emo_ssl.corpora.recordings import unpacked
from emo_ssl.predict import warning
from emo_ssl.study.collect import CHUNKS, PROVENANCE, Study, read_chunk
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.study.predictions import PREDICTIONS, StudyPredictions
from emo_ssl.utils.values import MESSAGE, UserError, read_config

CASES = 30  # of each file and kind of damage
HALF = b'"\\ud800"'  # of a letter
WILD = (None, True, -1, 0, 2**62, 10**30, 1e308, float("nan"), "x" * 50_000, "", [], {}, [[]], {"": {}}, "HALF", "DEEP")


# --- damage


def bytes_damaged(rng: np.random.Generator, whole: bytes) -> bytes:
    """A few bytes changed, some cut away at the end, or some put in between."""
    content, place = bytearray(whole), int(rng.integers(len(whole)))
    kind = rng.integers(4)
    if kind == 0:
        return bytes(content[:place])
    if kind == 1:
        return bytes(content[:place]) + rng.bytes(int(rng.integers(1, 9))) + bytes(content[place:])
    for i in rng.integers(len(whole), size=kind):
        content[i] ^= 1 << rng.integers(8)
    return bytes(content)


def places_in(value: object) -> Iterator[tuple]:
    """(container, key) of everything in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(inside):
        yield value, key
        yield from places_in(inner)


def json_damaged(rng: np.random.Generator, whole: bytes) -> bytes:
    """A value of another kind, a name that is missing, or another name."""
    content = [json.loads(whole)]  # so that the whole can be replaced too
    places = list(places_in(content))
    container, key = places[rng.integers(len(places))]
    kind = rng.integers(6)
    if kind == 0 and isinstance(container, dict):
        del container[key]
    elif kind == 1 and isinstance(container, dict):
        container["another"] = container.pop(key)
    else:
        container[key] = WILD[rng.integers(len(WILD))]
    text = json.dumps(content[0]) if content else ""
    return text.encode().replace(b'"HALF"', HALF).replace(b'"DEEP"', b"[" * 5000 + b"]" * 5000)


def lines_damaged(rng: np.random.Generator, whole: bytes) -> bytes:
    lines = whole.splitlines()
    i = rng.integers(len(lines))
    lines[i] = json_damaged(rng, lines[i])
    return b"\n".join(lines)


def toml_damaged(rng: np.random.Generator, whole: bytes) -> bytes:
    lines = whole.decode().splitlines()
    i = rng.integers(len(lines))
    wrong = ("nan", "-inf", "1e999", "0x" + "f" * 9000, "9" * 5000, "1979-05-27", "true", "'x'", "[" * 3000, "{}", "-1")
    lines[i] = f"{lines[i].split('=')[0]}= {wrong[rng.integers(len(wrong))]}"
    return "\n".join(lines).encode()


def arrays_damaged(rng: np.random.Generator, path: Path) -> None:
    """One array of an npz of another type, shape or range, left out, as a pickle, compressed, or said to be huge."""
    with np.load(path) as stored:
        arrays = dict(stored)
    name = sorted(arrays)[rng.integers(len(arrays))]
    values, save = arrays[name], np.savez
    kind = rng.integers(10)
    number = values.dtype.kind in "fiu"
    if kind == 0:
        del arrays[name]
    elif kind == 1:
        arrays[name] = values.astype(object)
    elif kind == 2:
        save = np.savez_compressed
    elif kind == 3:
        arrays[name] = values[: len(values) // 2]
    elif kind == 4:
        arrays[name] = values[None] if rng.integers(2) else np.array(0.0)
    elif kind == 5:
        arrays[name] = values.astype("f8") if number else np.zeros(len(values))
    elif kind == 6:
        arrays[name] = values.astype(str)
    elif kind == 7 and number:
        wild = np.array([2**62, -(2**62), 127, -1])[rng.integers(4)]
        arrays[name] = values.copy()
        arrays[name].flat[rng.integers(values.size)] = np.nan if values.dtype.kind == "f" else wild.astype(values.dtype)
    elif kind == 8 and not number:
        arrays[name] = np.full(len(values), 0x7FFFFFFF, np.uint32).view("<U1")
    save(path, **arrays)
    if kind == 9:
        path.write_bytes(path.read_bytes().replace(b"'shape': (", b"'shape': (9999999999,"))


def tensors_damaged(rng: np.random.Generator, path: Path) -> None:
    tensors = load_file(path)
    name = sorted(tensors)[rng.integers(len(tensors))]
    value, kind = tensors.pop(name), rng.integers(6)
    if kind:
        wild = (value.double(), value[None].contiguous(), torch.full_like(value, -1), value.to(torch.int32))
        bad = torch.full_like(value, float("nan")) if value.is_floating_point() else value[None]
        tensors[name] = (*wild, bad)[kind - 1]
    save_file(tensors, path)


def file_damaged(damage: Callable[[np.random.Generator, bytes], bytes]) -> Callable[[np.random.Generator, Path], None]:
    return lambda rng, path: path.write_bytes(damage(rng, path.read_bytes()))


# --- what reads them


def use_corpus(folder: Path) -> None:
    corpus = Corpus.open(folder / "corpus")
    assert str(corpus) and report.describe(corpus)
    for fold in corpus.folds[:3]:
        split = corpus.of_fold(fold)
        assert len(split.where("train")) <= len(split) and split.constant_baselines("test") is not None
    assert sum(len(corpus.segment(i)) for i in range(len(corpus))) == corpus.segments.length.sum()


def use_run(folder: Path) -> None:
    run = PretrainedRun.open(folder / "run0")
    corpus = run.view(Corpus.open(folder / "corpus"))
    assert str(run) and run.refuse_leaks(corpus.of_fold(run.result["fold"])) is None


def use_checkpoint(folder: Path) -> None:
    step, log = engine.resume(folder / "stopped", *fresh(PretrainedRun.open(folder / "run0")))
    assert 0 <= step <= 10 and log[0]["held_out"] > 0


def use_model(folder: Path) -> None:
    model = load_model(folder / "model")
    assert str(model) and warning(model.description)
    found = model.predict([noise(30)])
    assert np.isfinite(found.presence).all() and np.isfinite(found.intensity).all()


def use_study(folder: Path) -> None:
    predictions = StudyPredictions.open(folder / "study")
    for key in predictions.keys:
        assert predictions.cell(key).klass.shape[1] == len(predictions.items)
    assert str(Study(folder / "study"))


def use_chunk(folder: Path) -> None:
    state = json.loads((folder / "study" / "folder.json").read_text())
    chunk = Chunk(0, "scratch", (4, 12), (0, 1))
    path = folder / "study" / CHUNKS / f"{chunk.name}.npz"
    found = read_chunk(path, chunk, state["hash"], Corpus.open(folder / "corpus"))
    assert found.predictions.scored().all()


def use_settings(folder: Path) -> None:
    assert read_config(folder / "settings" / "study.json", StudyConfig).seeds > 0
    assert read_config(folder / "settings" / "pretrain.toml", PretrainConfig).steps >= 0


def use_archive(folder: Path) -> None:
    for path in audio_members(folder / "a.zip"):
        try:
            unpacked(folder / "a.zip", path)
        except BadRecording as problem:
            assert len(str(problem)) <= MESSAGE


CHUNK = f"study/{CHUNKS}/fold0-speaker-independent-scratch-4-12.npz"
IN_BYTES, IN_JSON = file_damaged(bytes_damaged), file_damaged(json_damaged)
ATTACKS = [
    *((f"corpus/{name}", IN_JSON, use_corpus) for name in (HEADER, REPORT)),
    *((f"corpus/{name}", IN_BYTES, use_corpus) for name in (HEADER, INDEX, FRAMES)),
    (f"corpus/{INDEX}", arrays_damaged, use_corpus),
    *((f"run0/{RESULT}", damage, use_run) for damage in (IN_JSON, IN_BYTES)),
    *((f"run0/{MODEL}", damage, use_run) for damage in (tensors_damaged, IN_BYTES)),
    *((f"stopped/{CHECKPOINT}", damage, use_checkpoint) for damage in (tensors_damaged, IN_BYTES)),
    (f"stopped/{METRICS}", file_damaged(lines_damaged), use_checkpoint),
    *((f"model/{DESCRIPTION}", damage, use_model) for damage in (IN_JSON, IN_BYTES)),
    *((f"model/{WEIGHTS}", damage, use_model) for damage in (tensors_damaged, IN_BYTES)),
    *((f"study/{PREDICTIONS}", damage, use_study) for damage in (arrays_damaged, IN_BYTES)),
    *((f"study/{PROVENANCE}", damage, use_study) for damage in (IN_JSON, IN_BYTES)),
    *((CHUNK, damage, use_chunk) for damage in (arrays_damaged, IN_BYTES)),
    *(("settings/study.json", damage, use_settings) for damage in (IN_JSON, IN_BYTES)),
    *(("settings/pretrain.toml", damage, use_settings) for damage in (file_damaged(toml_damaged), IN_BYTES)),
    ("a.zip", IN_BYTES, use_archive),
]


@pytest.mark.parametrize(("name", "damage", "use"), ATTACKS)
def test_damage_ends_in_one_short_sentence(made, tmp_path, name, damage, use):
    place = made / name
    whole, refused = place.read_bytes(), 0
    try:
        for case in range(CASES):
            damage(np.random.default_rng([case, len(name)]), place)
            try:
                use(made)
            except UserError as problem:
                refused += 1
                assert len(str(problem)) <= MESSAGE
            place.write_bytes(whole)
    finally:
        place.write_bytes(whole)
    assert refused or name.endswith((FRAMES, ".zip"))
