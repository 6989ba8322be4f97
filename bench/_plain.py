"""The plain way to train the same model: torch.nn modules, one after another, batches padded to their longest.

What a careful person would write first. It has the parameter count and the loss of the library's model and is checked
against it; only the manner of training differs.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from emo_ssl.core.batches import MaskConfig, span_mask
from emo_ssl.core.corpus import Corpus
from emo_ssl.core.model import EncoderConfig, HeadConfig
from emo_ssl.core.normalise import Normaliser


class PlainEncoder(nn.Module):
    """Token projection, sine positions, nn.TransformerEncoder, last norm."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.token = nn.Linear(config.token_size, config.width)
        self.mask = nn.Parameter(0.02 * torch.randn(config.width))
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            config.feedforward * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.last = nn.LayerNorm(config.width)

    def positions(self, length: int) -> Tensor:
        rates = 10_000.0 ** -(torch.arange(0, self.config.width, 2) / self.config.width)
        angles = torch.arange(length)[:, None] * rates
        return torch.cat((angles.sin(), angles.cos()), -1)

    def forward(self, tokens: Tensor, valid: Tensor, hidden: Tensor | None = None) -> Tensor:
        x = self.token(tokens)
        if hidden is not None:
            x = torch.where(hidden[..., None], self.mask, x)
        return self.last(self.layers(x + self.positions(x.shape[1]), src_key_padding_mask=~valid))


class PlainPretrainer(nn.Module):
    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.encoder = PlainEncoder(config)
        self.reconstruct = nn.Linear(config.width, config.token_size)

    def forward(self, tokens: Tensor, valid: Tensor, hidden: Tensor) -> Tensor:
        """tokens (B, L, S), NaN = missing -> mean smooth L1 over hidden, known values."""
        states = self.encoder(tokens.nan_to_num(), valid, hidden)
        errors = F.smooth_l1_loss(self.reconstruct(states), tokens.nan_to_num(), reduction="none")
        known = hidden[..., None] & torch.isfinite(tokens)
        return errors[known].mean()


class PlainClassifier(nn.Module):
    def __init__(self, config: EncoderConfig, head: HeadConfig):
        super().__init__()
        self.encoder = PlainEncoder(config)
        self.norm = nn.LayerNorm(2 * config.width)
        self.head = nn.Linear(2 * config.width, head.emotions)
        self.cuts = nn.Parameter(torch.zeros(head.emotions, len(head.thresholds)))

    def forward(self, tokens: Tensor, valid: Tensor) -> Tensor:
        """tokens (B, L, S) -> logits of P(y > t_k), (B, E, K)."""
        states = self.encoder(tokens, valid)
        weight = valid[..., None].float()
        mean = (states * weight).sum(1) / weight.sum(1)
        spread = (((states - mean[:, None]) ** 2 * weight).sum(1) / weight.sum(1) + 1e-5).sqrt()
        cuts = torch.cat((self.cuts[:, :1], self.cuts[:, :1] + F.softplus(self.cuts[:, 1:]).cumsum(-1)), -1)
        return self.head(self.norm(torch.cat((mean, spread), -1)))[..., None] - cuts


class Pieces(Dataset):
    """Runs of frames (video, first, length), read from the store and normalised one by one."""

    def __init__(self, prepared: Corpus, normaliser: Normaliser, recording, first, length, stack: int):
        self.prepared, self.normaliser, self.stack = prepared, normaliser, stack
        self.recording, self.first, self.length = recording, first, length

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, i: int) -> Tensor:
        raw = np.asarray(self.prepared.frames[self.first[i] : self.first[i] + self.length[i]], np.float32)
        frames = self.normaliser.with_gaps(raw, int(self.recording[i]))
        frames = np.pad(frames, ((0, -len(frames) % self.stack), (0, 0)), constant_values=np.nan)
        return torch.from_numpy(frames.reshape(len(frames) // self.stack, -1))


def pad(items: list[Tensor]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(item) for item in items])
    tokens = nn.utils.rnn.pad_sequence(items, batch_first=True)
    return tokens, torch.arange(tokens.shape[1]) < lengths[:, None]


def batches(pieces: Pieces, size: int, seed: int) -> DataLoader:
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(pieces, size, shuffle=True, collate_fn=pad, generator=generator, drop_last=True)


def hide(valid: Tensor, rng: np.random.Generator, config: MaskConfig) -> Tensor:
    lengths = valid.sum(1).numpy()
    return torch.from_numpy(span_mask(rng, lengths, config))
