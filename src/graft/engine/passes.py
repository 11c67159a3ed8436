"""Passes through frozen prefixes: each sample once, kept on disk, and read back wherever it is needed again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Net, State
from ..data import order
from ..data.streams import PLAIN, Streams, named
from . import choice, prefix, ways
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
        cells, rows = self.streams.cells(table), len(table) * len(views)
        mean, precision = order.mean_cells(cells), "exact" if exact else self.precision
        shown = ways.example(net, lambda: self.streams.inputs(table, [(0, PLAIN)], 1))
        rule = choice.by_rule(net, stop, rows, self.machine, precision, self._forms, digest, shown, mean)
        job = _Job(self, net, stop, digest, table, cells, tick)
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
        # What it computes is found, and counted, when the whole table is run.
        job, rows = replace(job, tick=lambda n: None), choice.spread(len(job.table))
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
    cells: np.ndarray
    tick: Tick

    def run(self, way: Way, wanted: list[tuple[int, int]], views: int, computed: list[int] | None = None) -> "Kept":
        """`wanted` in the order (view, row); states by their positions on a shelf. The number computed is appended to `computed`."""
        streams = self.passes.streams
        contents = streams.digests(self.table)
        texts = {view: named(view, streams.augment, streams.seed) for view in {view for _, view in wanted}}
        keys = [row_key(contents[row], texts[view]) for row, view in wanted]
        numbers, positions = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.int64)
        lengths, shelves, fresh = self.cells[[row for row, _ in wanted]], [], 0
        for number, cells in enumerate(np.unique(lengths)):
            some = np.flatnonzero(lengths == cells)
            own, asked = [keys[i] for i in some], [wanted[i] for i in some]
            shelf = self._shelf(way, int(cells))
            missing = np.flatnonzero(shelf.find(own) < 0)
            # Row by row, so that an image is decoded once for all its views.
            missing = missing[np.argsort([asked[i][0] for i in missing], kind="stable")]
            self.tick(len(own) - len(missing))
            fresh += len(missing)
            if len(missing):
                shelf = self._fill(way, shelf, own, asked, missing, int(cells))
            numbers[some], positions[some] = number, shelf.find(own)
            shelves.append(shelf)
        if computed is not None:
            computed.append(fresh)
        return Kept(shelves, numbers.reshape(views, -1), positions.reshape(views, -1))

    def _shelf(self, way: Way, cells: int) -> "Shelf | Loose":
        key = choice.key(self.digest, way, cells)
        if self.passes.store is None:
            return self.passes._loose.setdefault(key, Loose())
        about = {
            "body": self.net.origin.name, "depth": self.stop, "size": self.net.prepare.size, "dtype": str(way.dtype).removeprefix("torch."),
            "way": way.name,
        }  # fmt: skip
        return self.passes.store.shelf(key, about)

    def _fill(self, way: Way, shelf: "Shelf | Loose", keys: list[bytes], wanted: list, missing: np.ndarray, cells: int) -> "Shelf | Loose":
        jobs = [wanted[i] for i in missing]
        done = 0
        streams = self.passes.streams
        for state in way.states((streams.makers if way.own else streams.inputs)(self.table, jobs, way.rows(cells)), cells):
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
    """States of a table's rows: [views, n] numbers of shelves (one for each length of texts) and positions on them; held in memory
    where they are small."""

    def __init__(self, shelves: Sequence["Shelf | Loose"], numbers: np.ndarray, positions: np.ndarray):
        self._shelves, self._numbers, self._positions, self._held = shelves, numbers, positions, None
        if self.nbytes <= MEMORY_MB * 2**20:
            # Where each row is among those of its shelf, and these of each view.
            self._local = np.zeros_like(positions)
            self._held = [self._read(view) for view in range(len(positions))]

    def _read(self, view: int) -> dict[int, State]:
        held = {}
        for number, shelf in enumerate(self._shelves):
            rows = np.flatnonzero(self._numbers[view] == number)
            self._local[view, rows] = np.arange(len(rows))
            if len(rows):
                held[number] = _full(shelf.take(self._positions[view, rows]))
        return held

    def __len__(self) -> int:
        return self._positions.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all states in float32."""
        total = 0
        for number, shelf in enumerate(self._shelves):
            mine = self._positions[self._numbers == number]
            if len(mine):
                total += len(mine) * 4 * sum(value.numel() for value in shelf.take(mine[:1]).values())
        return total

    @property
    def in_memory(self) -> bool:
        return self._held is not None

    def take(self, rows: np.ndarray | Tensor, view: int = 0) -> State:
        """float32 states of these rows, in that order; texts of different lengths are padded to the longest."""
        index = rows.numpy() if isinstance(rows, Tensor) else np.asarray(rows, np.int64)
        numbers = self._numbers[view][index]
        present = np.unique(numbers)
        if len(present) <= 1:
            return self._some(int(present[0]) if len(present) else int(self._numbers[view][0]), view, index)
        found = [(np.flatnonzero(numbers == number), int(number)) for number in present]
        return _padded([(torch.from_numpy(at), self._some(number, view, index[at])) for at, number in found], len(index))

    def _some(self, number: int, view: int, index: np.ndarray) -> State:
        if self._held is not None:
            at = torch.from_numpy(self._local[view, index])
            return {key: value[at] for key, value in self._held[view][number].items()}
        return _full(self._shelves[number].take(self._positions[view][index]))


def _full(state: State) -> State:
    return {key: value.float() if value.dtype == SHORT else value for key, value in state.items()}


def _padded(parts: list[tuple[Tensor, State]], rows: int) -> State:
    """States of one length each as one State of the longest; (places, state) of each."""
    out = {}
    for key, value in parts[0][1].items():
        longest = max(state[key].shape[1] for _, state in parts)
        out[key] = value.new_full((rows, longest, *value.shape[2:]), -1 if key == "words" else 0)
        for places, state in parts:
            out[key][places, : state[key].shape[1]] = state[key]
    return out


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
