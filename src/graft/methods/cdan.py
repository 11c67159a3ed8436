"""As dann, but the discriminator sees features and predicted classes together."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..core import Data, Net, Phase, Task
from ..losses import adversarial
from . import bridge

WIDEST = 4096
"""Of the outer product of features and classes; beyond, it is projected at random, as in the paper."""
PROJECTED = 1024


@dataclass(frozen=True, kw_only=True)
class Options(bridge.Options):
    """hidden: as for dann. entropy: whether rows count less the less certain their class is (CDAN+E): early on, most of the target's
    predictions are guesses."""

    hidden: int = 256
    entropy: bool = True


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head, then head and a discriminator of features (x) probabilities against each other through gradient reversal (Long et al.,
    "Conditional adversarial domain adaptation", 2018).

    Best where the head is already right on much of the target: what is drawn together is then each class with itself. Not for a
    target on which it guesses, nor for classes that the target lacks.
    """

    def build(width: int, classes: int) -> dict[str, nn.Module]:
        wide = width * classes > WIDEST
        pairing = Randomised(width, classes, PROJECTED) if wide else Multilinear()
        return {"pairing": pairing, "discriminator": adversarial.discriminator(PROJECTED if wide else width * classes, opts.hidden)}

    def align(source: bridge.Side, target: bridge.Side, strength: float, extras: nn.ModuleDict) -> Tensor:
        seen = []
        for one in (source, target):
            pairs = extras["pairing"](one.features, one.outputs.detach().float().softmax(1))
            seen.append(extras["discriminator"](adversarial.reverse(pairs, strength)))
        weights = [adversarial.certainty(one.outputs) for one in (source, target)] if opts.entropy else ()
        return adversarial.domain_loss(*seen, *weights)

    yield from bridge.adapt("cdan", net, task, data, opts, align, build=build)


class Multilinear(nn.Module):
    """The outer product of each row."""

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return adversarial.multilinear(features, probabilities)


class Randomised(nn.Module):
    """Its random projection; the two matrices are fixed once drawn."""

    def __init__(self, width: int, classes: int, projected: int):
        super().__init__()
        self.register_buffer("of_features", torch.randn(width, projected))
        self.register_buffer("of_classes", torch.randn(classes, projected))

    def forward(self, features: Tensor, probabilities: Tensor) -> Tensor:
        return adversarial.randomised(features, probabilities, self.of_features, self.of_classes)
