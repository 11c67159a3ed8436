"""What is to be learnt: the head, the loss and the scores, for one schema."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from .data import Data, Schema
from .phase import Batch, Solution


@dataclass(frozen=True)
class Task:
    """Plain functions, so that a task is a value.

    head(width) -> nn.Module: [n, width] pooled features to [n, outputs].
    pool: a mode of graft.heads.pool; "words" and "tokens" leave a row a word or token, and the head maps each.
    layers: names or numbers of the stages whose features are used, empty for the last.
    solve(features float32 [n, width], targets, seed) -> Solution, or None where the head is trained by gradient descent. With the
        keyword `like`, the `chosen` of an earlier solution, a solver that can takes over what was chosen there instead of searching again.
    encode(table) -> targets: int64 [n] ("class"), float32 [n, k] ("labels"), float32 [n, 1] standardised ("number").
    loss(outputs, targets, smoothing=0.0, weights=None) -> scalar mean; takes soft class targets [n, k] too. Where it has an attribute
        of_net(net, batch, smoothing=0.0), that is used instead: for a loss that must know what the net reads.
    decode(outputs, temperature=1.0) -> probabilities [n, k], or numbers [n, 1] in the target's own unit.
    metrics(decoded [n, k], targets) -> {name: float}, numpy in, pure; `targets` as `encode` gives them.
    primary: the metric that selects and headlines; higher: whether more is better.
    trainable: whether the head can be trained by gradient descent (an RBF SVM or k-NN head cannot).
    summarise(outputs, batch) -> float32 [n, m] on the CPU: rows of one width that decode, metrics and the run's files take, for
        a net that gives a row a token; None where the outputs are such rows.
    expand(data, prepare) -> Data: rows as the net needs them (windows of long contexts, blocks of running text), made once the
        splits have their roles; None where they are already.
    calibrated: whether probabilities are divided by a temperature that is fitted.
    config: JSON, enough to build the same task again with `catalog.resolve("task", name)(schema, Options(**config))`.
    """

    name: str
    schema: Schema
    head: Callable[[int], nn.Module]
    encode: Callable[[pa.Table], Tensor]
    loss: Callable[..., Tensor]
    decode: Callable[..., Tensor]
    metrics: Callable[[np.ndarray, np.ndarray], dict[str, float]]
    primary: str
    higher: bool = True
    pool: str = "auto"
    layers: tuple[str | int, ...] = ()
    solve: Callable[[np.ndarray, np.ndarray, int], Solution] | None = None
    trainable: bool = True
    summarise: Callable[[Tensor, Batch], Tensor] | None = None
    expand: Callable[[Data, Any], Data] | None = None
    calibrated: bool = True
    config: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Earlier:
    """A task that the body learnt before, whose head stands in `Net.earlier`. table: its rows that may be shown again, labelled;
    empty where none are kept or their files are gone. learnt: how many rows it learnt from."""

    task: Task
    table: pa.Table
    learnt: int = 0
