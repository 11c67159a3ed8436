"""Groups are found where there are some, their number by stability, and a cloud without groups is called one."""

import numpy as np
import pytest

from graft.inspect import clusters


def blobs(k, each=40, width=12, apart=6.0, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, width)) * apart
    return np.concatenate([centre + rng.normal(size=(each, width)) for centre in centres]), np.repeat(np.arange(k), each)


@pytest.mark.parametrize("k", [3, 5])
def test_the_number_of_groups_is_found_and_they_are_the_right_ones(k):
    x, labels = blobs(k)
    found = clusters.find(x, "auto", 0)
    assert len(np.unique(found.clusters)) == k
    assert clusters.agreement(labels.tolist(), found.clusters) == pytest.approx({"nmi": 1.0, "ari": 1.0})
    assert [one["k"] for one in found.tried] == list(range(2, min(20, k * 40 // 10) + 1))
    assert "may be no groups" not in found.why


def test_rows_without_groups_are_called_so():
    x = np.random.default_rng(1).normal(size=(150, 10))
    assert "may be no groups at all" in clusters.find(x, "auto", 0).why


def test_hdbscan_leaves_strays_out():
    x, _ = blobs(3, each=30)
    x[:, 10:] = 0
    far = np.concatenate([x, 30 * np.eye(12)[10:]])
    found = clusters.find(far, "hdbscan", 0).clusters
    assert len(np.unique(found[found >= 0])) == 3 and (found[-2:] == -1).all()


def test_a_given_number_is_taken_and_clusters_are_numbered_by_size():
    x = np.concatenate([blobs(1, each=50)[0], 40 + blobs(1, each=20, seed=3)[0]])
    found = clusters.find(x, "2", 0)
    assert np.bincount(found.clusters).tolist() == [50, 20] and not found.tried


@pytest.mark.parametrize("how", ["1", "many", "500"])
def test_an_impossible_number_is_refused(how):
    with pytest.raises(ValueError, match="auto, hdbscan, or from 2 to"):
        clusters.find(blobs(2)[0], how, 0)


def test_stability_is_the_mean_agreement_of_two_draws_on_the_rows_both_have():
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    x, k, seed = blobs(3, each=15, apart=1.0)[0], 3, 5
    rng, values = np.random.default_rng([seed, k]), []
    for _ in range(clusters.PAIRS):
        one, two = (np.sort(rng.permutation(45)[:36]) for _ in range(2))
        both = [i for i in range(45) if i in one and i in two]
        told = []
        for rows in (one, two):
            made = KMeans(k, n_init=3, random_state=int(rng.integers(2**31))).fit(x[rows])
            told.append([int(np.argmin([((x[i] - c) ** 2).sum() for c in made.cluster_centers_])) for i in both])
        values.append(adjusted_rand_score(*told))
    found = clusters.stability(x, k, seed)
    assert found["stability"] == pytest.approx(np.mean(values)) and found["error"] == pytest.approx(np.std(values, ddof=1) / 10**0.5)


def test_agreement_is_mutual_information_by_the_mean_entropy():
    labels, found = ["a", "a", "b", "b", "b", "c"], np.array([0, 0, 0, 1, 1, 1])
    joint = {}
    for pair in zip(labels, found.tolist(), strict=True):
        joint[pair] = joint.get(pair, 0) + 1 / 6
    p = {a: sum(v for (x, _), v in joint.items() if x == a) for a in "abc"}
    q = {b: sum(v for (_, y), v in joint.items() if y == b) for b in (0, 1)}
    mutual = sum(v * np.log(v / p[a] / q[b]) for (a, b), v in joint.items())
    entropy = [-sum(v * np.log(v) for v in one.values()) for one in (p, q)]
    assert clusters.agreement(labels, found)["nmi"] == pytest.approx(mutual / np.mean(entropy))


def test_a_map_has_the_two_axes_of_most_variance_and_says_their_share():
    x = np.random.default_rng(0).normal(size=(60, 8)) * np.array([9, 5, 1, 1, 1, 1, 1, 1])
    flat, words = clusters.on_a_map(x, "pca")
    normed = x / np.linalg.norm(x, axis=1, keepdims=True)
    values = np.sort(np.linalg.eigvalsh(np.cov(normed.T, bias=True)))[::-1]
    assert flat.var(0) == pytest.approx(values[:2]) and f"{values[:2].sum() / values.sum():.0%}" in words
    with pytest.raises(ValueError, match="pca or umap"):
        clusters.on_a_map(x, "tsne")
