"""Labels that a person may have meant to be one: equal but for case, blanks, punctuation, a plural or one letter."""

import re
import unicodedata
from collections.abc import Sequence

LETTERS = 4  # of a word, from which one letter more, less or other is taken for a slip: cat and bat are two words

# A sign between two digits, or a minus before one, is part of a number; + and # are part of names such as C++.
_SIGN = r"[\s_\-.,;:/'\"()]+"
_SIGNS = re.compile(rf"(?<!\d){_SIGN}|{_SIGN}(?!\d)")
_MINUS = re.compile(r"^\s*-\s*(?=\d)")


def likeness(names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(name, name, how they differ) of each pair that is almost alike: "in case", "in blanks or punctuation", "in an accent's
    encoding", "in singular and plural" or "by one letter". In time linear in the number of names, in the names' order.

    One letter is a letter more, less or other, or two neighbours swapped, in one word of at least LETTERS letters; never a
    digit, and never an "a" before the word, which means not (typical, atypical).
    """
    seen: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        for key in _keys(_plain(name)):
            seen.setdefault(key, []).append(i)
    pairs = {(i, j) for rows in seen.values() for k, i in enumerate(rows) for j in rows[k + 1 :] if i != j}
    return [(names[i], names[j], how) for i, j in sorted(pairs) if (how := _how(names[i], names[j]))]


def _plain(name: str) -> str:
    """Lower case, one encoding of accents, words between single blanks."""
    name = unicodedata.normalize("NFC", name).casefold()
    sign = "-" if _MINUS.match(name) else ""
    return sign + _SIGNS.sub(" ", name).strip()


def _keys(plain: str) -> set[str]:
    """What two names that are almost alike have in common one of: the name, or the name less one of its letters."""
    joined = plain.replace(" ", "")
    singular = {joined[: -len(end)] + new for end, new in _ENDINGS if joined.endswith(end)}
    return {joined, *singular, *(joined[:i] + joined[i + 1 :] for i in range(len(joined)))}


_ENDINGS = (("s", ""), ("es", ""), ("ies", "y"), ("ves", "f"), ("ves", "fe"))


def _how(a: str, b: str) -> str:
    """How two names differ, "" where they are two names."""
    if unicodedata.normalize("NFC", a) == unicodedata.normalize("NFC", b):
        return "in an accent's encoding"
    if a.casefold() == b.casefold():
        return "in case"
    one, two = _plain(a), _plain(b)
    if not one or not two:
        return ""
    if one == two or one.replace(" ", "") == two.replace(" ", ""):
        return "in blanks or punctuation"
    if _plural(one, two) or _plural(two, one):
        return "in singular and plural"
    return "by one letter" if _slip(one, two) else ""


def _plural(one: str, two: str) -> bool:
    """Whether `two` is the plural of `one` by its ending: cat, cats; berry, berries; leaf, leaves."""
    return len(one) >= 3 and one[-1].isalpha() and any(two.endswith(end) and two[: -len(end)] + new == one for end, new in _ENDINGS)


def _slip(one: str, two: str) -> bool:
    words, others = one.split(), two.split()
    if len(words) != len(others):
        return False
    differ = [(w, o) for w, o in zip(words, others) if w != o]
    return len(differ) == 1 and min(map(len, differ[0])) >= LETTERS and _one_edit(*differ[0])


def _one_edit(a: str, b: str) -> bool:
    """Whether one letter put in, taken out, replaced, or swapped with its neighbour makes b of a; digits do not count."""
    if len(a) > len(b):
        a, b = b, a
    i = next((k for k, (x, y) in enumerate(zip(a, b)) if x != y), len(a))
    changed = a[i : i + 1] + b[i : i + 1]
    if any(letter.isdigit() for letter in changed):
        return False
    if len(a) == len(b):
        swapped = a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :]
        return a[i + 1 :] == b[i + 1 :] or swapped
    return len(b) - len(a) == 1 and a[i:] == b[i + 1 :] and b != "a" + a
