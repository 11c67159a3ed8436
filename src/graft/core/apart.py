"""Two texts of a sample that a body reads one at a time: folded into the batch for its stages, and compared once they are pooled."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .backbone import State


def folded(state: State) -> State:
    """[n, 2 l, ...] whose places belong to the first and the second text by turns -> [2 n, l, ...], the two texts of a sample side by
    side. By turns, so that padding at the end, which batches and kept states add, is padding of both. Pooled taps stay as they are."""
    return {key: value if _tapped(key) else value.unflatten(1, (-1, 2)).transpose(1, 2).flatten(0, 1) for key, value in state.items()}


def unfolded(state: State) -> State:
    """The reverse of `folded`."""
    return {key: value if _tapped(key) else value.unflatten(0, (-1, 2)).transpose(1, 2).flatten(1, 2) for key, value in state.items()}


def compared(pooled: Tensor) -> Tensor:
    """[2 n, c] -> [n, 4 c]: u, v, |u - v| and u v of the vectors of a sample's two texts (Conneau et al., "InferSent", 2017, figure 1).

    The vectors are put to length sqrt(c): so all parts are of one size, which a head that is trained needs, and the mean of the last is
    the cosine.
    """
    u, v = (F.normalize(pooled, dim=1) * pooled.shape[1] ** 0.5).unflatten(0, (-1, 2)).unbind(1)
    return torch.cat([u, v, (u - v).abs(), u * v], 1)


def _tapped(key: str) -> bool:
    return key.startswith("tap")
