"""Against loops over pairs and anchors, and where a batch holds too little."""

import math

import pytest
import torch
from torch.nn import functional as F

from graft.losses import contrastive

LABELS = torch.tensor([0, 1, 0, 2, 1, 0, 3])


@pytest.fixture
def features():
    return torch.randn(len(LABELS), 5, generator=torch.Generator().manual_seed(0), requires_grad=True)


def cosine(a, b):
    return float(F.cosine_similarity(a, b, dim=0).detach())


def test_pairs_are_squared_errors_of_cosines_with_both_kinds_counting_half(features):
    kinds = {True: [], False: []}
    for i in range(len(LABELS)):
        for j in range(i + 1, len(LABELS)):
            same = bool(LABELS[i] == LABELS[j])
            kinds[same].append((cosine(features[i], features[j]) - same) ** 2)
    slow = (sum(kinds[True]) / len(kinds[True]) + sum(kinds[False]) / len(kinds[False])) / 2
    assert contrastive.pairs(features, LABELS).item() == pytest.approx(slow, rel=1e-5)


def test_errors_within_the_margin_cost_nothing_and_pull_at_nothing(features):
    kinds = {True: [], False: []}
    for i in range(len(LABELS)):
        for j in range(i + 1, len(LABELS)):
            same = bool(LABELS[i] == LABELS[j])
            kinds[same].append(max(0.0, abs(cosine(features[i], features[j]) - same) - 0.3) ** 2)
    slow = (sum(kinds[True]) / len(kinds[True]) + sum(kinds[False]) / len(kinds[False])) / 2
    assert contrastive.pairs(features, LABELS, 0.3).item() == pytest.approx(slow, rel=1e-5)
    near = torch.eye(4)[[0, 0, 1, 1]].add(0.05).requires_grad_()
    for margin, still in ((0.0, False), (0.2, True)):
        (pull,) = torch.autograd.grad(contrastive.pairs(near, torch.tensor([0, 0, 1, 1]), margin), near)
        assert bool(pull.any()) is not still


@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_supervised_is_the_papers_second_equation(features, temperature):
    total, anchors = 0.0, 0
    for i in range(len(LABELS)):
        others = [a for a in range(len(LABELS)) if a != i]
        positives = [p for p in others if LABELS[p] == LABELS[i]]
        if not positives:
            continue
        below = sum(math.exp(cosine(features[i], features[a]) / temperature) for a in others)
        logs = [math.log(math.exp(cosine(features[i], features[p]) / temperature) / below) for p in positives]
        total, anchors = total - sum(logs) / len(positives), anchors + 1
    assert anchors == 5
    assert contrastive.supervised(features, LABELS, temperature).item() == pytest.approx(total / anchors, rel=1e-4)


@pytest.mark.parametrize("loss", [contrastive.pairs, contrastive.supervised])
def test_features_that_are_in_order_cost_less_and_steps_go_there(loss, features):
    right = F.one_hot(LABELS, 5).float()
    assert loss(right, LABELS) < loss(features, LABELS)
    before = loss(features, LABELS)
    (gradient,) = torch.autograd.grad(before, features)
    assert torch.isfinite(gradient).all() and loss(features - 0.05 * gradient, LABELS) < before


@pytest.mark.parametrize(
    ("loss", "labels", "zero"),
    [
        (contrastive.pairs, [0, 0], False), (contrastive.pairs, [0, 1], False), (contrastive.pairs, [0], True),
        (contrastive.supervised, [0, 1], True), (contrastive.supervised, [0], True),
    ],
)  # fmt: skip
def test_a_batch_of_one_kind_or_without_pairs_has_a_finite_loss(loss, labels, zero):
    features = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    value = loss(features, torch.tensor(labels))
    (gradient,) = torch.autograd.grad(value, features)
    assert torch.isfinite(value) and torch.isfinite(gradient).all() and (value.item() == 0) == zero


def test_pairs_of_equal_samples_cost_nothing_and_their_gradient_is_finite():
    features = torch.ones(3, 4, requires_grad=True)
    value = contrastive.pairs(features, torch.zeros(3, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(value, features)
    assert value.item() == pytest.approx(0, abs=1e-10) and torch.isfinite(gradient).all()


@pytest.mark.parametrize("temperature", [0.2, 0.5])
def test_nt_xent_is_the_papers_first_equation(temperature):
    first, second = (torch.randn(6, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    views, total = [*first, *second], 0.0
    for i in range(12):
        below = sum(math.exp(cosine(views[i], views[a]) / temperature) for a in range(12) if a != i)
        total -= math.log(math.exp(cosine(views[i], views[(i + 6) % 12]) / temperature) / below)
    assert contrastive.nt_xent(first, second, temperature).item() == pytest.approx(total / 12, rel=1e-5)


def test_one_sample_has_nothing_to_be_told_from():
    first = torch.randn(1, 4, requires_grad=True)
    loss = contrastive.nt_xent(first, torch.randn(1, 4))
    (gradient,) = torch.autograd.grad(loss, first)
    assert loss.item() == pytest.approx(0, abs=1e-6) and torch.isfinite(gradient).all()


def test_regression_is_the_squared_distance_on_the_sphere():
    predicted, wanted = (torch.randn(7, 4, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    slow = [float((p / p.norm() - w / w.norm()).square().sum()) for p, w in zip(predicted, wanted, strict=True)]
    assert contrastive.regression(predicted, wanted).item() == pytest.approx(sum(slow) / 7, rel=1e-5)
    assert contrastive.regression(predicted, 3 * predicted).item() == pytest.approx(0, abs=1e-6)
    assert contrastive.regression(predicted, -predicted).item() == pytest.approx(4)
