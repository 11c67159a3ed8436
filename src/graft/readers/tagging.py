"""Schemes that mark entities by a tag for each word: IOB1, IOB2 and BIOES (BILOU, BMES), and the way from all of them to IOB2."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_SHAPE = re.compile(r"([BIESLUM])(?:[-_](.+))?")
_ALONE, _LAST = "SU", "ESLU"
"""Prefixes of entities of one word, and of those that end an entity."""


@dataclass(frozen=True)
class Scheme:
    """name: "IOB2", "IOB1" or "BIOES"."""

    name: str

    def broken(self, tags: Sequence[str]) -> list[int]:
        """The places of the tags of a sentence that this scheme does not allow: without a known prefix, I- (and, in BIOES, E-)
        where no entity of the type is open, an entity in BIOES that its last word does not close, and in IOB1 a B- that
        does not part two entities of one type."""
        found = []
        for i, (prefix, kind, begins) in enumerate(_parts(tags)):
            before = parsed(tags[i - 1]) if i else ("O", "")
            after = parsed(tags[i + 1]) if i + 1 < len(tags) else ("O", "")
            headless = begins and prefix not in ("B", *_ALONE)
            endless = prefix in ("B", "I", "M") and (after[1] != kind or after[0] in ("B", *_ALONE))
            needless = prefix == "B" and before[1] != kind
            wrong = {"IOB1": needless, "IOB2": headless, "BIOES": headless or endless}[self.name]
            if prefix == "?" or wrong:
                found.append(i)
        return found


def parsed(tag: str) -> tuple[str, str]:
    """(prefix, type) of a tag: ("O", "") outside; ("?", the whole tag) without a known prefix; the type "entity" for a bare B or I."""
    if tag == "O":
        return "O", ""
    shape = _SHAPE.fullmatch(tag)
    return (shape[1], shape[2] or "entity") if shape else ("?", tag)


def _parts(tags: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """(prefix, type, whether an entity begins) of each tag, as conlleval reads them (Tjong Kim Sang and De Meulder, CoNLL 2003)."""
    last, kept = "O", ""
    for tag in tags:
        prefix, kind = parsed(tag)
        yield prefix, kind, prefix != "O" and (prefix in ("B", *_ALONE) or last in ("O", *_LAST) or kind != kept)
        last, kept = prefix, kind


def to_iob2(tags: Sequence[str]) -> list[str]:
    """The same entities in IOB2: B-X for the first word of an entity of type X, I-X for those that follow, O outside."""
    return ["O" if prefix == "O" else f"{'B' if begins else 'I'}-{kind}" for prefix, kind, begins in _parts(tags)]


def recognise(sentences: Iterable[Sequence[str]]) -> Scheme:
    """The scheme of all tags together.

    BIOES where any prefix E, S, L, U or M occurs. Else IOB1 where more entities begin with I- than there are B- that no
    entity of the same type precedes, which IOB1 does not have, and IOB2 where not.
    """
    fresh, inside = 0, 0
    for tags in sentences:
        before = ""
        for prefix, kind, begins in _parts(tags):
            if prefix in (*_ALONE, "E", "L", "M"):
                return Scheme("BIOES")
            fresh += prefix == "B" and before != kind
            inside += prefix == "I" and begins
            before = kind
    return Scheme("IOB1" if inside > fresh else "IOB2")


def classes_of(types: Iterable[str]) -> tuple[str, ...]:
    """ "O", then B- and I- of each type, sorted."""
    return ("O", *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI"))
