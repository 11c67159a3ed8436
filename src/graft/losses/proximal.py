"""Pulls weights back to where they started."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def l2_distance(net: nn.Module, start: Mapping[str, Tensor], weights: Mapping[str, Tensor] | None = None) -> Tensor:
    """Sum over the named parameters of |w - w0|^2, a scalar; `start` maps names in `net.named_parameters()` to w0.

    weights: of each number, in tensors of the same names and shapes, 1 where there are none. With the Fisher information lambda / 2
    times this is the pull of elastic weight consolidation (Kirkpatrick et al., 2017, eq. 3).

    L2-SP is alpha / 2 times this, for the pre-trained parameters, beside ordinary weight decay for the new head: Li,
    Grandvalet & Davoine, "Explicit inductive bias for transfer learning with convolutional networks", 2018, eq. 3. Parameters
    that do not require gradients are skipped: they are where they were. Not of use with random start weights. Raises
    KeyError for a name that the net does not have.
    """
    parameters = dict(net.named_parameters())
    total = torch.zeros((), device=next(iter(parameters.values())).device)
    for name, first in start.items():
        now = parameters[name]
        if now.requires_grad:
            square = (now.float() - first.to(now.device).float()).square()
            total = total + (square if weights is None else weights[name].to(now.device) * square).sum()
    return total
