import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler
from tests.heads import drawn

from graft.errors import OptionError
from graft.heads import discriminant


@pytest.mark.parametrize("shape", [(90, 12), (30, 60)])
@pytest.mark.parametrize("balance", [False, True])
def test_it_is_the_formula_with_scikit_learns_covariance(shape, balance):
    x, y = drawn.features(*shape, 3)
    y[:6] = 0
    found = discriminant.solve(x, y, 0, "class", 3, balance=balance)
    z = StandardScaler().fit_transform(x.astype(float))
    means = np.stack([z[y == c].mean(0) for c in range(3)])
    covariance = LedoitWolf(assume_centered=True).fit(z - means[y])
    inverse = np.linalg.inv(covariance.covariance_)
    prior = np.full(3, 1 / 3) if balance else np.bincount(y) / len(y)
    wanted = z @ inverse @ means.T - 0.5 * np.einsum("ci,ij,cj->c", means, inverse, means) + np.log(prior)
    assert found.chosen["shrinkage"] == pytest.approx(covariance.shrinkage_, rel=1e-6)
    assert drawn.outputs(found.head, x) == pytest.approx(wanted, abs=1e-3 * np.abs(wanted).max())


def test_with_many_rows_it_decides_like_plain_lda():
    x, y = drawn.features(1500, 5, 3, apart=0.8)
    found = drawn.keeps_its_word(discriminant.solve, x, y, "class", 3)
    plain = LinearDiscriminantAnalysis().fit(x, y)
    assert (drawn.outputs(found.head, x).argmax(1) == plain.predict(x)).mean() > 0.99
    assert (found.outputs.argmax(1) == y).mean() == pytest.approx((plain.predict(x) == y).mean(), abs=0.02)


def test_few_rows_absent_classes_and_equal_rows():
    x, _ = drawn.features(5, 8)
    found = discriminant.solve(x, np.array([0, 0, 0, 0, 1]), 0, "class", 3)
    assert found.outputs is None and drawn.outputs(found.head, x).argmax(1).max() <= 1
    same = np.repeat(np.float32([[0, 1], [1, 0]]), 4, 0)
    assert (drawn.outputs(discriminant.solve(same, np.repeat([0, 1], 4)).head, same).argmax(1) == np.repeat([0, 1], 4)).all()


@pytest.mark.parametrize("target", ["labels", "number"])
def test_other_targets_are_refused(target):
    with pytest.raises(OptionError, match="logistic"):
        discriminant.solve(np.zeros((4, 2), np.float32), np.zeros((4, 1)), 0, target, 1)
