"""From pooled features [n, width] to outputs [n, k]: trained heads, and heads solved in one go on frozen features."""

from torch import nn


def rebuild(config: dict) -> nn.Module:
    """An empty head of the kind and sizes of `head.config`; `load_state_dict` fills it and it then gives bit-identical outputs."""
    sizes = {name: tuple(value) if isinstance(value, list) else value for name, value in config.items() if name != "kind"}
    if config["kind"] == "linear":
        from .trained import build

        return build(**sizes)
    if config["kind"] == "kernel":
        from .svm import Kernel

        return Kernel(**sizes)
    if config["kind"] == "neighbours":
        from .neighbours import Neighbours

        return Neighbours(**sizes)
    if config["kind"] == "identity":
        from .identity import Identity

        return Identity(**sizes)
    raise ValueError(f"no head of kind {config['kind']!r}; known: linear, kernel, neighbours, identity")
