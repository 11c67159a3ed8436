"""Mixing pairs of a batch, and their targets in the same proportion: mixup and CutMix."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def mix(
    inputs: Tensor, targets: Tensor, rng: np.random.Generator, mixup_alpha: float, cutmix_alpha: float, classes: int
) -> tuple[Tensor, Tensor]:
    """One mix for the whole batch, each sample i with another j(i) of the same batch.

    mixup (Zhang et al., 2018):   x' = lam x_i + (1 - lam) x_j,    lam ~ Beta(alpha, alpha)
    CutMix (Yun et al., 2019):    x' = x_i, but a box of the area share 1 - lam comes from x_j; the box is cut off at the
                                  borders, and lam is then what is left of x_i
    both:                         t' = lam t_i + (1 - lam) t_j

    inputs: float [n, 3, h, w]. targets: int64 [n] (become float32 [n, classes]), or float [n, k] ("labels", numbers).
    An alpha of 0 switches that kind off; with both on, a fair coin chooses; with both off, everything is returned as it is.
    Not for data where a part of a picture has another meaning than the whole (counting, ages, fine marks).
    Raises ValueError for class targets without `classes`.
    """
    if mixup_alpha <= 0 and cutmix_alpha <= 0:
        return inputs, targets
    if not targets.is_floating_point():
        if classes < 1:
            raise ValueError("mixing class targets needs the number of classes")
        targets = functional.one_hot(targets, classes).float()
    cut = cutmix_alpha > 0 and (mixup_alpha <= 0 or rng.random() < 0.5)
    share = float(rng.beta(cutmix_alpha, cutmix_alpha) if cut else rng.beta(mixup_alpha, mixup_alpha))
    other = torch.from_numpy(rng.permutation(len(inputs)))
    if cut:
        inputs, share = _paste(inputs, other, share, rng)
    else:
        inputs = inputs.lerp(inputs[other], 1 - share)
    return inputs, targets.lerp(targets[other], 1 - share)


def _paste(inputs: Tensor, other: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, float]:
    """The batch with one box from the other samples, and the share of the area that was kept."""
    height, width = inputs.shape[-2:]
    side = np.sqrt(1 - share)
    y, x = rng.integers(height), rng.integers(width)
    half_y, half_x = round(height * side / 2), round(width * side / 2)
    rows = slice(max(y - half_y, 0), min(y + half_y, height))
    columns = slice(max(x - half_x, 0), min(x + half_x, width))
    mixed = inputs.clone()
    mixed[..., rows, columns] = inputs[other][..., rows, columns]
    return mixed, 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
