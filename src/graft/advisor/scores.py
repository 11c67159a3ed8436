"""How well features tell the labels apart, before anything is trained: numbers that rank bodies and layers."""

from dataclasses import dataclass

import numpy as np

from ..errors import DataError
from ..heads import folds
from ..heads.convex import Basis, moments, out_of_fold, sigmoid_loss, softmax_loss
from ..heads.discriminant import ledoit_wolf
from ..heads.logistic import GRID
from ..metrics import classification, multilabel, regression
from ..metrics.bootstrap import intervals, wilson

METRIC = {"class": "accuracy", "labels": "mean_average_precision", "number": "r2"}
"""The score of a probe, by target: higher is better in all three."""
ROUNDS, CLOSE = 300, 1e-4
"""At most so many steps of LogME's fixed-point iteration, which ends where ln(alpha / beta) moves by less than CLOSE."""
TINY, HUGE = 1e-10, 1e10
"""Bounds of alpha / beta, in units of the largest squared singular value: features without any signal drive it to infinity."""
NEIGHBOURS, FARTHEST = 5, 10
LARGEST = 5000
"""Rows above which `knn` looks at a drawn part only: all distances between rows take memory and time of their square."""


def logme(features: np.ndarray, targets: np.ndarray, target: str = "class") -> float:
    """The log evidence per row of y = F w + noise, w ~ N(0, 1/alpha), noise ~ N(0, 1/beta), at its best alpha and beta; any
    real number, higher is better. features [n, d]; targets int [n] ("class": each class against the rest, averaged), [n, k]
    of 0 and 1 ("labels") or [n, 1] ("number"; the value depends on the unit, the order of bodies does not).

    One decomposition serves all columns; alpha and beta follow from the fixed-point iteration of You et al. ("LogME", ICML
    2021, and "Ranking and Tuning Pre-trained Models", JMLR 2022). Features are taken as they are, with no bias, as there.
    Compares features of the same rows only. Raises DataError where nothing varies in the targets.
    """
    x, y = _columns(features, targets, target)
    values, rotated = _spectrum(x)
    z = (rotated.T @ y) ** 2 / values[:, None]
    rest = np.maximum((y * y).sum(0) - z.sum(0), 1e-12 * (y * y).sum(0))
    n, s = len(x), values[:, None]
    ratio = np.full(y.shape[1], values.mean() if len(values) else 1.0)
    low, high = (TINY * values[-1], HUGE * values[-1]) if len(values) else (1.0, 1.0)
    moving = np.arange(y.shape[1])
    for _ in range(ROUNDS):
        shrink = s / (s + ratio[moving])
        gamma = shrink.sum(0)
        weights = (z[:, moving] * shrink**2 / s).sum(0)
        residual = (z[:, moving] * (1 - shrink) ** 2).sum(0) + rest[moving]
        with np.errstate(divide="ignore", invalid="ignore"):
            new = np.nan_to_num(gamma / weights * residual / (n - gamma), nan=high, posinf=high)
        new = np.clip(new, low, high)
        far = np.abs(np.log(new / ratio[moving])) > CLOSE
        ratio[moving] = new
        moving = moving[far]
        if not len(moving):
            break
    # With alpha = ratio x beta, the best beta is n / energy, and the evidence is that of N(0, (I + F F' / ratio) / beta).
    energy = (z * ratio / (ratio + s)).sum(0) + rest
    evidence = 0.5 * n * (np.log(n / energy) - 1 - np.log(2 * np.pi)) - 0.5 * np.log1p(s / ratio).sum(0)
    return float(evidence.mean() / n)


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """tr(C_a^-1 (1 - a) B), between 0 and the number of classes - 1, higher is better: B is the covariance of the class
    means, C_a = (1 - a) C + a (tr C / d) I the features' own with the shrinkage a of Ledoit & Wolf (2004), so that it exists
    with more features than rows. features [n, d], labels int [n]; 0 where no feature varies.

    Bao et al., "An information-theoretic approach to transferability in task transfer learning" (ICIP 2019), in the form of
    Ibrahim et al., "Newer is not always better" (ECML PKDD 2022). Raises DataError with one class.
    """
    x, hot = _columns(features, labels, "class")
    n, d = x.shape
    values, rotated = _spectrum(x - x.mean(0))
    if not len(values):
        return 0.0
    covariance = values / n
    shrinkage = ledoit_wolf(rotated, np.diag(covariance), d)
    sizes = hot.sum(0)
    means = (hot.T @ rotated) / sizes[:, None]
    between = (sizes / n) @ means**2
    return float((1 - shrinkage) * (between / ((1 - shrinkage) * covariance + shrinkage * covariance.sum() / d)).sum())


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean ln sum_z P(y | z) p_z(x), at most 0, higher is better: what the source head's own classes say about the labels.
    probabilities [n, s] of the source classes (rows sum to 1), labels int [n].

    P(y | z) is counted on the same rows, so with few rows for each source class it is too good. Nguyen et al., ICML 2020, eq. 1-2.
    Raises DataError for probabilities that are none.
    """
    p, hot = _columns(probabilities, labels, "class")
    if p.min() < 0 or np.abs(p.sum(1) - 1).max() > 1e-3:
        raise DataError("LEEP needs the source head's probabilities, rows that sum to 1; apply a softmax to its outputs first.")
    joint = hot.T @ p / len(p)
    there = joint.sum(0)
    conditional = np.divide(joint, there, out=np.zeros_like(joint), where=there > 0)
    return float(np.log((p * (hot @ conditional)).sum(1)).mean())


def nce(predictions: np.ndarray, labels: np.ndarray) -> float:
    """-H(labels | source predictions) in nats, at most 0, higher is better. predictions int [n]: the source head's most
    likely class; labels int [n]. Too good with few rows, as `leep` is. Tran et al., "Transferability and hardness of
    supervised classification tasks", ICCV 2019. Raises DataError with one class or unequal lengths."""
    codes = np.unique(np.asarray(predictions).ravel(), return_inverse=True)[1]
    _, hot = _columns(codes[:, None].astype(float), labels, "class")
    joint = np.zeros((codes.max() + 1, hot.shape[1]))
    np.add.at(joint, codes, hot / len(hot))
    there = joint > 0
    return float((joint[there] * np.log((joint / joint.sum(1, keepdims=True))[there])).sum())


def knn(features: np.ndarray, labels: np.ndarray, k: int | None = NEIGHBOURS, seed: int = 0) -> float:
    """Leave-one-out accuracy in [0, 1] of the k nearest rows by the cosine of standardised features; a tie in votes goes to
    the class that is nearer in sum. features [n, d], labels int [n]; of more than 5000 rows, a drawn part.

    k None: the best of 1 to 10, which is a little too good, having been chosen on the rows it is scored on. Nothing is fitted,
    so it also sees structure that no line separates. Raises DataError with one class.
    """
    x, hot = _columns(features, labels, "class")
    if len(x) > LARGEST:
        rows = np.random.default_rng(seed).permutation(len(x))[:LARGEST]
        x, hot = x[rows], hot[rows]
    mean, scale = moments(x)
    x = (x - mean) * scale
    x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    ks = np.arange(1, min(FARTHEST, len(x) - 1) + 1) if k is None else np.array([min(k, len(x) - 1)])
    right = np.zeros(len(ks))
    for start in range(0, len(x), 500):
        near = x[start : start + 500] @ x.T
        rows = np.arange(len(near))
        near[rows, start + rows] = -np.inf
        order = np.argsort(-near, axis=1, kind="stable")[:, : ks[-1]]
        # Cosines are at most 1, so their sum decides only between classes with equal votes.
        closeness = np.take_along_axis(near, order, 1) / (4.0 * ks[-1])
        votes = np.cumsum(hot[order] * (1 + closeness)[:, :, None], axis=1)
        truth = hot[start : start + 500].argmax(1)
        right += (votes[:, ks - 1].argmax(2) == truth[:, None]).sum(0)
    return float(right.max() / len(x))


@dataclass(frozen=True)
class Probe:
    """What a linear head on features is worth on rows that it did not learn from.

    metric: "accuracy", "mean_average_precision" or "r2"; value and the 95 % interval are of it. scores: all metrics of the
    target, {name: value}, log_loss and balanced_accuracy among them. n: rows that were scored. strengths: the C (or alpha) of
    each fold. notes: sentences on what was left out.
    """

    metric: str
    value: float
    interval: tuple[float, float]
    scores: dict[str, float]
    n: int
    strengths: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """The standard error that the interval stands for."""
        return (self.interval[1] - self.interval[0]) / 3.92


def probe(features: np.ndarray, targets: np.ndarray, seed: int = 0, target: str = "class", groups: np.ndarray | None = None) -> Probe:
    """A linear head in stratified 5-fold cross-validation (fewer where a class has fewer rows): the regression of
    `graft.heads.logistic`, on the same folds. features [n, d]; targets as `logme`; groups [n]: rows of one group stay together.

    The strength of each fold's head is the one that is best on the other folds' held-out rows, so no row's score helped to
    choose the head that it is scored with; a head chosen on all held-out rows, as a fit chooses it, looks better than it is
    by what the choice picked up (see docs/decisions/0008-similarity.md). Classes with one row are left out, with a note.
    Interval: Wilson's for an accuracy of single rows, else a bootstrap over rows or groups. It says how far other rows would
    differ, not another draw of the folds. Raises DataError where there is nothing to hold out.
    """
    x, y, notes = *_same(features, targets), ()
    if target == "class":
        _, index, counts = np.unique(y, return_inverse=True, return_counts=True)
        keep = counts[index] > 1
        if (alone := int((counts == 1).sum())) and len(counts) - alone > 1:
            notes = (f"{alone} class{'es' if alone > 1 else ''} with a single row cannot be held out and learnt at once: left out.",)
            x, y, groups = x[keep], y[keep], None if groups is None else np.asarray(groups)[keep]
    y, hot = _reading(x, y, target)
    fold = _folds(y if target == "class" else hot, target, seed, groups)
    if fold is None:
        raise DataError("A probe needs two classes with two rows each, and four rows in all; add labelled rows.")
    candidates = _ridge(x, hot, fold) if target == "number" else _logistic(x, hot, fold, target == "class")
    held, strengths = _chosen_elsewhere(candidates, hot, fold, target)
    decoded, truth, scores = _decoded(held, hot, target)
    found = intervals(decoded, truth, scores, repetitions=500, seed=seed, groups=groups)
    metric = METRIC[target]
    value, low, high = found[metric]
    if metric == "accuracy" and groups is None:
        low, high = wilson(round(value * len(truth)), len(truth))
    return Probe(metric, value, (low, high), {name: v for name, (v, _, _) in found.items()}, len(truth), strengths, notes)


def _logistic(x: np.ndarray, hot: np.ndarray, fold: np.ndarray, exclusive: bool) -> np.ndarray:
    """Held-out outputs [strengths, n, k]."""
    link = softmax_loss if exclusive else sigmoid_loss
    return out_of_fold(x, hot, fold, GRID, link, lambda rows: np.ones((len(rows), 1)), exclusive)


def _ridge(x: np.ndarray, y: np.ndarray, fold: np.ndarray) -> np.ndarray:
    out = np.empty((len(GRID), *y.shape))
    for learn, rest in folds.splits(fold):
        basis, mean = Basis(x[learn]), y[learn].mean(0)
        along, rotated = basis.rotated.T @ (y[learn] - mean), basis.apply(x[rest])
        for i, c in enumerate(GRID):
            out[i, rest] = rotated @ (along / (basis.curvature + 1 / c)[:, None]) + mean
    return out


def _chosen_elsewhere(candidates: np.ndarray, hot: np.ndarray, fold: np.ndarray, target: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """(outputs [n, k], strength of each fold): every fold's rows from the strength with the least loss on the other folds."""
    if target == "number":
        losses = ((candidates - hot) ** 2).mean(2)
    elif target == "labels":
        losses = (np.logaddexp(0, candidates) - hot * candidates).sum(2)
    else:
        top = candidates.max(2, keepdims=True)
        losses = (np.log(np.exp(candidates - top).sum(2)) + top[:, :, 0]) - (hot * candidates).sum(2)
    held, strengths = np.empty_like(candidates[0]), []
    for f in range(fold.max() + 1):
        best = int(losses[:, fold != f].mean(1).argmin())
        held[fold == f] = candidates[best, fold == f]
        strengths.append(1 / GRID[best] if target == "number" else GRID[best])
    return held, tuple(strengths)


def _decoded(held: np.ndarray, hot: np.ndarray, target: str) -> tuple:
    from scipy.special import expit, softmax

    if target == "class":
        return softmax(held, 1), hot.argmax(1), classification.scores
    return (expit(held), hot, multilabel.scores) if target == "labels" else (held, hot, regression.scores)


def _folds(targets: np.ndarray, target: str, seed: int, groups: np.ndarray | None) -> np.ndarray | None:
    """As the heads' own folds; with groups, whole groups, balanced in classes as far as they allow."""
    if groups is None:
        return folds.assign(targets, target, seed)
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    home = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = min(folds.FOLDS, home.max() + 1)
    if target == "class":
        count = min(count, *(len(np.unique(home[targets == c])) for c in np.unique(targets)))
    if count < 2:
        raise DataError("A probe needs each class in at least two groups, to hold one out; add groups or leave them out.")
    way = StratifiedGroupKFold if target == "class" else GroupKFold
    out = np.empty(len(home), np.int64)
    for f, (_, held) in enumerate(way(count, shuffle=True, random_state=seed).split(home, targets, home)):
        out[held] = f
    return out


def _spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(squared singular values [r], rising; x on its principal axes [n, r]) of x [n, d], without the directions in which
    it is zero, from the smaller of its two Gram matrices."""
    few = len(x) < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if few else x.T @ x)
    kept = values > max(TINY * values[-1], np.finfo(float).tiny)
    values, vectors = values[kept], vectors[:, kept]
    return values, vectors * np.sqrt(values) if few else x @ vectors


def _columns(features: np.ndarray, targets: np.ndarray, target: str) -> tuple[np.ndarray, np.ndarray]:
    """(features float64 [n, d], targets [n, k] of 0 and 1 or numbers), checked."""
    x, y = _same(features, targets)
    return x, _reading(x, y, target)[1]


def _same(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(features, np.float64), np.asarray(targets)
    if x.ndim != 2 or len(x) != len(y) or len(x) < 2:
        raise DataError(f"Scores need features [rows, width] and a target for each of two or more rows, not {x.shape} and {y.shape}.")
    if not np.isfinite(x).all():
        raise DataError("Some features are not finite; look at the images and the weights that they come from.")
    return x, y


def _reading(x: np.ndarray, y: np.ndarray, target: str) -> tuple[np.ndarray, np.ndarray]:
    """(class numbers 0 to k - 1, or the targets as they are; columns [n, k])."""
    if target not in METRIC:
        raise ValueError(f"target '{target}' is not one of {', '.join(METRIC)}")
    if target == "class":
        names, index = np.unique(y.ravel(), return_inverse=True)
        if len(names) < 2:
            raise DataError("All rows have the same label, so there is nothing to tell apart; add a second class.")
        return index, np.eye(len(names))[index]
    columns = y.reshape(len(x), -1).astype(float)
    varies = np.ptp(columns, axis=0) > 0
    if not varies.any():
        raise DataError("The targets are the same in all rows, so there is nothing to tell apart; add rows that differ.")
    return columns[:, varies], columns[:, varies]
