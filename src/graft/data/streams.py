"""Streams of batches from a table of image files: decoded by threads ahead of time, kept in memory, always the same."""

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Batch, Prepare, Stream, name_column
from ..errors import DataError
from . import images, order
from .augment import Augment
from .mix import mix
from .targets import encoder
from .workers import Workers

Job = tuple[Tensor, Tensor, str, np.random.Generator | None]
"""A batch's inputs, the place of one image in them, its path, and the generator of its augmentation (None: centre crop)."""

PLAIN = -1
"""The view that scoring sees: the centre crop. Views from 0 up are augmented."""


class Streams:
    """Batches for training and scoring.

    encode(table) -> targets, as `Task.encode`. classes: how many, needed where class targets are mixed. column: the
    column of paths; label: that of labels, without which rows have targets of zeros. threads: that decode and augment.
    memory_mb: for decoded images, shrunk to prepare.resize or cropped; first come until it is full, the others are decoded each
    time they are drawn.

    A batch is a pure function of (seed, tag, its number): whatever the threads, whatever is in memory, whatever was
    drawn before. Each image's augmentation has its own generator, and the threads run torch on one core each.
    """

    def __init__(
        self,
        prepare: Prepare,
        encode: Callable[[pa.Table], Tensor],
        augment: Augment,
        seed: int,
        classes: int = 0,
        column: str = "path",
        threads: int = 2,
        memory_mb: float = 1500,
        label: str = "label",
    ):
        self.prepare, self.encode, self.augment, self.seed, self.classes = prepare, encoder(encode, label), augment, seed, classes
        self.column, self.label = column, label
        self._threads, self._room = max(1, threads), memory_mb * 2**20
        self._kept: dict[tuple[str, bool], np.ndarray] = {}
        self._digests: dict[str, bytes] = {}
        self._lock, self._workers = threading.Lock(), None

    def __enter__(self) -> "Streams":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads (after the images they are at) and forgets the images. A later call begins anew."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        with self._lock:
            self._room += sum(image.nbytes for image in self._kept.values())
            self._kept.clear()

    def steps(self, stream: Stream) -> int:
        """Batches of an epoch."""
        return order.steps(stream)

    def groups(self, stream: Stream, classes: np.ndarray | None, *tag: str | int) -> list[np.ndarray]:
        """Row numbers of each batch of one epoch, view after view; see order.batches."""
        return [np.tile(rows, stream.views) for rows in order.batches(stream, classes, self.seed, *tag)]

    def cells(self, table: pa.Table) -> np.ndarray:
        """How long each row [n] is: images are all alike."""
        return np.zeros(len(table), np.int64)

    def epoch(self, stream: Stream, tag: tuple[str | int, ...]) -> Iterator[Batch]:
        """One epoch in random order; another tag, another epoch. Two streams of one phase need different tags.

        inputs: float32 [n, 3, size, size], normalised, channels_last; augmented and mixed where stream.augment.
        stream.balanced draws classes equally often (class targets only; ignored for others), with as many rows as the
        table has. The last batch may be smaller; one of a single row is joined to the one before, for BatchNorm.
        Raises DataError, naming the path, for a file that cannot be decoded any more.
        """
        if not len(stream.table):
            return
        targets = self.encode(stream.table)
        hard = targets.ndim == 1 and not targets.is_floating_point()
        groups = self.groups(stream, targets.numpy() if hard else None, *tag)
        augment = stream.augment and self.augment.active
        jobs = self._jobs(stream.table, groups, tag if augment else None)
        for number, batch in enumerate(self._batches(jobs, groups, targets)):
            if augment and self.augment.mixes:
                options, rng = self.augment.options, order.generator(self.seed, "mix", *tag, number)
                inputs, mixed = mix(batch.inputs, batch.targets, rng, options.mixup, options.cutmix, self.classes)
                batch = Batch(inputs, mixed, batch.rows)
            yield replace(batch, views=stream.views)

    def plain(self, table: pa.Table, batch: int = 64) -> Iterator[Batch]:
        """The whole table in its order: centre crops, nothing random. Raises DataError as `epoch` does."""
        if not len(table):
            return
        groups = np.split(np.arange(len(table)), range(batch, len(table), batch))
        yield from self._batches(self._jobs(table, groups, None), groups, self.encode(table))

    def digests(self, table: pa.Table) -> list[bytes]:
        """16 bytes for each row that change when its file's content does. Raises DataError for a file that cannot be read."""
        paths = table.column(self.column).to_pylist()
        new = list(dict.fromkeys(path for path in paths if path not in self._digests))
        workers = self._running()
        for path, future in [(path, workers.submit(_digest, path)) for path in new]:
            self._digests[path] = future.result()
        return [self._digests[path] for path in paths]

    def inputs(self, table: pa.Table, wanted: Sequence[tuple[int, int]], batch: int) -> Iterator[Tensor]:
        """uint8 [batch, size, size, 3] of (row, view) pairs in their order; the last batch may be smaller.

        A view is drawn from its number, the seed and the file's content alone, so it is the same in every table and run.
        Raises DataError, naming the path, for a file that cannot be decoded or is no longer what `digests` saw.
        """
        paths, size, workers, waiting = table.column(self.column).to_pylist(), self.prepare.size, self._running(), deque()
        groups = [wanted[first : first + batch] for first in range(0, len(wanted), batch)]
        self.digests(table)

        def begin(group: Sequence[tuple[int, int]]) -> None:
            with torch.inference_mode(False):
                made = torch.empty((len(group), size, size, 3), dtype=torch.uint8)
            jobs = [workers.submit(self._draw, place, paths[row], view) for place, (row, view) in zip(made.numpy(), group)]
            waiting.append((made, jobs))

        try:
            for group in groups[:AHEAD]:
                begin(group)
            for number in range(len(groups)):
                made, jobs = waiting.popleft()
                for job in jobs:
                    job.result()
                if number + AHEAD < len(groups):
                    begin(groups[number + AHEAD])
                yield made
        finally:
            for _, jobs in waiting:
                for job in jobs:
                    job.cancel()

    def makers(self, table: pa.Table, wanted: Sequence[tuple[int, int]], batch: int) -> Iterator[Callable[[], Tensor]]:
        """What makes the batches of `inputs`, each in the thread that calls it."""
        paths, size = table.column(self.column).to_pylist(), self.prepare.size
        self.digests(table)

        def make(group: Sequence[tuple[int, int]]) -> Tensor:
            with torch.inference_mode(False):
                made = torch.empty((len(group), size, size, 3), dtype=torch.uint8)
            for place, (row, view) in zip(made.numpy(), group, strict=True):
                self._draw(place, paths[row], view)
            return made

        for first in range(0, len(wanted), batch):
            yield partial(make, wanted[first : first + batch])

    def _draw(self, place: np.ndarray, path: str, view: int) -> None:
        if view == PLAIN:
            place[...] = images.crop(path, self.prepare, self._content(path))
            return
        rng = order.generator(self.seed, "view", self._digests[path].hex(), view)
        image = torch.from_numpy(self._decoded(path, False)).permute(2, 0, 1)
        place[...] = self.augment.image(image, rng, self.prepare.size).permute(1, 2, 0).numpy()

    def _content(self, path: str) -> bytes | None:
        """The file's bytes, which must still be those that were digested; None where nothing was."""
        if path not in self._digests:
            return None
        content = _read(path)
        if _short(content) != self._digests[path]:
            raise DataError(f"'{path}' changed while it was being learnt from; begin anew when the data are still.")
        return content

    def _running(self) -> Workers:
        if self._workers is None:
            self._workers = Workers(self._threads)
        return self._workers

    def _jobs(self, table: pa.Table, groups: list[np.ndarray], tag: tuple[str | int, ...] | None) -> Iterator[Job]:
        paths, size, drawn = table.column(self.column).to_pylist(), self.prepare.size, {}
        for rows in groups:
            # The threads write into it, and what is made in a consumer's inference mode could not be written to elsewhere.
            with torch.inference_mode(False):
                inputs = torch.empty((len(rows), 3, size, size), memory_format=torch.channels_last)
            for place, row in zip(inputs, rows.tolist(), strict=True):
                # A row that balancing draws again is augmented in another way each time.
                drawn[row] = drawn.get(row, -1) + 1
                rng = None if tag is None else order.generator(self.seed, "augment", *tag, row, drawn[row])
                yield inputs, place, paths[row], rng

    def _batches(self, jobs: Iterator[Job], groups: list[np.ndarray], targets: Tensor) -> Iterator[Batch]:
        """Batches from images that the threads make ahead: while one batch is learnt from, the next are decoded."""
        workers, waiting = self._running(), deque()
        ahead = max(32, min(2 * len(groups[0]), 128))
        try:
            for rows in groups:
                for _ in rows:
                    while len(waiting) <= ahead and (job := next(jobs, None)) is not None:
                        waiting.append((job[0], workers.submit(self._fill, *job[1:])))
                    inputs, future = waiting.popleft()
                    future.result()
                index = torch.from_numpy(rows)
                yield Batch(inputs, targets[index], index)
        finally:
            for _, future in waiting:
                future.cancel()

    def _fill(self, place: Tensor, path: str, rng: np.random.Generator | None) -> None:
        # Everything to the last division happens here, on one core: on the whole batch, torch would use all cores, and
        # its threads would wait on those that decode.
        image = torch.from_numpy(self._decoded(path, rng is None)).permute(2, 0, 1)
        if rng is not None:
            image = self.augment.image(image, rng, self.prepare.size)
        place.copy_(images.normalise(image[None], self.prepare)[0])

    def _decoded(self, path: str, plain: bool) -> np.ndarray:
        """The centre crop, or the whole image shrunk for augmentation."""
        image = self._kept.get((path, plain))
        if image is None:
            image = (images.crop if plain else images.small)(path, self.prepare, self._content(path))
            with self._lock:
                if (path, plain) not in self._kept and image.nbytes <= self._room:
                    self._kept[path, plain] = image
                    self._room -= image.nbytes
        return image


def names(table: pa.Table, rows: Iterable[int], column: str = "path") -> list[str]:
    """What names these rows for people: their paths, or where there are none, the cells of `column`."""
    cells = table.column(name_column(table, column))
    return [str(cells[int(row)].as_py()) for row in rows]


def named(view: int, augment: Augment, seed: int) -> str:
    """What decides how a view differs from the sample, in words: it names the activations that are kept of it."""
    return "plain" if view == PLAIN else f"{replace(augment.options, preset='', views=0)} seed {seed} view {view}"


AHEAD = 6
"""Batches of `inputs` that are being decoded while the first of them is used."""


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read ({error.strerror or error}); put it back, or remove it from the data.") from error


def _short(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


def _digest(path: str) -> bytes:
    return _short(_read(path))
