"""Differences between arms, against slow formulas and, where the claim is one about chance, against simulation."""

from itertools import product
from math import comb, inf, sqrt

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import minimize_scalar

from graft.evidence import stats
from graft.evidence.stats import Difference, corrected, difference, holm, mcnemar, metric_difference, proportions, tango
from graft.metrics import classification, regression


def arms(rng, n, accuracy, seeds=1, lead=0.0, level=0.05):
    """0 and 1 [2, seeds, n]: a difficulty of the row, a part of each arm, noise of each run, and a level of each run."""
    place = sqrt(0.5) * rng.normal(size=n) + 0.5 * rng.normal(size=(2, 1, n)) + 0.5 * rng.normal(size=(2, seeds, n))
    place += level * rng.normal(size=(2, seeds, 1)) if seeds > 1 else 0
    edge = scipy_stats.norm.ppf([accuracy + lead / 2, accuracy - lead / 2])[:, None, None]
    return (place < edge).astype(float)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 7), (5, 5), (12, 2), (0, 6)])
def test_mcnemar_is_the_binomial_sum(gained, lost):
    both, fewer = gained + lost, min(gained, lost)
    tail = sum(comb(both, k) for k in range(fewer + 1)) / 2**both
    exact, mid = mcnemar(gained, lost)
    assert exact == pytest.approx(min(1, 2 * tail)) == pytest.approx(scipy_stats.binomtest(fewer, both).pvalue if both else 1)
    assert mid == pytest.approx(min(1.0, 2 * tail - comb(both, fewer) / 2**both)) and mid <= exact


def statistic(gained, lost, n, delta):
    """Tango's score statistic, the nuisance share found by maximising the likelihood numerically."""

    def against(lost_share):
        gained_share = lost_share + delta
        same = 1 - lost_share - gained_share
        shares, counts = (gained_share, lost_share, same), (gained, lost, n - gained - lost)
        return -sum(c * np.log(max(p, 1e-300)) for c, p in zip(counts, shares, strict=True) if c)

    bounds = (max(0.0, -delta), (1 - delta) / 2)
    share = minimize_scalar(against, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return ((gained - lost) / n - delta) / sqrt((2 * share + delta - delta**2) / n)


@pytest.mark.parametrize(("gained", "lost", "n"), [(9, 3, 60), (1, 7, 21), (20, 20, 150), (4, 1, 40)])
def test_the_ends_of_tangos_interval_have_a_score_of_1_96(gained, lost, n):
    low, high = tango(gained, lost, n)
    assert statistic(gained, lost, n, low) == pytest.approx(1.959964, abs=1e-3)
    assert statistic(gained, lost, n, high) == pytest.approx(-1.959964, abs=1e-3)


def test_tangos_interval_is_the_published_one():
    """Airway hyper-responsiveness, 1 against 7 of 21: Fagerland, Lydersen and Laake, 2014, table 4."""
    assert tango(1, 7, 21) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_arms_that_never_or_always_differ_still_have_an_interval():
    z2, n = 1.959964**2, 40
    low, high = tango(0, 0, n)
    assert (low, high) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)), abs=1e-5)
    assert tango(n, 0, n)[1] == 1.0 and 0.7 < tango(n, 0, n)[0] < 1 and tango(0, n, n)[0] == -1.0
    same = np.ones((3, n))
    for found in (difference(same[0], same[0]), difference(same, same), difference(same, same, np.arange(n) // 2)):
        assert found.value == 0 and found.p == 1 and -0.3 < found.low < -0.05 and 0.05 < found.high < 0.3


def exact_rate(n, gained_share, lost_share, event):
    """Probability of event(Difference) over all outcomes of n rows."""
    total = 0.0
    for gained in range(n + 1):
        for lost in range(n - gained + 1):
            chance = scipy_stats.multinomial.pmf(
                (gained, lost, n - gained - lost), n, (gained_share, lost_share, 1 - gained_share - lost_share)
            )
            if chance > 1e-7:
                total += chance * event(proportions(gained, lost, n))
    return total


@pytest.mark.parametrize("share", [0.03, 0.1, 0.25])
def test_one_run_of_equal_arms_differs_in_fewer_than_5_percent_of_all_outcomes(share):
    assert exact_rate(40, share, share, lambda d: d.p <= 0.05 or d.low > 0 or d.high < 0) < 0.04


def test_one_run_covers_the_true_difference_in_95_percent_of_all_outcomes():
    assert 0.945 < exact_rate(40, 0.2, 0.1, lambda d: d.low <= 0.1 <= d.high) < 0.98


def test_the_interval_and_p_never_contradict_each_other():
    for gained, lost in product(range(9), range(9)):
        found = proportions(gained, lost, 40)
        assert found.p <= 0.05 or found.low <= 0 <= found.high
    rng = np.random.default_rng(0)
    for i in range(30):
        a, b = arms(rng, 30, 0.8, seeds=2, lead=0.2)
        found = difference(a, b, repetitions=200, seed=i)
        assert found.low <= found.value <= found.high and (found.p <= 0.05 or found.low <= 0 <= found.high)


def test_one_run_of_right_and_wrong_is_judged_exactly():
    a, b = arms(np.random.default_rng(0), 80, 0.7)
    found = difference(a[0], b[0])
    gained, lost = int((a > b).sum()), int((b > a).sum())
    assert found == proportions(gained, lost, 80) == difference(a, b)
    assert found.value == pytest.approx(a.mean() - b.mean()) and found.p == mcnemar(gained, lost)[0]
    assert found.test == f"McNemar, exact (mid-p {mcnemar(gained, lost)[1]:.2g})"


def test_turning_the_arms_round_turns_the_interval_round():
    a, b = arms(np.random.default_rng(1), 60, 0.7, seeds=3, lead=0.1)
    for groups in (None, np.arange(60) // 3):
        one, other = difference(a, b, groups), difference(b, a, groups)
        assert one.value == pytest.approx(-other.value) and one.p == pytest.approx(other.p)
        assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.01)


def test_the_hierarchical_bootstrap_is_the_double_loop():
    """Rows are drawn, and within each draw the runs; a plain loop gives the same spread and the same tails."""
    rng = np.random.default_rng(0)
    gap = 0.1 + 0.3 * rng.normal(size=60) + np.array([[-0.2], [0.0], [0.25]]) + 0.1 * rng.normal(size=(3, 60))
    slow = []
    for _ in range(4000):
        rows, total = rng.integers(60, size=60), []
        for run in rng.integers(3, size=3):
            total.append(gap[run][rows].mean())
        slow.append(np.mean(total))
    drawn = np.concatenate([c @ gap.T / 60 for c in stats.resamples(rng, 4000, 60)])
    fast = stats.hierarchical(drawn, rng)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.06)
    assert np.quantile(fast, [0.025, 0.975]) == pytest.approx(np.quantile(slow, [0.025, 0.975]), abs=0.03)


def test_the_interval_of_several_runs_is_as_wide_as_a_mixed_model_says():
    """Rows and runs as crossed random effects: mean squares and Satterthwaite's degrees of freedom, written out."""
    rng = np.random.default_rng(2)
    seeds, n = 4, 200
    gap = 0.05 + 0.4 * rng.normal(size=n) + 0.03 * rng.normal(size=(seeds, 1)) + 0.2 * rng.normal(size=(seeds, n))
    rows = seeds * ((gap.mean(0) - gap.mean()) ** 2).sum() / (n - 1)
    runs = n * ((gap.mean(1) - gap.mean()) ** 2).sum() / (seeds - 1)
    error = sqrt((rows + runs) / (seeds * n))
    freedom = (rows + runs) ** 2 / (rows**2 / (n - 1) + runs**2 / (seeds - 1))
    half = scipy_stats.t.ppf(0.975, freedom) * error
    found = difference(gap, np.zeros_like(gap))
    assert found.value == pytest.approx(gap.mean())
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half), rel=0.1)
    assert found.p >= 0.9 * 2 * scipy_stats.t.sf(found.value / error, freedom)


def test_runs_that_disagree_widen_the_interval():
    row = np.random.default_rng(0).normal(size=100)
    calm = np.stack([row + shift for shift in (0.09, 0.1, 0.11)])
    torn = np.stack([row + shift for shift in (-0.4, 0.1, 0.6)])
    steady, shaken = (difference(one, np.zeros_like(one)) for one in (calm, torn))
    assert shaken.high - shaken.low > 2 * (steady.high - steady.low) and shaken.p > steady.p


def test_one_run_of_losses_is_a_paired_t_and_a_permutation_of_signs():
    rng = np.random.default_rng(3)
    gap = 0.5 + rng.normal(size=14)
    found = difference(gap, np.zeros(14), repetitions=6000)
    signs = np.array(list(product((-1, 1), repeat=14)))
    permuted = float((np.abs(signs @ gap) >= abs(gap.sum()) - 1e-9).mean())
    assert found.p == pytest.approx(max(permuted, scipy_stats.ttest_1samp(gap, 0).pvalue), rel=0.25, abs=0.004)
    assert found.low <= found.value - 1.9 * gap.std(ddof=1) / sqrt(14) and "14 rows" in found.test


def test_rows_of_a_group_are_drawn_together():
    """Five copies of each row say no more than one does."""
    a, b = arms(np.random.default_rng(4), 60, 0.7, seeds=2, lead=0.2)
    single = difference(a, b)
    copies = difference(np.repeat(a, 5, 1), np.repeat(b, 5, 1), np.repeat(np.arange(60), 5))
    naive = difference(np.repeat(a, 5, 1), np.repeat(b, 5, 1))
    assert (copies.low, copies.high) == pytest.approx((single.low, single.high), abs=0.02)
    assert naive.high - naive.low < 0.9 * (copies.high - copies.low) and "60 groups" in copies.test


def test_groups_of_other_sizes_weigh_as_their_rows():
    groups = np.array([0, 0, 0, 0, 1, 2, 3, 4])
    a, b = np.array([1.0, 1, 1, 1, 0, 0, 0, 0]), np.zeros(8)
    assert difference(a, b, groups).value == pytest.approx(0.5)


def test_one_group_alone_says_nothing():
    a, b = np.ones(10), np.zeros(10)
    found = difference(a, b, np.zeros(10))
    assert (found.low, found.high, found.p) == (-1, 1, 1)
    losses = difference(a * 3.7, b, np.zeros(10))
    assert losses.low == -inf and losses.row("chosen", "scratch")["interval"] == [None, None]


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_equal_arms_of_several_runs_are_rarely_told_apart(seeds):
    """300 nulls, of which a true rate of 5 % would give 15."""
    rng, wrong = np.random.default_rng(seeds), 0
    for i in range(300):
        a, b = arms(rng, (40, 150)[i % 2], (0.6, 0.9)[i // 2 % 2], seeds)
        found = difference(a, b, repetitions=200, seed=i)
        wrong += found.low > 0 or found.high < 0
    assert wrong <= 15


@pytest.mark.parametrize(("seeds", "lead"), [(2, 0.1), (4, 0.1)])
def test_several_runs_cover_the_true_lead(seeds, lead):
    rng, inside = np.random.default_rng(10 + seeds), 0
    for i in range(200):
        a, b = arms(rng, 100, 0.8, seeds, lead)
        found = difference(a, b, repetitions=200, seed=i)
        inside += found.low <= lead <= found.high
    assert inside >= 186


def outputs(rng, right, targets, classes=3):
    said = np.where(right > 0, targets, (targets + rng.integers(1, classes, right.shape)) % classes)
    return 0.1 / classes + 0.9 * np.eye(classes)[said]


def test_a_metric_with_and_without_its_fast_path_gives_the_same():
    rng = np.random.default_rng(0)
    targets = rng.integers(3, size=50)
    a, b = (outputs(rng, one, targets) for one in arms(rng, 50, 0.7, 2, 0.2))
    fast = metric_difference(a, b, targets, classification.scores, "balanced_accuracy", repetitions=100)
    slow = metric_difference(a, b, targets, lambda p, y: classification.scores(p, y), "balanced_accuracy", repetitions=100)
    mean = [np.mean([classification.balanced_accuracy(p, targets) for p in side]) for side in (a, b)]
    assert (
        fast == pytest.approx(slow)
        if isinstance(fast, float)
        else (fast.low, fast.high, fast.p) == pytest.approx((slow.low, slow.high, slow.p))
    )
    assert fast.value == pytest.approx(mean[0] - mean[1])


def test_accuracy_as_a_metric_is_accuracy_as_rows():
    rng = np.random.default_rng(1)
    targets = rng.integers(3, size=120)
    right = arms(rng, 120, 0.75, 3, 0.1)
    a, b = (outputs(rng, one, targets) for one in right)
    metric, rows = metric_difference(a, b, targets, classification.scores, "accuracy", repetitions=800), difference(*right)
    assert metric.value == pytest.approx(rows.value) and metric.p == pytest.approx(rows.p, abs=0.04)
    assert (metric.low, metric.high) == pytest.approx((rows.low, rows.high), abs=0.02)


def test_a_metric_in_its_own_unit():
    rng = np.random.default_rng(2)
    targets = rng.normal(size=(80, 1))
    near, far = targets + 0.3 * rng.normal(size=(80, 1)), targets + rng.normal(size=(80, 1))
    found = metric_difference(100 * near, 100 * far, 100 * targets, regression.scores, "rmse", repetitions=400)
    assert found.value == pytest.approx(100 * (np.sqrt(((near - targets) ** 2).mean()) - np.sqrt(((far - targets) ** 2).mean())))
    assert found.high < 0 and found.low < -40 and found.p < 0.01


def recall(p, y):
    return recall.prepare(p, y)(np.ones(len(y)))


def prepared(p, y):
    """Balanced accuracy alone, which is quicker than all scores."""
    right = (p.argmax(1) == y).astype(float)

    def score(counts):
        hits, there = np.bincount(y, counts * right), np.bincount(y, counts)
        return {"recall": float((hits[there > 0] / there[there > 0]).mean())}

    return score


recall.prepare = prepared


def test_equal_arms_are_rarely_told_apart_by_balanced_accuracy():
    """400 nulls, of which a true rate of 5 % would give 20; the permutations alone hold it to that."""
    rng, wrong = np.random.default_rng(6), 0
    for i in range(400):
        targets = np.concatenate([[0, 1, 2], rng.choice(3, 57, p=(0.6, 0.3, 0.1))])
        a, b = (outputs(rng, one, targets) for one in arms(rng, 60, 0.75))
        found = metric_difference(a, b, targets, recall, "recall", repetitions=60, seed=i)
        wrong += found.low > 0 or found.high < 0
    assert wrong <= 24


def test_resamples_in_which_a_metric_is_undefined_are_left_out():
    def rare(p, y):
        return {"hit": float((p.argmax(1) == y)[y == 1].mean()) if (y == 1).any() else float("nan")}

    y = np.array([1, 1] + [0] * 18)
    a, b = np.eye(2)[y], np.eye(2)[1 - y]
    found = metric_difference(a, b, y, rare, "hit", repetitions=200)
    assert found.value == 1.0 and np.isfinite([found.low, found.high, found.p]).all()


def test_the_corrected_t_is_nadeau_and_bengios():
    rng = np.random.default_rng(0)
    a, b = 0.8 + 0.03 * rng.normal(size=10), 0.78 + 0.03 * rng.normal(size=10)
    gap = a - b
    t = gap.mean() / sqrt((1 / 10 + 1 / 9) * gap.var(ddof=1))
    found = corrected(a, b, 1 / 9)
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(abs(t), 9))
    plain = scipy_stats.ttest_rel(a, b)
    assert corrected(a, b, 0.0).p == pytest.approx(plain.pvalue) and found.p > plain.pvalue
    low, high = plain.confidence_interval()
    assert (corrected(a, b, 0.0).low, corrected(a, b, 0.0).high) == pytest.approx((low, high))
    assert found.value == pytest.approx((found.low + found.high) / 2) and found.low < low
    assert corrected([0.8], [0.7], 0.25).p == 1 and corrected([0.8, 0.8], [0.8, 0.8], 1.0).p == 1


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_rows_of_folds_take_the_same_correction(folds):
    """1 + k / (k - 1) times the variance between rows; losses of one run, where the plain interval is that of a paired t."""
    gap = 0.3 + np.random.default_rng(1).normal(size=400)
    error = sqrt((1 + folds / (folds - 1)) * gap.var(ddof=1) / 400)
    found = difference(gap, np.zeros(400), folds=folds, repetitions=4000)
    assert found.high - found.value == pytest.approx(scipy_stats.t.ppf(0.975, 399) * error, rel=0.06)
    assert found.p >= 0.8 * 2 * scipy_stats.t.sf(gap.mean() / error, 399) and f"{folds} folds" in found.test
    targets = np.zeros((400, 1))
    metric = metric_difference(gap[:, None], targets, targets, lambda p, y: {"mae": float(p.mean())}, "mae", folds=folds, repetitions=1500)
    assert metric.high - metric.low == pytest.approx(found.high - found.low, rel=0.1)


def test_equal_classifiers_are_rarely_told_apart_by_folds():
    """Nearest neighbours of random features and labels, 5 folds: as if independent, one in eight verdicts is wrong."""
    wrong, naive = 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y, fold, right = rng.integers(2, size=100), rng.permutation(100) % 5, []
        for x in rng.normal(size=(2, 100, 2)):
            apart = ((x[:, None] - x[None]) ** 2).sum(2) + 1e9 * (fold[:, None] == fold[None])
            right.append((y[apart.argmin(1)] == y) * 1.0)
        found = difference(*right, folds=5, repetitions=200, seed=seed)
        wrong += found.low > 0 or found.high < 0
        naive += difference(*right).p <= 0.05
    assert wrong <= 10 < naive


def test_holm_is_the_step_down_rule():
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(5) ** 3
        rejected, order = set(), np.argsort(p)
        for step, i in enumerate(order):
            if p[i] > 0.05 / (5 - step):
                break
            rejected.add(int(i))
        assert {i for i, v in enumerate(holm(p)) if v <= 0.05} == rejected


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match="same rows"):
        difference(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="finite"):
        difference(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="same 5 rows"):
        metric_difference(np.ones((4, 2)), np.ones((4, 2)), np.zeros(5), classification.scores, "accuracy")


def test_the_row_of_a_json_file():
    found = Difference(0.2, 0.1, inf, 0.01, "a test").row("chosen", "scratch")
    assert found == {"of": "chosen", "less": "scratch", "value": 0.2, "interval": [0.1, None], "p": 0.01, "test": "a test"}
