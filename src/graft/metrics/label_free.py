"""How outputs on rows without labels look: what may choose among adapted heads where no label of the target may.

Each takes logits [n, k] (numpy or a tensor) unless it says otherwise and gives one number. None of them is accuracy: each can be
fooled (a head that gives every row one class is certain), so they are read together, and against collapse.
"""

import numpy as np

ROWS = 4000
"""Of more rows than this the density looks at so many, evenly spaced: it compares each with each."""


def probabilities(outputs) -> np.ndarray:
    """softmax of logits [n, k], float64."""
    z = np.asarray(outputs, float)
    power = np.exp(z - z.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def mean_entropy(outputs) -> float:
    """mean_i H(p_i) in nats, 0 to ln k; less is more certain (Morerio et al., 2018)."""
    return float(_entropy(probabilities(outputs)).mean())


def information(outputs) -> float:
    """H(mean_i p_i) - mean_i H(p_i) in nats, 0 to ln k; more is certain of each row and yet uses all classes: the mutual information
    of row and class (Bridle et al., 1991; Shi & Sha, 2012; as the information-maximisation of SHOT, Liang et al., 2020)."""
    p = probabilities(outputs)
    return float(_entropy(p.mean(0)) - _entropy(p).mean())


def evenness(outputs) -> float:
    """exp H(shares of the predicted classes) / k, from 1 / k (one class takes all rows) to 1 (all classes have as many)."""
    z = np.asarray(outputs)
    shares = np.bincount(z.argmax(1), minlength=z.shape[1]) / len(z)
    return float(np.exp(_entropy(shares)) / z.shape[1])


def neighbourhood_density(outputs, temperature: float = 0.05) -> float:
    """Mean entropy in nats of softmax_j(s_ij / temperature) over j != i, s the cosine of p_i and p_j; more is better.

    Rows of one class should lie densely together: Saito et al., "Tune it the right way", 2021, equations 2 to 4. It grows with the
    logarithm of the rows that share a prediction, so that it likes a head that collapses to one class: look at `evenness` too.
    """
    p = _some(probabilities(outputs), ROWS)
    p = p / np.linalg.norm(p, axis=1, keepdims=True)
    close = p @ p.T / temperature
    np.fill_diagonal(close, -np.inf)
    return float(_entropy(probabilities(close)).mean())


def nuclear_norm(outputs) -> float:
    """Sum of the singular values of the probabilities [n, k] / sqrt(n min(n, k)), in (0, 1]: 1 where every row is certain and the
    classes are even (batch nuclear-norm, Cui et al., 2020; as a validator, Musgrave et al., 2022)."""
    p = probabilities(outputs)
    return float(np.linalg.svd(p, compute_uv=False).sum() / np.sqrt(len(p) * min(p.shape)))


def class_confusion(outputs, temperature: float = 2.5) -> float:
    """The share of a class that goes to other classes, 0 to 1 - 1 / k; less is better (minimum class confusion, Jin et al., 2020).

    With p_i softened by the temperature and w_i the normalised certainty 1 + exp(-H(p_i)), C = sum_i w_i p_i p_i^T, its rows
    divided by their sums; 1 - trace(C) / k.
    """
    p = probabilities(np.asarray(outputs, float) / temperature)
    sure = 1 + np.exp(-_entropy(p))
    pairs = p.T @ (p * (sure / sure.mean())[:, None])
    return float(1 - np.trace(pairs / pairs.sum(1, keepdims=True)) / p.shape[1])


def agreement(one, other) -> float:
    """The share of rows to which two heads give one class."""
    return float((np.asarray(one).argmax(1) == np.asarray(other).argmax(1)).mean())


def nearest(features: np.ndarray, count: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """(numbers [m] of the rows that are looked at, the places [m, count] among them of each one's nearest others): by the cosine of
    features [n, d] that are standardised, so that no one of them decides. Of more than ROWS rows so many are looked at."""
    rows = np.unique(np.linspace(0, len(features) - 1, min(len(features), ROWS)).round().astype(int))
    z = np.asarray(features[rows], float)
    spread = z.std(0)
    z = (z - z.mean(0)) * np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6 * (1e-6 + np.abs(z).max(0)))
    z /= np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    close = z @ z.T
    np.fill_diagonal(close, -np.inf)
    count = min(count, len(rows) - 1)
    return rows, np.argpartition(-close, count - 1, 1)[:, :count] if count > 0 else np.zeros((len(rows), 0), int)


def neighbours_agree(outputs, near: tuple[np.ndarray, np.ndarray]) -> float:
    """How much oftener than by chance a row and its nearest (of `nearest`) are given one class: (a - c) / (1 - c), a the share of pairs
    that are, c the sum of squared shares of the classes; 1 where all are, 0 at chance and where one class takes all rows.

    It asks whether classes follow how the features lie, not how many rows each has: a class that is cut in two to fill a place that is
    empty here loses, where `information` gains. It is Cohen's kappa of a row with its neighbours.
    """
    rows, places = near
    guess = np.asarray(outputs).argmax(1)[rows]
    chance = float(((np.bincount(guess) / len(guess)) ** 2).sum())
    if not places.size or chance > 1 - 1e-9:
        return 0.0
    return (float((guess[places] == guess[:, None]).mean()) - chance) / (1 - chance)


def same_domain(outputs, others, permutations: int = 199, seed: int = 0) -> float:
    """The p-value, 1 / (permutations + 1) to 1, of rows of one class looking alike in both domains: small where they do not.

    outputs [n, k] and others [m, k] are one head's logits on rows that it has not learnt from. The statistic is the energy distance
    (Szekely & Rizzo, 2013) of logits within each predicted class, summed with the class's rows as weights, and rows are exchanged
    within it: classes that are only more or less frequent do not count as a shift. Of each domain ROWS / 4 rows are looked at.
    """
    a, b = (_some(np.asarray(z, float), ROWS // 4) for z in (outputs, others))
    z, side = np.concatenate([a, b]), np.repeat([1.0, 0.0], [len(a), len(b)])
    guess, rng = z.argmax(1), np.random.default_rng(seed)
    found = np.zeros(permutations + 1)
    for c in np.unique(guess):
        rows = np.flatnonzero(guess == c)
        n, m = int(side[rows].sum()), int((1 - side[rows]).sum())
        if min(n, m) < 2:
            continue
        far = np.linalg.norm(z[rows, None] - z[None, rows], axis=2)
        first = np.stack([side[rows], *(rng.permutation(side[rows]) for _ in range(permutations))])
        weight = first / n - (1 - first) / m
        found -= (n + m) * ((weight @ far) * weight).sum(1)
    return float((found >= found[0] - 1e-9 * abs(found[0])).mean())


def _some(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int))]


def _entropy(p: np.ndarray) -> np.ndarray:
    """-sum p ln p over the last axis, with 0 ln 0 = 0."""
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)
