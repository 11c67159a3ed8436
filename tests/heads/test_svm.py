import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from tests.heads import drawn

from graft.errors import OptionError
from graft.heads import svm


def test_the_linear_one_is_linear_svc_calibrated():
    x, y = drawn.features(120, 10, 3)
    found = drawn.keeps_its_word(svm.solve, x, y, "class", 3)
    scaled = StandardScaler().fit_transform(x.astype(float))
    model = LinearSVC(C=found.chosen["C"], tol=1e-8, intercept_scaling=100, max_iter=20000, dual=False).fit(scaled, y)
    decision, out = model.decision_function(scaled), drawn.outputs(found.head, x)
    for j in range(3):
        gain, offset = np.polyfit(decision[:, j], out[:, j], 1)
        assert gain > 0 and out[:, j] == pytest.approx(gain * decision[:, j] + offset, abs=float(0.02 * np.ptp(out[:, j])))
    assert (found.outputs.argmax(1) == y).mean() > 0.9


def test_the_gaussian_one_is_svc():
    x, y = drawn.features(90, 10, 3)
    found = drawn.keeps_its_word(svm.solve_rbf, x, y, "class", 3)
    scaled = StandardScaler().fit_transform(x.astype(float))
    with torch.no_grad():
        decision = found.head.decision(torch.from_numpy(x)).numpy()
    for j in range(3):
        model = SVC(C=found.chosen["C"], gamma="scale").fit(scaled, y == j)
        assert decision[:, j] == pytest.approx(model.decision_function(scaled), abs=1e-4)
    assert drawn.outputs(found.head, x) == pytest.approx(decision * found.head.gain.numpy() + found.head.offset.numpy(), abs=1e-5)


def test_two_classes_share_one_machine():
    x, y = drawn.features(60, 40, 2)
    head = drawn.keeps_its_word(svm.solve_rbf, x, y, "class", 2).head
    decision = head.decision(torch.from_numpy(x))
    assert torch.allclose(decision[:, 0], -decision[:, 1], atol=1e-5)


def test_numbers_are_svr():
    x, _ = drawn.features(80, 6)
    y = drawn.numbers(x)
    found = drawn.keeps_its_word(svm.solve_rbf, x, y, "number", 1)
    scaled = StandardScaler().fit_transform(x.astype(float))
    wanted = SVR(C=found.chosen["C"], gamma="scale", epsilon=svm.EPSILON).fit(scaled, y[:, 0].astype(float)).predict(scaled)
    assert drawn.outputs(found.head, x)[:, 0] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("solve", [svm.solve, svm.solve_rbf])
def test_labels_even_one_that_nobody_has(solve):
    x, _ = drawn.features(120, 8)
    y = drawn.labels(x)
    y[:, 1] = 0
    found = drawn.keeps_its_word(solve, x, y, "labels", 3)
    p = 1 / (1 + np.exp(-found.outputs))
    assert (p[:, 1] < 0.1).all() and ((p > 0.5) == (y > 0.5)).mean() > 0.85


@pytest.mark.parametrize("solve", [svm.solve, svm.solve_rbf])
def test_balance_and_absent_classes(solve):
    x, y = drawn.features(150, 5, 3, apart=0.4)
    keep = (y != 2) | (np.arange(150) < 40)
    x, y = x[keep], y[keep]
    # Held-out calibration with the rows' own frequencies takes part of the balance back; the machines themselves differ.
    plain, even = (solve(x, y, 0, "class", 5, balance=b) for b in (False, True))
    assert (drawn.outputs(plain.head, x) != drawn.outputs(even.head, x)).any()
    assert plain.outputs.shape == (len(y), 5) and plain.outputs.argmax(1).max() <= 2 and drawn.outputs(plain.head, x).argmax(1).max() <= 2


@pytest.mark.parametrize("solve", [svm.solve, svm.solve_rbf])
def test_too_few_rows_for_cross_validation(solve):
    x, _ = drawn.features(5, 8)
    found = solve(x, np.array([0, 0, 0, 0, 1]), 0, "class", 2)
    assert found.outputs is None and drawn.outputs(found.head, x).shape == (5, 2)


@pytest.mark.parametrize("exclusive", [True, False])
def test_calibration_recovers_scale_and_offset(exclusive):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (6000, 3))
    p = np.exp(log_softmax(logits, 1)) if exclusive else 1 / (1 + np.exp(-logits))
    hot = np.eye(3)[[rng.choice(3, p=row) for row in p]] if exclusive else (rng.random(p.shape) < p).astype(float)
    gains, offsets = np.array([0.5, 2.0, 5.0]), np.array([1.0, 0.0, -1.0])
    gain, offset, loss = svm.calibrate((logits - offsets) / gains, hot, exclusive)
    assert gain == pytest.approx(gains, rel=0.15) and offset - offset.mean() == pytest.approx(offsets, abs=0.15)
    true = -(hot * log_softmax(logits, 1)).sum(1).mean() if exclusive else (np.logaddexp(0, logits) - hot * logits).sum(1).mean()
    assert loss == pytest.approx(true, abs=0.01)


def test_what_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="logistic"):
        svm.solve(np.zeros((4, 2), np.float32), np.zeros((4, 1)), 0, "number", 1)
    with pytest.raises(OptionError, match="10000 rows"):
        svm.solve_rbf(np.zeros((svm.ROWS + 1, 1), np.float32), np.zeros(svm.ROWS + 1, int), 0, "class", 2)
