import time
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.heads import drawn

from graft.errors import OptionError
from graft.heads import folds, logistic


def test_three_classes_are_scikit_learns_at_the_chosen_strength():
    x, y = drawn.features(150, 12, 3)
    found = drawn.keeps_its_word(logistic.solve, x, y, "class", 3)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=found.chosen["C"], tol=1e-8, max_iter=5000)).fit(x, y)
    wanted = model.decision_function(x)
    mine = drawn.outputs(found.head, x)
    assert mine - mine.mean(1, keepdims=True) == pytest.approx(
        wanted - wanted.mean(1, keepdims=True), abs=float(0.02 * np.abs(wanted).max())
    )
    assert found.chosen["folds"] == 5 and (found.outputs.argmax(1) == y).mean() > 0.9


def test_two_classes_give_two_logits_with_more_features_than_rows():
    x, y = drawn.features(40, 100, 2)
    found = drawn.keeps_its_word(logistic.solve, x, y, "class", 2)
    assert (drawn.outputs(found.head, x).argmax(1) == y).all()


def test_labels_are_one_binary_regression_each():
    x, _ = drawn.features(200, 10)
    y = drawn.labels(x)
    found = drawn.keeps_its_word(logistic.solve, x, y, "labels", 3)
    mine = drawn.outputs(found.head, x)
    for j in range(3):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=found.chosen["C"], tol=1e-8, max_iter=5000)).fit(x, y[:, j])
        assert mine[:, j] == pytest.approx(model.decision_function(x), abs=0.05)


@pytest.mark.parametrize("c", [None, 3.0])
def test_features_of_length_one_are_not_standardised(c):
    x, y = drawn.features(150, 12, 3)
    found = drawn.keeps_its_word(partial(logistic.solve_unit, c=c), x, y, "class", 3)
    assert c is None or (found.chosen["C"] == c and found.outputs.shape == (150, 3))
    one = x / np.linalg.norm(x, axis=1, keepdims=True)
    wanted = LogisticRegression(C=found.chosen["C"], tol=1e-8, max_iter=5000).fit(one, y).decision_function(one)
    mine = drawn.outputs(found.head, x)
    assert mine - mine.mean(1, keepdims=True) == pytest.approx(
        wanted - wanted.mean(1, keepdims=True), abs=float(0.02 * np.abs(wanted).max())
    )
    assert drawn.outputs(found.head, 5 * x) == pytest.approx(mine, abs=1e-4) and found.head.config["unit"]


def test_numbers_have_a_length_that_counts():
    with pytest.raises(OptionError, match="logistic_unit"):
        logistic.solve_unit(np.zeros((8, 3), np.float32), np.zeros((8, 1)), target="number", outputs=1)


def test_numbers_are_ridge():
    x, _ = drawn.features(120, 10)
    y = drawn.numbers(x)
    found = drawn.keeps_its_word(logistic.solve, x, y, "number", 1)
    model = make_pipeline(StandardScaler(), Ridge(alpha=found.chosen["alpha"])).fit(x, y)
    assert drawn.outputs(found.head, x) == pytest.approx(model.predict(x).reshape(-1, 1), abs=1e-3)
    fold = folds.assign(y, "number", 0)
    losses = {}
    for c in logistic.GRID:
        errors = np.empty(120)
        for learn, held in folds.splits(fold):
            other = make_pipeline(StandardScaler(), Ridge(alpha=1 / c)).fit(x[learn], y[learn])
            errors[held] = (other.predict(x[held]).ravel() - y[held, 0]) ** 2
        losses[1 / c] = errors.mean()
    assert found.chosen["alpha"] == min(losses, key=losses.get) and found.chosen["score"] == pytest.approx(min(losses.values()), rel=1e-3)


def test_balance_is_scikit_learns_class_weight():
    x, y = drawn.features(150, 6, 3, apart=0.5)
    keep = (y != 2) | (np.arange(150) < 30)
    x, y = x[keep], y[keep]
    found = logistic.solve(x, y, 0, "class", 3, balance=True)
    regression = LogisticRegression(C=found.chosen["C"], class_weight="balanced", tol=1e-8, max_iter=5000)
    model = make_pipeline(StandardScaler(), regression).fit(x, y)
    wanted, mine = model.decision_function(x), drawn.outputs(found.head, x)
    assert mine - mine.mean(1, keepdims=True) == pytest.approx(wanted, abs=float(0.03 * np.abs(wanted).max()))
    plain = logistic.solve(x, y, 0, "class", 3)
    assert (drawn.outputs(found.head, x).argmax(1) == 2).sum() > (drawn.outputs(plain.head, x).argmax(1) == 2).sum()


def test_too_few_rows_for_cross_validation_and_an_absent_class():
    x, _ = drawn.features(5, 8)
    found = logistic.solve(x, np.array([0, 0, 0, 0, 1]), 0, "class", 3)
    assert found.outputs is None and found.chosen == {"C": logistic.DEFAULT, "folds": 0}
    assert drawn.outputs(found.head, x).shape == (5, 3) and drawn.outputs(found.head, x).argmax(1).max() <= 1


def test_features_that_say_nothing_do_no_harm():
    x, y = drawn.features(60, 5, 2)
    padded = np.concatenate([x, np.full((60, 3), 0.1, np.float32)], 1)
    assert drawn.outputs(logistic.solve(padded, y).head, padded) == pytest.approx(drawn.outputs(logistic.solve(x, y).head, x), abs=1e-3)


def test_cross_validation_on_a_small_set_takes_about_a_second():
    x, y = drawn.features(250, 1280, 2, apart=0.1)
    start = time.process_time()
    logistic.solve(x, y)
    assert time.process_time() - start < 2
