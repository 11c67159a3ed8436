"""What the methods that learn from a labelled source and an unlabelled target share: the head they start from, and the phase."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import log

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from ..core import Batch, Data, Group, Net, Phase, Schedule, Solution, Stream, Task
from ..data import order
from ..errors import OptionError
from ..losses.adversarial import ramp
from ..metrics import label_free
from . import coral, groups, recipe

SEEN = 20_000
"""Rows, evenly spaced, whose mean and spread standardise the features."""
STEPS = 1000
"""Of the adaptation where `epochs` does not say otherwise: on features that are kept they take seconds."""
ROUNDS = 200
"""Epochs at most, on such features."""


@dataclass(frozen=True, kw_only=True)
class Options(recipe.Training):
    """weight: of the loss that draws the domains together, beside the source's own.
    bottleneck: width of the head's hidden layer, in which they are drawn together; None is 256, as in most of the papers, or twice
        the classes where that is more: the layer must hold the solved head that it starts as. Hidden layers of task.hidden stay.
    freeze: "all": only the head adapts, on features that are computed once; the name of a stage lets those above it learn too.
    lr: of the last stage that learns. head_lr: None is ten times as much, for the head and for what plays against it.
    epochs: None gives about 1000 steps within 10 to 200 (60 where a stage learns or images are augmented).
    head_epochs: of a head that is trained instead of solved, before.
    batch: 64 rows of each domain: what is compared are distributions, and 32 rows show less of them.
    augment: None augments where a stage learns, and not where everything is frozen, so that features can be kept.
    smoothing: 0, so that the start and what comes of it have one loss.
    validator: what chooses the epoch, of the start and those after it, without labels of the target: "information" (mutual
        information of the target's rows and predictions) or "nuclear" (nuclear norm of their probabilities). To each, the accuracy on the
        selecting rows of the source is added, so that a target that looks in order is not bought with a source that is lost.
        Of two pairs of PACS domains with MobileNetV2 either kept an epoch about as good as the last or better; soft neighbourhood
        density kept collapsed ones, so it is not offered.
    standardise: each feature of the source is first given the target's mean and spread (AdaBN's idea on features, Li et al., 2017), and
        the head is solved anew on that; only where everything is frozen. The source's own score then says nothing of an epoch and
        is left out of the choice.
    """

    weight: float = 1.0
    bottleneck: int | None = None
    freeze: str | int | None = "all"
    head_epochs: int = 100
    batch: int = 64
    augment: bool | None = None
    smoothing: float = 0.0
    validator: str = "information"
    standardise: bool = False

    @property
    def own_length(self) -> bool:
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validator not in VALIDATORS:
            raise OptionError(f"method.validator = {self.validator} is not one of {', '.join(VALIDATORS)}.")
        if not 0 <= self.weight <= 1000:
            raise OptionError(f"method.weight = {self.weight} is outside 0 to 1000; try --set method.weight=1.")


VALIDATORS: dict[str, Callable[[np.ndarray, int], float]] = {
    "information": lambda outputs, k: label_free.information(outputs) / log(k),
    "nuclear": lambda outputs, k: label_free.nuclear_norm(outputs),
}
"""Each within 0 and 1."""


@dataclass(frozen=True)
class Side:
    """One domain in a step: features [n, width] of the head's hidden layer, and the outputs [n, k] they lead to."""

    features: Tensor
    outputs: Tensor


Align = Callable[[Side, Side, float, nn.ModuleDict], Tensor]
"""align(source, target, strength from 0 to 1, extras) -> the loss that is added, a scalar."""


def adapt(
    name: str, net: Net, task: Task, data: Data, opts: Options, align: Align, *,
    build: Callable[[int, int], dict[str, nn.Module]] = lambda width, classes: {}, stream: Stream | None = None,
    before: Callable[[Batch], Batch] = lambda batch: batch,
) -> Iterator[Phase]:  # fmt: skip
    """First the head on the source, which is solved and then put into a hidden layer without changing what it says; then source and
    target together. The start is a candidate, so what is kept is never worse than it by the validator.

    build(width of the hidden layer, classes) -> modules that learn beside the net. stream: of the target, where it is not a
    plain one. before: changes a batch of the target before the net sees it.
    """
    target = check(name, net, task, data)
    frozen = groups.depth(net, opts.freeze)
    augment = frozen < len(net.stages) if opts.augment is None else opts.augment
    plain = task.solve is not None and not net.head.config["hidden"]
    if opts.standardise and (augment or frozen < len(net.stages) or not plain):
        raise OptionError(
            "method.standardise needs frozen features and a solved head; leave out --freeze, --head and hidden layers, or it."
        )
    yield from start(net, task, data, target, opts)
    if opts.standardise:
        yield standardised(net, task, data, target)
    streams = {"train": recipe.stream(data, opts, augment), "target": stream or Stream(target, opts.batch, augment)}
    most = ROUNDS if frozen == len(net.stages) and not augment else 60
    count = recipe.epochs(opts, max(len(one.table) * opts.batch // one.batch for one in streams.values()), STEPS, low=10, high=most)
    rate = opts.head_lr or 10 * opts.lr
    where = net.head.final.weight
    extras = nn.ModuleDict({**build(where.shape[1], where.shape[0]), "clock": Clock(count * max(map(order.steps, streams.values())))})
    if opts.standardise:
        extras["units"] = Units([*net.head.body, net.head.final][0].in_features)
    extras = extras.to(where.device)
    beside = tuple(f"extras.{name}" for name, _ in extras.named_parameters())
    who = groups.layerwise(net, opts.lr, opts.decay, opts.weight_decay, frozen) + groups.head(net, rate, opts.weight_decay)
    who += (Group("beside", beside, rate, opts.weight_decay),) if beside else ()

    def objective(live: Net, batches: dict[str, Batch]) -> Tensor:
        given, told = recipe.features(live, batches["train"]), recipe.features(live, before(batches["target"]))
        source, other = side(live, extras["units"](given, told) if opts.standardise else given), side(live, told)
        own = task.loss(source.outputs, batches["train"].targets, smoothing=opts.smoothing)
        return own + opts.weight * align(source, other, ramp(extras["clock"].done), extras)

    yield Phase(
        name, streams, count, who, objective, frozen, extras=extras, after_step=tick, schedule=Schedule(opts.schedule, opts.warmup),
        optimizer=opts.optimizer, clip=opts.clip, ema=opts.ema, patience=opts.patience, seconds=opts.seconds, watch=target,
        judge=judge(task, opts.validator, not opts.standardise),
    )  # fmt: skip


def check(name: str, net: Net, task: Task, data: Data) -> pa.Table:
    """The target's rows. Raises OptionError where there are none, or where the task or its head is not made for this."""
    recipe.check_trainable(task, name)
    if task.schema.target != "class":
        raise OptionError(f"Method '{name}' needs one class for each sample; use --method adabn or lp_ft for these labels.")
    if task.config.get("mix") or task.config.get("pool") == "attention":
        raise OptionError(f"Method '{name}' needs one vector a sample; leave out task.mix, and --pool attention.")
    return recipe.target_of(name, data)


def start(net: Net, task: Task, data: Data, target: pa.Table, opts: Options) -> Iterator[Phase]:
    """The head on frozen features of the source, with a hidden layer for the domains to meet in. What it says of the target is kept,
    as what adaptation has to beat."""
    everything = len(net.stages)
    if not net.head.config["hidden"]:
        least = 2 * net.head.final.out_features
        if opts.bottleneck is not None and opts.bottleneck < least:
            raise OptionError(f"method.bottleneck = {opts.bottleneck} is too narrow; give {least} units or more, two for each class.")
        solve = bottleneck(net.head, task.solve, opts.bottleneck or max(256, least))
        solved = Phase("source", {"train": Stream(data.train)}, solve=solve, frozen=everything, watch=target)
        yield solved if task.solve is not None else replace(solved, name="bottleneck", watch=None)
        if task.solve is not None:
            return
    who = groups.head(net, opts.head_lr or 10 * opts.lr, opts.weight_decay)
    learnt = recipe.phase("source", task, data, opts, who, frozen=everything, count=opts.head_epochs, augment=False)
    yield replace(learnt, watch=target)


def bottleneck(like: nn.Module, solve: Callable[..., Solution] | None, width: int) -> Callable[..., Solution]:
    """solve(features, targets, seed) -> the head that `solve` finds (or one that knows nothing), with a hidden layer of `width` units.

    Two units for each class hold relu(z / s) and relu(-z / s), from which s (relu(z / s) - relu(-z / s)) gives the logit z again; the
    others look along random directions of the standardised features and say nothing yet. like: a head of hidden layers' kind.
    """

    def solved(features: np.ndarray, targets: np.ndarray, seed: int) -> Solution:
        found = solve(features, targets, seed) if solve is not None else Solution(like)
        sizes = {name: value for name, value in like.config.items() if name != "kind"}
        head = type(like)(**sizes | {"hidden": (width,), "activation": "relu"})
        seen = features[np.unique(np.linspace(0, len(features) - 1, min(len(features), SEEN)).round().astype(int))]
        mean, spread = (torch.from_numpy(np.asarray(value, np.float32)) for value in (seen.mean(0), seen.std(0)))
        spread = torch.where(spread > 1e-6 * spread.max(), spread, torch.ones(()))
        draws = torch.randn(width, len(mean), generator=torch.Generator().manual_seed(seed)) * (2 / len(mean)) ** 0.5 / spread
        with torch.no_grad():
            first, final = head.body[0], head.final
            first.weight.copy_(draws), first.bias.copy_(-draws @ mean)
            final.weight.zero_(), final.bias.zero_()
            if solve is not None:
                _hold(first, final, found.head.final, torch.from_numpy(np.asarray(seen, np.float32)))
        return replace(found, head=head)

    return solved


def _hold(first: nn.Linear, final: nn.Linear, linear: nn.Linear, seen: Tensor) -> None:
    """Put the linear head into the first units of the hidden layer, scaled to the size of the others."""
    scale = linear(seen).std(0).clamp(min=1e-3) / 2**0.5 if len(seen) > 1 else torch.ones(len(linear.weight))
    for k, size in enumerate(scale):
        for unit, sign in ((2 * k, 1.0), (2 * k + 1, -1.0)):
            first.weight[unit], first.bias[unit] = sign * linear.weight[k] / size, sign * linear.bias[k] / size
            final.weight[k, unit] = sign * size


def standardised(net: Net, task: Task, data: Data, target: pa.Table) -> Phase:
    """The head with a hidden layer again, solved on source features that have the target's mean and spread."""

    def solve(features: np.ndarray, targets: np.ndarray, seed: int, target: np.ndarray) -> Solution:
        again = bottleneck(net.head, task.solve, net.head.config["hidden"][0])
        return again(coral.standardise(features, target), targets, seed)

    return Phase(
        "standardised", {"train": Stream(data.train), "target": Stream(target)}, solve=solve, frozen=len(net.stages), watch=target
    )  # fmt: skip


def side(net: Net, x: Tensor) -> Side:
    """The hidden layer and the outputs of features."""
    hidden = net.head.body(x)
    return Side(hidden, net.head.final(hidden))


class Units(nn.Module):
    """Features [n, width] of the source with the mean and spread that those of the target have had so far: the moments of each domain are
    means over all batches that were seen. They are buffers of the phase's extras, so that a resumed run goes on from them."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("moments", torch.zeros(2, 2, width))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            now = torch.stack([torch.stack([x.float().mean(0), x.float().square().mean(0)]) for x in (source, target)])
            self.seen += 1
            self.moments += (now - self.moments) / self.seen
        (mean, square), (wanted, other) = self.moments
        spread, scale = ((s - m * m).clamp(min=0).sqrt() for m, s in ((mean, square), (wanted, other)))
        by = torch.where(spread > 1e-3 * (1e-6 + mean.abs()), scale / spread.clamp(min=1e-12), torch.zeros(()).to(spread))
        return (source - mean) * by + wanted


class Clock(nn.Module):
    """How much of the training is done. Its count is a buffer of the phase's extras, so that a resumed run goes on from there."""

    def __init__(self, steps: int):
        super().__init__()
        self.steps = max(steps, 1)
        self.register_buffer("step", torch.zeros(()))

    @property
    def done(self) -> float:
        return min(1.0, float(self.step) / self.steps)


def tick(net: Net, extras: nn.ModuleDict, step: int) -> None:
    """After each step."""
    extras["clock"].step.fill_(step)


def judge(task: Task, validator: str, source: bool = True) -> Callable[[Tensor, dict[str, float]], float]:
    """The number by which an epoch is chosen; see Options.validator. source: whether the source's own score counts."""
    look = VALIDATORS[validator]
    return lambda outputs, scores: look(outputs.numpy(), outputs.shape[1]) + (scores.get(task.primary, 0.0) if source else 0.0)
