import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from tests.heads import drawn

from graft.heads import convex


@pytest.mark.parametrize("shape", [(60, 12), (20, 50)])
def test_a_basis_turns_and_turns_back(shape):
    x, _ = drawn.features(*shape)
    x[:, 3] = 7.0
    basis = convex.Basis(x)
    scaled = StandardScaler().fit_transform(x.astype(float))
    assert basis.rotated.shape[1] <= min(shape) and (basis.apply(x) == pytest.approx(basis.rotated, abs=1e-6))
    assert basis.rotated @ basis.rotated.T == pytest.approx(scaled @ scaled.T, abs=1e-5)
    assert (basis.rotated**2).sum(0) == pytest.approx(basis.curvature)
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(basis.rotated.shape[1], 2)), rng.normal(size=2)
    slope, shift = basis.raw(weight, bias)
    assert x @ slope.T + shift == pytest.approx(basis.rotated @ weight + bias, abs=1e-4) and (slope[:, 3] == 0).all()


@pytest.mark.parametrize("link", [convex.softmax_loss, convex.sigmoid_loss, convex.hinge_loss])
def test_gradients_are_finite_differences(link):
    rng = np.random.default_rng(0)
    f, hot, weights = rng.normal(size=(6, 3)), np.eye(3)[[0, 1, 2, 0, 1, 2]], rng.uniform(0.5, 2, (6, 1))
    value, slope = link(f, hot, weights)
    for i, j in np.ndindex(6, 3):
        moved = f.copy()
        moved[i, j] += 1e-6
        assert (link(moved, hot, weights)[0] - value) / 1e-6 == pytest.approx(slope[i, j], abs=1e-5)


@pytest.mark.parametrize("shape", [(90, 12), (30, 60)])
@pytest.mark.parametrize("c", [1e-3, 0.1, 10.0])
def test_the_minimum_is_scikit_learns(shape, c):
    x, y = drawn.features(*shape)
    basis, scaled = convex.Basis(x), StandardScaler().fit_transform(x.astype(float))
    found = convex.minimise(basis, np.eye(3)[y], np.ones((len(y), 1)), c, convex.softmax_loss)
    wanted = LogisticRegression(C=c, tol=1e-8, max_iter=5000).fit(scaled, y).decision_function(scaled)
    mine = basis.rotated @ found[:-1] + found[-1]
    centred = lambda z: z - z.mean(1, keepdims=True)  # noqa: E731
    assert centred(mine) == pytest.approx(centred(wanted), abs=0.02 * np.abs(wanted).max())


def test_two_classes_are_scikit_learns_at_twice_the_strength():
    x, y = drawn.features(80, 10, 2)
    basis, scaled = convex.Basis(x), StandardScaler().fit_transform(x.astype(float))
    found = convex.minimise(basis, np.eye(2)[y], np.ones((80, 1)), 0.1, convex.softmax_loss)
    mine = basis.rotated @ found[:-1] + found[-1]
    wanted = LogisticRegression(C=0.2, tol=1e-8, max_iter=5000).fit(scaled, y).decision_function(scaled)
    assert mine[:, 1] - mine[:, 0] == pytest.approx(wanted, abs=0.01 * np.abs(wanted).max())


def test_squared_hinge_is_linear_svc():
    x, y = drawn.features(80, 10, 3)
    basis, scaled = convex.Basis(x), StandardScaler().fit_transform(x.astype(float))
    found = convex.minimise(basis, np.eye(3)[y], np.ones((80, 1)), 0.05, convex.hinge_loss)
    mine = basis.rotated @ found[:-1] + found[-1]
    # A large intercept_scaling makes scikit-learn's bias as free as ours.
    wanted = LinearSVC(C=0.05, tol=1e-8, intercept_scaling=100, max_iter=20000, dual=False).fit(scaled, y).decision_function(scaled)
    assert mine == pytest.approx(wanted, abs=0.01)


def test_held_out_outputs_have_not_seen_their_row():
    x, y = drawn.features(40, 6, 2)
    fold = np.arange(40) % 4
    out = convex.out_of_fold(x, np.eye(2)[y], fold, (0.1,), convex.softmax_loss, lambda rows: np.ones((len(rows), 1)), True)[0]
    changed = x.copy()
    changed[fold == 2] += 5
    again = convex.out_of_fold(changed, np.eye(2)[y], fold, (0.1,), convex.softmax_loss, lambda rows: np.ones((len(rows), 1)), True)[0]
    learn = fold != 2
    basis = convex.Basis(x[learn])
    found = convex.minimise(basis, np.eye(2)[y[learn]], np.ones((30, 1)), 0.1, convex.softmax_loss)
    assert out[~learn] == pytest.approx(basis.apply(x[~learn]) @ found[:-1] + found[-1], abs=0.02)
    assert again[~learn] == pytest.approx(basis.apply(changed[~learn]) @ found[:-1] + found[-1], abs=0.02)


def test_a_class_without_rows_gets_the_least_logit():
    rng = np.random.default_rng(0)
    head = convex.linear(rng.normal(size=(2, 5)), np.zeros(2), np.array([0, 2]), 4)
    out = drawn.outputs(head, rng.normal(size=(10, 5)).astype(np.float32))
    assert out.shape == (10, 4) and set(out.argmax(1)) <= {0, 2}
    wide = convex.widen(rng.normal(size=(10, 2)), np.array([0, 2]), 4)
    assert wide.shape == (10, 4) and set(wide.argmax(1)) <= {0, 2}


def test_a_dead_feature_is_not_magnified():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 6))
    x[:, 2], x[:, 4] = 1e-9 * x[:, 2], 0.5
    mean, scale = convex.moments(x)
    assert (scale[[2, 4]] == 0).all() and np.allclose(scale[[0, 1, 3, 5]], 1 / x.std(0)[[0, 1, 3, 5]]) and np.allclose(mean, x.mean(0))
    # What is merely rare or small still counts.
    x[:, 4] = 0.01 * rng.normal(size=50)
    assert (convex.moments(x)[1] > 0).tolist() == [True, True, False, True, True, True]
    assert not convex.moments(np.ones((5, 3)))[1].any()
