import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from graft.metrics import calibration as own


def _slow(confidence, right, bins):
    """Equal-mass bins, one after the other."""
    order = np.argsort(confidence, kind="stable")
    return sum(len(b) / len(order) * abs(confidence[b].mean() - right[b].mean()) for b in np.array_split(order, bins))


def _cases(n, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 4))
    y = np.array([rng.choice(4, p=row) for row in softmax(logits, 1)])
    return logits, y


@pytest.mark.parametrize(("n", "bins"), [(1500, 15), (150, 15), (60, 6), (8, 1)])
def test_ece_is_the_slow_formula(n, bins):
    logits, y = _cases(n)
    p = softmax(3 * logits, 1)
    assert own.ece(p, y) == pytest.approx(_slow(p.max(1), (p.argmax(1) == y).astype(float), bins))
    table = own.reliability(p, y)
    assert len(table) == bins and sum(b["count"] for b in table) == n
    assert sum(b["count"] / n * abs(b["confidence"] - b["right"]) for b in table) == pytest.approx(own.ece(p, y))


def test_ece_of_labels_takes_every_answer_as_a_case():
    rng = np.random.default_rng(0)
    p, y = rng.random((100, 3)), (rng.random((100, 3)) < 0.5).astype(np.float32)
    assert own.ece(p, y) == pytest.approx(_slow(p.ravel(), y.ravel(), 15))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_temperature_has_the_least_loss_of_a_fine_grid(true):
    logits, y = _cases(3000)
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    losses = [-log_softmax(true * logits / t, 1)[np.arange(3000), y].mean() for t in grid]
    found = own.fit_temperature(true * logits, y)
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)
    assert found == pytest.approx(true, rel=0.1)


def test_temperature_of_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (2000, 3))
    y = (rng.random((2000, 3)) < expit(logits)).astype(np.float32)
    assert own.fit_temperature(4 * logits, y) == pytest.approx(4, rel=0.1)


def test_all_right_does_not_mean_certain():
    y = np.arange(20) % 2
    t = own.fit_temperature(2.0 * np.eye(2)[y], y)
    assert 0.2 < t < 1, "more confident, but far from the bound"
