"""From a stage's output to one vector a sample, with no parameters."""

from collections.abc import Callable
from functools import partial
from math import prod

import torch
from torch import Tensor

from ..errors import OptionError, nearest

MODES = ("auto", "avg", "max", "cls", "flatten")


def pooling(mode: str, native: str, prefix_tokens: int = 0) -> Callable[[Tensor, str], Tensor]:
    """pool(x, form) -> [n, c] for the form "map" [n, c, h, w], "tokens" [n, l, c] or "vector" [n, c] (left as it is).

    mode: "avg", "max" over all cells or patch tokens; "cls", the first token; "flatten", every number; "auto", what the body
    was trained with (`native`), and the average where that is "cls" but the stage has a grid. Tokens before the patches
    (`prefix_tokens`) take no part except in "cls". Raises OptionError for a mode that is unknown or not possible for the body.
    """
    if mode not in MODES:
        raise OptionError(f"There is no pooling called '{mode}'.{nearest(mode, MODES)}")
    if mode == "cls" and prefix_tokens == 0:
        raise OptionError("This body has no class token to pool; use --set task.pool=avg, max or flatten.")
    return partial(_pool, mode=mode, native=native, prefix_tokens=prefix_tokens)


def pooled_width(mode: str, native: str, form: str, channels: int, grid: tuple[int, ...] = (), prefix_tokens: int = 0) -> int:
    """How many numbers `pooling(mode, native, prefix_tokens)` makes of a stage with that form, channels and grid: (h, w) of
    a map, (l,) of tokens (prefix included), () of a vector."""
    if _effective(mode, native, form) == "flatten" and form != "vector":
        return channels * (prod(grid) - (prefix_tokens if form == "tokens" else 0))
    return channels


def _effective(mode: str, native: str, form: str) -> str:
    if mode == "auto":
        return "avg" if native == "cls" and form == "map" else native
    return mode


def _pool(x: Tensor, form: str, mode: str, native: str, prefix_tokens: int) -> Tensor:
    if form == "vector":
        return x
    how = _effective(mode, native, form)
    if how == "cls":
        if form == "map":
            raise OptionError("A stage with a grid has no class token; use --set task.pool=avg, max or flatten.")
        return x[:, 0]
    cells = x.flatten(2) if form == "map" else x[:, prefix_tokens:]
    if how == "flatten":
        return cells.flatten(1)
    axis = 2 if form == "map" else 1
    return cells.mean(axis) if how == "avg" else torch.amax(cells, axis)
