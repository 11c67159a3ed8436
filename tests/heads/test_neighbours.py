import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from tests.heads import drawn

from graft.heads import neighbours


def _reference(kind, x, y, chosen):
    scaled = StandardScaler().fit_transform(x.astype(float))
    return kind(chosen["k"], metric=chosen["metric"]).fit(scaled, y), scaled


@pytest.mark.parametrize("apart", [0.4, 1.0])
def test_votes_are_those_of_scikit_learn(apart):
    x, y = drawn.features(120, 6, 3, apart=apart)
    found = drawn.keeps_its_word(neighbours.solve, x, y, "class", 3)
    model, scaled = _reference(KNeighborsClassifier, x, y, found.chosen)
    k = found.chosen["k"]
    share = (model.predict_proba(scaled) * k + 1 / 3) / (k + 1)
    assert np.exp(drawn.outputs(found.head, x)) == pytest.approx(share, abs=1e-5)


@pytest.mark.parametrize("metric", neighbours.METRICS)
def test_held_out_outputs_and_both_metrics(metric):
    x, y = drawn.features(60, 6, 2)
    fold = np.arange(60) % 3
    for k, out in neighbours._out_of_fold(x, np.eye(2)[y], fold, metric, "class"):
        for f in range(3):
            model, _ = _reference(KNeighborsClassifier, x[fold != f], y[fold != f], {"k": k, "metric": metric})
            other = StandardScaler().fit(x[fold != f].astype(float)).transform(x[fold == f])
            assert np.exp(out[fold == f]) == pytest.approx((model.predict_proba(other) * k + 0.5) / (k + 1), abs=1e-5)


def test_labels_and_numbers():
    x, _ = drawn.features(150, 5)
    y = drawn.labels(x)
    found = drawn.keeps_its_word(neighbours.solve, x, y, "labels", 3)
    model, scaled = _reference(KNeighborsRegressor, x, y, found.chosen)
    k = found.chosen["k"]
    assert 1 / (1 + np.exp(-drawn.outputs(found.head, x))) == pytest.approx((model.predict(scaled) * k + 0.5) / (k + 1), abs=1e-5)
    y = drawn.numbers(x)
    found = drawn.keeps_its_word(neighbours.solve, x, y, "number", 1)
    model, scaled = _reference(KNeighborsRegressor, x, y, found.chosen)
    assert drawn.outputs(found.head, x) == pytest.approx(model.predict(scaled).reshape(-1, 1), abs=1e-5)


def test_balanced_votes_absent_classes_and_few_rows():
    x, y = drawn.features(90, 4, 2, apart=0.3)
    keep = (y == 0) | (np.arange(90) < 20)
    x, y = x[keep], y[keep]
    plain, even = (drawn.outputs(neighbours.solve(x, y, 0, "class", 3, balance=b).head, x) for b in (False, True))
    assert (even.argmax(1) == 1).sum() > (plain.argmax(1) == 1).sum() and plain.argmax(1).max() <= 1
    few = neighbours.solve(x[:3], np.array([0, 1, 1]), 0, "class", 2)
    assert few.outputs is None and few.chosen["k"] == 3
