"""How much of the net is constant in a phase, so that it need be run only once, and why not more."""

from collections.abc import Callable
from functools import partial

from torch import nn

from ..core import Net, Phase
from . import checkpoint, device

LITTLE = 0.02
"""Of a body's multiply-adds: what is done again rather than kept, because a text's tokens take a hundred times its own space."""


def depth(
    net: Net, phase: Phase, rows: int, fits: Callable[[int], bool], augments: bool = True, views: int = 0, cells: int = 0
) -> tuple[int, str]:
    """The deepest depth whose states are the same in every epoch, and the reason it is not deeper.

    rows: how many states would be kept. fits(nbytes): whether so many can be. augments: whether a stream that asks for
    augmentation gets any (the run's preset may be "none"). views: augmented views of each image that are drawn once; 0
    draws anew in every epoch. cells: of a text, on average.
    """
    if phase.frozen == 0:
        return 0, "the first stage learns"
    if augments and not views and any(stream.augment for stream in phase.streams.values()):
        return 0, (
            "augmentation comes before the first stage, so every epoch sees other images "
            f"(--views 4 draws four of each once, and keeps what {_stages(phase.frozen, len(net.stages))} of them)"
        )
    whole = phase.frozen >= len(net.stages)
    for stop in (net.pooled,) if whole else range(phase.frozen, 0, -1):
        if not whole and looked_up(net, stop, cells):
            return 0, "what is frozen is a table, in which a token is as quickly looked up again as its state is read back"
        if fits(state_bytes(net, stop, cells) * rows):
            if whole:
                return stop, "all stages are frozen: only the head is run again"
            why = "the next stage learns" if stop == phase.frozen else "what deeper stages give would not fit"
            return stop, f"stage {stop} of {len(net.stages)}: {why}"
    return 0, f"the states of {rows} samples would fit neither in memory nor in the store (graft cache --limit 100GB)"


def _stages(frozen: int, stages: int) -> str:
    return "all stages make" if frozen >= stages else f"the {frozen} frozen stages make" if frozen > 1 else "the frozen stage makes"


def state_bytes(net: Net, stop: int, cells: int = 0) -> int:
    """Bytes of one sample's state at a depth in float32."""
    return 4 * sum(value.numel() for value in device.blank(net, stop, cells).values())


def looked_up(net: Net, stop: int, cells: int) -> bool:
    """Whether hardly any arithmetic leads from a text of so many tokens to its state at a depth: that of embeddings. False for images."""
    return bool(cells) and work(net, stop, cells) < LITTLE * work(net, len(net.stages), cells)


def digest(net: Net, stop: int) -> str:
    """What a state at depth `stop` depends on besides the image's file and its view: every weight and buffer below, the
    structure, the pooled taps, and the preparation."""
    last = min(stop, len(net.stages), net.taps[-1] + 1)
    names = [name for name in net.state_dict() if name.startswith("stages.") and int(name.split(".")[1]) < last]
    pool = sorted(net.pool.keywords.items()) if isinstance(net.pool, partial) else net.pool.__qualname__
    taps = tuple(tap for tap in net.taps if tap < last)
    build = (net.origin.architecture, sorted(net.origin.build.items()), [repr(net.stages[i]) for i in range(last)])
    code = versions(net.origin.architecture)
    masked = ("mask",) if getattr(net.head, "takes_mask", False) else ()
    return device.short_digest(
        checkpoint.digest(net, names), build, stop >= net.pooled, last, taps, net.forms[:last], pool, net.prepare, code, *masked
    )


def versions(architecture: str) -> tuple[str, ...]:
    """Of the code that gives the weights their meaning."""
    import torch

    library = architecture.partition(":")[0]
    if library == "transformers":
        from importlib.metadata import version

        return (torch.__version__, version("transformers"))
    if library == "elmo":
        return (torch.__version__,)
    import timm

    return (torch.__version__, timm.__version__)


def work(net: Net, stop: int, cells: int = 0) -> float:
    """Multiply-adds of one image, or of a text of so many tokens, up to a depth, in thousand millions: those of convolutions and
    linear layers."""
    total, hooks = 0, []

    def count(module: nn.Module, _inputs, out) -> None:
        nonlocal total
        total += out.numel() * module.weight[0].numel()

    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
            hooks.append(module.register_forward_hook(count))
    try:
        device.blank(net, stop, cells)
    finally:
        for hook in hooks:
            hook.remove()
    return total / 1e9
