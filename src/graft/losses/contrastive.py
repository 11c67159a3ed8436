"""Losses that draw what belongs together near (samples of one class, views of one sample) and push the others apart."""

import torch
from torch import Tensor
from torch.nn import functional as F


def pairs(features: Tensor, labels: Tensor, margin: float = 0.0) -> Tensor:
    """Squared error of the cosine of each pair in the batch against 1 (one class) or 0 (two classes), a scalar.

    features [n, c]; labels int [n]. Pairs of equal and of different class count half each, where there are both: SetFit
    (Tunstall et al., 2022) draws equally many of either kind for sentence-transformers' CosineSimilarityLoss, whose expected
    value this is over the pairs of the batch. A batch without any pair costs zero. margin, in [0, 1): errors up to it cost nothing, and
    only what is beyond counts, so that pairs that are told apart well enough leave the body as it is.
    """
    x = F.normalize(features.float(), dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1, device=x.device)
    cosine, same = (x @ x.T)[first, second], labels[first] == labels[second]
    kinds = [(error - margin).clamp(min=0).square() for error in (1 - cosine[same], cosine[~same].abs())]
    present = [kind.mean() for kind in kinds if len(kind)]
    return torch.stack(present).mean() if present else 0.0 * x.sum()


def supervised(features: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrastive loss (Khosla et al., 2020, eq. 2), averaged over the samples that have another of their class.

    features [n, c], put onto the unit sphere; labels int [n]. For sample i with positives P(i), the others of its class:
    -1 / |P(i)| sum over p of log(exp(z_i z_p / t) / sum over a != i of exp(z_i z_a / t)). A batch without positives costs zero.
    temperature: 0.1 is the paper's; a smaller one looks at the nearest samples alone.
    """
    x = F.normalize(features.float(), dim=1)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    positive = (labels[:, None] == labels[None]) & ~itself
    has = positive.any(1)
    if not has.any():
        return 0.0 * x.sum()
    log_share = F.log_softmax((x @ x.T / temperature).masked_fill(itself, float("-inf")), dim=1)
    # The sample's own place holds minus infinity, which times zero would not be zero.
    total = log_share.masked_fill(~positive, 0.0).sum(1)
    return -(total[has] / positive.sum(1)[has]).mean()


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """Normalised temperature-scaled cross-entropy of two views of n samples (SimCLR, Chen et al., 2020, eq. 1), over all 2n.

    first, second [n, c], put onto the unit sphere; row i of both is one sample. For view i whose other view is j:
    -log(exp(z_i z_j / t) / sum over a != i of exp(z_i z_a / t)). A batch of one sample costs zero: there is nothing to tell it
    from. temperature: the paper's best is 0.1 in batches of thousands over hundreds of epochs, 0.5 for fewer and smaller images.
    """
    x = F.normalize(torch.cat([first, second]).float(), dim=1)
    logits = (x @ x.T / temperature).masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(x), device=x.device).roll(len(first)))


def regression(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Mean over rows of |p - w|^2 = 2 - 2 cos(p, w) of rows [n, c] on the unit sphere, 0 to 4 (BYOL, Grill et al., 2020, eq. 2).

    Nothing pushes rows apart, so that equal outputs for all rows cost nothing: what keeps from it is that `wanted` comes, without
    gradient, from a slow copy of the net.
    """
    return (2 - 2 * F.cosine_similarity(predicted.float(), wanted.float(), dim=1)).mean()
