"""Each loss against its formula, number by number."""

import math

import pytest
import torch

from graft.losses import distillation


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return 3 * torch.randn(5, 4), 3 * torch.randn(5, 4)


def shares(row, temperature):
    raised = [math.exp(v / temperature) for v in row]
    return [v / sum(raised) for v in raised]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_labels_is_the_divergence_times_the_square_of_the_temperature(logits, temperature):
    student, teacher = logits
    slow = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = shares(s, temperature), shares(t, temperature)
        slow += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(student)
    assert distillation.soft_labels(student, teacher, temperature).item() == pytest.approx(slow, rel=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_bits_adds_up_both_outcomes_of_each_label(logits, temperature):
    student, teacher = logits
    slow = 0.0
    for s, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        q, p = 1 / (1 + math.exp(-s / temperature)), 1 / (1 + math.exp(-t / temperature))
        slow += temperature**2 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))) / student.numel()
    assert distillation.soft_bits(student, teacher, temperature).item() == pytest.approx(slow, rel=1e-4)


def test_numbers_and_hints_are_their_formulas(logits):
    student, teacher = logits
    pairs = list(zip(student.tolist(), teacher.tolist(), strict=True))
    squared = sum((a - b) ** 2 for s, t in pairs for a, b in zip(s, t, strict=True)) / student.numel()
    angles = [sum(a * b for a, b in zip(s, t, strict=True)) / (math.hypot(*s) * math.hypot(*t)) for s, t in pairs]
    assert distillation.numbers(student, teacher).item() == pytest.approx(squared, rel=1e-5)
    assert distillation.hint(student, teacher).item() == pytest.approx(squared, rel=1e-5)
    assert distillation.hint(student, teacher, "cosine").item() == pytest.approx(sum(1 - c for c in angles) / len(angles), rel=1e-5)
    assert distillation.hint(3 * student, teacher, "cosine").item() == pytest.approx(sum(1 - c for c in angles) / len(angles), rel=1e-5)
    with pytest.raises(ValueError, match="regression"):
        distillation.hint(student, teacher, "other")


@pytest.mark.parametrize("loss", [distillation.soft_labels, distillation.soft_bits, distillation.numbers, distillation.hint])
def test_saying_the_same_costs_nothing_and_a_step_goes_there(loss, logits):
    student, teacher = logits
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    student.requires_grad_(True)
    (gradient,) = torch.autograd.grad(before := loss(student, teacher), student)
    assert before > 0 and loss(student - 0.05 * gradient, teacher) < before


@pytest.mark.parametrize("loss", [distillation.soft_labels, distillation.soft_bits])
def test_the_gradient_keeps_its_size_when_the_temperature_changes_and_huge_logits_are_finite(loss, logits):
    student, teacher = (0.1 * one for one in logits)  # Small against T, where the paper's approximation holds (its eq. 4).
    student.requires_grad_(True)
    sizes = [torch.autograd.grad(loss(student, teacher, t), student)[0].norm().item() for t in (4.0, 16.0)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.15)
    assert torch.isfinite(loss(1e4 * logits[0], -1e4 * logits[0], 1.0))
