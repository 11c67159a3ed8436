"""Losses of a game: a discriminator tells two domains apart, and gradient reversal makes the features hide it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .confusion import entropies


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, above: Tensor) -> tuple[Tensor, None]:
        return above.neg() * ctx.strength, None


def reverse(x: Tensor, strength: float = 1.0) -> Tensor:
    """x as it is; its gradient times -strength (the gradient reversal layer, Ganin et al., 2016, equations 12 to 14)."""
    return _Reverse.apply(x, strength)


def ramp(done: float, slope: float = 10.0) -> float:
    """2 / (1 + exp(-slope p)) - 1, from 0 to nearly 1 as the share p of the training that is done goes from 0 to 1: the
    discriminator first learns what it is to tell apart (Ganin et al., 2016, section 5.2.2)."""
    return 2.0 / (1.0 + math.exp(-slope * done)) - 1.0


def discriminator(width: int, hidden: int) -> nn.Sequential:
    """[n, width] -> logits [n, 1] that a row is of the source: one hidden layer. Without dropout or statistics, so that both players
    see one function."""
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def domain_loss(source: Tensor, target: Tensor, source_weights: Tensor | None = None, target_weights: Tensor | None = None) -> Tensor:
    """(mean_i -ln d(s_i) + mean_j -ln(1 - d(t_j))) / 2 with d the sigmoid of the logits [n] or [n, 1] and [m] or [m, 1], a scalar;
    ln 2 where they cannot be told apart. Each domain counts half, however many rows it has (Ganin et al., 2016, equation 9).

    weights [n], [m]: what a row counts among those of its domain; they are divided by their mean.
    """
    sides = ((F.softplus(-source.float().flatten()), source_weights), (F.softplus(target.float().flatten()), target_weights))
    return sum((each if w is None else each * w / w.mean()).mean() for each, w in sides) / 2


def multilinear(features: Tensor, probabilities: Tensor) -> Tensor:
    """The outer product f (x) p of each row: features [n, d], probabilities [n, k] -> [n, d k], so that what the discriminator compares
    is conditioned on the class (Long et al., "Conditional adversarial domain adaptation", 2018, equation 5)."""
    return (features.float()[:, :, None] * probabilities.float()[:, None, :]).flatten(1)


def randomised(features: Tensor, probabilities: Tensor, of_features: Tensor, of_classes: Tensor) -> Tensor:
    """(f R_f) * (p R_p) / sqrt(m), elementwise: [n, m] whose inner products are those of `multilinear` in expectation, for fixed
    of_features [d, m] and of_classes [k, m] with entries of mean 0 and variance 1 (Long et al., 2018, equation 6)."""
    with torch.autocast(features.device.type, enabled=False):
        left, right = features.float() @ of_features, probabilities.float() @ of_classes
        return left * right / math.sqrt(of_features.shape[1])


def certainty(logits: Tensor) -> Tensor:
    """1 + exp(-H(p_i)) of each row, [n], in (1, 2], without gradient: rows that are hard to predict count less in the game (the E of
    CDAN+E, Long et al., 2018, equation 9)."""
    return 1 + torch.exp(-entropies(logits.detach()))
