"""Against loops over rows and classes in plain Python."""

import math

import pytest
import torch

from graft.losses import confusion
from graft.metrics import label_free


@pytest.fixture
def logits():
    return 2 * torch.randn(9, 4, generator=torch.Generator().manual_seed(0))


def softmax(row, temperature=1.0):
    powers = [math.exp(float(z) / temperature) for z in row]
    return [power / sum(powers) for power in powers]


def h(p):
    return -sum(value * math.log(value) for value in p if value > 0)


def test_entropy_and_information(logits):
    rows = [softmax(row) for row in logits]
    mean = [sum(row[k] for row in rows) / len(rows) for k in range(4)]
    each = [h(row) for row in rows]
    assert confusion.entropies(logits).tolist() == pytest.approx(each, rel=1e-5)
    assert confusion.entropy(logits).item() == pytest.approx(sum(each) / 9, rel=1e-5)
    assert confusion.information(logits).item() == pytest.approx(sum(each) / 9 - h(mean), rel=1e-5)
    assert confusion.information(logits).item() == pytest.approx(-label_free.information(logits), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_class_confusion_by_the_papers_steps(logits, temperature):
    rows = [softmax(row, temperature) for row in logits]
    sure = [1 + math.exp(-h(row)) for row in rows]
    weights = [len(rows) * one / sum(sure) for one in sure]
    pairs = [[sum(w * row[j] * row[k] for w, row in zip(weights, rows)) for k in range(4)] for j in range(4)]
    shares = [[value / sum(line) for value in line] for line in pairs]
    off = sum(shares[j][k] for j in range(4) for k in range(4) if j != k) / 4
    found = confusion.minimum_class_confusion(logits, temperature).item()
    assert found == pytest.approx(off, rel=1e-5) and found == pytest.approx(label_free.class_confusion(logits, temperature), rel=1e-4)


def test_confusion_of_certain_rows_is_nothing_and_of_even_ones_the_most():
    certain, even = 100 * torch.eye(3).repeat(2, 1), torch.zeros(6, 3)
    assert confusion.minimum_class_confusion(certain).item() == pytest.approx(0, abs=1e-5)
    assert confusion.minimum_class_confusion(even).item() == pytest.approx(2 / 3, rel=1e-5)


def test_consistency_counts_sure_rows_alone_and_teaches_only_the_strong_view():
    weak = torch.tensor([[4.0, 0.0], [0.0, 5.0], [0.5, 0.0]], requires_grad=True)
    strong = torch.tensor([[0.2, 0.1], [1.0, -1.0], [3.0, 0.0]], requires_grad=True)
    losses = [-math.log(softmax(strong[row].tolist())[row]) for row in (0, 1)]
    value = confusion.consistency(weak, strong, 0.95)
    assert value.item() == pytest.approx(sum(losses) / 3, rel=1e-5)
    for_weak, for_strong = torch.autograd.grad(value, (weak, strong), allow_unused=True)
    assert for_weak is None and for_strong[2].abs().sum() == 0 and (for_strong[:2].abs().sum(1) > 0).all()
    assert confusion.consistency(weak, strong, 1.0).item() == 0


@pytest.mark.parametrize("loss", [confusion.entropy, confusion.information, confusion.minimum_class_confusion])
def test_steps_go_down_and_extreme_logits_have_finite_gradients(loss, logits):
    x = logits.clone().requires_grad_()
    before = loss(x)
    (gradient,) = torch.autograd.grad(before, x)
    assert loss(x - 0.5 * gradient) < before
    far = (1e4 * logits).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(far), far)
    assert torch.isfinite(gradient).all()


def test_half_precision_around_it_changes_nothing(logits):
    with torch.autocast("cpu", torch.bfloat16):
        inside = confusion.minimum_class_confusion(logits)
    assert torch.equal(inside, confusion.minimum_class_confusion(logits))
