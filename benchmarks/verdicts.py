"""How often a verdict is wrong: arms that are truly equal, labels that are noise, and transfer that truly does harm.

    python benchmarks/verdicts.py
    python benchmarks/verdicts.py --repetitions 1000 --only equal

Counted are verdicts "helped" and "negative". Equal arms and noise must give them in at most 5 % (two-sided), planted harm of 0.1 or
more must give "negative" in at least 90 % at 150 to 300 rows; what 150 rows are too few for (0.1 exactly) is printed too. Everything
is drawn; no network is trained.
Equal arms: right or wrong from a difficulty of the row that both share, a part that is each arm's own, and noise of each run; with
several seeds each run also has a level of its own (deviation 0.05 before the cut that makes it right or wrong, 0.015 of an accuracy
of 0.8). Noise: logistic regressions on two sets of random features and random labels, scored on other rows, or on the same ones by
5-fold cross-validation.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from graft.evidence.stats import Difference, corrected, difference, metric_difference
from graft.evidence.verdict import judge
from graft.metrics import classification

SIZES = (40, 80, 150, 500)
ACCURACIES = (0.5, 0.7, 0.9, 0.98)


def verdict(found: Difference, n: int, metric: str = "accuracy", higher: bool = True) -> str:
    """The kind of the verdict on chosen against scratch."""
    arms = [{"name": "chosen", "label": "chosen", "value": 0.0}, {"name": "scratch", "label": "scratch", "value": 0.0}]
    return judge(arms, {("chosen", "scratch"): found}, metric, n, higher=higher)["kind"]


def equal_arms(rng: np.random.Generator, n: int, accuracy: float, seeds: int = 1, lead: float = 0.0) -> np.ndarray:
    """0 and 1 [2, seeds, n], the first arm being right more often than the second by `lead`, the mean of both `accuracy`."""
    from scipy.stats import norm

    row, own = rng.normal(size=n), rng.normal(size=(2, 1, n))
    level = 0.05 * rng.normal(size=(2, seeds, 1)) if seeds > 1 else 0.0
    place = np.sqrt(0.5) * row + np.sqrt(0.25) * own + np.sqrt(0.25) * rng.normal(size=(2, seeds, n))
    edge = norm.ppf(np.array([accuracy + lead / 2, accuracy - lead / 2]))[:, None, None]
    return (place + level < edge).astype(float)


def probabilities(rng: np.random.Generator, right: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    """Outputs [seeds, n, classes] that are right where `right` [seeds, n] is 1, wrong at random elsewhere."""
    said = np.where(right > 0, targets, (targets + rng.integers(1, classes, right.shape)) % classes)
    return 0.1 / classes + 0.9 * np.eye(classes)[said]


def equal(rng: np.random.Generator, n: int, accuracy: float, seeds: int, how: str) -> str:
    a, b = equal_arms(rng, n, accuracy, seeds)
    if how == "accuracy":
        return verdict(difference(a, b, repetitions=1000), n)
    if how == "groups of 4":
        groups = np.arange(n) // 4
        return verdict(difference(a[:, groups * 4], b[:, groups * 4], groups, repetitions=1000), n)
    if how == "log-loss":
        # Certain and wrong is rare and dear: a long tail, as losses have.
        p, q = (np.where(one > 0, rng.exponential(0.1, one.shape), 0.5 + rng.exponential(1.5, one.shape)) for one in (a, b))
        return verdict(difference(p, q, repetitions=1000), n, "log_loss", False)
    targets = rng.choice(3, n, p=(0.6, 0.3, 0.1))
    targets[:3] = (0, 1, 2)
    p, q = (probabilities(rng, one, targets, 3) for one in (a, b))
    return verdict(metric_difference(p, q, targets, classification.scores, how, repetitions=300), n, how)


def folds(rng: np.random.Generator, n: int, what: str) -> str:
    """Ten folds of two classifiers on other features of the same strength, judged by the scores of the folds."""
    labels = rng.integers(2, size=n)
    sides = [rng.normal(size=(n, 5)) + 0.7 * labels[:, None] for _ in range(2)]
    parts = list(StratifiedKFold(10, shuffle=True, random_state=0).split(sides[0], labels))
    scores = [[LogisticRegression().fit(x[l], labels[l]).score(x[r], labels[r]) for l, r in parts] for x in sides]  # noqa: E741
    return verdict(corrected(*scores, 1 / 9 if what == "corrected" else 0.0), n)


def noise(rng: np.random.Generator, n: int, width: int, parts: int, told: int, make: Callable = LogisticRegression) -> str:
    """Classifiers on two sets of features; neither the features nor the labels mean anything. parts: 0 for other rows to score on,
    or how many folds; told: how many of them the test is told of."""
    labels = rng.integers(2, size=2 * n)
    right = []
    for _ in range(2):
        x = rng.normal(size=(2 * n, width))
        if parts:
            said = cross_val_predict(make(), x[:n], labels[:n], cv=StratifiedKFold(parts, shuffle=True, random_state=0))
            right.append(said == labels[:n])
        else:
            right.append(make().fit(x[:n], labels[:n]).predict(x[n:]) == labels[n:])
    return verdict(difference(*(np.asarray(one, float) for one in right), folds=told, repetitions=1000), n)


def held_out(x: np.ndarray, labels: np.ndarray, fold: np.ndarray, near: bool) -> np.ndarray:
    """Whether each row is named rightly by what learnt from the other folds: its nearest row, or a ridge regression on -1 and 1."""
    right = np.zeros(len(x), bool)
    for number in range(fold.max() + 1):
        rest, here = fold != number, fold == number
        if near:
            said = labels[rest][((x[here][:, None] - x[rest]) ** 2).sum(2).argmin(1)]
        else:
            one = np.c_[x, np.ones(len(x))]
            weights = np.linalg.solve(one[rest].T @ one[rest] + np.eye(one.shape[1]), one[rest].T @ (2 * labels[rest] - 1))
            said = one[here] @ weights > 0
        right[here] = said == labels[here]
    return right


def repeated(rng: np.random.Generator, n: int, lead: float, near: bool, shares: tuple[int, ...]) -> list[Difference]:
    """Two arms in 5 folds, of which the second sees the signal less clearly by `lead` (0: equal arms), judged as a fit judges them after
    as many dealings of the rows into folds as `shares` says: first where both arms were dealt again, then where the second was not."""
    labels = np.arange(n) % 2
    sides = [rng.normal(size=(n, 8)) + strength * labels[:, None] for strength in (0.6, 0.6 - lead)]
    right = np.zeros((max(shares), 2, n))
    for number in range(max(shares)):
        fold = np.zeros(n, int)
        for label in (0, 1):  # stratified
            fold[labels == label] = rng.permutation((labels == label).sum()) % 5
        right[number] = [held_out(x, labels, fold, near) for x in sides]
    first, second = right[:, 0], right[:, 1]
    both = [difference(first[:share], second[:share], folds=5, repetitions=1000) for share in shares]
    return both + [difference(first[:share], second[np.zeros(share, int)], folds=5, repetitions=1000) for share in shares[1:]]


def repeats(repetitions: int, shares: tuple[int, ...] = (1, 3, 10)) -> None:
    """Whether dealing the rows into folds several times narrows an interval that stays honest."""
    print("\nStratified 5-fold: dealt once; both arms 3 and 10 times; the first alone 3 and 10 times")
    print("| case | said of equal arms | said of a true difference | width of the interval against one dealing |\n|" + 4 * "---|")
    for name, near in (("ridge regression", False), ("nearest neighbour", True)):
        for n in (60, 150, 400):
            said, widths = np.zeros((2, 2 * len(shares) - 1)), np.zeros((repetitions, 2 * len(shares) - 1))
            for row, lead in enumerate((0.0, 0.4)):
                for number in range(repetitions):
                    found = repeated(np.random.default_rng([row, n, number]), n, lead, near, shares)
                    said[row] += [verdict(one, n) in ("helped", "negative") for one in found]
                    widths[number] = [one.high - one.low for one in found]
            counts = [", ".join(f"{share / repetitions:.1%}" for share in line) for line in said]
            narrower = ", ".join(f"{share:.2f}" for share in widths.mean(0) / widths.mean(0)[0])
            print(f"| {name}, {n} rows | {counts[0]} | {counts[1]} | {narrower} |", flush=True)


def harm(rng: np.random.Generator, n: int, lead: float, accuracy: float) -> str:
    a, b = equal_arms(rng, n, accuracy - lead / 2, lead=-lead)
    return verdict(difference(a, b), n)


def unrelated(rng: np.random.Generator, n: int) -> tuple[str, float]:
    """Scratch learns from the signal (10 numbers); transfer from 40 units that another task shaped, which pass little of it on.
    The verdict, and the true lead on 20,000 fresh rows."""
    across = rng.normal(size=(10, 40)) * (np.arange(10) >= 7)[:, None]  # the source task needed 3 of the 10 numbers only
    weights = rng.normal(size=10)

    def draw(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x = rng.normal(size=(rows, 10))
        y = (x @ weights + 0.5 * rng.normal(size=rows) > 0).astype(int)
        return x, np.maximum(x @ across, 0), y

    learn, score, many = draw(200), draw(n), draw(20000)
    fits = [LogisticRegression(max_iter=1000).fit(learn[side], learn[2]) for side in (0, 1)]
    right, true = ([(fits[side].predict(s[side]) == s[2]).astype(float) for side in (0, 1)] for s in (score, many))
    return verdict(difference(right[1], right[0]), n), float(true[0].mean() - true[1].mean())


def count(kinds: Iterator[str], wanted: tuple[str, ...]) -> tuple[int, int]:
    found = Counter(kinds)
    return sum(found[kind] for kind in wanted), found.total()


def wrong(title: str, cases: list[tuple[str, Callable[[np.random.Generator], str]]], repetitions: int) -> tuple[int, int]:
    """Prints how many verdicts of each case say that there is a difference; (all of them, of how many)."""
    print(f"\n{title}\n| case | helped or negative | of | share |\n|---|---|---|---|")
    total = [0, 0]
    for number, (name, make) in enumerate(cases):
        hits, of = count((make(np.random.default_rng([number, i])) for i in range(repetitions)), ("helped", "negative"))
        total = [total[0] + hits, total[1] + of]
        print(f"| {name} | {hits} | {of} | {hits / of:.1%} |", flush=True)
    print(f"| all | {total[0]} | {total[1]} | {total[0] / total[1]:.1%} |", flush=True)
    return total[0], total[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--only", choices=("equal", "noise", "repeats", "harm"), help="one part")
    args = parser.parse_args()
    began, only = time.perf_counter(), args.only
    if only in (None, "equal"):
        cases = [
            (f"accuracy {acc}, {n} rows", lambda r, n=n, acc=acc: equal(r, n, acc, 1, "accuracy")) for n in SIZES for acc in ACCURACIES
        ]
        wrong("Equal arms, one run each", cases, args.repetitions)
        cases = [
            (f"accuracy {acc}, {n} rows, {s} seeds", lambda r, n=n, acc=acc, s=s: equal(r, n, acc, s, "accuracy"))
            for n in SIZES for acc in (0.7, 0.98) for s in (2, 3, 5)
        ]  # fmt: skip
        wrong("Equal arms, several runs each", cases, args.repetitions)
        cases = [
            (f"{how} at {acc}, {n} rows, {s} seed{'s' * (s > 1)}", lambda r, n=n, acc=acc, s=s, how=how: equal(r, n, acc, s, how))
            for how, s in (("balanced_accuracy", 1), ("macro_f1", 1), ("balanced_accuracy", 3), ("log-loss", 1), ("groups of 4", 1))
            for n in (40, 150) for acc in (0.7, 0.95)
        ]  # fmt: skip
        wrong("Equal arms, other scores", cases, args.repetitions)
        cases = [(f"{what}, {n} rows", lambda r, n=n, what=what: folds(r, n, what)) for n in (80, 300) for what in ("corrected", "plain t")]
        wrong("Equal features, ten scores of ten folds: Nadeau and Bengio's t, and the plain one beside it", cases, args.repetitions)
    if only in (None, "noise"):
        cases = [
            (f"{n} rows, {w} features, {f'{k} folds' if k else 'held out'}", lambda r, n=n, w=w, k=k: noise(r, n, w, k, k))
            for n in SIZES for w in (5, 50) for k in (0, 5)
        ]  # fmt: skip
        wrong("Random labels, logistic regression on two sets of random features", cases, args.repetitions)
        unsteady = (("logistic regression", LogisticRegression), ("nearest neighbour", lambda: KNeighborsClassifier(1)), ("SVM", SVC))
        cases = [
            (f"{name}, {k} folds, {'corrected' if told else 'as if independent'}", lambda r, k=k, t=told, m=make: noise(r, 150, 2, k, t, m))
            for name, make in unsteady for k in (5, 10) for told in (k, 0)
        ]  # fmt: skip
        wrong("The same, 150 rows of 2 features: rows of folds corrected, and beside it judged as if independent", cases, args.repetitions)
    if only in (None, "repeats"):
        repeats(args.repetitions)
    if only in (None, "harm"):
        print("\nPlanted harm\n| case | negative | of | share |\n|---|---|---|---|")
        repetitions = max(50, args.repetitions // 4)
        for n in (150, 300):
            for lead, accuracy in ((0.1, 0.9), (0.15, 0.9), (0.2, 0.9), (0.2, 0.8)):
                kinds = (harm(np.random.default_rng([n, i]), n, lead, accuracy) for i in range(repetitions))
                hits, of = count(kinds, ("negative",))
                print(f"| scratch {accuracy}, transfer {lead} less, {n} rows | {hits} | {of} | {hits / of:.0%} |", flush=True)
            found = [unrelated(np.random.default_rng([n, i]), n) for i in range(repetitions)]
            large = [kind for kind, lead in found if lead >= 0.1]
            leads = [lead for _, lead in found]
            hits, of = count(iter(large), ("negative",))
            words = f"features of an unrelated task, {n} rows (true leads {min(leads):.2f} to {max(leads):.2f}, those of 0.1 or more)"
            print(f"| {words} | {hits} | {of} | {hits / of:.0%} |", flush=True)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
