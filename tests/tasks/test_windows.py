from itertools import pairwise

import numpy as np
import pytest
from tests.tasks import toys

from graft.data.tokens import Tokenizer
from graft.tasks import windows

BODIES = {"pieces": toys.pieces, "bytewise": toys.bytewise}


def _context(words=90, seed=0):
    rng = np.random.default_rng(seed)
    return " ".join(rng.choice([*toys.WORDS, "zebra", "quiz"], words))


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("stride", [0, 5, 16, 1000])
def test_windows_cover_the_context_overlap_and_lose_no_token(name, stride):
    prepare, question, context = BODIES[name](48), "where is the old dog ?", _context()
    ((read, found),) = windows.split([question], [context], prepare, stride)
    assert read == question and len(found) > 2
    covered = np.zeros(len(context), bool)
    for one in found:
        covered[one.first : one.last] = True
        made = Tokenizer(prepare).pairs([question], [context[one.first : one.last]], whole=True)[0]
        assert made.cut == 0 and len(made) <= 48
        # Its tokens say the characters that they are said to stand for.
        assert (made.offsets[one.place : one.place + len(one.offsets)] == one.offsets).all()
        assert (one.offsets[:, 0] < one.offsets[:, 1]).all() and one.offsets[-1, 1] == one.last - one.first
    assert all(covered[i] or context[i] == " " for i in range(len(context)))
    shared = [before.last - after.first for before, after in pairwise(found)]
    assert min(shared) >= (0 if stride == 0 else 4) - 1 and [one.first for one in found] == sorted({one.first for one in found})


@pytest.mark.parametrize("name", BODIES)
def test_tokens_of_an_answer_say_the_answer(name):
    prepare, context = BODIES[name](40), _context(seed=3)
    ((_, found),) = windows.split(["who ?"], [context], prepare, 12)
    start = context.index("berlin")
    inside = [one for one in found if one.first <= start and start + 6 <= one.last]
    assert inside
    for one in inside:
        begin, end = one.tokens_of(start, start + 6)
        a, b = one.first + one.offsets[begin - one.place, 0], one.first + one.offsets[end - one.place, 1]
        assert context[a:b].strip() == "berlin"
    for one in found:
        if one not in inside:
            assert one.tokens_of(start, start + 6) == (0, 0)


def test_a_text_without_spaces_is_cut_all_the_same_and_one_without_tokens_has_one_window():
    prepare = toys.pieces(24)
    ((_, long),) = windows.split(["who ?"], ["zq" * 60], prepare, 4)
    assert long[-1].last == 120 and all(a.last >= b.first for a, b in pairwise(long)) and len(long) < 20
    ((_, empty),) = windows.split(["who ?"], [""], prepare, 4)
    assert len(empty) == 1 and len(empty[0].offsets) == 0 and empty[0].tokens_of(0, 0) == (0, 0)


def test_a_question_that_leaves_no_room_is_read_to_half():
    prepare = toys.pieces(23)
    ((read, found),) = windows.split(["who " * 30], [_context(20)], prepare, 4)
    assert read == " ".join(["who"] * 10) and all(len(one.offsets) <= 10 for one in found)
    assert len(Tokenizer(prepare).pairs([read], ["a"])[0]) == 14
