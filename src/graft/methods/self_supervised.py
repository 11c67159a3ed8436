"""What the methods share that learn a body from images without labels: options, rows, checks, the phase, and the head after it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Batch, Data, Group, Net, Phase, Prepare, Schedule, Stream, Task
from ..errors import OptionError
from . import groups, recipe

RANDOM_LR, PRETRAINED_LR = 1e-3, 2e-4
"""Peak rates of a body that starts from nothing, and of one that has something to lose."""
STEPS, LEAST, MOST = 600, 4, 200
"""Of training where `epochs` is not given: steps about, and within how many epochs."""


@dataclass(frozen=True, kw_only=True)
class Unlabelled(recipe.Training):
    """epochs: None gives about 600 steps within 4 to 200, an evening on a laptop at most; without labels there is always more to learn.
    lr: None is 1e-3 for a body of random weights and 2e-4 for a pre-trained one, in all stages (decay: 1), since what is
        learnt is no small step from what was. What stands beside the body learns at 1e-3, or at the rate that was given.
    batch: 128 rows: more than for labels, since each gives less to go by, and little enough for a laptop's memory.
    weight_decay: 0.02, as for fine-tuning. smoothing: 0, and balance: of a head that is trained in the end; there are no labels before.
    freeze: as for finetune. head_epochs, head_lr (None is 1e-3) and patience: of a head that is trained, as for lp_ft.
    ema: 0; the last weights are kept, since no score says which are the best.
    """

    lr: float | None = None
    decay: float = 1.0
    batch: int = 128
    smoothing: float = 0.0
    head_epochs: int = 100
    freeze: str | int | None = None

    @property
    def own_length(self) -> bool:
        return True


def in_range(opts: Unlabelled, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Raises OptionError for a number outside its range (None is within), with the default as the repair."""
    for name, (low, high) in ranges.items():
        value = getattr(opts, name)
        if value is not None and not low <= value <= high:
            default = type(opts).__dataclass_fields__[name].default
            raise OptionError(f"method.{name} = {value} is outside {low:g} to {high:g}; try --set method.{name}={default}.")


def rows(data: Data) -> pa.Table:
    """The learning rows and those without labels; only what goes in is left of them."""
    tables = [table for table in (data.train, data.unlabelled) if table is not None and len(table)]
    names = [name for name in dict.fromkeys(("path", data.schema.input)) if all(name in table.column_names for table in tables)]
    return pa.concat_tables([table.select(names) for table in tables])


def check_images(data: Data, method: str) -> None:
    """Raises OptionError for texts."""
    if data.schema.modality != "image":
        raise OptionError(f"Method '{method}' learns from images, and these are texts; use --method simclr, which takes both.")


def check_augmented(opts: Unlabelled, data: Data, method: str) -> None:
    """Raises OptionError where both views of an image would be the same."""
    if data.schema.modality == "image" and not opts.augment:
        raise OptionError(f"Method '{method}' compares views of an image, all alike without augmentation; leave method.augment on.")


def body(net: Net, opts: Unlabelled, method: str, frozen: int, last: int | None = None) -> tuple[Group, ...]:
    """Who learns of the body: the stages from `frozen` to `last` (the last that is tapped). Raises OptionError where none does."""
    rate = opts.lr or (RANDOM_LR if net.origin.weights == "random" else PRETRAINED_LR)
    learning = net.names[: (net.taps[-1] if last is None else last) + 1]
    who = tuple(g for g in groups.layerwise(net, rate, opts.decay, opts.weight_decay, frozen) if g.name in learning)
    if not who:
        raise OptionError(f"Method '{method}' teaches the body, and every stage is frozen or learns nothing; freeze fewer (--freeze).")
    return who


def beside(net: Net, opts: Unlabelled, **modules: nn.Module) -> tuple[nn.ModuleDict, tuple[Group, ...]]:
    """Modules that learn beside the body and are dropped after it, placed where it is, and their groups."""
    extras = nn.ModuleDict(modules).to(next(net.parameters()).device)
    named = {name: tuple(f"extras.{name}.{key}" for key, _ in module.named_parameters()) for name, module in modules.items()}
    return extras, tuple(Group(name, keys, opts.lr or RANDOM_LR, opts.weight_decay) for name, keys in named.items() if keys)


def mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    """Two layers with BatchNorm and ReLU between them, [n, width] -> [n, out]: the projector of SimCLR and of BYOL."""
    return nn.Sequential(nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out))


@torch.no_grad()
def blank(net: Net, stop: int, x: Tensor | None = None, start: int = 0) -> Tensor:
    """The net's "x" at depth `stop` for one sample of zeros, or for `x` at depth `start`; in eval mode, the modes restored."""
    modes, device = [(module, module.training) for module in net.modules()], next(net.parameters()).device
    net.eval()
    given = net.prepare.blank() if x is None else {"x": x}
    try:
        return net.advance({key: value.to(device) for key, value in given.items()}, start, stop)["x"]
    finally:
        for module, mode in modes:
            module.training = mode


def greyed(images: Tensor, prepare: Prepare, share: float) -> Tensor:
    """Normalised images [n, 3, h, w], each without its colours (the luma of BT.601 in all three) with the probability `share`.

    Two crops of one image have like colours, by which they could be told to belong together (Chen et al., 2020, section 3.2).
    """
    if not share:
        return images
    mean, std = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (prepare.mean, prepare.std))
    luma = torch.tensor([0.299, 0.587, 0.114], device=images.device).view(1, 3, 1, 1)
    without = (((images * std + mean) * luma).sum(1, keepdim=True) - mean) / std
    chosen = (torch.rand(len(images)) < share).to(images.device)
    return torch.where(chosen.view(-1, 1, 1, 1), without, images)


def rest(net: Net, frozen: int) -> None:
    """The first stages in eval mode, so that nothing of them moves in a phase whose `frozen` is 0 because it needs the images."""
    for stage in net.stages[:frozen]:
        stage.eval()


def phase(
    name: str, data: Data, opts: Unlabelled, who: tuple[Group, ...], objective: Callable[[Net, Mapping[str, Batch]], Tensor],
    extras: nn.ModuleDict, count: int | None = None, **further,
) -> Phase:  # fmt: skip
    """The phase without labels. views: of its stream; further: other fields of Phase."""
    table, views = rows(data), further.pop("views", 1)
    return Phase(
        name, {"train": Stream(table, opts.batch, opts.augment, views=views)}, epochs(opts, len(table)) if count is None else count, who,
        objective, extras=extras, schedule=Schedule(opts.schedule, opts.warmup), optimizer=opts.optimizer, clip=opts.clip, ema=opts.ema,
        keep="last", seconds=opts.seconds, score=False, **further,
    )  # fmt: skip


def epochs(opts: Unlabelled, count: int) -> int:
    """The user's number, or the one that gives about 600 steps on `count` rows within 4 to 200 epochs."""
    return recipe.epochs(opts, count, STEPS, LEAST, MOST)


def then(net: Net, task: Task, data: Data, opts: Unlabelled) -> Iterator[Phase]:
    """The head on the frozen features, as extract learns it; nothing where there are no labels.

    Nothing was selected on the selecting rows, so a head that is solved learns from them too where they were drawn from train.
    """
    if task.schema.target != "none":
        yield recipe.head_first(net, task, data, replace(opts, lr=recipe.Training.lr), opts.head_epochs, everything=True)
