"""The k nearest training samples vote. Nothing is fitted, so it shows what the features alone are worth."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..core import Solution
from . import folds
from .convex import moments

GRID = (1, 3, 5, 7, 11, 15, 21, 31, 51)
DEFAULT = 5
METRICS = ("cosine", "euclidean")
CHUNK = 512


class Neighbours(nn.Module):
    """Raw features [n, width] -> [n, outputs] from the k nearest of `bank` [rows, width], kept standardised.

    "class": ln of the smoothed share of votes, (v_c + 1 / outputs) / (sum v + 1). "labels": logit of (v + 1/2) / (k + 1).
    "number": the mean. Cosine is between standardised features, so the centre is the training mean.
    """

    def __init__(self, width: int, outputs: int, rows: int, k: int, metric: str, target: str):
        super().__init__()
        self.config = {"kind": "neighbours", "width": width, "outputs": outputs, "rows": rows, "k": k, "metric": metric, "target": target}
        self.k, self.metric, self.target = k, metric, target
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("bank", torch.zeros(rows, width))
        self.register_buffer("votes", torch.zeros(rows, outputs))

    def near(self, features: Tensor, k: int) -> Tensor:
        """Row numbers [n, k] of the nearest rows of the bank, nearest first."""
        x = (features.float() - self.mean) * self.scale
        if self.metric == "cosine":
            closeness = nn.functional.normalize(x, dim=1) @ self.bank.T
        else:
            closeness = 2 * x @ self.bank.T - (self.bank * self.bank).sum(1)
        return closeness.topk(k, dim=1).indices

    def read(self, votes: Tensor, k: int) -> Tensor:
        """Outputs from summed votes [n, outputs] of k neighbours."""
        if self.target == "number":
            return votes / k
        if self.target == "labels":
            return torch.logit((votes + 0.5) / (k + 1))
        return torch.log((votes + 1 / votes.shape[1]) / (votes.sum(1, keepdim=True) + 1))

    def forward(self, features: Tensor) -> Tensor:
        return self.read(self.votes[self.near(features, self.k)].sum(1), self.k)


def solve(
    features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", outputs: int = 2, balance: bool = False
) -> Solution:
    """A k-NN head; k and the metric (cosine or Euclidean) by the held-out log-loss, or squared error of numbers, of
    stratified 5-fold cross-validation (5 by cosine where a class has one row). All learning rows are kept in the head.

    targets: int [n], [n, k] of 0 and 1, or [n, 1]. balance: a vote weighs n / (classes x rows of its class); it has no effect
    on labels and numbers. Features are standardised by the learning rows. Solution.outputs: held-out [n, outputs].
    """
    hot = np.eye(outputs)[targets] if target == "class" else targets.reshape(len(targets), -1).astype(float)
    votes = hot * folds.balance(hot, True) if balance and target == "class" else hot
    fold = folds.assign(targets, target, seed)
    k, metric, held = min(DEFAULT, len(features)), METRICS[0], None
    chosen = {"k": k, "metric": metric, "folds": 0}
    if fold is not None:
        trials = {(kk, m): (_loss(out, hot, target), out) for m in METRICS for kk, out in _out_of_fold(features, votes, fold, m, target)}
        k, metric = min(trials, key=lambda pair: trials[pair][0])
        score, held = trials[k, metric]
        criterion = "held-out squared error" if target == "number" else "held-out log-loss"
        chosen = {"k": k, "metric": metric, "folds": int(fold.max()) + 1, "score": score, "criterion": criterion}
    return Solution(_bank(features, votes, k, metric, target), held, chosen)


def _bank(features: np.ndarray, votes: np.ndarray, k: int, metric: str, target: str) -> Neighbours:
    head = Neighbours(features.shape[1], votes.shape[1], len(features), k, metric, target)
    mean, scale = moments(features)
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(scale))
    rows = (torch.from_numpy(np.ascontiguousarray(features, np.float32)) - head.mean) * head.scale
    head.bank.copy_(nn.functional.normalize(rows, dim=1) if metric == "cosine" else rows)
    head.votes.copy_(torch.from_numpy(votes))
    return head.eval()


def _out_of_fold(features: np.ndarray, votes: np.ndarray, fold: np.ndarray, metric: str, target: str) -> Iterator[tuple[int, np.ndarray]]:
    """(k, held-out outputs float32 [n, outputs]) for each k of the grid that every fold can give."""
    splits = folds.splits(fold)
    ks = [k for k in GRID if k <= min(len(learn) for learn, _ in splits)]
    out = np.empty((len(ks), *votes.shape), np.float32)
    for learn, held in splits:
        head = _bank(features[learn], votes[learn], ks[-1], metric, target)
        for rows in np.array_split(held, max(1, len(held) // CHUNK)):
            with torch.no_grad():
                near = head.near(torch.from_numpy(np.ascontiguousarray(features[rows], np.float32)), ks[-1])
                for i, k in enumerate(ks):
                    out[i, rows] = head.read(head.votes[near[:, :k]].sum(1), k).numpy()
    yield from zip(ks, out, strict=True)


def _loss(out: np.ndarray, hot: np.ndarray, target: str) -> float:
    if target == "number":
        return float(((out - hot) ** 2).mean())
    if target == "labels":
        return float((np.logaddexp(0, out) - hot * out).mean())
    return float(-(hot * out).sum(1).mean())
