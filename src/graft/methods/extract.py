"""Frozen features and a new head."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """epochs: 100, for heads that learn by gradient descent: on features that are computed once they cost nothing.

    lr: the head's rate. smoothing: 0, because a small head on fixed features is calibrated by its decay.
    augment: off, so that the features can be computed once; on, a head that was solved goes on to learn from augmented
        images (`--views 4` keeps the features of four of each) for as long as the selecting rows gain. patience: 10.
    """

    epochs: int | None = 100
    lr: float = 1e-3
    smoothing: float = 0.0
    augment: bool = False
    patience: int = 10

    @property
    def own_length(self) -> bool:
        return True


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """One phase: the head learns, every stage is constant (Donahue et al., DeCAF, 2014; Sharif Razavian et al., 2014).

    Best for little data that resemble what the body was trained on; not for data of another kind, where the top
    features say little: take earlier ones (`--layers`) or fine-tune. With augmentation a solved head is the start of a
    second phase, which is kept where it gains on the selecting rows.
    """
    solved = task.solve is not None
    if opts.augment:
        recipe.check_trainable(task, "extract with augmentation")
    if solved:
        yield recipe.head_first(net, task, data, opts, 0, everything=not opts.augment)
        if not opts.augment:
            return
    who = groups.head(net, opts.head_lr or opts.lr, opts.weight_decay)
    tuned = yield recipe.phase("augmented" if solved else "head", task, data, opts, who, frozen=len(net.stages))
    if solved:
        yield from recipe.probe_again(tuned, net, task, data, opts)
