"""How a text becomes what a body expects: its length and an empty state."""

import pytest
import torch
from tests.methods import words

from graft.core import TextPrepare
from graft.core.text import CHARACTERS


def test_the_size_is_the_most_tokens():
    assert TextPrepare("", 12).size == TextPrepare("", 12).length == 12


@pytest.mark.parametrize(("cells", "long"), [(0, 8), (3, 3)])
def test_a_blank_text_is_all_real_tokens(cells, long):
    state = TextPrepare("", 512).blank(cells)
    assert state.keys() == {"ids", "mask"} and state["ids"].shape == state["mask"].shape == (1, long)
    assert state["ids"].dtype == torch.int64 and state["mask"].dtype == torch.bool and state["mask"].all()


def test_a_blank_word_has_its_characters():
    state = TextPrepare("", kind="characters").blank(5)
    assert state["ids"].shape == (1, 5, CHARACTERS) and state["mask"].shape == (1, 5)


def test_a_body_reads_its_blank():
    body = words.body()
    assert body.forward(body.prepare.blank(6)).shape == (1, 6, words.WIDTH)
