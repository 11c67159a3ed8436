"""Without labels: the body says by how much an image was turned."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Batch, Data, Net, Phase, Task
from . import groups, self_supervised

TURNS = 4


@dataclass(frozen=True, kw_only=True)
class Options(self_supervised.Unlabelled):
    """batch: 32 images, each in four rotations, as many inputs as 128 images make: the paper turns all four ways in one batch.
    augment: on; keep augment.flip_vertical at 0, for an image on its head is a turned one.
    """

    batch: int = 32


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Four rotations of each image are told apart (RotNet, Gidaris et al., 2018), by a linear layer on the pooled features.

    Best for photographs of things that have an up, with any number of images: it is cheap, asks for no strong augmentation and
    cannot collapse. Not for pictures without an up (microscopes, satellites, textures), which say nothing of their turn.
    """
    self_supervised.check_images(data, "rotation")
    frozen = groups.depth(net, opts.freeze)
    who = self_supervised.body(net, opts, "rotation", frozen)
    width = self_supervised.blank(net, net.pooled).shape[-1]
    extras, beside = self_supervised.beside(net, opts, turn=nn.Linear(width, TURNS))
    # No stage is called frozen: what those below would keep are states of images that were not turned.
    yield self_supervised.phase("rotation", data, opts, who + beside, objective(extras["turn"], frozen), extras)
    yield from self_supervised.then(net, task, data, opts)


def objective(turn: nn.Module, frozen: int) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """Cross-entropy of the turn of each image in each of its four rotations (Gidaris et al., 2018, eq. 1 and 2)."""

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        self_supervised.rest(net, frozen)
        images = batches["train"].inputs
        outputs = turn(net.advance(turned(images), 0, net.pooled)["x"])
        return F.cross_entropy(outputs.float(), torch.arange(TURNS, device=images.device).repeat_interleave(len(images)))

    return loss


def turned(images: Tensor) -> Tensor:
    """Square images [n, c, s, s] in their four rotations, counter-clockwise by 0, 90, 180 and 270 degrees: [4n, c, s, s]."""
    return torch.cat([images.rot90(k, (2, 3)) for k in range(TURNS)])
