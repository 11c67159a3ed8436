"""What a body's BatchNorm layers keep of the data it was trained on, beside what they see of other images."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..core import Net
from .device import Machine


@dataclass(frozen=True)
class Norms:
    """A row a layer, first to last: batch_mean and batch_var [parts, c] at its input, running_mean and running_var [c]."""

    batch_mean: tuple[np.ndarray, ...]
    batch_var: tuple[np.ndarray, ...]
    running_mean: tuple[np.ndarray, ...]
    running_var: tuple[np.ndarray, ...]


def norms(net: Net, parts: Iterable[Tensor], machine: Machine) -> Norms | None:
    """The statistics of every BatchNorm layer that the images reach; None for a body without any, or whose own are not learnt
    (all zeros and ones, as random weights have them).

    parts: images [n, 3, h, w], normalised, each an equal part of those that are asked about. Runs in eval mode, float32.
    """
    layers = [m for m in net.stages.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.running_mean is not None]
    if not layers or all(bool((m.running_mean == 0).all()) and bool((m.running_var == 1).all()) for m in layers):
        return None
    seen: dict[nn.Module, list[tuple[np.ndarray, np.ndarray]]] = {m: [] for m in layers}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].float()
        over = [axis for axis in range(x.ndim) if axis != 1]
        seen[module].append((x.mean(over).cpu().double().numpy(), x.var(over, correction=0).cpu().double().numpy()))

    modes = [(m, m.training) for m in net.modules()]
    hooks = [m.register_forward_pre_hook(note) for m in layers]
    try:
        net.eval()
        with torch.inference_mode():
            for images in parts:
                net.advance(machine.place(images), 0, len(net.stages))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    # A layer that is reached more or less often than the parts are many is shared or skipped, and its statistics mix places.
    most = max((len(found) for found in seen.values()), default=0)
    whole = [m for m in layers if len(seen[m]) == most > 0]
    means, variances = (tuple(np.stack([pair[i] for pair in seen[m]]) for m in whole) for i in (0, 1))
    running = [tuple(getattr(m, name).detach().cpu().double().numpy() for m in whole) for name in ("running_mean", "running_var")]
    return Norms(means, variances, *running)
