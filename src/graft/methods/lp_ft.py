"""First the head alone, then everything at a small rate."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..core import Data, Net, Phase, Task
from . import groups, recipe


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """head_epochs: epochs of the first phase where the head learns by gradient descent (a solved head needs none).

    head_lr: None gives the head the body's own rate in the second phase: it is trained already.
    freeze: as for finetune, in the second phase.
    epochs: None gives about 300 steps within 4 to 20. patience: 4: a head that fits already leaves little to learn, and the
        best epoch shows early. smoothing: 0, so that both phases have the same loss and their selection scores compare.
    """

    head_epochs: int = 100
    patience: int = 4
    smoothing: float = 0.0
    freeze: str | int | None = None


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Linear probing, then fine-tuning (Kumar et al., 2022): a head that fits the features keeps the first gradients from distorting them.

    The state after the first phase is a candidate of the second, so where fine-tuning gains nothing on the selecting
    rows, the probe is what is kept; it is then solved again on all learning rows, for nothing selects any more.
    """
    recipe.check_trainable(task, "lp_ft")
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    frozen = groups.depth(net, opts.freeze)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    who += groups.head(net, opts.head_lr or opts.lr, opts.weight_decay)
    tuned = yield recipe.phase("all", task, data, opts, who, frozen=frozen, count=recipe.epochs(opts, len(data.train), low=4, high=20))
    yield from recipe.probe_again(tuned, net, task, data, opts)
