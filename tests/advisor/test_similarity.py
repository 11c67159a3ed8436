import numpy as np
import pytest
from scipy.linalg import sqrtm

from graft.advisor import similarity
from graft.advisor.references import Reference
from graft.errors import DataError


def clouds(n: int = 40, m: int = 50, d: int = 6, apart: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    return rng.normal(size=(n, d)) @ mix + apart, rng.normal(size=(m, d)) @ mix


def statistics(parts: int, rows: int, seed: int, shift: float = 0.0, spread: float = 1.0, c: int = 400) -> tuple[list, list]:
    """Means and variances [parts, c] of `rows` rows a part of N(shift, spread^2), in each of two layers."""
    x = np.random.default_rng(seed).normal(shift, spread, size=(2, parts, rows, c))
    return list(x.mean(2)), list(x.var(2))


def test_batch_norm_distance_is_its_loop_and_has_no_unit():
    rng = np.random.default_rng(0)
    m, v, mean, var = (
        [rng.uniform(0.5, 2, c) for c in (3, 5)],
        [rng.uniform(0.5, 2, c) for c in (3, 5)],
        *([rng.uniform(0.5, 2, c) for c in (3, 5)] for _ in range(2)),
    )
    wanted = []
    for layer in range(2):
        terms = [(m[layer][i] - mean[layer][i]) ** 2 + (v[layer][i] ** 0.5 - var[layer][i] ** 0.5) ** 2 for i in range(len(mean[layer]))]
        wanted.append(np.mean([term / var[layer][i] for i, term in enumerate(terms)]))
    found = similarity.batch_norm_frechet(m, v, mean, var)
    assert found.layers == pytest.approx(wanted, rel=1e-4) and (found.mean, found.median) == pytest.approx(
        (np.mean(wanted), np.median(wanted)), rel=1e-4
    )
    scaled = similarity.batch_norm_frechet([10 * a for a in m], [100 * a for a in v], [10 * a for a in mean], [100 * a for a in var])
    assert scaled.layers == pytest.approx(found.layers, rel=1e-4)
    assert similarity.batch_norm_frechet(mean, var, mean, var).mean == pytest.approx(0, abs=1e-12)


def test_a_channel_that_never_varies_does_no_harm():
    one, none = np.ones(4), np.array([1.0, 1.0, 1.0, 0.0])
    assert similarity.batch_norm_frechet([one], [none], [one], [none]).mean == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("shift", "spread", "rows", "wanted"), [(0.0, 1.0, 8, 0.0), (0.3, 1.5, 32, 0.3**2 + 0.5**2)])
def test_parts_take_away_what_few_rows_add(shift, spread, rows, wanted):
    """From the source itself one part has the noise of its rows, four have hardly any; what differs in truth stays."""
    running, one, four = ([np.zeros(400)] * 2, [np.ones(400)] * 2), [], []
    for seed in range(20):
        means, variances = statistics(4, rows, seed, shift, spread)
        whole = [m.mean(0) for m in means]
        merged = [(v + m**2).mean(0) - w**2 for m, v, w in zip(means, variances, whole, strict=True)]
        one.append(similarity.batch_norm_frechet(whole, merged, *running).mean)
        four.append(similarity.batch_norm_frechet(means, variances, *running).mean)
    assert np.mean(four) == pytest.approx(wanted, abs=0.03 if wanted else 0.1 * np.mean(one))
    assert np.mean(one) > wanted + (0.0 if wanted else 0.03)


def test_batch_norm_statistics_that_do_not_match_are_refused():
    good = [np.ones(3)]
    for wrong in ([[np.ones(2)], good, good, good], [good, good, good, [np.ones(3)] * 2], [[], [], [], []]):
        with pytest.raises(DataError):
            similarity.batch_norm_frechet(*wrong)
    with pytest.raises(DataError, match="not finite"):
        similarity.batch_norm_frechet([np.full(3, np.nan)], good, good, good)


def by_matrices(x: np.ndarray, y: np.ndarray) -> float:
    a, b = np.cov(x, rowvar=False, bias=True), np.cov(y, rowvar=False, bias=True)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))


def test_frechet_is_its_matrices():
    x, y = clouds(apart=0.5)
    a, b = np.cov(x, rowvar=False, bias=True), np.cov(y, rowvar=False, bias=True)
    assert similarity.frechet(x.mean(0), a, y.mean(0), b) == pytest.approx(by_matrices(x, y), rel=1e-6)
    assert similarity.frechet(x.mean(0), a, x.mean(0), a) == pytest.approx(0, abs=1e-6)
    one = similarity.frechet(np.zeros(2), np.diag([4.0, 0.0]), np.ones(2), np.diag([1.0, 0.0]))
    assert one == pytest.approx(2 + (2 - 1) ** 2), "singular covariances: standard deviations differ by one along one axis"


@pytest.mark.parametrize(("n", "m", "d"), [(40, 50, 6), (12, 15, 30), (12, 50, 30)])
def test_frechet_of_rows_needs_no_covariance(n, m, d):
    x, y = clouds(n, m, d, apart=0.4)
    a, b = np.cov(x, rowvar=False, bias=True), np.cov(y, rowvar=False, bias=True)
    assert similarity._distance(x, y) == pytest.approx(similarity.frechet(x.mean(0), a, y.mean(0), b), rel=1e-5)


def test_frechet_of_rows_takes_away_what_few_rows_add():
    plain, corrected, shifted = [], [], []
    for seed in range(10):
        x, y = clouds(100, 100, 8, seed=seed)
        plain.append(by_matrices(x, y) / y.var(0).sum())
        corrected.append(similarity.frechet_rows(x, y, seed))
        shifted.append(similarity.frechet_rows(x + 2, y, seed) * y.var(0).sum())
    assert np.mean(plain) > 0.015 and np.mean(corrected) < 0.5 * np.mean(plain)
    assert np.mean(shifted) == pytest.approx(4 * 8, rel=0.15)


def test_mmd_is_its_loops_and_its_p_value_that_of_all_permutations():
    from itertools import combinations

    x, y = clouds(4, 4, 2, apart=1.0)
    rows = np.concatenate([x, y])
    squares = ((rows[:, None] - rows) ** 2).sum(2)
    h = np.median([squares[i, j] ** 0.5 for i, j in combinations(range(8), 2)])
    k = np.exp(-squares / (2 * h * h))

    def value(first: tuple[int, ...]) -> float:
        second = [i for i in range(8) if i not in first]
        xx = sum(k[i, j] for i in first for j in first if i != j) / 12
        yy = sum(k[i, j] for i in second for j in second if i != j) / 12
        return xx + yy - 2 * sum(k[i, j] for i in first for j in second) / 16

    found = similarity.mmd(x, y, permutations=4000)
    assert found.value == pytest.approx(value((0, 1, 2, 3))) and found.bandwidth == pytest.approx(h)
    exact = np.mean([value(first) >= value((0, 1, 2, 3)) - 1e-12 for first in combinations(range(8), 4)])
    assert found.p == pytest.approx(exact, abs=0.03)


def test_mmd_tells_what_differs_and_is_calibrated_where_nothing_does():
    assert similarity.mmd(*clouds(apart=3.0)).p == pytest.approx(1 / 201)
    ps = [similarity.mmd(*clouds(20, 20, 4, seed=seed), permutations=99).p for seed in range(100)]
    assert 0.01 <= np.mean(np.array(ps) <= 0.1) <= 0.22, "about one in ten"
    values = [similarity.mmd(*clouds(20, 20, 4, seed=seed), permutations=1).value for seed in range(100)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 10 and min(values) < 0, "unbiased: as often under 0 as above"
    same = np.ones((5, 3))
    assert similarity.mmd(same, same).p == 1 and similarity.mmd(same, same).value == pytest.approx(0)


def test_proxy_a_distance_from_nothing_to_everything():
    far, near = similarity.proxy_a_distance(*clouds(apart=30.0)), similarity.proxy_a_distance(*clouds(100, 100))
    assert far == 2 and near < 0.5
    x, y = clouds(20, 400, apart=30.0)
    assert similarity.proxy_a_distance(x, y) == 2, "sides of unequal size count the same"
    x, y = clouds(20, 380, 1)
    assert similarity.proxy_a_distance(x + 1.5 * y.std(), y) > 0.5, "nor does the larger side swallow the smaller"
    rng = np.random.default_rng(0)
    lopsided = similarity.proxy_a_distance(rng.normal(size=(20, 4)), rng.normal(size=(380, 4)))
    assert lopsided < 0.6, "always saying the larger side is worth nothing"


def test_pairs_that_do_not_compare_are_refused():
    x, y = clouds()
    for measure in (similarity.mmd, similarity.proxy_a_distance, similarity.frechet_rows):
        with pytest.raises(DataError, match="one width"):
            measure(x, y[:, :3])
        with pytest.raises(DataError, match="not finite"):
            measure(x, np.full_like(y, np.inf))
        with pytest.raises(DataError):
            measure(x[:1], y)


def test_of_many_rows_a_part_is_compared(monkeypatch):
    x, y = clouds(300, 300, 4)
    monkeypatch.setattr(similarity, "ROWS", 30)
    assert len(similarity._pair(x, y, 0)[0]) == 30 and similarity.mmd(x, y).value == similarity.mmd(x, y).value


def test_features_are_compared_in_the_basis_of_the_reference():
    """With every direction kept, nothing but the accuracy of float16 parts the comparison from that of the features themselves."""
    x, y = clouds(60, 80, 6, apart=1.0)
    found = similarity.compare(x, Reference.of("photos", y, rank=6))
    y = y[np.sort(np.random.default_rng(0).permutation(80)[40:])]
    assert found["mmd"] == pytest.approx(similarity.mmd(x, y).value, abs=5e-3)
    assert found["frechet"] == pytest.approx(similarity.frechet_rows(x, y), rel=0.02)
    assert found["proxy_a_distance"] == pytest.approx(similarity.proxy_a_distance(x, y), abs=0.15)
    with pytest.raises(DataError, match="one width"):
        similarity.compare(x[:, :2], Reference.of("photos", y))


def test_what_stands_beside_the_judge():
    x, y = clouds(60, 80, 6, apart=1.0)
    kept = Reference.of("photos", y)
    words = similarity.beside({"batch_norm_frechet": 0.1, **similarity.compare(x, kept)}, kept, "body")
    assert "40 kept rows of photos" in words and "MMD" in words and "proxy A-distance" in words
    assert similarity.beside({"batch_norm_frechet": 0.1}, None, "body").startswith("No sample of what body was trained on is kept")
    assert similarity.beside({}, None, "body") == "", "judge has said so already"


@pytest.mark.parametrize(
    ("measures", "wanted"),
    [
        ({}, "unknown"),
        ({"batch_norm_frechet": None, "mmd": None}, "unknown"),
        ({"batch_norm_frechet": 0.03}, "similar"),
        ({"batch_norm_frechet": 0.15}, "unknown"),
        ({"batch_norm_frechet": 0.24}, "different"),
        ({"batch_norm_frechet": 0.03, "mmd": 0.9, "frechet": 3.0}, "similar"),
        ({"mmd": 0.3, "frechet": 1.5, "proxy_a_distance": 2.0}, "different"),
        ({"mmd": 0.01, "frechet": 0.4, "proxy_a_distance": 1.9, "mmd_p": 0.005}, "similar"),
        ({"mmd": 0.01, "frechet": 1.5}, "unknown"),
        ({"proxy_a_distance": 2.0}, "unknown"),
        ({"proxy_a_distance": 0.4}, "similar"),
    ],
)
def test_the_judge_follows_what_was_measured(measures, wanted):
    level, words = similarity.judge(measures)
    assert level == wanted and words.endswith(".")
    if measures.get("batch_norm_frechet") is not None:
        assert f"{measures['batch_norm_frechet']:.2f}" in words and "discrepancy" not in words


def test_limits_are_in_order():
    assert all(high is None or 0 < low < high for low, high in similarity.LIMITS.values())
    assert set(similarity.LIMITS) == set(similarity._SHOWN)
