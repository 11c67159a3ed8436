"""From a stage's output to one vector a sample, with no parameters."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from ..core import Backbone, Net, State, TextPrepare
from ..errors import OptionError, nearest

MODES = ("auto", "avg", "max", "cls", "last", "flatten", "words", "tokens")
TEXT_ONLY = ("last", "words", "tokens")


def pooling(mode: str, native: str, prefix_tokens: int = 0, text: bool = False) -> Callable[[State, str], Tensor]:
    """pool(state, form) -> [n, c] of state["x"], for the form "map" [n, c, h, w], "tokens" [n, l, c], "text" [n, l, c] or "vector"
    [n, c] (left as it is).

    mode: "avg", "max" over all cells, patch tokens or real tokens of a text (state["mask"]); "cls", the first token; "flatten",
    every number; "auto", what the body was trained with (`native`), and the average where that is "cls" but the stage has a
    grid. Tokens before the patches (`prefix_tokens`) take no part except in "cls". Of texts alone (`text`): "last", the last
    real token; "words" [n, m, c], the first token of each word (state["words"], -1 for none, which gives zeros); "tokens"
    [n, l, c], as they are. Raises OptionError for a mode that is unknown or not possible for the body.
    """
    if mode not in MODES:
        raise OptionError(f"There is no pooling called '{mode}'.{nearest(mode, MODES)}")
    if text and mode == "flatten":
        raise OptionError("Texts differ in length, so their tokens cannot be laid end to end; use --set task.pool=avg, max, cls or last.")
    if not text and mode in TEXT_ONLY:
        raise OptionError(f"Pooling '{mode}' is for texts; use --set task.pool=avg, max or flatten.")
    if mode == "cls" and prefix_tokens == 0 and not text:
        raise OptionError("This body has no class token to pool; use --set task.pool=avg, max or flatten.")
    return partial(_pool, mode=mode, native=native, prefix_tokens=prefix_tokens)


def body_pooling(body: Backbone, mode: str = "auto") -> Callable[[State, str], Tensor]:
    """`pooling` of a body in a mode."""
    return pooling(mode, body.pool, body.prefix_tokens, isinstance(body.prepare, TextPrepare))


def bare(body: Backbone, taps: tuple[int, ...], mode: str = "auto") -> Net:
    """The body with the stages of these numbers tapped, and no head: outputs are the pooled features."""
    return Net(body, body_pooling(body, mode), nn.Identity(), taps)


def _effective(mode: str, native: str, form: str) -> str:
    if mode == "auto":
        return "avg" if native == "cls" and form == "map" else native
    return mode


def _pool(state: State, form: str, mode: str, native: str, prefix_tokens: int) -> Tensor:
    x = state["x"]
    if form == "vector":
        return x
    how = _effective(mode, native, form)
    if form == "text":
        return _pool_text(state, how)
    if how == "cls":
        if form == "map":
            raise OptionError("A stage with a grid has no class token; use --set task.pool=avg, max or flatten.")
        return x[:, 0]
    cells = x.flatten(2) if form == "map" else x[:, prefix_tokens:]
    if how == "flatten":
        return cells.flatten(1)
    axis = 2 if form == "map" else 1
    return cells.mean(axis) if how == "avg" else torch.amax(cells, axis)


def _pool_text(state: State, how: str) -> Tensor:
    x, real = state["x"], state["mask"].bool()
    if how == "avg":
        share = real.to(x.dtype) / real.sum(1, keepdim=True).clamp(min=1).to(x.dtype)
        return (x * share[..., None]).sum(1)
    if how == "max":
        return x.masked_fill(~real[..., None], torch.finfo(x.dtype).min).amax(1)
    if how == "words":
        words = state["words"]
        rows = x.gather(1, words.clamp(min=0)[..., None].expand(-1, -1, x.shape[2]))
        return rows * (words >= 0)[..., None].to(x.dtype)
    if how == "tokens":
        return x
    place = torch.zeros_like(real.sum(1)) if how == "cls" else real.sum(1).sub(1).clamp(min=0)
    return x[torch.arange(len(x), device=x.device), place]
