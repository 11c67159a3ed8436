"""A smaller net learns from the labels and from what a teacher says of the same rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Batch, Data, Group, Net, Phase, Stream, Task
from ..errors import OptionError
from ..losses import distillation
from . import groups, recipe

NAME = "distill"
STEPS, LEAST, MOST = 900, 15, 120
"""Of training where `epochs` is not given: steps about, and within how many epochs; three times what fine-tuning on labels gets."""
SOFT = {"class": distillation.soft_labels, "labels": distillation.soft_bits}
"""The soft loss by target; of numbers it is the squared difference."""
NO_TEACHER = "Method 'distill' needs a teacher; name a finished run with --teacher RUN."
MIXED = (
    "Method 'distill' cannot learn from mixed images, of which the teacher has said nothing; "
    "add --set augment.mixup=0 --set augment.cutmix=0."
)


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """temperature: divides both nets' logits in the soft loss, so that wrong answers count; of the 2.5 to 4 that Hinton et al. (2015) found
        best for a small student, the upper end. Of numbers it has no meaning.
    share: of the soft loss in the loss of labelled rows; 0.9, because the paper found a considerably lower weight on the labels best.
    features: weight of the hint, by which the student's pooled features, through a linear map that is learnt with it and then
        dropped, come near the teacher's (FitNets); 0 is off, and 1 makes a hint that says nothing cost 1.
    hint: "regression" or "cosine", how far features are from the teacher's.
    epochs: None gives about 900 steps within 15 to 120 of the longer of both streams, three times those of finetune: soft labels differ
        from row to row, so that there is more to learn from a row before it is known by heart, and students were found to gain for very
        long (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", 2022).
    lr: 3e-4: a small net that learns for long bears more than one that is to stay where it is.
    smoothing: 0, because the teacher's answers are soft already. patience: 0, as the source asks for patience.
    freeze and head_epochs as for lp_ft. head_lr: None gives the head the body's own rate in the second phase.
    """

    temperature: float = 4.0
    share: float = 0.9
    features: float = 0.0
    hint: str = "regression"
    lr: float = 3e-4
    smoothing: float = 0.0
    head_epochs: int = 100
    freeze: str | int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high, usual in (("temperature", 0.1, 100, 4), ("share", 0, 1, 0.9), ("features", 0, 1000, 0)):
            if not low <= getattr(self, name) <= high:
                raise OptionError(
                    f"method.{name} = {getattr(self, name)} is outside {low:g} to {high:g}; try --set method.{name}={usual:g}."
                )
        if self.hint not in ("regression", "cosine"):
            raise OptionError(f"method.hint = {self.hint} is not one of regression, cosine.")


class Told(NamedTuple):
    """What the teacher said of the rows of one stream: outputs [n, k], and standardised features [n, c] where there is a hint."""

    outputs: Tensor
    features: Tensor | None


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """lp_ft whose second phase also learns from a teacher's outputs (Hinton, Vinyals & Dean, 2015), on rows with labels and on
    `data.unlabelled`, of which the teacher's word is all there is.

    They stand in the column "teacher" of both tables (list<float> [k], in the order of the classes), and pooled features in
    "teacher_features". They are of the plain image, while the student sees augmented ones: cheap, because the teacher runs once, but
    less than Beyer et al. (2022) get from a teacher that sees each augmented view too. Best for a small net beside a much better
    one, the more so with unlabelled rows; no use where the student alone is as good as the teacher. Mixed images are refused: what the
    teacher said of two images is not what it would say of their mixture. Raises OptionError without a teacher.
    """
    recipe.check_trainable(task, "distill")
    if task.schema.target not in ("class", "labels", "number"):
        raise OptionError(f"Method 'distill' knows classes, labels and numbers, not '{task.schema.target}'; use --method finetune.")
    streams = {"train": recipe.stream(data, opts)}
    if data.unlabelled is not None and len(data.unlabelled):
        streams["unlabelled"] = Stream(data.unlabelled, opts.batch, opts.augment)
    rows = {name: len(stream.table) for name, stream in streams.items()}
    told = dict(zip(streams, hear([stream.table for stream in streams.values()], opts), strict=True))
    yield recipe.head_first(net, task, data, opts, opts.head_epochs)
    frozen = groups.depth(net, opts.freeze)
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen)
    who += groups.head(net, opts.head_lr or opts.lr, opts.weight_decay)
    extras = None
    if opts.features:
        extras = nn.ModuleDict({"hint": mapping(net, told["train"].features.shape[1])})
        who += (Group("hint", ("extras.hint.weight", "extras.hint.bias"), opts.head_lr or 10 * opts.lr, opts.weight_decay),)
    count = recipe.epochs(opts, max(rows.values()), STEPS, LEAST, MOST)
    phase = recipe.phase("distill", task, data, opts, who, frozen=frozen, count=count)
    tuned = yield replace(phase, streams=streams, objective=objective(task, opts, told, extras), extras=extras)
    yield from recipe.probe_again(tuned, net, task, data, opts)


def hear(tables: Sequence[pa.Table], opts: Options) -> list[Told]:
    """What the columns hold, once for all epochs. Features are centred and scaled alike in all tables, so that their mean square over
    the rows of the first is 1. Raises OptionError where a column is missing."""
    for table in tables:
        if "teacher" not in table.column_names:
            raise OptionError(NO_TEACHER)
        if opts.features and "teacher_features" not in table.column_names:
            raise OptionError("This teacher gives no features for a hint; leave out --set method.features.")
    outputs = [matrix(table, "teacher") for table in tables]
    if not opts.features:
        return [Told(found, None) for found in outputs]
    features = [matrix(table, "teacher_features") for table in tables]
    centre = features[0].mean(0)
    size = (features[0] - centre).square().mean().sqrt().clamp(min=1e-6)
    return [Told(found, (seen - centre) / size) for found, seen in zip(outputs, features, strict=True)]


def matrix(table: pa.Table, column: str) -> Tensor:
    """float32 [n, k] of a column of lists that are equally long."""
    lists = table[column].combine_chunks()
    return torch.tensor(lists.flatten().to_numpy(zero_copy_only=False), dtype=torch.float32).reshape(len(lists), -1)


@torch.no_grad()
def mapping(net: Net, width: int) -> nn.Linear:
    """From the student's pooled features to the teacher's width. Leaves the net in eval mode, for the engine sets its modes before it
    learns. Raises OptionError where a row of features a word or token is pooled by the head alone."""
    where = next(net.parameters()).device
    blank = {key: value.to(where) for key, value in net.prepare.blank().items()}
    pooled = net.eval().advance(blank, 0, net.pooled)["x"]
    if pooled.ndim != 2:
        raise OptionError(
            "A hint needs pooled features, and this head pools tokens itself; leave out method.features, or --pool attention."
        )
    return nn.Linear(pooled.shape[1], width).to(where)


def objective(task: Task, opts: Options, told: dict[str, Told], extras: nn.ModuleDict | None) -> Callable[[Net, dict[str, Batch]], Tensor]:
    """(1 - share) * loss of the labels + share * soft loss [+ features * hint]; the soft loss and the hint are means over the rows of
    all streams. A batch of images that were mixed raises OptionError."""
    soft = SOFT.get(task.schema.target)

    def loss(net: Net, batches: dict[str, Batch]) -> Tensor:
        rows, parts = sum(len(batch.rows) for batch in batches.values()), []
        for name, batch in batches.items():
            outputs, features = both(net, batch)
            if name == "train":
                if task.schema.target == "class" and batch.targets.ndim == 2:
                    raise OptionError(MIXED)
                parts.append((1 - opts.share) * task.loss(outputs, batch.targets, smoothing=opts.smoothing))
            said, weight = told[name].outputs[batch.rows].to(outputs.device), len(batch.rows) / rows
            part = distillation.numbers(outputs, said) if soft is None else soft(outputs, said, opts.temperature)
            parts.append(opts.share * weight * part)
            if extras is not None:
                seen = told[name].features[batch.rows].to(outputs.device)
                parts.append(opts.features * weight * distillation.hint(extras["hint"](features), seen, opts.hint))
        return torch.stack(parts).sum()

    return loss


def both(net: Net, batch: Batch) -> tuple[Tensor, Tensor]:
    """(outputs [n, k], pooled features [n, width]) of one pass."""
    state = net.advance(batch.inputs, batch.start, net.pooled)
    outputs = net.head(state["x"], state["mask"]) if getattr(net.head, "takes_mask", False) else net.head(state["x"])
    return outputs, state["x"]
