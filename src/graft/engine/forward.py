"""Passes without learning: states at a depth, and the outputs of a whole net. Always float32 and eval mode."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from ..core import Batch, Net, State
from .device import Machine


@torch.inference_mode()
def states(net: Net, batches: Iterable[Batch], stop: int, machine: Machine, tick: Callable[[int], None] = lambda n: None) -> State:
    """The states at depth `stop` of all batches, joined row by row, on the CPU. tick(rows) is called after each batch."""
    net.eval()
    parts: list[State] = []
    for batch in batches:
        state = net.advance(machine.place(batch.inputs), batch.start, stop)
        parts.append({key: value.to("cpu") for key, value in state.items()})
        tick(len(batch.rows))
    joined = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    # Tensors made in inference mode may not enter a graph; a clone made outside of it may.
    with torch.inference_mode(False):
        return {key: value.clone() for key, value in joined.items()}


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


def slices(state: State, targets: Tensor, start: int, size: int = 256) -> Iterator[Batch]:
    """Batches in order out of kept states."""
    for first in range(0, len(targets), size):
        part = {key: value[first : first + size] for key, value in state.items()}
        yield Batch(part, targets[first : first + size], torch.arange(first, min(first + size, len(targets))), start)
