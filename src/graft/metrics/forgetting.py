"""What is kept of earlier tasks when tasks are learnt one after another."""

import numpy as np


def scores(matrix: np.ndarray, start: np.ndarray | None = None) -> dict[str, float]:
    """From matrix [tasks, tasks], whose row i holds the scores (higher is better) on every task after task i was learnt: finite floats.

    average: the last row's mean. kept_first: the first task's last score as a share of what it was when it had just been learnt;
    left out where that was 0. From two tasks on, backward_transfer: the mean over earlier tasks j of R[T, j] - R[j, j], below 0
    where they were forgotten (Lopez-Paz & Ranzato, "Gradient episodic memory", 2017, eq. 3); forgetting: the mean over them of
    max over j <= i < T of R[i, j], less R[T, j] (Chaudhry et al., "Riemannian walk", 2018, section 3), which counts from the best
    state, not from the first; forward_transfer: the mean over tasks j > 1 of R[j - 1, j] - start[j] (eq. 4 of the former), with start
    [tasks] the scores of the model that has learnt nothing, where these are given.

    Above the diagonal nan says that a task was not scored before it was learnt; forward_transfer is then left out. Raises
    ValueError for a matrix that is not square, or has nan on or below the diagonal.
    """
    r = np.asarray(matrix, float)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or not len(r):
        raise ValueError(f"one row and one column for each task, not {r.shape}")
    if np.isnan(r[np.tril_indices(len(r))]).any():
        raise ValueError("every task has a score after it was learnt, and after each later one")
    last, learnt = r[-1], r.diagonal()
    found = {"average": float(last.mean())}
    if learnt[0] != 0:
        found["kept_first"] = float(last[0] / learnt[0])
    if len(r) == 1:
        return found
    found["backward_transfer"] = float((last - learnt)[:-1].mean())
    found["forgetting"] = float((best_before(r) - last)[:-1].mean())
    before = r.diagonal(1)
    if start is not None and not np.isnan(before).any():
        found["forward_transfer"] = float((before - np.asarray(start, float)[1:]).mean())
    return found


def best_before(matrix: np.ndarray) -> np.ndarray:
    """Of each task but the last, its best score at any step from its own to the last but one [tasks]; the last task's own score."""
    seen = np.where(np.tri(len(matrix), dtype=bool), matrix, -np.inf)
    return np.append(seen[:-1].max(0)[:-1], matrix[-1, -1])
