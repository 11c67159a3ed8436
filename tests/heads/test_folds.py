import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from graft.heads import folds


@pytest.mark.parametrize(("sizes", "wanted"), [((40, 23, 11), 5), ((40, 3), 3), ((2, 2), 2)])
def test_every_class_is_spread_evenly(sizes, wanted):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))
    fold = folds.assign(y, "class", 0)
    assert fold.max() + 1 == wanted and np.ptp(np.bincount(fold)) <= 1
    for c in range(len(sizes)):
        assert np.ptp(np.bincount(fold[y == c], minlength=wanted)) <= 1
    assert (fold == folds.assign(y, "class", 0)).all() and (sizes == (2, 2) or (fold != folds.assign(y, "class", 1)).any())
    for learn, held in folds.splits(fold):
        assert sorted([*learn, *held]) == list(range(len(y))) and len(np.unique(y[learn])) == len(sizes)


def test_where_it_is_not_possible():
    assert folds.assign(np.array([0, 0, 0, 0, 1]), "class", 0) is None
    assert folds.assign(np.zeros((3, 1)), "number", 0) is None


def test_labels_and_numbers_are_spread_too():
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 3)) < [0.5, 0.2, 0.05]).astype(np.float32)
    rare = folds.assign(labels, "labels", 0)
    assert np.ptp(np.bincount(rare[labels[:, 2] == 1], minlength=5)) <= 1
    numbers = rng.normal(size=(200, 1)) ** 3
    means = [numbers[folds.assign(numbers, "number", 0) == f].mean() for f in range(5)]
    assert np.ptp(means) < 0.5 * numbers.std() / np.sqrt(40)


def test_balanced_weights_are_scikit_learns():
    y = np.repeat([0, 1, 2], [50, 8, 2])
    hot, columns = folds.counted(y, "class", 4)
    assert hot.shape == (60, 3) and list(columns) == [0, 1, 2]
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=y)
    assert folds.balance(hot, True)[:, 0] == pytest.approx(wanted[y])
    each = folds.balance(hot, False)
    for c in range(3):
        assert each[y == c, c].sum() == pytest.approx(30) and each[y != c, c].sum() == pytest.approx(30)
