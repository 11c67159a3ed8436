"""Support vector machines, one against the rest, whose decision values are calibrated into logits."""

import numpy as np
import torch
from torch import Tensor, nn

from ..core import Solution
from ..errors import OptionError
from . import folds
from .convex import ABSENT, Basis, hinge_loss, linear, minimise, moments, out_of_fold, sigmoid_loss, softmax_loss, split, widen

GRID = tuple(10.0**e for e in range(-6, 2))
DEFAULT = 0.001
RBF_GRID = (0.1, 1.0, 10.0, 100.0)
RBF_DEFAULT = 1.0
ROWS = 10_000
"""The kernel of more rows than this would need more than a gigabyte and hours."""
EPSILON = 0.1
"""Width, in standard deviations, of the tube within which a number's error costs nothing (scikit-learn's default)."""


class Kernel(nn.Module):
    """Raw features [n, width] -> gain x decision + offset [n, outputs]; decision = exp(-gamma |x - v|^2) . dual + intercept
    over the `vectors` support vectors v, x and v standardised."""

    def __init__(self, width: int, outputs: int, vectors: int):
        super().__init__()
        self.config = {"kind": "kernel", "width": width, "outputs": outputs, "vectors": vectors}
        for name, shape in {"mean": (width,), "scale": (width,), "gamma": (), "support": (vectors, width), "dual": (vectors, outputs),
                            "intercept": (outputs,), "gain": (outputs,), "offset": (outputs,)}.items():  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))

    def decision(self, features: Tensor) -> Tensor:
        """Decision values [n, outputs], before calibration."""
        x = (features.float() - self.mean) * self.scale
        square = (x * x).sum(1, keepdim=True) + (self.support * self.support).sum(1) - 2 * x @ self.support.T
        return torch.exp(-self.gamma * square.clamp(min=0)) @ self.dual + self.intercept

    def forward(self, features: Tensor) -> Tensor:
        return self.decision(features) * self.gain + self.offset


def solve(
    features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", outputs: int = 2, balance: bool = False
) -> Solution:
    """A linear head: L2-regularised squared-hinge machines (scikit-learn's LinearSVC, with free biases), one against the
    rest on standardised features, their held-out decision values calibrated by `calibrate`; C by the calibrated held-out
    log-loss of stratified 5-fold cross-validation (C = 0.001 and the plain decision values where a class has one row).

    targets int [n] ("class") or [n, k] of 0 and 1 ("labels"). Solution.outputs: held-out logits; the 2 k numbers of the
    calibration have seen them, the machines have not. Raises OptionError for numbers.
    """
    if target == "number":
        raise OptionError("Head 'svm' does not predict numbers; use --set task.head=linear, logistic, knn or svm_rbf.")
    hot, columns = folds.counted(targets, target, outputs)
    exclusive = target == "class"
    fold = folds.assign(targets, target, seed)

    def weigh(rows: np.ndarray) -> np.ndarray:
        return _against_rest(rows) if balance else np.ones((len(rows), 1))

    gain, offset, held, chosen = np.ones(len(columns)), np.zeros(len(columns)), None, {"C": DEFAULT, "folds": 0}
    if fold is not None:
        gain, offset, held, chosen = _best(out_of_fold(features, hot, fold, GRID, hinge_loss, weigh, exclusive), hot, GRID, exclusive)
        held, chosen["folds"] = widen(held, columns, outputs), int(fold.max()) + 1
    basis = Basis(features)
    weight, bias = basis.raw(*split(minimise(basis, hot, weigh(hot), chosen["C"], hinge_loss)))
    return Solution(linear(weight * gain[:, None], bias * gain + offset, columns, outputs), held, chosen)


def solve_rbf(
    features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", outputs: int = 2, balance: bool = False
) -> Solution:
    """A Kernel head: scikit-learn's SVC with the Gaussian kernel, one against the rest, or SVR for numbers, on standardised
    features; gamma = 1 / (width x variance), C as in `solve` (by held-out squared error for numbers).

    Raises OptionError above 10000 rows.
    """
    if len(features) > ROWS:
        raise OptionError(f"Head 'svm_rbf' takes at most {ROWS} rows and there are {len(features)}; use --set task.head=svm or logistic.")
    hot, columns = folds.counted(targets, target, outputs)
    fold = folds.assign(targets, target, seed)
    gain, offset, held, chosen = np.ones(len(columns)), np.zeros(len(columns)), None, {"C": RBF_DEFAULT, "folds": 0}
    if fold is not None:
        out = np.empty((len(RBF_GRID), *hot.shape))
        for learn, rest in folds.splits(fold):
            x, other, gamma = _standardised(features[learn], features[rest])
            kernel, against = _gaussian(x, x, gamma), _gaussian(other, x, gamma)
            for i, c in enumerate(RBF_GRID):
                dual, bias = _machines(kernel, hot[learn], c, target, balance)
                out[i, rest] = against @ dual + bias
        if target == "number":
            losses = [float(((o - hot) ** 2).mean()) for o in out]
            best = int(np.argmin(losses))
            held, chosen = out[best], {"C": RBF_GRID[best], "score": losses[best], "criterion": "held-out squared error"}
        else:
            gain, offset, held, chosen = _best(out, hot, RBF_GRID, target == "class")
        held, chosen["folds"] = widen(held, columns, outputs), int(fold.max()) + 1
    head = _kernel_head(features, hot, chosen["C"], target, balance, columns, outputs)
    with torch.no_grad():
        head.offset.fill_(float(offset.min()) - ABSENT)
        head.gain[columns], head.offset[columns] = torch.from_numpy(gain).float(), torch.from_numpy(offset).float()
    chosen["vectors"] = len(head.support)
    return Solution(head.eval(), held, chosen)


def calibrate(decisions: np.ndarray, hot: np.ndarray, exclusive: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """(gain [k] > 0, offset [k], mean loss): logits = gain x decision + offset with the greatest likelihood under softmax
    (exclusive) or sigmoid, as Platt (1999) does for one machine.

    A weak prior (gains alike and near 1 for decisions of unit size, offsets near 0, with the weight of about one row) keeps
    them finite where the held-out decisions separate the classes, and together where a class has few rows.
    """
    from scipy.optimize import minimize

    n, k = decisions.shape
    unit = max(float(np.sqrt((decisions**2).mean())), 1e-12)
    decisions = decisions / unit
    link = softmax_loss if exclusive else sigmoid_loss
    even = np.ones((n, 1))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        shared, own, offset = flat[0], flat[1 : k + 1], flat[k + 1 :]
        scaled = np.exp(shared + own) * decisions
        value, slope = link(scaled + offset, hot, even)
        per_gain = (slope * scaled).sum(0) * n
        prior = 0.5 * (shared**2 / 4 + own @ own + offset @ offset)
        gradient = np.concatenate([[per_gain.sum() + shared / 4], per_gain + own, slope.sum(0) * n + offset])
        return value * n + prior, gradient

    # Within bounds, so that a first long step of the line search cannot overflow.
    limits = [(-6, 6)] + [(-4, 4)] * k + [(-30, 30)] * k
    found = minimize(objective, np.zeros(2 * k + 1), jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 200}).x
    gain, offset = np.exp(found[0] + found[1 : k + 1]), found[k + 1 :]
    return gain / unit, offset, link(gain * decisions + offset, hot, even)[0]


def _best(candidates: np.ndarray, hot: np.ndarray, grid: tuple[float, ...], exclusive: bool):
    """(gain, offset, held-out logits, chosen) of the C whose calibrated held-out loss is least."""
    trials = [calibrate(out, hot, exclusive) for out in candidates]
    best = int(np.argmin([trial[2] for trial in trials]))
    gain, offset, loss = trials[best]
    chosen = {"C": grid[best], "score": loss, "criterion": "held-out log-loss, calibrated"}
    return gain, offset, candidates[best] * gain + offset, chosen


def _against_rest(hot: np.ndarray) -> np.ndarray:
    return folds.balance(hot, exclusive=False)


def _standardised(features: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    mean, scale = moments(features)
    x = (features - mean) * scale
    return x, (other - mean) * scale, _gamma(x)


def _gamma(x: np.ndarray) -> float:
    return 1.0 / (x.shape[1] * max(float(x.var()), 1e-12))


def _gaussian(a: np.ndarray, b: np.ndarray, gamma: float) -> np.ndarray:
    square = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * a @ b.T
    return np.exp(-gamma * np.maximum(square, 0))


def _machines(kernel: np.ndarray, hot: np.ndarray, c: float, target: str, balance: bool) -> tuple[np.ndarray, np.ndarray]:
    """(dual [n, k], intercept [k]): decision = kernel(x, rows) @ dual + intercept."""
    from sklearn.svm import SVC, SVR

    dual, intercept = np.zeros(hot.shape), np.zeros(hot.shape[1])
    for j, column in enumerate(hot.T):
        if target != "number" and column.min() == column.max():
            intercept[j] = 2 * column[0] - 1  # A label that every row has, or none: no machine, always that answer.
            continue
        if target == "class" and hot.shape[1] == 2 and j == 1:
            dual[:, 1], intercept[1] = -dual[:, 0], -intercept[0]
            continue
        if target == "number":
            machine = SVR(kernel="precomputed", C=c, epsilon=EPSILON, cache_size=400).fit(kernel, column)
        else:
            weights = "balanced" if balance else None
            machine = SVC(kernel="precomputed", C=c, class_weight=weights, cache_size=400).fit(kernel, column > 0.5)
        dual[machine.support_, j], intercept[j] = machine.dual_coef_[0], machine.intercept_[0]
    return dual, intercept


def _kernel_head(features: np.ndarray, hot: np.ndarray, c: float, target: str, balance: bool, columns: np.ndarray, outputs: int) -> Kernel:
    mean, scale = moments(features)
    x = (features - mean) * scale
    gamma = _gamma(x)
    dual, intercept = _machines(_gaussian(x, x, gamma), hot, c, target, balance)
    used = np.flatnonzero(np.abs(dual).sum(1))
    head = Kernel(features.shape[1], outputs, len(used))
    buffers = {"mean": mean, "scale": scale, "gamma": np.array(gamma), "support": x[used]}
    with torch.no_grad():
        for name, value in buffers.items():
            getattr(head, name).copy_(torch.as_tensor(value))
        head.dual[:, columns], head.intercept[columns] = torch.from_numpy(dual[used]).float(), torch.from_numpy(intercept).float()
    return head
