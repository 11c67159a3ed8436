"""The control: the same network from random weights."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """lr: 1e-3: random weights have nothing to lose. decay: 1, every stage has as much to learn. weight_decay: 0.05, against overfitting.

    epochs: None gives about 600 steps, twice what fine-tuning gets, within 16 to 80.
    """

    lr: float = 1e-3
    head_lr: float | None = None
    decay: float = 1.0
    weight_decay: float = 0.05

    @property
    def own_length(self) -> bool:
        return True


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """One phase: everything learns from random weights, with the same head and augmentation. What transfer must beat."""
    recipe.check_trainable(task, "scratch")
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay)
    who += groups.head(net, opts.head_lr or opts.lr, opts.weight_decay)
    yield recipe.phase("scratch", task, data, opts, who, count=recipe.epochs(opts, len(data.train), steps=600, low=16, high=80))
