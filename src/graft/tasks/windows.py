"""Long contexts as windows that a body can read, each with the question before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ..core import TextPrepare
from ..data.tokens import Tokenizer, Tokens


@dataclass(frozen=True)
class Window:
    """first, last: the window is context[first:last]. place: the number of the first token in it; offsets: int32 [t, 2], the
    characters of each of its tokens, counted from `first`."""

    first: int
    last: int
    place: int
    offsets: np.ndarray

    def tokens_of(self, start: int, end: int) -> tuple[int, int]:
        """Numbers of the first and last token of context[start:end]; (0, 0) where that is not all inside."""
        if not self.first <= start < end <= self.last:
            return 0, 0
        begin = int(np.searchsorted(self.offsets[:, 1], start - self.first, side="right"))
        stop = int(np.searchsorted(self.offsets[:, 0], end - self.first, side="left")) - 1
        if not begin <= stop < len(self.offsets):
            return 0, 0
        return self.place + begin, self.place + stop


def split(questions: Sequence[str], contexts: Sequence[str], prepare: TextPrepare, stride: int) -> list[tuple[str, list[Window]]]:
    """Of each question, what is read of it (all, unless it fills more than half of what the body reads) and the windows of its context.

    Neighbouring windows share about `stride` tokens (Devlin et al., 2019), at most half a window; where the text has spaces, they
    begin and end at one, so that a window's tokens are those of the whole. A context without tokens has one window without any.
    """
    whole, own = Tokenizer(replace(prepare, length=2**30)), Tokenizer(prepare)
    around = _around(whole)
    distinct = list(dict.fromkeys(contexts))
    tokens_of = dict(zip(distinct, map(_real, whole.texts(distinct)), strict=True))
    most = max(1, (prepare.length - around) // 2)
    read, cuts = [], []
    for question, tokens, context in zip(questions, whole.texts(list(questions)), contexts, strict=True):
        places = _real(tokens)
        if len(places) > most:
            question, places = question[: places[most - 1, 1]], places[:most]
        room = max(1, prepare.length - around - len(places))
        read.append((question, len(places)))
        cuts.append(_cuts(context, tokens_of[context], room, min(stride, room // 2)))
    pairs = [(read[i][0], contexts[i][a:b]) for i, some in enumerate(cuts) for a, b in some]
    tokens = iter(own.pairs([first for first, _ in pairs], [second for _, second in pairs], whole=True))
    return [(read[i][0], [_window(next(tokens), a, b, read[i][1]) for a, b in some]) for i, some in enumerate(cuts)]


def _around(tokenizer: Tokenizer) -> int:
    """How many special tokens stand around and between two texts."""
    tokens = tokenizer.pairs(["a"], ["a"], whole=True)[0]
    return len(tokens) - len(_real(tokens))


def _real(tokens: Tokens) -> np.ndarray:
    """Offsets of the tokens that stand for characters."""
    return tokens.offsets[tokens.offsets[:, 1] > tokens.offsets[:, 0]]


def _cuts(context: str, offsets: np.ndarray, room: int, shared: int) -> list[tuple[int, int]]:
    """First character of each window and the one after its last; each holds at most `room` tokens."""
    if len(offsets) <= room:
        return [(0, len(context))]
    found, first, slack = [], 0, room // 8
    while True:
        begin, stop = int(offsets[first, 0]), _at_space(context, offsets, first + room, slack)
        # Where a space belongs to the piece that follows it, the first piece of a window must keep its own.
        begin -= int(_after_space(context, offsets, first))
        if stop >= len(offsets):
            return [*found, (begin, len(context))]
        found.append((begin, int(offsets[stop - 1, 1])))
        first = max(_at_space(context, offsets, stop - shared, slack), first + 1)


def _at_space(context: str, offsets: np.ndarray, token: int, slack: int) -> int:
    """The nearest token, up to `slack` before this one, that begins a word; this one where there is none."""
    if token >= len(offsets):
        return token
    for number in range(token, max(token - slack, 1) - 1, -1):
        if context[offsets[number, 0]].isspace() or _after_space(context, offsets, number):
            return number
    return token


def _after_space(context: str, offsets: np.ndarray, token: int) -> bool:
    """Whether a space that is no part of a token stands before this one."""
    start, before = offsets[token, 0], offsets[token - 1, 1] if token else 0
    return bool(before < start and context[start - 1].isspace())


def _window(tokens: Tokens, first: int, last: int, asked: int) -> Window:
    """asked: tokens of the question, which stand before those of the window."""
    places = np.flatnonzero(tokens.offsets[:, 1] > tokens.offsets[:, 0])[asked:]
    if not len(places):
        return Window(first, last, 0, np.zeros((0, 2), np.int32))
    return Window(first, last, int(places[0]), tokens.offsets[places[0] : places[-1] + 1])


def columns(windows: Sequence[Window]) -> dict[str, pa.Array]:
    """Of each window: first, last, place (int64), and offsets, list<int32> of two numbers a token."""
    held = {name: pa.array([getattr(one, name) for one in windows], pa.int64()) for name in ("first", "last", "place")}
    return held | {"offsets": pa.array([one.offsets.ravel().tolist() for one in windows], pa.list_(pa.int32()))}
