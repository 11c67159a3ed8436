"""The rows that inner cross-validation holds out, and how targets are counted and weighted."""

import numpy as np

FOLDS = 5


def assign(targets: np.ndarray, target: str, seed: int, folds: int = FOLDS) -> np.ndarray | None:
    """The fold [n] of each row, stratified; None where cross-validation is not possible (fewer than 4 rows).

    target "class", int [n]: every class is spread evenly, over fewer folds where a class has fewer rows than folds; None
    where a class has one row only. "labels", [n, k] of 0 and 1: the rarest label of each row is spread evenly. "number",
    [n, 1]: every stretch of neighbouring numbers is.
    """
    n = len(targets)
    if target == "class":
        key = targets
        folds = min(folds, int(np.unique(targets, return_counts=True)[1].min()))
    elif target == "number":
        key = np.argsort(np.argsort(targets[:, 0], kind="stable"), kind="stable") // folds
    else:
        rarity = np.where(targets > 0.5, targets.sum(0), np.inf)
        key = np.where(np.isfinite(rarity.min(1)), rarity.argmin(1), targets.shape[1])
    folds = min(folds, n // 2)
    if folds < 2:
        return None
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(n)
    order = shuffled[np.argsort(key[shuffled], kind="stable")]
    out = np.empty(n, np.int64)
    # Dealt like cards, without a new start at each class: classes and folds both come out even, to within one row.
    out[order] = np.arange(n) % folds
    return out


def splits(fold: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(learning rows, held-out rows) of each fold, as row numbers."""
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(fold.max() + 1)]


def counted(targets: np.ndarray, target: str, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """(hot float64 [n, m], columns [m]): one-hot classes, of the m that have rows, and which of `outputs` they are; labels
    and numbers as they are, with all columns."""
    if target != "class":
        return targets.astype(float).reshape(len(targets), -1), np.arange(outputs)
    present, index = np.unique(targets, return_inverse=True)
    return np.eye(len(present))[index], present


def balance(hot: np.ndarray, exclusive: bool) -> np.ndarray:
    """Weights that let every class count the same. exclusive (one label a row): [n, 1], n / (classes present x rows of the
    class). Otherwise [n, k]: of each label, the rows with and without it count the same."""
    n, there = len(hot), hot.sum(0)
    if exclusive:
        return (hot @ (n / ((there > 0).sum() * np.maximum(there, 1))))[:, None]
    return np.where(hot > 0.5, n / (2 * np.maximum(there, 1)), n / (2 * np.maximum(n - there, 1)))
