"""On images of the target alone: BatchNorm's scales and shifts learn to make the predictions certain."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from ..core import Batch, Data, Group, Net, Phase, Schedule, Stream, Task
from ..errors import OptionError
from ..losses import confusion
from . import adabn, recipe


@dataclass(frozen=True, kw_only=True)
class Options(adabn.Options):
    """tent_lr: of BatchNorm's scales and shifts; 1e-3 is the paper's with Adam.
    tent_epochs: rounds over the target; 1, as there: many rounds end with all rows in one class.
    freeze, head_epochs: as for adabn, on the source. batch: 64, the rows whose statistics stand for the target in a step.
    """

    tent_lr: float = 1e-3
    tent_epochs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1e-9 <= self.tent_lr <= 10:
            raise OptionError(f"method.tent_lr = {self.tent_lr} is outside 1e-09 to 10; try --set method.tent_lr=0.001.")
        if not 0 <= self.tent_epochs <= 1000:
            raise OptionError(f"method.tent_epochs = {self.tent_epochs} is outside 0 to 1000; try --set method.tent_epochs=1.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head on the source; then the target's statistics, as adabn takes them; then each layer's scale and shift go down the entropy
    of the predictions, with the statistics of the batch; then the statistics once more (Tent: Wang et al., "Fully test-time
    adaptation by entropy minimization", 2021).

    No row of the source is seen while it adapts, so it also serves where there is none (`graft predict --adapt tent`). Best for
    changes of light, blur or noise, with the classes mixed in each batch; not for few images, nor for images of one class. Entropy
    alone is least where everything is one class: look at the predictions, as `graft predict --adapt` does.
    """
    target = recipe.target_of("tent", data)
    if task.schema.target != "class":
        raise OptionError("Method 'tent' needs one class for each sample; use --method adabn for these labels.")
    adabn.layers(net, "tent")
    yield from adabn.on_source(net, task, data, target, opts)
    yield from adabn.retaken(net, target, opts.batch)
    who = scales(net, opts.tent_lr)
    if not who or not opts.tent_epochs:
        return
    yield Phase(
        "tent", {"train": Stream(target, opts.batch)}, opts.tent_epochs, who, certain, adabn.first(net),
        schedule=Schedule("constant", 0.0), clip=opts.clip, keep="last", score=False, watch=target,
    )  # fmt: skip
    yield from adabn.retaken(net, target, opts.batch, "statistics again")


def scales(net: Net, lr: float) -> tuple[Group, ...]:
    """The scales and shifts of the BatchNorm layers as one group; none where the layers have none."""
    mine = {id(parameter) for layer in adabn.layers(net, "tent") for parameter in (layer.weight, layer.bias) if parameter is not None}
    names = tuple(name for name, parameter in net.named_parameters() if id(parameter) in mine)
    return (Group("scales", names, lr),) if names else ()


def certain(net: Net, batches: dict[str, Batch]) -> Tensor:
    """Mean entropy of a batch, each layer normalised by the batch's own statistics."""
    batch = batches["train"]
    adabn.only_norms_in_training(net)
    return confusion.entropy(net(batch.inputs, batch.start))
