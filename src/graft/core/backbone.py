"""A pre-trained body: its stages in order, what it expects and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .text import TextPrepare

State = dict[str, Tensor]
"""Carried from stage to stage. "x" is the main tensor; other keys (masks, skips) pass along. Pooled taps are "tap0", "tap1", ..."""


class Stage(nn.Module):
    """Lifts a module from tensor -> tensor to State -> State, on the key "x"."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, state: State) -> State:
        return {**state, "x": self.body(state["x"])}


@dataclass(frozen=True)
class Prepare:
    """How an image becomes the tensor the body expects: float32 [3, size, size], (pixel / 255 - mean) / std.

    crop: fraction of the resized image that the centre crop keeps, so the shorter side is first resized to
    int(size / crop) pixels. interpolation: "bilinear" or "bicubic", with antialiasing.
    """

    size: int = 224
    crop: float = 0.875
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    @property
    def resize(self) -> int:
        return int(self.size / self.crop)  # rounded down, as timm does

    def blank(self, cells: int = 0) -> State:
        """The state at depth 0 of one image of zeros; `cells` means something for texts alone."""
        return {"x": torch.zeros(1, 3, self.size, self.size)}


@dataclass(frozen=True)
class Origin:
    """Where weights come from: for the report, the licence and the artefact's chain.

    name: the body as the user would name it. architecture: what builds it, e.g. "timm:mobilenetv2_100". build: JSON
    keyword arguments that build it again with no weights. weights: "random", "embedded", "hub:...", "file:NAME" or
    "run:PATH". sha256: of the weights' file ("" for random). parents: the origins before this one, oldest first.
    """

    name: str
    architecture: str
    weights: str
    build: dict = field(default_factory=dict)
    sha256: str = ""
    licence: str = "unknown"
    trained_on: str = "unknown"
    parents: tuple[dict, ...] = ()


@dataclass(frozen=True)
class Backbone:
    """stages[i] maps State to State; names, widths (channels after it), strides (pixels per cell; 0 where there is no grid)
    and forms ("map": [n, c, h, w]; "tokens": [n, l, c] of patches; "text": [n, l, c] with state["mask"] [n, l], true for real
    tokens; "vector": [n, c]) describe what comes out of it.

    pool: the pooling this body was trained with ("avg", "max", "cls", "last" or "flatten"). prefix_tokens: tokens before the
    patches in the "tokens" form. language_head(): a module [n, l, c] -> [n, l, vocabulary] that names the tokens, with what
    the published weights hold of it. causal: whether a token sees only those before it. compares: whether it was trained so that the
    vectors of two texts can be compared.
    """

    stages: nn.ModuleList
    names: tuple[str, ...]
    widths: tuple[int, ...]
    strides: tuple[int, ...]
    forms: tuple[str, ...]
    prepare: Prepare | TextPrepare
    origin: Origin
    pool: str = "avg"
    prefix_tokens: int = 0
    language_head: Callable[[], nn.Module] | None = None
    causal: bool = False
    compares: bool = False

    def __post_init__(self) -> None:
        lengths = {len(self.stages), len(self.names), len(self.widths), len(self.strides), len(self.forms)}
        if len(lengths) != 1:
            raise ValueError("a backbone needs one name, width, stride and form for each stage")

    def forward(self, batch: Tensor | State) -> Tensor:
        """The whole body on a batch [n, 3, h, w], or the state of texts at depth 0; the last stage's "x"."""
        state: State = dict(batch) if isinstance(batch, dict) else {"x": batch}
        for stage in self.stages:
            state = stage(state)
        return state["x"]

    def measured(self) -> Backbone:
        """Widths and strides replaced by those of a real pass over one zero image (eval mode, modes restored)."""
        modes = [m.training for m in self.stages.modules()]
        self.stages.eval()
        widths, strides, state = [], [], {"x": torch.zeros(1, 3, self.prepare.size, self.prepare.size)}
        with torch.no_grad():
            for stage, form in zip(self.stages, self.forms, strict=True):
                state = stage(state)
                shape = state["x"].shape
                widths.append(shape[2] if form == "tokens" else shape[1])
                strides.append(round(self.prepare.size / shape[2]) if form == "map" else 0)
        for module, mode in zip(self.stages.modules(), modes, strict=True):
            module.training = mode
        return replace(self, widths=tuple(widths), strides=tuple(strides))
