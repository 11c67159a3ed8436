"""Who learns at what rate. Pure functions from a net to groups of parameter names."""

from ..core import Group, Net
from ..errors import OptionError, nearest


def head(net: Net, lr: float, weight_decay: float) -> tuple[Group, ...]:
    """The head's parameters as one group; none for a head without any."""
    names = tuple(f"head.{name}" for name, _ in net.head.named_parameters())
    return (Group("head", names, lr, weight_decay),) if names else ()


def layerwise(net: Net, lr: float, decay: float, weight_decay: float, frozen: int = 0) -> tuple[Group, ...]:
    """A group a stage from `frozen` up, at lr * decay ** (stages above it): the last stage learns at `lr`, earlier ones slower.

    decay in (0, 1]; 1 gives every stage the same rate. Stages past the last tapped one are left out: they are never run.
    Source: discriminative fine-tuning, Howard & Ruder (2018); Clark et al. (2020) for the layer-wise decay.
    """
    last, found = net.taps[-1], []
    for i in range(frozen, last + 1):
        names = tuple(f"stages.{i}.{name}" for name, _ in net.stages[i].named_parameters())
        if names:
            found.append(Group(net.names[i], names, lr * decay ** (last - i), weight_decay))
    return tuple(found)


def depth(net: Net, freeze: str | int | None) -> int:
    """How many stages are frozen: a number, or the name of the last stage that stays frozen ("none": 0; "all": every one).

    Raises OptionError for an unknown name or a number outside 0..stages.
    """
    if freeze in (None, "none"):
        return 0
    if freeze == "all":
        return len(net.stages)
    if isinstance(freeze, str) and not freeze.lstrip("-").isdigit():
        if freeze not in net.names:
            raise OptionError(f"There is no stage called '{freeze}' to freeze up to.{nearest(freeze, list(net.names))}")
        return net.names.index(freeze) + 1
    number = int(freeze)
    if not 0 <= number <= len(net.stages):
        raise OptionError(f"Cannot freeze {number} stages: this body has {len(net.stages)} ({', '.join(net.names)}).")
    return number
