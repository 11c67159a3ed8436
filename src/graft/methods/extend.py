"""Add classes to a model without losing those it has."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..core import Batch, Data, Net, Phase, Stream, Task
from ..errors import OptionError
from ..losses.distillation import soft_labels
from . import continual, extract, groups, recipe

NEEDS = (continual.OUTPUTS,)


@dataclass(frozen=True, kw_only=True)
class Options(continual.Keeping):
    """keep: stored rows of each old class that learn again; 20.
    freeze: "all": the body stays as it is, so that what it gives is computed once and the fit takes seconds; as for finetune
        where the body is to learn too.
    epochs: None gives a head on a frozen body 100, as extract does, and about 300 steps where the body learns. head_lr: None gives
        the head ten times `lr`. balance: on, so that many new rows do not outvote few stored ones.
    head_epochs has no meaning here: there is one head, and it has learnt already.
    strength: of the old head's soft loss, in [0, 1], beside 1 - strength for the labels; None gives the share that the old classes have
        of all, as in the source. temperature: of the soft loss, as for lwf.
    align: at the end the new classes' weights are scaled to the mean length of the old ones'. Off: classes that are drawn equally often
        learn rows that are long enough. With 5 old and 2 new classes of PACS (photo and sketch, graft-mini, mean of two draws each)
        and 3 stored rows a class the accuracy was 0.66 without and 0.63 with it, and 0.46 of a head solved anew; with 20 rows 0.74,
        0.74 and 0.56.
    patience: 0, and the last epoch is kept: rows that select may have taught the old head, and would choose the epoch that left it
        as it was; and weights are of equal length only where new classes have learnt to the end. augment: off, as for extract.
    """

    keep: int = 20
    strength: float | None = None
    temperature: float = 2.0
    align: bool = False
    balance: bool = True
    augment: bool = False
    patience: int = 0
    freeze: str | int | None = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        continual.check_ranges(self, (("keep", 1, 10**9), ("strength", 0, 1), ("temperature", 0.1, 100)))


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The new head starts from the old one's rows and learns all classes, drawn equally often, while on the old ones it is to say
    what the old head said; its weights may then be aligned (WA, Zhao et al., "Maintaining discrimination and fairness in class
    incremental learning", 2020, eq. 2 and 7 to 9).

    data.schema.classes are the old classes, in their order, then the new ones; `data.train` holds the new rows and those of the old
    classes that were stored. Best where few were stored; where all were, a head solved anew on all rows (--method extract) is as
    good and shorter. Without any, old classes are lost: nothing tells them from the new. The old head itself is not changed.
    """
    recipe.check_trainable(task, "extend")
    name, old = extended(net, task, data)
    was = continual.recorded(name, data, "extend")
    grow(net.head, net.earlier[name], old)
    frozen, rate = groups.depth(net, opts.freeze), opts.head_lr or 10 * opts.lr
    still = frozen == len(net.stages)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen) + groups.head(net, rate, opts.weight_decay)
    count = extract.Options.epochs if still and opts.epochs is None else None
    phase = recipe.phase("extend", task, data, opts, who, frozen=frozen, count=count, keep="last")
    phase = replace(phase, objective=objective(task, was, old, opts))
    yield continual.held(phase, opts.hold_norm)
    if opts.align and hasattr(net.head, "final"):
        align(net.head.final, old)
        # Learns nothing: what the aligned head gives on the selecting rows calibrates, and stands as the selection score.
        yield Phase("aligned", {"train": Stream(data.train)}, 0, (), phase.objective, len(net.stages), keep="last")


def extended(net: Net, task: Task, data: Data) -> tuple[str, int]:
    """The earlier task whose classes the new ones begin with, and how many these are; the one with most. Raises OptionError."""
    known, classes = continual.earlier(net, data, "extend", through=False), tuple(task.schema.classes)
    if task.schema.target != "class":
        raise OptionError("Method 'extend' adds classes, and here a sample has no single class; use --method lwf or rehearsal.")
    named = {name: tuple(one.task.schema.classes) for name, one in known.items() if one.task.schema.target == "class"}
    begun = {name: len(old) for name, old in named.items() if len(old) < len(classes) and old == classes[: len(old)]}
    if not begun:
        before = "; ".join(f"'{name}' has {', '.join(old[:6])}" for name, old in named.items()) or "none of the earlier tasks has classes"
        raise OptionError(
            f"Method 'extend' needs the classes of an earlier task and then new ones, but {before}, and here there are "
            f"{', '.join(classes[:6])}; use --method lwf or rehearsal, which learn a task of its own."
        )
    name = max(begun, key=begun.get)
    return name, begun[name]


@torch.no_grad()
def grow(head: nn.Module, before: nn.Module, old: int) -> bool:
    """Where both heads are linear (or have equal hidden layers), the first `old` outputs and all below them become those of `before`;
    the new rows stay as they were drawn, small. Where `before` reads features of length 1, `head` then does too. Says whether it was so;
    else the head begins from nothing."""
    shorten = before.config.get("unit", False)
    fixed = {"outputs", "dropout"} | ({"unit"} if shorten else set())
    alike = [{key: value for key, value in one.config.items() if key not in fixed} for one in (head, before)]
    if alike[0] != alike[1]:
        return False
    if shorten and not head.config.get("unit"):
        head.body.insert(0, copy.deepcopy(before.body[0]))
        head.config["unit"] = True
    own, given = head.state_dict(), before.state_dict()
    for key, value in own.items():
        (value[:old] if key.startswith("final.") else value).copy_(given[key])
    return True


@torch.no_grad()
def align(final: nn.Linear, old: int) -> float:
    """Scale the new classes' weight vectors by gamma = mean length of the old ones / mean length of the new ones (eq. 7 to 9); gamma."""
    lengths = final.weight.norm(dim=1)
    gamma = lengths[:old].mean() / lengths[old:].mean().clamp(min=1e-12)
    final.weight[old:] *= gamma
    return float(gamma)


def objective(task: Task, was: Tensor, old: int, opts: Options) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """(1 - strength) * loss of the labels + strength * soft loss between the outputs of the old classes and those recorded [n, old],
    without the factor temperature^2, as in eq. 2 of the source."""
    share = old / len(task.schema.classes) if opts.strength is None else opts.strength

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        batch = batches["train"]
        continual.refuse_mixed(task, batch, "extend")
        outputs = net(batch.inputs, batch.start)
        soft = soft_labels(outputs[:, :old], was[batch.rows].to(outputs.device), opts.temperature) / opts.temperature**2
        return (1 - share) * task.loss(outputs, batch.targets, smoothing=opts.smoothing) + share * soft

    return loss
