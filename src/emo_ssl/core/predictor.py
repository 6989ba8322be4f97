"""One fine-tuned model, whole: network, normaliser and what they mean, in a folder that loads by itself."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from emo_ssl.core import pretrain
from emo_ssl.core.batches import budget, label_order
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.finetune import (
    FinetuneConfig,
    LabelledSegments,
    Member,
    embed,
    predict,
    random_crops,
    standardise,
    tokens_at,
    train,
    with_padding,
)
from emo_ssl.core.leaks import refuse_leak, refuse_other_features
from emo_ssl.core.model import Classifier, EncoderConfig, HeadConfig, initialise, load_members
from emo_ssl.core.normalise import INDEPENDENT, Normaliser, speaker_independent
from emo_ssl.core.readout import OVERALL, Predictions, scores_of
from emo_ssl.utils.io import OutputFolder, UserError, atomic_path, fingerprint, read_json, write_bytes, write_json
from emo_ssl.utils.provenance import provenance

WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
REPORTED = ("mae", "acc4", "auroc", "uar")


@dataclass(frozen=True)
class EmotionModel:
    """A classifier that takes raw frames. `network` is an ordinary nn.Module."""

    network: Classifier
    normaliser: Normaliser  # one row: speaker-independent
    description: dict

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(self.description["levels"])

    def tokens(self, recordings: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Raw frames (T_i, D) of n recordings -> what the network is called with: tokens (n, L, S), valid (n, L)."""
        data, stack = self.segments(recordings), self.network.encoder.config.stack
        return tokens_at(data.frames, data.first, data.length, stack, -(-int(data.length.max()) // stack))

    def predict(self, recordings: Sequence[np.ndarray]) -> Predictions:
        """Raw frames (T_i, D) of n recordings -> intensities, presences and classes, each (1, n, …)."""
        pooled = embed(self.network, self.segments(recordings), np.arange(len(recordings)), FinetuneConfig())
        return predict(self.network.head, pooled, self.levels)

    def evaluate(self, corpus: Corpus) -> dict[str, float]:
        """Metrics over all emotions on the segments of `corpus`, say `corpus.split("test")`; NaN where undefined."""
        predictions = self.predict([np.asarray(corpus.segment(i)) for i in range(len(corpus))])
        rows = scores_of(predictions, 0, corpus.targets, corpus.segments.category, corpus.target_names)
        return {metric: value for name, metric, value in rows if name == OVERALL and metric in REPORTED}

    def segments(self, recordings: Sequence[np.ndarray]) -> LabelledSegments:
        """Recordings without labels, normalised, on the network's device."""
        features = len(self.description["feature_names"])
        if any(np.ndim(frames) != 2 or frames.shape[1] != features for frames in recordings):
            raise UserError(f"a recording needs the {features} features of the model.")
        length = np.array([len(frames) for frames in recordings], np.int64)
        if not len(length) or not length.all():
            raise UserError("a recording without a single frame cannot be predicted; leave it out.")
        frames = self.normaliser.with_gaps(np.asarray(np.concatenate(recordings), np.float32), 0)
        parts = (with_padding(torch.from_numpy(frames)), torch.from_numpy(np.cumsum(length) - length), length)
        device = self.network.head.linear.weight.device
        on_device = (torch.as_tensor(part).to(device) for part in parts)
        return LabelledSegments(*on_device, torch.empty(0), torch.empty(0), self.levels, self.network.head.config)

    def save(self, folder: Path | str) -> None:
        folder = Path(folder)
        tensors = {name: value.cpu().contiguous() for name, value in self.network.state_dict().items()}
        tensors["normaliser.center"] = torch.from_numpy(self.normaliser.center[0].astype(np.float32))
        tensors["normaliser.scale"] = torch.from_numpy(self.normaliser.scale[0].astype(np.float32))
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file(tensors, temporary)
        write_bytes(folder / "README.md", card(self.description).encode())
        write_json(folder / DESCRIPTION, self.description)

    def __str__(self) -> str:
        d = self.description
        scores = ", ".join(f"{name} {value:.3f}" for name, value in d["test"].items() if value is not None)
        return (
            f"EmotionModel for {', '.join(d['target_names'])}\n{d['encoder']['kind']} on {len(d['feature_names'])} "
            f"features at {d['frame_rate']:g} Hz, fine-tuned on {d['labels']:,} labels of {d['corpus']['source']}\n"
            f"test: {scores or 'not tested'}"
        )

    def _repr_html_(self) -> str:
        return f"<pre>{self}</pre>"


def finetune(
    corpus: Corpus,
    run: pretrain.PretrainedRun | Path | str,
    output: Path | str,
    labels: int | None = None,
    rate: float = 1e-3,
    seed: int = 0,
    config: FinetuneConfig | None = None,
    device: str | None = None,
) -> EmotionModel:
    """Fine-tune one model from a pretraining run on `labels` segments (all by default) and save it in `output`."""
    config = config or FinetuneConfig()
    run = run.folder if isinstance(run, pretrain.PretrainedRun) else Path(run)
    result, weights = pretrain.load(run)
    refuse_other_features(run, result, corpus)
    if result["config"]["protocol"] != INDEPENDENT:
        raise UserError(
            f"{run}: pretrained speaker by speaker; a saved model meets strangers, so pretrain it speaker-independent."
        )
    setting = {
        **asdict(config),
        "corpus": corpus.content_hash,
        "run": fingerprint(run / pretrain.MODEL),
        **{"labels": labels, "rate": rate, "seed": seed},
    }
    with OutputFolder(output, "fine-tuned model", setting) as out:
        if not out.complete:
            split = corpus.of_fold(result["fold"])
            refuse_leak(run, result, split)
            build(split, result, weights, labels, rate, seed, config, pretrain.device_named(device)).save(out.path)
            out.finish()
    return load_model(output)


def build(
    corpus: Corpus,
    result: dict,
    weights: dict[str, Tensor],
    labels: int | None,
    rate: float,
    seed: int,
    config: FinetuneConfig,
    device: torch.device,
) -> EmotionModel:
    normaliser = speaker_independent(corpus)
    data = LabelledSegments.build(corpus, normaliser, device)
    training = corpus.where("train")
    subset = budget(label_order(corpus, training, seed), len(training) if labels is None else labels)
    if not len(subset):
        raise UserError(f"{corpus.folder}: fine-tuning needs at least one label.")
    network = Classifier(EncoderConfig(**result["encoder"]), data.head)
    load_members(network, [weights])
    initialise(network.head, [seed])
    network.to(device)
    standardise(network, data, training, config)
    train(network, random_crops(data, network.encoder.config.stack, config), data, [Member(seed, subset)], config, rate)
    description = {
        "encoder": result["encoder"],
        "head": asdict(data.head),
        "levels": list(data.levels),
        "feature_names": list(corpus.feature_names),
        "target_names": list(corpus.target_names),
        "category_names": list(corpus.category_names),
        "frame_rate": corpus.frame_rate,
        "front_end": corpus.header.get("front_end", "as in the corpus"),
        "front_end_version": corpus.header.get("front_end_version"),
        "keep_silence": corpus.header.get("keep_silence"),
        "protocol": INDEPENDENT,
        "corpus": pretrain.named(corpus),
        "labels": len(subset),
        "seed": seed,
        "rate": rate,
        "config": asdict(config),
        "test": {},
        "provenance": provenance(str(device)),
    }
    first_row = Normaliser(normaliser.center, normaliser.scale, np.zeros(1, np.int64))
    model = EmotionModel(network, first_row, description)
    test = corpus.split("test")
    if len(test):
        scores = model.evaluate(test)
        description["test"] = {name: None if np.isnan(value) else value for name, value in scores.items()}
    return model


def card(description: dict) -> str:
    rows = "\n".join(f"| {n} | {v:.4f} |" for n, v in description["test"].items() if v is not None)
    return (
        f"# An emotion model\n\nFine-tuned on {description['labels']:,} labelled segments of "
        f"{description['corpus']['source']} (content hash `{description['corpus']['content_hash']}`), commit "
        f"`{description['provenance']['commit'] or 'unknown'}`.\n\nOn that corpus's test recordings:\n\n"
        f"| metric | value |\n|---|---|\n{rows}\n\nIt knows the voices, language and recording conditions of that "
        "corpus and no others. Weights: `model.safetensors`; everything else: `model.json`; both load with "
        "`emo_ssl.load_model`.\n"
    )


def load_model(folder: Path | str) -> EmotionModel:
    folder = Path(folder)
    if not (folder / DESCRIPTION).exists():
        raise UserError(f"{folder}: no fine-tuned model here; run `emo-ssl finetune … -o {folder}` first.")
    description = read_json(folder / DESCRIPTION)
    try:
        with safe_open(folder / WEIGHTS, "pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        center, scale = (tensors.pop(f"normaliser.{name}").numpy()[None] for name in ("center", "scale"))
        head = HeadConfig(**{**description["head"], "thresholds": tuple(description["head"]["thresholds"])})
        network = Classifier(EncoderConfig(**description["encoder"]), head)
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        reason = str(problem).splitlines()[0]
        raise UserError(f"{folder}: damaged, or made by another version ({reason}); fine-tune again.") from problem
    return EmotionModel(network.eval(), Normaliser(center, scale, np.zeros(1, np.int64)), description)
