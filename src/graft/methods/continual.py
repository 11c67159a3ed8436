"""What the methods share that learn a task without losing earlier ones: options, the earlier heads, their rows, what was recorded."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Batch, Data, Earlier, Group, Net, Phase, State, Task
from ..errors import OptionError
from ..losses import distillation
from . import distill, recipe

Objective = Callable[[Net, dict[str, Batch]], Tensor]
OUTPUTS = "earlier outputs"
"""What a method's module lists in NEEDS to be given the columns "earlier.NAME"."""
KNOWN = ("class", "labels", "number")
"""Targets of earlier tasks whose outputs can be compared with what they were, and labels drawn from."""


@dataclass(frozen=True, kw_only=True)
class Keeping(recipe.Training):
    """strength: what keeping each earlier task counts beside learning the new one.
    hold_norm: BatchNorm works with the running statistics that it came with, and leaves them as they are, also while the body
        learns: those of new images would alone undo earlier tasks. Of PACS cartoons graft-mini knew 0.63, after potato leaves by finetune
        0.42, and 0.61 with statistics held, the head first and no other remedy (one draw). Off for images of quite another kind.
    freeze, head_epochs, patience (4) and smoothing (0) as for lp_ft. Epochs are chosen by the new task's score alone, for earlier
        tasks have no selecting rows here.
    """

    strength: float = 1.0
    hold_norm: bool = True
    head_epochs: int = 100
    patience: int = 4
    smoothing: float = 0.0
    freeze: str | int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, (("strength", 0, 1e6),))


def check_ranges(opts: recipe.Training, ranges: tuple[tuple[str, float, float], ...]) -> None:
    """Raises OptionError for a number outside its range, or that is none."""
    for name, low, high in ranges:
        value = getattr(opts, name)
        if value is not None and not low <= value <= high:
            default = type(opts).__dataclass_fields__[name].default
            repair = "leave it out" if default is None else f"try --set method.{name}={default}"
            raise OptionError(f"method.{name} = {value} is outside {low:g} to {high:g}; {repair}.")


def earlier(net: Net, data: Data, method: str, through: bool = True) -> dict[str, Earlier]:
    """The tasks whose heads the net has, oldest first. through: whether gradients have to pass them. Raises OptionError where there is
    none, one that lets none pass, or one whose outputs are of another kind."""
    if not len(net.earlier):
        raise OptionError(f"Method '{method}' needs a body that has learnt a task before; start from one with --backbone run:RUN.")
    for name in net.earlier:
        if name not in data.earlier:
            raise OptionError(f"Of the earlier task '{name}' only the head is known; start from its finished run, --backbone run:RUN.")
        target = data.earlier[name].task.schema.target
        if through and target not in KNOWN:
            raise OptionError(
                f"Method '{method}' keeps classes, labels and numbers, and the earlier task '{name}' has {target}; use --method l2_sp."
            )
        if through and not data.earlier[name].task.trainable:
            kind = data.earlier[name].task.config.get("head")
            raise OptionError(
                f"The head of the earlier task '{name}' is of kind '{kind}', through which method '{method}' cannot learn; "
                "learn that task with --head linear, or use --method extract, which changes nothing of it."
            )
    return {name: data.earlier[name] for name in net.earlier}


def rows(name: str, data: Data, method: str) -> pa.Table:
    """The rows of an earlier task that may be shown again, without labels: the new task knows none of its classes. Raises OptionError
    where there are none."""
    known = data.earlier[name]
    if not len(known.table):
        raise OptionError(
            f"Method '{method}' shows rows of the earlier task '{name}' again and there are none; put its files back where they were, "
            "or use --method lwf, which needs none."
        )
    hidden = {known.task.schema.label, data.schema.label}
    return known.table.select([column for column in known.table.column_names if column not in hidden])


def recorded(name: str, data: Data, method: str) -> Tensor:
    """What the head of an earlier task gave on each row of `data.train` when the fit began, float32 [n, k]. Raises OptionError."""
    column = f"earlier.{name}"
    if column not in data.train.column_names or data.train[column].null_count:
        raise OptionError(
            f"Method '{method}' needs what the head of '{name}' gives on the new rows before they are learnt (column '{column}'), and "
            "it was not recorded; start the fit anew with --backbone run:RUN."
        )
    return distill.matrix(data.train, column)


def heads(net: Net, lr: float, weight_decay: float) -> tuple[Group, ...]:
    """A group for each earlier head that has parameters."""
    found = []
    for name, head in net.earlier.items():
        names = tuple(f"earlier.{name}.{parameter}" for parameter, _ in head.named_parameters())
        found += [Group(f"head of {name}", names, lr, weight_decay)] if names else []
    return tuple(found)


def features(net: Net, batch: Batch) -> State:
    """The pooled features of a batch, for the new head and the earlier ones."""
    return net.advance(batch.inputs, batch.start, net.pooled)


def answer(head: nn.Module, state: State) -> Tensor:
    """A head's outputs [n, k] on pooled features."""
    return head(state["x"], state["mask"]) if getattr(head, "takes_mask", False) else head(state["x"])


def distance(outputs: Tensor, was: Tensor, target: str, temperature: float) -> Tensor:
    """How far an earlier head's outputs [n, k] are from those recorded, a scalar that is 0 where they are the same."""
    soft = distill.SOFT.get(target)
    return distillation.numbers(outputs, was) if soft is None else soft(outputs, was, temperature)


def retention(data: Data, names: tuple[str, ...], temperature: float, method: str) -> Callable[[Net, State, Tensor], Tensor]:
    """loss(net, state of new rows, their numbers): `distance` of what each earlier head says from what it said, summed over heads."""
    told = {name: (data.earlier[name].task.schema.target, recorded(name, data, method)) for name in names}

    def loss(net: Net, state: State, numbers: Tensor) -> Tensor:
        parts = [
            distance(answer(net.earlier[name], state), was[numbers].to(state["x"].device), target, temperature)
            for name, (target, was) in told.items()
        ]
        return torch.stack(parts).sum()

    return loss


def refuse_mixed(task: Task, batch: Batch, method: str) -> None:
    """Raises OptionError for images that were mixed: of a mixture nothing was recorded, and earlier labels know nothing of it."""
    if task.schema.target == "class" and batch.targets.ndim == 2:
        raise OptionError(f"Method '{method}' cannot learn from mixed images; add --set augment.mixup=0 --set augment.cutmix=0.")


def held(phase: Phase, hold: bool) -> Phase:
    """The phase, in which BatchNorm keeps its running statistics and works with them, where that is asked for."""

    def objective(net: Net, batches: dict[str, Batch]) -> Tensor:
        for module in net.stages.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()  # The engine sets the mode of every stage that learns when an epoch begins.
        return phase.objective(net, batches)

    return replace(phase, objective=objective) if hold else phase
