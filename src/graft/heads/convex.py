"""L2-regularised linear models, solved exactly and fast: standardise, rotate, then L-BFGS on a well-scaled problem.

Standardising (by the learning rows) and rotating onto the features' principal axes changes nothing about an L2-regularised
optimum, but fewer rows than features then need only as many coordinates as rows, and the known curvature along each axis
scales the problem so that L-BFGS needs some ten steps for any strength.
"""

from collections.abc import Callable

import numpy as np
import torch

from ..metrics.calibration import fit_temperature
from .folds import splits
from .trained import Dense, build

TINY = 1e-10
LARGE = 2_000_000
"""Rows x features above which the rotated features are kept in float32."""
DEAD = 1e-4
"""Of the median feature's spread: one that spreads less is dead."""
ABSENT = 10.0
"""How far below the others the logit of a class without rows is."""

Link = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[float, np.ndarray]]


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean [d], scale [d]) that standardise: (x - mean) * scale, as `scales` has it."""
    mean, spread = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    return mean, scales(spread, mean)


def scales(spread: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """1 / spread [d], and 0 of a feature that does not vary, beside its mean or the others' spread: it says nothing, and dividing by its
    rounding error would let it say much. Three of minilm's 384 are dead (1e-8 of the others' spread and less); a body that learns on
    below a head that magnified them was torn apart."""
    varying = spread[spread > 0]
    least = np.maximum(1e-6 * (1e-6 + np.abs(mean)), DEAD * np.median(varying) if len(varying) else 0.0)
    return np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > least)


class Basis:
    """The standardised principal axes of features [n, d]; r = at most min(n, d) of them. standardise: off, features are only centred.

    rotated [n, r]; curvature [r]: squared singular values; `apply(other)` rotates other rows; `raw(weight, bias)` takes
    weights [r, k], bias [k] back to those of the raw features, ([k, d], [k]).
    """

    def __init__(self, features: np.ndarray, standardise: bool = True):
        self.mean, self.scale = moments(features)
        if not standardise:
            self.scale = np.ones_like(self.scale)
        x = (features - self.mean) * self.scale
        few = len(x) < x.shape[1]
        values, vectors = np.linalg.eigh(x @ x.T if few else x.T @ x)
        kept = values > TINY * max(values[-1], TINY)
        self.curvature, vectors = values[kept], vectors[:, kept]
        axes = x.T @ (vectors / np.sqrt(self.curvature)) if few else vectors
        self.axes = axes.astype(np.float32) if features.size > LARGE else axes
        self.rotated = x.astype(self.axes.dtype) @ self.axes

    def apply(self, features: np.ndarray) -> np.ndarray:
        return ((features - self.mean) * self.scale).astype(self.axes.dtype) @ self.axes

    def raw(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slope = (self.axes.astype(np.float64) @ weight).T * self.scale
        return slope, bias - slope @ self.mean


def softmax_loss(f: np.ndarray, hot: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy of logits f [n, k] against one-hot targets, and its gradient in f."""
    shifted = f - f.max(1, keepdims=True)
    power = np.exp(shifted)
    total = power.sum(1, keepdims=True)
    value = (weights * hot * (np.log(total) - shifted)).sum() / len(f)
    return float(value), weights * (power / total - hot) / len(f)


def sigmoid_loss(f: np.ndarray, hot: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross-entropy of k yes/no answers, summed over labels, mean over rows, and its gradient."""
    from scipy.special import expit

    return float((weights * (np.logaddexp(0, f) - hot * f)).sum() / len(f)), weights * (expit(f) - hot) / len(f)


def hinge_loss(f: np.ndarray, hot: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Squared hinge of k one-against-rest machines, max(0, 1 - t f)^2 with t = 2 hot - 1, summed over them, mean over rows."""
    sign = 2 * hot - 1
    short = np.maximum(0, 1 - sign * f)
    return float((weights * short**2).sum() / len(f)), -2 * weights * sign * short / len(f)


def minimise(
    basis: Basis, hot: np.ndarray, weights: np.ndarray, c: float, link: Link, start: np.ndarray | None = None, rough: bool = False
) -> np.ndarray:
    """The minimum of C x (loss summed over rows) + |W|^2 / 2 over weights and free biases: [r + 1, k], the last row the biases.

    `start`, a solution for another C, makes it faster. rough: only as exact as comparing strengths needs.
    """
    from scipy.optimize import minimize

    z, n, k = basis.rotated, len(basis.rotated), hot.shape[1]
    strength = 1.0 / (c * n)
    # The loss's curvature along each axis is at most about a quarter of the features'; in u = W / step it is near one.
    step = 1.0 / np.sqrt(0.25 * basis.curvature / n + strength)[:, None]
    free = 2.0

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        u = flat.reshape(-1, k)
        w = step * u[:-1]
        value, slope = link(z @ w.astype(z.dtype) + free * u[-1], hot, weights)
        gradient = step * (z.T @ slope.astype(z.dtype) + strength * w)
        return value + 0.5 * strength * float((w * w).sum()), np.vstack([gradient, free * slope.sum(0)]).ravel()

    first = np.zeros((z.shape[1] + 1, k)) if start is None else np.vstack([start[:-1] / step, start[-1:] / free])
    options = {"maxiter": 60, "gtol": 1e-4, "ftol": 1e-6} if rough else {"maxiter": 500, "gtol": 1e-6, "ftol": 1e-10}
    found = minimize(objective, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(-1, k)
    return np.vstack([step * found[:-1], free * found[-1:]])


def out_of_fold(
    features: np.ndarray,
    hot: np.ndarray,
    fold: np.ndarray,
    grid: tuple[float, ...],
    link: Link,
    weigh: Callable[[np.ndarray], np.ndarray],
    exclusive: bool,
    standardise: bool = True,
) -> np.ndarray:
    """Outputs [m, n, k] for rows that took no part in the solution, for the first m values of C of the rising grid, each
    solution starting from the one before. weigh(hot) -> the weights of the learning rows.

    A fold's path ends where its held-out loss has risen clearly above its least: what is left are the slowest solutions
    and none would be chosen. m is as far as every fold came.
    """
    out, reached = np.empty((len(grid), *hot.shape)), len(grid)
    for learn, held in splits(fold):
        basis = Basis(features[learn], standardise)
        rotated, weights, solution, least = basis.apply(features[held]), weigh(hot[learn]), None, np.inf
        for i, c in enumerate(grid[:reached]):
            solution = minimise(basis, hot[learn], weights, c, link, solution, rough=True)
            out[i, held] = rotated @ solution[:-1] + solution[-1]
            loss = tempered(out[i, held], hot[held], exclusive)[1]
            least = min(least, loss)
            if loss > 1.3 * least + 0.02:
                reached = i + 1
                break
    return out[:reached]


def split(solution: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(weights [r, k], biases [k]) of what `minimise` returns."""
    return solution[:-1], solution[-1]


def tempered(outputs: np.ndarray, hot: np.ndarray, exclusive: bool) -> tuple[float, float]:
    """(temperature, mean log-loss) of outputs at the temperature that suits them best. Strengths are compared so, because a
    strong penalty also makes a good direction too timid, which a single number mends."""
    t = fit_temperature(outputs, hot.argmax(1) if exclusive else hot, (0.001, 1000.0))
    return t, (softmax_loss if exclusive else sigmoid_loss)(outputs / t, hot, np.ones((len(hot), 1)))[0]


def linear(weight: np.ndarray, bias: np.ndarray, classes: np.ndarray | None = None, outputs: int = 0, unit: bool = False) -> Dense:
    """A linear head of weights [k, d], bias [k] on raw features, or on those of unit length. classes [k]: which of `outputs` the rows
    are; the others, which had no rows, get a logit well below every other's bias."""
    if classes is not None and len(classes) < outputs:
        full, low = np.zeros((outputs, weight.shape[1])), np.full(outputs, bias.min() - ABSENT)
        full[classes], low[classes] = weight, bias
        weight, bias = full, low
    # Built without drawing: the random state of the caller stays as it is.
    with torch.random.fork_rng(devices=[]):
        head = build(weight.shape[1], len(weight), unit=unit)
    with torch.no_grad():
        head.final.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        head.final.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))
    return head.eval()


def widen(outputs: np.ndarray, classes: np.ndarray, k: int) -> np.ndarray:
    """Logits [n, classes present] -> [n, k] float32; a class with no rows gets one well below the row's least."""
    if len(classes) == k:
        return outputs.astype(np.float32)
    full = np.repeat(outputs.min(1, keepdims=True) - ABSENT, k, 1)
    full[:, classes] = outputs
    return full.astype(np.float32)
