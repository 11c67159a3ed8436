"""Losses of nets that guess the hidden parts of an image: which blocks are hidden, and how far their pixels are guessed wrong."""

import torch
from torch import Tensor
from torch.nn import functional as F


def blocks(rows: int, cells: int, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Which of the `cells` blocks of each image are hidden: bool [rows, cells], each row its own draw of equally many.

    round(share * cells) of them, at least one and never all. generator: on the CPU, torch's own if None: what is drawn is the same
    on every device. Source: random masking, He et al., 2022, section 3; Xie et al. (SimMIM), 2022, section 3.2.
    """
    count = max(1, min(cells - 1, round(share * cells)))
    return torch.rand(rows, cells, generator=generator).argsort(1).argsort(1) < count


def pixels(hidden: Tensor, side: int) -> Tensor:
    """Which pixels lie in hidden blocks, bool [n, 1, g * side, g * side], of blocks bool [n, g * g], row by row, and a block's side."""
    grid = round(hidden.shape[1] ** 0.5)
    return hidden.view(-1, 1, grid, grid).repeat_interleave(side, 2).repeat_interleave(side, 3)


def patches(images: Tensor, side: int) -> Tensor:
    """Images [n, c, h, w] cut into squares of `side` pixels, row by row: [n, (h / side) * (w / side), c * side * side]."""
    return F.pixel_unshuffle(images, side).flatten(2).transpose(1, 2)


def guessed(predicted: Tensor, wanted: Tensor, hidden: Tensor, normalise: bool = True) -> Tensor:
    """Mean squared error of patches [n, l, d] over the hidden ones (bool [n, l]) alone, a scalar (He et al., 2022, section 3).

    normalise: each wanted patch has its mean taken away and is divided by its standard deviation first, which is better to learn
    from (the same, section 4.1, "reconstruction target"); a patch of one colour becomes zeros.
    """
    wanted = wanted.float()
    if normalise:
        variance, mean = torch.var_mean(wanted, -1, keepdim=True)
        wanted = (wanted - mean) / (variance + 1e-6).sqrt()
    return (predicted.float() - wanted)[hidden].square().mean()
