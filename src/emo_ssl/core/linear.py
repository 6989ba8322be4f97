"""Logistic regression on a summary of frames, as a module that is saved and asked like any other."""

import torch
from torch import Tensor, nn

MOST_LAGGED = 64  # features at most for covariances: of many there would be too many to learn from


class LinearClassifier(nn.Module):
    """One linear layer on mean and deviation of each feature; with a `lag` also on the covariances of every two, at one
    time and so many frames apart.

    Categories share a softmax, and an emotion is as likely as it was present in each of them; without categories every
    emotion has a sigmoid of its own.
    """

    def __init__(self, features: int, emotions: int, categories: int = 0, lag: int = 0):
        super().__init__()
        self.lag = lag
        inputs = 2 * features + bool(lag) * (features * (features - 1) // 2 + features**2)
        self.linear = nn.Linear(inputs, categories or emotions)
        self.register_buffer("present", torch.zeros(categories, emotions))  # share of a category's segments
        self.register_buffer("usual", torch.zeros(emotions))  # intensity where it is present

    def forward(self, frames: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Runs of frames (n, T, D), valid (n, T) -> presence (n, E), probabilities of the categories (n, C)."""
        logits = self.linear(self.summary(frames, valid))
        if not len(self.present):
            return logits.sigmoid(), logits[:, :0]
        likely = logits.softmax(1)
        return likely @ self.present, likely

    def summary(self, frames: Tensor, valid: Tensor) -> Tensor:
        """(n, T, D), (n, T) -> (n, J)."""
        count, features = valid.sum(1)[:, None, None], frames.shape[2]
        mean = (frames * valid[..., None]).sum(1) / count[:, 0]
        away = (frames - mean[:, None]) * valid[..., None]
        covariance = away.mT @ away / count
        found = [mean, covariance.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()]
        if self.lag:
            first, second = torch.triu_indices(features, features, 1, device=frames.device)
            found.append(covariance[:, first, second])
            early = away[:, : max(0, away.shape[1] - self.lag)]
            found.append((away[:, self.lag :].mT @ early / count).flatten(1))
        return torch.cat(found, 1)
