import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from graft.inspect.outliers import FEWEST, blank, distances, finding, limit, surprise, whitened
from graft.inspect.photos import gather


def gaussian(n, d, seed):
    """Correlated, with scales from 1 to 1000, as features are."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.geomspace(1, 1000, d)).astype(np.float32)


def paths(n):
    return [f"/x/{i}.png" for i in range(n)]


@pytest.mark.parametrize("n, d", [(200, 10), (60, 300), (25, 2)])
def test_whitened_axes_are_uncorrelated_with_variance_one(n, d):
    x = whitened(gaussian(n, d, 0)).astype(np.float64)
    assert x.shape[1] == min(d, n // 8)
    np.testing.assert_allclose(x.T @ x / n, np.eye(x.shape[1]), atol=1e-4)


def test_whitening_survives_constant_features():
    x = gaussian(100, 5, 0)
    wide = np.concatenate([x, np.full((100, 2), 7.0)], 1)
    np.testing.assert_allclose(np.abs(whitened(wide)), np.abs(whitened(x)), atol=1e-5)
    assert np.isfinite(whitened(np.ones((40, 3)))).all() and finding(np.ones((40, 3)), paths(40)) == []


def test_distances_against_the_whole_table():
    x = np.random.default_rng(0).normal(size=(80, 6))
    x[7] = x[3]  # Copies find each other, not themselves.
    table = cdist(x, x)
    np.fill_diagonal(table, np.inf)
    np.testing.assert_allclose(distances(x, 5), np.sort(table, 1)[:, 4], rtol=1e-5)
    np.testing.assert_allclose(distances(x, 1)[[3, 7]], 0, atol=1e-6)


def test_neighbours_of_many_rows_are_searched_among_a_part(monkeypatch):
    monkeypatch.setattr("graft.inspect.outliers.MOST", 50)
    x = np.random.default_rng(0).normal(size=(80, 3))
    bank = np.sort(np.random.default_rng(0).choice(80, 50, replace=False))
    table = cdist(x, x[bank])
    table[np.arange(80)[:, None] == bank] = np.inf
    np.testing.assert_allclose(distances(x, 5), np.sort(table, 1)[:, 4], rtol=1e-5)


def test_surprise_against_a_slow_one():
    """Distances by the whole table, the axes scaled by a Cholesky factor instead of eigenvectors, the median and its deviation."""
    x = whitened(gaussian(90, 6, 0))
    table = cdist(x, x)
    near = np.sort(table, 1)[:, 5]
    inside = x[near <= np.quantile(near, 0.9)]
    y = np.linalg.solve(np.linalg.cholesky(np.cov(inside.T)), x.T).T
    logs = np.log(np.sort(cdist(y, y), 1)[:, 5])
    far, ratio = surprise(x)
    np.testing.assert_allclose(far, (logs - np.median(logs)) / (1.4826 * np.median(np.abs(logs - np.median(logs)))), rtol=1e-6)
    np.testing.assert_allclose(ratio, np.exp(logs) / np.median(np.exp(logs)), rtol=0.02)


def test_the_limit_is_reached_as_often_as_it_says():
    """In 300 Gaussian data sets of other draws; 0.05 give 15, and more than 27 would have a probability under 0.2 %."""
    rng, least = np.random.default_rng(77), limit(60, 7, 0.05)
    reached = sum(surprise(whitened(rng.normal(size=(60, 7))))[0].max() > least for _ in range(300))
    assert 4 <= reached <= 27, reached
    assert limit(60, 7, 0.01) > least and limit(5000, 7, 0.05) > limit(300, 7, 0.05)


@pytest.mark.parametrize("n, d", [(60, 4), (200, 20), (400, 64), (150, 500)])
def test_gaussian_data_are_seldom_called_odd(n, d):
    """The promise is ALARM of all data sets, for every covariance and width. Of 60, more than 8 have a probability under 1 %."""
    labels = ["a", "b"] * (n // 2)
    alarms = sum(bool(finding(gaussian(n, d, seed), paths(n), labels)) for seed in range(60))
    assert alarms <= 8, alarms


@pytest.mark.parametrize("n, d", [(60, 4), (200, 20), (150, 500)])
def test_strays_are_found_even_where_there_are_four_alike(n, d):
    x = gaussian(n, d, 1)
    x[[3, 30, 31, 32]] = x.mean(0) + 8 * x.std(0) * np.random.default_rng(2).choice([-1, 1], d)
    x[[3, 30, 31, 32]] += 0.01 * x.std(0) * np.random.default_rng(3).normal(size=(4, d))
    one = finding(x, paths(n))[0]
    assert (one.kind, one.level) == ("outliers", "warning") and set(one.files[:4]) == {f"/x/{i}.png" for i in (3, 30, 31, 32)}
    assert one.count == len(one.files) <= 5
    json.dumps(one.as_dict())


def test_a_sample_in_the_wrong_class_is_odd_there_only():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 8))
    x[100:, 0] += 14
    labels = ["ant"] * 100 + ["bee"] * 100
    labels[150] = "ant"
    (one,) = finding(x, paths(200), labels)
    assert (one.kind, one.files, one.examples[0]["label"]) == ("class_outliers", ("/x/150.png",), "ant")


def test_many_are_a_kind_of_their_own_and_no_warning():
    x = np.random.default_rng(0).normal(size=(300, 4))
    x[:12] = 30 + 20 * np.random.default_rng(1).normal(size=(12, 4))
    (one,) = finding(x, paths(300))
    assert one.level == "note" and one.count >= 10 and "a kind of their own" in one.text and len(one.examples) <= 12


def test_too_few_to_say():
    x = np.random.default_rng(0).normal(size=(FEWEST - 1, 3))
    x[0] += 100
    assert finding(x, paths(FEWEST - 1)) == []


def test_blank_images(tmp_path, photos):
    from PIL import Image

    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "red.png")
    dot = Image.new("L", (200, 200))
    dot.paste(255, (90, 90, 110, 110))
    dot.save(tmp_path / "dot.png")
    files = [str(tmp_path / "red.png"), str(tmp_path / "dot.png"), *map(str, sorted(photos.rglob("*.png")))]
    (one,) = blank(gather(files), ["x"] * len(files))
    assert one.files == (files[0],) and one.examples[0]["label"] == "x" and one.examples[0]["spread"] < 0.1
    assert blank(gather(files[1:])) == []
