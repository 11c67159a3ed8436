"""What is to be learnt: the head, the loss and the scores, for one schema."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from torch import Tensor, nn

from .data import Schema
from .phase import Solution


@dataclass(frozen=True)
class Task:
    """Plain functions, so that a task is a value.

    head(width) -> nn.Module: [n, width] pooled features to [n, outputs].
    pool: "auto", "avg", "max", "cls" or "flatten"; layers: names or numbers of the stages whose features are used, empty for the last.
    solve(features float32 [n, width], targets, seed) -> Solution, or None where the head is trained by gradient descent.
    encode(table) -> targets: int64 [n] ("class"), float32 [n, k] ("labels"), float32 [n, 1] standardised ("number").
    loss(outputs, targets, smoothing=0.0, weights=None) -> scalar mean; takes soft class targets [n, k] too.
    decode(outputs, temperature=1.0) -> probabilities [n, k], or numbers [n, 1] in the target's own unit.
    metrics(decoded [n, k], targets) -> {name: float}, numpy in, pure; `targets` as `encode` gives them.
    primary: the metric that selects and headlines; higher: whether more is better.
    trainable: whether the head can be trained by gradient descent (an RBF SVM or k-NN head cannot).
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
    config: dict = field(default_factory=dict)
