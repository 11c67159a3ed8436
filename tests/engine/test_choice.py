"""Which way is taken: by rule, and what a trial must show."""

import numpy as np
import pytest
import torch
from tests import nets

from graft.engine import choice, ways
from graft.engine.device import Machine

CPU = Machine(torch.device("cpu"))


def rule(monkeypatch, precision="auto", native=True, rows=10, work=(1e9, 1e9)):
    monkeypatch.setattr(ways, "short_is_native", lambda: native)
    monkeypatch.setattr(choice, "WORTH_COMPILING", work[0])
    monkeypatch.setattr(choice, "WORTH_SHORTENING", work[1])
    return choice.by_rule(nets.net(nets.task()), 4, rows, CPU, precision, choice.Forms(), "d", ways.example(nets.net(nets.task())))


def test_little_work_is_done_by_torch_in_float32(monkeypatch):
    found = rule(monkeypatch)
    assert found.exact.name == "torch float32" and found.short is None and "too little work" in found.reason


def test_exact_and_fast_are_what_the_user_said(monkeypatch):
    assert rule(monkeypatch, "exact", work=(1e9, 0)).short is None
    fast = rule(monkeypatch, "fast")
    assert fast.short.dtype == torch.bfloat16 and not fast.tried and "asked for" in fast.reason


def test_much_work_is_tried_in_bfloat16_where_it_is_native(monkeypatch):
    assert rule(monkeypatch, work=(1e9, 0)).tried
    without = rule(monkeypatch, native=False, work=(1e9, 0))
    assert without.short is None and "no native bfloat16" in without.reason


def test_without_a_compiler_torch_runs_it_and_it_is_said(monkeypatch):
    monkeypatch.setattr(ways, "why_not_compiled", lambda: "OpenVINO is not installed")
    found = rule(monkeypatch, work=(0, 1e9))
    assert found.exact.name == "torch float32" and "OpenVINO is not installed, so torch runs it" in found.reason


def test_a_body_that_cannot_be_converted_falls_back(monkeypatch):
    def fail(*_):
        raise RuntimeError("OpenVINO cannot convert this body (X)")

    monkeypatch.setattr(ways, "why_not_compiled", lambda: "")
    monkeypatch.setattr(ways, "compiled", fail)
    found = rule(monkeypatch, work=(0, 1e9))
    assert found.exact.name == "torch float32" and "cannot convert" in found.reason


def features(noise, seed=0, n=200):
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 2
    exact = rng.normal(size=(n, 20)) + 0.3 * targets[:, None]
    return exact, exact + noise * rng.normal(size=exact.shape), targets


@pytest.mark.parametrize(("noise", "taken"), [(0.0, True), (1e-4, True), (0.5, False)])
def test_bfloat16_must_leave_the_decisions_as_they_are(noise, taken):
    exact, short, targets = features(noise)
    state = lambda x: {"x": torch.from_numpy(x).float()}  # noqa: E731
    good, why = choice.verdict(state(exact), state(short), torch.from_numpy(targets), 3.0)
    assert good is taken and ("3.0 times as fast" in why) is taken


def test_a_change_is_small_beside_what_other_rows_to_learn_from_would_change():
    # Hardly learnable: other rows change half of the decisions, so that a twentieth of that is let through, and no more.
    rng = np.random.default_rng(0)
    exact, targets = rng.normal(size=(512, 300)), np.arange(512) % 2
    state = lambda x: {"x": torch.from_numpy(x).float()}  # noqa: E731
    others = choice.chance(exact, targets)
    assert 0.4 < others < 0.6
    for noise, taken in ((0.012, True), (0.3, False)):
        short = exact + noise * rng.normal(size=exact.shape)
        changed = 1 - choice.agreement(exact, short, targets)
        assert changed > 1 - choice.AGREE and (changed < choice.SMALL * (1 - others)) is taken
        good, why = choice.verdict(state(exact), state(short), torch.from_numpy(targets), 3.0)
        assert good is taken and (f"{others:.1%} with other rows to learn from" in why) is taken


def test_chance_by_an_independent_ridge():
    from sklearn.linear_model import Ridge

    exact, _, targets = features(0.0)
    parts, same = np.random.default_rng(1).permutation(len(exact)) % 3, []
    for held in range(3):
        found = []
        for learn in (parts == other for other in range(3) if other != held):
            mean, std = exact[learn].mean(0), exact[learn].std(0)
            ridge = Ridge(alpha=0.1 * exact.shape[1]).fit((exact[learn] - mean) / std, np.eye(2)[targets[learn]])
            found.append(ridge.predict((exact[parts == held] - mean) / std).argmax(1))
        same.append((found[0] == found[1]).mean())
    assert choice.chance(exact, targets) == pytest.approx(np.mean(same))
    assert choice.chance(exact[:5], targets[:5]) == 1.0  # Too few to tell: nothing more is let through.


def test_it_must_be_faster_too():
    exact, short, targets = features(0.0)
    state = lambda x: {"x": torch.from_numpy(x).float()}  # noqa: E731
    good, why = choice.verdict(state(exact), state(short), torch.from_numpy(targets), 1.05)
    assert not good and "not faster" in why


def test_agreement_by_an_independent_ridge():
    from sklearn.linear_model import Ridge

    exact, short, targets = features(0.3)
    halves, same = np.random.default_rng(0).permutation(len(exact)) % 2, []
    for held in (0, 1):
        learn, rest = halves != held, halves == held

        def head(x, learn=learn):
            mean, std = x[learn].mean(0), x[learn].std(0)
            found = Ridge(alpha=0.1 * x.shape[1]).fit((x[learn] - mean) / std, np.eye(2)[targets[learn]])
            return lambda other: found.predict((other - mean) / std).argmax(1)

        wanted = head(exact)(exact[rest])
        same.append([(wanted == head(short)(x[rest])).mean() for x in (exact, short)])
    assert choice.agreement(exact, short, targets) == pytest.approx(np.min(np.mean(same, 0)))


def test_agreement_of_labels_and_numbers():
    exact, short, targets = features(0.0)
    labels, numbers = np.stack([targets, 1 - targets], 1).astype(float), exact[:, :1] * 2
    assert choice.agreement(exact, short, labels) == choice.agreement(exact, short, numbers) == 1.0
    far = exact + np.random.default_rng(1).normal(size=exact.shape)
    assert choice.agreement(exact, far, labels) < 1 and choice.agreement(exact, far, numbers) < 1


@pytest.mark.parametrize(("noise", "taken"), [(0.001, True), (3.0, False)])
def test_rows_without_labels_are_told_apart_by_where_they_lie(noise, taken):
    exact, short, _ = features(noise)
    state = lambda x: {"x": torch.from_numpy(x).float()}  # noqa: E731
    good, why = choice.verdict(state(exact), state(short), torch.zeros(len(exact)), None)
    assert good == taken and "held-out decisions" in why


def test_the_trial_is_spread_over_the_table():
    rows = choice.spread(5000)
    assert len(rows) == choice.TRIED and rows[0] == 0 and rows[-1] == 4999
    assert choice.spread(3).tolist() == [0, 1, 2]
