"""Against sums over pairs of rows in plain numpy."""

import numpy as np
import pytest
import torch

from graft.losses import discrepancy


def drawn(n, d=3, at=0.0, seed=0):
    return at + torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def slow_mmd(x, y, factors, unbiased):
    """Double loops over rows, float64."""
    both = np.concatenate([x, y]).astype(float)
    squares = [((a - b) ** 2).sum() for i, a in enumerate(both) for j, b in enumerate(both) if i != j]
    g = float(np.mean(squares))

    def k(a, b):
        return float(np.mean([np.exp(-((a - b) ** 2).sum() / (f * g)) for f in factors]))

    def within(rows):
        pairs = [k(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if not (unbiased and i == j)]
        return float(np.mean(pairs))

    x, y = x.astype(float), y.astype(float)
    return within(x) + within(y) - 2 * float(np.mean([k(a, b) for a in x for b in y]))


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("factors", [(1.0,), discrepancy.FACTORS])
def test_mmd(unbiased, factors):
    x, y = drawn(6), drawn(9, at=0.7, seed=1)
    found = discrepancy.mmd(x, y, factors, unbiased).item()
    assert found == pytest.approx(slow_mmd(x.numpy(), y.numpy(), factors, unbiased), rel=1e-4, abs=1e-6)


def test_mmd_far_from_the_origin_is_the_same():
    x, y = drawn(6), drawn(9, at=0.7, seed=1)
    near = discrepancy.mmd(x, y).item()
    assert discrepancy.mmd(x + 300, y + 300).item() == pytest.approx(near, rel=1e-3)


def test_the_biased_estimate_is_never_negative_and_the_unbiased_one_is_zero_in_the_mean():
    same = [(drawn(8, seed=2 * i), drawn(8, seed=2 * i + 1)) for i in range(200)]
    biased = [discrepancy.mmd(*pair).item() for pair in same]
    unbiased = [discrepancy.mmd(*pair, unbiased=True).item() for pair in same]
    assert min(biased) >= 0 and min(unbiased) < 0
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / 200**0.5 < np.mean(biased)
    assert discrepancy.mmd(drawn(8), drawn(8)).item() == pytest.approx(0, abs=1e-6)


def test_coral():
    x, y = drawn(5, 4), 2 * drawn(7, 4, seed=1)
    apart = np.cov(x.numpy().astype(float), rowvar=False) - np.cov(y.numpy().astype(float), rowvar=False)
    assert discrepancy.coral(x, y).item() == pytest.approx((apart**2).sum() / (4 * 16), rel=1e-4)
    assert discrepancy.coral(x, x + 3).item() == pytest.approx(0, abs=1e-9)
    assert discrepancy.coral(x[:1], y).item() == 0


@pytest.mark.parametrize("loss", [discrepancy.mmd, discrepancy.coral])
def test_steps_draw_the_samples_together(loss):
    x, y = drawn(12), (2 * drawn(12, seed=1) + 1).requires_grad_()
    first = loss(x, y).item()
    for _ in range(40):
        (gradient,) = torch.autograd.grad(loss(x, y), y)
        assert torch.isfinite(gradient).all()
        y = (y - 3 * gradient).detach().requires_grad_()
    assert loss(x, y).item() < 0.7 * first


def test_rows_that_are_all_one_have_a_finite_gradient():
    x = torch.ones(4, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(discrepancy.mmd(x, torch.ones(4, 3)), x)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [discrepancy.mmd, discrepancy.coral])
def test_half_precision_around_it_changes_nothing(loss):
    x, y = drawn(6, 32), drawn(6, 32, at=1, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(x, y)
    assert torch.equal(inside, loss(x, y))
