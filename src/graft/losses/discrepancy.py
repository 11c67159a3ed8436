"""How far two samples lie apart, as a loss that draws their features together."""

import torch
from torch import Tensor

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Bandwidths of the kernels as multiples of the mean squared distance, as in the code of Long et al."""


def mmd(source: Tensor, target: Tensor, factors: tuple[float, ...] = FACTORS, unbiased: bool = False) -> Tensor:
    """Squared maximum mean discrepancy of source [n, d] and target [m, d] under the mean of Gaussian kernels, a scalar.

    k(x, y) = mean over factors f of exp(-|x - y|^2 / (f g)), g the mean of |a - b|^2 over all pairs of different rows of both
    together, without gradient (Long et al., "Deep adaptation networks", 2015, with equal weights instead of learnt ones).
    Biased (the V-statistic, a row with itself counts): mean k(s, s') + mean k(t, t') - 2 mean k(s, t), never negative.
    unbiased: pairs of a row with itself are left out (the U-statistic), so that equal distributions give 0 in the mean and single
    batches a little less or more; needs two rows of each. Gretton et al., 2012, equations 3 and 5.
    """
    n, m = len(source), len(target)
    with torch.autocast(source.device.type, enabled=False):
        both = torch.cat([source.float(), target.float()])
        # Far from the origin the differences of large squares would be lost.
        both = both - both.detach().mean(0)
        squares = both.square().sum(1)
        apart = (squares[:, None] + squares[None] - 2 * both @ both.T).clamp(min=0)
        apart = apart.masked_fill(torch.eye(n + m, dtype=torch.bool, device=apart.device), 0.0)
    g = (apart.detach().sum() / max((n + m) * (n + m - 1), 1)).clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-apart / (factor * g)) for factor in factors]).mean(0)
    inside = []
    for square in (kernel[:n, :n], kernel[n:, n:]):
        size = len(square)
        inside.append((square.sum() - square.diagonal().sum()) / (size * (size - 1)) if unbiased else square.mean())
    return inside[0] + inside[1] - 2 * kernel[:n, n:].mean()


def coral(source: Tensor, target: Tensor) -> Tensor:
    """|C_s - C_t|_F^2 / (4 d^2), a scalar, of the covariances (n - 1 below) of source [n, d] and target [m, d]: Sun & Saenko, "Deep
    CORAL", 2016, equation 1. Each needs two rows; a batch of one gives zero. Means are left as they are."""
    if min(len(source), len(target)) < 2:
        return 0.0 * (source.sum() + target.sum())
    with torch.autocast(source.device.type, enabled=False):
        difference = _covariance(source.float()) - _covariance(target.float())
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def _covariance(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)
