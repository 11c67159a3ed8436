import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.heads import drawn

from graft.advisor import scores
from graft.errors import DataError
from graft.heads import folds, logistic


def evidence(x: np.ndarray, y: np.ndarray) -> float:
    """The best ln N(y; 0, I / beta + X X' / alpha) / n over alpha and beta, by direct search from several starts."""

    def negative(logs: np.ndarray) -> float:
        alpha, beta = np.exp(np.clip(logs, -60, 60))
        return -multivariate_normal.logpdf(y, None, np.eye(len(y)) / beta + x @ x.T / alpha, allow_singular=True) / len(y)

    starts = [(-3, 0), (1, 0), (5, 3)]
    found = [minimize(negative, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11, "maxiter": 4000}) for start in starts]
    return -min(one.fun for one in found)


@pytest.mark.parametrize(("n", "d", "k", "apart"), [(40, 6, 3, 0.8), (24, 40, 2, 1.0), (30, 5, 2, 0.0)])
def test_logme_is_the_evidence_at_its_maximum(n, d, k, apart):
    x, y = drawn.features(n, d, k, seed=4, apart=apart)
    wanted = np.mean([evidence(x.astype(float), (y == c).astype(float)) for c in range(k)])
    assert scores.logme(x, y) == pytest.approx(wanted, abs=2e-5)


def test_logme_of_numbers_and_of_labels_with_one_that_nobody_has():
    x, _ = drawn.features(36, 5)
    numbers, labels = drawn.numbers(x), np.zeros((36, 3))
    labels[:, :2] = drawn.labels(x, 2)
    assert scores.logme(x, numbers, "number") == pytest.approx(evidence(x.astype(float), numbers[:, 0].astype(float)), abs=2e-5)
    wanted = np.mean([evidence(x.astype(float), labels[:, j]) for j in range(2)])
    assert scores.logme(x, labels, "labels") == pytest.approx(wanted, abs=2e-5)


def test_logme_does_not_depend_on_the_features_unit_and_prefers_what_tells():
    x, y = drawn.features(60, 8, 2)
    assert scores.logme(1000 * x, y) == pytest.approx(scores.logme(x, y), abs=1e-5)
    shuffled = np.random.default_rng(0).permutation(y)
    assert scores.logme(x, y) > scores.logme(x, shuffled) + 0.1
    zero = np.log(60 / 30) - 1 - np.log(2 * np.pi)
    assert scores.logme(np.zeros((60, 4)), y) == pytest.approx(zero / 2), "no features: y is noise of its own size"


@pytest.mark.parametrize(("n", "d"), [(80, 7), (30, 60)])
def test_h_score_is_the_trace_of_its_matrices(n, d):
    x, y = drawn.features(n, d, 3)
    x = x.astype(float)
    shrunk = LedoitWolf().fit(x)
    means = np.stack([x[y == y[i]].mean(0) for i in range(n)])
    between = np.cov(means, rowvar=False, bias=True)
    wanted = np.trace(np.linalg.pinv(shrunk.covariance_) @ ((1 - shrunk.shrinkage_) * between))
    assert scores.h_score(x, y) == pytest.approx(wanted, rel=1e-6)
    assert 0 <= scores.h_score(x, y) <= 2
    assert scores.h_score(np.full((n, d), 7.0), y) == 0


def source(n: int = 50, s: int = 6, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(k, size=n)
    logits = rng.normal(size=(n, s)) + 2 * np.eye(s)[labels]
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), labels


def test_leep_is_its_loops():
    p, y = source()
    n, s = p.shape
    joint = [[sum(p[i, z] for i in range(n) if y[i] == c) / n for z in range(s)] for c in range(3)]
    conditional = [[joint[c][z] / sum(joint[b][z] for b in range(3)) for z in range(s)] for c in range(3)]
    wanted = sum(np.log(sum(conditional[y[i]][z] * p[i, z] for z in range(s))) for i in range(n)) / n
    assert scores.leep(p, y) == pytest.approx(wanted)
    unused = np.column_stack([p, np.zeros(n)])
    assert scores.leep(unused, y + 5) == pytest.approx(wanted), "a source class nobody has, and labels that do not start at 0"
    with pytest.raises(DataError, match="softmax"):
        scores.leep(3 * p, y)


def test_nce_is_its_loops():
    p, y = source()
    z = p.argmax(1)
    wanted = 0.0
    for a in set(z):
        for c in set(y):
            both = np.mean((z == a) & (y == c))
            wanted += both * np.log(both / np.mean(z == a)) if both else 0.0
    assert scores.nce(z, y) == pytest.approx(wanted)
    assert scores.nce(y + 10, y) == pytest.approx(0), "predictions that are the labels leave nothing open"


@pytest.mark.parametrize("k", [1, 4, 5])
def test_knn_is_its_loops(k):
    x, y = drawn.features(45, 5, 3, apart=0.6)
    z = (x - x.mean(0)) / x.std(0)
    right = []
    for i in range(45):
        cosines = {j: z[i] @ z[j] / np.linalg.norm(z[i]) / np.linalg.norm(z[j]) for j in range(45) if j != i}
        near = sorted(cosines, key=cosines.get)[-k:]
        votes = {c: (sum(y[j] == c for j in near), sum(cosines[j] for j in near if y[j] == c)) for c in range(3)}
        right.append(max(votes, key=votes.get) == y[i])
    assert scores.knn(x, y, k) == pytest.approx(np.mean(right))


def test_knn_can_choose_k_and_does_with_few_or_many_rows(monkeypatch):
    x, y = drawn.features(45, 5, 3, apart=0.6)
    assert scores.knn(x, y, None) == max(scores.knn(x, y, k) for k in range(1, 11))
    assert 0 <= scores.knn(x[:3], y[:3]) <= 1
    whole = scores.knn(x, y)
    monkeypatch.setattr(scores, "LARGEST", 40)
    assert scores.knn(x, y) == scores.knn(x, y, seed=0) and abs(scores.knn(x, y) - whole) < 0.2


def by_hand(x: np.ndarray, y: np.ndarray, fold: np.ndarray, k: int) -> tuple[np.ndarray, list[float]]:
    """Held-out probabilities at every strength with scikit-learn, then for each fold the strength that the others prefer."""
    held = np.empty((len(logistic.GRID), len(y), k))
    for i, c in enumerate(logistic.GRID):
        for learn, rest in folds.splits(fold):
            regression = LogisticRegression(C=c if k > 2 else 2 * c, tol=1e-9, max_iter=10000)
            held[i, rest] = make_pipeline(StandardScaler(), regression).fit(x[learn], y[learn]).predict_proba(x[rest])
    loss = -np.log(held[:, np.arange(len(y)), y])
    best = [int(loss[:, fold != f].mean(1).argmin()) for f in range(fold.max() + 1)]
    return np.stack([held[best[f], i] for i, f in enumerate(fold)]), [logistic.GRID[b] for b in best]


@pytest.mark.parametrize("k", [2, 3])
def test_the_probe_chooses_a_folds_strength_on_the_other_folds(k):
    x, y = drawn.features(90, 12, k, apart=0.35)
    found = scores.probe(x, y)
    wanted, strengths = by_hand(x, y, folds.assign(y, "class", 0), k)
    assert found.metric == "accuracy" and found.n == 90 and list(found.strengths) == strengths
    assert found.value == pytest.approx((wanted.argmax(1) == y).mean(), abs=0.012), "one row at most may fall the other way"
    assert found.scores["log_loss"] == pytest.approx(-np.log(wanted[np.arange(90), y]).mean(), abs=0.02)
    recall = [(wanted.argmax(1)[y == c] == c).mean() for c in range(k)]
    assert found.scores["balanced_accuracy"] == pytest.approx(np.mean(recall), abs=0.04)
    low, high = found.interval
    assert low < found.value < high and found.error == pytest.approx((high - low) / 2 / 1.96)


def test_the_probe_of_noise_is_chance_on_average():
    """With 20 features and no signal, the average over draws is a half; scored on what chose it, it would be above."""
    values = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values.append(scores.probe(rng.normal(size=(40, 20)), np.arange(40) % 2, seed).value)
    assert np.mean(values) == pytest.approx(0.5, abs=4 * np.std(values) / 20**0.5)
    assert np.mean(values) < 0.57


def test_the_probe_of_numbers_and_of_labels():
    x, _ = drawn.features(80, 6)
    y = drawn.numbers(x)
    found = scores.probe(x, y, target="number")
    fold = folds.assign(y, "number", 0)
    held = np.empty((len(logistic.GRID), 80))
    for i, c in enumerate(logistic.GRID):
        for learn, rest in folds.splits(fold):
            held[i, rest] = make_pipeline(StandardScaler(), Ridge(1 / c)).fit(x[learn], y[learn, 0]).predict(x[rest])
    square = (held - y[:, 0]) ** 2
    chosen = np.stack([held[square[:, fold != f].mean(1).argmin(), i] for i, f in enumerate(fold)])
    assert found.metric == "r2" and found.value == pytest.approx(
        1 - ((chosen - y[:, 0]) ** 2).sum() / ((y - y.mean()) ** 2).sum(), abs=1e-4
    )
    labels = scores.probe(x, drawn.labels(x), target="labels")
    assert labels.metric == "mean_average_precision" and labels.interval[0] <= labels.value <= labels.interval[1] and labels.value > 0.6


def test_groups_stay_together():
    """Every group repeats one row with one label: rows of a group in both parts would look learnt, groups held out are chance."""
    rng = np.random.default_rng(0)
    x, y, groups = np.repeat(rng.normal(size=(24, 40)), 5, 0), np.repeat(np.arange(24) % 2, 5), np.repeat(np.arange(24), 5)
    x = x + 0.01 * rng.normal(size=x.shape)
    assert scores.probe(x, y).value > 0.95
    apart = scores.probe(x, y, groups=groups)
    assert apart.value < 0.8 and apart.interval[1] - apart.interval[0] > 0.25, "24 groups are 24, not 120"
    with pytest.raises(DataError, match="two groups"):
        scores.probe(x, y, groups=y)


def test_a_class_with_one_row_is_left_out_of_the_probe_with_a_word():
    x, y = drawn.features(60, 5, 2)
    more, labels = np.concatenate([x, x[:1] + 50]), np.append(y, 7)
    found = scores.probe(more, labels)
    assert found.n == 60 and "1 class with a single row" in found.notes[0]
    assert found.value == scores.probe(x, y).value
    assert np.isfinite([scores.logme(more, labels), scores.h_score(more, labels), scores.knn(more, labels)]).all()


def test_what_cannot_be_scored_says_so():
    x, y = drawn.features(10, 4, 2)
    for score in (scores.logme, scores.h_score, scores.knn, scores.probe):
        with pytest.raises(DataError, match="same label"):
            score(x, np.zeros(10, int))
        with pytest.raises(DataError, match="not finite"):
            score(np.where(x > x.mean(), np.nan, x), y)
        with pytest.raises(DataError, match="each of two or more rows"):
            score(x, y[:5])
    with pytest.raises(DataError, match="two rows each"):
        scores.probe(x[:3], np.array([0, 1, 1]))
    with pytest.raises(DataError, match="the same in all rows"):
        scores.logme(x, np.ones((10, 1)), "number")
    with pytest.raises(ValueError, match="target"):
        scores.logme(x, y, "classes")
