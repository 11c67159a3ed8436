"""The rows of one key on disk: immutable safetensors segments that are mapped, not read, and a buffer in memory."""

import json
import time
import weakref
from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from ..core import State
from .segment import DTYPES, KEY_BYTES, SUFFIX, Layout, Segment, header, row_bytes, sound, words, write_whole, writer

BUFFER_BYTES, BUFFER_ROWS, BUFFER_SECONDS = 64_000_000, 65_536, 10.0
RESIDENT_BYTES, AROUND_BYTES = 128 * 2**20, 2 * 2**20
"""How much of the maps may be resident before it is let go; how much a system maps around a row that is touched (Linux's largest)."""

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ROW = 2**32 - 1
_OPEN: "weakref.WeakSet[Shelf]" = weakref.WeakSet()


def row_key(content: bytes, view: str) -> bytes:
    """16 bytes (BLAKE2b) that name a row: the sample's own bytes, and how they were looked at (preparation, augmented view)."""
    digest = blake2b(digest_size=KEY_BYTES)
    digest.update(len(view.encode()).to_bytes(8, "little") + view.encode())
    digest.update(content)
    return digest.digest()


def in_use() -> set[Path]:
    """The segments that this process has open, those it wrote among them; a closed shelf's are no longer."""
    return {part.path for shelf in list(_OPEN) for part in shelf._parts if isinstance(part, Segment)}


class _Buffer:
    """Rows that are not on disk yet, in tensors that grow by doubling up to `most` rows."""

    def __init__(self, layout: Layout):
        self.layout, self.rows, self.since = layout, 0, time.monotonic()
        self.most = max(1, min(BUFFER_ROWS, BUFFER_BYTES // row_bytes(layout)))
        self.numbers: dict[bytes, int] = {}
        self.tensors = {name: torch.empty(0, *shape, dtype=DTYPES[dtype]) for name, dtype, shape in layout}

    @property
    def keys(self) -> np.ndarray:
        return np.frombuffer(b"".join(self.numbers), np.uint8).reshape(-1, KEY_BYTES)

    def append(self, keys: Sequence[bytes], state: State) -> None:
        stop, room = self.rows + len(keys), len(next(iter(self.tensors.values())))
        if stop > room:
            room = min(self.most, max(2 * room, stop, 64))
            grown = {name: tensor.new_empty(room, *tensor.shape[1:]) for name, tensor in self.tensors.items()}
            for name, tensor in grown.items():
                tensor[: self.rows] = self.tensors[name][: self.rows]
            self.tensors = grown
        for name, tensor in self.tensors.items():
            tensor[self.rows : stop] = state[name]
        self.numbers.update(zip(keys, range(self.rows, stop), strict=True))
        self.rows = stop

    def save(self, path: Path) -> None:
        keys = torch.from_numpy(self.keys.copy())
        save_file({"keys": keys, **{name: tensor[: self.rows] for name, tensor in self.tensors.items()}}, path)


class _Index:
    """Positions by key: sorted runs, each more than twice as long as the next, so that there are few and adding stays cheap."""

    def __init__(self):
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, keys: np.ndarray, positions: np.ndarray) -> None:
        run = (np.ascontiguousarray(keys).view("S16").reshape(-1), positions)
        while self._runs and len(self._runs[-1][1]) <= 2 * len(run[1]):
            run = tuple(np.concatenate(pair) for pair in zip(self._runs.pop(), run, strict=True))
        order = np.argsort(run[0], kind="stable")
        self._runs.append((run[0][order], run[1][order]))

    def find(self, keys: np.ndarray) -> np.ndarray:
        found = np.full(len(keys), -1, np.int64)
        for known, positions in self._runs:
            missing = np.flatnonzero(found < 0)
            at = np.searchsorted(known, keys[missing]).clip(max=len(known) - 1)
            hit = known[at] == keys[missing]
            found[missing[hit]] = positions[at[hit]]
        return found


def _packed(keys: Sequence[bytes]) -> np.ndarray:
    if any(len(key) != KEY_BYTES for key in keys):
        raise ValueError(f"a row's key has {KEY_BYTES} bytes")
    return np.frombuffer(b"".join(keys), "S16")


class Shelf:
    """States [n, ...] by row, found by the row's key; for one thread at a time, but for any number of processes.

    room(nbytes) -> "" where so many bytes may be written, else one sentence that says why not. trouble: one sentence for
    the user once something could not be kept, else "". Losing a disk's room or permission never raises.
    """

    def __init__(self, folder: Path, about: dict, room: Callable[[int], str] = lambda nbytes: ""):
        self.folder, self.about, self.trouble = folder, about, ""
        self._room, self._layout, self._full, self._resident = room, None, False, 0
        # A position is (number of the part) * 2^32 + row, so that it stays what it is when the buffer becomes a file.
        self._parts: list[Segment | _Buffer] = []
        self._buffer, self._index, self._known, self._warm = None, _Index(), set(), set()
        _OPEN.add(self)
        self.refresh()

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self._parts)

    @property
    def row_bytes(self) -> int:
        """Bytes on disk of one row with its key; 0 as long as there is none."""
        return row_bytes(self._layout) if self._layout else 0

    @property
    def nbytes(self) -> int:
        return self.rows * self.row_bytes

    def find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Positions int64 [n] for `take`, -1 where a row is missing; they hold as long as this object, and mean nothing outside of it."""
        found = self._index.find(_packed(keys))
        if self._buffer is not None:
            base = self._parts.index(self._buffer) << 32
            for i in np.flatnonzero(found < 0).tolist():
                if (row := self._buffer.numbers.get(keys[i])) is not None:
                    found[i] = base + row
        return found

    def add(self, keys: Sequence[bytes], state: State) -> bool:
        """Keep rows (on the CPU) by their keys; those already there stay. False once nothing more can be kept: `trouble` says why."""
        layout = tuple(sorted((name, _NAMES[value.dtype], tuple(value.shape[1:])) for name, value in state.items()))
        if "keys" in state or any(len(value) != len(keys) for value in state.values()):
            raise ValueError("a state has as many rows as there are keys, and no tensor named 'keys'")
        self._layout = self._layout or layout
        if layout != self._layout:
            self.trouble = f"'{self.folder}' holds activations of another shape; remove them with: graft cache --clear activations"
            return False
        first = {key: i for i, (key, position) in enumerate(zip(keys, self.find(keys), strict=True)) if position < 0}
        fresh, start = list(first), 0
        while start < len(fresh) and not self._full:
            if self._buffer is None:
                self._buffer = _Buffer(self._layout)
                self._parts.append(self._buffer)
            piece = fresh[start : start + self._buffer.most - self._buffer.rows]
            rows = torch.tensor([first[key] for key in piece])
            self._buffer.append(piece, {name: value.detach()[rows] for name, value in state.items()})
            start += len(piece)
            if self._buffer.rows == self._buffer.most or time.monotonic() - self._buffer.since > BUFFER_SECONDS:
                self.flush()
        return start == len(fresh)

    def flush(self) -> bool:
        """Make what was added durable and findable by other processes. False where it could not be; this process still has it."""
        buffer = self._buffer
        if buffer is None:
            return True
        path = self.folder / f"{writer()}{SUFFIX}"
        try:
            why = self._room(buffer.rows * self.row_bytes)
            if not why:
                self.folder.mkdir(parents=True, exist_ok=True)
                if not (self.folder / "about.json").exists():
                    write_whole(self.folder / "about.json", lambda part: part.write_text(json.dumps(self.about), encoding="utf-8"))
                write_whole(path, buffer.save)
        except OSError as error:
            why = f"Activations are no longer kept: {words(error, self.folder)}."
        if why:
            self.trouble, self._full = why, True
            return False
        number, self._full, self._buffer = self._parts.index(buffer), False, None
        self._index.add(buffer.keys, (number << 32) + np.arange(buffer.rows))
        self._known.add(path)
        # Without the map, because another process evicted the file at once, the buffer goes on to serve its rows.
        self._parts[number] = self._mapped(path) or buffer
        return True

    def take(self, positions: np.ndarray) -> State:
        """Copies of the rows at `positions` as `find` gives them, in that order and in the dtype stored. Raises IndexError for -1."""
        positions = np.asarray(positions, np.int64)
        if len(positions) and positions.min() < 0:
            raise IndexError("a position of -1 stands for a row that is missing")
        order = None if (np.diff(positions) >= 0).all() else np.argsort(positions, kind="stable")
        walk = positions if order is None else positions[order]
        bounds = [0, *(np.flatnonzero(np.diff(walk >> 32)) + 1).tolist(), len(walk)] if len(walk) else [0]
        # Tensors made in inference mode may not enter a graph.
        with torch.inference_mode(False):
            out = {name: torch.empty(len(walk), *shape, dtype=DTYPES[dtype]) for name, dtype, shape in self._layout or ()}
            for start, stop in pairwise(bounds):
                part, rows = self._parts[walk[start] >> 32], walk[start:stop] & _ROW
                where = slice(start, stop) if order is None else torch.from_numpy(order[start:stop])
                straight = bool((np.diff(rows) == 1).all())
                for name, tensor in part.tensors.items():
                    picked = tensor[rows[0] : rows[-1] + 1] if straight else tensor.index_select(0, torch.from_numpy(rows))
                    out[name][where] = picked
                if isinstance(part, Segment):
                    self._used(part, len(rows), straight)
        return out

    def _used(self, part: Segment, rows: int, straight: bool) -> None:
        """Count the pages that a reading may have made resident, and let go of all when they are many."""
        part.touch()
        self._warm.add(part)
        around = (1 if straight else rows) * AROUND_BYTES * len(part.layout)
        self._resident += min(part.nbytes, rows * self.row_bytes + around)
        if self._resident > RESIDENT_BYTES:
            self.release()

    def refresh(self) -> None:
        """See what other processes have added since. What they removed stays readable here."""
        if self._layout is None:
            good = sound(self.folder)[0]
            self._layout = next((head.layout for head in good.values()), None)
        for path in sorted(set(self.folder.glob(f"*{SUFFIX}")) - self._known):
            if (segment := self._mapped(path)) is not None:
                self._known.add(path)
                self._index.add(segment.keys, (len(self._parts) << 32) + np.arange(segment.rows))
                self._parts.append(segment)
                segment.release()

    def _mapped(self, path: Path) -> Segment | None:
        try:
            with torch.inference_mode(False):
                head = header(path)
                return Segment(path, head) if head is not None and head.layout == self._layout else None
        except (OSError, RuntimeError):
            return None

    def release(self) -> None:
        """Let go of the resident pages of the maps; everything goes on working."""
        for part in self._warm:
            part.release()
        self._warm, self._resident = set(), 0

    def close(self) -> None:
        """Flush, let go of the pages, and no longer keep the store from evicting these segments."""
        self.flush()
        self.release()
        _OPEN.discard(self)
