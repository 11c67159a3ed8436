"""The features of both domains are drawn together under kernels."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ..core import Data, Net, Phase, Task
from ..losses import discrepancy
from . import bridge


@dataclass(frozen=True, kw_only=True)
class Options(bridge.Options):
    """outputs: whether the outputs' distributions are compared too, as the paper does with its last layers."""

    outputs: bool = True


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head, then the source's loss and the squared MMD between the domains' features in a mean of five Gaussian kernels (DAN: Long
    et al., "Learning transferable features with deep adaptation networks", 2015).

    Steadier than a discriminator, as nothing plays against it; best with batches of 64 and more. Not where the domains have
    the classes in other shares, and little help where they lie so far apart that every kernel is flat. The estimate is the unbiased one:
    the biased one of small batches also shrinks the features.
    """

    def align(source: bridge.Side, target: bridge.Side, strength: float, extras: nn.ModuleDict) -> Tensor:
        pairs = [(source.features, target.features)] + ([(source.outputs, target.outputs)] if opts.outputs else [])
        unbiased = min(len(source.features), len(target.features)) > 1
        return strength * sum(discrepancy.mmd(*pair, unbiased=unbiased) for pair in pairs)

    yield from bridge.adapt("mmd", net, task, data, opts, align)
