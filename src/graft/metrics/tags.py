"""Scores of named entities: an entity counts where its type, first word and last word are all right.

An entity begins at B-X, or at an I-X that does not go on from a word of type X, as in conlleval (Tjong Kim Sang & De Meulder,
"Introduction to the CoNLL-2003 shared task", 2003) and in seqeval's default mode.
"""

from collections.abc import Callable, Sequence

import numpy as np

PADDING = -100
"""In targets, where there is no word. What is predicted there does not count."""


class Scores:
    """scores(decoded, targets) -> {name: float} for the tags `classes` ("O", "B-LOC", "I-LOC", ...). Made by `scores`."""

    def __init__(self, classes: Sequence[str]):
        self.types = tuple(dict.fromkeys(name[2:] for name in classes if name != "O"))
        numbers = {name: i for i, name in enumerate(self.types)}
        # Of each tag: the number of its type (-1 for none), and whether it can go on from the word before.
        self._type = np.array([-1 if name == "O" else numbers[name[2:]] for name in classes] + [-1], np.int64)
        self._inside = np.array([name.startswith("I-") for name in classes] + [False])

    def __call__(self, decoded: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """precision, recall and f1 over all entities, accuracy over words, and "f1 TYPE" of each type; of nothing, 0.

        decoded: tag numbers [n, m], floats as they come from a file; targets: tag numbers [n, m], PADDING where there is no word.
        """
        return self.prepare(decoded, targets)(np.ones(len(targets)))

    def prepare(self, decoded: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
        """score(counts [n]) -> what a call gives when row i is there counts[i] times."""
        decoded, targets = np.asarray(decoded), np.asarray(targets)
        words = targets != PADDING
        given, true = np.where(words, decoded, -1).astype(np.int64), np.where(words, targets, -1).astype(np.int64)
        counted = [self._entities(tags) for tags in (given, true)]
        (begins, ends, types), (true_begins, true_ends, true_types) = counted
        right = begins & true_begins & (ends == true_ends) & (types == true_types)
        hits, claimed, there = self._by_type(right, types), self._by_type(begins, types), self._by_type(true_begins, true_types)
        same, words = ((given == true) & words).sum(1).astype(float), words.sum(1).astype(float)

        def score(counts: np.ndarray) -> dict[str, float]:
            c = np.asarray(counts, float)
            h, p, t = c @ hits, c @ claimed, c @ there
            found = {
                "f1": _ratio(2 * h.sum(), p.sum() + t.sum()),
                "precision": _ratio(h.sum(), p.sum()),
                "recall": _ratio(h.sum(), t.sum()),
                "accuracy": _ratio(c @ same, c @ words),
            }
            return found | {f"f1 {name}": _ratio(2 * h[i], p[i] + t[i]) for i, name in enumerate(self.types)}

        return score

    def _entities(self, tags: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each word [n, m]: whether an entity begins there, the last word of what it is in, and its type. -1 stands for no tag."""
        n, m = tags.shape
        types = self._type[tags]
        before = np.concatenate([np.full((n, 1), -1), types[:, :-1]], 1)
        goes_on = self._inside[tags] & (types == before)
        last = np.concatenate([~goes_on[:, 1:], np.ones((n, 1), bool)], 1)[:, :m]
        ends = np.minimum.accumulate(np.where(last, np.arange(m), m)[:, ::-1], 1)[:, ::-1]
        return (types >= 0) & ~goes_on, ends, types

    def _by_type(self, marked: np.ndarray, types: np.ndarray) -> np.ndarray:
        """How many marked words of each type every row has, float [n, types]."""
        rows, words = np.nonzero(marked)
        k = len(self.types)
        return np.bincount(rows * k + types[rows, words], minlength=len(marked) * k).reshape(-1, k).astype(float)


def scores(classes: Sequence[str]) -> Scores:
    """What scores these tags, "O" or "B-" or "I-" and a type."""
    return Scores(classes)


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below > 0 else 0.0
