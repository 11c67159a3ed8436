"""Operations that torch runs slowly on a CPU while a net learns, run in a faster way: the same values, gradients up to rounding."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_WITHIN = (functional.hardtanh, functional.hardswish, functional.silu)
"""Activations whose gradient asks for what they were given: done in place, torch copies that first."""


class Quick(TorchFunctionMode):
    """While it is active (around the forward pass):

    - a depthwise convolution with a stride, in bfloat16, takes the gradient of its input in float32. oneDNN has no fast kernel for it
      in bfloat16: it takes 3 to 100 times as long, a quarter of MobileNetV2's step (docs/benchmarks.md).
    - ReLU6, hard-swish and SiLU after a batch norm are not done in place: torch would keep a copy of what they overwrite, where
      nobody but them sees it. The same bits.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is functional.conv2d:
            return _convolved(*args, **kwargs)
        if func in _WITHIN and kwargs.get("inplace") and "BatchNorm" in type(args[0].grad_fn).__name__:
            kwargs = {**kwargs, "inplace": False}
        return func(*args, **kwargs)


def _convolved(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1, groups: int = 1) -> Tensor:
    strides, dilations = _pair(stride), _pair(dilation)
    depthwise = input.ndim == 4 and 1 < groups == input.shape[1] == weight.shape[0] and max(strides) > 1
    short = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    if not (depthwise and short and input.requires_grad and torch.is_grad_enabled()) or isinstance(padding, str):
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
    return _Strided.apply(input.to(torch.bfloat16), weight, bias, strides, _pair(padding), dilations)


def _pair(value: int | tuple[int, ...]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


class _Strided(torch.autograd.Function):
    """A depthwise convolution in bfloat16 with its gradients in float32; weight and bias are those of the module."""

    @staticmethod
    def forward(ctx, input, weight, bias, stride, padding, dilation):
        ctx.save_for_backward(input, weight)
        ctx.about = stride, padding, dilation
        short = bias if bias is None else bias.to(input.dtype)
        return torch.conv2d(input, weight.to(input.dtype), short, stride, padding, dilation, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        input, weight = ctx.saved_tensors
        found = torch.ops.aten.convolution_backward(
            grad.float(), input.float(), weight.float(), [len(weight)], *ctx.about, False, [0, 0], len(weight), ctx.needs_input_grad[:3]
        )
        return found[0].to(input.dtype), found[1], found[2], None, None, None
