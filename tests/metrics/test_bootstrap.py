import time

import numpy as np
import pytest
from scipy.stats import binomtest

from graft.metrics import classification, multilabel, regression
from graft.metrics.bootstrap import intervals, paired_difference, wilson


def _draw(n, k=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    return np.exp(rng.normal(size=(n, k)) + 1.5 * np.eye(k)[y]), y


def test_the_fast_path_is_the_slow_loop():
    p, y = _draw(60)
    p /= p.sum(1, keepdims=True)
    fast = intervals(p, y, classification.scores, 200, seed=3)
    slow = intervals(p, y, lambda a, b: classification.scores(a, b), 200, seed=3)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss"):
        assert fast[name] == pytest.approx(slow[name])
    rng, drawn = np.random.default_rng(3), []
    for _ in range(200):
        rows = rng.integers(60, size=60)
        drawn.append((p[rows].argmax(1) == y[rows]).mean())
    assert fast["accuracy"][1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_the_interval_of_an_accuracy_is_about_the_binomial_one():
    p, y = _draw(400)
    value, lo, hi = intervals(p, y, classification.scores)["accuracy"]
    exact = binomtest(round(value * 400), 400).proportion_ci(method="wilson")
    assert lo < value < hi and (lo, hi) == pytest.approx((exact.low, exact.high), abs=0.01)


@pytest.mark.parametrize("right", [True, False])
def test_a_perfect_or_hopeless_accuracy_still_has_a_width(right):
    y = np.arange(50) % 2
    value, lo, hi = intervals(np.eye(2)[y if right else 1 - y], y, classification.scores, 50)["accuracy"]
    exact = binomtest(50 if right else 0, 50).proportion_ci(method="wilson")
    assert value == float(right) and (lo, hi) == pytest.approx((exact.low, exact.high))


def test_every_interval_contains_its_value_and_follows_the_seed():
    p, y = _draw(80)
    p /= p.sum(1, keepdims=True)
    labels = (p > 0.3).astype(float)
    for scores, decoded, targets in (
        (classification.scores, p, y),
        (multilabel.scores, np.random.default_rng(0).random(p.shape), labels),
        (regression.scores, p[:, 0], p[:, 1]),
    ):
        once, twice, other = (intervals(decoded, targets, scores, 100, seed=s) for s in (0, 0, 1))
        assert once == twice and once != other
        assert all(lo <= value <= hi for value, lo, hi in once.values())


def test_whole_groups_are_drawn():
    """Ten copies of each row in a group say no more than one copy."""
    p, y = _draw(40)
    groups = np.array([f"patient {i}" for i in range(40)])
    single = intervals(p, y, classification.scores, 300, seed=1)["accuracy"]
    copies = intervals(np.repeat(p, 10, 0), np.repeat(y, 10), classification.scores, 300, seed=1, groups=np.repeat(groups, 10))
    naive = intervals(np.repeat(p, 10, 0), np.repeat(y, 10), classification.scores, 300, seed=1)["accuracy"]
    assert copies["accuracy"][2] - copies["accuracy"][1] == pytest.approx(single[2] - single[1], abs=0.05)
    assert naive[2] - naive[1] < 0.5 * (single[2] - single[1])


def test_paired_difference_is_the_slow_loop_and_narrower_than_unpaired():
    rng = np.random.default_rng(0)
    a = (rng.random(300) < 0.8).astype(float)
    b = np.where(rng.random(300) < 0.05, 1 - a, a)
    value, lo, hi = paired_difference(a, b, 500, seed=2)
    again, drawn = np.random.default_rng(2), []
    for _ in range(500):
        rows = again.integers(300, size=300)
        drawn.append(a[rows].mean() - b[rows].mean())
    assert value == pytest.approx(a.mean() - b.mean())
    assert (lo, hi) == pytest.approx(np.quantile(drawn, [0.025, 0.975]))
    assert hi - lo < 2 * 1.96 * np.sqrt(a.var() / 300 + b.var() / 300)


def test_models_that_never_differ_are_not_known_to_be_equal():
    a = np.ones(30)
    value, lo, hi = paired_difference(a, a)
    assert value == 0 and lo == pytest.approx(-hi) and hi == pytest.approx(binomtest(0, 30).proportion_ci(method="wilson").high)


@pytest.mark.parametrize(("successes", "n", "level"), [(0, 10, 0.95), (7, 20, 0.9), (20, 20, 0.99)])
def test_wilson_is_scipys(successes, n, level):
    exact = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_two_thousand_repetitions_of_two_thousand_rows_take_seconds():
    p, y = _draw(2000, k=10)
    start = time.process_time()
    intervals(p, y, classification.scores)
    assert time.process_time() - start < 3
