"""L2-regularised logistic regression, or ridge regression of numbers: the linear probe, solved exactly."""

import numpy as np

from ..core import Solution
from ..errors import OptionError
from . import folds
from .convex import Basis, linear, minimise, out_of_fold, sigmoid_loss, softmax_loss, split, widen
from .trained import Dense

GRID = tuple(10.0**e for e in range(-5, 3))
"""C of `C x summed loss + |W|^2 / 2` on standardised features, as in scikit-learn (whose two-class form needs twice the C)."""
DEFAULT = 0.01
"""C where there are too few rows to choose one: strong, since a thousand features separate a handful of rows in any case."""
UNIT_GRID = tuple(10.0**e for e in range(-2, 5))
UNIT_DEFAULT = 1.0
"""The same of features of unit length, whose d squares sum to 1 and not to d; 1 is scikit-learn's, with which SetFit's head is solved."""


def solve(
    features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", outputs: int = 2, balance: bool = False
) -> Solution:
    """A linear head on raw features [n, width], its strength the one with the best held-out log-loss in stratified 5-fold
    cross-validation (fewer folds where a class has fewer rows; C = 0.01 and no held-out outputs where a class has one).

    target "class" (targets int [n]): multinomial; "labels" ([n, k] of 0 and 1): one binary regression a label, one C for
    all; "number" ([n, 1]): ridge. Biases are free. Standardisation is learnt inside each fold and is part of the head's
    weights. balance: every class (each label's yes and no) counts the same. Solution.outputs: held-out logits [n, outputs].
    """
    if target == "number":
        return _ridge(features, targets.reshape(len(targets), -1).astype(float), folds.assign(targets, target, seed))
    return _search(features, targets, seed, target, outputs, balance, GRID, DEFAULT)


def solve_unit(
    features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", outputs: int = 2, balance: bool = False,
    c: float | None = None,
) -> Solution:  # fmt: skip
    """As `solve` for "class" and "labels", on features of length 1 that are not standardised: directions alone count, and of these
    those along which the rows differ most. It suits features whose cosines were learnt; standardising would make much of axes
    along which learnt rows hardly differ any more. c: the strength, where it is known and nothing is chosen; held-out outputs are
    found all the same.
    """
    if target == "number":
        raise OptionError("Head 'logistic_unit' is not made for numbers; use --set task.head=logistic, knn or svm_rbf.")
    size = np.linalg.norm(features, axis=1, keepdims=True)
    # As the head itself has it, whose rows of zeros stay so.
    features = features / np.maximum(size, 1e-12)
    return _search(features, targets, seed, target, outputs, balance, (c,) if c else UNIT_GRID, c or UNIT_DEFAULT, unit=True)


def _search(
    features: np.ndarray, targets: np.ndarray, seed: int, target: str, outputs: int, balance: bool, grid: tuple[float, ...],
    default: float, unit: bool = False,
) -> Solution:  # fmt: skip
    """The head at the strength of the grid with the best held-out log-loss; standardised unless `unit`."""
    fold = folds.assign(targets, target, seed)
    hot, columns = folds.counted(targets, target, outputs)
    exclusive = target == "class"
    link = softmax_loss if exclusive else sigmoid_loss

    def weigh(rows: np.ndarray) -> np.ndarray:
        return folds.balance(rows, exclusive) if balance else np.ones((len(rows), 1))

    held, c, chosen = None, default, {"C": default, "folds": 0} if len(grid) > 1 else {"C": default}
    if fold is not None:
        candidates = out_of_fold(features, hot, fold, grid, link, weigh, exclusive, not unit)
        losses = [link(out, hot, weigh(hot))[0] for out in candidates]
        best = int(np.argmin(losses))
        c, held = grid[best], widen(candidates[best], columns, outputs)
        if len(grid) > 1:
            chosen = {"C": c, "folds": int(fold.max()) + 1, "score": losses[best], "criterion": "held-out log-loss"}
    basis = Basis(features, not unit)
    return Solution(linear(*basis.raw(*split(minimise(basis, hot, weigh(hot), c, link))), columns, outputs, unit), held, chosen)


def at_strength(features: np.ndarray, targets: np.ndarray, c: float, outputs: int) -> Dense:
    """The linear head on class numbers [n] at a strength that is known, without cross-validation: 40 times as fast as `solve`."""
    hot, columns = folds.counted(targets, "class", outputs)
    basis = Basis(features)
    return linear(*basis.raw(*split(minimise(basis, hot, np.ones((len(hot), 1)), c, softmax_loss))), columns, outputs)


def _ridge(features: np.ndarray, targets: np.ndarray, fold: np.ndarray | None) -> Solution:
    """Squared error summed over rows + |W|^2 / (2 C) x 2, so alpha = 1 / C as scikit-learn's Ridge counts it."""
    alphas = [1 / c for c in GRID]
    held, alpha, chosen = None, 1 / DEFAULT, {"alpha": 1 / DEFAULT, "folds": 0}
    if fold is not None:
        candidates = np.empty((len(alphas), *targets.shape))
        for learn, rest in folds.splits(fold):
            basis, y = Basis(features[learn]), targets[learn]
            rotated = basis.apply(features[rest])
            for i, a in enumerate(alphas):
                candidates[i, rest] = rotated @ _shrunk(basis, y, a) + y.mean(0)
        losses = [float(((out - targets) ** 2).mean()) for out in candidates]
        best = int(np.argmin(losses))
        alpha, held = alphas[best], candidates[best].astype(np.float32)
        chosen = {"alpha": alpha, "folds": int(fold.max()) + 1, "score": losses[best], "criterion": "held-out squared error"}
    basis = Basis(features)
    return Solution(linear(*basis.raw(_shrunk(basis, targets, alpha), targets.mean(0))), held, chosen)


def _shrunk(basis: Basis, y: np.ndarray, alpha: float) -> np.ndarray:
    return basis.rotated.T @ (y - y.mean(0)) / (basis.curvature + alpha)[:, None]
