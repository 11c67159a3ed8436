"""Losses of predictions on rows without labels: that they be certain, even, and not torn between classes."""

import torch
from torch import Tensor
from torch.nn import functional as F


def entropies(logits: Tensor) -> Tensor:
    """H(softmax(z_i)) of each row in nats, [n], from logits [n, k]."""
    log_p = F.log_softmax(logits.float(), 1)
    return -(log_p.exp() * log_p).sum(1)


def entropy(logits: Tensor) -> Tensor:
    """Mean of H(p_i) over rows, a scalar in nats, 0 to ln k (Grandvalet & Bengio, 2005). Alone it is least where all rows are one
    class: keep what it may move small, or watch for it."""
    return entropies(logits).mean()


def information(logits: Tensor) -> Tensor:
    """mean_i H(p_i) - H(mean_i p_i), a scalar, -ln k to 0: certain rows, even classes (Krause et al., 2010; the L_IM of SHOT, Liang
    et al., 2020). The batch stands for the domain, so it should hold several rows a class; not where classes are far from even."""
    mean = F.softmax(logits.float(), 1).mean(0)
    return entropy(logits) + torch.special.xlogy(mean, mean).sum()


def minimum_class_confusion(logits: Tensor, temperature: float = 2.5) -> Tensor:
    """How much of each class a batch gives to the other classes, a scalar, 0 to 1 - 1 / k: Jin et al., "Minimum class confusion for
    versatile domain adaptation", 2020, equations 3 to 7.

    logits [n, k]. p_i = softmax(z_i / temperature); w_i = n (1 + exp(-H(p_i))) / sum_j (1 + exp(-H(p_j))), without gradient;
    C = sum_i w_i p_i p_i^T, each row divided by its sum; the mean over rows of what lies off the diagonal. temperature: 2.5 is
    the paper's: over-confident outputs would all look unconfused.
    """
    softened = logits.float() / temperature
    p, weight = softened.softmax(1), 1 + torch.exp(-entropies(softened.detach()))
    with torch.autocast(logits.device.type, enabled=False):
        pairs = p.T @ (p * (weight / weight.mean())[:, None])
    return 1 - (pairs.diagonal() / pairs.sum(1)).mean()


def consistency(weak: Tensor, strong: Tensor, threshold: float = 0.95) -> Tensor:
    """mean_i 1[max p_i >= threshold] x -ln q_i(argmax p_i), a scalar, with p the softmax of `weak` [n, k], which gets no gradient, and
    q that of `strong` [n, k], views of the same rows (Sohn et al., "FixMatch", 2020, equation 4). Rows below the threshold count
    as zero and are divided by all the same, so that the loss grows as the net gets sure."""
    sure, label = weak.detach().float().softmax(1).max(1)
    return (F.cross_entropy(strong.float(), label, reduction="none") * (sure >= threshold)).mean()
