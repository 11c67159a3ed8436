"""Against the formulas in plain Python, and what a reversed gradient does."""

import math

import numpy as np
import pytest
import torch

from graft.losses import adversarial


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("strength", [1.0, 0.3, 0.0])
def test_reversal_keeps_the_value_and_turns_the_gradient(strength):
    x = drawn(4, 3).requires_grad_()
    y = adversarial.reverse(x, strength)
    assert torch.equal(y, x)
    (gradient,) = torch.autograd.grad((y * drawn(4, 3, seed=1)).sum(), x)
    assert torch.allclose(gradient, -strength * drawn(4, 3, seed=1))


def test_the_strength_rises_from_nothing_to_nearly_one():
    assert adversarial.ramp(0.0) == 0.0
    for done in (0.1, 0.25, 0.5, 1.0):
        assert adversarial.ramp(done) == pytest.approx((1 - math.exp(-10 * done)) / (1 + math.exp(-10 * done)), rel=1e-9)
    assert adversarial.ramp(0.25) < adversarial.ramp(0.5) < adversarial.ramp(1.0) < 1


@pytest.mark.parametrize("weighted", [False, True])
def test_the_domain_loss_is_the_mean_of_both_sides_logistic_losses(weighted):
    source, target = drawn(5, 1) * 3, drawn(7, 1, seed=1) * 3
    weights = (drawn(5, seed=2).exp(), drawn(7, seed=3).exp()) if weighted else (torch.ones(5), torch.ones(7))
    sides = []
    for logits, own, sign in ((source, weights[0], 1), (target, weights[1], -1)):
        own = [float(w) for w in own]
        losses = [-math.log(1 / (1 + math.exp(-sign * float(z)))) for z in logits]
        sides.append(sum(w * each for w, each in zip(own, losses)) / sum(own))
    given = adversarial.domain_loss(source, target, *(weights if weighted else ()))
    assert given.item() == pytest.approx(sum(sides) / 2, rel=1e-5)
    assert adversarial.domain_loss(torch.zeros(3, 1), torch.zeros(9, 1)).item() == pytest.approx(math.log(2))


def test_certain_logits_of_the_wrong_domain_have_a_finite_loss():
    assert adversarial.domain_loss(torch.full((2, 1), -200.0), torch.full((2, 1), 200.0)).item() == pytest.approx(200.0)


def test_the_outer_product_holds_every_product():
    features, p = drawn(3, 4), drawn(3, 2, seed=1).softmax(1)
    found = adversarial.multilinear(features, p).reshape(3, 4, 2)
    for row in range(3):
        assert np.allclose(found[row], np.outer(features[row], p[row]))


def test_the_projection_keeps_inner_products_in_the_mean():
    features, p = drawn(2, 6), drawn(2, 3, seed=1).softmax(1)
    of_features, of_classes = drawn(6, 5, seed=2), drawn(3, 5, seed=3)
    found = adversarial.randomised(features, p, of_features, of_classes)
    for row in range(2):
        for j in range(5):
            left = sum(float(features[row, i] * of_features[i, j]) for i in range(6))
            right = sum(float(p[row, i] * of_classes[i, j]) for i in range(3))
            assert found[row, j].item() == pytest.approx(left * right / math.sqrt(5), rel=1e-4, abs=1e-6)
    wide = adversarial.randomised(features, p, drawn(6, 60_000, seed=4), drawn(3, 60_000, seed=5))
    exact = adversarial.multilinear(features, p)
    size = float(exact[0].norm() * exact[1].norm())
    assert float(wide[0] @ wide[1]) == pytest.approx(float(exact[0] @ exact[1]), abs=0.05 * size)


def test_certain_rows_count_up_to_twice_and_carry_no_gradient():
    logits = torch.tensor([[0.0, 0.0], [50.0, 0.0], [1.0, 0.0]], requires_grad=True)
    weights = adversarial.certainty(logits)
    p = math.exp(1) / (1 + math.exp(1))
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    assert weights.tolist() == pytest.approx([1 + math.exp(-math.log(2)), 2.0, 1 + math.exp(-entropy)], rel=1e-5)
    assert not weights.requires_grad


def test_against_each_other_features_hide_their_domain():
    """One step of the discriminator's own loss lowers it; the same step through the reversal raises it."""
    torch.manual_seed(0)
    tell, features = adversarial.discriminator(3, 16), drawn(20, 3)
    offset = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)

    def loss(moved):
        return adversarial.domain_loss(tell(adversarial.reverse(features)), tell(adversarial.reverse(features + moved)))

    optimizer = torch.optim.Adam(tell.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        (gradient := loss(offset.detach())).backward()
        optimizer.step()
    assert gradient.item() < 0.6
    (reversed_gradient,) = torch.autograd.grad(loss(offset), offset)
    with torch.no_grad():
        assert loss(offset - 0.2 * reversed_gradient) > loss(offset)


def test_half_precision_around_it_changes_nothing_of_the_projection():
    features, p, rf, rp = drawn(4, 32), drawn(4, 3, seed=1).softmax(1), drawn(32, 8, seed=2), drawn(3, 8, seed=3)
    with torch.autocast("cpu", torch.bfloat16):
        inside = adversarial.randomised(features, p, rf, rp)
    assert inside.dtype == torch.float32 and torch.allclose(inside, adversarial.randomised(features, p, rf, rp))
