"""Frozen features and a new head."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """epochs: 100, for heads that learn by gradient descent: on features that are computed once they cost nothing.

    lr: the head's rate. smoothing: 0, because a small head on fixed features is calibrated by its decay.
    augment: off, so that the features can be computed once.
    """

    epochs: int | None = 100
    lr: float = 1e-3
    smoothing: float = 0.0
    augment: bool = False


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """One phase: the head learns, every stage is constant (Donahue et al., DeCAF, 2014; Sharif Razavian et al., 2014).

    Best for little data that resemble what the body was trained on; not for data of another kind, where the top
    features say little: take earlier ones (`--layers`) or fine-tune.
    """
    if task.solve is not None:
        yield recipe.head_first(net, task, data, opts, 0, everything=True)
        return
    rate = opts.head_lr or opts.lr
    yield recipe.phase("head", task, data, opts, groups.head(net, rate, opts.weight_decay), frozen=len(net.stages))
