import numpy as np
import pytest
from sklearn import metrics as reference

from graft.metrics import multilabel as own


def _draw(n=200, k=4, seed=0):
    rng = np.random.default_rng(seed)
    # Rounded, so that there are ties.
    return rng.random((n, k)).round(1), (rng.random((n, k)) < 0.3).astype(np.float32)


def test_scores_are_those_of_scikit_learn():
    p, y = _draw()
    given, q = p >= 0.5, np.clip(p, own.SMALLEST, 1 - own.SMALLEST)
    assert own.scores(p, y) == pytest.approx(
        {
            "mean_average_precision": reference.average_precision_score(y, p, average="macro"),
            "micro_f1": reference.f1_score(y, given, average="micro"),
            "macro_f1": reference.f1_score(y, given, average="macro"),
            "subset_accuracy": reference.accuracy_score(y, given),
            "log_loss": np.mean([reference.log_loss(y[:, j], q[:, j]) for j in range(4)]),
        }
    )


def test_counted_rows_score_like_repeated_rows():
    p, y = _draw(n=100)
    counts = np.random.default_rng(1).integers(0, 4, 100)
    rows = np.repeat(np.arange(100), counts)
    assert own.prepare(p, y)(counts) == pytest.approx(own.scores(p[rows], y[rows]))


def test_a_label_without_positive_rows_is_left_out_and_none_at_all_scores_zero():
    p, y = _draw()
    y[:, 2] = 0
    ap = own.average_precision(p, y)
    assert np.isnan(ap[2]) and own.scores(p, y)["mean_average_precision"] == pytest.approx(ap[[0, 1, 3]].mean())
    assert own.scores(p * 0, y * 0) == pytest.approx(
        {"mean_average_precision": 0, "micro_f1": 0, "macro_f1": 0, "subset_accuracy": 1, "log_loss": 0}, abs=1e-6
    )
