"""What a study says of its arms, against slow formulas and made-up arms whose truth is known."""

import itertools

import numpy as np
import pytest

from graft.errors import DataError
from graft.evidence.arms import Arm
from graft.evidence.ranking import Fitted, align, front, interval, rank, unflattered
from graft.evidence.stats import difference

ABOUT = {"metric": "accuracy", "higher_is_better": True, "fingerprint": "f", "folds": 0, "optimistic": False}


def fitted(values, select=0.5, seconds=1.0, memory=10.0, rows=None, **more):
    rows = tuple(f"{i:03d}" for i in range(len(values))) if rows is None else tuple(rows)
    return Fitted(rows, np.asarray(values, float), select, seconds, memory, 7, folder="f", **{"about": ABOUT, **more})


def arms(rates, seeds=3, n=80, seed=0, **more):
    rng = np.random.default_rng(seed)
    ease = rng.random(n)
    return {Arm(name, "one"): [fitted(ease < rate + rng.normal(0, 0.05, n), **more) for _ in range(seeds)] for name, rate in rates.items()}


def test_rows_are_paired_by_name_whatever_their_order():
    one = fitted([1, 0, 1], rows="abc")
    other = fitted([0, 1, 1], rows="cab")
    table, groups, fixed = align({Arm("x", "o"): [one], Arm("y", "o"): [other]})
    assert [values.tolist() for values in table.values()] == [[[1, 0, 1]], [[1, 1, 0]]] and groups is None and fixed
    with pytest.raises(DataError, match="not scored on the rows"):
        align({Arm("x", "o"): [one], Arm("y", "o"): [fitted([1, 1, 1], rows="abd")]})


def test_rows_that_every_seed_draws_anew_count_with_their_mean_and_it_is_said():
    fits = {
        Arm(name, "o"): [fitted([1, 0], rows="ab", groups=("g", "h")), fitted([value, 1], rows="bc", groups=("h", "g"))]
        for name, value in (("x", 1), ("y", 0))
    }
    table, groups, fixed = align(fits)
    assert [values.tolist() for values in table.values()] == [[[1, 0.5, 1]], [[1, 0, 1]]] and not fixed
    assert groups.tolist() == [0, 1, 0]
    found = rank(fits)
    assert found["n"] == 3 and "split" in found["notices"][0] and rank(arms({"x": 0.5, "y": 0.6}))["notices"] == []


def test_the_interval_is_that_of_a_slow_bootstrap_over_rows_and_seeds():
    rng = np.random.default_rng(0)
    values = (rng.random((4, 50)) < np.array([[0.5], [0.6], [0.7], [0.9]])).astype(float)
    slow = [
        np.mean([[values[s, r] for r in rng.integers(50, size=50)] for s in rng.integers(4, size=4)]) for _ in range(1500)
    ]  # fmt: skip
    value, low, high = interval(values)
    assert value == values.mean() and low < value < high
    # Here each seed redraws its own rows, which is a little narrower than the same rows for all seeds.
    assert high - low == pytest.approx(np.quantile(slow, 0.975) - np.quantile(slow, 0.025), rel=0.25)
    one = interval(values[:1])
    assert high - low > 0.5 * (one[2] - one[1]), "seeds that disagree are no more certain than their number"


def test_an_interval_always_has_a_width_and_groups_make_it_wider():
    assert interval(np.ones((2, 30)))[1] < 0.95 and interval(np.zeros((2, 30)))[2] > 0.05
    values = np.repeat(np.random.default_rng(0).random((1, 10)) < 0.5, 10, 1).astype(float)
    groups = np.repeat(np.arange(10), 10)
    free, tied = interval(values), interval(values, groups)
    assert tied[2] - tied[1] > 2 * (free[2] - free[1])


def test_the_front_is_what_nothing_beats():
    rng = np.random.default_rng(1)
    costs, scores = rng.integers(1, 9, 40).tolist(), rng.integers(1, 9, 40).tolist()
    for sign in (1, -1):
        points = [(c, sign * s) for c, s in zip(costs, scores, strict=True)]
        slow = [all((c, s) == one or c > one[0] or s < one[1] for c, s in points) for one in points]
        assert front(costs, scores, sign == 1) == slow
    assert front([None, 2.0], [0.9, 0.5]) == [False, True]


def test_the_best_of_equal_arms_is_worth_what_each_is_worth():
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(40):
        table = (rng.random((10, 60)) < 0.7).astype(float)
        best = table.mean(1).max()
        gaps.append((best - 0.7, unflattered(table, repetitions=200) - 0.7))
    flattered, fair = np.mean(gaps, 0)
    assert flattered > 0.06 and abs(fair) < 0.025
    clear = np.stack([np.ones(60), np.zeros(60)])
    assert unflattered(clear) == 1.0 and unflattered(clear, higher=False) == 0.0 and unflattered(np.ones((2, 1))) is None


def test_differences_are_paired_and_every_family_is_raised_for_its_number():
    fits = arms({"extract": 0.7, "lp_ft": 0.72, "scratch": 0.3})
    found = rank(fits)
    table, groups, _ = align(fits)
    for row in found["differences"]:
        a, b = (next(values for arm, values in table.items() if arm.name == row[key]) for key in ("of", "less"))
        told = difference(a, b, groups)
        assert (row["value"], row["p"]) == (told.value, told.p)
    assert [(row["family"], row["of"][:5], row["less"][:5]) for row in found["differences"]][:4] == [
        ("reference", "lp_ft", "extra"), ("reference", "scrat", "extra"), ("scratch", "extra", "scrat"), ("scratch", "lp_ft", "scrat"),
    ]  # fmt: skip
    for _, some in itertools.groupby(found["differences"], key=lambda row: row["family"]):
        rows = sorted(some, key=lambda row: row["p"])
        slow = [max(min(1.0, (len(rows) - j) * rows[j]["p"]) for j in range(i + 1)) for i in range(len(rows))]
        assert [row["p_holm"] for row in rows] == pytest.approx(slow)


def test_the_selecting_rows_recommend_and_the_scored_rows_only_flatter():
    fits = arms({"extract": 0.8, "lp_ft": 0.5}, select=0.4)
    fits |= arms({"scratch": 0.3}, select=0.7)
    found = rank(fits)
    assert found["best"]["arm"] == "extract on one" and "flatters" in found["best"]["text"]
    assert found["recommended"]["arm"] == found["recommended"]["selected"] == "scratch on one"
    assert (
        "had no say" in found["recommended"]["text"] and "But extract on one is better on the scored rows" in found["recommended"]["text"]
    )
    assert found["best"]["expected"] <= found["best"]["value"] + 0.02


def test_within_a_standard_error_of_the_best_selecting_score_the_quickest_is_taken():
    """Of 50 selecting rows, at a score of 0.8, a standard error is sqrt(0.8 * 0.2 / 50) = 0.057."""
    about, right = ABOUT | {"n_select": 50}, np.r_[np.ones(30), np.zeros(10)]
    for near, taken in ((0.745, "quick on o"), (0.742, "slow on o")):
        fits = {
            Arm("slow", "o"): [fitted(right, 0.8, seconds=9, about=about)],
            Arm("quick", "o"): [fitted(right, near, seconds=2, about=about)],
        }  # fmt: skip
        found = rank(fits)["recommended"]
        assert (found["arm"], found["selected"]) == (taken, "slow on o")
        assert ("within a standard error (0.057)" in found["text"]) == (taken == "quick on o")


def test_of_arms_that_select_alike_the_quicker_is_taken():
    fits = {Arm("slow", "o"): [fitted([1, 1, 0], 0.9, seconds=9)], Arm("quick", "o"): [fitted([1, 1, 0], 0.9, seconds=2)]}
    assert rank(fits)["recommended"]["arm"] == "quick on o"


@pytest.mark.parametrize(("about", "words"), [({"optimistic": True}, "flatters as well"), ({"folds": 5}, "flatters a little")])
def test_a_recommendation_says_where_it_is_not_quite_clean(about, words):
    fits = arms({"extract": 0.8, "lp_ft": 0.5}, about=ABOUT | about)
    assert words in rank(fits)["recommended"]["text"]


def test_errors_are_better_when_lower():
    about = ABOUT | {"metric": "absolute_error", "higher_is_better": False}
    fits = {
        Arm("near", "o"): [fitted([1.0, 2.0, 1.5, 0.5], 1.1, about=about)],
        Arm("far", "o"): [fitted([4.0, 6.0, 5.0, 3.0], 5.2, seconds=2.0, about=about)],
    }
    found = rank(fits)
    assert found["best"]["arm"] == found["recommended"]["arm"] == "near on o"
    assert [arm["front"]["seconds"] for arm in found["arms"]] == [True, False]


def test_without_selecting_scores_nothing_is_recommended():
    found = rank(arms({"extract": 0.8, "lp_ft": 0.5}, select=None))
    assert found["recommended"]["arm"] is None and "none is recommended" in found["recommended"]["text"]
