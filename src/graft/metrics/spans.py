"""Scores of answers that are taken from a context: exact match and word F1 as SQuAD defines them.

Rajpurkar et al., "SQuAD: 100,000+ questions for machine comprehension of text", 2016, and for questions without an answer
"Know what you don't know", 2018; normalisation and both scores are those of the official evaluation script.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

COLUMNS = ("question", "start", "end", "score", "none", "exact", "f1", "unanswerable", "may_be_none")
"""Of a window's row: the number of its question; of the best span in it, the first character in the context and the one after the
last, the score, exact match and F1; the score of saying nothing, which is said where it is larger; whether (0 or 1) the
question has no answer, and whether saying nothing is allowed at all."""

_ARTICLES, _PUNCTUATION = re.compile(r"\b(a|an|the)\b"), str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without punctuation and English articles, words parted by one space."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(given: str, answer: str) -> float:
    """1 where both are the same once normalised, else 0."""
    return float(normalise(given) == normalise(answer))


def f1(given: str, answer: str) -> float:
    """The harmonic mean of precision and recall over words, each counted as often as it is there; where one of the texts has no
    words, 1 if neither has, else 0."""
    one, other = normalise(given).split(), normalise(answer).split()
    if not one or not other:
        return float(one == other)
    shared = sum((Counter(one) & Counter(other)).values())
    return 2 * shared / (len(one) + len(other))


def best(given: str, answers: Sequence[str]) -> tuple[float, float]:
    """(exact match, F1) with the answer that suits best; of a question without an answer, "" is right."""
    wanted = [answer for answer in answers if normalise(answer)] or [""]
    return max(exact(given, answer) for answer in wanted), max(f1(given, answer) for answer in wanted)


def scores(decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """exact_match and f1 in 0..1, the mean over questions, from rows [n, COLUMNS]; targets play no part: the rows hold what is right."""
    return prepare(decoded, targets)(np.ones(len(decoded)))


def prepare(decoded: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """score(counts [n]) -> what `scores` gives when row i is there counts[i] times.

    Of the rows of a question that are there, the one with the best span speaks, unless "none" of another says more. A question
    counts as often as that row of it which counts most: as it was drawn, where its windows are drawn together.
    """
    columns = dict(zip(COLUMNS, np.asarray(decoded, float).T, strict=True))
    order = np.lexsort((-columns["score"], columns["question"]))
    question, score, none, exact_match, f1_score, silent, may = (
        columns[name][order] for name in ("question", "score", "none", "exact", "f1", "unanswerable", "may_be_none")
    )
    firsts, places, rows = np.flatnonzero(np.diff(question, prepend=np.nan) != 0), np.arange(len(order)), len(order)

    def told(counts: np.ndarray) -> dict[str, float]:
        c = np.asarray(counts, float)[order]
        weights = np.maximum.reduceat(c, firsts)
        # Rows of a question stand in the order of their scores: the first that is there is the best.
        best = np.minimum(np.minimum.reduceat(np.where(c > 0, places, rows), firsts), rows - 1)
        quiet = np.minimum.reduceat(np.where(c > 0, none, np.inf), firsts)
        says_none, total = (may[best] > 0) & (quiet > score[best]), weights.sum()
        both = (np.where(says_none, silent[best], values[best]) for values in (exact_match, f1_score))
        return {name: float(weights @ each / total) if total else 0.0 for name, each in zip(("exact_match", "f1"), both, strict=True)}

    return told


scores.prepare = prepare
