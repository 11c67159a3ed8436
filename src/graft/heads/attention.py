"""Pooling of tokens with a learnt query: which words matter for the task is learnt with the head."""

import torch
from torch import Tensor, nn


class Attend(nn.Module):
    """Tokens [n, l, width] and their mask, bool [n, l], True where a token is real, -> [n, width]: sum_t a_t x_t,
    a = softmax over the real tokens of (q . x_t) / sqrt(width).

    The query q is 0 at first, so that it starts at the mean of the real tokens; a row with no real token gives 0. One query and
    no keys of its own, after Yang et al., "Hierarchical attention networks for document classification", 2016, without their
    hidden layer. takes_mask: core.Net passes the mask.
    """

    takes_mask = True

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        scores = (x @ self.query) / x.shape[-1] ** 0.5
        # The least finite number, not minus infinity: a row with no real token would become NaN.
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        shares = torch.softmax(scores, 1) * mask
        return (shares.unsqueeze(-1) * x.masked_fill(~mask.unsqueeze(-1), 0)).sum(1)
