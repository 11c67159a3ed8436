"""How far a score can be trusted: intervals from resampling the scored rows (Efron, 1979)."""

from collections.abc import Callable

import numpy as np

RATES = ("accuracy", "f1", "exact_match")
"""Metrics whose name ends so are rates: at exactly 0 or 1 every resample agrees and only Wilson's interval has a width."""


def intervals(
    decoded: np.ndarray,
    targets: np.ndarray,
    metrics_fn: Callable,
    repetitions: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: np.ndarray | None = None,
) -> dict[str, tuple[float, float, float]]:
    """{metric: (value, lo, hi)} by the percentile bootstrap over rows, or over whole groups where `groups` [n] names them.

    metrics_fn(decoded, targets) -> {name: float}; with an attribute `prepare` (see graft.metrics) it is much faster.
    An accuracy or F1 of exactly 0 or 1 gets Wilson's interval for n rows (n groups, where given), because its bootstrap
    interval would have no width; for averages over classes that is an approximation, too narrow where classes are rare.
    The interval always contains the value: resampling repeats rows, which biases calibration errors upwards.
    The interval is about the rows that were scored, not about what another training run would give.
    """
    n = len(targets)
    score = metrics_fn.prepare(decoded, targets) if hasattr(metrics_fn, "prepare") else _plain(metrics_fn, decoded, targets)
    value = score(np.ones(n))
    home, units = resampled_units(n, groups)
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {name: [] for name in value}
    for _ in range(repetitions):
        counts = np.bincount(rng.integers(units, size=units), minlength=units)[home]
        for name, drawn in score(counts).items():
            draws[name].append(drawn)
    tail = (1 - level) / 2
    out = {}
    for name, v in value.items():
        if name.endswith(RATES) and v in (0.0, 1.0):
            lo, hi = wilson(v * units, units, level)
        else:
            known = np.asarray(draws[name])[np.isfinite(draws[name])]
            lo, hi = np.quantile(known, [tail, 1 - tail]) if len(known) else (v, v)
        out[name] = (float(v), float(min(lo, v)), float(max(hi, v)))
    return out


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    repetitions: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    groups: np.ndarray | None = None,
) -> tuple[float, float, float]:
    """(mean(a) - mean(b), lo, hi) by the percentile bootstrap over rows (or groups); a and b [n] are per-row values on the
    same rows, such as 0/1 for wrong/right.

    Where two 0/1 columns differ by the same amount in every row, the bootstrap has no width; the interval then reaches
    as far as Wilson's upper bound on the rate of rows that do otherwise.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    difference = a - b
    home, units = resampled_units(len(a), groups)
    value = float(difference.mean())
    if np.ptp(difference) == 0 and np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        reach = wilson(0, units, level)[1]
        return value, max(-1.0, value - reach), min(1.0, value + reach)
    sums, sizes = np.bincount(home, difference, units), np.bincount(home, minlength=units)
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(repetitions):
        drawn = rng.integers(units, size=units)
        means.append(sums[drawn].sum() / sizes[drawn].sum())
    tail = (1 - level) / 2
    lo, hi = np.quantile(means, [tail, 1 - tail])
    return value, float(lo), float(hi)


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson, 1927); never empty, within [0, 1]."""
    from statistics import NormalDist

    z = NormalDist().inv_cdf(0.5 + level / 2)
    p, z2 = successes / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * (p * (1 - p) / n + z2 / (4 * n * n)) ** 0.5
    # At the ends the formula's own end is exact; rounding must not move it.
    return (0.0 if successes == 0 else max(0.0, centre - half)), (1.0 if successes == n else min(1.0, centre + half))


def _plain(metrics_fn: Callable, decoded: np.ndarray, targets: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    def score(counts: np.ndarray) -> dict[str, float]:
        rows = np.repeat(np.arange(len(targets)), counts.astype(np.int64))
        return metrics_fn(decoded[rows], targets[rows])

    return score


def resampled_units(n: int, groups: np.ndarray | None) -> tuple[np.ndarray, int]:
    """The resampled unit of each row, and how many there are."""
    if groups is None:
        return np.arange(n), n
    names, home = np.unique(np.asarray(groups), return_inverse=True)
    return home, len(names)
