"""A model that takes raw frames and predicts emotions: network, normaliser and what they mean, in one folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from emo_ssl.core import metrics
from emo_ssl.core.batches import Runs, gather_tokens, without_gaps
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.kinds import Description
from emo_ssl.core.linear import MOST_LAGGED, LinearClassifier
from emo_ssl.core.metrics import Predictions, l1_predictions, ordinal_predictions, predictions_of, to_class
from emo_ssl.core.model import Classifier, EncoderConfig, Head, HeadConfig, read_state, save_state
from emo_ssl.core.normalise import SMALLEST_SCALE, Normaliser
from emo_ssl.utils.io import UserError, absent, read_json, write_json
from emo_ssl.utils.values import checked

SCORED_TOKENS = 8_192  # of all members, padding included, in one go: more would fall out of the processor's cache
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"
LINEAR = "summary"  # the kind of encoder that a LinearClassifier has
MOST_LAG = 1_000  # frames
AGAIN = "it may be of another version, so fine-tune again"


@torch.no_grad()
def embed(network: Classifier, runs: Runs, chosen: np.ndarray, precision: str = "float32") -> Tensor:
    """Pooled states of whole runs, in buckets of similar length: chosen (n,) -> (M, n, 2W)."""
    members, stack = len(network.encoder.token.weight), network.encoder.config.stack
    lengths = runs.length.cpu().numpy()[chosen]
    order = np.argsort(lengths, kind="stable")
    out = torch.empty((members, len(chosen), 2 * network.encoder.config.width), device=runs.device)
    amp = torch.autocast(runs.device.type, torch.bfloat16, enabled=precision == "bfloat16")
    begin = 0
    while begin < len(order):
        # as many as fit when padded to the longest of them
        tokens = -(-lengths[order[begin:]] // stack)
        fits = np.arange(1, len(tokens) + 1) * tokens * members <= SCORED_TOKENS
        part = order[begin : begin + max(1, int(fits.sum()))]
        begin += len(part)
        index = torch.from_numpy(chosen[part]).to(runs.device)
        longest = -(-int(lengths[part[-1]]) // stack)
        tokens, valid = gather_tokens(runs.frames, runs.first[index], runs.length[index], stack, longest)
        with amp:
            both = (x.expand(members, *x.shape) for x in (tokens, valid))
            out[:, torch.from_numpy(part).to(runs.device)] = network.pooled(*both).float()
    return out


@torch.no_grad()
def predict(head: Head, vectors: Tensor) -> Predictions:
    """vectors (M, n, I) -> the members' predictions for n runs; a member that gives no numbers has scored nothing."""
    scores, logits = head(vectors)
    out = scores if head.config.kind == "l1" else torch.sigmoid(head.exceedance_logits(scores))
    lost = ~torch.cat([part.isfinite().flatten(1) for part in (out, logits)], 1).all(1).cpu().numpy()
    values = np.nan_to_num(out.cpu().numpy())
    category = logits.softmax(-1).cpu().numpy() if head.config.categories else None
    if head.config.kind == "l1":
        found = l1_predictions(values, category)
    else:
        found = ordinal_predictions(values, head.config.levels, category)
    return found.without(lost) if lost.any() else found


@torch.no_grad()
def predict_linear(network: LinearClassifier, runs: Runs) -> Predictions:
    """The predictions (1, n, …) for whole runs, one after another: padding them would cost more than it saves."""
    tokens = (
        gather_tokens(runs.frames, f[None], n[None], 1, int(n)) for f, n in zip(runs.first, runs.length, strict=True)
    )
    presence, category = (
        torch.cat(part)[None].cpu().numpy() for part in zip(*(network(*t) for t in tokens), strict=True)
    )
    intensity = np.where(presence > 0.5, network.usual.cpu().numpy(), 0.0)
    return predictions_of(intensity, presence, to_class(intensity), category if category.size else None)


@dataclass(frozen=True)
class EmotionModel:
    """A classifier that takes raw frames. `network` is an ordinary nn.Module."""

    network: Classifier | LinearClassifier
    normaliser: Normaliser  # one row: speaker-independent
    description: dict

    def tokens(self, recordings: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Raw frames (T_i, D) of n recordings -> what the network is called with: tokens (n, L, S), valid (n, L)."""
        runs, linear = self.runs(recordings), isinstance(self.network, LinearClassifier)
        stack = 1 if linear else self.network.encoder.config.stack
        return gather_tokens(runs.frames, runs.first, runs.length, stack, -(-int(runs.length.max()) // stack))

    def predict(self, recordings: Sequence[np.ndarray]) -> Predictions:
        """Raw frames (T_i, D) of n recordings -> intensities, presences and classes, each (1, n, …)."""
        runs = self.runs(recordings)
        if isinstance(self.network, LinearClassifier):
            found = predict_linear(self.network, runs)
        else:
            found = predict(self.network.head, embed(self.network, runs, np.arange(len(recordings))))
        if not np.isfinite(found.presence).all():
            raise UserError("the model gives no numbers for these recordings; fine-tune again at a smaller rate.")
        return found

    def evaluate(self, corpus: Corpus) -> dict[str, float]:
        """Metrics over all emotions on the segments of `corpus`, say `corpus.split("test")`; NaN where undefined."""
        found = self.predict([corpus.segment(i) for i in range(len(corpus))])
        scores = {
            "mae": metrics.mean_absolute_error(found.intensity[0], corpus.targets).mean(),
            "acc4": (found.klass[0] == metrics.to_class(corpus.targets)).mean(),
            "auroc": metrics.macro_auroc(found.presence[0], corpus.targets > 0),
        }
        if corpus.category_names:
            likeliest = found.category[0].argmax(-1)
            scores["uar"] = metrics.uar(likeliest, corpus.segments.category, len(corpus.category_names))
        return {name: float(value) for name, value in scores.items()}

    def runs(self, recordings: Sequence[np.ndarray]) -> Runs:
        """The recordings, normalised, on the network's device."""
        features = len(self.description["feature_names"])
        if any(np.ndim(frames) != 2 or frames.shape[1] != features for frames in recordings):
            raise UserError(f"a recording needs the {features} features of the model.")
        length = np.array([len(frames) for frames in recordings], np.int64)
        if not len(length) or not length.all():
            raise UserError("a recording without a single frame cannot be predicted; leave it out.")
        frames = self.normaliser.with_gaps(np.asarray(np.concatenate(recordings), np.float32), 0)
        device = next(self.network.parameters()).device
        parts = (torch.from_numpy(part).to(device) for part in (frames, np.cumsum(length) - length, length))
        return Runs(without_gaps(next(parts)), *parts)

    def save(self, folder: Path | str) -> None:
        center, scale = (torch.from_numpy(part[0]) for part in (self.normaliser.center, self.normaliser.scale))
        state = {**self.network.state_dict(), "normaliser.center": center, "normaliser.scale": scale}
        save_state(Path(folder) / WEIGHTS, state)
        write_json(Path(folder) / DESCRIPTION, self.description)

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


def load_model(folder: Path | str) -> EmotionModel:
    folder = Path(folder)
    if not (folder / DESCRIPTION).exists():
        raise absent(folder, "fine-tuned model", "finetune …")
    description = read_json(folder / DESCRIPTION, Description, AGAIN)
    named = [len(description[f"{of}_names"]) for of in ("feature", "target", "category")]
    if min(named[:2]) < 1:
        raise UserError(f"{folder / DESCRIPTION}: it names {named[0]} features and {named[1]} emotions; {AGAIN}.")
    if description["encoder"].get("kind") == LINEAR:
        possible = Annotated[int, 0, MOST_LAG if named[0] <= MOST_LAGGED else 0]
        lag = checked(description["encoder"].get("lag"), possible, f"{folder / DESCRIPTION}: lag", AGAIN)
        network = LinearClassifier(*named, lag)
    else:
        shapes = {"encoder": EncoderConfig, "head": HeadConfig}
        encoder, head = (checked(description[k], v, f"{folder / DESCRIPTION}: {k}", AGAIN) for k, v in shapes.items())
        if named != [encoder.features, head.emotions, head.categories]:
            raise UserError(f"{folder / DESCRIPTION}: its names are not those of its network; {AGAIN}.")
        network = Classifier(encoder, head)
    units = {f"normaliser.{name}": torch.ones(named[0]) for name in ("center", "scale")}
    tensors = read_state(folder / WEIGHTS, {**network.state_dict(), **units}, AGAIN)
    center, scale = (tensors.pop(name).numpy()[None] for name in units)
    if (scale < SMALLEST_SCALE).any():
        raise UserError(f"{folder / WEIGHTS}: damaged (normaliser.scale is {scale.min():g} for a feature); {AGAIN}.")
    network.load_state_dict(tensors)
    return EmotionModel(network.eval(), Normaliser(center, scale, np.zeros(1, np.int64)), description)
