import numpy as np
import pytest

from graft.core.text import CHARACTERS
from graft.data.characters import encode_words, split


def _published(word: str) -> list[int]:
    """The rule of the published vocabulary written out a byte at a time: marks 256 to 260, then one added to everything."""
    inner = {"<S>": [256], "</S>": [257]}.get(word, list(word.encode("utf-8"))[:48])
    plain = [258, *inner, 259]
    return [number + 1 for number in plain + [260] * (50 - len(plain))]


@pytest.mark.parametrize("word", ["a", "transfer", "naïve", "日本語", "x" * 48, "x" * 49, "é" * 40, "<S>", "</S>", "<s>", ""])
def test_a_word_is_its_bytes_between_marks(word):
    assert encode_words([word])[0].tolist() == _published(word)


def test_shapes_and_range():
    ids = encode_words(["one", "\U0001f600", "\udce9"])
    assert ids.shape == (3, CHARACTERS) and ids.dtype == np.int32 and ids.min() > 0 and ids.max() == 261
    assert ids[2].tolist() == _published(""), "half of a surrogate pair has no bytes"
    assert encode_words([]).shape == (0, CHARACTERS)


def test_splitting_knows_words_numbers_and_marks():
    text = "She didn't pay $1,000.50 at 12:30, the well-known U.S. firm (in naïve_style)… “It's 'ok'!”"
    words = [word for word, _, _ in split(text)]
    assert words == [
        "She", "didn", "'t", "pay", "$", "1,000.50", "at", "12:30", ",", "the", "well-known", "U.S.", "firm", "(", "in", "naïve_style", ")",
        "…", "“", "It", "'s", "'", "ok", "'", "!", "”",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "  \n ", "a  b", "cafe\u0301 — 3.5%\tend.", "...", "x-y- z", "don’t 'tis", "1.", "\U0001f600!"])
def test_offsets_point_at_the_words_and_nothing_visible_is_lost(text):
    found = split(text)
    assert all(text[start:end] == word and word for word, start, end in found)
    assert "".join(word for word, _, _ in found) == "".join(text.split())
    assert [start for _, start, _ in found] == sorted({start for _, start, _ in found})
