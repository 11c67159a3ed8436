"""In what precision training steps run: the user's word, or a short trial on this machine."""

import torch
from torch import nn

from . import train
from .device import Machine


def choose_dtype(machine: Machine, net: nn.Module, images: torch.Tensor, precision: str) -> tuple[torch.dtype, str]:
    """float32 or bfloat16 for training steps, and the reason.

    "exact" is float32 and "fast" bfloat16. "auto" times two forward and backward passes in each on this machine: bfloat16
    halves the time of dense convolutions where the processor multiplies it natively, and is slower for depthwise ones.
    """
    if precision == "exact":
        return torch.float32, "asked for"
    if precision == "fast":
        return torch.bfloat16, "asked for"
    if machine.device.type == "cuda":
        fits = torch.cuda.is_bf16_supported()
        return (torch.bfloat16, "the GPU multiplies it natively") if fits else (torch.float32, "the GPU has no bfloat16")
    if not _native_bfloat16():
        return torch.float32, "this processor has no bfloat16 arithmetic"
    plain = train.pass_seconds(machine, net, images)
    short = train.pass_seconds(Machine(machine.device, torch.bfloat16), net, images)
    words = f"a trial pass took {plain * 1000:.0f} ms in float32 and {short * 1000:.0f} ms in bfloat16"
    # Half precision costs some accuracy of the gradients, so it must pay clearly.
    return (torch.bfloat16 if short < 0.8 * plain else torch.float32), words


def _native_bfloat16() -> bool:
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return bool(probe()) or bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())
