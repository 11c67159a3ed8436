"""Streams of batches from a table of image files: decoded by threads ahead of time, kept in memory, always the same."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Batch, Prepare, Stream
from . import images, order
from .augment import Augment
from .mix import mix
from .workers import Workers

Job = tuple[Tensor, Tensor, str, np.random.Generator | None]
"""A batch's inputs, the place of one image in them, its path, and the generator of its augmentation (None: centre crop)."""


class Streams:
    """Batches for training and scoring.

    encode(table) -> targets, as `Task.encode`. classes: how many, needed where class targets are mixed. column: the
    column of paths. threads: that decode and augment. memory_mb: for decoded images, shrunk to prepare.resize; first come
    until it is full, the others are decoded each time they are drawn.

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
    ):
        self.prepare, self.encode, self.augment, self.seed, self.classes, self.column = prepare, encode, augment, seed, classes, column
        self._threads, self._room = max(1, threads), memory_mb * 2**20
        self._kept: dict[str, np.ndarray] = {}
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
        n = len(stream.table)
        # As order.batches cuts: a last batch of one row is joined to the one before.
        return -(-n // stream.batch) - int(n > stream.batch and (n - 1) % stream.batch == 0)

    def files(self, table: pa.Table, rows: Iterable[int]) -> list[str]:
        """The paths of these rows."""
        column = table.column(self.column)
        return [column[int(row)].as_py() for row in rows]

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
        groups = order.batches(stream, targets.numpy() if hard else None, self.seed, *tag)
        augment = stream.augment and self.augment.active
        jobs = self._jobs(stream.table, groups, tag if augment else None)
        for number, batch in enumerate(self._batches(jobs, groups, targets)):
            if augment and self.augment.mixes:
                options, rng = self.augment.options, order.generator(self.seed, "mix", *tag, number)
                inputs, mixed = mix(batch.inputs, batch.targets, rng, options.mixup, options.cutmix, self.classes)
                batch = Batch(inputs, mixed, batch.rows)
            yield batch

    def plain(self, table: pa.Table, batch: int = 64) -> Iterator[Batch]:
        """The whole table in its order: centre crops, nothing random. Raises DataError as `epoch` does."""
        if not len(table):
            return
        groups = np.split(np.arange(len(table)), range(batch, len(table), batch))
        yield from self._batches(self._jobs(table, groups, None), groups, self.encode(table))

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
        if self._workers is None:
            self._workers = Workers(self._threads)
        workers, waiting = self._workers, deque()
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
        image = self._shrunk(path)
        if rng is None:
            image = images.centre(image, self.prepare)
        else:
            image = self.augment.image(torch.from_numpy(image).permute(2, 0, 1), rng, self.prepare.size)
        place.copy_(images.normalise(image[None], self.prepare)[0])

    def _shrunk(self, path: str) -> np.ndarray:
        image = self._kept.get(path)
        if image is None:
            image = images.small(path, self.prepare)
            with self._lock:
                if path not in self._kept and image.nbytes <= self._room:
                    self._kept[path] = image
                    self._room -= image.nbytes
        return image
