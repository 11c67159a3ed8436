"""The outputs of a whole net without learning, in float32 and eval mode, from images or from kept states."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pyarrow as pa
import torch
from torch import Tensor

from ..core import Batch, Net
from ..data import order
from . import prefix
from .device import Machine
from .passes import Kept, Passes

Summary = Callable[[Tensor, Batch], Tensor] | None


@torch.inference_mode()
def outputs(
    net: Net, batches: Iterable[Batch], machine: Machine, summarise: Summary = None, tick: Callable[[int], None] = lambda n: None
) -> Tensor:
    """The head's outputs [n, k] of all batches, float32, on the CPU, in the order of their rows (which together are 0 .. n - 1).

    summarise: of the task; then [n, m], and the outputs of a batch are let go before the next one's are computed."""
    net.eval()
    parts, rows, whole = [], [], getattr(summarise, "of_net", None)
    for batch in batches:
        placed = replace(batch, inputs=machine.place(batch.inputs))
        if whole is not None:  # Of a language model the outputs would be too many, so it calls the head itself.
            parts.append(whole(net, placed))
        else:
            found = net(placed.inputs, batch.start)
            parts.append(found.float().to("cpu") if summarise is None else summarise(found, batch))
        rows.append(batch.rows)
        tick(len(batch.rows))
    joined, places = torch.cat(parts), torch.cat(rows)
    with torch.inference_mode(False):
        placed = torch.empty_like(joined)
        placed[places] = joined
        return placed


def slices(kept: Kept, targets: Tensor, start: int, table: pa.Table, size: int = 256) -> Iterator[Batch]:
    """Batches in order out of kept states at depth `start`."""
    for first in range(0, len(targets), size):
        rows = torch.arange(first, min(first + size, len(targets)))
        yield Batch(kept.take(rows), targets[rows], rows, start, table)


def scored(passes: Passes, net: Net, table: pa.Table, frozen: int, summarise: Summary = None) -> Tensor:
    """The outputs [n, k] of a table that is scored: always in float32, the frozen part (the first `frozen` stages; where that is all of
    them, the pooled features) from what is kept."""
    depth = net.pooled if frozen >= len(net.stages) else frozen
    if depth == 0 or (depth < len(net.stages) and prefix.looked_up(net, depth, order.mean_cells(passes.streams.cells(table)))):
        return outputs(net, passes.streams.plain(table), passes.machine, summarise)
    kept = passes.kept(net, depth, table, exact=True)
    return outputs(net, slices(kept, passes.streams.encode(table), depth, table), passes.machine, summarise)
