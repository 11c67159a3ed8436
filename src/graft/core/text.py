"""How a text becomes what a body of texts expects."""

from dataclasses import dataclass

import torch

from .backbone import State

CHARACTERS = 50
"""Numbers a word has where a body reads characters."""


@dataclass(frozen=True)
class TextPrepare:
    """From a text to token ids; graft.data.tokens does it.

    tokenizer: content of a tokenizers JSON file; "" for kind "characters". kind: "tokens", an id a token, or "characters",
    CHARACTERS numbers a word. length: most tokens of a text, special ones included; what is longer is cut. pad: the id of
    padding, which the mask hides. mask: the id of the masked token, None where there is none. apart: of pairs of texts each is read
    by itself, so that the places of a state are its two texts' by turns (core.apart).
    """

    tokenizer: str
    length: int = 512
    pad: int = 0
    mask: int | None = None
    kind: str = "tokens"
    apart: bool = False

    @property
    def most(self) -> int:
        """The most places of a row."""
        return self.length * (2 if self.apart else 1)

    @property
    def size(self) -> int:
        return self.length

    def blank(self, cells: int = 0) -> State:
        """The state at depth 0 of one text of so many padding tokens (8 where it is not said), none of them hidden."""
        cells = cells or 8
        cells += cells % 2 if self.apart else 0
        shape = (1, cells, CHARACTERS) if self.kind == "characters" else (1, cells)
        return {"ids": torch.zeros(shape, dtype=torch.int64), "mask": torch.ones(1, cells, dtype=torch.bool)}
