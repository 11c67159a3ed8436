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
    padding, which the mask hides. mask: the id of the masked token, None where there is none.
    """

    tokenizer: str
    length: int = 512
    pad: int = 0
    mask: int | None = None
    kind: str = "tokens"

    @property
    def size(self) -> int:
        return self.length

    def blank(self, cells: int = 0) -> State:
        """The state at depth 0 of one text of so many padding tokens (8 where it is not said), none of them hidden."""
        cells = cells or 8
        shape = (1, cells, CHARACTERS) if self.kind == "characters" else (1, cells)
        return {"ids": torch.zeros(shape, dtype=torch.int64), "mask": torch.ones(1, cells, dtype=torch.bool)}
