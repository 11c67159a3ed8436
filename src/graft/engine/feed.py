"""Where a phase's batches come from: images, or states that are kept because what made them is constant."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import torch

from ..core import Batch, Net, Phase, State, Stream
from ..data import order
from ..data.streams import Streams
from . import forward
from .device import Machine


class Feed:
    """start: the depth of the batches it gives (0 for images); see engine.prefix.

    epoch(tag) gives {stream name: Batch} for every step; the longest stream makes the epoch and shorter ones begin anew.
    plain(table) gives batches in order, without augmentation, for scoring.
    """

    def __init__(self, streams: Streams, net: Net, phase: Phase, machine: Machine, start: int, seed: int, tick: Callable[[int], None]):
        self.streams, self.net, self.phase, self.machine, self.start, self.seed = streams, net, phase, machine, start, seed
        self._tick, self._kept = tick, {}

    @property
    def steps(self) -> int:
        return max(self.streams.steps(stream) for stream in self.phase.streams.values())

    def epoch(self, *tag: str | int) -> Iterator[dict[str, Batch]]:
        names = sorted(self.phase.streams)
        rounds, running = dict.fromkeys(names, 0), {name: self._once(name, (*tag, name, 0)) for name in names}
        for _ in range(self.steps):
            step = {}
            for name in names:
                batch = next(running[name], None)
                if batch is None:
                    rounds[name] += 1
                    running[name] = self._once(name, (*tag, name, rounds[name]))
                    batch = next(running[name])
                step[name] = batch
            yield step

    def plain(self, table: pa.Table) -> Iterator[Batch]:
        if self.start == 0:
            return self.streams.plain(table)
        state, targets = self._states(table)
        return forward.slices(state, targets, self.start)

    def features(self, table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Pooled features [n, width] and encoded targets of a table; needs a fully frozen body."""
        state, targets = self._states(table)
        return state["x"].numpy(), targets.numpy()

    def _once(self, name: str, tag: tuple) -> Iterator[Batch]:
        stream = self.phase.streams[name]
        return self.streams.epoch(stream, tag) if self.start == 0 else self._kept_epoch(stream, tag)

    def _kept_epoch(self, stream: Stream, tag: tuple) -> Iterator[Batch]:
        state, targets = self._states(stream.table)
        classes = targets.numpy() if targets.ndim == 1 else None
        for rows in order.batches(stream, classes, self.seed, *tag):
            index = torch.from_numpy(rows)
            yield Batch({key: value[index] for key, value in state.items()}, targets[index], index, self.start)

    def _states(self, table: pa.Table) -> tuple[State, torch.Tensor]:
        # The table's identity is enough as a key: a Feed lives for one phase and keeps the tables alive.
        if id(table) not in self._kept:
            state = forward.states(self.net, self.streams.plain(table), self.start, self.machine, self._tick)
            self._kept[id(table)] = (state, self.streams.encode(table), table)
        return self._kept[id(table)][:2]
