"""Scores of regression, from predictions and targets in the same unit, [n] or [n, 1]."""

from collections.abc import Callable

import numpy as np


def scores(p: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """mae and rmse (the target's unit), r2 = 1 - squared error / squared deviation from the mean (at most 1; 0 is as
    good as always saying the mean). r2 of targets that are all equal is 0."""
    return prepare(p, y)(np.ones(len(y)))


def prepare(p: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """score(counts [n]) -> what `scores` gives when row i is there counts[i] times."""
    truth = np.asarray(y, float).ravel()
    error = np.asarray(p, float).ravel() - truth
    size, square = np.abs(error), error**2

    def score(counts: np.ndarray) -> dict[str, float]:
        c = counts / counts.sum()
        mean_square = c @ square
        spread = c @ (truth - c @ truth) ** 2
        return {
            "mae": float(c @ size),
            "rmse": float(np.sqrt(mean_square)),
            "r2": float(1 - mean_square / spread) if spread > 0 else 0.0,
        }

    return score


scores.prepare = prepare
