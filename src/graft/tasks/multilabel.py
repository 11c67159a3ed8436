"""Any number of labels for each sample."""

import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Schema, Task
from ..errors import DataError, nearest
from ..metrics import multilabel as metrics
from . import head
from .head import Options

__all__ = ["Options", "task"]


def task(schema: Schema, options: Options) -> Task:
    """One sigmoid for each of `schema.classes`, binary cross-entropy; scored by mean average precision.

    Raises DataError for no classes, and OptionError for options that are unknown or do not go together.
    """
    if not schema.classes:
        raise DataError("There are no labels to learn; give at least one row a label.")
    numbers = {name: i for i, name in enumerate(schema.classes)}

    def encode(table: pa.Table) -> Tensor:
        targets = torch.zeros(table.num_rows, len(numbers))
        for row, labels in enumerate(table.column(schema.label).to_pylist()):
            for label in _named(table, schema, row, labels):
                if label not in numbers:
                    path = table.column(schema.input)[row].as_py()
                    raise DataError(
                        f"{path} has the label '{label}', which is none of the {len(numbers)} known.{nearest(str(label), schema.classes)}"
                    )
                targets[row, numbers[label]] = 1.0
        return targets

    return Task(
        name="multilabel",
        schema=schema,
        encode=encode,
        loss=loss,
        decode=decode,
        metrics=metrics.scores,
        primary="mean_average_precision",
        **head.fields(options, "labels", len(numbers)),
    )


def loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of logits [n, k] against targets [n, k] in [0, 1], the mean over rows and labels.

    smoothing in [0, 1): targets move that far towards 1/2. weights [k]: what a label's positive rows count.
    """
    soft = targets.float() * (1 - smoothing) + smoothing / 2
    weights = None if weights is None else weights.to(outputs.device, torch.float32)
    return F.binary_cross_entropy_with_logits(outputs.float(), soft, pos_weight=weights)


def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
    """Probabilities float32 [n, k] = sigmoid(outputs / temperature)."""
    return (outputs.float() / temperature).sigmoid()


def _named(table: pa.Table, schema: Schema, row: int, labels: list[str] | None) -> list[str]:
    if labels is None:
        raise DataError(f"{table.column(schema.input)[row].as_py()} has no list of labels; give an empty one if none applies.")
    return labels
