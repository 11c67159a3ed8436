"""Head and body learn together."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..core import Data, Net, Phase, Task
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """freeze: the last stage that stays frozen, by name, or how many stages; "none" (everything learns) or "all" (the head alone)."""

    freeze: str | int | None = None


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """One phase: the stages above `freeze` learn at lr * decay ** (stages above), the new head at head_lr (Yosinski et al., 2014).

    Best for much data; with little, a fresh head's first gradients disturb the features: use lp_ft.
    """
    recipe.check_trainable(task, "finetune")
    frozen = groups.depth(net, opts.freeze)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    who += groups.head(net, opts.head_lr or 10 * opts.lr, opts.weight_decay)
    # The head of a language model comes with its body.
    yield replace(recipe.phase("finetune", task, data, opts, who, frozen=frozen), fresh=task.schema.target != "language")
