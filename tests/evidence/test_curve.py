"""Label-efficiency: subsets, the law, twice the labels and the labels that are saved."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import least_squares

from graft.errors import OptionError
from graft.evidence import curve
from graft.evidence.curve import Law, Point, described, fit, interval, points, saved, subsets, twice

SHARES = (0.1, 0.25, 0.5, 1.0)


def drawn(a=0.05, b=0.8, c=0.5, most=400, scored=300, draws=4, scatter=0.01, seed=0, rows=True):
    """Scores of every draw whose expected error is a + b n^-c, on rows that share their difficulty."""
    from scipy.stats import norm

    rng = np.random.default_rng(seed)
    hard, found = rng.normal(size=scored), []
    for share in SHARES:
        n = round(share * most)
        for _ in range(1 if share == 1 else draws):
            error = np.clip(a + b * n**-c + scatter * rng.normal(), 0.001, 0.99)
            right = (np.sqrt(0.7) * hard + np.sqrt(0.3) * rng.normal(size=scored) < norm.ppf(1 - error)).astype(float)
            found.append({"share": share, "n": n, "value": right.mean(), "rows": right if rows else None})
    return found


def exact(law, ns=(24, 60, 120, 240), draws=3, scatter=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [Point(n / ns[-1], n, law.at(n) + scatter * rng.normal(size=draws)) for n in ns]


def test_subsets_are_nested_and_have_every_class():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 3)
    found = subsets(labels, (0.01, 0.1, 0.5, 1.0), 3, seed=1)
    assert [share for share, _ in found] == [0.01, 0.1, 0.5, 1.0] * 3
    for draw in range(3):
        rows = [set(r.tolist()) for _, r in found[4 * draw : 4 * draw + 4]]
        assert all(less < more for less, more in pairwise(rows)) and rows[-1] == set(range(93))
        for share, chosen in zip((0.01, 0.1, 0.5), rows, strict=False):
            counts = np.bincount(labels[list(chosen)], minlength=3)
            assert counts.min() >= 1 and np.abs(counts - np.maximum(share * np.array([60, 30, 3]), 1)).max() <= 1.01
            assert len(chosen) == max(3, round(share * 93))
    assert not np.array_equal(found[1][1], found[5][1])
    again = subsets(labels, (0.01, 0.1, 0.5, 1.0), 3, seed=1)
    assert all(np.array_equal(x, y) for (_, x), (_, y) in zip(found, again, strict=True))


def test_subsets_of_numbers_and_of_several_labels():
    numbers = np.random.default_rng(0).normal(size=(100, 1))
    for _, rows in subsets(numbers, (0.1,), 5):
        fifths = np.searchsorted(np.quantile(numbers, [0.2, 0.4, 0.6, 0.8]), numbers[rows, 0])
        assert np.bincount(fifths, minlength=5).tolist() == [2] * 5
    several = np.zeros((40, 3))
    several[:, 0], several[:4, 1], several[4, 2] = 1, 1, 1
    for _, rows in subsets(several, (0.2,), 5):
        assert len(rows) == 8 and several[rows].sum(0).min() >= 1


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_that_cannot_be_drawn(share):
    with pytest.raises(OptionError, match="at most 1"):
        subsets(np.array([0, 1]), (share,), 1)


def test_draws_become_points_by_rising_share():
    found = points(list(reversed(drawn())))
    assert [p.n for p in found] == [40, 100, 200, 400] and [len(p.values) for p in found] == [4, 4, 4, 1]
    assert found[0].rows.shape == (4, 300) and found[0].value == pytest.approx(found[0].rows.mean())
    assert points(drawn(rows=False))[0].rows is None


@pytest.mark.parametrize("true", [Law(0.95, 0.8, 0.5), Law(0.9, 2.0, 0.8), Law(1.0, 1.0, 0.3)])
def test_a_law_without_noise_is_found_again(true):
    law, _ = fit(exact(true))
    ns = np.geomspace(24, 480, 9)
    assert [law.at(n) for n in ns] == pytest.approx([true.at(n) for n in ns], abs=0.008)


def test_less_is_better_gives_the_same_law_turned_round():
    true = Law(0.3, -4.0, 0.5)
    law, _ = fit(exact(true), higher=False)
    assert law.b < 0 and law.at(480) == pytest.approx(true.at(480), abs=0.02)


def test_the_fit_is_the_least_of_what_it_says_it_minimises():
    """Against scipy's soft L1 loss from many starts, on the same weights and with the same prior on the exponent."""
    given = exact(Law(0.93, 0.9, 0.6), ns=(20, 40, 80, 160, 320), scatter=0.02, seed=3)
    n, errors, spread = np.array([p.n for p in given], float), 1 - np.array([p.value for p in given]), curve._spread(given)

    def residuals(v):
        return (v[0] + v[1] * (n / n[-1]) ** -v[2] - errors) / spread

    def loss(v):
        prior = 0.5 * (np.log(v[2] / curve.USUAL) / curve.DECADE) ** 2
        return (np.sqrt(1 + residuals(v) ** 2) - 1).sum() + prior

    best = np.inf
    for c in np.geomspace(0.05, 2, 60):
        start = least_squares(lambda v, c=c: residuals((v[0], v[1], c)), (0.05, 0.1), bounds=([0, 0], [1, 5]), loss="soft_l1")
        best = min(best, loss((*start.x, c)))
    law, _ = fit(given)
    assert loss((1 - law.a, law.b * n[-1] ** -law.c, law.c)) <= best + 0.02


def test_one_wild_draw_does_not_carry_the_law_away():
    true = Law(0.95, 0.8, 0.5)
    given = exact(true, ns=(20, 40, 80, 160, 320), draws=5, scatter=0.004)
    wild = given[2].values.copy()
    wild[0] -= 0.4
    given[2] = replace(given[2], values=wild)
    assert fit(given)[0].at(640) == pytest.approx(true.at(640), abs=0.02)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (exact(Law(0.95, 0.8, 0.5), ns=(24, 60, 240)), "3 numbers of labels"),
        (exact(Law(0.95, 0.8, 0.5), ns=(100, 120, 140, 160)), "too near"),
        (exact(Law(0.95, 0.0, 0.5), scatter=0.02), "scatters"),
        (exact(Law(0.95, -0.5, 0.5)), "does not rise"),
        (exact(Law(1.0, 0.0, 0.5)), "does not rise"),
        ([Point(n / 240, n, np.array([v] * 3)) for n, v in ((24, 0.6), (60, 0.9), (120, 0.5), (240, 0.8))], "not lie on a power law"),
    ],
)
def test_what_the_points_do_not_say_is_not_said(given, why):
    law, told = fit(given)
    assert law is None and why in told
    assert twice(given) == (None, told)


def test_twice_the_labels_is_the_law_with_an_interval_that_holds_the_truth():
    inside, known = 0, 0
    for seed in range(40):
        found, how = twice(points(drawn(seed=seed)), seed=seed)
        if found:
            known += 1
            inside += found["interval"][0] <= 1 - (0.05 + 0.8 * 800**-0.5) <= found["interval"][1]
            assert found["interval"][0] <= found["value"] <= found["interval"][1] <= 1
            assert found["n"] == 800 and found["extrapolated"] and "nothing was measured" in how
    assert known >= 36 and inside >= known - 3


def test_twice_where_less_is_better():
    given = exact(Law(0.3, -4.0, 0.5), scatter=0.01)
    found, how = twice(given, higher=False)
    assert found["value"] == pytest.approx(0.3 + 4 / np.sqrt(480), abs=0.03) and found["value"] < given[-1].value
    assert found["interval"][0] <= found["value"] <= found["interval"][1] and "over draws alone" in how


def test_saved_labels_are_interpolated_in_their_logarithm():
    given = [Point(n / 400, n, np.array([v])) for n, v in ((50, 0.7), (100, 0.8), (200, 0.9), (400, 0.95))]
    found, how = saved(given, 0.85)
    assert found["n"] == round(np.exp((np.log(100) + np.log(200)) / 2)) == 141 and "interpolated" in how
    assert found["share"] == pytest.approx(141 / 400) and found["interval"][0] <= 141 <= found["interval"][1]
    assert "With 141 labels (35 %) transfer scores what training from scratch scores with all 400" in found["text"]
    turned = [replace(p, values=1 - p.values) for p in given]
    assert saved(turned, 0.15, higher=False)[0]["n"] == 141


def test_saved_takes_the_last_point_below_not_a_lucky_early_one():
    given = [Point(n / 400, n, np.array([v])) for n, v in ((50, 0.86), (100, 0.8), (200, 0.9), (400, 0.95))]
    assert 100 < saved(given, 0.85)[0]["n"] < 200


def test_saved_from_the_first_point_on_and_never():
    given = points(drawn())
    found, _ = saved(given, 0.3)
    assert (
        found["n"] == 40
        and found["text"].startswith("Already with 40 labels (10 %), the fewest tried, transfer")
        and found["interval"] == [40, 40]
    )
    none, why = saved(given, 0.999)
    assert none is None and "does not reach" in why
    assert "in less time" in saved(given, 0.3, equal_time=False)[0]["text"]


def test_saved_with_a_doubtful_end_says_so():
    given = points(drawn(scatter=0.02))
    found, _ = saved(given, given[-1].value - 0.002)
    assert found["interval"][1] is None and "more than there are" in found["text"]
    assert json.loads(json.dumps(found)) == found


def test_saved_compares_on_the_same_rows():
    """Where all arms fail on the same hard rows, the rows' scatter moves them together and the answer stays; a number stays behind."""
    hard = (np.arange(150) + 0.5) / 150
    given = [Point(n / 400, n, np.full(1, r.mean()), r[None]) for n, r in ((n, (hard > n**-0.4) * 1.0) for n in (50, 100, 200, 400))]
    scratch = (hard > 141**-0.4) * 1.0
    fixed, paired = saved(given, float(scratch.mean()))[0], saved(given, scratch)[0]
    width = [np.log((one["interval"][1] or 800) / one["interval"][0]) for one in (fixed, paired)]
    assert fixed["n"] == paired["n"] and width[1] < 0.6 * width[0]


def test_the_interval_of_a_point_covers_draws_and_rows():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(300):
        level = 0.85 + 0.03 * rng.normal(size=(5, 1))
        rows = (rng.random((5, 80)) < level).astype(float)
        low, high = interval(Point(0.5, 50, rows.mean(1), rows))
        inside += low <= 0.85 <= high
    assert inside >= 282
    assert interval(Point(0.5, 50, np.array([0.9]))) is None
    low, high = interval(Point(0.5, 50, np.array([1.0]), np.ones((1, 30))))
    assert high == 1.0 and 0.8 < low < 0.95
    losses = rng.exponential(size=(3, 50))
    low, high = interval(Point(0.5, 50, losses.mean(1), losses))
    assert low < losses.mean() < high


def test_the_curve_of_a_json_file():
    told = described(drawn(), 0.8)
    assert json.loads(json.dumps(told)) == told
    assert [p["n"] for p in told["points"]] == [40, 100, 200, 400]
    assert all(p["interval"][0] <= p["value"] <= p["interval"][1] for p in told["points"])
    law = Law(**told["fit"])
    assert told["twice"]["value"] == pytest.approx(law.at(800)) and told["saved"]["n"] < 200
    short = described([one for one in drawn(rows=False) if one["share"] in (0.1, 1.0)], None)
    assert short["fit"] is short["twice"] is short["saved"] is None and all(short["why"].values())
