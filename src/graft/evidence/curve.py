"""Label-efficiency: what fewer labels give, what twice as many would, and how many of them transfer saves.

A point is one share of the learning rows, drawn several times. Fitted to the errors is a power law with a floor (Hestness et al.,
"Deep learning scaling is predictable, empirically", 2017; Rosenfeld et al., 2020).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np

from ..errors import OptionError
from ..metrics.bootstrap import wilson
from .stats import resamples

FEWEST = 4  # different numbers of labels for three parameters
APART = 4  # times as many labels, at least, at the last point as at the first
EXPONENTS = np.geomspace(0.05, 2.0, 41)
USUAL, DECADE = 0.5, 0.7
"""A prior on the exponent, ln c normal around ln 0.5 with deviation 0.7, has the weight of one point: four noisy points alone
often leave it open."""
LEAST_SPREAD = 0.002  # of a score: no point is taken to be more certain
REPETITIONS = 1000


@dataclass(frozen=True)
class Point:
    """share of the learning rows, in (0, 1]; n: how many; values [draws]: the scores; rows [draws, m]: what each of m scored rows adds
    to a score that is a mean over rows (1 and 0 for right and wrong), or None where the score is no such mean."""

    share: float
    n: int
    values: np.ndarray
    rows: np.ndarray | None = None

    @property
    def value(self) -> float:
        return float(np.mean(self.values))


@dataclass(frozen=True)
class Law:
    """score(n) = a - b n^-c: a is what it tends to, c in [0.05, 2]; b < 0 for scores where less is better."""

    a: float
    b: float
    c: float

    def at(self, n: float) -> float:
        return self.a - self.b * float(n) ** -self.c


def subsets(labels: np.ndarray, shares: Sequence[float], draws: int, seed: int = 0) -> list[tuple[float, np.ndarray]]:
    """(share, sorted row numbers) of every draw and share. Within a draw the smaller are parts of the larger, and every class has
    its share to within a row, and at least one row.

    labels: class numbers int [n], 0 and 1 of several labels [n, k] (a row counts for its rarest), or numbers float [n] or [n, 1]
    (stretches of neighbouring numbers count as classes). Raises OptionError where a share is not in (0, 1].
    """
    if bad := [share for share in shares if not 0 < share <= 1]:
        raise OptionError(f"A share of {bad[0]:g} of the labels cannot be drawn; give shares above 0 and at most 1.")
    strata, found = _strata(np.asarray(labels)), []
    n, classes = len(strata), np.unique(strata)
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        # Evenly spaced places in one queue for the rows of a class, the first of each class before all others.
        place = np.empty(n)
        for one in classes:
            rows = rng.permutation(np.flatnonzero(strata == one))
            place[rows] = (np.arange(len(rows)) + rng.random()) / len(rows)
            place[rows[0]] -= 1
        queue = np.argsort(place, kind="stable")
        found += [(float(share), np.sort(queue[: max(len(classes), round(share * n))])) for share in shares]
    return found


def points(draws: Sequence[Mapping]) -> list[Point]:
    """The points, fewest labels first, from {"share", "n", "value"} and, where it is known, "rows" [m] of every draw."""
    found = []
    for share in sorted({one["share"] for one in draws}):
        here = [one for one in draws if one["share"] == share]
        rows = np.asarray([one["rows"] for one in here], float) if all(one.get("rows") is not None for one in here) else None
        found.append(Point(share, round(float(np.mean([one["n"] for one in here]))), np.asarray([one["value"] for one in here]), rows))
    return found


def fit(points: Sequence[Point], higher: bool = True) -> tuple[Law | None, str]:
    """The law of the mean scores, and how it was found; None with the reason where the points do not say.

    The error (1 - score where higher is better, else the score) is a + b n^-c with a, b >= 0, by robust (soft L1) least squares,
    each point weighted by the spread of its draws.
    """
    known = sorted({p.n for p in points})
    if len(known) < FEWEST:
        return None, f"{len(known)} numbers of labels were tried; a law needs {FEWEST}"
    if known[-1] < APART * known[0]:
        return None, f"the numbers of labels tried ({known[0]} to {known[-1]}) are too near to each other"
    spread, errors = _spread(points), _errors([p.value for p in points], higher)
    fall, noise = errors[0] - errors[-1], sqrt(spread[0] ** 2 + spread[-1] ** 2)
    if fall < 2 * noise:
        return None, "the score does not rise with the labels by more than it scatters from draw to draw"
    a, b, c = (float(v[0]) for v in _laws(np.array([p.n for p in points], float), errors[None], spread))
    missed = np.abs(a + b * np.array([p.n for p in points], float) ** -c - errors)
    if (missed > np.maximum(fall / 2, 3 * spread)).any():
        return None, "the scores do not lie on a power law"
    law = Law(1 - a, b, c) if higher else Law(a, -b, c)
    return law, f"fitted to {len(points)} numbers of labels"


def twice(points: Sequence[Point], higher: bool = True, seed: int = 0) -> tuple[dict | None, str]:
    """{"n", "value", "interval", "extrapolated"}: the score that twice the most labels would give, and a word; None with the reason.

    The interval (95 %) is from refits to resampled draws and scored rows, with the scatter of one more draw; it trusts the law, and
    is too narrow where points have no rows.
    """
    law, how = fit(points, higher)
    if law is None:
        return None, how
    n, spread = np.array([p.n for p in points], float), _spread(points)
    rng = np.random.default_rng(seed)
    drawn, _ = _resampled(points, spread, rng)
    a, b, c = _laws(n, _errors(drawn, higher), spread)
    then = a + b * (2 * n[-1]) ** -c
    then = then + spread[-1] * rng.normal(size=len(then))
    value = law.at(2 * n[-1])
    ends = _errors(np.quantile(then, [0.025, 0.975]), higher)
    low, high = min(float(min(ends)), value), max(float(max(ends)), value)
    bounds = (0.0, 1.0) if higher and all(0 <= p.value <= 1 for p in points) else (-np.inf, np.inf) if higher else (0.0, np.inf)
    interval = [max(low, bounds[0]), min(high, bounds[1])]
    words = f"extrapolated from {how.removeprefix('fitted to ')}: beyond {round(n[-1]):,} labels nothing was measured{_alone(points)}"
    return {"n": 2 * round(n[-1]), "value": value, "interval": interval, "extrapolated": True}, words


def saved(
    points: Sequence[Point], scratch: float | np.ndarray, higher: bool = True, *, equal_time: bool = True, seed: int = 0
) -> tuple[dict | None, str]:
    """{"share", "n", "interval", "text"}: from how many labels on transfer scores what training from scratch scores with all of them,
    and a word; None with the reason where it never does.

    scratch: its score, or what each row adds to it, [m] or [seeds, m], the rows being those of the points. Interpolated in ln n
    after the last point that scores less. interval: numbers of labels, 95 % over draws and rows; its upper end is None where that
    is more than there are, and its lower end is the fewest that were tried where it could be fewer.
    """
    rows = np.atleast_2d(scratch) if np.ndim(scratch) else None
    target, most = float(np.mean(scratch)), points[-1].n
    n, sign = np.array([p.n for p in points], float), 1 if higher else -1
    found = _crossing(n, sign * np.array([p.value for p in points]), sign * target)
    if not isfinite(found):
        return None, f"transfer with all {most:,} labels does not reach what training from scratch scores"
    drawn, targets = _resampled(points, _spread(points), np.random.default_rng(seed), rows)
    targets = np.full(len(drawn), target) if targets is None else targets
    crossed = np.array([_crossing(n, sign * one, sign * goal) for one, goal in zip(drawn, targets, strict=True)])
    low, high = np.quantile(crossed, [0.025, 0.975], method="nearest")
    low, high = min(low, found), max(high, found)
    share = round(found) / most * points[-1].share
    first = "Already with" if found == n[0] else "With"
    tried = ", the fewest tried," if found == n[0] else ""
    reach = f"{round(high):,}" if isfinite(high) else "more than there are"
    slow = "" if equal_time else " in less time"
    text = (
        f"{first} {round(found):,} labels ({100 * share:.0f} %){tried} transfer scores what training from scratch scores with all "
        f"{most:,}{slow} (95 %{_alone(points)}: {round(low):,} to {reach})."
    )
    interval = [round(low), round(high) if isfinite(high) else None]
    return {"share": float(share), "n": round(found), "interval": interval, "text": text}, "interpolated between the points"


def described(
    draws: Sequence[Mapping], scratch: float | np.ndarray | None, higher: bool = True, label: str = "linear probe", equal_time: bool = True
) -> dict:
    """The "curve" of evidence.json, from what `points` takes and what `saved` takes; "why" says why a part of it is None."""
    given, why = points(draws), {}
    law, why["fit"] = fit(given, higher)
    double, why["twice"] = twice(given, higher)
    few, why["saved"] = saved(given, scratch, higher, equal_time=equal_time) if scratch is not None else (None, "there is no scratch")
    shown = [{"share": p.share, "n": p.n, "value": p.value, "interval": interval(p), "values": [float(v) for v in p.values]} for p in given]
    fitted = {"a": law.a, "b": law.b, "c": law.c} if law else None
    return {"label": label, "points": shown, "fit": fitted, "twice": double, "saved": few, "why": why}


def interval(point: Point) -> list[float] | None:
    """95 % of a point's mean score, over draws (t) and scored rows (Wilson, or normal for what is not 0 or 1) together (the variances
    recovered from either are added: Zou and Donner, 2008); None where one draw of a score that is no mean over rows says nothing."""
    from scipy.stats import t

    value, k = point.value, len(point.values)
    if point.rows is None and k < 2:
        return None
    over_draws = float(t.ppf(0.975, k - 1)) * float(np.std(point.values, ddof=1)) / sqrt(k) if k > 1 else 0.0
    low = high = value
    bounded = point.rows is None and 0 <= value <= 1
    if point.rows is not None:
        m = point.rows.shape[1]
        bounded = bool(np.isin(point.rows, (0.0, 1.0)).all())
        half = 1.96 * float(np.std(point.rows.mean(0))) / sqrt(m)
        low, high = wilson(value * m, m) if bounded else (value - half, value + half)
    low, high = value - sqrt((value - low) ** 2 + over_draws**2), value + sqrt((high - value) ** 2 + over_draws**2)
    return [max(0.0, low), min(1.0, high)] if bounded else [low, high]


def _alone(points: Sequence[Point]) -> str:
    return "" if all(p.rows is not None for p in points) else ", over draws alone"


def _strata(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] > 1:
        rarity = np.where(labels > 0.5, labels.sum(0), np.inf)
        return np.where(np.isfinite(rarity.min(1)), rarity.argmin(1), labels.shape[1])
    flat = labels.ravel()
    if flat.dtype.kind != "f":
        return np.unique(flat, return_inverse=True)[1]
    rank = np.argsort(np.argsort(flat, kind="stable"), kind="stable")
    return rank * min(5, len(flat)) // len(flat)


def _errors(values: np.ndarray | Sequence[float], higher: bool) -> np.ndarray:
    """Scores to errors, and errors to scores."""
    return 1 - np.asarray(values) if higher else np.asarray(values)


def _spread(points: Sequence[Point]) -> np.ndarray:
    """The standard error [points] of each mean score over draws: few draws borrow from the other points; one draw has the least of them."""
    known = [float(np.var(p.values, ddof=1)) for p in points if len(p.values) > 1]
    pooled, least = (float(np.mean(known)), min(known)) if known else (0.0, 0.0)
    variance = [
        ((len(p.values) - 1) * float(np.var(p.values, ddof=1)) + pooled) / len(p.values) / len(p.values) if len(p.values) > 1 else least
        for p in points
    ]
    return np.sqrt(np.maximum(variance, LEAST_SPREAD**2))


def _laws(n: np.ndarray, errors: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b, c [B] of error = a + b n^-c for errors [B, points]. For each exponent of a grid a and b have a closed form, which is
    solved again with the weights of soft L1 loss; then the exponent with the least loss is taken."""
    best, found = np.full(len(errors), np.inf), [np.zeros(len(errors)) for _ in range(3)]
    for c in EXPONENTS:
        x, weight = (n / n[-1]) ** -c, np.broadcast_to(spread**-2, errors.shape)
        for _ in range(4):
            a, b = _line(x, errors, weight)
            r2 = ((errors - a[:, None] - b[:, None] * x) / spread) ** 2
            weight = spread**-2 / np.sqrt(1 + r2)
        loss = (np.sqrt(1 + r2) - 1).sum(1) + 0.5 * (np.log(c / USUAL) / DECADE) ** 2
        better = loss < best
        best = np.where(better, loss, best)
        for kept, new in zip(found, (a, b * n[-1] ** c, np.full(len(errors), c)), strict=True):
            kept[better] = new[better]
    return tuple(found)


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a, b >= 0 [B] of the weighted least squares y [B, points] = a + b x."""
    total = weight.sum(1)
    mx, my = (weight * x).sum(1) / total, (weight * y).sum(1) / total
    slope = (weight * (x - mx[:, None]) * (y - my[:, None])).sum(1) / (weight * (x - mx[:, None]) ** 2).sum(1)
    through = (weight * x * y).sum(1) / (weight * x * x).sum(1)
    b = np.maximum(np.where(my - slope * mx < 0, through, slope), 0.0)
    return np.maximum(my - b * mx, 0.0), b


def _crossing(n: np.ndarray, values: np.ndarray, target: float) -> float:
    """The number of labels from which on values [points] reach the target; infinite where the last does not."""
    below = np.flatnonzero(values < target)
    if not len(below):
        return float(n[0])
    i = below[-1]
    if i == len(n) - 1:
        return float("inf")
    part = (target - values[i]) / (values[i + 1] - values[i])
    return float(np.exp(np.log(n[i]) + part * (np.log(n[i + 1]) - np.log(n[i]))))


def _resampled(
    points: Sequence[Point], spread: np.ndarray, rng: np.random.Generator, scratch: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Mean scores [B, points], and scratch's [B], in resamples of the draws and, where they are known, of the scored rows: the same
    rows everywhere, the same draws at points with as many. A single draw gets the scatter of its neighbours' instead."""
    draws, goal = [np.tile(p.values, (REPETITIONS, 1)).astype(float) for p in points], None
    if points[0].rows is not None and all(p.rows is not None for p in points):
        m = points[0].rows.shape[1]
        tables = [p.rows for p in points] + ([scratch] if scratch is not None else [])
        blocks = [[counts @ rows.T / m for rows in tables] for counts in resamples(rng, REPETITIONS, m)]
        draws = [np.concatenate(parts) for parts in zip(*blocks, strict=True)]
        goal = draws.pop().mean(1) if scratch is not None else None
    picks, found = {}, []
    for its, error in zip(draws, spread, strict=True):
        k = its.shape[1]
        if k == 1:
            found.append(its[:, 0] + error * rng.normal(size=REPETITIONS))
            continue
        if k not in picks:
            picks[k] = rng.integers(k, size=(REPETITIONS, k))
        mean = its.mean(1)
        # k drawn of k scatter less than k new ones would, by (k - 1) / k.
        found.append(mean + (np.take_along_axis(its, picks[k], 1).mean(1) - mean) * sqrt(k / (k - 1)))
    return np.stack(found, 1), goal
