"""Labels that are likely wrong, by confident learning on predictions for samples that took no part in the fit."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import DataError, OutputError
from ..heads import folds
from ..heads.convex import Basis, minimise, softmax_loss, tempered
from ..heads.logistic import GRID
from .finding import Finding

SHOWN = 12
LEAST = 0.25
"""The least chance of being wrong at which a label is worth a look (benchmarks/planted.py)."""
DOUBTED = 0.5
"""The chance of being wrong from which a row is not learnt from, but only predicted."""


@dataclass(frozen=True)
class Suspects:
    """Labels under suspicion, the most likely wrong first.

    rows, suggested: int [m]. chance: [m], of the label being wrong. joint: [k, k], the estimated share of all rows that have
    the given label i and the true label j. thresholds: [k], the mean probability of a class over its own rows.
    """

    rows: np.ndarray
    suggested: np.ndarray
    chance: np.ndarray
    joint: np.ndarray
    thresholds: np.ndarray

    @property
    def precision(self) -> float | None:
        """The share of suspects whose labels are expected to be wrong; None without suspects."""
        return float(self.chance.mean()) if len(self.rows) else None


def suspects(probabilities: np.ndarray, labels: np.ndarray, least: float = LEAST) -> Suspects:
    """Labels int [n] that out-of-fold probabilities [n, k] speak against.

    A row is a suspect where both of confident learning's rules say so and its chance of being wrong is at least `least`:
    it lies off the diagonal of the confident joint, and it is among the n x joint[i, j] rows of label i with the largest
    margin p_j - p_i ("prune by noise rate"). The chance guards against hard but right rows; see `chances`. They are ranked by
    it, which is ranking by the label's own (re-scaled) probability.
    Northcutt, Jiang and Chuang, "Confident learning", JAIR 2021, equations 1 to 3 and section 3.2.
    """
    p, labels = np.asarray(probabilities, float), np.asarray(labels)
    thresholds = class_thresholds(p, labels)
    guess = confident_class(p, thresholds)
    joint = estimated_joint(labels, guess, p.shape[1])
    off = (guess >= 0) & (guess != labels)
    pruned = by_noise_rate(p, labels, joint)
    chance = chances(p, labels)
    rows = np.flatnonzero(off & pruned & (chance >= least))
    rows = rows[np.argsort(-chance[rows], kind="stable")]
    others = p[rows].copy()
    others[np.arange(len(rows)), labels[rows]] = -1
    return Suspects(rows, others.argmax(1), chance[rows], joint, thresholds)


def class_thresholds(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """[k]: how sure of a class the predictions are on average where it is the label (eq. 2); infinite for a class without rows."""
    k = p.shape[1]
    counts = np.bincount(labels, minlength=k)
    sums = np.bincount(labels, p[np.arange(len(p)), labels], minlength=k)
    return np.divide(sums, counts, out=np.full(k, np.inf), where=counts > 0)


def confident_class(p: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """int [n]: the likeliest of the classes whose threshold the row's probability reaches (eq. 1), -1 where none does."""
    reached = p >= thresholds - 1e-12
    return np.where(reached.any(1), np.where(reached, p, -1).argmax(1), -1)


def estimated_joint(labels: np.ndarray, guess: np.ndarray, k: int) -> np.ndarray:
    """[k, k] shares of (given label, true label): the counts of confident rows, each label's made up to its number of rows (eq. 3)."""
    counts = np.zeros((k, k))
    np.add.at(counts, (labels[guess >= 0], guess[guess >= 0]), 1)
    totals = np.bincount(labels, minlength=k)
    # A label none of whose rows is confident is taken to be right.
    empty = (counts.sum(1) == 0) & (totals > 0)
    counts[empty, empty] = 1
    scaled = counts / np.maximum(counts.sum(1, keepdims=True), 1) * totals[:, None]
    return scaled / scaled.sum()


def by_noise_rate(p: np.ndarray, labels: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """bool [n]: of the rows with label i, the n x joint[i, j] with the largest margin p_j - p_i, for each other j."""
    n, out = len(p), np.zeros(len(p), bool)
    for i, j in zip(*np.nonzero(joint)):
        if i == j:
            continue
        rows = np.flatnonzero(labels == i)
        margin = p[rows, j] - p[rows, i]
        out[rows[np.argsort(-margin, kind="stable")[: round(n * joint[i, j])]]] = True
    return out


def chances(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The chance [n] that a label is wrong.

    The labels are taken for draws from (1 - e) q + e / k with q = softmax(ln p / T): right predictions, once their
    confidence is rescaled, but for a share e of labels drawn blindly. T and e have the greatest likelihood, with weak priors
    (ln T normal, deviation 1; e as if one wrong label had been seen among 50). What hard samples explain is left to q, so only
    confident contradictions count as errors: chance = (e / k) (1 - q_label) / ((1 - e) q_label + e / k).
    """
    q, noise = _explained(np.log(np.maximum(p, 1e-12)), labels)
    k, mine = p.shape[1], q[np.arange(len(q)), labels]
    return noise / k * (1 - mine) / ((1 - noise) * mine + noise / k)


def _explained(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """(softmax(logits / T) [n, k], e) of `chances`."""
    degrees, noise, _ = _fit(logits, labels)
    return _softmax(logits / degrees), noise


def _fit(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """(T, e, mean negative log-likelihood with its priors) of `chances`."""
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    n, k = logits.shape
    every = np.arange(n)

    def loss(free: np.ndarray) -> float:
        noise = expit(free[1])
        mine = _softmax(logits * np.exp(-free[0]))[every, labels]
        likely = np.log((1 - noise) * mine + noise / k).sum()
        return float(-likely + 0.5 * free[0] ** 2 - log_expit(free[1]) - 49 * log_expit(-free[1])) / n

    starts = [minimize(loss, (0.0, start), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-7}) for start in (-4.0, -2.0)]
    best = min(starts, key=lambda one: one.fun)
    return float(np.exp(best.x[0])), float(expit(best.x[1])), float(best.fun)


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def out_of_fold(features: np.ndarray, labels: np.ndarray, seed: int = 0, repeats: int = 3) -> np.ndarray:
    """Probabilities [n, k] for frozen features [n, d] and labels int [n], each row's by logistic regressions that it took no part in.

    Stratified 5-fold cross-validation (fewer where a class has fewer rows), `repeats` times with other folds, averaged. The
    strength is the one whose held-out rows are likeliest where a share of the labels may be wrong (see `chances`): plain log-loss
    would choose it to hedge against the wrong ones. Rows whose label a first round calls more likely wrong than right are
    then not learnt from, only predicted. Rows of a class with one row are certain of their label: nothing can speak for it.
    Raises DataError where fewer than two classes have two rows.
    """
    k = int(labels.max()) + 1
    counts = np.bincount(labels, minlength=k)
    usable = np.flatnonzero(counts[labels] >= 2)
    present, target = np.unique(labels[usable], return_inverse=True)
    if len(present) < 2:
        raise DataError("Label errors can be looked for only where two classes have two samples or more; add samples.")
    x, out = np.asarray(features)[usable], np.eye(k)[labels]
    first, c = _round(x, target, np.ones(len(x), bool), seed, 1, GRID)
    # Without the wrong labels less strength may be needed, or more, but not much.
    found, _ = _round(x, target, _trusted(first, target), seed, repeats, tuple(g for g in GRID if c / 11 < g < c * 11))
    out[usable] = 0
    out[np.ix_(usable, present)] = found
    return out


def _trusted(p: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rows to learn from: those that are not doubted, and of each class at least the surer half."""
    chance = chances(p, target)
    keep = chance < DOUBTED
    for c in range(p.shape[1]):
        rows = np.flatnonzero(target == c)
        keep[rows[np.argsort(chance[rows], kind="stable")[: -(-len(rows) // 2)]]] = True
    return keep


def _round(
    x: np.ndarray, target: np.ndarray, learnt: np.ndarray, seed: int, repeats: int, grid: tuple[float, ...]
) -> tuple[np.ndarray, float]:
    """(averaged held-out probabilities [n, k], strength); it is chosen in the first repeat and kept."""
    total = 0.0
    for repeat in range(repeats):
        fold = folds.assign(target, "class", seed + 1009 * repeat)
        logits = _held(x, target, fold, learnt, grid)
        fits = [_fit(one, target) for one in logits]
        best = int(np.argmin([loss for _, _, loss in fits]))
        total = total + _softmax(logits[best] / fits[best][0])
        grid = (grid[best],)
    return total / repeats, grid[0]


def _held(x: np.ndarray, target: np.ndarray, fold: np.ndarray, learnt: np.ndarray, grid: tuple[float, ...]) -> np.ndarray:
    """Held-out logits [m, n, k] for the first m strengths of the rising grid, each solution starting from the one before. As
    in `convex.out_of_fold`, a fold's path ends where its held-out loss has clearly risen; m is as far as every fold came."""
    hot = np.eye(int(target.max()) + 1)[target]
    out, reached = np.empty((len(grid), *hot.shape)), len(grid)
    for learn, held in folds.splits(fold):
        learn = learn[learnt[learn]]
        basis, solution, least = Basis(x[learn]), None, np.inf
        rotated, weights = basis.apply(x[held]), np.ones((len(learn), 1))
        for i, c in enumerate(grid[:reached]):
            solution = minimise(basis, hot[learn], weights, c, softmax_loss, solution, rough=True)
            out[i, held] = rotated @ solution[:-1] + solution[-1]
            loss = tempered(out[i, held], hot[held], True)[1]
            least = min(least, loss)
            if loss > 1.3 * least + 0.02:
                reached = i + 1
                break
    return out[:reached]


def finding(
    found: Suspects,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    paths: Sequence[str],
    splits: Sequence[str],
    noun: str = "images",
) -> Finding | None:
    """ "label_errors", or None without suspects. noun: what the samples are called."""
    if not len(found.rows):
        return None
    rows = listed(found, probabilities, labels, classes, paths, splits)
    n, many = len(labels), len(rows)
    scored = [i for i, row in enumerate(found.rows) if splits[row] in ("val", "test")]
    total = sum(split in ("val", "test") for split in splits)
    cap = float(found.chance[scored].sum() / total) if scored else 0.0
    pairs = {}
    for row in rows:
        pairs[row["label"], row["suggested"]] = pairs.get((row["label"], row["suggested"]), 0) + 1
    confused = [{"label": a, "suggested": b, "count": c} for (a, b), c in sorted(pairs.items(), key=lambda one: -one[1])]
    wrong = f"{many} of {n} labels are" if many > 1 else f"1 of {n} labels is"
    return Finding(
        "label_errors", "warning", many,
        f"{wrong} likely wrong: predictions from the other {noun} contradict them; about {found.precision:.0%} of these should be errors "
        f"and the rest hard {noun}.",
        f"Wrong labels that are scored keep even a perfect net about {cap:.1%} below 100 %; those that are learnt from cost some of it."
        if cap else "Wrong labels that are learnt from cost some of the score.",
        f"Look at them, the most likely wrong first, and correct or remove those that are; hard but right {noun} should stay.",
        tuple(row["files"][0] for row in rows), tuple(rows[:SHOWN]),
        {"precision": found.precision, "share": many / n, "cap": cap, "confused": confused[:SHOWN],
         "joint": np.round(found.joint, 6).tolist(), "thresholds": [round(float(t), 4) for t in found.thresholds]},
    )  # fmt: skip


def listed(
    found: Suspects, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str], paths: Sequence[str], splits: Sequence[str]
) -> list[dict]:
    """A JSON-able row for each suspect: what to look at."""
    return [
        {
            "files": [paths[row]], "split": splits[row], "label": classes[labels[row]], "suggested": classes[to],
            "p_label": round(float(probabilities[row, labels[row]]), 4), "p_suggested": round(float(probabilities[row, to]), 4),
            "chance_wrong": round(float(chance), 4),
        }
        for row, to, chance in zip(found.rows.tolist(), found.suggested.tolist(), found.chance, strict=True)
    ]  # fmt: skip


def write(path: Path, rows: list[dict]) -> None:
    """`listed` rows as a CSV file to go through: path, split, label, suggested, p_label, p_suggested, chance_wrong. Raises OutputError."""
    names = ("path", "split", "label", "suggested", "p_label", "p_suggested", "chance_wrong")
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(names)
            table.writerows([row["files"][0], *(row[name] for name in names[1:])] for row in rows)
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written ({error.strerror or error}); name another place with --out.") from error
