"""No labels: the features themselves, and whether they still tell samples apart."""

from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Schema, Task
from ..errors import OptionError, nearest
from ..heads.identity import Identity
from ..heads.pool import MODES
from ..metrics import collapse

__all__ = ["SELF_SUPERVISED", "Options", "task"]

SELF_SUPERVISED = ("simclr", "byol", "rotation", "inpaint")
"""The methods of graft whose objective needs no labels."""
POOLS = tuple(mode for mode in MODES if mode not in ("words", "tokens"))


@dataclass(frozen=True)
class Options:
    """pool: "auto" (what the body was trained with), "avg", "max", "cls" or "flatten"; of texts also "last".
    layers: names or numbers of the stages whose pooled features are joined; empty for the last, since what is learnt above a named
        stage would not be looked at.
    """

    pool: str = "auto"
    layers: tuple[str | int, ...] = ()


def task(schema: Schema, options: Options) -> Task:
    """No head: outputs [n, width] are the pooled features, of which graft.metrics.collapse says whether they differ from row to row.

    The objective is the method's own, so `loss` raises OptionError. Not for choosing between bodies: an effective rank compares
    features of one width on the same rows, and what they are worth on a task only labels say. Raises OptionError for a pooling
    that is unknown.
    """
    if options.pool not in POOLS:
        raise OptionError(f"There is no pooling called '{options.pool}'.{nearest(options.pool, POOLS)}")
    return Task(
        name="representation",
        schema=schema,
        head=Identity,
        encode=encode,
        loss=loss,
        decode=decode,
        metrics=metrics,
        primary="effective_rank",
        pool=options.pool,
        layers=tuple(options.layers),
        calibrated=False,
        config={"pool": options.pool, "layers": list(options.layers)},
    )


def encode(table: pa.Table) -> Tensor:
    """Zeros float32 [n]: there is nothing to encode."""
    return torch.zeros(len(table))


def loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, weights: Tensor | None = None) -> NoReturn:
    """Raises OptionError: a method that asks for it needs labels."""
    raise OptionError(f"These data have no labels to learn; use --method {', '.join(SELF_SUPERVISED[:-1])} or {SELF_SUPERVISED[-1]}.")


def decode(outputs: Tensor, temperature: float = 1.0) -> Tensor:
    """The features float32 [n, width] as they are; a temperature has no meaning here and is not used."""
    return outputs.float()


def metrics(decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """effective_rank (1 to the smaller of n and width), spread (0 collapsed, 1 isotropic) and uniformity (below 0, less is better)."""
    return {
        "effective_rank": collapse.effective_rank(decoded),
        "spread": collapse.spread(decoded),
        "uniformity": collapse.uniformity(decoded),
    }
