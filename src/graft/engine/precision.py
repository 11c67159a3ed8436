"""In what precision training steps run: the user's word, or a short trial on this machine."""

import torch

from ..core import Net, Phase
from . import device, train, ways
from .device import Machine

TRIED = 8
"""Images of a trial batch."""
TOKENS = 1024
"""Of the texts of one: in fewer, what a matrix unit gains is lost in what surrounds it."""


CLEAR = 0.6, 1.1
"""Times of bfloat16 in those of float32 beyond which one turn tells enough; what is asked for is PAYS."""
PAYS = 0.8


def choose_dtype(machine: Machine, net: Net, phase: Phase, start: int, precision: str, cells: int = 0) -> tuple[torch.dtype, str]:
    """float32 or bfloat16 for the steps of a phase whose batches come at depth `start`, and the reason. cells: tokens of a text, on
    average.

    "exact" is float32 and "fast" bfloat16. "auto" times some forward and backward passes of the part that learns in each on
    this machine: bfloat16 halves the time of dense convolutions where the processor multiplies it natively, and can be
    slower for depthwise ones.
    """
    if precision == "exact":
        return torch.float32, "asked for"
    if precision == "fast":
        return torch.bfloat16, "asked for"
    if machine.device.type == "cuda":
        fits = torch.cuda.is_bf16_supported(including_emulation=False)
        return (torch.bfloat16, "the GPU multiplies it natively") if fits else (torch.float32, "the GPU has no bfloat16")
    if not ways.short_is_native():
        return torch.float32, "this processor has no bfloat16 arithmetic"
    one = device.blank(net, start, cells)
    rows = max(1, TOKENS // cells) if cells else TRIED
    batch = {key: value.repeat(rows, *[1] * (value.ndim - 1)) for key, value in one.items()}
    device.keep_freed_memory(machine)
    # By turns, so that what else the machine does meets both; a second turn only where the first is near the limit.
    both, turns = (machine, Machine(machine.device, torch.bfloat16)), []
    for _ in range(2):
        turns.append([train.pass_seconds(m, net, phase, batch, start) for m in both])
        plain, short = (min(times) for times in zip(*turns))
        if not CLEAR[0] * plain < short < CLEAR[1] * plain:
            break
    words = f"a trial pass took {plain * 1000:.0f} ms in float32 and {short * 1000:.0f} ms in bfloat16"
    # Half precision costs some accuracy of the gradients, so it must pay clearly.
    return (torch.bfloat16 if short < PAYS * plain else torch.float32), words
