import numpy as np
import pytest
from sklearn import metrics as reference

from graft.metrics import regression as own


def test_scores_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    y = rng.normal(50, 9, (80, 1))
    p = y + rng.normal(size=(80, 1))
    wanted = {
        "mae": reference.mean_absolute_error(y, p),
        "rmse": reference.mean_squared_error(y, p) ** 0.5,
        "r2": reference.r2_score(y, p),
    }
    assert own.scores(p, y) == pytest.approx(wanted)
    counts = rng.integers(0, 3, 80)
    rows = np.repeat(np.arange(80), counts)
    assert own.prepare(p, y)(counts) == pytest.approx(own.scores(p[rows], y[rows]))


def test_equal_targets_have_no_r2_but_a_number():
    assert own.scores(np.array([1.0, 2.0]), np.array([3.0, 3.0])) == pytest.approx({"mae": 1.5, "rmse": 2.5**0.5, "r2": 0.0})
