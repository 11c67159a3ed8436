"""Scores of one-label classification, from probabilities [n, k] and class numbers [n]."""

from collections.abc import Callable

import numpy as np

from .calibration import weighted_error

SMALLEST = 1e-7
"""Probabilities are not taken to be smaller than this in log-loss, about what float32 can tell from zero."""


def confusion(p: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Counts int64 [k, k]: entry (i, j) is how many rows of class i were given the largest probability for class j."""
    return np.bincount(y.astype(np.int64) * k + p.argmax(1), minlength=k * k).reshape(k, k)


def per_class(p: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(precision [k], recall [k], F1 [k], support int64 [k]). A ratio with denominator zero (a class that is never
    predicted, or has no rows) is 0."""
    table = confusion(p, y, k)
    hits, support, predicted = np.diag(table).astype(float), table.sum(1), table.sum(0)
    return _ratio(hits, predicted), _ratio(hits, support), _ratio(2 * hits, support + predicted), support


def accuracy(p: np.ndarray, y: np.ndarray) -> float:
    """The share of rows whose largest probability is at the right class."""
    return float((p.argmax(1) == y).mean())


def balanced_accuracy(p: np.ndarray, y: np.ndarray) -> float:
    """Mean recall over the classes that have rows."""
    _, recall, _, support = per_class(p, y, p.shape[1])
    return float(recall[support > 0].mean())


def macro_f1(p: np.ndarray, y: np.ndarray) -> float:
    """Mean F1 over the classes that have rows or were predicted."""
    table = confusion(p, y, p.shape[1])
    seen = table.sum(1) + table.sum(0) > 0
    return float(per_class(p, y, p.shape[1])[2][seen].mean())


def log_loss(p: np.ndarray, y: np.ndarray) -> float:
    """Mean of -ln p(right class), with p not below SMALLEST."""
    return float(_surprise(p, y).mean())


def scores(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """accuracy, balanced_accuracy, macro_f1, log_loss and ece (see `calibration.ece`) of p [n, k] against y [n]."""
    return prepare(p, y)(np.ones(len(y)))


def prepare(p: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """score(counts [n]) -> what `scores` gives when row i is there counts[i] times."""
    k = p.shape[1]
    confidence = p.max(1)
    order = np.argsort(confidence, kind="stable")
    truth, predicted, confidence = y[order].astype(np.int64), p.argmax(1)[order], confidence[order].astype(float)
    right, surprise = (truth == predicted).astype(float), _surprise(p, y)[order]

    def score(counts: np.ndarray) -> dict[str, float]:
        c = counts[order].astype(float)
        total = c.sum()
        hits = np.bincount(truth, c * right, k)
        support, claimed = np.bincount(truth, c, k), np.bincount(predicted, c, k)
        return {
            "accuracy": float(c @ right / total),
            "balanced_accuracy": float(_ratio(hits, support)[support > 0].mean()),
            "macro_f1": float(_ratio(2 * hits, support + claimed)[support + claimed > 0].mean()),
            "log_loss": float(c @ surprise / total),
            "ece": weighted_error(confidence, right, c),
        }

    return score


scores.prepare = prepare


def _surprise(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(p[np.arange(len(y)), y].astype(float), SMALLEST))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
