import csv
import math

import numpy as np
import pytest

from graft.errors import DataError, OutputError
from graft.inspect import confident
from graft.inspect.confident import Suspects, suspects


def blobs(rows=60, classes=3, width=12, apart=4.0, seed=0):
    """Features around one centre a class, and their true labels."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), rows)
    return (rng.normal(size=(classes, width)) * apart / math.sqrt(width / 2))[labels] + rng.normal(size=(len(labels), width)), labels


def wronged(labels, share, seed=0):
    """(labels of which a share is wrong, the rows that are)."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(labels))[: round(share * len(labels))]
    given = labels.copy()
    given[rows] = (labels[rows] + rng.integers(1, labels.max() + 1, len(rows))) % (labels.max() + 1)
    return given, set(rows.tolist())


def slow_joint(p, labels):
    """Northcutt et al. (2021), equations 1 to 3, written as they stand: sums over sets of examples."""
    n, k = len(p), len(p[0])
    thresholds = []
    for j in range(k):
        mine = [p[x][j] for x in range(n) if labels[x] == j]
        thresholds.append(sum(mine) / len(mine) if mine else math.inf)
    counts = [[0] * k for _ in range(k)]
    for i in range(k):
        for j in range(k):
            for x in range(n):
                if labels[x] != i or p[x][j] < thresholds[j] - 1e-12:
                    continue
                reached = [c for c in range(k) if p[x][c] >= thresholds[c] - 1e-12]
                if max(reached, key=lambda c: p[x][c]) == j:
                    counts[i][j] += 1
    scaled = [[0.0] * k for _ in range(k)]
    for i in range(k):
        total, size = sum(counts[i]), sum(1 for label in labels if label == i)
        for j in range(k):
            scaled[i][j] = counts[i][j] / total * size if total else (size if i == j else 0)
    everything = sum(map(sum, scaled))
    return thresholds, [[value / everything for value in row] for row in scaled]


@pytest.mark.parametrize("seed", range(6))
def test_the_confident_joint_is_that_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    k = 2 + seed % 4
    labels = rng.integers(k, size=80)
    labels[labels == 1] = 0 if seed == 3 else 1  # Once a class has no rows.
    p = rng.dirichlet(np.full(k, 0.4), 80)
    found = suspects(p, labels)
    thresholds, joint = slow_joint(p.tolist(), labels.tolist())
    np.testing.assert_allclose(found.thresholds, thresholds)
    np.testing.assert_allclose(found.joint, joint)
    assert found.joint.sum() == pytest.approx(1)


def test_pruning_takes_as_many_rows_as_the_joint_says_and_those_with_the_largest_margin():
    rng = np.random.default_rng(1)
    labels, p = rng.integers(3, size=120), rng.dirichlet(np.full(3, 0.4), 120)
    joint = suspects(p, labels).joint
    expected = set()
    for i in range(3):
        for j in range(3):
            if i != j:
                rows = sorted((x for x in range(120) if labels[x] == i), key=lambda x: -(p[x, j] - p[x, i]))
                expected |= set(rows[: round(120 * joint[i, j])])
    assert set(np.flatnonzero(confident.by_noise_rate(p, labels, joint)).tolist()) == expected


def test_the_chance_of_being_wrong_is_bayes_rule_and_means_what_it_says():
    """Labels drawn from known probabilities, a tenth of them then drawn blindly: the chances add up to the errors there are."""
    rng = np.random.default_rng(0)
    n, k, noise = 4000, 4, 0.1
    p = rng.dirichlet(np.full(k, 0.3), n)
    true = np.array([rng.choice(k, p=row) for row in p])
    labels = np.where(rng.random(n) < noise, rng.integers(k, size=n), true)
    degrees, found, _ = confident._fit(np.log(np.maximum(p, 1e-12)), labels)
    assert found == pytest.approx(noise, abs=0.03) and degrees == pytest.approx(1, abs=0.1)
    chance = confident.chances(p, labels)
    assert chance.sum() == pytest.approx((labels != true).sum(), rel=0.2)
    for x in range(5):
        q = [max(value, 1e-12) ** (1 / degrees) for value in p[x]]
        mine = q[labels[x]] / sum(q)
        blind = found / k
        assert chance[x] == pytest.approx(blind * (1 - mine) / ((1 - found) * mine + blind), rel=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_planted_errors_are_found_in_clear_classes(share):
    features, true = blobs()
    given, wrong = wronged(true, share)
    p = confident.out_of_fold(features, given)
    found = suspects(p, given)
    hits = wrong & set(found.rows.tolist())
    assert len(hits) >= 0.8 * len(wrong) and len(hits) >= 0.8 * len(found.rows)
    assert all(true[row] == to for row, to in zip(found.rows, found.suggested) if row in wrong)
    assert list(found.chance) == sorted(found.chance, reverse=True) and found.chance.min() >= confident.LEAST
    assert abs(found.precision - len(hits) / len(found.rows)) < 0.25


def test_hard_images_are_not_taken_for_errors():
    """Classes that overlap, every label right: many rows lie on the other side, and few may be blamed."""
    features, labels = blobs(rows=150, classes=2, width=6, apart=1.2)
    p = confident.out_of_fold(features, labels)
    mistaken = int((p.argmax(1) != labels).sum())
    assert mistaken > 15
    assert len(suspects(p, labels).rows) <= 0.2 * mistaken


def test_clean_labels_raise_no_suspicion():
    features, labels = blobs(apart=6)
    assert len(suspects(confident.out_of_fold(features, labels), labels).rows) == 0


def test_probabilities_are_of_rows_that_took_no_part():
    """A label that its own row alone speaks for: a model that had seen it would be sure of it."""
    features, labels = blobs(rows=20, classes=2, width=60, apart=6)
    given = labels.copy()
    given[0] = 1
    p = confident.out_of_fold(features, given)
    assert p[0, 1] < 0.1
    np.testing.assert_allclose(p.sum(1), 1)
    np.testing.assert_array_equal(p, confident.out_of_fold(features, given))
    assert not np.array_equal(p, confident.out_of_fold(features, given, seed=1))


def test_a_class_of_one_row_is_left_in_peace_and_classes_without_rows_get_no_probability():
    features, labels = blobs(rows=15, classes=2)
    labels = np.where(labels == 1, 3, 0)
    labels[4] = 1  # Its only row; classes 2 has none.
    p = confident.out_of_fold(features, labels)
    assert p.shape == (30, 4) and p[4].tolist() == [0, 1, 0, 0]
    assert (p[:, 2] == 0).all() and (np.delete(p, 4, 0)[:, 1] == 0).all()
    assert 4 not in suspects(p, labels).rows
    with pytest.raises(DataError, match="two classes"):
        confident.out_of_fold(features, np.zeros(30, int))


def test_the_finding_says_what_to_look_at_and_the_list_can_be_written(tmp_path):
    features, true = blobs(rows=30)
    given = wronged(true, 0.1)[0]
    p = confident.out_of_fold(features, given)
    found, classes = suspects(p, given), ("ant", "bee", "cat")
    paths, splits = [f"/d/{i}.jpg" for i in range(90)], ["val" if i % 3 == 0 else "train" for i in range(90)]
    told = confident.finding(found, p, given, classes, paths, splits)
    assert (told.kind, told.level, told.count) == ("label_errors", "warning", len(found.rows))
    first, row = told.examples[0], found.rows[0]
    assert told.files[0] == first["files"][0] == paths[row] and first["label"] == classes[given[row]]
    assert first["suggested"] == classes[p[row].argmax()] and first["p_suggested"] > first["p_label"]
    scored = [x for x in found.rows if splits[x] == "val"]
    assert told.numbers["cap"] == pytest.approx(found.chance[np.isin(found.rows, scored)].sum() / 30)
    assert len(told.examples) <= 12 and told.as_dict()["numbers"]["precision"] == found.precision

    rows = confident.listed(found, p, given, classes, paths, splits)
    confident.write(tmp_path / "look.csv", rows)
    with open(tmp_path / "look.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [one["path"] for one in read] == [paths[x] for x in found.rows] and read[0]["suggested"] == first["suggested"]
    with pytest.raises(OutputError, match="cannot be written"):
        confident.write(tmp_path / "no" / "look.csv", rows)


def test_no_suspects_no_finding():
    nothing = Suspects(np.empty(0, int), np.empty(0, int), np.empty(0), np.eye(2) / 2, np.ones(2))
    assert nothing.precision is None
    assert confident.finding(nothing, np.eye(2), np.arange(2), ("a", "b"), ["x", "y"], ["train", "train"]) is None
