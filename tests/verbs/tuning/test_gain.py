"""Noise and verdicts: the standard error against a slow formula, the selection's bar against drawn scores, and what is advised."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graft.core import Schema
from graft.evidence import stats
from graft.tasks import classification, regression
from graft.verbs.tuning import gain

TASK = classification.task(Schema("image", "class", ("a", "b")), classification.Options())
NUMBER = regression.task(Schema("image", "number"), regression.Options())


def outcome(right: np.ndarray) -> SimpleNamespace:
    """Rows of class 0, right where `right` is 1."""
    logits = torch.tensor([[1.0, 0.0] if one else [0.0, 1.0] for one in right])
    return SimpleNamespace(outputs=logits, targets=torch.zeros(len(right), dtype=torch.int64))


def test_the_standard_error_is_that_of_a_mean_over_groups():
    rng = np.random.default_rng(0)
    gap, groups = rng.integers(-1, 2, 60).astype(float), rng.integers(0, 9, 60)
    total = 0.0
    for group in range(9):
        inside = 0.0
        for row in range(60):
            inside += gap[row] * (groups[row] == group)
        total += inside**2
    assert gain.standard_error(gap, groups) == pytest.approx(np.sqrt(total) / 60)
    # Without groups, that of the mean of n draws around 0; and signs that chance flips spread as it says.
    assert gain.standard_error(gap) == pytest.approx(np.sqrt((gap**2).mean() / 60))
    flipped = (rng.choice((-1.0, 1.0), (20_000, 60)) * gap).mean(1)
    assert flipped.std() == pytest.approx(gain.standard_error(gap), rel=0.03)


@pytest.mark.parametrize("tried", [2, 5, 20])
def test_the_factor_is_what_the_best_of_equals_stands_above_them(tried):
    base = outcome(np.ones(4))
    drawn = np.random.default_rng(0).normal(size=(200_000, tried)).max(1).mean()
    assert gain.judge(TASK, base, base, tried, None)["factor"] == pytest.approx(max(1.0, drawn), abs=0.03)


@pytest.mark.parametrize(
    ("won", "lost", "tried", "better"), [(1, 0, 1, False), (6, 0, 1, True), (3, 0, 20, False), (9, 1, 20, True), (2, 4, 1, False)]
)
def test_a_setting_must_beat_the_defaults_by_more_than_noise(won, lost, tried, better):
    base = np.r_[np.zeros(won), np.ones(lost), np.ones(20)]
    found = gain.judge(TASK, outcome(np.r_[np.ones(won), np.zeros(lost), np.ones(20)]), outcome(base), tried, None)
    n = won + lost + 20
    assert found["value"] == pytest.approx((won - lost) / n) and found["standard_error"] == pytest.approx(np.sqrt(won + lost) / n)
    assert found["better"] is better is (found["value"] > found["factor"] * found["standard_error"])


def test_equals_and_other_rows_leave_the_defaults():
    base = outcome(np.ones(9))
    assert not gain.judge(TASK, outcome(np.ones(9)), base, 3, None)["better"]
    assert not gain.judge(TASK, outcome(np.ones(12)), base, 3, None)["better"]


def test_less_error_is_better_where_the_metric_says_so():
    rng = np.random.default_rng(0)
    targets = torch.tensor(rng.normal(size=(80, 1)), dtype=torch.float32)
    noise = torch.randn(80, 1, generator=torch.Generator().manual_seed(1))
    near, far = (SimpleNamespace(outputs=targets + scale * noise, targets=targets) for scale in (0.1, 1.0))
    found, back = gain.judge(NUMBER, near, far, 5, None), gain.judge(NUMBER, far, near, 5, None)
    errors = [float((one.outputs - targets).abs().mean()) for one in (near, far)]
    assert found["value"] == pytest.approx(errors[1] - errors[0], rel=1e-4) and found["better"] and not back["better"]
    assert back["value"] == pytest.approx(-found["value"])


def test_the_difference_on_locked_rows_is_paired():
    import pyarrow as pa

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, 50), rng.integers(0, 2, 50)
    table = pa.table({"path": [str(i) for i in range(50)]})
    one, other = (gain.Locked(table, outcome(right).outputs, outcome(right).targets) for right in (a, b))
    wanted = stats.difference(a.astype(float), b.astype(float))
    assert gain.gained(TASK, one, other) == wanted.row("tuned", "defaults")


def searched(primary="accuracy", higher=True) -> SimpleNamespace:
    return SimpleNamespace(task=SimpleNamespace(primary=primary, higher=higher), folder="out")


@pytest.mark.parametrize(
    ("interval", "value", "higher", "kind"),
    [
        ((0.01, 0.2), 0.1, True, "helped"), ((-0.01, 0.2), 0.1, True, "none"), ((-0.2, -0.01), -0.1, True, "negative"),
        ((-0.2, -0.01), -0.1, False, "helped"), ((0.01, 0.2), 0.1, False, "negative"), ((None, 0.2), -0.1, False, "none"),
    ],
)  # fmt: skip
def test_verdicts(interval, value, higher, kind):
    selection = {"tried": 5, "value": 0.1, "needed": 0.05}
    found = gain.verdict(searched("accuracy" if higher else "mae", higher), selection, {"value": value, "interval": list(interval)})
    assert found["kind"] == kind and ("tuned.toml" in found["advice"]) is (kind == "helped")
    assert ("Keep the defaults" in found["advice"]) is (kind != "helped")


def test_nothing_gained_and_nothing_tried_are_not_the_same():
    none = gain.verdict(searched(), {"tried": 5, "value": 0.01, "needed": 0.02}, None)
    unknown = gain.verdict(searched(), {"tried": 0, "value": 0.0, "needed": None}, None)
    assert none["kind"] == "none" and "0.01, with 0.02 needed" in none["text"] and "Keep the defaults" in none["advice"]
    assert unknown["kind"] == "unknown" and "--budget" in unknown["advice"]


def test_tuned_toml_keeps_what_the_user_gave(make_search):
    search = make_search("lp_ft", "augment.flip=0", "method.epochs=2")
    row = {"setting": {"method.lr": 3e-4, "augment.name": "medium", "method.freeze": "stage2"}, "limited": False}
    spec = gain.tuned(search, row)
    assert (spec.method.values, spec.augment.name, spec.augment.values) == (
        {"epochs": 2, "lr": 3e-4, "freeze": "stage2"}, "medium", {"flip": 0.0},
    )  # fmt: skip
    plain = gain.tuned(search, None)
    assert plain.method.values == {"epochs": 2} and plain.augment.name == "light" and plain.folds == 0
    search.limit = 7.5
    assert gain.tuned(search, row | {"limited": True}).method.values["seconds"] == 7.5
