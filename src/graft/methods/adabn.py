"""BatchNorm's statistics of the body are taken anew from the target."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Batch, Data, Net, Phase, Stream, Task
from ..errors import OptionError
from . import groups, recipe

Norm = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """freeze: "all": the head alone learns on the source; the name of a stage lets those above it learn there too, as lp_ft does,
        before the statistics are taken anew. head_epochs, smoothing (0): as for lp_ft.
    batch: 64, of which a batch's statistics are taken; their mean over all batches counts.
    """

    freeze: str | int | None = "all"
    head_epochs: int = 100
    batch: int = 64
    smoothing: float = 0.0


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """The head on the source, with the statistics that the body came with; then these are replaced by the target's, and nothing else
    changes (Li et al., "Revisiting batch normalization for practical domain adaptation", 2017).

    Best where light, colour, blur or the camera changed and the classes are as frequent as before; not where the target has
    other shares of the classes, which the statistics would hide, nor with fewer than some tens of images. Where `data.train` has no
    rows, the head stays as it is. Needs a body with BatchNorm.
    """
    target = recipe.target_of("adabn", data)
    layers(net, "adabn")
    yield from on_source(net, task, data, target, opts)
    yield from retaken(net, target, opts.batch)


def on_source(net: Net, task: Task, data: Data, target: pa.Table, opts: Options) -> Iterator[Phase]:
    """The head, and what is not frozen, learn from the source; nothing where it has no rows. What they say of the target is kept."""
    if not len(data.train):
        return
    frozen = groups.depth(net, opts.freeze)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    probe = recipe.head_first(net, task, data, opts, opts.head_epochs)
    yield probe if who else replace(probe, name="source", watch=target)
    if who:
        recipe.check_trainable(task, "adabn with --freeze")
        who += groups.head(net, opts.head_lr or opts.lr, opts.weight_decay)
        yield replace(recipe.phase("source", task, data, opts, who, frozen=frozen), watch=target)


def retaken(net: Net, target: pa.Table, batch: int, name: str = "statistics") -> Iterator[Phase]:
    """One round over the target in which each layer's mean and variance become the mean of those of all batches.

    Within a batch the layers see what the layers below make of that batch, as in training; dropout is off. With no batch counted, the
    first one replaces what was there and the others go into the mean (momentum None), so a run that is resumed in between goes on.
    """
    found = layers(net, name)
    momenta = [layer.momentum for layer in found]
    for layer in found:
        layer.momentum = None
        layer.num_batches_tracked.zero_()
    try:
        yield Phase(
            name, {"train": Stream(target, batch)}, 1, objective=_look, frozen=first(net), clip=0.0, keep="last", score=False, watch=target,
        )  # fmt: skip
    finally:
        for layer, momentum in zip(found, momenta, strict=True):
            layer.momentum = momentum


def layers(net: Net, method: str) -> list[nn.Module]:
    """The body's BatchNorm layers that keep statistics and are run, first to last. Raises OptionError where there are none."""
    run = net.stages[: net.taps[-1] + 1]
    found = [layer for layer in run.modules() if isinstance(layer, Norm) and layer.running_mean is not None]
    if not found:
        raise OptionError(
            f"The body '{net.origin.name}' has no BatchNorm, whose statistics '{method}' takes anew; use --method coral, which "
            "standardises the features of both domains instead."
        )
    return found


def only_norms_in_training(net: Net) -> None:
    """BatchNorm layers in training mode and everything else, dropout too, in eval mode."""
    net.eval()
    for layer in net.stages.modules():
        layer.training = isinstance(layer, Norm)


def first(net: Net) -> int:
    """How many stages come before the first with BatchNorm: they are constant."""
    return next(i for i, stage in enumerate(net.stages) if any(isinstance(layer, Norm) for layer in stage.modules()))


def _look(net: Net, batches: dict[str, Batch]) -> Tensor:
    """Nothing is learnt: the statistics move by looking."""
    batch = batches["train"]
    only_norms_in_training(net)
    net.advance(batch.inputs, batch.start, net.pooled)
    return torch.zeros((), device=batch.targets.device)
