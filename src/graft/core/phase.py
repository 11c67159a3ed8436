"""What a method asks of the engine, and what the engine answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from .backbone import State


@dataclass(frozen=True)
class Group:
    """Parameters, by their names in `net.named_parameters()` (or "extras.NAME"), that learn at one rate.

    lr: peak rate. weight_decay: decoupled (AdamW) or classic (SGD); the engine never decays vectors (biases, norms).
    """

    name: str
    parameters: tuple[str, ...]
    lr: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Stream:
    """Rows to draw batches from. augment: training-time augmentation as the run's options say. balanced: classes drawn
    equally often. batch: the effective batch; memory may force smaller micro-batches, never another schedule. views: each row
    of a batch stands in it so many times, each augmented anew: all rows in their first view, then all in their second. Rows
    without labels (a table without the label's column) have targets of zeros."""

    table: pa.Table
    batch: int = 32
    augment: bool = False
    balanced: bool = False
    views: int = 1


@dataclass(frozen=True)
class Batch:
    """inputs: tensor [n, 3, h, w], or a State at depth `start`. targets as `task.encode` gives them, soft when mixed.
    rows: row numbers [n] in the stream's table; table: that table, in batches that are scored. views: of the stream; n counts
    every view."""

    inputs: Tensor | State
    targets: Tensor
    rows: Tensor
    start: int = 0
    table: pa.Table | None = None
    views: int = 1


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over the fraction `warmup` of the steps, then "cosine" to zero, "linear" to zero, or "constant"."""

    kind: str = "cosine"
    warmup: float = 0.1


@dataclass(frozen=True)
class Solution:
    """A head found in one go. head: the module. outputs: out-of-fold outputs [n, k] for the rows it learnt from, which
    calibrate and stand as the selection score. chosen: what inner cross-validation chose, for the journal. rows: the numbers
    [m], rising, of the rows that `outputs` [m, k] are for; None for all."""

    head: nn.Module
    outputs: np.ndarray | None = None
    chosen: dict = field(default_factory=dict)
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class Phase:
    """A stretch of training: who learns (`groups`), on what (`streams`), for what (`objective`), how long (`epochs`).

    frozen: how many stages, from the first, are constant: no gradient, eval mode, bit-identical afterwards. Every
    parameter that is in no group is constant too. Without groups nothing learns by gradient, but the running statistics of
    stages that are not frozen move.
    objective(net, {stream name: Batch}) -> scalar loss. The stream "train" is required; the longest stream makes an epoch.
    solve: set instead of groups and objective: solve(features, targets, seed) on the pooled features of "train"; the features
        [n, width] of every other stream come as a keyword argument of its name.
    extras: modules that learn or change beside the net (a discriminator, a teacher); they are checkpointed.
    after_step(net, extras, step) runs after each optimizer step.
    optimizer: "adamw" or "sgd" (momentum 0.9, Nesterov). clip: largest gradient norm, 0 for none. ema: decay of the
    averaged weights that are evaluated and kept, 0 for none. patience: epochs without a better selection score before
    the phase stops, 0 for never. keep: "best" epoch on the selecting rows, or "last".
    seconds: stop at the end of the epoch in which this much time has passed, and run the schedule by time; None for no limit.
    fresh: the head is drawn and learns, so what the net says before the first epoch is chance, and the start no candidate for "best".
    score: whether each epoch is scored on the selecting rows; False, with keep "last", where the head knows nothing yet.
    watch: rows, with labels or without, whose outputs are computed when the phase has ended and sent back.
    judge: judge(outputs [n, k] on `watch`, selection scores) -> number, higher is better: it says which epoch is best, in place of
        the selection score; for rows of another domain, which have no labels.
    """

    name: str
    streams: Mapping[str, Stream]
    epochs: int = 0
    groups: tuple[Group, ...] = ()
    objective: Callable[[nn.Module, Mapping[str, Batch]], Tensor] | None = None
    frozen: int = 0
    solve: Callable[..., Solution] | None = None
    extras: nn.ModuleDict | None = None
    after_step: Callable[[nn.Module, nn.ModuleDict | None, int], None] | None = None
    schedule: Schedule = Schedule()
    optimizer: str = "adamw"
    clip: float = 1.0
    ema: float = 0.0
    patience: int = 0
    keep: str = "best"
    seconds: float | None = None
    fresh: bool = False
    score: bool = True
    watch: pa.Table | None = None
    judge: Callable[[Tensor, Mapping[str, float]], float] | None = None


@dataclass(frozen=True)
class Trained:
    """The engine's answer to a phase: the net (the same object, now trained), the selection scores of the kept epoch,
    the epoch kept, predict(table) -> outputs [n, k] in eval mode, the outputs on the phase's `watch`, and what a solver chose."""

    net: nn.Module
    scores: Mapping[str, float]
    epoch: int
    predict: Callable[[pa.Table], Tensor]
    watched: Tensor | None = None
    chosen: Mapping = field(default_factory=dict)
