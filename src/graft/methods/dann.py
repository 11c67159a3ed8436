"""A discriminator tells source from target, and the features learn to hide it."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ..core import Data, Net, Phase, Task
from ..losses import adversarial
from . import bridge


@dataclass(frozen=True, kw_only=True)
class Options(bridge.Options):
    """hidden: units of the discriminator's hidden layer; 1024 is the paper's, 256 is enough for a bottleneck of that width."""

    hidden: int = 256


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head, then head and discriminator against each other through gradient reversal, whose strength rises from 0 to 1 (Ganin et
    al., "Domain-adversarial training of neural networks", 2016).

    Best where both domains have the same classes about equally often; not where they differ in that: to make the domains alike,
    features then mix classes. Needs `--target`; `cdan` looks at the classes too, and is the steadier of the two.
    """
    build = lambda width, classes: {"discriminator": adversarial.discriminator(width, opts.hidden)}  # noqa: E731
    yield from bridge.adapt("dann", net, task, data, opts, align, build=build)


def align(source: bridge.Side, target: bridge.Side, strength: float, extras: nn.ModuleDict) -> Tensor:
    """The discriminator's loss on features whose gradient is reversed."""
    tell = extras["discriminator"]
    sides = (tell(adversarial.reverse(one.features, strength)) for one in (source, target))
    return adversarial.domain_loss(*sides)
