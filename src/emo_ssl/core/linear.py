"""Logistic regression on mean and deviation of every feature, as a module that is saved and asked like any other."""

import torch
from torch import Tensor, nn


class LinearClassifier(nn.Module):
    """One linear layer. Categories share a softmax, and an emotion is as likely as it was present in each of them;
    without categories every emotion has a sigmoid of its own."""

    def __init__(self, features: int, emotions: int, categories: int = 0):
        super().__init__()
        self.linear = nn.Linear(2 * features, categories or emotions)
        self.register_buffer("present", torch.zeros(categories, emotions))  # share of a category's segments
        self.register_buffer("usual", torch.zeros(emotions))  # intensity where it is present

    def forward(self, frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Runs of frames (n, T, D), valid (n, T) -> presence (n, E), probabilities of the categories (n, C)."""
        weight = valid[..., None] / valid.sum(1)[:, None, None]
        mean = (frames * weight).sum(1)
        deviation = ((frames - mean[:, None]).square() * weight).sum(1).sqrt()
        logits = self.linear(torch.cat((mean, deviation), 1))
        if not len(self.present):
            return logits.sigmoid(), logits[:, :0]
        likely = logits.softmax(1)
        return likely @ self.present, likely
