"""Everything that reads a file which may come from elsewhere: a valid example of each kind, and what a command does."""

import json
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from attack import mutations
from attack.examples import fresh, toml_of, write_everything
from attack.forking import Forked
from builders import noise, times, write_csd, write_plain_csd
from sounds import hum, stub, write
from training import FINETUNE

from emo_ssl.core import pretrain as engine
from emo_ssl.core.corpus import FRAMES, HEADER, INDEX, REPORT, Corpus
from emo_ssl.core.finetune import FinetuneConfig
from emo_ssl.core.predictor import DESCRIPTION, load_model
from emo_ssl.core.predictor import WEIGHTS as MODEL_WEIGHTS
from emo_ssl.core.pretrain import CHECKPOINT, METRICS, MODEL, RESULT, PretrainConfig, PretrainedRun
from emo_ssl.core.writer import as_frames, checked
from emo_ssl.corpora import csd, encoders, recordings, report
from emo_ssl.corpora.arrays import read_arrays
from emo_ssl.corpora.arrays import read_labels as read_segments
from emo_ssl.corpora.audio import BadRecording
from emo_ssl.corpora.folds import read_folds
from emo_ssl.corpora.keeping import Keeper
from emo_ssl.corpora.labels import read_labels
from emo_ssl.corpora.pickled import read_clips, trim
from emo_ssl.corpora.recipes import cremad, folder
from emo_ssl.corpora.recipes.listing import audio_members
from emo_ssl.evidence import lookup, record
from emo_ssl.evidence.claims import EvidenceConfig
from emo_ssl.evidence.report import EVIDENCE, evaluate
from emo_ssl.predict import warning
from emo_ssl.study.collect import CHUNKS, PROVENANCE, RESULTS, Study, read_chunk
from emo_ssl.study.grid import Chunk, StudyConfig
from emo_ssl.study.layers import best
from emo_ssl.study.predictions import PREDICTIONS, StudyPredictions
from emo_ssl.utils.io import OutputFolder, write_json
from emo_ssl.utils.values import read_config

SECRET = b"not for your eyes, as 32 bytes.\n"
CHUNK = f"study/{CHUNKS}/fold0-speaker-independent-scratch-4-12.npz"
FAMILIES = ("whisper", "wav2vec2")


# --- examples -------------------------------------------------------------------------------------------------------


def write_all(root: Path) -> Path:
    """A folder with everything, and beside it a file that nothing may read."""
    place = root / "made"
    place.mkdir(parents=True)
    (root / "secret").write_bytes(SECRET * 8)
    write(root / "secret.wav", hum(0.5))
    write_everything(place)
    counted = {"segments": {"in": 37, "kept": 36, "dropped": {"label is NaN": 1}}, "frames": {"in": 9, "kept": 9}}
    counted |= {"mended": {"a": 1}, "videos": {"kept": 36}, "missing_values": {"F0": 2}, "files": {"odd": "a.csd"}}
    write_json(place / "corpus" / REPORT, {**counted, "skipped": [{"path": "a.wav", "reason": "silent"}]})
    evaluate(place / "study", EvidenceConfig(draws=20))
    for name in ("csd", "arrays", "sounds", "tables", "folds", "kept", "pickled", "recorded"):
        (place / name).mkdir()
    write_csds(place / "csd", root)
    write_features(place / "arrays")
    write_sounds(place)
    write_tables(place)
    (place / "recorded" / "small").mkdir()
    for folder_ in (place / "recorded", place / "recorded" / "small"):
        record.keep(place / "study", folder_, "repeat it", Corpus.open(place / "corpus"))
    keeper = Keeper(place / "kept", 2, True)
    keeper.keep(0, [(noise(9), 0.0, 0.09, 0.1)])
    with OutputFolder(place / "claimed", "corpus", {"a": 1}) as out:
        out.finish()
    parts = {name: {"audio": np.pad(noise(6, 74), ((0, 2), (0, 0)))[None]} for name in ("train", "valid", "test")}
    for i, part in enumerate(parts.values()):
        part |= {"id": [f"v{i}$_$0"], "regression_labels": np.ones(1, "f4"), "text": "left alone"}
    (place / "pickled" / "a.pkl").write_bytes(pickle.dumps(parts, 4))
    write_encoders(place)
    (place / "settings" / "finetune.toml").write_text(toml_of(asdict(FINETUNE)))
    with zipfile.ZipFile(place / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, path in enumerate(sorted((place / "sounds").iterdir())):
            archive.write(path, f"clip{i}{path.suffix}")
    return place


def write_csds(place: Path, root: Path) -> None:
    """Of several layouts, and one that leads out of itself in every way that HDF5 knows."""
    names, secret = json.dumps(csd.EMOTIONS), root / "secret"
    entries = {key: (noise(9, 6), times(9)) for key in ("a", "b[0]", "b[1]")}
    write_csd(place / "ours.csd", entries, csd.EMOTIONS)
    write_plain_csd(place / "gzip.csd", entries, {"dimension names": names}, compression="gzip")
    write_plain_csd(place / "text.csd", entries, {"dimension names": np.bytes_(names), "corpus": '"made up"'})
    with h5py.File(place / "latest.csd", "w", libver="latest") as file:
        for key, (features, intervals) in entries.items():
            group = file.create_group(f"COVAREP/data/{key}")
            how = {"chunks": (2, 1), "shuffle": True, "compression": "lzf", "maxshape": (None, 6)}
            group.create_dataset("features", data=features, **how)
            group.create_dataset("intervals", data=intervals, chunks=(2, 2), fletcher32=True)
        file["COVAREP/metadata/dimension names"] = names
    with h5py.File(place / "outward.csd", "w") as file:
        data = file.create_group("COVAREP/data")
        data.create_dataset("a/features", (9, 6), "f4", external=[(str(secret), 0, 216)])
        data["a/intervals"] = times(9)
        layout = h5py.VirtualLayout((9, 6), "f4")
        layout[:] = h5py.VirtualSource(str(place / "ours.csd"), "COVAREP/data/a/features", (9, 6))
        data.create_virtual_dataset("b/features", layout)
        data["b/intervals"] = h5py.ExternalLink(str(place / "ours.csd"), "COVAREP/data/a/intervals")


def write_features(place: Path) -> None:
    np.save(place / "a.npy", noise(40))
    np.savez(place / "b.npz", frames=noise(40))
    segments = [
        (name, f"s{i}", start, start + 0.2, i % 3, i % 2, i) for i, name in enumerate("ab") for start in (0, 0.2)
    ]
    rows = ["recording,speaker,start,end,happy,sad,fold", *(",".join(map(str, row)) for row in segments)]
    (place.parent / "tables" / "segments.csv").write_text("\n".join(rows))


def write_sounds(place: Path) -> None:
    for name, how in (("a.wav", {}), ("b.wav", {"subtype": "FLOAT"}), ("c.flac", {}), ("d.ogg", {})):
        write(place / "sounds" / name, hum(0.4), **how)
    rows = [f"{name},s{i},{i % 3},calm,0,0.4" for i, name in enumerate(("a.wav", "b.wav", "c.flac", "d.ogg"))]
    (place / "tables" / "clips.csv").write_text("\n".join(["path,speaker,happy,category,start,end", *rows]))


def write_tables(place: Path) -> None:
    votes = [f'{100_000 + i},1,0,0,2,0,1,"1001_IEO_{e}_HI",4,0.5,N,1' for i, e in enumerate(("ANG", "DIS"), 1)]
    head = '"","A","D","F","H","N","S","fileName","numResponses","agreement","emoVote","meanEmoResp"'
    (place / "tables" / "votes.csv").write_text("\n".join([head, *votes]))
    layers = [f"speaker-independent,{fold},{k},1,0.{k}" for fold in (0, 1) for k in (1, 2)]
    (place / "tables" / "layers.csv").write_text("\n".join(["protocol,fold,layer,strength,score", *layers]))
    (place / "folds" / "a.json").write_text(
        json.dumps({"train": ["a", 1], "standard_valid_fold": ["b"], "test": ["c"]})
    )
    (place / "folds" / "a.csv").write_text("video,split\na,train\nb,dev\nc,test")
    (place / "folds" / "a.py").write_text("standard_train_fold = ['a']\nstandard_valid_fold = ['b']\nother = 1\n")


def write_encoders(place: Path) -> None:
    transformers = encoders.transformers()
    block = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    waves = {**block, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    whisper = {"d_model": 8, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 8, "vocab_size": 9}
    whisper |= {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8, "num_mel_bins": 80}
    whisper |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    made = {
        "wav2vec2": transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**waves)),
        "whisper": transformers.WhisperModel(transformers.WhisperConfig(**whisper)),
    }
    for family, model in made.items():
        with encoders.quiet(transformers):
            model.eval().save_pretrained(place / family)
        (place / family / encoders.SETTINGS).write_text(json.dumps({"do_normalize": True, "sampling_rate": 16000}))


# --- what commands do with them -------------------------------------------------------------------------------------


def use_csd(place: Path, name: str) -> None:
    csd.subprocess.Popen, usual = Forked, csd.subprocess.Popen
    try:
        with csd.Csd(place / name) as opened:
            parts = [part for key in opened.keys for part in opened.read(key)]
            assert not any(SECRET[:16] in part.tobytes() for part in parts), "read another file"
            read_labels(opened)
    finally:
        csd.subprocess.Popen = usual


def use_corpus(place: Path, name: str) -> None:
    corpus = Corpus.open(place / "corpus")
    assert str(corpus) and report.describe(corpus) and report.summary(corpus)
    for fold in corpus.folds[:3]:
        split = corpus.of_fold(fold)
        assert len(split.where("train")) <= len(split) and split.constant_baselines("test") is not None
    assert sum(len(corpus.segment(i)) for i in range(len(corpus))) == corpus.segments.length.sum()


def use_arrays(place: Path, name: str) -> None:
    frames, _ = read_arrays(place / "arrays")
    assert all(as_frames(key, values).ndim == 2 for key, values in frames.items())


def use_segments(place: Path, name: str) -> None:
    assert len(checked(read_segments(place / name), {"a": 0.4, "b": 0.4})) >= 0


def use_sound(place: Path, name: str) -> None:
    found = recordings.frames_or_reason(stub(), place / "sounds", Path(name).name, False)
    if isinstance(found, BadRecording):
        raise found


def use_archive(place: Path, name: str) -> None:
    found = [recordings.frames_or_reason(stub(), place / name, path, False) for path in audio_members(place / name)]
    for one in found:
        if isinstance(one, BadRecording):
            raise one


def use_clips(place: Path, name: str) -> None:
    listing = folder.read(place / "sounds", place / name)
    for path in listing.clips["path"].unique()[:4]:
        recordings.frames_or_reason(stub(), listing.root, path, False)


def use_votes(place: Path, name: str) -> None:
    assert len(cremad.voice_votes(place / name)) <= 4


def use_layers(place: Path, name: str) -> None:
    assert best(place / name, 0, "speaker-independent") >= 0


def use_folds(place: Path, name: str) -> None:
    assert set(read_folds(place / name).values()) <= {0, 1, 2}


def use_settings(place: Path, name: str) -> None:
    kind = {"study.json": StudyConfig, "pretrain.toml": PretrainConfig, "finetune.toml": FinetuneConfig}
    assert read_config(place / name, kind[Path(name).name]) is not None


def use_run(place: Path, name: str) -> None:
    run = PretrainedRun.open(place / "run0")
    corpus = run.view(Corpus.open(place / "corpus"))
    assert str(run) and run.refuse_leaks(corpus.of_fold(run.result["fold"])) is None


def use_checkpoint(place: Path, name: str) -> None:
    step, log = engine.resume(place / "stopped", *fresh(PretrainedRun.open(place / "run0")))
    assert 0 <= step <= 10 and log[0]["held_out"] >= 0


def use_model(place: Path, name: str) -> None:
    model = load_model(place / Path(name).parent)
    assert str(model) and warning(model.description)
    found = model.predict([noise(30)])
    assert np.isfinite(found.presence).all() and np.isfinite(found.intensity).all()


def use_study(place: Path, name: str) -> None:
    predictions = StudyPredictions.open(place / "study")
    for key in predictions.keys:
        assert predictions.cell(key).klass.shape[1] == len(predictions.items)
    assert str(Study(place / "study"))


def use_chunk(place: Path, name: str) -> None:
    state = json.loads((place / "study" / "folder.json").read_text())
    found = read_chunk(place / name, Chunk(0, "scratch", (4, 12), (0, 1)), state["hash"], Corpus.open(place / "corpus"))
    assert found.predictions.scored().all()


def use_recorded(place: Path, name: str) -> None:
    """What pages show of a recorded study."""
    kept = place / "recorded"
    evidence, table = record.evidence_of(kept), record.results(kept)
    assert record.ablations(kept).keys() <= {"small"} and isinstance(record.corpus_of(kept), dict)
    for metric in lookup.metrics_of(evidence):
        for arm in lookup.arms_of(evidence):
            lookup.levels(evidence, arm, metric), lookup.skills(evidence, table, arm, metric)
        lookup.gains(evidence, metric), lookup.small_gain(evidence, metric), lookup.emotion_gains(evidence, metric)
    (
        lookup.controls(evidence),
        lookup.efficiency(evidence),
        lookup.confusion(evidence, "scratch", evidence["budgets"][0]),
    )
    assert record.commands(kept) and lookup.protocols_of(evidence) is not None


def use_kept(place: Path, name: str) -> None:
    found = Keeper(place / "kept", 2, True).read(0)
    if isinstance(found, BadRecording):
        raise found
    assert len(found) == 4


def use_claimed(place: Path, name: str) -> None:
    with OutputFolder(place / "claimed", "corpus", {"a": 1}) as out:
        assert out.complete in (True, False)


def use_pickle(place: Path, name: str) -> None:
    clips, frames = read_clips(place / name)
    assert trim(clips, frames) in ("front", "back")


def use_encoder(place: Path, name: str) -> None:
    encoders.loaded.cache_clear()
    maker = encoders.encoder_front_end(str(place / Path(name).parent), "all")
    with torch.inference_mode():
        recordings.front_ends.made_by(maker, hum(0.1).astype(np.float32), 16_000)


DAMAGE = {  # by the ending of a file, besides that of its bytes
    **{".json": "json", ".jsonl": "lines", ".toml": "toml", ".csv": "table", ".py": "python"},
    **{".npz": "arrays", ".safetensors": "tensors", ".zip": "archive", ".pkl": "pickle"},
}


@dataclass(frozen=True)
class Reader:
    """What is read, which files are damaged, with a space between them, and how many of 100 cases it gets."""

    name: str
    use: Callable[[Path, str], None]
    files: str
    share: int

    @property
    def attacks(self) -> list[tuple[str, str]]:
        """(file, damage)."""
        kinds = [(name, kind) for name in self.files.split() for kind in ("bytes", DAMAGE.get(Path(name).suffix))]
        return [(name, kind) for name, kind in kinds if kind]

    def damaged(self, rng: np.random.Generator, place: Path) -> tuple[str, bytes, bytes]:
        """A file's name, its content and what becomes of it."""
        name, kind = self.attacks[rng.integers(len(self.attacks))]
        whole = (place / name).read_bytes()
        return name, whole, getattr(mutations, f"in_{kind}")(rng, whole)


CSDS = " ".join(f"csd/{name}.csd" for name in ("ours", "gzip", "text", "latest", "outward"))
ENCODERS = " ".join(
    f"{family}/{name}" for family in FAMILIES for name in ("config.json", encoders.SETTINGS, encoders.WEIGHTS)
)
MODELS = " ".join(f"{folder}/{name}" for folder in ("model", "linear") for name in (DESCRIPTION, MODEL_WEIGHTS))
OF_EVIDENCE = f"{EVIDENCE} {PROVENANCE} {RESULTS}.gz corpus.json small/{EVIDENCE}"
READERS = (
    Reader("computational sequences (.csd)", use_csd, CSDS, 6),
    Reader("prepared corpora", use_corpus, f"corpus/{HEADER} corpus/{REPORT} corpus/{INDEX} corpus/{FRAMES}", 12),
    Reader("arrays of features", use_arrays, "arrays/a.npy arrays/b.npz", 6),
    Reader("recordings", use_sound, "sounds/a.wav sounds/b.wav sounds/c.flac sounds/d.ogg", 8),
    Reader("archives of recordings", use_archive, "a.zip", 6),
    Reader("tables of recordings", use_clips, "tables/clips.csv", 4),
    Reader("tables of segments", use_segments, "tables/segments.csv", 4),
    Reader("tables of votes", use_votes, "tables/votes.csv", 4),
    Reader("tables of layers", use_layers, "tables/layers.csv", 4),
    Reader("folds", use_folds, "folds/a.json folds/a.csv folds/a.py", 6),
    Reader("settings", use_settings, "settings/study.json settings/pretrain.toml settings/finetune.toml", 10),
    Reader("pretraining runs", use_run, f"run0/{RESULT} run0/{MODEL}", 6),
    Reader("checkpoints and their logs", use_checkpoint, f"stopped/{CHECKPOINT} stopped/{METRICS}", 4),
    Reader("saved models", use_model, MODELS, 6),
    Reader("studies", use_study, f"study/{PREDICTIONS} study/{PROVENANCE} study/{RESULTS}", 3),
    Reader("chunks of studies", use_chunk, CHUNK, 4),
    Reader("recorded evidence", use_recorded, " ".join(f"recorded/{name}" for name in OF_EVIDENCE.split()), 1),
    Reader("frames that were kept", use_kept, "kept/0.json kept/0.bin", 3),
    Reader("folders' own notes", use_claimed, "claimed/folder.json", 2),
    Reader("pickles of MMSA and MulT", use_pickle, "pickled/a.pkl", 6),
    Reader("speech encoders", use_encoder, ENCODERS, 1),
)
