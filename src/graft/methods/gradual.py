"""Unfreeze from the top, stage after stage."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """head_epochs: as for lp_ft. steps_down: how many times a further part of the body is unfrozen; the stages are shared among
    them evenly. epochs: of all unfreezing phases together. smoothing: 0 and
    freeze as for lp_ft.
    """

    head_epochs: int = 100
    steps_down: int = 3
    smoothing: float = 0.0
    freeze: str | int | None = None

    @property
    def limited_phases(self) -> int:
        return max(1, self.steps_down)


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head, then the top stages, then more, down to `freeze` (ULMFiT, Howard & Ruder, 2018).

    Each phase starts where the one above ended and keeps its own best epoch, its start included. Slower than lp_ft; worth it
    where lower stages forget quickly.
    """
    recipe.check_trainable(task, "gradual")
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    floor, top = groups.depth(net, opts.freeze), net.taps[-1] + 1
    rounds = max(1, min(opts.steps_down, top - floor))
    total = recipe.epochs(opts, len(data.train))
    for i in range(1, rounds + 1):
        frozen = top - round((top - floor) * i / rounds)
        who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
        who += groups.head(net, opts.head_lr or opts.lr, opts.weight_decay)
        count = total * i // rounds - total * (i - 1) // rounds
        yield recipe.phase(f"from {net.names[min(frozen, top - 1)]}", task, data, opts, who, frozen=frozen, count=count)
