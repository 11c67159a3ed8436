import itertools

import pytest

from graft.inspect.names import likeness


@pytest.mark.parametrize(
    "one, two, how",
    [
        ("Cat", "cat", "in case"),
        ("tabby cat", "tabby_cat", "in blanks or punctuation"),
        ("Tabby-Cat ", "tabbycat", "in blanks or punctuation"),
        ("caf\u00e9", "cafe\u0301", "in an accent's encoding"),
        ("cat", "cats", "in singular and plural"),
        ("Box", "boxes", "in singular and plural"),
        ("berry", "berries", "in singular and plural"),
        ("oak leaf", "oak leaves", "in singular and plural"),
        ("knife", "knives", "in singular and plural"),
        ("healthy", "healthly", "by one letter"),
        ("healthy", "heatlhy", "by one letter"),
        ("horse", "house", "by one letter"),
        ("late blight", "late blihgt", "by one letter"),
    ],
)
def test_what_is_almost_alike(one, two, how):
    assert likeness([one, two]) == [(one, two, how)]
    assert likeness([two, "something else", one]) == [(two, one, how)]


@pytest.mark.parametrize(
    "one, two",
    [
        ("cat", "bat"), ("cat", "cot"), ("class 1", "class 2"), ("grade10", "grade1"), ("1.5", "15"), ("-1", "1"), ("c", "c++"),
        ("c#", "c"), ("stage ii", "stage iii"), ("type a", "type b"), ("typical", "atypical"), ("ants", "bees"), 
        ("early_blight", "late_blight"),        ("male", "female"), ("is", "i"), ("2020-1", "20201"), ("?", "!"),
    ],
)  # fmt: skip
def test_what_is_not(one, two):
    assert likeness([one, two]) == []


def _distance(a: str, b: str) -> int:
    """Edits with swaps of neighbours (optimal string alignment), by the textbook's table."""
    table = [[max(i, j) if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            best = min(table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, table[i - 2][j - 2] + 1)
            table[i][j] = best
    return table[-1][-1]


def test_one_letter_is_an_edit_distance_of_one():
    """All words of four and five letters over a small alphabet without plurals, against the slow table."""
    words = ["".join(w) for n in (4, 5) for w in itertools.product("bce", repeat=n)]
    found = {pair[:2] for pair in likeness(words)}
    wanted = {(a, b) for a, b in itertools.combinations(words, 2) if _distance(a, b) == 1}
    assert found == wanted and len(wanted) > 500
