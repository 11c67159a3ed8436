"""Against sums over pairs and a singular value decomposition, and at the ends of each range."""

import math

import numpy as np
import pytest

from graft.metrics import collapse


def drawn(rows=30, width=6, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)) + 0.5


def unit(x):
    return [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in x.tolist()]


@pytest.mark.parametrize("shape", [(30, 6), (5, 12)])
def test_the_effective_rank_is_the_exponential_of_the_entropy_of_the_singular_values(shape):
    x = drawn(*shape)
    sizes = np.linalg.svd(x, compute_uv=False)
    entropy = -sum(s / sizes.sum() * math.log(s / sizes.sum()) for s in sizes)
    assert collapse.effective_rank(x) == pytest.approx(math.exp(entropy), rel=1e-6)
    assert collapse.effective_rank(100 * x) == pytest.approx(collapse.effective_rank(x))


def test_the_effective_rank_goes_from_one_to_the_width():
    assert collapse.effective_rank(np.eye(7)) == pytest.approx(7)
    assert collapse.effective_rank(np.ones((20, 5))) == pytest.approx(1, abs=1e-5)
    assert collapse.effective_rank(np.zeros((4, 3))) == 1.0
    three = drawn(50, 3) @ drawn(3, 40, seed=1)
    assert 1 < collapse.effective_rank(three) < 3.001


def test_spread_is_the_mean_deviation_on_the_sphere():
    x = drawn()
    rows, width = unit(x), x.shape[1]
    slow = []
    for j in range(width):
        mean = sum(row[j] for row in rows) / len(rows)
        slow.append(math.sqrt(width * sum((row[j] - mean) ** 2 for row in rows) / len(rows)))
    assert collapse.deviations(x) == pytest.approx(slow)
    assert collapse.spread(x) == pytest.approx(sum(slow) / width)


def test_spread_goes_from_collapsed_to_isotropic():
    assert collapse.spread(np.full((10, 4), 3.0)) == pytest.approx(0, abs=1e-6)
    assert collapse.spread(np.random.default_rng(0).normal(size=(20_000, 8))) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("t", [2.0, 0.5])
def test_uniformity_is_the_mean_over_all_pairs(t):
    x = drawn()
    rows, total, count = unit(x), 0.0, 0
    for i in range(len(rows)):
        for j in range(i):
            total, count = total + math.exp(-t * sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True))), count + 1
    assert collapse.uniformity(x, t) == pytest.approx(math.log(total / count))


def test_uniformity_of_one_point_and_of_more_rows_than_are_compared(monkeypatch):
    assert collapse.uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-9) and collapse.uniformity(np.ones((1, 3))) == 0.0
    x = drawn(9)
    monkeypatch.setattr(collapse, "ROWS", 5)
    assert collapse.uniformity(x) == pytest.approx(collapse.uniformity(x[::2]))


@pytest.mark.parametrize("alpha", [2.0, 1.0])
def test_alignment_is_the_mean_distance_of_the_views(alpha):
    a, b = drawn(seed=1), drawn(seed=2)
    slow = [math.dist(p, q) ** alpha for p, q in zip(unit(a), unit(b), strict=True)]
    assert collapse.alignment(a, b, alpha) == pytest.approx(sum(slow) / len(slow))
    assert collapse.alignment(a, 3 * a) == pytest.approx(0, abs=1e-12)


def test_the_verdict_speaks_of_collapsed_features_alone():
    of = lambda x: {"effective_rank": collapse.effective_rank(x), "spread": collapse.spread(x), "uniformity": collapse.uniformity(x)}  # noqa: E731
    assert collapse.verdict(of(drawn(200, 32))) is None and collapse.verdict({}) is None
    # As after ReLU and pooling: all alike to 0.95, and yet of use.
    assert collapse.verdict(of(np.abs(drawn(300, 64)) + 3)) is None
    found = collapse.verdict(of(np.ones((50, 16)) + 1e-4 * drawn(50, 16)))
    assert "effective rank of 1.0" in found and "spread of 0.000" in found and "--lr" in found and found.count(". ") == 0
    assert "effective rank" not in collapse.verdict({"effective_rank": 9.0, "spread": 0.01})
