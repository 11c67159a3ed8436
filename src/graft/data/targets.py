"""Targets of tables that may have no labels."""

from collections.abc import Callable
from functools import partial

import pyarrow as pa
import torch
from torch import Tensor

Encode = Callable[[pa.Table], Tensor]


def encoder(encode: Encode, label: str) -> Encode:
    """`encode`, or zeros [n] for a table without the column `label`."""
    return partial(_encode, encode=encode, label=label)


def _encode(table: pa.Table, encode: Encode, label: str) -> Tensor:
    return encode(table) if label in table.column_names else torch.zeros(len(table))
