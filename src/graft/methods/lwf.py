"""Learning without forgetting: the earlier heads go on saying of the new rows what they said before."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from ..core import Batch, Data, Net, Phase, Task
from . import continual, groups, recipe

NEEDS = (continual.OUTPUTS,)


@dataclass(frozen=True, kw_only=True)
class Options(continual.Keeping):
    """temperature: divides the logits of earlier heads, so that what they find unlikely counts too; 2 is the paper's.
    strength: of each earlier task's soft loss, which has the factor temperature^2; the paper's weight of 1 has it not, and is 0.25 here.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        continual.check_ranges(self, (("temperature", 0.1, 100),))


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The new head alone, then everything, earlier heads too, which are to say of the new rows what they said before the fit began
    (Li & Hoiem, "Learning without forgetting", 2016, eq. 1 to 3).

    Needs no row of earlier tasks, only their heads, and what these gave on the new rows, plain and not augmented (the columns
    "earlier.NAME"). Best where the new rows resemble the earlier ones; where they do not, the heads say nothing of note on them
    and little is kept: use rehearsal. Mixed images are refused.
    """
    recipe.check_trainable(task, "lwf")
    known = continual.earlier(net, data, "lwf")
    keep = continual.retention(data, tuple(known), opts.temperature, "lwf")
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    frozen, rate = groups.depth(net, opts.freeze), opts.head_lr or opts.lr
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    who += groups.head(net, rate, opts.weight_decay) + continual.heads(net, rate, opts.weight_decay)

    def objective(live: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        continual.refuse_mixed(task, batch, "lwf")
        state = continual.features(live, batch)
        loss = task.loss(continual.answer(live.head, state), batch.targets, smoothing=opts.smoothing)
        return loss + opts.strength * keep(live, state, batch.rows)

    phase = replace(recipe.phase("lwf", task, data, opts, who, frozen=frozen), objective=objective)
    tuned = yield continual.held(phase, opts.hold_norm)
    yield from recipe.probe_again(tuned, net, task, data, opts)
