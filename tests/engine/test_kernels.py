"""The faster ways of learning steps: the same outputs to the bit, gradients of the textbook's formula."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from graft.engine.device import Machine
from graft.engine.kernels import Quick

SHORT = Machine(torch.device("cpu"), torch.bfloat16)


def slow(x, weight, bias, stride, padding):
    """A depthwise convolution [n, c, h, w] * [c, 1, k, k] as a sum over the kernel's places of shifted images."""
    padded, k = functional.pad(x, [padding] * 4), weight.shape[-1]
    rows, columns = ((padded.shape[d] - k) // stride + 1 for d in (2, 3))
    total = torch.zeros(*x.shape[:2], rows, columns, dtype=x.dtype)
    for i in range(k):
        for j in range(k):
            part = padded[:, :, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
            total = total + part * weight[None, :, 0, i, j, None, None]
    return total if bias is None else total + bias[None, :, None, None]


def leaves(k, bias, dtype=torch.float32):
    rng = torch.Generator().manual_seed(0)
    made = [torch.randn(2, 6, 9, 8, generator=rng), torch.randn(6, 1, k, k, generator=rng), torch.randn(6, generator=rng) if bias else None]
    # Numbers that bfloat16 holds, so that both sides start from the same.
    return [None if value is None else value.bfloat16().to(dtype).requires_grad_() for value in made]


@pytest.mark.parametrize(("k", "bias"), [(3, False), (3, True), (5, False)])
def test_a_strided_depthwise_convolution_has_the_gradients_of_the_sum_over_places(k, bias):
    found, wanted = leaves(k, bias), leaves(k, bias, torch.float64)
    with SHORT.autocast(), Quick():
        out = functional.conv2d(*found, 2, k // 2, 1, 6)
    assert out.dtype == torch.bfloat16 and type(out.grad_fn).__name__ == "_StridedBackward"
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    out.backward(grad)
    reference = slow(*wanted, 2, k // 2)
    reference.backward(grad.double())
    torch.testing.assert_close(out.double(), reference, rtol=0.01, atol=0.02)
    torch.testing.assert_close(found[0].grad.double(), wanted[0].grad, rtol=0.01, atol=1e-3)  # handed on in bfloat16
    for a, b in zip(found[1:], wanted[1:]):
        assert a is None or (a.grad.dtype == torch.float32 and torch.allclose(a.grad.double(), b.grad, rtol=1e-4, atol=1e-4))


def test_the_forward_pass_is_torchs_own_to_the_bit():
    x, weight, bias = leaves(3, True)
    with SHORT.autocast():
        plain = functional.conv2d(x, weight, bias, 2, 1, 1, 6)
        with Quick():
            assert torch.equal(functional.conv2d(x, weight, bias, 2, 1, 1, 6), plain)


def test_frozen_weights_get_no_gradient():
    x, weight, _ = leaves(3, False)
    weight.requires_grad_(False)
    with SHORT.autocast(), Quick():
        functional.conv2d(x, weight, None, (2, 2), (1, 1), (1, 1), 6).float().sum().backward()
    assert weight.grad is None and x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("stride", "groups", "short"),
    [(1, 6, True), (2, 1, True), (2, 3, True), (2, 6, False)],
    ids=["no stride", "dense", "grouped", "float32"],
)
def test_other_convolutions_are_torchs_own(stride, groups, short):
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    convolution = nn.Conv2d(6, 6, 3, stride, 1, groups=groups)
    with (SHORT if short else Machine(torch.device("cpu"))).autocast(), Quick():
        assert type(convolution(x).grad_fn).__name__ == "ConvolutionBackward0"


def block(activation):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), activation(inplace=True), nn.Conv2d(6, 6, 3, 2, 1, groups=6))


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.Hardswish, nn.SiLU])
def test_in_float32_all_bits_are_as_before(activation):
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    plain, quick = block(activation), block(activation)
    plain(images).square().mean().backward()
    with Quick():
        out = quick(images)
    out.square().mean().backward()
    for a, b in zip(plain.parameters(), quick.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


@pytest.mark.parametrize("activation", [nn.ReLU6(inplace=True), nn.Hardswish(inplace=True), nn.SiLU(inplace=True)])
def test_only_after_a_batch_norm_an_activation_is_not_in_place(activation):
    x = torch.randn(4, 3, 8, 8, requires_grad=True)
    with Quick():
        normed = nn.BatchNorm2d(3)(x)
        before = normed.detach().clone()
        activation(normed)
        assert torch.equal(normed, before)
        other = x * 2  # Somebody else may count on what is written here.
        assert torch.equal(activation(other), other)
