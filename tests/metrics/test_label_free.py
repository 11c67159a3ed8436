"""Label-free numbers against their formulas, written out row by row."""

import math

import numpy as np
import pytest
import torch

from graft.metrics import label_free

RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(0, 2, (23, 4))


def soft(row, temperature=1.0):
    powers = [math.exp(v / temperature) for v in row]
    return [v / sum(powers) for v in powers]


def entropy(p):
    return -sum(v * math.log(v) for v in p if v > 0)


def slow_entropy(outputs):
    return sum(entropy(soft(row)) for row in outputs) / len(outputs)


def slow_information(outputs):
    rows = [soft(row) for row in outputs]
    return entropy([sum(column) / len(rows) for column in zip(*rows, strict=True)]) - slow_entropy(outputs)


def slow_evenness(outputs):
    counts = [0] * len(outputs[0])
    for row in outputs:
        counts[max(range(len(row)), key=lambda c: row[c])] += 1
    return math.exp(entropy([c / len(outputs) for c in counts])) / len(counts)


def slow_density(outputs):
    rows = [soft(row) for row in outputs]
    length = [math.sqrt(sum(v * v for v in p)) for p in rows]
    total = 0.0
    for i, p in enumerate(rows):
        cosines = [sum(a * b for a, b in zip(p, q, strict=True)) / length[i] / length[j] for j, q in enumerate(rows) if j != i]
        total += entropy(soft(cosines, 0.05))
    return total / len(rows)


def slow_nuclear(outputs):
    p = np.array([soft(row) for row in outputs])
    squares = np.linalg.eigvalsh(p.T @ p if len(p) > p.shape[1] else p @ p.T)
    return sum(math.sqrt(max(v, 0)) for v in squares) / math.sqrt(len(p) * min(p.shape))


def slow_confusion(outputs):
    rows = [soft(row, 2.5) for row in outputs]
    weights = [1 + math.exp(-entropy(p)) for p in rows]
    k, mean = len(rows[0]), sum(weights) / len(weights)
    found = 0.0
    for a in range(k):
        pairs = [sum(w / mean * p[a] * p[b] for w, p in zip(weights, rows, strict=True)) for b in range(k)]
        found += sum(pairs[b] for b in range(k) if b != a) / sum(pairs)
    return found / k


SLOW = {
    "mean_entropy": slow_entropy, "information": slow_information, "evenness": slow_evenness, "neighbourhood_density": slow_density,
    "nuclear_norm": slow_nuclear, "class_confusion": slow_confusion,
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_each_is_its_formula_for_arrays_and_tensors(name):
    for outputs in (OUTPUTS, RNG.normal(0, 3, (3, 5)), RNG.normal(0, 1, (9, 2))):
        expected = SLOW[name](outputs.tolist())
        assert getattr(label_free, name)(outputs) == pytest.approx(expected, rel=1e-9)
        assert getattr(label_free, name)(torch.from_numpy(outputs)) == pytest.approx(expected, rel=1e-9)


def test_the_ends_of_their_ranges():
    certain, one, even = 500 * np.eye(4)[np.arange(24) % 4], 500 * np.eye(4)[np.zeros(24, int)], np.zeros((24, 4))
    assert label_free.mean_entropy(certain) == pytest.approx(0) and label_free.mean_entropy(even) == pytest.approx(math.log(4))
    assert label_free.information(certain) == pytest.approx(math.log(4))
    assert label_free.information(one) == pytest.approx(0) and label_free.information(even) == pytest.approx(0)
    assert label_free.evenness(certain) == pytest.approx(1) and label_free.evenness(one) == pytest.approx(0.25)
    assert label_free.nuclear_norm(certain) == pytest.approx(1) and label_free.nuclear_norm(one) == pytest.approx(0.5)
    assert label_free.class_confusion(certain) == pytest.approx(0) and label_free.class_confusion(even) == pytest.approx(0.75)
    assert label_free.neighbourhood_density(certain) == pytest.approx(math.log(5), abs=1e-3)
    assert label_free.agreement(certain, one) == 0.25 and label_free.agreement(OUTPUTS, 3 * OUTPUTS) == 1


def test_many_rows_are_looked_at_evenly(monkeypatch):
    monkeypatch.setattr(label_free, "ROWS", 3)
    outputs = RNG.normal(0, 1, (9, 3))
    assert label_free.neighbourhood_density(outputs) == pytest.approx(slow_density(outputs[[0, 4, 8]].tolist()))


def test_probabilities_of_large_logits_are_finite():
    assert label_free.probabilities(np.array([[1e4, 0.0], [-1e4, 0.0]])).tolist() == [[1, 0], [0, 1]]


def slow_same_domain(a, b, sides):
    """The statistic for each way of telling the rows apart."""
    z, found = [*a, *b], []
    guess = [max(range(len(row)), key=lambda c: row[c]) for row in z]
    for side in sides:
        total = 0.0
        for c in sorted(set(guess)):
            one, two = ([z[i] for i in range(len(z)) if guess[i] == c and side[i] == s] for s in (1, 0))
            mean = lambda x, y: sum(math.dist(u, v) for u in x for v in y) / len(x) / len(y)  # noqa: E731
            if min(len(one), len(two)) >= 2:
                total += (len(one) + len(two)) * (2 * mean(one, two) - mean(one, one) - mean(two, two))
        found.append(total)
    return found


def test_the_shift_is_the_energy_distance_within_predicted_classes():
    a, b = RNG.normal(0, 2, (14, 2)), RNG.normal(0.5, 2, (11, 2))
    # With one exchange the p-value says which of two statistics is larger.
    for seed in range(8):
        rng, side = np.random.default_rng(seed), np.repeat([1.0, 0.0], [14, 11])
        guess, other = np.concatenate([a, b]).argmax(1), np.repeat([1.0, 0.0], [14, 11])
        for c in (0, 1):
            other[guess == c] = rng.permutation(side[guess == c])
        real, exchanged = slow_same_domain(a.tolist(), b.tolist(), [side, other])
        assert label_free.same_domain(a, b, 1, seed) == (1.0 if exchanged >= real - 1e-9 else 0.5)


def test_a_shift_is_told_from_other_frequencies():
    def draw(counts, moved, seed):
        rng = np.random.default_rng(seed)
        return np.concatenate([rng.normal(0, 1, (n, 3)) + 6 * np.eye(3)[c] + moved for c, n in enumerate(counts)])

    alike = [label_free.same_domain(draw((30, 30, 30), 0, s), draw((80, 10, 5), 0, s + 50)) for s in range(10)]
    moved = [label_free.same_domain(draw((30, 30, 30), 0, s), draw((80, 10, 5), (1, 1, 0), s + 50)) for s in range(10)]
    assert min(alike) > 0.005 and np.mean(alike) > 0.25 and max(moved) <= 0.01


def test_neighbours_agree_as_kappa_says():
    rng = np.random.default_rng(0)
    x, z = rng.normal(0, 1, (30, 4)) * [1, 10, 0.1, 1] + 5, rng.normal(0, 1, (30, 3))
    x = np.concatenate([x, np.ones((30, 1))], 1)
    guess = [max(range(3), key=lambda c: row[c]) for row in z.tolist()]
    scaled = [[(v - x[:, j].mean()) / x[:, j].std() for j, v in enumerate(row[:4])] for row in x.tolist()]
    cosine = lambda a, b: sum(p * q for p, q in zip(a, b, strict=True)) / (sum(p * p for p in a) * sum(q * q for q in b)) ** 0.5  # noqa: E731
    same = []
    for i, row in enumerate(scaled):
        near = sorted((j for j in range(30) if j != i), key=lambda j: -cosine(row, scaled[j]))[:4]
        same += [guess[i] == guess[j] for j in near]
    chance = sum((guess.count(c) / 30) ** 2 for c in range(3))
    near = label_free.nearest(x, 4)
    assert label_free.neighbours_agree(z, near) == pytest.approx((sum(same) / len(same) - chance) / (1 - chance))


def test_a_class_cut_in_two_agrees_less_and_a_collapsed_head_not_at_all(monkeypatch):
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    x = rng.normal(0, 1, (200, 5)) + 4 * y[:, None]
    near = label_free.nearest(x)
    cut = np.where(y == 1, np.where(x[:, 0] > 4, 1, 2), 0)
    whole, parted, one = (label_free.neighbours_agree(np.eye(3)[guess], near) for guess in (y, cut, 0 * y))
    assert whole > 0.95 and parted < whole - 0.1 and one == 0.0
    assert label_free.information(9 * np.eye(3)[cut]) > label_free.information(9 * np.eye(3)[y])
    monkeypatch.setattr(label_free, "ROWS", 50)
    rows, places = label_free.nearest(x)
    assert len(rows) == 50 and places.shape == (50, 10) and label_free.neighbours_agree(np.eye(3)[y], (rows, places)) > 0.8
    assert label_free.neighbours_agree(np.eye(3)[:1], label_free.nearest(x[:1])) == 0.0
