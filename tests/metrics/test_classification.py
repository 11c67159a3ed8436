import numpy as np
import pytest
from sklearn import metrics as reference

from graft.metrics import calibration
from graft.metrics import classification as own


def _draw(n=300, k=5, seed=0, classes=None):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(k, 0.5), n)
    return p, rng.choice(classes if classes is not None else k, n)


@pytest.mark.parametrize("classes", [None, [0, 2, 3]])
def test_scores_are_those_of_scikit_learn(classes):
    p, y = _draw(classes=classes)
    given = p.argmax(1)
    scores = own.scores(p, y)
    seen = np.union1d(y, given)
    wanted = {
        "accuracy": reference.accuracy_score(y, given),
        "balanced_accuracy": np.mean([reference.recall_score(y == c, given == c) for c in np.unique(y)]),
        "macro_f1": reference.f1_score(y, given, average="macro", labels=seen),
        "log_loss": -np.mean([np.log(max(p[i, y[i]], own.SMALLEST)) for i in range(300)]),
        "ece": calibration.ece(p, y),
    }
    assert scores == pytest.approx(wanted, abs=1e-6)
    one_by_one = {name: getattr(own, name)(p, y) for name in ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")}
    assert {name: scores[name] for name in one_by_one} == pytest.approx(one_by_one)


def test_confusion_and_per_class_with_a_class_that_is_absent_and_one_never_predicted():
    p, y = _draw(classes=[0, 1, 2])
    p[:, 3] = p[:, 1] = 0.0
    given = p.argmax(1)
    assert (own.confusion(p, y, 5) == reference.confusion_matrix(y, given, labels=range(5))).all()
    wanted = reference.precision_recall_fscore_support(y, given, labels=range(5), zero_division=0)
    for mine, theirs in zip(own.per_class(p, y, 5), wanted, strict=True):
        assert mine == pytest.approx(theirs)


def test_counted_rows_score_like_repeated_rows():
    p, y = _draw(n=200)
    counts = np.random.default_rng(1).integers(0, 4, 200)
    rows = np.repeat(np.arange(200), counts)
    counted, repeated = own.prepare(p, y)(counts), own.scores(p[rows], y[rows])
    # A repeated row is one case in the calibration bins and may not be cut between two of them, so ece only comes near.
    assert counted.pop("ece") == pytest.approx(repeated.pop("ece"), abs=0.03)
    assert counted == pytest.approx(repeated)


def test_a_probability_of_zero_for_the_truth_is_costly_but_finite():
    assert own.scores(np.array([[1.0, 0.0]]), np.array([1]))["log_loss"] == pytest.approx(-np.log(own.SMALLEST))
