"""Passes through frozen prefixes: each sample once, kept on disk, and read back wherever it is needed again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Net, State
from ..data.streams import PLAIN, Streams
from . import choice, prefix
from .device import Machine
from .journal import Journal
from .store import Shelf, Store, row_key
from .ways import SHORT, Way

MEMORY_MB = 1500.0
"""States up to this size are held in memory; larger ones are read from the store as they are needed."""

Tick = Callable[[int], None]


@dataclass
class Passes:
    """What all passes of a run share. precision: "auto", "exact" or "fast". store: None keeps states in memory alone.
    decided: earlier answers of trials by what they were about, so that a resumed run takes the same ones."""

    streams: Streams
    machine: Machine
    precision: str = "auto"
    store: Store | None = None
    journal: Journal = field(default_factory=Journal)
    decided: dict[str, str] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _loose: dict[str, "Loose"] = field(default_factory=dict)
    _forms: choice.Forms | None = None

    def fits(self, nbytes: int) -> bool:
        """Whether states of so many bytes can be kept at all."""
        return nbytes <= MEMORY_MB * 2**20 or (self.store is not None and self.store.fits(nbytes))

    def kept(
        self, net: Net, stop: int, table: pa.Table, views: Sequence[int] = (PLAIN,), exact: bool = False, tick: Tick = lambda n: None
    ) -> "Kept":
        """The states at depth `stop` of every row of the table in each of the views; only what the store lacks is computed.

        exact: float32 whatever the precision says, for rows that are scored. tick(rows) is called as they are done.
        """
        digest = prefix.digest(net, stop)
        if self._forms is None:
            self._forms = choice.Forms(self.store)
        rule = choice.by_rule(net, stop, len(table) * len(views), self.machine, "exact" if exact else self.precision, self._forms, digest)
        job = _Job(self, net, stop, digest, table, tick)
        way, why = rule.short or rule.exact, rule.reason
        if rule.tried:
            way, why = self._tried(rule, job)
        if not exact:
            self._tell(stop, way, why)
        return job.run(way, [(row, view) for view in views for row in range(len(table))], len(views))

    def _tried(self, rule: choice.Choice, job: "_Job") -> tuple[Way, str]:
        """The bfloat16 way if a trial on the first view bears it out. What the trial computes is kept, so little is lost."""
        about = f"frozen passes to depth {job.stop}"
        if about in self.decided:
            return (rule.short if self.decided[about] == rule.short.name else rule.exact), "as it was decided when the run began"
        rows = choice.spread(len(job.table))
        wanted, seconds = [(int(row), PLAIN) for row in rows], []
        found = []
        for way in (rule.exact, rule.short):
            began = time.perf_counter()
            found.append(job.run(way, wanted, 1, (fresh := [])).take(np.arange(len(rows))))
            seconds.append((time.perf_counter() - began) if len(fresh) and fresh[0] == len(rows) else None)
        targets = self.streams.encode(job.table)[torch.from_numpy(rows)]
        faster = seconds[0] / seconds[1] if None not in seconds else None
        good, why = choice.verdict(*found, targets, faster)
        way = rule.short if good else rule.exact
        self.decided[about] = way.name
        return way, why

    def _tell(self, stop: int, way: Way, why: str) -> None:
        about = f"frozen passes to depth {stop}"
        if about not in self._said:
            self._said.add(about)
            self.journal.decide(about, way.name, why, "--precision exact|fast")


@dataclass
class _Job:
    """One net, depth and table, of which rows are asked for."""

    passes: Passes
    net: Net
    stop: int
    digest: str
    table: pa.Table
    tick: Tick

    def run(self, way: Way, wanted: list[tuple[int, int]], views: int, computed: list[int] | None = None) -> "Kept":
        """`wanted` in the order (view, row); states by their positions on a shelf. The number computed is appended to `computed`."""
        streams = self.passes.streams
        contents, texts = streams.digests(self.table), {view: streams.view(view) for view in {view for _, view in wanted}}
        keys = [row_key(contents[row], texts[view]) for row, view in wanted]
        shelf = self._shelf(way)
        missing = np.flatnonzero(shelf.find(keys) < 0)
        # Row by row, so that an image is decoded once for all its views.
        missing = missing[np.argsort([wanted[i][0] for i in missing], kind="stable")]
        self.tick(len(wanted) - len(missing))
        if computed is not None:
            computed.append(len(missing))
        if len(missing):
            shelf = self._fill(way, shelf, keys, wanted, missing)
        positions = shelf.find(keys).reshape(views, -1)
        return Kept(shelf, positions)

    def _shelf(self, way: Way) -> "Shelf | Loose":
        key = choice.key(self.digest, way)
        if self.passes.store is None:
            return self.passes._loose.setdefault(key, Loose())
        about = {
            "body": self.net.origin.name, "depth": self.stop, "size": self.net.prepare.size, "dtype": str(way.dtype).removeprefix("torch."),
            "way": way.name,
        }  # fmt: skip
        return self.passes.store.shelf(key, about)

    def _fill(self, way: Way, shelf: "Shelf | Loose", keys: list[bytes], wanted: list, missing: np.ndarray) -> "Shelf | Loose":
        jobs = [wanted[i] for i in missing]
        done = 0
        streams = self.passes.streams
        for state in way.states((streams.makers if way.own else streams.pixels)(self.table, jobs, way.batch)):
            n = len(next(iter(state.values())))
            own = [keys[i] for i in missing[done : done + n]]
            if not shelf.add(own, state):
                shelf = self._rescue(shelf, keys)
                shelf.add(own, state)
            done += n
            self.tick(n)
        if not shelf.flush():
            self._warn(shelf)
        return shelf

    def _warn(self, shelf: Shelf) -> None:
        self.passes.journal.write("note", level="warning", text=shelf.trouble, count=0, files=[])

    def _rescue(self, shelf: Shelf, keys: list[bytes]) -> "Loose":
        """The disk gives out on the way: what is there goes on in memory."""
        self._warn(shelf)
        loose, positions = Loose(), shelf.find(keys)
        there = np.flatnonzero(positions >= 0)
        if len(there):
            loose.add([keys[i] for i in there], shelf.take(positions[there]))
        return loose


class Loose:
    """What Shelf does, in memory, for where there is no disk to keep things on."""

    def __init__(self):
        self._numbers: dict[bytes, int] = {}
        self._parts: list[State] = []
        self._rows = 0

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        return np.array([self._numbers.get(key, -1) for key in keys], np.int64)

    def add(self, keys: Sequence[bytes], state: State) -> bool:
        for key in keys:
            self._numbers.setdefault(key, self._rows)
            self._rows += 1
        self._parts.append(state)
        return True

    def take(self, positions: np.ndarray) -> State:
        if len(self._parts) > 1:
            self._parts = [{key: torch.cat([part[key] for part in self._parts]) for key in self._parts[0]}]
        with torch.inference_mode(False):
            return {key: value[torch.from_numpy(np.asarray(positions))].clone() for key, value in self._parts[0].items()}

    def flush(self) -> bool:
        return True


class Kept:
    """States of a table's rows, [views, n] positions on a shelf; held in memory where they are small."""

    def __init__(self, shelf: "Shelf | Loose", positions: np.ndarray):
        self._shelf, self._positions, self._held = shelf, positions, None
        if self.nbytes <= MEMORY_MB * 2**20:
            self._held = [_full(shelf.take(row)) for row in positions]

    def __len__(self) -> int:
        return self._positions.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all states in float32."""
        one = self._shelf.take(self._positions[0, :1])
        return self._positions.size * 4 * sum(value.numel() for value in one.values())

    @property
    def in_memory(self) -> bool:
        return self._held is not None

    def take(self, rows: np.ndarray | Tensor, view: int = 0) -> State:
        """float32 states of these rows, in that order."""
        index = rows if isinstance(rows, Tensor) else torch.from_numpy(np.asarray(rows, np.int64))
        if self._held is not None:
            return {key: value[index] for key, value in self._held[view].items()}
        return _full(self._shelf.take(self._positions[view][index.numpy()]))


def _full(state: State) -> State:
    return {key: value.float() if value.dtype == SHORT else value for key, value in state.items()}


class Rows:
    """Pooled features that are larger than memory: `rows[a:b]` or `rows[index]` -> float32 [m, width], read when asked for."""

    def __init__(self, kept: Kept):
        self._kept = kept
        self.shape = (len(kept), kept.take(np.arange(1))["x"].shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        index = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else np.asarray(rows)
        return self._kept.take(index)["x"].numpy()
