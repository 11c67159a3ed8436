"""The gap between two domains: axes and distances by slow formulas, and what is said of planted ones."""

import numpy as np
import pytest

from graft.inspect import gap


def rows(n, d=6, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(0, 1, (n, d)) + shift


def slow_reach(source, target):
    own = [min(np.linalg.norm(a - b) for j, b in enumerate(source) if i != j) for i, a in enumerate(source)]
    return [min(np.linalg.norm(t - s) for s in source) / np.median(own) for t in target]


def test_reach_is_the_nearest_distance_over_the_usual_one():
    source, target = rows(40), rows(17, seed=1, shift=1.0)
    assert gap.reach(source, target) == pytest.approx(slow_reach(source, target))
    many = rows(600, seed=2)  # more rows than are looked at at once
    assert gap.reach(many, target) == pytest.approx(slow_reach(many, target))


def test_new_rows_of_the_source_lie_as_far_as_its_own_do():
    source, again = rows(500), rows(500, seed=1)
    assert np.median(gap.reach(source, again)) == pytest.approx(1.0, abs=0.1)


def test_rows_that_are_all_one_have_no_usual_distance():
    one = np.ones((5, 3))
    assert list(gap.reach(one, np.array([[1.0, 1, 1], [2, 1, 1]]))) == [1.0, np.inf]


@pytest.mark.parametrize("d", [6, 90])
def test_the_axes_hold_the_shared_variance_and_keep_distances(d):
    """Against an eigendecomposition of the mean of both covariances, around the mean of both means."""
    source, target = rows(50, d), rows(20, d, 1, 2.0)
    near, far, shares = gap.plane(source, target, axes=d)
    mean = (source.mean(0) + target.mean(0)) / 2
    spread = np.sqrt((((source - mean) ** 2).mean(0) + ((target - mean) ** 2).mean(0)) / 2)
    a, b = (source - mean) / spread, (target - mean) / spread
    values = np.sort(np.linalg.eigvalsh((a.T @ a / 50 + b.T @ b / 20) / 2))[::-1]
    assert shares == pytest.approx(values[: len(shares)] / values.sum())
    distance = np.linalg.norm(a[0] - b[0])
    assert np.linalg.norm(near[0] - far[0]) == pytest.approx(distance)  # all axes: nothing is lost
    assert abs(near[:, 0].mean() - far[:, 0].mean()) > 2 * abs(near[:, 1].mean() - far[:, 1].mean())


def test_a_feature_that_never_varies_takes_no_part():
    source, target = rows(30), rows(30, seed=1)
    source[:, 2] = target[:, 2] = 5.0
    near, far, shares = gap.plane(source, target)
    assert np.isfinite(near).all() and np.isfinite(far).all() and len(shares) == 5


def test_the_picture_is_thinned_and_always_flat():
    near, far, shares = gap.plane(rows(gap.POINTS + 50), rows(12, seed=1))
    drawn = gap.picture(near, far, shares)
    assert len(drawn["source"]) == gap.POINTS and len(drawn["target"]) == 12 and len(drawn["shares"]) == 2
    assert {len(point) for point in drawn["source"]} == {2} and drawn == gap.picture(near, far, shares)
    assert gap.picture(near[:, :1], far[:, :1], shares[:1])["target"][0][1] == 0.0


@pytest.mark.parametrize(
    ("distance", "forth", "back", "level", "words"),
    [
        (0.2, 3.0, 3.0, "note", "looks like"), (1.9, 1.0, 1.1, "note", "looks like"), (1.9, 1.25, 1.0, "note", "differs from"),
        (1.9, 2.0, 1.0, "warning", "differs strongly"), (1.9, 1.0, 2.0, "warning", "differs strongly"),
    ],
)  # fmt: skip
def test_a_warning_needs_both_the_distance_and_the_reach_of_one_direction(distance, forth, back, level, words):
    far = np.full(30, forth)
    far[4] = 9.0
    found = gap.finding(distance, far, np.full(12, back), [f"{i}.png" for i in range(30)])
    assert (
        found.level == level
        and words in found.text
        and f"{distance:.2f} of 2" in found.text
        and f"{max(forth, back):.2f} times" in found.text
    )
    assert ("--method uda" in found.repair) == (words != "looks like")
    assert found.examples[0]["files"] == ["4.png"] and "9.0 times" in found.examples[0]["what"]
    assert found.numbers["told_apart"] == pytest.approx(1 - (1 - distance / 2) / 2)  # e = (1 - d / 2) / 2
    assert found.as_dict()["examples"]
