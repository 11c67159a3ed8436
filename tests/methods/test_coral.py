"""Source features take on the target's statistics; the head they teach is the target's."""

from dataclasses import replace

import numpy as np
import pytest
from tests import nets
from tests.methods import words
from tests.methods.phases import collect
from tests.methods.shifts import accuracy, turned

from graft import catalog, testing
from graft.errors import OptionError
from graft.methods import coral


def slow_recolour(source, target, r):
    """Algorithm 1 with matrices of all features and a general matrix root."""
    from scipy.linalg import sqrtm

    def standard(x):
        return np.array([[(v - x[:, j].mean()) / x[:, j].std() for j, v in enumerate(row)] for row in x])

    def covariance(z):
        return sum(np.outer(row, row) for row in z) / len(z) + r * np.eye(z.shape[1])

    s, t = standard(source.astype(float)), standard(target.astype(float))
    moved = s @ np.linalg.inv(sqrtm(covariance(s)).real) @ sqrtm(covariance(t)).real
    return moved * target.std(0, dtype=float) + target.mean(0, dtype=float)


@pytest.mark.parametrize(("rows", "r"), [(240, 1.0), (240, 1e-3), (5, 0.5)])
def test_recolouring_is_its_formula_with_more_and_with_fewer_rows_than_features(rows, r):
    source, _, target, _ = turned()
    assert np.allclose(coral.recolour(source[:rows], target[:rows], r), slow_recolour(source[:rows], target[:rows], r), atol=1e-3)


def test_the_moments_become_the_targets():
    source, _, target, _ = turned()
    plain, coloured = coral.standardise(source, target), coral.recolour(source, target, 1e-6)
    assert np.allclose(plain.mean(0), target.mean(0), atol=1e-3) and np.allclose(plain.std(0), target.std(0), rtol=1e-3)
    assert np.allclose(np.cov(coloured.T), np.cov(target.T), rtol=1e-2, atol=1e-2)
    assert np.allclose(coral.recolour(source, target, 1e9), plain, atol=1e-2)


def test_a_feature_that_does_not_vary_stays_finite():
    source, _, target, _ = turned()
    source[:, 0], target[:, 1] = 4, 7
    for moved in (coral.standardise(source, target), coral.recolour(source, target)):
        assert np.isfinite(moved).all() and np.allclose(moved[:, 1], 7)


def test_a_domain_with_other_covariances_is_told_apart_better_by_each_step():
    made, scores = nets.task(), []
    for seed in range(5):
        source, y, target, other = turned(seed, classes=2)
        aligned = (None, coral.standardise, coral.recolour)
        scores.append([accuracy(coral.solver(made, align)(source, y, 0, target=target).head, target, other) for align in aligned])
    alone, plain, coloured = np.mean(scores, 0)
    assert plain > alone + 0.05 and coloured > alone + 0.05


def test_the_phase_watches_the_target_and_learns_from_all_learning_rows(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    other = rows.test.drop_columns("label")
    (phase,) = collect("coral", nets.net(made), made, replace(rows, target=other))
    assert phase.watch is other and phase.streams["target"].table is other and len(phase.streams["train"].table) == 16
    (phase,) = collect("coral", nets.net(made), made, replace(rows, unlabelled=other))
    assert phase.watch is other


@pytest.mark.parametrize("method", ["coral", "pseudo_label", "uda"])
def test_what_cannot_be_adapted_is_refused_with_the_repair(tmp_path, method):
    made, rows = nets.task(), nets.data(tmp_path)
    with pytest.raises(OptionError, match="--target FOLDER"):
        collect(method, nets.net(made), made, rows)
    rows = replace(rows, target=rows.test.drop_columns("label"))
    with pytest.raises(OptionError, match="one class"):
        collect(method, nets.net(made), replace(made, schema=replace(made.schema, target="labels")), rows)
    with pytest.raises(OptionError, match=r"task\.head=logistic"):
        collect(method, nets.net(made), nets.task(head="linear"), rows)


def test_other_values_are_refused():
    with pytest.raises(OptionError, match="regularisation"):
        coral.Options(regularisation=0)
    with pytest.raises(OptionError, match="memory"):
        coral.check_memory(np.zeros((3, 2)), [1, 2, 3])


@pytest.mark.parametrize("kind", ["images", "texts"])
def test_it_keeps_the_contract(tmp_path, kind):
    made, rows, make = (
        (nets.task(), nets.data(tmp_path / "photos"), nets.net) if kind == "images" else (words.task(), words.data(), words.net)
    )
    rows = replace(rows, target=rows.test.drop_columns("label"))
    testing.check_method(catalog.resolve("method", "coral"), coral.Options(), lambda: make(made), made, rows, tmp_path)
