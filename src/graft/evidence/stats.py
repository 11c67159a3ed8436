"""What a difference between two arms is worth, where both were scored on the same rows: interval and p, honest for few rows.

Right or wrong, one run of each arm: Tango's interval and McNemar's exact test (`difference`). Several runs (seeds), rows in groups,
losses: rows and runs are resampled together (`difference`), and so for scores that are no mean over rows, such as balanced
accuracy, F1, R2 or RMSE (`metric_difference`). Only one score a fold or draw is known: Nadeau and Bengio's t (`corrected`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt

import numpy as np

from ..metrics.bootstrap import resampled_units

LEVEL = 0.95
REPETITIONS = 2000
UNBOUNDED = ("log_loss", "mae", "rmse", "r2")
"""Metrics that do not lie in [0, 1]."""
NEXT = 1e-9
CHUNK = 2**22  # numbers drawn at once, 32 MB

Score = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Difference:
    """Of the first arm less the second, in the metric's own unit: value, its 95 % interval (an end is infinite where nothing
    bounds it), p of no difference (two-sided), and in words what p comes from. p > 0.05 means that the interval holds 0."""

    value: float
    low: float
    high: float
    p: float
    test: str

    def row(self, of: str, less: str) -> dict:
        """JSON-able, as in "differences" of evidence.json."""
        interval = [end if isfinite(end) else None for end in (self.low, self.high)]
        return {"of": of, "less": less, "value": self.value, "interval": interval, "p": self.p, "test": self.test}


def difference(
    a: np.ndarray,
    b: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    folds: int = 0,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """mean(a) - mean(b) of values a row, a and b [n] or [seeds, n] (1 and 0 for right and wrong, or losses), same rows, and same
    seeds where a seed means the same draw of the learning rows; groups [n]: rows that are drawn together; folds: into how many
    parts the rows were dealt, where each part was predicted by models that had learnt from the others, else 0.

    One seed of 0 and 1 without groups and folds: Tango's score interval, McNemar's exact p with the mid-p in `test` (the mid-p is
    nearer to 5 % but can exceed it). Otherwise see `_judged`. With one seed the words are about these two trained models; with
    several, about training runs like these; with folds, about the two ways to train. Raises ValueError where the shapes differ or
    a value is not finite.
    """
    a, b = np.atleast_2d(np.asarray(a, float)), np.atleast_2d(np.asarray(b, float))
    if a.shape != b.shape or a.ndim != 2 or not a.size:
        raise ValueError(f"a {a.shape} and b {b.shape} are not values of the same rows and seeds")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a value is not finite")
    binary = bool(np.isin(a, (0.0, 1.0)).all() and np.isin(b, (0.0, 1.0)).all())
    if binary and len(a) == 1 and groups is None and not folds:
        return proportions(int((a > b).sum()), int((b > a).sum()), a.shape[1], level)
    home, units = resampled_units(a.shape[1], groups)
    sums = np.stack([np.bincount(home, row, units) for row in a - b], 1)  # [units, seeds]
    sizes, rng = np.bincount(home, minlength=units).astype(float), np.random.default_rng(seed)
    each = sums.sum(0) / sizes.sum()
    drawn = np.concatenate([c @ sums / (c @ sizes)[:, None] for c in resamples(rng, repetitions, units)])
    mean = sums.mean(1) / sizes.sum()
    swapped = np.concatenate([signs @ mean for signs in _signs(rng, repetitions, units)])
    return _judged(_Resampled(each, drawn, swapped, units, "rows" if groups is None else "groups", binary, folds), rng, level)


def metric_difference(
    a: np.ndarray,
    b: np.ndarray,
    targets: np.ndarray,
    metrics_fn: Callable,
    name: str,
    groups: np.ndarray | None = None,
    *,
    folds: int = 0,
    repetitions: int = REPETITIONS,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """metrics_fn(a, targets)[name] less that of b, the mean over seeds; a and b are decoded outputs [n, k] or [seeds, n, k].

    Every resample takes the same rows for both arms and all seeds; with an attribute `prepare` (see graft.metrics) of metrics_fn
    it is much faster. groups and folds as in `difference`, interval and p as in `_judged`. Resamples in which the metric is
    undefined are left out.
    """
    a, b = (np.asarray(x)[None] if np.ndim(x) == 2 else np.asarray(x) for x in (a, b))
    if a.shape != b.shape or a.ndim != 3 or a.shape[1] != len(targets):
        raise ValueError(f"a {a.shape} and b {b.shape} are not outputs for the same {len(targets)} rows")
    home, units = resampled_units(len(targets), groups)
    # Both arms stand in one table of 2 n rows: counts choose the arm of a row, for a resample and for a swap.
    score = [_scorer(np.concatenate([x, y]), np.concatenate([targets, targets]), metrics_fn, name) for x, y in zip(a, b, strict=True)]
    rng, none = np.random.default_rng(seed), np.zeros(len(targets))

    def gap(first: np.ndarray, second: np.ndarray) -> list[float]:
        return [s(np.concatenate([first, second])) - s(np.concatenate([second, first])) for s in score]

    each = np.asarray(gap(none + 1, none))
    drawn = np.asarray([gap(c[home], none) for block in resamples(rng, repetitions, units) for c in block])
    stay = ((1 + s[home]) / 2 for block in _signs(rng, repetitions, units) for s in block)
    swapped = np.asarray([np.mean(gap(s, 1 - s)) for s in stay])
    keep = np.isfinite(drawn).all(1)
    what, bounded = "rows" if groups is None else "groups", name not in UNBOUNDED
    return _judged(_Resampled(each, drawn[keep], swapped[np.isfinite(swapped)], units, what, bounded, folds), rng, level)


def proportions(gained: int, lost: int, n: int, level: float = LEVEL) -> Difference:
    """(gained - lost) / n, where `gained` rows are right in the first arm only and `lost` in the second only, of n rows: Tango's
    interval, reaching to 0 where McNemar's exact test does not reject it."""
    (exact, mid), (low, high) = mcnemar(gained, lost), tango(gained, lost, n, level)
    low, high = _reaching(low, high, exact, level)
    return Difference((gained - lost) / n, low, high, exact, f"McNemar, exact (mid-p {mid:.2g})")


def mcnemar(gained: int, lost: int) -> tuple[float, float]:
    """(exact p, mid-p), two-sided: of the rows in which the arms differ, are as many won as lost? McNemar, 1947; for the mid-p
    see Fagerland, Lydersen and Laake, 2013, eq. 4."""
    from scipy.stats import binom

    fewer, both = min(gained, lost), gained + lost
    exact = min(1.0, 2 * float(binom.cdf(fewer, both, 0.5)))
    return exact, min(1.0, 2 * float(binom.cdf(fewer, both, 0.5)) - float(binom.pmf(fewer, both, 0.5)))


def tango(gained: int, lost: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of a difference of paired proportions, within [-1, 1]: the differences that a score test does not reject.
    Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample design", 1998."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + level / 2))
    value = (gained - lost) / n

    def surplus(delta: float, side: float) -> float:
        """How far the score statistic of `delta` is beyond z, times its deviation (so that it stays finite at the ends)."""
        b = -gained - lost + (2 * n - gained + lost) * delta
        root = sqrt(max(b * b + 8 * n * lost * delta * (1 - delta), 0.0))
        rare = (root - b) / (4 * n)  # the most likely share of `lost` rows, were `delta` true
        return side * n * (value - delta) - z * sqrt(max(n * (2 * rare + delta * (1 - delta)), 0.0))

    # At `value` itself both terms can be 0, which is no end: where no row differs, or every row does.
    low = -1.0 if surplus(-1.0, 1) <= 0 else float(brentq(surplus, -1.0, value - NEXT, args=(1,)))
    high = 1.0 if surplus(1.0, -1) <= 0 else float(brentq(surplus, value + NEXT, 1.0, args=(-1,)))
    return low, high


def corrected(a: Sequence[float], b: Sequence[float], test_over_train: float, level: float = LEVEL) -> Difference:
    """mean(a) - mean(b) of one score a fold or a draw, where the learning rows of the folds or draws overlap; [k], k >= 2.

    The corrected resampled t of Nadeau and Bengio, "Inference for the generalization error", 2003, eq. 9: the variance of the
    mean is (1/k + test_over_train) x the variance between folds, because scores of models that share learning rows are not
    independent; a plain t is far too sure. test_over_train: scored rows / learning rows of a fold, 1 / (k - 1) in k-fold
    cross-validation. It needs only scores; where values a row are known, `difference` with `folds` takes the same correction
    and is sharper, because a handful of folds says little of its own variance.
    """
    from scipy.stats import t

    gap = np.asarray(a, float) - np.asarray(b, float)
    k, value = len(gap), float(gap.mean())
    if k < 2:
        return Difference(value, -inf, inf, 1.0, "one fold: no test")
    error = sqrt((1 / k + test_over_train) * float(gap.var(ddof=1)))
    p = 2 * float(t.sf(abs(value) / error, k - 1)) if error else float(value == 0)
    half = error * float(t.ppf(0.5 + level / 2, k - 1))
    return Difference(value, value - half, value + half, p, f"corrected resampled t, {k} folds")


def holm(p: Sequence[float]) -> list[float]:
    """Each p of a family of comparisons, raised so that all of them together are wrong in at most 5 % (Holm, 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    raised = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    return [float(v) for v in raised[np.argsort(order, kind="stable")]]


def hierarchical(drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws [repetitions] of the mean over seeds, from drawn [repetitions, seeds] (in each, rows were resampled already): within
    each resample of rows the seeds are resampled too, all rows with the same ones (Owen, "The pigeonhole bootstrap", 2007)."""
    repetitions, seeds = drawn.shape
    picked = rng.integers(seeds, size=(repetitions, seeds))
    return np.take_along_axis(drawn, picked, 1).mean(1)


@dataclass(frozen=True)
class _Resampled:
    """each [seeds]: the differences; drawn [repetitions, seeds]: the same of resampled units (rows or groups); swapped [repetitions]:
    means over seeds with the arms of random units swapped; bounded: whether the score lies in [0, 1]."""

    each: np.ndarray
    drawn: np.ndarray
    swapped: np.ndarray
    units: int
    what: str
    bounded: bool
    folds: int


def _judged(found: _Resampled, rng: np.random.Generator, level: float) -> Difference:
    """The Difference of resampled rows and runs.

    The variance of the mean is that of resampled rows x units / (units - 1) plus that between seeds / seeds, a little more than
    the truth; the degrees of freedom are Satterthwaite's, so that 3 seeds which disagree count as 3 (and 2 can say less of runs
    like these than 1 says of itself). Each end of the interval is as many deviations away as t asks for, or further where the
    hierarchical bootstrap's percentile lies further. Of scores in [0, 1], two rows more are counted as if each arm had won one
    alone (Bonett and Price, 2012): arms that never differed in few rows are not known to be equal. p is the larger of that t's
    and of the permutation test that swaps the arms row by row (all seeds of a row together), of which McNemar's exact test is
    the form for 0 and 1; the interval holds 0 where p > 0.05.

    Rows that k folds predicted are not independent, because their models share learning rows: judged as if they were, equal arms
    are told apart in up to 15 % of cases (benchmarks/verdicts.py). Their variance is taken 1 + k / (k - 1) times, the factor of
    Nadeau and Bengio (see `corrected`) on the variance between rows, which is estimated better than that between a few folds.
    """
    from scipy.stats import norm, t

    each, drawn, units, bounded, folds = found.each, found.drawn, found.units, found.bounded, found.folds
    seeds, value = len(each), float(each.mean())
    shared = 1 + folds / (folds - 1) if folds > 1 else 1.0
    test = f"paired permutation of {units} {found.what}" + (f", t over {seeds} seeds" if seeds > 1 else "")
    test += f", corrected for {folds} folds" if folds > 1 else ""
    if units < 2 or len(drawn) < 2:
        return Difference(value, -1.0 if bounded else -inf, 1.0 if bounded else inf, 1.0, test)
    over_rows = shared * (float(drawn.mean(1).var()) * units / (units - 1) + (2 / units**2 if bounded else 0.0))
    over_seeds = float(each.var(ddof=1)) / seeds if seeds > 1 else 0.0
    error = sqrt(over_rows + over_seeds)
    extremes = (1 + (sqrt(shared) * np.abs(found.swapped) >= abs(value) * (1 - 1e-9) - 1e-15).sum()) / (1 + len(found.swapped))
    if error == 0:
        return Difference(value, value, value, float(extremes), test)
    freedom = error**4 / (over_rows**2 / (units - 1) + over_seeds**2 / max(seeds - 1, 1))
    half, z = error * float(t.ppf(0.5 + level / 2, freedom)), float(norm.ppf(0.5 + level / 2))
    draws = hierarchical(drawn, rng)
    deviation = float(draws.std())
    tails = (np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) - value) / (z * deviation) if deviation else (-1.0, 1.0)
    low, high = value - half * max(1.0, -float(tails[0])), value + half * max(1.0, float(tails[1]))
    if bounded:
        low, high = max(-1.0, low), min(1.0, high)
    p = max(float(extremes), 2 * float(t.sf(abs(value) / error, freedom)))
    return Difference(value, *_reaching(low, high, p, level), p, test)


def _reaching(low: float, high: float, p: float, level: float) -> tuple[float, float]:
    """The interval with 0 in it where the test does not reject 0."""
    return (min(low, 0.0), max(high, 0.0)) if p > 1 - level else (low, high)


def _scorer(decoded: np.ndarray, targets: np.ndarray, metrics_fn: Callable, name: str) -> Score:
    """score(counts) of one metric, where row i is there counts[i] times."""
    if hasattr(metrics_fn, "prepare"):
        all_of_them = metrics_fn.prepare(decoded, targets)
        return lambda counts: all_of_them(counts)[name]

    def score(counts: np.ndarray) -> float:
        rows = np.repeat(np.arange(len(targets)), counts.astype(np.int64))
        return metrics_fn(decoded[rows], targets[rows])[name]

    return score


def resamples(rng: np.random.Generator, repetitions: int, units: int) -> Iterator[np.ndarray]:
    """How often each unit is drawn, float [block, units], until there are `repetitions`."""
    block = max(1, CHUNK // units)
    for start in range(0, repetitions, block):
        size = min(block, repetitions - start)
        rows = rng.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        yield np.bincount(rows.ravel(), minlength=size * units).reshape(size, units).astype(float)


def _signs(rng: np.random.Generator, repetitions: int, units: int) -> Iterator[np.ndarray]:
    """1 where a unit's arms stay and -1 where they are swapped, float [block, units], until there are `repetitions`."""
    block = max(1, CHUNK // units)
    for start in range(0, repetitions, block):
        yield 2.0 * rng.integers(2, size=(min(block, repetitions - start), units)) - 1
