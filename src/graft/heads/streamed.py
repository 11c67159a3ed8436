"""Logistic and ridge regression on more features than memory holds: the model of `logistic`, found by passes over the rows.

A part that fits in memory chooses the strength and gives a first solution. One pass finds the features' spread and principal
axes. On these L-BFGS is well scaled and takes some dozen more passes, whatever the number of rows; ridge needs none.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..core import Solution
from . import folds
from .convex import Basis, Link, linear, minimise, moments, scales, sigmoid_loss, softmax_loss, widen
from .logistic import DEFAULT, GRID

BLOCK = 32_000_000
"""Bytes of features, and of the logits and their slopes, that are in memory at once during a pass."""
PART = 64_000_000
"""Bytes of the part that chooses the strength; solving on it takes about six times as much."""
HELD = 20_000
"""Most rows that are held out of the first solution."""
WIDE = 4096
"""Features above which their covariance is too large, and the part's principal axes stand for all rows'."""
FLAT = 1e-6
"""Variance along an axis, of standardised features, below which float32 cannot tell it from none."""
SHARP = 1e-4
"""Least mean curvature that is believed: the part can be separated more easily than all rows."""
ROUGH = {"maxiter": 30, "maxfun": 40, "maxls": 8, "gtol": 1e-4, "ftol": 1e-6}
EXACT = {"maxiter": 100, "maxfun": 120, "maxls": 8, "gtol": 1e-5, "ftol": 1e-8}
"""Of L-BFGS; maxfun, to within one line search, bounds the passes. EXACT left no probability more than 0.0003 from the optimum's."""

Weights = tuple[np.ndarray, np.ndarray]
"""(weights [d, k] of raw features, outputs [k] at `_Problem.centre`)."""


class Rows(Protocol):
    """Features [n, d] wherever they are: `rows[a:b]` and `rows[int64 numbers]` give float32 arrays [m, d]."""

    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray: ...


def regress(
    rows: Rows,
    targets: np.ndarray,
    seed: int = 0,
    target: str = "class",
    outputs: int = 2,
    balance: bool = False,
    told: Callable[[str], None] | None = None,
) -> Solution:
    """`logistic.solve` for features [n, d] that are read in blocks of 32 MB, in their order, some dozens of times.

    C is chosen on a stratified part of about 64 MB, of which a fifth is held out (C = 0.01 where that cannot be); alpha of
    ridge on the held-out rows. Solution.outputs are for Solution.rows, a stratified tenth (at most 20,000) of all rows: the
    outputs of a first head that learnt, standardisation and all, without them. The head returned goes on from there with all
    rows; below 10 rows there are no outputs. told hears of each pass. Use `logistic.solve` where the features fit in memory.
    """
    targets, columns = np.asarray(targets), np.arange(outputs)
    if target == "class":
        columns, targets = np.unique(targets, return_inverse=True)
    else:
        targets = targets.reshape(len(targets), -1).astype(np.float32, copy=False)
    problem = _Problem(rows, targets, target, len(columns), balance, told)
    rng = np.random.default_rng(seed)
    held, part = problem.parts(rng)
    if target == "number" and rows.shape[1] <= WIDE:
        problem.look(problem.read(part))
        weights, out, chosen = _ridge(problem, held)
    else:
        weights, out, chosen = _regression(problem, held, part, seed)
    chosen["passes"] = problem.passes
    slope, bias = weights
    head = linear(slope.T, bias - problem.centre.astype(np.float64) @ slope, columns, outputs)
    return Solution(head, None if out is None else widen(out, columns, outputs), chosen, None if out is None else held)


def _regression(problem: "_Problem", held: np.ndarray, part: np.ndarray, seed: int) -> tuple[Weights, np.ndarray | None, dict]:
    """(weights, outputs of the held-out rows, what was chosen) by L-BFGS."""
    features = problem.read(part)
    problem.look(features)
    c, start, chosen = _strength(problem, features, part, seed)
    whole, apart = _sums(problem, held)
    space, learn, out = _space(problem, whole, features), np.ones(len(problem.targets), bool), None
    del features
    if len(held):
        learn[held] = False
        start = _minimise(problem, space, whole.without(apart).scale(problem), learn, c, start, ROUGH)
        out = problem.apply(held, start)
        learn[held] = True
    return _minimise(problem, space, whole.scale(problem), learn, c, start, EXACT), out, chosen


@dataclass
class _Problem:
    """rows, and targets [n]: numbers of classes that all have rows, or float32 [n, k]. centre, unit [d]: float32, near the
    mean and one over the deviation, so that products of (x - centre) x unit are exact enough in float32."""

    rows: Rows
    targets: np.ndarray
    target: str
    k: int
    balance: bool
    told: Callable[[str], None] | None
    passes: int = 0
    centre: np.ndarray | None = None
    unit: np.ndarray | None = None
    curvature: np.ndarray | float = 0.25

    def look(self, features: np.ndarray) -> None:
        """Take centre and unit from some rows."""
        mean, scale = moments(features)
        self.centre, self.unit = mean.astype(np.float32), np.where(scale > 0, scale, 1).astype(np.float32)

    def bend(self, outputs: np.ndarray, hot: np.ndarray, weights: np.ndarray, columns: np.ndarray) -> None:
        """Take the loss's mean curvature [k] in each output from some rows' outputs; it scales the problem, and changes no optimum."""
        p = hot + self.link(outputs, hot, np.ones((len(hot), 1)))[1] * len(hot)
        each = np.maximum((weights * p * (1 - p)).mean(0), SHARP) if self.target != "number" else np.ones(self.k)
        self.curvature = np.full(self.k, each.min())
        self.curvature[columns] = each

    @property
    def exclusive(self) -> bool:
        return self.target == "class"

    @property
    def link(self) -> Link:
        return {"class": softmax_loss, "labels": sigmoid_loss, "number": squared_loss}[self.target]

    @property
    def size(self) -> int:
        """Rows of a block: beside its features there are about six arrays of float64 [rows, k]."""
        return max(1, BLOCK // (4 * self.rows.shape[1] + 48 * self.k))

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """One pass over all rows: (which, their features less `centre`, to be used before the next ones come)."""
        self.passes += 1
        if self.told is not None:
            self.told(f"pass {self.passes} over the features of {len(self.targets)} rows")
        # One buffer, because fresh memory for each block costs more time than the subtraction.
        buffer = np.empty((min(self.size, len(self.targets)), self.rows.shape[1]), np.float32)
        for first in range(0, len(self.targets), self.size):
            which = slice(first, min(first + self.size, len(self.targets)))
            yield which, np.subtract(self.rows[which], self.centre, out=buffer[: which.stop - first])

    def some(self, numbers: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """(which of the m, features) of the rows of rising numbers [m]."""
        for first in range(0, len(numbers), self.size):
            which = slice(first, min(first + self.size, len(numbers)))
            yield which, np.asarray(self.rows[numbers[which]], np.float32)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        out = np.empty((len(numbers), self.rows.shape[1]), np.float32)
        for which, x in self.some(numbers):
            out[which] = x
        return out

    def apply(self, numbers: np.ndarray, weights: Weights) -> np.ndarray:
        """Outputs float32 [m, k] of some rows."""
        slope, bias = weights[0].astype(np.float32), weights[1]
        out = np.empty((len(numbers), len(bias)), np.float32)
        for which, x in self.some(numbers):
            out[which] = (x - self.centre) @ slope + bias
        return out

    def hot(self, targets: np.ndarray) -> np.ndarray:
        """Targets as float64 [m, k]."""
        if not self.exclusive:
            return targets.astype(np.float64)
        out = np.zeros((len(targets), self.k))
        out[np.arange(len(targets)), targets] = 1
        return out

    def parts(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(rows held out, rows of the rest that fit in memory), rising. Both are spread evenly over classes, rarest labels or
        numbers; a class is never held out whole, and the part has five rows of each where they are not most of it."""
        n, width = self.rows.shape
        strata = _strata(self.targets, self.target)
        held = _drawn(strata, min(n // 10, HELD), rng)
        rest = np.setdiff1d(np.arange(n), held, assume_unique=True)
        held = held[np.isin(strata[held], strata[rest])]
        rest = np.setdiff1d(np.arange(n), held, assume_unique=True)
        most = max(2, PART // (4 * width + 16 * self.k))
        if most >= len(rest):
            return held, rest
        few = folds.FOLDS if 2 * folds.FOLDS * len(np.unique(strata)) <= most else 0
        return held, rest[_drawn(strata[rest], most, rng, few)]


def squared_loss(f: np.ndarray, hot: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Half the squared error of k numbers, summed over them, mean over rows, and its gradient in f."""
    short = weights * (f - hot)
    return 0.5 * float((short * (f - hot)).sum() / len(f)), short / len(f)


def _strata(targets: np.ndarray, target: str) -> np.ndarray:
    """A number for each row, alike for rows that are alike: its class, its rarest label, or its ten neighbours among the numbers."""
    if target == "class":
        return targets
    if target == "number":
        return np.argsort(np.argsort(targets[:, 0], kind="stable"), kind="stable") // 10
    rarity = np.where(targets > 0.5, targets.sum(0), np.inf)
    return np.where(np.isfinite(rarity.min(1)), rarity.argmin(1), targets.shape[1])


def _drawn(strata: np.ndarray, count: int, rng: np.random.Generator, few: int = 0) -> np.ndarray:
    """`count` rows, rising: one drawn from each of as many equal stretches of the rows ordered by stratum. few: so many of each
    stratum are among them, beyond `count` if need be."""
    n, shuffled = len(strata), rng.permutation(len(strata))
    order = shuffled[np.argsort(strata[shuffled], kind="stable")]
    edges = np.arange(count + 1) * n // max(count, 1)
    at = edges[:-1] + (rng.random(count) * np.diff(edges)).astype(np.int64)
    if few:
        _, first, sizes = np.unique(strata[order], return_index=True, return_counts=True)
        at = np.union1d(at, np.flatnonzero(np.arange(n) - np.repeat(first, sizes) < few))
    return np.sort(order[at])


def _strength(problem: _Problem, features: np.ndarray, part: np.ndarray, seed: int) -> tuple[float, Weights, dict]:
    """(C, a first solution, what was chosen) of the part: four fifths learn, each C starts from the one before, and the C with
    the least loss on the last fifth is taken. As in `out_of_fold`, the path ends where the loss has clearly risen."""
    targets, width = problem.targets[part], features.shape[1]
    if problem.exclusive:
        rows = np.bincount(targets)[targets]
        common = rows >= folds.FOLDS
        kept = common if common.mean() > 0.5 else rows > 1
        features, targets = (features, targets) if kept.all() else (features[kept], targets[kept])
    fold = folds.assign(targets, problem.target, seed) if len(targets) else None
    if fold is None:
        return DEFAULT, (np.zeros((width, problem.k)), np.zeros(problem.k)), {"C": DEFAULT, "rows": 0}
    hot, columns = folds.counted(targets, problem.target, problem.k)
    learn, rest = folds.splits(fold)[0]
    weigh = lambda rows: folds.balance(rows, problem.exclusive) if problem.balance else np.ones((len(rows), 1))  # noqa: E731
    basis, weights, checked = Basis(features[learn]), weigh(hot[learn]), weigh(hot[rest])
    rotated, solution, best, losses = basis.apply(features[rest]), None, None, []
    for c in GRID:
        solution = minimise(basis, hot[learn], weights, c, problem.link, solution, rough=True)
        losses.append(problem.link(rotated @ solution[:-1] + solution[-1], hot[rest], checked)[0])
        if losses[-1] == min(losses):
            best = solution
        if losses[-1] > 1.3 * min(losses) + 0.02:
            break
    problem.bend(rotated @ best[:-1] + best[-1], hot[rest], checked, columns)
    least = int(np.argmin(losses))
    raw, bias = basis.raw(best[:-1], best[-1])
    slope, at = np.zeros((width, problem.k)), np.full(problem.k, (bias + raw @ problem.centre).min())
    slope[:, columns], at[columns] = raw.T, bias + raw @ problem.centre
    chosen = {"C": GRID[least], "rows": len(targets), "score": losses[least], "criterion": f"loss on {len(rest)} held-out rows"}
    return GRID[least], (slope, at), chosen


class _Sums:
    """n, total [d], second ([d, d], or its diagonal [d]), total_y [k] and cross [d, k]: float64 sums of a block's float32 products."""

    def __init__(self, width: int, k: int, full: bool):
        self.n, self.total, self.second = 0, np.zeros(width), np.zeros((width, width) if full else width)
        self.total_y, self.cross = np.zeros(k), np.zeros((width, k))

    def add(self, x: np.ndarray, y: np.ndarray | None) -> None:
        self.n += len(x)
        self.total += x.sum(0, dtype=np.float64)
        self.second += x.T @ x if self.second.ndim == 2 else np.einsum("ij,ij->j", x, x)
        if y is not None:
            self.cross += x.T @ y
            self.total_y += y.sum(0, dtype=np.float64)

    def without(self, other: "_Sums") -> "_Sums":
        out, diagonal = _Sums(0, 0, False), self.second.ndim > other.second.ndim
        out.n, out.total, out.total_y = self.n - other.n, self.total - other.total, self.total_y - other.total_y
        out.second, out.cross = (np.diag(self.second) if diagonal else self.second) - other.second, self.cross - other.cross
        return out

    def scale(self, problem: _Problem) -> np.ndarray:
        """What standardises the raw features, as `moments` does, and 0 where they do not vary."""
        mean = self.total / self.n
        square = np.diag(self.second) if self.second.ndim == 2 else self.second
        spread = np.sqrt(np.maximum(square / self.n - mean**2, 0)) / problem.unit
        return scales(spread, problem.centre + mean / problem.unit)


def _sums(problem: _Problem, held: np.ndarray) -> tuple[_Sums, _Sums]:
    """(of all rows, of the held-out ones), found in one pass; of the latter the diagonal alone where no more is asked for."""
    width, numbers = problem.rows.shape[1], problem.target == "number"
    full = width <= WIDE
    whole, apart = _Sums(width, problem.k, full), _Sums(width, problem.k, full and numbers)
    out = np.zeros(len(problem.targets), bool)
    out[held] = True
    for which, x in problem.blocks():
        x *= problem.unit
        y, those = problem.targets[which] if numbers else None, out[which]
        whole.add(x, y)
        apart.add(x[those], None if y is None else y[those])
    return whole, apart


@dataclass(frozen=True)
class _Space:
    """Principal axes [d, r] of standardised features, the variance [r] along each, and `rest`, that off them."""

    axes: np.ndarray
    variance: np.ndarray
    rest: float

    def bent(self, v: np.ndarray, power: float, curvature: np.ndarray, strength: float) -> np.ndarray:
        """(curvature [k] x covariance + strength)^power v, for v [d, k]."""
        off = (curvature * self.rest + strength) ** power
        along = (np.outer(self.variance, curvature) + strength) ** power - off
        return off * v + self.axes @ (along * (self.axes.T @ v.astype(self.axes.dtype)))


def _space(problem: _Problem, sums: _Sums, features: np.ndarray) -> _Space:
    """Of all rows; of the part, features [m, d], where they are too wide for that."""
    if sums.second.ndim == 1:
        basis = Basis(features)
        variance = basis.curvature / len(features)
        return _Space(basis.axes, variance, float(variance.min(initial=1.0)))
    values, vectors = np.linalg.eigh(_correlation(sums, sums.scale(problem) / problem.unit))
    kept = values > FLAT
    return _Space(vectors[:, kept], values[kept], FLAT)


def _correlation(sums: _Sums, scale: np.ndarray) -> np.ndarray:
    mean = sums.total / sums.n
    return (sums.second / sums.n - np.outer(mean, mean)) * scale * scale[:, None]


def _minimise(problem: _Problem, space: _Space, scale: np.ndarray, learn: np.ndarray, c: float, start: Weights, options: dict) -> Weights:
    """`convex.minimise` over the rows that learn (bool [n]), standardised by `scale`, each evaluation one pass."""
    from scipy.optimize import minimize

    n, k, curvature = int(learn.sum()), problem.k, np.broadcast_to(problem.curvature, problem.k)
    strength, weigh, free = 1.0 / (c * n), _weights(problem, learn), 1 / np.sqrt(curvature)

    # In u = bent(weights, 1/2), and biases / free, the problem's curvature is near one in every direction.
    def bent(v: np.ndarray, power: float) -> np.ndarray:
        return space.bent(v, power, curvature, strength)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        u = flat.reshape(-1, k)
        w = bent(u[:-1], -0.5)
        slope, bias = (scale[:, None] * w).astype(np.float32), free * u[-1]
        value, to_slope, to_bias = 0.0, np.zeros(w.shape), np.zeros(k)
        for which, x in problem.blocks():
            hot = problem.hot(problem.targets[which])
            block, error = problem.link(x @ slope + bias, hot, weigh(hot, learn[which]))
            error *= len(x) / n
            value += block * len(x) / n
            to_slope += x.T @ error.astype(np.float32)
            to_bias += error.sum(0)
        gradient = bent(scale[:, None] * to_slope + strength * w, -0.5)
        return value + 0.5 * strength * float((w * w).sum()), np.vstack([gradient, free * to_bias]).ravel()

    flat = np.divide(start[0], scale[:, None], out=np.zeros_like(start[0]), where=scale[:, None] > 0)
    first = np.vstack([bent(flat, 0.5), start[1] / free])
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(-1, k)
    return scale[:, None] * bent(found[:-1], -0.5), free * found[-1]


def _weights(problem: _Problem, learn: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(hot [m, k], which of the m learn) -> weights [m, 1] or [m, k], 0 for those that do not; those of `folds.balance`."""
    if not problem.balance:
        return lambda hot, those: those[:, None].astype(np.float64)
    n, targets = int(learn.sum()), problem.targets[learn]
    if problem.exclusive:
        each = n / (problem.k * np.bincount(targets, minlength=problem.k))
        return lambda hot, those: (hot @ each * those)[:, None]
    there = targets.sum(0, dtype=np.float64)
    yes, no = n / (2 * np.maximum(there, 1)), n / (2 * np.maximum(n - there, 1))
    return lambda hot, those: np.where(hot > 0.5, yes, no) * those[:, None]


def _ridge(problem: _Problem, held: np.ndarray) -> tuple[Weights, np.ndarray | None, dict]:
    """(weights, outputs of the held-out rows, what was chosen), from the sums of one pass; alpha as in `logistic`."""
    whole, apart = _sums(problem, held)
    alphas = [1 / c for c in GRID]
    if not len(held):
        return _shrunk(problem, whole, [1 / DEFAULT])[0], None, {"alpha": 1 / DEFAULT}
    slopes, biases = zip(*_shrunk(problem, whole.without(apart), alphas))
    out = problem.apply(held, (np.hstack(slopes), np.hstack(biases))).reshape(len(held), len(alphas), -1)
    losses = ((out - problem.targets[held][:, None]) ** 2).mean((0, 2), dtype=np.float64)
    best = int(np.argmin(losses))
    chosen = {"alpha": alphas[best], "score": float(losses[best]), "criterion": f"squared error of {len(held)} held-out rows"}
    return _shrunk(problem, whole, [alphas[best]])[0], out[:, best], chosen


def _shrunk(problem: _Problem, sums: _Sums, alphas: list[float]) -> list[Weights]:
    scale, mean, mean_y = sums.scale(problem) / problem.unit, sums.total / sums.n, sums.total_y / sums.n
    values, axes = np.linalg.eigh(_correlation(sums, scale))
    values, axes = values[values > FLAT], axes[:, values > FLAT]
    toward = axes.T @ (scale[:, None] * (sums.cross / sums.n - np.outer(mean, mean_y)))
    slopes = [scale[:, None] * (axes @ (toward / (values + alpha / sums.n)[:, None])) for alpha in alphas]
    return [(slope * problem.unit[:, None], mean_y - mean @ slope) for slope in slopes]
