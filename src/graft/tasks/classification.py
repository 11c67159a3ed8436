"""One label for each sample."""

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Schema, Task
from ..errors import DataError, nearest
from ..metrics import classification as metrics
from . import head
from .head import Options

__all__ = ["Options", "task"]


def task(schema: Schema, options: Options) -> Task:
    """Softmax over `schema.classes`, cross-entropy; scored by accuracy and by what graft.metrics.classification adds.

    Raises DataError for fewer than two classes, and OptionError for options that are unknown or do not go together.
    """
    if len(schema.classes) < 2:
        raise DataError(f"There are {len(schema.classes)} classes to tell apart; give at least two.")
    numbers = {name: i for i, name in enumerate(schema.classes)}

    def encode(table: pa.Table) -> Tensor:
        labels = table.column(schema.label).to_pylist()
        strange = next((row for row, label in enumerate(labels) if label not in numbers), None)
        if strange is not None:
            raise DataError(_strange(table, schema, strange, labels[strange]))
        return torch.tensor([numbers[label] for label in labels], dtype=torch.int64)

    return Task(
        name="classification",
        schema=schema,
        encode=encode,
        loss=loss,
        decode=decode,
        metrics=metrics.scores,
        primary="accuracy",
        **head.fields(options, "class", len(numbers)),
    )


def loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits [n, k] against class numbers [n] or soft targets [n, k], a scalar.

    smoothing in [0, 1): that much of each target is spread over all classes (Szegedy et al., 2016). weights [k]: what a
    class counts. The mean is over rows, not over weights, so that micro-batches add up to exactly their whole batch.
    """
    weights = None if weights is None else weights.to(outputs.device, torch.float32)
    return F.cross_entropy(outputs.float(), targets, weight=weights, label_smoothing=smoothing, reduction="none").mean()


def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
    """Probabilities float32 [n, k] = softmax(outputs / temperature)."""
    return (outputs.float() / temperature).softmax(1)


def _strange(table: pa.Table, schema: Schema, row: int, label: str | None) -> str:
    path = table.column(schema.input)[row].as_py()
    if label is None:
        return f"{path} has no label; add one, or take the row out."
    return f"{path} has the label '{label}', which is none of the {len(schema.classes)} classes.{nearest(str(label), schema.classes)}"
