"""What the head is sure of on one view of a target's row, it learns to say of a harder one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..core import Batch, Data, Net, Phase, Stream, Task
from ..errors import OptionError
from ..losses import confusion
from . import bridge, groups


@dataclass(frozen=True, kw_only=True)
class Options(bridge.Options):
    """threshold: probability from which a weak view's class counts; 0.95 is the paper's.
    ratio: rows of the target for each of the source in a step; the paper has 7, and 3 are enough where all are seen many times.
    hardness: of the strong view, 0 to 1: the share of features that are put to their mean, or of an image's side that is cut out.
    """

    threshold: float = 0.95
    ratio: int = 3
    hardness: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high, usual in (("threshold", 0.0, 1.0, 0.95), ("ratio", 1, 64, 3), ("hardness", 0.0, 0.95, 0.5)):
            if not low <= getattr(self, name) <= high:
                raise OptionError(f"method.{name} = {getattr(self, name)} is outside {low:g} to {high:g}; try --set method.{name}={usual}.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head, then the source's loss and that of pseudo-labels: the class of a weak view, where its probability reaches `threshold`,
    is the strong view's label (Sohn et al., "FixMatch", 2020).

    Each row of the target comes in two views. The first is weak: augmented lightly where images are augmented (with --freeze
    STAGE), else plain. The second is made strong here: an image gets another brightness, contrast and colour and a square cut out;
    of features that are kept, a share is put to its mean. On frozen features it is quick and was the best of the methods here on
    two of three pairs of PACS domains (MobileNetV2, one seed). Not where the head is surely wrong on the target: that is then what it
    learns.
    """
    target = bridge.check("fixmatch", net, task, data)
    learns = groups.depth(net, opts.freeze) < len(net.stages)
    augment = learns if opts.augment is None else opts.augment
    stream = Stream(target, opts.ratio * opts.batch, augment, views=2)

    def align(source: bridge.Side, other: bridge.Side, strength: float, extras: nn.ModuleDict) -> Tensor:
        weak, strong = other.outputs.chunk(2)
        return confusion.consistency(weak, strong, opts.threshold)

    def harden(batch: Batch) -> Batch:
        return replace(batch, inputs=hardened(batch.inputs, opts.hardness))

    yield from bridge.adapt("fixmatch", net, task, data, opts, align, stream=stream, before=harden)


def hardened(inputs, hardness: float):
    """A batch of two views whose second half is perturbed: images [2n, 3, h, w], or a State at any depth. Of texts at depth 0,
    which have only tokens, nothing changes: their views differ by the body's dropout."""
    if isinstance(inputs, dict):
        return inputs if "x" not in inputs else {**inputs, "x": hardened(inputs["x"], hardness)}
    weak, strong = inputs.chunk(2)
    if strong.ndim == 4 and strong.shape[1] == 3:
        strong = cut(recoloured(strong), hardness)
    else:
        strong = replaced(strong, hardness)
    return torch.cat([weak, strong])


def replaced(x: Tensor, share: float) -> Tensor:
    """Features [n, c], [n, l, c] or [n, c, h, w], a share of them, drawn for each row alone, at their mean over the batch: what a linear
    layer reads as nothing unusual, where zeros would be far from anything it has seen."""
    channel = 1 if x.ndim == 4 else x.ndim - 1
    mean = x.mean([axis for axis in range(x.ndim) if axis != channel], keepdim=True)
    return torch.where((torch.rand(x.shape) < share).to(x.device), mean, x)


def recoloured(x: Tensor) -> Tensor:
    """Normalised images [n, 3, h, w] with another contrast (0.5 to 1.5), brightness and colour (each within 0.75 deviations)."""
    draw = lambda *shape: (2 * torch.rand(len(x), *shape, 1, 1) - 1).to(x.device, x.dtype)  # noqa: E731
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (1 + 0.5 * draw(1)) + mean + 0.75 * draw(1) + 0.75 * draw(3)


def cut(x: Tensor, share: float) -> Tensor:
    """Images [n, 3, h, w] with a square of `share` of the shorter side, anywhere, set to zero: the mean colour (DeVries & Taylor, 2017)."""
    n, _, height, width = x.shape
    side = round(share * min(height, width))
    place = lambda most: (torch.rand(n, 1) * (most + 1 - side)).floor().to(x.device)  # noqa: E731
    across = lambda most, first: (torch.arange(most, device=x.device) >= first) & (torch.arange(most, device=x.device) < first + side)  # noqa: E731
    rows, columns = across(height, place(height)), across(width, place(width))
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
