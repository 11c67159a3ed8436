"""Where a phase's batches come from: images, or states that are kept because what made them is constant."""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import torch

from ..core import Batch, Net, Phase, Stream
from ..data.streams import PLAIN
from . import forward
from .passes import Kept, Passes, Rows


class Feed:
    """start: the depth of the batches it gives (0 for images); see engine.prefix.

    epoch(run, phase, number) gives {stream name: Batch} for every step; the longest stream makes the epoch and shorter ones
    begin anew. plain(table) gives batches in order, without augmentation, for scoring. Where states of augmented views are
    kept, each epoch takes the next view of every image.
    """

    def __init__(self, passes: Passes, net: Net, phase: Phase, start: int, tick: Callable[[int], None]):
        self.passes, self.streams, self.net, self.phase, self.start = passes, passes.streams, net, phase, start
        self._tick, self._kept = tick, {}

    @property
    def steps(self) -> int:
        return max(self.streams.steps(stream) for stream in self.phase.streams.values())

    def epoch(self, run: str, phase: int, number: int) -> Iterator[dict[str, Batch]]:
        names = sorted(self.phase.streams)
        once = lambda name, again: self._once(name, number + again, (run, phase, number, name, again))  # noqa: E731
        rounds, running = dict.fromkeys(names, 0), {name: once(name, 0) for name in names}
        for _ in range(self.steps):
            step = {}
            for name in names:
                batch = next(running[name], None)
                if batch is None:
                    rounds[name] += 1
                    running[name] = once(name, rounds[name])
                    batch = next(running[name])
                step[name] = batch
            yield step

    def prepare(self) -> None:
        """Computes what is to be kept of all streams now, so that the first epoch's time is its own."""
        if self.start:
            for stream in self.phase.streams.values():
                self._states(stream.table, self._views(stream))

    def plain(self, table: pa.Table) -> Iterator[Batch]:
        if self.start == 0:
            return self.streams.plain(table)
        return forward.slices(self._states(table), self.streams.encode(table), self.start, table)

    def features(self, table: pa.Table) -> tuple[np.ndarray | Rows, np.ndarray]:
        """Pooled features [n, width] and encoded targets of a table; needs a fully frozen body. Features that are too large
        for memory are read when they are asked for."""
        kept, targets = self._states(table), self.streams.encode(table).numpy()
        return (kept.take(np.arange(len(kept)))["x"].numpy() if kept.in_memory else Rows(kept)), targets

    def _once(self, name: str, number: int, tag: tuple) -> Iterator[Batch]:
        stream = self.phase.streams[name]
        return self.streams.epoch(stream, tag) if self.start == 0 else self._kept_epoch(stream, number, tag)

    def _kept_epoch(self, stream: Stream, number: int, tag: tuple) -> Iterator[Batch]:
        views, targets = self._views(stream), self.streams.encode(stream.table)
        kept = self._states(stream.table, views)
        classes = targets.numpy() if targets.ndim == 1 else None
        for rows in self.streams.groups(stream, classes, *tag):
            index = torch.from_numpy(rows)
            states = [kept.take(part, (number - 1 + i) % len(views)) for i, part in enumerate(index.chunk(stream.views))]
            state = states[0] if len(states) == 1 else {key: torch.cat([one[key] for one in states]) for key in states[0]}
            yield Batch(state, targets[index], index, self.start, views=stream.views)

    def _views(self, stream: Stream) -> tuple[int, ...]:
        augment = self.streams.augment
        return tuple(range(augment.options.views)) if stream.augment and augment.active else (PLAIN,)

    def _states(self, table: pa.Table, views: tuple[int, ...] = (PLAIN,)) -> Kept:
        # The table's identity is enough as a key: a Feed lives for one phase and keeps the tables alive.
        key = (id(table), views)
        if key not in self._kept:
            self._kept[key] = (self.passes.kept(self.net, self.start, table, views, tick=self._tick), table)
        return self._kept[key][0]
