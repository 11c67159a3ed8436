"""Streams of batches from a table of texts: tokenized once, batches of like lengths, always the same."""

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..core import Batch, State, Stream, TextPrepare
from . import order
from .augment import Augment, Options
from .targets import encoder
from .tokens import Tokenizer, Tokens, collate

STEP = 16
"""Texts that are run together are padded to the next multiple of so many tokens, so that shapes are few."""
EVEN = 2
"""The same of texts that are learnt from or scored. The rows of a product are all tokens of a batch, so one text need not fill a
register; on rt_polarity multiples of 8 are a tenth more tokens (docs/benchmarks.md)."""
POOL = 50
"""Batches whose rows are sorted by length among themselves: the shortest path to little padding that still draws at random."""


class Texts:
    """Batches for training and scoring, as graft.data.streams.Streams gives them for images.

    encode(table) -> targets, as `Task.encode`; rows without labels have targets of zeros. column: of the texts (strings, or lists
    of words); a column "window" or "context" is a second text, and a column "ids" holds tokens already. Texts are not augmented.

    A batch is a pure function of (seed, tag, its number).
    """

    def __init__(self, prepare: TextPrepare, encode: Callable[[pa.Table], Tensor], seed: int, column: str = "text", label: str = "label"):
        self.prepare, self.seed, self.column, self.label = prepare, seed, column, label
        self.encode = encoder(encode, label)
        self.augment, self.tokenizer = Augment(Options("none")), Tokenizer(prepare)
        self._known: dict[bytes, Tokens] = {}
        self._tables: dict[int, tuple[pa.Table, list[bytes]]] = {}

    def __enter__(self) -> "Texts":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Forgets the tokens. A later call begins anew."""
        self._known, self._tables = {}, {}

    def steps(self, stream: Stream) -> int:
        """Batches of an epoch."""
        return order.steps(stream)

    def groups(self, stream: Stream, classes: np.ndarray | None, *tag: str | int) -> list[np.ndarray]:
        """Row numbers of each batch of an epoch: shuffled, then sorted by length within pools of some batches, whose order is drawn."""
        drawn = order.batches(stream, classes, self.seed, *tag)
        lengths, found = self._lengths(stream.table), []
        for first in range(0, len(drawn), POOL):
            pool = np.concatenate(drawn[first : first + POOL])
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            sizes = np.cumsum([len(batch) for batch in drawn[first : first + POOL]])[:-1]
            found += np.split(pool, sizes)
        return [np.tile(found[i], stream.views) for i in order.generator(self.seed, "batches", *tag).permutation(len(found))]

    def epoch(self, stream: Stream, tag: tuple[str | int, ...]) -> Iterator[Batch]:
        """One epoch in random order; another tag, another epoch. inputs: the state at depth 0, see data.tokens.collate."""
        if not len(stream.table):
            return
        targets, tokens = self.encode(stream.table), self.tokens(stream.table)
        hard = targets.ndim == 1 and not targets.is_floating_point()
        for rows in self.groups(stream, targets.numpy() if hard else None, *tag):
            index = torch.from_numpy(rows)
            yield Batch(self._joined([tokens[row] for row in rows]), targets[index], index, views=stream.views)

    def plain(self, table: pa.Table, batch: int = 64) -> Iterator[Batch]:
        """The whole table, the shortest texts first; `rows` says which they are."""
        if not len(table):
            return
        targets, tokens = self.encode(table), self.tokens(table)
        by_length = np.argsort(self._lengths(table), kind="stable")
        for first in range(0, len(table), batch):
            rows = by_length[first : first + batch]
            index = torch.from_numpy(rows)
            yield Batch(self._joined([tokens[row] for row in rows]), targets[index], index, table=table)

    def tokens(self, table: pa.Table) -> list[Tokens]:
        """The tokens of every row; a text that stands in several tables is tokenized once."""
        digests = self.digests(table)
        new = [row for row in dict(zip(reversed(digests), reversed(range(len(digests))))).values() if digests[row] not in self._known]
        if new:
            for row, made in zip(new, self._tokenize(table.take(pa.array(new, pa.int64()))), strict=True):
                self._known[digests[row]] = made
        return [self._known[digest] for digest in digests]

    def _tokenize(self, table: pa.Table) -> list[Tokens]:
        if "ids" in table.column_names:
            held = [np.array(ids, np.int32) for ids in table.column("ids").to_pylist()]
            return [Tokens(ids, np.zeros((len(ids), 2), np.int32)) for ids in held]
        texts, second = table.column(self.column).to_pylist(), self._second(table)
        if second is not None:
            return self.tokenizer.pairs(texts, table.column(second).to_pylist(), whole=second == "window")
        return self.tokenizer.words(texts) if pa.types.is_list(table.schema.field(self.column).type) else self.tokenizer.texts(texts)

    def _second(self, table: pa.Table) -> str | None:
        return next((name for name in ("window", "context") if name in table.column_names), None)

    def digests(self, table: pa.Table) -> list[bytes]:
        """16 bytes for each row that change with its text."""
        kept = self._tables.get(id(table))
        if kept is None or kept[0] is not table:
            names = ["ids"] if "ids" in table.column_names else [self.column, *filter(None, [self._second(table)])]
            columns = [table.column(name).to_pylist() for name in names]
            self._tables[id(table)] = kept = table, [_digest(row) for row in zip(*columns)]
        return kept[1]

    def _lengths(self, table: pa.Table) -> np.ndarray:
        """How many tokens the rows [n] have."""
        return np.array([len(one) for one in self.tokens(table)], np.int64)

    def cells(self, table: pa.Table) -> np.ndarray:
        """How many tokens the rows [n] have, padded for a frozen pass: the next multiple of STEP, or the most the body reads."""
        lengths = self._lengths(table)
        return np.minimum(np.maximum(-(-lengths // STEP) * STEP, STEP), max(self.prepare.most, int(lengths.max(initial=1))))

    def inputs(self, table: pa.Table, wanted: Sequence[tuple[int, int]], batch: int) -> Iterator[State]:
        """States at depth 0 of (row, view) pairs that have equally many cells, in their order; the last batch may be smaller."""
        tokens, cells = self.tokens(table), self.cells(table)
        for first in range(0, len(wanted), batch):
            rows = [row for row, _ in wanted[first : first + batch]]
            yield collate([tokens[row] for row in rows], self.prepare.pad, int(cells[rows[0]]), int(cells[rows[0]]))

    def makers(self, table: pa.Table, wanted: Sequence[tuple[int, int]], batch: int) -> Iterator[State]:
        return self.inputs(table, wanted, batch)

    def _joined(self, tokens: list[Tokens]) -> State:
        """Padded to a multiple of EVEN."""
        longest = max(len(one) for one in tokens)
        return collate(tokens, self.prepare.pad, min(-(-longest // EVEN) * EVEN, max(self.prepare.most, longest)))


def _digest(row: tuple) -> bytes:
    return hashlib.blake2b("\x1e".join(_spell(part) for part in row).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _spell(part: object) -> str:
    return "\x1f".join(str(one) for one in part) if isinstance(part, list) else str(part)
