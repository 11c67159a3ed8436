"""Scores of multi-label classification, from probabilities [n, k] and targets [n, k] of 0 and 1. A label is given at p >= 0.5."""

from collections.abc import Callable

import numpy as np

SMALLEST = 1e-7
THRESHOLD = 0.5


def average_precision(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """AP of each label [k] = sum over thresholds of (rise of recall) x precision; equal probabilities are one threshold.
    NaN for a label with no positive row."""
    with np.errstate(invalid="ignore"):
        return _precisions(p, y)(np.ones(len(y)))


def scores(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """mean_average_precision (over labels with a positive row), micro_f1, macro_f1 (over labels that are there or were
    given), subset_accuracy (every label of the row right), log_loss (mean over rows and labels). With nothing to average, 0."""
    return prepare(p, y)(np.ones(len(y)))


def prepare(p: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """score(counts [n]) -> what `scores` gives when row i is there counts[i] times."""
    truth, given = np.asarray(y) > 0.5, p >= THRESHOLD
    hits, claimed, there = (truth & given).astype(float), given.astype(float), truth.astype(float)
    exact = (truth == given).all(1).astype(float)
    q = np.clip(p.astype(float), SMALLEST, 1 - SMALLEST)
    surprise = -np.where(truth, np.log(q), np.log1p(-q)).mean(1)
    precisions = _precisions(p, y)

    def score(counts: np.ndarray) -> dict[str, float]:
        c = counts.astype(float)
        with np.errstate(invalid="ignore"):
            ap = precisions(c)
            both, either = c @ hits, c @ claimed + c @ there
            f1 = 2 * both / either
        return {
            "mean_average_precision": _mean(ap[~np.isnan(ap)]),
            "micro_f1": float(2 * both.sum() / either.sum()) if either.sum() else 0.0,
            "macro_f1": _mean(f1[either > 0]),
            "subset_accuracy": float(c @ exact / c.sum()),
            "log_loss": float(c @ surprise / c.sum()),
        }

    return score


scores.prepare = prepare


def _precisions(p: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    order = np.argsort(-p, axis=0, kind="stable")
    ranked = np.take_along_axis(p, order, 0)
    truth = np.take_along_axis(np.asarray(y, float), order, 0)
    # Rows of equal probability share the precision at the last of them: the row where each one's tie ends.
    last = np.vstack([ranked[1:] != ranked[:-1], np.ones((1, p.shape[1]), bool)])
    rows = np.where(last, np.arange(len(p))[:, None], len(p))
    ends = np.minimum.accumulate(rows[::-1], 0)[::-1]

    def precisions(counts: np.ndarray) -> np.ndarray:
        c = counts[order]
        hits = c * truth
        seen, found = np.cumsum(c, 0), np.cumsum(hits, 0)
        precision = np.divide(found, seen, out=np.zeros_like(found), where=seen > 0)
        return (hits * np.take_along_axis(precision, ends, 0)).sum(0) / found[-1]

    return precisions


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
