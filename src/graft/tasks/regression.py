"""A number for each sample."""

from collections.abc import Callable
from math import isfinite

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional as F

from ..core import Schema, Task
from ..errors import DataError
from ..metrics import regression as metrics
from . import head
from .head import Options

__all__ = ["Options", "task"]


def task(schema: Schema, options: Options) -> Task:
    """A number, learnt as (value - schema.centre) / schema.spread with the smooth L1 loss, scored by the mean absolute error
    in the target's own unit.

    Raises DataError where the spread is not positive, and OptionError for options that are unknown or do not go together.
    """
    if not schema.spread > 0:
        raise DataError("All the numbers to learn are equal; there is nothing to predict, so check the label column.")
    centre, spread = schema.centre, schema.spread

    def encode(table: pa.Table) -> Tensor:
        values = table.column(schema.label).to_pylist()
        for row, value in enumerate(values):
            if value is None or not isfinite(value):
                raise DataError(
                    f"{table.column(schema.input)[row].as_py()} has no finite number as its label; add one, or take the row out."
                )
        return ((torch.tensor(values, dtype=torch.float64) - centre) / spread).float()[:, None]

    def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
        """Numbers float32 [n, 1] in the target's unit; a temperature has no meaning here and is not used."""
        return (outputs.double() * spread + centre).float()

    return Task(
        name="regression",
        schema=schema,
        encode=encode,
        loss=loss,
        decode=decode,
        metrics=Scores(centre, spread),
        primary="mae",
        higher=False,
        **head.fields(options, "number", 1),
    )


def loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> Tensor:
    """Mean smooth L1 of standardised numbers [n, 1]: squared within one standard deviation, linear beyond it, so that a few
    wrong labels do not rule (Huber, 1964). smoothing and class weights have no meaning for numbers and are not used."""
    return F.smooth_l1_loss(outputs.float(), targets.float())


class Scores:
    """graft.metrics.regression of decoded numbers against targets as `encode` gives them (standardised)."""

    def __init__(self, centre: float, spread: float):
        self.centre, self.spread = centre, spread

    def __call__(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        return metrics.scores(decoded, self._own(targets))

    def prepare(self, decoded: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
        return metrics.prepare(decoded, self._own(targets))

    def _own(self, targets: np.ndarray) -> np.ndarray:
        return np.asarray(targets, np.float64) * self.spread + self.centre
