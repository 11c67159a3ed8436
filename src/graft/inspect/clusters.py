"""Groups among samples by their features, how many there are, and how well they agree with labels."""

from dataclasses import dataclass

import numpy as np

AXES = 50
"""Principal axes that are clustered: distances in more of them are mostly noise, and all alike."""
PAIRS, PART = 10, 0.8
"""Pairs of draws that are compared, each of this share of the rows (Ben-Hur et al., 2002)."""
MOST_ROWS = 2000
"""Rows on which the number of clusters is chosen."""
CLUSTERS = 20
"""The largest number that is tried, and at least ten rows for each."""


@dataclass(frozen=True)
class Found:
    """clusters: int [n], -1 for rows that belong to none. tried: {"k", "stability", "error"} of each number that was tried; empty
    where it was given. null: the best stability of rows without any groups, of the same number and spread. why: in words."""

    clusters: np.ndarray
    tried: tuple[dict, ...]
    null: float | None
    why: str


def prepared(features: np.ndarray) -> np.ndarray:
    """[n, d] -> float64 [n, p]: rows of length one, so that angles count, centred, on at most AXES principal axes."""
    x = np.asarray(features, np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return on_axes(x, AXES)


def on_axes(x: np.ndarray, most: int) -> np.ndarray:
    """[n, d] -> [n, min(most, n, d)]: coordinates on the leading principal axes, each with the sign that makes its largest one positive."""
    x = x - x.mean(0)
    left, sizes, _ = np.linalg.svd(x, full_matrices=False)
    found = (left * sizes)[:, :most]
    signs = np.sign(found[np.abs(found).argmax(0), np.arange(found.shape[1])])
    return found * np.where(signs == 0, 1, signs)


def find(features: np.ndarray, how: str, seed: int = 0) -> Found:
    """`groups`, on one thread: k-means of so few rows waits longer for other threads than it works."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return groups(features, how, seed)


def groups(features: np.ndarray, how: str, seed: int = 0) -> Found:
    """Clusters of rows [n, d]. how: "auto" (k-means, the number by stability), a number (k-means) or "hdbscan" (Campello et al., 2013),
    which leaves rows out that are near no others. Raises ValueError where `how` is none of these or there are too few rows."""
    x = prepared(features)
    if how == "hdbscan":
        from sklearn.cluster import HDBSCAN

        least = max(5, len(x) // 50)
        clusters = HDBSCAN(min_cluster_size=least, copy=True).fit_predict(x)
        return Found(clusters, (), None, f"groups of at least {least} rows that lie close together; rows that do not are left out")
    if how != "auto":
        if not how.isdigit() or not 2 <= int(how) <= len(x):
            raise ValueError(f"the number of clusters is auto, hdbscan, or from 2 to {len(x)}, not {how}")
        return Found(kmeans(x, int(how), seed), (), None, "as was asked")
    highest = min(CLUSTERS, len(x) // 10)
    if highest < 2:
        raise ValueError(f"{len(x)} rows are too few to choose a number of clusters; give one")
    rows = np.random.default_rng(seed).permutation(len(x))[:MOST_ROWS]
    tried = tuple(stability(x[rows], k, seed) for k in range(2, highest + 1))
    best = max(tried, key=lambda one: one["stability"])
    chosen = max((one for one in tried if one["stability"] >= best["stability"] - best["error"]), key=lambda one: one["k"])
    cloud = np.random.default_rng([seed, 1]).normal(size=x[rows].shape) * x[rows].std(0)
    flat = max((stability(cloud, k, seed) for k in range(2, highest + 1)), key=lambda one: one["stability"])
    null = flat["stability"]
    why = f"two draws of {PART:.0%} of the rows agree best on so many (adjusted Rand index {chosen['stability']:.2f})"
    if best["stability"] <= null + 2 * np.hypot(best["error"], flat["error"]):
        why += f"; but rows without any groups agree as well ({null:.2f}), so these may be no groups at all"
    return Found(kmeans(x, chosen["k"], seed), tried, null, why)


def kmeans(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Cluster numbers [n], the largest cluster first; the best of ten starts."""
    from sklearn.cluster import KMeans

    clusters = KMeans(k, n_init=10, random_state=seed).fit_predict(x)
    return np.argsort(np.argsort(-np.bincount(clusters, minlength=k), kind="stable"))[clusters]


def stability(x: np.ndarray, k: int, seed: int) -> dict:
    """{"k", "stability", "error"}: the mean adjusted Rand index, over PAIRS pairs of draws, of the k-means clusters of the rows that
    both have, and its standard error (Ben-Hur, Elisseeff & Guyon, 2002)."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    rng, count, values = np.random.default_rng([seed, k]), max(k, round(PART * len(x))), []
    for _ in range(PAIRS):
        draws = [np.sort(rng.permutation(len(x))[:count]) for _ in range(2)]
        both = np.intersect1d(*draws)
        found = [KMeans(k, n_init=3, random_state=int(rng.integers(2**31))).fit(x[rows]).predict(x[both]) for rows in draws]
        values.append(adjusted_rand_score(*found))
    return {"k": k, "stability": float(np.mean(values)), "error": float(np.std(values, ddof=1) / np.sqrt(PAIRS))}


def agreement(labels: list, clusters: np.ndarray) -> dict[str, float]:
    """Normalised mutual information and adjusted Rand index of labels and clusters [n]; 1 is the same grouping."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    numbers = np.unique(np.asarray(labels, dtype=str), return_inverse=True)[1]
    return {"nmi": float(normalized_mutual_info_score(numbers, clusters)), "ari": float(adjusted_rand_score(numbers, clusters))}


def on_a_map(features: np.ndarray, how: str, seed: int = 0) -> tuple[np.ndarray, str]:
    """(coordinates float64 [n, 2], what they are in words). how: "pca" or "umap" (McInnes et al., 2018). Raises ValueError for another
    word, ImportError where umap is not installed."""
    x = prepared(features)
    if how == "pca":
        flat = on_axes(x, 2)
        flat = np.pad(flat, ((0, 0), (0, 2 - flat.shape[1])))
        share = float(flat.var(0).sum() / max(x.var(0).sum(), 1e-12))
        return flat, f"two principal axes, with {share:.0%} of the variance of the features"
    if how != "umap":
        raise ValueError(f"a map is made by pca or umap, not by {how}")
    from umap import UMAP

    near = max(2, min(15, len(x) - 1))
    flat = UMAP(n_neighbors=near, random_state=seed, n_jobs=1).fit_transform(x)
    return np.asarray(flat, np.float64), f"UMAP with {near} neighbours: who is near whom is kept, distances between groups mean little"
