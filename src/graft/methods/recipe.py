"""The training options that the methods share, and the phases made of them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import torch

from ..core import Batch, Data, Group, Net, Phase, Schedule, Stream, Task, Trained
from ..errors import OptionError
from . import groups


@dataclass(frozen=True, kw_only=True)
class Training:
    """How to train by gradient descent; each method's Options extend it with its own defaults.

    epochs: None chooses the number that gives about 300 steps, within 8 to 40: small sets need more rounds, and more
        than 300 steps seldom help a pre-trained body.
    lr: peak rate of the last stage. 1e-4 is where AdamW moves a pre-trained body without wrecking it.
    head_lr: peak rate of the head: ten times the body's, because it starts from nothing.
    decay: each stage below learns at this fraction of the rate of the one above it: early features transfer as they are.
    batch: 32 keeps BatchNorm's statistics honest and gives small sets enough steps.
    weight_decay: AdamW's decoupled decay; biases and norms never decay.
    optimizer: "adamw" needs no tuning of the rate across bodies; "sgd" has Nesterov momentum 0.9.
    warmup: fraction of the steps with rising rate: a fresh head's first gradients are large. schedule: "cosine", "linear" or "constant".
    smoothing: label smoothing; 0.1 costs nothing in accuracy and calibrates.
    balance: draw the classes equally often and weigh nothing; for strongly unequal classes.
    patience: epochs without a better selection score before stopping; 0 trains to the end, and keeps the best epoch all the same.
    clip: largest gradient norm: one odd batch must not undo the pre-training.
    ema: decay of the averaged weights that are scored and kept; 0 turns it off. It pays from about 500 steps on.
    augment: whether training images are augmented, as the section [augment] says.
    seconds: stop after the epoch in which this much time has passed, with the schedule run by time; None for no limit.
        A run with a time limit does not resume to the same bits.
    """

    epochs: int | None = None
    lr: float = 1e-4
    head_lr: float | None = None
    decay: float = 0.8
    batch: int = 32
    weight_decay: float = 0.02
    optimizer: str = "adamw"
    warmup: float = 0.1
    schedule: str = "cosine"
    smoothing: float = 0.1
    balance: bool = False
    patience: int = 0
    clip: float = 1.0
    ema: float = 0.0
    augment: bool = True
    seconds: float | None = None

    @property
    def own_length(self) -> bool:
        """Whether `epochs` means something else than rounds of fine-tuning, so that what texts need of those does not hold."""
        return False

    @property
    def limited_phases(self) -> int:
        """How many phases `seconds` limits, one after the other."""
        return 1

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise OptionError(f"method.{name} = {value} is outside {low:g} to {high:g}; try --set method.{name}={_default(name)}.")
        for name, known in (("optimizer", ("adamw", "sgd")), ("schedule", ("cosine", "linear", "constant"))):
            if getattr(self, name) not in known:
                raise OptionError(f"method.{name} = {getattr(self, name)} is not one of {', '.join(known)}.")


_RANGES = (
    ("epochs", 0, 100_000), ("lr", 1e-9, 10), ("head_lr", 1e-9, 10), ("decay", 1e-3, 1), ("batch", 1, 65_536), ("weight_decay", 0, 10),
    ("warmup", 0, 0.9), ("smoothing", 0, 0.9), ("patience", 0, 100_000), ("clip", 0, 1e6), ("ema", 0, 0.99999), ("seconds", 0, 1e7),
)  # fmt: skip


def _default(name: str) -> object:
    return next(f.default for f in Training.__dataclass_fields__.values() if f.name == name)


def epochs(opts: Training, rows: int, steps: int = 300, low: int = 8, high: int = 40) -> int:
    """The user's number, or the one that gives about `steps` steps on `rows` rows, within low..high."""
    if opts.epochs is not None:
        return opts.epochs
    return max(low, min(high, round(steps * opts.batch / max(rows, 1))))


def supervised(task: Task, smoothing: float = 0.0, penalty=None):
    """The objective loss(outputs, targets) [+ penalty(net)] on the stream "train"."""

    def objective(net: Net, batches: dict[str, Batch]) -> torch.Tensor:
        batch, whole = batches["train"], getattr(task.loss, "of_net", None)
        # A language model's loss changes what the net reads, and needs few of its outputs; that of tags asks what the net has read.
        loss = (
            whole(net, batch, smoothing=smoothing)
            if whole
            else task.loss(net(batch.inputs, batch.start), batch.targets, smoothing=smoothing)
        )
        return loss if penalty is None else loss + penalty(net)

    return objective


def stream(data: Data, opts: Training, augment: bool | None = None) -> Stream:
    return Stream(data.train, opts.batch, opts.augment if augment is None else augment, opts.balance)


def phase(
    name: str, task: Task, data: Data, opts: Training, who: tuple[Group, ...], *, frozen: int = 0, count: int | None = None,
    augment: bool | None = None, penalty=None, keep: str = "best",
) -> Phase:  # fmt: skip
    """A supervised phase with the shared options."""
    keep = keep if data.val is not None and len(data.val) else "last"
    return Phase(
        name, {"train": stream(data, opts, augment)}, epochs(opts, len(data.train)) if count is None else count, who,
        supervised(task, opts.smoothing, penalty), frozen, schedule=Schedule(opts.schedule, opts.warmup), optimizer=opts.optimizer,
        clip=opts.clip, ema=opts.ema, patience=opts.patience, keep=keep, seconds=opts.seconds,
    )  # fmt: skip


def head_first(net: Net, task: Task, data: Data, opts: Training, count: int, everything: bool = False) -> Phase:
    """The head alone on frozen features: solved in one go where the task has a solver, else by gradient descent.

    everything: learn from the selecting rows too, which is honest only where nothing that follows selects on them and
    the solver chooses by inner cross-validation.
    """
    if task.solve is not None:
        table = data.learning() if everything else data.train
        return Phase("head", {"train": Stream(table)}, solve=task.solve, frozen=len(net.stages))
    rate = opts.head_lr or 10 * opts.lr
    return phase("head", task, data, opts, groups.head(net, rate, opts.weight_decay), frozen=len(net.stages), count=count, augment=False)


def probe_again(tuned: Trained | None, net: Net, task: Task, data: Data, opts: Training) -> Iterator[Phase]:
    """Where fine-tuning kept its start, the body is the one that was loaded and only the head was learnt, so the head may
    be solved on the selecting rows too: inner cross-validation chooses its strength and stands as its selection score."""
    drawn = data.plan is not None and data.plan.drawn
    if tuned is not None and tuned.epoch == 0 and task.solve is not None and drawn:
        yield replace(head_first(net, task, data, opts, 0, everything=True), name="head, all rows")


def check_trainable(task: Task, method: str) -> None:
    if not task.trainable:
        raise OptionError(
            f"A head of kind '{task.config.get('head')}' cannot learn by gradient descent, which method '{method}' needs; "
            "use --method extract, or --head linear."
        )


def features(net: Net, batch: Batch) -> torch.Tensor:
    """The pooled features [n, width] of a batch."""
    return net.advance(batch.inputs, batch.start, net.pooled)["x"]


def target_of(name: str, data: Data) -> pa.Table:
    """The rows of the target, or else those without labels. Raises OptionError where there are neither."""
    table = data.target if data.target is not None else data.unlabelled
    if table is None or not len(table):
        raise OptionError(f"Method '{name}' needs samples of the domain that counts, without labels; add --target FOLDER.")
    return table
