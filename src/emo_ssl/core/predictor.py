"""One fine-tuned model, whole: backbone, head, normaliser and what they mean, in a folder that loads by itself."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emo_ssl.core import finetune, pretrain
from emo_ssl.core.batches import budget, label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import FinetuneConfig, Member, Task
from emo_ssl.core.leaks import refuse_leak, refuse_other_features
from emo_ssl.core.model import BackboneConfig, HeadConfig, Params, backbone_shapes, head_shapes, initialise
from emo_ssl.core.normalise import Normaliser, blind
from emo_ssl.core.readout import OVERALL, Predictions, scores_of
from emo_ssl.utils.io import OutputFolder, UserError, atomic_path, fingerprint, read_json, write_bytes, write_json
from emo_ssl.utils.provenance import provenance

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
REPORTED = ("mae", "acc4", "auroc", "uar")


@dataclass(frozen=True)
class SavedModel:
    """A model that can be asked about frames it has never seen."""

    description: dict
    params: Params  # with a member axis of one
    normaliser: Normaliser
    backbone: BackboneConfig
    head: HeadConfig

    def predict(self, runs: Sequence[np.ndarray]) -> Predictions:
        """Raw frames (T_i, D) of n recordings -> their read-outs, (1, n, …)."""
        length = np.array([len(run) for run in runs], np.int64)
        if any(np.ndim(run) != 2 or run.shape[1] != len(self.description["feature_names"]) for run in runs):
            raise UserError(f"a recording needs the {len(self.description['feature_names'])} features of the model.")
        if not len(runs) or not length.all():
            raise UserError("a recording without a single frame cannot be judged; leave it out.")
        frames, nothing = np.concatenate(runs), torch.empty(0)
        task = Task(
            finetune.with_padding(torch.from_numpy(self.normaliser.with_gaps(np.asarray(frames, np.float32), 0))),
            torch.from_numpy(np.cumsum(length) - length),
            torch.from_numpy(length),
            nothing,
            nothing,
            tuple(self.description["levels"]),
            self.head,
        )
        pooled = finetune.embed(task, self.backbone, self.params, np.arange(len(runs)), FinetuneConfig())
        return finetune.predict(task, self.params, pooled)


def finetune_one(
    prepared: Corpus,
    run: Path | str,
    output: Path | str,
    labels: int | None = None,
    rate: float = 1e-3,
    seed: int = 0,
    config: FinetuneConfig | None = None,
    device: str | None = None,
) -> dict:
    """Fine-tune one model from a pretraining run on `labels` segments (all by default) and save it; its description."""
    config = config or FinetuneConfig()
    result, weights = pretrain.load(run)
    refuse_other_features(run, result, prepared)
    if result["config"]["protocol"] != "blind":
        raise UserError(f"{run}: pretrained speaker by speaker; a saved model meets strangers, so pretrain it blind.")
    setting = {
        **asdict(config),
        "corpus": prepared.content_hash,
        "run": fingerprint(Path(run) / pretrain.MODEL),
        **{"labels": labels, "rate": rate, "seed": seed},
    }
    with OutputFolder(output, "fine-tuned model", setting) as out:
        if not out.complete:
            seen = prepared.of_fold(result["fold"])
            refuse_leak(run, result, seen)
            build(seen, result, weights, out.path, labels, rate, seed, config, device)
            out.finish()
    return read_json(Path(output) / DESCRIPTION)


def build(prepared, result, weights, folder, labels, rate, seed, config, device) -> None:
    where = pretrain.device_named(device)
    normaliser = blind(prepared)
    task = Task.build(prepared, normaliser, where)
    backbone = BackboneConfig(**result["backbone"])
    pool = prepared.where("train")
    subset = budget(label_order(prepared, pool, seed), len(pool) if labels is None else labels)
    if not len(subset):
        raise UserError(f"{prepared.folder}: fine-tuning needs at least one label.")
    head = initialise(head_shapes(task.head, 2 * backbone.width), seed)
    start = {name: weights[name] for name in backbone_shapes(backbone)} | head
    member = Member(len(subset), seed, subset, start, rate)
    params = finetune.train(task, [member], finetune.backbone_vectors(task, backbone, config), config, backbone.layers)
    test = prepared.where("test")
    measured = {}
    if len(test):
        predictions = finetune.predict(task, params, finetune.embed(task, backbone, params, test, config))
        category = prepared.segments.category[test]
        rows = scores_of(predictions, 0, prepared.targets[test], category, prepared.target_names)
        measured = {m: None if np.isnan(v) else v for name, m, v in rows if name == OVERALL and m in REPORTED}
    tensors = {name: value[0].cpu().contiguous() for name, value in params.items()}
    tensors["normaliser.center"] = torch.from_numpy(normaliser.center[0].astype(np.float32))
    tensors["normaliser.scale"] = torch.from_numpy(normaliser.scale[0].astype(np.float32))
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary)
    description = {
        "backbone": asdict(backbone),
        "head": asdict(task.head),
        "levels": list(task.levels),
        "feature_names": list(prepared.feature_names),
        "target_names": list(prepared.target_names),
        "category_names": list(prepared.category_names),
        "frame_rate": prepared.frame_rate,
        "front_end": prepared.header.get("front_end", "as in the corpus"),
        "front_end_version": prepared.header.get("front_end_version"),
        "keep_silence": prepared.header.get("keep_silence"),
        "protocol": "blind",
        "corpus": pretrain.named(prepared),
        "labels": len(subset),
        "seed": seed,
        "rate": rate,
        "config": asdict(config),
        "test": measured,
        "provenance": provenance(str(where)),
    }
    write_bytes(folder / "README.md", card(description).encode())
    write_json(folder / DESCRIPTION, description)


def card(description: dict) -> str:
    rows = "\n".join(f"| {n} | {v:.4f} |" for n, v in description["test"].items() if v is not None)
    return (
        f"# An emotion model\n\nFine-tuned on {description['labels']:,} labelled segments of "
        f"{description['corpus']['source']} (content hash `{description['corpus']['content_hash']}`), commit "
        f"`{description['provenance']['commit'] or 'unknown'}`.\n\nOn that corpus's test videos:\n\n"
        f"| metric | value |\n|---|---|\n{rows}\n\nIt knows the voices, language and recording conditions of that "
        "corpus and no others. Weights: `model.safetensors`; everything else: `model.json`; both load with "
        "`emo_ssl.core.predictor.load_model`.\n"
    )


def load_model(folder: Path | str) -> SavedModel:
    folder = Path(folder)
    if not (folder / DESCRIPTION).exists():
        raise UserError(f"{folder}: no fine-tuned model here; run `emo-ssl finetune … -o {folder}` first.")
    description = read_json(folder / DESCRIPTION)
    try:
        with safe_open(folder / WEIGHTS, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        center, scale = (tensors.pop(f"normaliser.{name}").numpy()[None] for name in ("center", "scale"))
        head = HeadConfig(**{**description["head"], "thresholds": tuple(description["head"]["thresholds"])})
        backbone = BackboneConfig(**description["backbone"])
        shapes = {**backbone_shapes(backbone), **head_shapes(head, 2 * backbone.width)}
        if {name: tuple(value.shape) for name, value in tensors.items()} != shapes:
            raise ValueError("the weights do not fit the description")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as problem:
        raise UserError(f"{folder}: damaged, or made by another version ({problem}); fine-tune again.") from problem
    params = {name: value[None] for name, value in tensors.items()}
    return SavedModel(description, params, Normaliser(center, scale, np.zeros(1, np.int64)), backbone, head)
