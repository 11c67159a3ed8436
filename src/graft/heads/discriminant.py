"""Linear discriminant analysis: classes as Gaussians of one shared, shrunk covariance."""

import numpy as np

from ..core import Solution
from ..errors import OptionError
from . import folds
from .convex import Basis, linear, widen


def solve(
    features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", outputs: int = 2, balance: bool = False
) -> Solution:
    """A linear head with the discriminants w_c = S^-1 m_c, b_c = -m_c . w_c / 2 + ln prior_c on standardised features.

    S = (1 - s) S_within + s (tr S_within / d) I with the s of Ledoit & Wolf (2004), which needs no tuning and exists with
    fewer rows than features. targets int [n]. balance: equal priors. Solution.outputs: held-out logits from stratified
    5-fold cross-validation, None where a class has one row. LDA's own confidence is too high for correlated features; a
    temperature fitted on the held-out logits mends that. Raises OptionError for other targets than one class a row.
    """
    if target != "class":
        raise OptionError("Head 'lda' gives one label a sample; use --set task.head=logistic, knn or svm_rbf.")
    hot, columns = folds.counted(targets, target, outputs)
    fold = folds.assign(targets, target, seed)
    held = None
    if fold is not None:
        out = np.empty(hot.shape)
        for learn, rest in folds.splits(fold):
            basis = Basis(features[learn])
            weight, bias, _ = _discriminants(basis, hot[learn], balance)
            out[rest] = basis.apply(features[rest]) @ weight + bias
        held = widen(out, columns, outputs)
    basis = Basis(features)
    weight, bias, shrinkage = _discriminants(basis, hot, balance)
    chosen = {"shrinkage": shrinkage, "folds": 0 if fold is None else int(fold.max()) + 1}
    return Solution(linear(*basis.raw(weight, bias), columns, outputs), held, chosen)


def _discriminants(basis: Basis, hot: np.ndarray, balance: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """(weights [r, k], biases [k], shrinkage) in the basis's coordinates."""
    from scipy.linalg import cho_factor, cho_solve

    z = basis.rotated.astype(np.float64)
    sizes = hot.sum(0)
    means = (hot.T @ z) / sizes[:, None]
    within = z - hot @ means
    d = int((basis.scale > 0).sum())
    covariance = within.T @ within / len(z)
    shrinkage = ledoit_wolf(within, covariance, d)
    level = np.trace(covariance) / max(d, 1)
    # Rows that coincide with their class's mean leave nothing to invert; the floor then ranks by plain distance.
    shrunk = (1 - shrinkage) * covariance + max(shrinkage * level, 1e-8) * np.eye(len(covariance))
    weight = cho_solve(cho_factor(shrunk), means.T)
    prior = np.full(len(sizes), 1 / len(sizes)) if balance else sizes / len(z)
    return weight, -0.5 * (means * weight.T).sum(1) + np.log(prior), shrinkage


def ledoit_wolf(rows: np.ndarray, covariance: np.ndarray, d: int) -> float:
    """The shrinkage in [0, 1] towards a multiple of the identity for centred rows [n, r] that live in d dimensions.

    Every sum in it is the same in rotated coordinates; only d must be that of the space. Ledoit & Wolf, "A well-conditioned
    estimator for large-dimensional covariance matrices", 2004, eq. 14 and lemmas 3.2-3.5.
    """
    n, total, square = len(rows), np.trace(covariance), float((covariance**2).sum())
    spread = square - total**2 / d
    noise = (float(((rows**2).sum(1) ** 2).sum()) / n - square) / n
    return float(np.clip(noise / spread, 0.0, 1.0)) if spread > 0 else 1.0
