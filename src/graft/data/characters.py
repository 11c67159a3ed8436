"""Words as ELMo reads them: fifty numbers each, from their bytes; and a plain splitter of texts into words."""

import re
from collections.abc import Sequence

import numpy as np

from ..core.text import CHARACTERS

BEGIN_SENTENCE, END_SENTENCE, BEGIN_WORD, END_WORD, PAD = 257, 258, 259, 260, 261
"""Ids after the 256 bytes (1 to 256). 0 is left for what is no word at all, so that the published numbers are all one more."""
IDS = 262
BOUNDARIES = ("<S>", "</S>")
"""The words before the first and after the last word of a text."""

_WORD = re.compile(
    r"""
      (?:[^\W\d_]\.){2,}                  # U.S. and e.g.
    | \d+(?:[.,:]\d+)+                    # 1,000.5 and 12:30
    | (?<=\w)['’]\w+                      # it|'s, don|'t
    | [\w\u0300-\u036f]+(?:-[\w\u0300-\u036f]+)*  # words, hyphens inside them included; accents may stand as marks of their own
    | [^\w\s]                             # any other character, alone
    """,
    re.VERBOSE,
)


def encode_words(words: Sequence[str]) -> np.ndarray:
    """int32 [len(words), 50]: BEGIN_WORD, the first 48 bytes of the word in UTF-8 each plus one, END_WORD, then PAD.

    "<S>" and "</S>" have a mark of their own in place of their bytes. Halves of surrogate pairs, which UTF-8 cannot write, are
    left out. (The numbers of bilm-tf's UnicodeCharsVocabulary and AllenNLP's ELMoCharacterMapper, with which the published
    weights were trained.)
    """
    out = np.full((len(words), CHARACTERS), PAD, np.int32)
    out[:, 0] = BEGIN_WORD
    for row, word in zip(out, words, strict=True):
        if word in BOUNDARIES:
            row[1:3] = (BEGIN_SENTENCE, END_SENTENCE)[BOUNDARIES.index(word)], END_WORD
            continue
        code = np.frombuffer(word.encode("utf-8", "ignore")[: CHARACTERS - 2], np.uint8)
        row[1 : len(code) + 1] = code.astype(np.int32) + 1
        row[len(code) + 1] = END_WORD
    return out


def split(text: str) -> list[tuple[str, int, int]]:
    """The words of a text with their first character and the one after their last: text[start:end] == word.

    A word is a run of letters, digits and underscores, with hyphens inside it; a number keeps its points, commas and colons
    ("1,000.5"), an abbreviation its points ("U.S."); "'s", "'t" and the like stand apart, as in the tokenized news that ELMo
    was trained on; every other visible character is a word of its own. For languages that put spaces between words.
    """
    return [(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]
