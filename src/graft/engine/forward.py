"""The outputs of a whole net without learning, in float32 and eval mode, from images or from kept states."""

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import torch
from torch import Tensor

from ..core import Batch, Net
from .device import Machine
from .passes import Kept, Passes


@torch.inference_mode()
def outputs(net: Net, batches: Iterable[Batch], machine: Machine, tick: Callable[[int], None] = lambda n: None) -> Tensor:
    """The head's outputs [n, k] of all batches, float32, on the CPU."""
    net.eval()
    parts = []
    for batch in batches:
        parts.append(net(machine.place(batch.inputs), batch.start).float().to("cpu"))
        tick(len(batch.rows))
    joined = torch.cat(parts)
    with torch.inference_mode(False):
        return joined.clone()


def slices(kept: Kept, targets: Tensor, start: int, size: int = 256) -> Iterator[Batch]:
    """Batches in order out of kept states at depth `start`."""
    for first in range(0, len(targets), size):
        rows = torch.arange(first, min(first + size, len(targets)))
        yield Batch(kept.take(rows), targets[rows], rows, start)


def scored(passes: Passes, net: Net, table: pa.Table, depth: int) -> Tensor:
    """The outputs [n, k] of a table that is scored: always in float32, the frozen part (the first `depth` steps) from what is kept."""
    if depth == 0:
        return outputs(net, passes.streams.plain(table), passes.machine)
    kept = passes.kept(net, depth, table, exact=True)
    return outputs(net, slices(kept, passes.streams.encode(table), depth), passes.machine)
