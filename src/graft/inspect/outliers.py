"""Samples unlike all others: another kind of picture or text, a broken one, or one that came here by mistake."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .finding import Finding
from .photos import Facts

NEIGHBOURS = 5
"""The distance to the fifth nearest: four stray images that are alike do not hide each other."""
AXES = 32  # principal axes kept at most, and at most an eighth as many as there are rows, so that whitening them means something
TRIM = 0.1  # of the rows, the farthest, take no part in the axes' final scale: strays would stretch it and so hide
FEWEST = 20  # rows (of a class) from which a usual distance can be told
MOST = 20_000  # rows among which neighbours are searched
ALARM = 0.05
"""How often a data set of Gaussian features names any sample at all: half for the search among all, half for that in classes."""
TRIALS, ROWS = 200, 300  # Gaussian data sets that are drawn to find the limit, and their rows at most
STRAY = 0.02  # of all rows, up to which strays are worth a warning
BLANK = 2.0  # levels of 255 by which grey values vary (standard deviation) in an image that shows nothing


def whitened(features: np.ndarray, most: int | None = None) -> np.ndarray:
    """[n, d] -> float64 [n, p]: standardised, on the leading principal axes, each with variance one; p is at most `most`, by
    default the lesser of AXES and n // 8."""
    x = np.asarray(features, np.float64)
    spread = x.std(0)
    x = (x - x.mean(0)) / np.where(spread > 1e-6 * (1e-6 + np.abs(x).max(0, initial=0)), spread, np.inf)
    few = len(x) < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if few else x.T @ x)
    kept = np.flatnonzero(values > 1e-9 * max(values[-1], 1e-9))[::-1][: most or max(1, min(AXES, len(x) // 8))]
    axes = vectors[:, kept] if few else x @ vectors[:, kept] / np.sqrt(values[kept])
    return axes * np.sqrt(len(x))


def distances(x: np.ndarray, k: int = NEIGHBOURS, seed: int = 0) -> np.ndarray:
    """Euclidean distance [n] of each row of x [n, p] to its k-th nearest other row, among MOST rows drawn by the seed."""
    bank = np.arange(len(x))
    if len(x) > MOST:
        bank = np.sort(np.random.default_rng(seed).choice(len(x), MOST, replace=False))
    k, squares, out = min(k, len(x) - 1), (x[bank] ** 2).sum(1), np.empty(len(x))
    for first in range(0, len(x), 512):
        rows = np.arange(first, min(first + 512, len(x)))
        table = (x[rows] ** 2).sum(1)[:, None] + squares - 2 * x[rows] @ x[bank].T
        table[rows[:, None] == bank] = np.inf  # Not itself; a copy of it counts.
        out[rows] = np.partition(table, k - 1, 1)[:, k - 1]
    return np.sqrt(np.maximum(out, 0))


def surprise(x: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """How far each row of whitened x [n, p] is from its NEIGHBOURS-th neighbour: (in robust standard deviations of the logarithm
    above the median [n], as a multiple of the median [n]), after the axes were scaled anew without the farthest rows."""
    near = distances(x, seed=seed)
    inside = x[near <= np.quantile(near, 1 - TRIM)]
    values, vectors = np.linalg.eigh(np.cov(inside, rowvar=False).reshape(x.shape[1], -1))
    near = distances(x @ vectors / np.sqrt(np.maximum(values, 1e-9)), seed=seed)
    logs = np.log(np.maximum(near, 1e-9))
    middle = np.median(logs)
    scale = 1.4826 * np.median(np.abs(logs - middle))
    return ((logs - middle) / scale if scale > 1e-9 else np.zeros(len(x))), np.exp(logs - middle)


@lru_cache(maxsize=256)
def _maxima(n: int, p: int) -> np.ndarray:
    """The largest surprise of each of TRIALS Gaussian data sets [n, p].

    Gaussian rows stay Gaussian under any rotation among the rows, and so does the law of what `whitened` makes of them: it is
    the same for every covariance and any number of features, and p independent ones stand for all.
    """
    rng = np.random.default_rng([n, p])
    return np.array([surprise(whitened(rng.normal(size=(n, p)), p))[0].max() for _ in range(TRIALS)])


def limit(n: int, p: int, share: float) -> float:
    """The surprise that any of n Gaussian rows on p axes reaches in `share` of the cases, by a Gumbel law fitted to drawn maxima
    by its moments; of more than ROWS rows as of so many independent sets of ROWS."""
    # Rounded down, so that classes of about one size share the draws; fewer rows have the higher limit.
    drawn = min(n - n % (10 if n < 100 else 50), ROWS)
    maxima = _maxima(drawn, p)
    scale = maxima.std() * np.sqrt(6) / np.pi
    share = min(share * drawn / n, 0.5)
    return float(maxima.mean() - np.euler_gamma * scale - scale * np.log(-np.log1p(-share)))


def finding(
    features: np.ndarray, paths: Sequence[str], labels: Sequence[str] | None = None, seed: int = 0, noun: str = "images"
) -> list[Finding]:
    """Rows of features [n, d] that are farther from their neighbours than the other rows are, among all rows ("outliers") and,
    where one class a row is given, among the rows of their class ("class_outliers", without those already named).

    Gaussian features raise an alarm in ALARM of all data sets. Features with longer tails, as real ones have, do so more often,
    and then rightly: the sample is unlike the others. [] for fewer than FEWEST rows; so small classes are passed
    over too. noun: what the samples are called.
    """
    n = len(features)
    if n < FEWEST:
        return []
    x = whitened(features)
    if not x.shape[1]:  # All rows are the same.
        return []
    far, ratio = surprise(x, seed)
    above = far - limit(n, x.shape[1], ALARM / 2)
    made = [_finding("outliers", above, far, ratio, paths, labels, noun)]
    names, home = np.unique(np.asarray([""] * n if labels is None else labels, dtype=str), return_inverse=True)
    groups = [rows for k in range(len(names)) if len(rows := np.flatnonzero(home == k)) >= FEWEST]
    if len(names) > 1 and groups:
        within, inside, apart = np.full(n, -1.0), np.zeros(n), np.ones(n)
        for rows in groups:
            part = whitened(x[rows])
            if not part.shape[1]:
                continue
            inside[rows], apart[rows] = surprise(part, seed)
            within[rows] = inside[rows] - limit(len(rows), part.shape[1], ALARM / 2 / len(groups))
        made.append(_finding("class_outliers", np.where(above > 0, -1.0, within), inside, apart, paths, labels, noun))
    return [one for one in made if one]


def _finding(
    kind: str, above: np.ndarray, far: np.ndarray, ratio: np.ndarray, paths: Sequence[str], labels: Sequence[str] | None, noun: str
) -> Finding | None:
    """Of the rows whose surprise is above the limit, the farthest first. Many of them are a kind of their own, not strays."""
    rows = np.flatnonzero(above > 0)
    rows = rows[np.argsort(-ratio[rows], kind="stable")]
    if not len(rows):
        return None
    whole, count, few = kind == "outliers", len(rows), len(rows) <= max(5, STRAY * len(far))
    examples = [
        {"files": [paths[i]], "what": f"{ratio[i]:.1f} times as far from its neighbours as usual", "distance": float(ratio[i])}
        | ({"label": str(labels[i])} if labels is not None else {})
        for i in rows[:12]
    ]
    return Finding(
        kind, "warning" if whole and few else "note", count,
        f"{count} {f'{noun[:-1]} is' if count == 1 else f'{noun} are'} unlike the others{'' if whole else ' of the same class'}"
        f"{'' if few else ', so many that they are a kind of their own rather than strays'}.",
        f"A stray {noun[:-1]} teaches something else than its label says; where it is scored, the error is not the model's."
        if whole else "It may have the wrong label, or be the only one of a kind that the model will meet more often.",
        "Look at them; remove what does not belong, and collect more of what does.",
        tuple(paths[i] for i in rows), tuple(examples), {"surprise": [float(far[i]) for i in rows[:12]], "of": len(far)},
    )  # fmt: skip


def blank(facts: Facts, labels: Sequence | None = None) -> list[Finding]:
    """Images of one even colour or nearly so (standard deviation of the grey values below BLANK of 255)."""
    rows = np.flatnonzero(facts.spread < BLANK)
    if not len(rows):
        return []
    label = [{"label": labels[i]} if labels is not None else {} for i in rows[:12]]
    examples = [{"files": [facts.path[i]], **one, "spread": float(facts.spread[i])} for i, one in zip(rows[:12], label, strict=True)]
    return [
        Finding(
            "blank_images", "warning", len(rows),
            f"{len(rows)} of {len(facts)} images {'is' if len(rows) == 1 else 'are'} of one colour or nearly so.",
            "Nothing in them supports their label; learnt, they are noise, and scored, they are luck.",
            "Remove them, or replace them with the images that they stand for.",
            tuple(facts.path[i] for i in rows), tuple(examples), {"limit": BLANK},
        )
    ]  # fmt: skip
