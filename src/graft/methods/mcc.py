"""The target's predictions learn not to be torn between classes."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ..core import Data, Net, Phase, Task
from ..errors import OptionError
from ..losses import confusion
from . import bridge


@dataclass(frozen=True, kw_only=True)
class Options(bridge.Options):
    """temperature: softens the predictions before they are compared; 2.5 is the paper's. weight: 1, as there."""

    temperature: float = 2.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.1 <= self.temperature <= 100:
            raise OptionError(f"method.temperature = {self.temperature} is outside 0.1 to 100; try --set method.temperature=2.5.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head, then the source's loss and the minimum class confusion of the target's batches (Jin et al., 2020).

    The domains are not compared at all, so it holds where the target has only some of the classes; best where the head is
    mostly right and only uncertain. Not with batches of fewer rows than classes, which show little confusion.
    """

    def align(source: bridge.Side, target: bridge.Side, strength: float, extras: nn.ModuleDict) -> Tensor:
        return confusion.minimum_class_confusion(target.outputs, opts.temperature)

    yield from bridge.adapt("mcc", net, task, data, opts, align)
