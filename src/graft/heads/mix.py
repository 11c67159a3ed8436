"""A learnt average of several layers, in place of all their numbers side by side."""

import torch
from torch import Tensor, nn


class Mix(nn.Module):
    """[.., parts * width], the layers joined in their order, -> [.., width]: gamma * sum_j softmax(w)_j h_j.

    Peters et al., "Deep contextualized word representations", 2018, equation 1. w = 0 and gamma = 1 at first, so that it starts
    at the mean of the layers. Not for layers that mean different things in each channel: they have to be of one residual stream.
    """

    def __init__(self, parts: int, width: int):
        super().__init__()
        self.parts, self.width = parts, width
        self.weights = nn.Parameter(torch.zeros(parts))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        layers = x.unflatten(-1, (self.parts, self.width))
        share = torch.softmax(self.weights, 0).unsqueeze(-1)
        return self.gamma * (share * layers).sum(-2)
