"""Rows of earlier tasks are shown again beside the new ones."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from ..core import Batch, Data, Net, Phase, Stream, Task
from . import continual, groups, recipe

NEEDS = (continual.OUTPUTS,)


@dataclass(frozen=True, kw_only=True)
class Options(continual.Keeping):
    """keep: stored rows of each class of an earlier task, or so many for each label; 20, as few of each do much.
    share: earlier rows in a step for each new one, over all earlier tasks; 1 is the paper's.
    strength: of each earlier task's own loss on its rows, and with `distil` of its soft loss on the new rows.
    distil: earlier heads also go on saying of the new rows what they said before, as in lwf, since the labels of few stored rows are soon
        known by heart. Off, because beside 20 rows a class it gained nothing (potato leaves after PACS cartoons, graft-mini, one draw).
    temperature: of that, as for lwf.
    """

    keep: int = 20
    share: float = 1.0
    distil: bool = False
    temperature: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        continual.check_ranges(self, (("keep", 1, 10**9), ("share", 0.01, 100), ("temperature", 0.1, 100)))


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The new head alone; then every step learns from new rows and from stored rows of each earlier task, each through its own head
    (experience replay, Chaudhry et al., "On tiny episodic memories in continual learning", 2019).

    The surest way to keep what was learnt, where rows of it may be kept: a few of each class do much. Where none may, use lwf. With
    `distil` the new rows keep the earlier heads too (as Buzzega et al., "Dark experience", 2020, have it on stored rows). An epoch
    is as long as its longest stream. Mixed images are refused.
    """
    recipe.check_trainable(task, "rehearsal")
    known = tuple(continual.earlier(net, data, "rehearsal"))
    size = max(1, round(opts.batch * opts.share / len(known)))
    again = {f"earlier.{name}": Stream(continual.rows(name, data, "rehearsal"), size, opts.augment) for name in known}
    learn = objective(task, data, known, opts)
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    frozen, rate = groups.depth(net, opts.freeze), opts.head_lr or opts.lr
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    who += groups.head(net, rate, opts.weight_decay) + continual.heads(net, rate, opts.weight_decay)
    longest = max(len(data.train), *(len(one.table) * opts.batch // size for one in again.values()))
    phase = recipe.phase("rehearsal", task, data, opts, who, frozen=frozen, count=recipe.epochs(opts, longest))
    phase = replace(phase, streams={**phase.streams, **again}, objective=learn)
    tuned = yield continual.held(phase, opts.hold_norm)
    yield from recipe.probe_again(tuned, net, task, data, opts)


def objective(task: Task, data: Data, known: tuple[str, ...], opts: Options) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """The new loss + strength * (each earlier task's own loss on its rows [+ each earlier head's soft loss on the new rows])."""
    tasks = {name: data.earlier[name].task for name in known}
    targets = {name: tasks[name].encode(data.earlier[name].table) for name in known}
    keep = continual.retention(data, known, opts.temperature, "rehearsal") if opts.distil else None

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        continual.refuse_mixed(task, batch, "rehearsal")
        state = continual.features(net, batch)
        total = task.loss(continual.answer(net.head, state), batch.targets, smoothing=opts.smoothing)
        if keep is not None:
            total = total + opts.strength * keep(net, state, batch.rows)
        for name in known:
            shown = batches[f"earlier.{name}"]
            outputs = net.seen_as(name)(shown.inputs, shown.start)
            total = total + opts.strength * tasks[name].loss(outputs, targets[name][shown.rows].to(outputs.device))
        return total

    return loss
