"""What a first head says of the target, made better by how the target lies."""

from dataclasses import replace

import numpy as np
import pytest
from tests import nets
from tests.methods import shifts, words
from tests.methods.phases import collect

from graft import catalog, testing
from graft.errors import OptionError
from graft.methods import pseudo_label

RNG = np.random.default_rng(0)


def moons(seed=0, rows=200):
    """Two long clusters; in the target they are turned, so that the source's boundary cuts both. (source, labels, target, labels)"""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2

    def draw(angle):
        points = np.stack([rng.normal(0, 1.0, rows), np.where(y, 1.6, -1.6) + rng.normal(0, 0.25, rows)], 1)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.concatenate([points @ turn, rng.normal(0, 0.2, (rows, 2))], 1).astype(np.float32)

    return draw(0.0), y, draw(0.9), y


@pytest.mark.parametrize("rule", ["mixture", "propagation", "both", "shares"])
def test_each_rule_learns_what_the_source_alone_gets_wrong(rule):
    source, y, target, other = moons()
    alone = shifts.drive("uda", source, y, target, candidates=())["source_only"]
    found = shifts.drive("pseudo_label", source, y, target, rule=rule, start="source")["pseudo_label"]
    before, after = (shifts.accuracy(one.head, target, other) for one in (alone, found))
    assert before < 0.93 and after > before + (0.01 if rule == "shares" else 0.04)
    assert found.chosen["rule"] == rule and found.chosen["changed"] > 0 and found.chosen["trusted"][-1] <= len(target)
    assert found.outputs is None and found.chosen["C"] == alone.chosen["C"], "the strength is searched for once"


def test_more_rows_are_trusted_from_round_to_round_until_the_labels_stay():
    source, y, target, _ = moons()
    trusted = shifts.drive("pseudo_label", source, y, target, rule="shares", rounds=8)["pseudo_label"].chosen["trusted"]
    assert trusted == sorted(trusted) and trusted[-1] == len(target) and 2 <= len(trusted) <= 8
    few = shifts.drive("pseudo_label", source, y, target, rule="shares", rounds=1)["pseudo_label"].chosen["trusted"]
    assert few == [len(target)]


def test_the_surest_of_each_class_are_trusted():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3], [0.2, 0.8]])
    assert pseudo_label.trust(p, 0.5).tolist() == [0, 2, 4]
    assert pseudo_label.trust(p, 0.01).tolist() == [0, 4] and pseudo_label.trust(p, 1.0).tolist() == [0, 1, 2, 3, 4]


def slow_propagation(x, p, rounds=2000):
    """F <- a S F + p until it stays, over a graph made pair by pair."""
    n = len(x)
    close = [[float(x[i] @ x[j]) for j in range(n)] for i in range(n)]
    near = [sorted((j for j in range(n) if j != i), key=lambda j: -close[i][j])[: min(10, n - 1)] for i in range(n)]
    w = np.zeros((n, n))
    for i in range(n):
        for j in near[i]:
            w[i, j] = w[j, i] = max(close[i][j], 0.0)
    degree = w.sum(1)
    s = np.array([[w[i, j] / np.sqrt(degree[i] * degree[j]) for j in range(n)] for i in range(n)])
    f = p.copy()
    for _ in range(rounds):
        f = 0.9 * s @ f + p
    return f / f.sum(1, keepdims=True)


def test_propagation_is_its_fixed_point():
    x = RNG.normal(0, 1, (30, 3)) + 1
    x, p = x / np.linalg.norm(x, axis=1, keepdims=True), RNG.dirichlet([1, 1, 1], 30)
    assert np.allclose(pseudo_label.propagate(x, p), slow_propagation(x, p), atol=1e-8)


def test_large_graphs_are_parted(monkeypatch):
    x = RNG.normal(0, 1, (30, 3)) + 1
    x, p = x / np.linalg.norm(x, axis=1, keepdims=True), RNG.dirichlet([1, 1], 30)
    monkeypatch.setattr(pseudo_label, "LARGEST", 15)
    assert np.allclose(pseudo_label.propagate(x, p)[1::2], slow_propagation(x[1::2], p[1::2]), atol=1e-8)


def slow_mixture(a, hot, b, p, steps):
    """EM with sums over rows; the features are few, so that the principal axes are all of them."""
    k, d = p.shape[1], a.shape[1]
    centres = [sum(h[c] * x for h, x in zip(hot, a, strict=True)) / sum(h[c] for h in hot) for c in range(k)]
    for _ in range(steps):
        means = [sum(q[c] * x for q, x in zip(p, b, strict=True)) / p[:, c].sum() for c in range(k)]
        cov = np.zeros((d, d))
        for rows, weights, mid in ((a, hot, centres), (b, p, means)):
            for x, w in zip(rows, weights, strict=True):
                cov += sum(w[c] * np.outer(x - mid[c], x - mid[c]) for c in range(k))
        cov /= len(a) + len(b)
        cov = 0.5 * cov + 0.5 * np.trace(cov) / d * np.eye(d)
        inverse = np.linalg.inv(cov)
        density = np.array([[np.exp(-0.5 * (x - m) @ inverse @ (x - m)) for m in means] for x in b]) * p.mean(0)
        p = density / density.sum(1, keepdims=True)
    return p


@pytest.mark.parametrize("rows", [40, 3])
def test_the_mixture_is_em(monkeypatch, rows):
    monkeypatch.setattr(pseudo_label, "STEPS", 4)
    monkeypatch.setattr(pseudo_label, "SETTLED", 0.0)
    a, b = RNG.normal(0, 1, (2 * rows, 5)), RNG.normal(0.3, 1, (rows, 5))
    hot, p = np.eye(2)[np.arange(2 * rows) % 2], RNG.dirichlet([1, 1], rows)
    assert np.allclose(pseudo_label.mixture(a, hot, b, p), slow_mixture(a, hot, b, p, 4), atol=1e-6)


def test_values_that_mean_nothing_are_refused():
    for values in ({"rule": "guess"}, {"start": "target"}, {"rounds": 0}, {"regularisation": 0.0}):
        with pytest.raises(OptionError, match=next(iter(values))):
            pseudo_label.Options(**values)


def test_the_phase_watches_the_target(tmp_path):
    made, rows = nets.task(), nets.data(tmp_path)
    (phase,) = collect("pseudo_label", nets.net(made), made, replace(rows, target=rows.test.drop_columns("label")))
    assert phase.watch is phase.streams["target"].table and "label" not in phase.watch.column_names


@pytest.mark.parametrize(("kind", "rule"), [("images", "mixture"), ("images", "shares"), ("texts", "both")])
def test_it_keeps_the_contract(tmp_path, kind, rule):
    made, rows, make = (
        (nets.task(), nets.data(tmp_path / "photos"), nets.net) if kind == "images" else (words.task(), words.data(), words.net)
    )
    rows = replace(rows, target=rows.test.drop_columns("label"))
    options = pseudo_label.Options(rule=rule, rounds=2)
    testing.check_method(catalog.resolve("method", "pseudo_label"), options, lambda: make(made), made, rows, tmp_path)
