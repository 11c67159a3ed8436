"""Do the probabilities mean what they say, and the one number (a temperature) that mends most of it."""

import numpy as np

BINS = 15
LEAST = 10
"""Rows a bin must have: the calibration error of a bin of two or three rows is mostly noise, and noise counts as error."""


def ece(p: np.ndarray, y: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error, in [0, 1]: the mean over rows of |mean confidence - share right| of the row's bin.

    The bins are equal-mass (the same number of rows each, by rising confidence), which no sharp network can empty:
    15, or fewer where a bin would have less than 10 rows. y int [n]: confidence is the largest of p [n, k]. y [n, k]
    of 0 and 1: every (row, label) pair is one binary case with the confidence p that the label is there.
    Guo et al., "On calibration of modern neural networks", 2017, eq. 3; equal-mass as in Nixon et al., 2019.
    """
    confidence, right = _cases(p, y)
    order = np.argsort(confidence, kind="stable")
    return weighted_error(confidence[order], right[order], np.ones(len(order)), bins)


def reliability(p: np.ndarray, y: np.ndarray, bins: int = BINS) -> list[dict[str, float]]:
    """The bins of `ece`, by rising confidence: [{"confidence": mean, "right": share, "count": rows, "lo", "hi": range}]."""
    confidence, right = _cases(p, y)
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    home = _bins(np.ones(len(order)), bins)
    table = []
    for b in np.unique(home):
        c, r = confidence[home == b], right[home == b]
        table.append({"confidence": float(c.mean()), "right": float(r.mean()), "count": len(c), "lo": float(c[0]), "hi": float(c[-1])})
    return table


def weighted_error(confidence: np.ndarray, right: np.ndarray, counts: np.ndarray, bins: int = BINS) -> float:
    """`ece` of cases [n] that are sorted by confidence already and are there counts[i] times each."""
    home = _bins(counts, bins)
    gap = np.bincount(home, counts * (confidence - right))
    return float(np.abs(gap).sum() / counts.sum())


def fit_temperature(logits: np.ndarray, targets: np.ndarray, bounds: tuple[float, float] = (0.05, 20.0)) -> float:
    """The T within `bounds` with the greatest likelihood of softmax(logits / T), targets int [n], or of sigmoid(logits / T),
    targets [n, k] of 0 and 1. It changes no decision, only confidence. Guo et al., 2017, section 4.2.

    A prior, ln T normal around 0 with deviation 1, has the weight of about one row: where every row is right, the likelihood alone
    would ask for T = 0 and call everything certain.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    z, several = np.asarray(logits, float), np.ndim(targets) == 2

    def loss(log_t: float) -> float:
        scaled = z * np.exp(-log_t)
        if several:
            return float((np.logaddexp(0, scaled) - targets * scaled).sum()) + 0.5 * log_t**2
        return float((logsumexp(scaled, 1) - scaled[np.arange(len(z)), targets]).sum()) + 0.5 * log_t**2

    found = minimize_scalar(loss, bounds=tuple(np.log(bounds)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _cases(p: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(y) == 2:
        return p.astype(float).ravel(), np.asarray(y, float).ravel()
    return p.max(1).astype(float), (p.argmax(1) == y).astype(float)


def _bins(counts: np.ndarray, bins: int) -> np.ndarray:
    """The bin of each sorted case: where the middle of its mass falls when the whole mass is cut into equal parts."""
    total = counts.sum()
    bins = int(min(bins, max(1, total // LEAST)))
    middle = np.cumsum(counts) - counts / 2
    return np.minimum((middle * bins / total).astype(np.int64), bins - 1)
