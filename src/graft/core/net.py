"""A body joined to a head."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import apart
from .backbone import Backbone, State


class Net(nn.Module):
    """stages -> pooled taps -> head.

    A depth counts finished steps: depth d < len(stages) + 1 means that the first d stages have run; depth
    len(stages) + 1 (`self.pooled`) means that the taps are pooled and joined into one vector [n, width], held in "x".
    A batch is a tensor [n, 3, h, w] (depth 0) or a State at the depth `start`; that of texts at depth 0 holds "ids" and "mask".

    pool(state, form) -> [n, c], or [n, m, c] where words or tokens stay apart: parameter-free, applied to each tapped stage's
    output as soon as that stage has run, so that a state kept at any depth carries all the earlier taps it will need. A head
    with the attribute `takes_mask` is called with the mask of the tokens too. Of pairs of texts that are read apart
    (prepare.apart) a tap is [n, 4 c], see core.apart.
    earlier: heads of the tasks that this body learnt before, by name; they read the same pooled features, are saved with the
    net, and learn only where a phase names them.
    """

    def __init__(self, backbone: Backbone, pool: Callable[[State, str], Tensor], head: nn.Module, taps: tuple[int, ...]):
        super().__init__()
        self.stages, self.head = backbone.stages, head
        self.names, self.forms, self.origin, self.prepare = backbone.names, backbone.forms, backbone.origin, backbone.prepare
        self.strides, self.widths, self.prefix_tokens = backbone.strides, backbone.widths, backbone.prefix_tokens
        self.language_head, self.causal = backbone.language_head, backbone.causal
        self.pool, self.taps = pool, tuple(sorted(taps))
        self.apart = getattr(backbone.prepare, "apart", False)
        self.earlier = nn.ModuleDict()

    @property
    def pooled(self) -> int:
        return len(self.stages) + 1

    def advance(self, batch: Tensor | State, start: int, stop: int) -> State:
        """The state at depth `stop`, from a batch at depth `start`. Stages past the last tap are not run."""
        state: State = dict(batch) if isinstance(batch, dict) else {"x": batch}
        last, two = self.taps[-1], self.apart and start < len(self.stages)
        state = apart.folded(state) if two else state
        for depth in range(start, min(stop, len(self.stages))):
            if depth > last:
                break
            state = self.stages[depth](state)
            if depth in self.taps:
                state[f"tap{self.taps.index(depth)}"] = self._tap(state, self.forms[depth])
        state = apart.unfolded(state) if two else state
        if stop == self.pooled and start < self.pooled:
            taps = [state[f"tap{i}"] for i in range(len(self.taps))]
            joined = {"x": taps[0] if len(taps) == 1 else torch.cat(taps, -1)}
            # Where tokens stay apart, the head must know which are real.
            state = joined if joined["x"].ndim == 2 or "mask" not in state else joined | {"mask": state["mask"]}
        return state

    def _tap(self, state: State, form: str) -> Tensor:
        pooled = self.pool(state, form)
        if not self.apart:
            return pooled
        # Tokens that stay apart are still to be pooled, by the head.
        return apart.compared(pooled) if pooled.ndim == 2 else apart.unfolded({"x": pooled})["x"]

    def forward(self, batch: Tensor | State, start: int = 0) -> Tensor:
        """The head's outputs [n, k] (logits, or standardised numbers)."""
        state = self.advance(batch, start, self.pooled)
        return self.head(state["x"], state["mask"]) if getattr(self.head, "takes_mask", False) else self.head(state["x"])

    def seen_as(self, name: str) -> "Net":
        """The same body, not a copy of it, with the head of an earlier task in the place of its own."""
        other = copy.copy(self)
        other._modules = {**self._modules, "head": self.earlier[name]}
        return other
