"""From texts to token ids, and from those to the state that a body of texts begins with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..core import State, TextPrepare
from ..errors import OptionError


@dataclass(frozen=True)
class Tokens:
    """One text, or two. ids: int32 [l], or [l, 50] characters; -1 where there is no token, as only of two texts that are read apart.
    types: int8 [l], 0 for the first text and 1 for the second, where there are two in one. first: int32 [m], the number of each word's
    first token, -1 for a word that was cut off, where words were given. offsets: int32 [l, 2], the first character of each token and the
    one after its last, in its own text; special tokens have (0, 0). cut: how many tokens were left out because the text is longer than
    the body reads."""

    ids: np.ndarray
    offsets: np.ndarray
    types: np.ndarray | None = None
    first: np.ndarray | None = None
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)


class Tokenizer:
    """The tokenizer of a body; texts longer than `prepare.length` tokens are cut at their end, of two the longer unless the
    first is to stay whole. Raises OptionError where the package it needs is not installed."""

    def __init__(self, prepare: TextPrepare):
        self.prepare = prepare

    def texts(self, texts: Sequence[str]) -> list[Tokens]:
        if self.prepare.kind == "characters":
            from .characters import split

            found = [split(text) for text in texts]
            return [self._spelt([word for word, _, _ in one], [place[1:] for place in one]) for one in found]
        return [_read(one) for one in self._plain.encode_batch(list(texts))]

    def words(self, rows: Sequence[Sequence[str]]) -> list[Tokens]:
        """Texts that are split into words already; offsets are those inside each word."""
        if self.prepare.kind == "characters":
            return [self._spelt(list(words), [(0, len(word)) for word in words], len(words)) for words in rows]
        found = self._words.encode_batch([list(words) for words in rows], is_pretokenized=True)
        return [_read(one, words=len(words)) for words, one in zip(rows, found, strict=True)]

    def pairs(self, first: Sequence[str], second: Sequence[str], whole: bool = False) -> list[Tokens]:
        """Two texts in one, as the body was trained to read them, or by turns where it reads them apart (core.apart); whole: of texts
        that are too long only the second is cut. Raises OptionError for a body that reads characters and not apart."""
        if self.prepare.apart and not whole:
            return [_by_turns(*two, self.prepare.pad) for two in zip(self.texts(first), self.texts(second), strict=True)]
        if self.prepare.kind == "characters":
            raise OptionError("This body reads one text at a time; use one that reads two, for example --backbone minilm.")
        made = self._whole if whole else self._plain
        if not whole and not made.num_special_tokens_to_add(True):
            # As of GPT-2: nothing would say where one text ends and the other begins.
            second = [f"\n{text}" for text in second]
        return [_read(one, types=True) for one in made.encode_batch(list(zip(first, second, strict=True)))]

    def text_of(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self._plain.decode([int(one) for one in ids])

    @cached_property
    def _plain(self):
        return self._make(self.prepare.tokenizer, "longest_first")

    @cached_property
    def _whole(self):
        return self._make(self.prepare.tokenizer, "only_second")

    @cached_property
    def _words(self):
        # Bytes are joined to pieces with the space before a word, which a word on its own would lack.
        described = json.loads(self.prepare.tokenizer)
        steps = described.get("pre_tokenizer") or {}
        for step in [steps, *steps.get("pretokenizers", [])]:
            if step.get("type") == "ByteLevel":
                step["add_prefix_space"] = True
        return self._make(json.dumps(described), "longest_first")

    def _make(self, described: str, strategy: str):
        try:
            from tokenizers import Tokenizer as Library
        except ImportError as error:
            raise OptionError("Texts need the package tokenizers; install it with: pip install 'graft[text]'.") from error
        made = Library.from_str(described)
        made.no_padding()
        made.enable_truncation(self.prepare.length, strategy=strategy)
        return made

    def _spelt(self, words: list[str], offsets: list[tuple[int, int]], given: int | None = None) -> Tokens:
        from .characters import encode_words

        kept = words[: self.prepare.length]
        first = None
        if given is not None:
            first = np.where(np.arange(given) < len(kept), np.arange(given), -1).astype(np.int32)
        places = np.array(offsets[: len(kept)], np.int32).reshape(-1, 2)
        return Tokens(encode_words(kept), places, first=first, cut=len(words) - len(kept))


def _read(one, types: bool = False, words: int | None = None) -> Tokens:
    first = None
    if words is not None:
        first = np.full(words, -1, np.int32)
        for place, word in reversed(list(enumerate(one.word_ids))):
            if word is not None:
                first[word] = place
    cut = sum(part.sequence_ids.count(0) for part in one.overflowing)
    if types and one.overflowing:
        # Every part of one text stands beside every part of the other.
        cut = len(set().union(*map(_places, one.overflowing)) - _places(one))
    kinds = np.array(one.type_ids, np.int8) if types else None
    return Tokens(np.array(one.ids, np.int32), np.array(one.offsets, np.int32).reshape(-1, 2), kinds, first, cut)


def _by_turns(first: Tokens, second: Tokens, pad: int) -> Tokens:
    """The tokens of two texts in turn. A text without any has one of padding, for nothing may be averaged over nothing."""
    length = max(len(first), len(second), 1)
    ids = np.full((length, 2, *first.ids.shape[1:]), -1, np.int32)
    offsets = np.zeros((length, 2, 2), np.int32)
    for side, one in enumerate((first, second)):
        ids[: len(one), side], offsets[: len(one), side] = one.ids, one.offsets
        if not len(one):
            ids[0, side] = pad
    return Tokens(ids.reshape(2 * length, *ids.shape[2:]), offsets.reshape(-1, 2), cut=first.cut + second.cut)


def _places(one) -> set[tuple[int, tuple[int, int]]]:
    """Which characters of which text the tokens stand for."""
    return {(text, place) for text, place in zip(one.sequence_ids, one.offsets, strict=True) if text is not None}


def collate(rows: Sequence[Tokens], pad: int = 0, cells: int | None = None, words: int | None = None) -> State:
    """The state at depth 0: ids int64 [n, cells] (or [n, cells, 50]) and mask bool [n, cells]; types where all rows have them, and
    words int64 [n, words], -1 for none, where words were given. cells: the longest row's, unless it is said."""
    cells = max(1, cells or max(len(row) for row in rows))
    ids = np.full((len(rows), cells, *rows[0].ids.shape[1:]), pad, np.int64)
    mask = np.zeros((len(rows), cells), bool)
    for i, row in enumerate(rows):
        there = (row.ids if row.ids.ndim == 1 else row.ids[:, 0]) >= 0
        ids[i, : len(row)][there], mask[i, : len(row)] = row.ids[there], there
        mask[i, 0] = True  # As above.
    state = {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}
    if all(row.types is not None for row in rows):
        types = np.zeros((len(rows), cells), np.int64)
        for i, row in enumerate(rows):
            types[i, : len(row)] = row.types
        state["types"] = torch.from_numpy(types)
    if all(row.first is not None for row in rows):
        places = np.full((len(rows), max(1, words or max(len(row.first) for row in rows))), -1, np.int64)
        for i, row in enumerate(rows):
            places[i, : len(row.first)] = row.first[: places.shape[1]]
        state["words"] = torch.from_numpy(places)
    return state
