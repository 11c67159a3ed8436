"""Losses by which a student comes to say, or to see, what a teacher does."""

from torch import Tensor
from torch.nn import functional as F


def soft_labels(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2 KL(p || q), the mean over rows, with p = softmax(teacher / T) and q = softmax(student / T), a scalar >= 0.

    Logits [n, k] both, classes in one order. Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015, section 2:
    a temperature above 1 shows which wrong answers the teacher finds likely, and T^2 keeps the gradient's size as T changes.
    """
    p, q = F.log_softmax(teacher.float() / temperature, 1), F.log_softmax(student.float() / temperature, 1)
    return temperature**2 * (p.exp() * (p - q)).sum(1).mean()


def soft_bits(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """T^2 KL between Bernoulli distributions of logits [n, k] / T, the mean over rows and labels, a scalar >= 0: `soft_labels` where a
    row may have any number of labels, each a distribution of two outcomes."""
    t, s = teacher.float() / temperature, student.float() / temperature
    p = t.sigmoid()
    divergence = p * (F.logsigmoid(t) - F.logsigmoid(s)) + (1 - p) * (F.logsigmoid(-t) - F.logsigmoid(-s))
    return temperature**2 * divergence.mean()


def numbers(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of outputs [n, k], a scalar; numbers have no temperature."""
    return F.mse_loss(student.float(), teacher.float())


def hint(student: Tensor, teacher: Tensor, kind: str = "regression") -> Tensor:
    """How far features [n, c] are from the teacher's, the mean over rows, a scalar >= 0.

    "regression": the squared difference, a mean over features too: Romero et al., "FitNets: Hints for thin deep nets", 2015, eq. 3
    (there half a sum). "cosine": 1 less the cosine of the angle between them, for which lengths do not count. Where the widths
    differ, a learnt map goes before it. Raises ValueError for another kind.
    """
    student, teacher = student.float(), teacher.float()
    if kind == "regression":
        return F.mse_loss(student, teacher)
    if kind == "cosine":
        return (1 - F.cosine_similarity(student, teacher, dim=1)).mean()
    raise ValueError(f"a hint is 'regression' or 'cosine', not '{kind}'")
