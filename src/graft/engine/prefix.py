"""How much of the net is constant in a phase, so that it need be run only once, and why not more."""

from ..core import Net, Phase
from . import device

LIMIT_MB = 1500.0


def depth(net: Net, phase: Phase, rows: int, limit_mb: float = LIMIT_MB, augments: bool = True) -> tuple[int, str]:
    """The deepest depth whose states are the same in every epoch, and the reason it is not deeper.

    rows: how many samples would be kept. limit_mb: memory that the kept states may take. augments: whether a stream that
    asks for augmentation gets any (the run's preset may be "none").
    """
    if augments and any(stream.augment for stream in phase.streams.values()):
        return 0, "augmentation comes before the first stage, so every epoch sees other images"
    if phase.frozen == 0:
        return 0, "the first stage learns"
    whole = phase.frozen >= len(net.stages)
    for stop in (net.pooled,) if whole else range(phase.frozen, 0, -1):
        size = sum(value.numel() for value in device.blank(net, stop).values()) * 4 * rows / 2**20
        if size <= limit_mb:
            if whole:
                return stop, "all stages are frozen: only the head is run again"
            why = "the next stage learns" if stop == phase.frozen else "deeper states would not fit in memory"
            return stop, f"stage {stop} of {len(net.stages)}: {why}"
    return 0, f"the states of {rows} samples would not fit in {limit_mb:.0f} MB"
