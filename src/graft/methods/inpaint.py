"""Without labels: parts of an image are hidden, and the body lets a light decoder guess their pixels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core import Batch, Data, Net, Phase, Task
from ..errors import OptionError
from ..losses import masked_image
from . import groups, recipe, self_supervised

STATISTICS = 50
"""Steps that forget the statistics of covered images: of BatchNorm's usual momentum of 0.1, half a hundredth is left after them."""
Loss = Callable[[Net, dict[str, Batch]], Tensor]


@dataclass(frozen=True, kw_only=True)
class Options(self_supervised.Unlabelled):
    """ratio: share of the blocks that are hidden; None is 0.75 for a body of patch tokens (MAE) and 0.6 for one of maps (SimMIM).
    block: side of a hidden block in pixels, for maps; None is the divisor of the image's side that is nearest to a seventh of it, as
        SimMIM's 32 of 224. Smaller ones can be guessed from what surrounds them. Of patch tokens it is the patch.
    normalise: each hidden block is guessed without its mean and contrast, as MAE found better.
    decoder_width, decoder_depth: of the transformer that guesses from patch tokens; 128 and 2, which is light on purpose, for what the
        decoder can do the body need not. From maps a single 1 x 1 convolution guesses.
    """

    ratio: float | None = None
    block: int | None = None
    normalise: bool = True
    decoder_width: int = 128
    decoder_depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self_supervised.in_range(self, {"ratio": (0.01, 0.99), "block": (1, 4096), "decoder_width": (4, 4096), "decoder_depth": (1, 64)})
        if self.decoder_width % 4:
            raise OptionError(f"method.decoder_width = {self.decoder_width} is no multiple of 4; try --set method.decoder_width=128.")


def phases(net: Net, task: Task, data: Data, opts: Options) -> Iterator[Phase]:
    """Masked image modelling: of patch tokens MAE (He et al., 2022), whose body sees only what is not hidden, so that a step costs a
    third; of maps SimMIM (Xie et al., 2022), whose body sees the hidden blocks as the mean colour.

    Best for vision transformers and long training on many images, and where no augmentation is known to keep what counts. What is
    learnt shows after fine-tuning more than in a linear probe, and convolutions gain less from it than from simclr. Stages above
    the last map learn nothing. Running statistics are those of covered images, so that they are counted anew in the end.
    """
    self_supervised.check_images(data, "inpaint")
    frozen, first, last = groups.depth(net, opts.freeze), *span(net)
    who = self_supervised.body(net, opts, "inpaint", frozen, last)
    guess = _of_maps if net.forms[last] == "map" else _of_tokens
    decoder, loss = guess(net, opts, first, last, frozen)
    extras, beside = self_supervised.beside(net, opts, decoder=decoder)
    # No stage is called frozen: what those below would keep are states of images of which nothing was hidden.
    yield self_supervised.phase("inpaint", data, opts, who + beside, loss, extras)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.stages[frozen : net.taps[-1] + 1].modules()):
        count = recipe.epochs(replace(opts, epochs=None), len(self_supervised.rows(data)), STATISTICS, 1, STATISTICS)
        yield self_supervised.phase("statistics", data, opts, (), whole, nn.ModuleDict(), count, frozen=frozen)
    yield from self_supervised.then(net, task, data, opts)


def span(net: Net) -> tuple[int, int]:
    """(first, last): the last stage that leaves a map or patch tokens, among those that are tapped or below one, and the first from
    which on that form stands. Raises OptionError where there is none."""
    forms = net.forms[: net.taps[-1] + 1]
    last = max((i for i, form in enumerate(forms) if form in ("map", "tokens")), default=-1)
    if last < 0:
        raise OptionError("Method 'inpaint' guesses from a map or from patch tokens, and this body leaves neither; use --method simclr.")
    first = last
    while first and forms[first - 1] == forms[last]:
        first -= 1
    return first, last


def whole(net: Net, batches: dict[str, Batch]) -> Tensor:
    """A pass in which the running statistics move; nothing learns from its value."""
    return recipe.features(net, batches["train"]).float().square().mean()


class MapDecoder(nn.Module):
    """A map [n, width, h, w] -> images [n, 3, side, side]: a 1 x 1 convolution to the pixels of each cell, laid side by side."""

    def __init__(self, width: int, stride: int, side: int):
        super().__init__()
        self.cells, self.stride, self.side = nn.Conv2d(width, 3 * stride * stride, 1), stride, side

    def forward(self, x: Tensor) -> Tensor:
        images = F.pixel_shuffle(self.cells(x), self.stride)
        # Where the side is no multiple of the stride.
        return images if images.shape[-1] == self.side else F.interpolate(images, (self.side, self.side), mode="bilinear")


def _of_maps(net: Net, opts: Options, first: int, last: int, frozen: int) -> tuple[nn.Module, Loss]:
    side = net.prepare.size
    block = opts.block or nearest_divisor(side, side / 7)
    if side % block or block == side:
        raise OptionError(
            f"method.block = {block} does not divide images of {side} pixels; try --set method.block={nearest_divisor(side, block)}."
        )
    decoder = MapDecoder(net.widths[last], net.strides[last], side)
    share = opts.ratio or 0.6

    def loss(live: Net, batches: dict[str, Batch]) -> Tensor:
        self_supervised.rest(live, frozen)
        images = batches["train"].inputs
        hidden = masked_image.blocks(len(images), (side // block) ** 2, share).to(images.device)
        # Zero is the mean colour of what the body was made for.
        x = live.advance(images.masked_fill(masked_image.pixels(hidden, block), 0.0), 0, last + 1)["x"]
        return masked_image.guessed(masked_image.patches(decoder(x), block), masked_image.patches(images, block), hidden, opts.normalise)

    return decoder, loss


def nearest_divisor(side: int, wanted: float) -> int:
    """The divisor of `side` below it that is nearest to `wanted`; 1 for a prime."""
    return min((i for i in range(1, max(side, 2)) if side % i == 0), key=lambda i: (abs(i - wanted), i))


class TokenDecoder(nn.Module):
    """The tokens of what was seen [n, prefix + seen, width] and what is hidden, bool [n, grid * grid], to pixels [n, grid * grid, pixels].

    Each hidden patch is a learnt token; all get a fixed sine and cosine position, and a small transformer mixes them.
    """

    def __init__(self, width: int, inner: int, depth: int, grid: int, prefix: int, pixels: int):
        super().__init__()
        self.prefix, self.enter, self.hidden = prefix, nn.Linear(width, inner), nn.Parameter(torch.randn(inner) * 0.02)
        self.register_buffer("places", positions(grid, inner), persistent=False)
        heads = next(count for count in (max(1, inner // 32), 4, 2, 1) if inner % count == 0)
        layer = nn.TransformerEncoderLayer(inner, heads, 4 * inner, 0.0, "gelu", batch_first=True, norm_first=True)
        self.mixing = nn.TransformerEncoder(layer, depth, nn.LayerNorm(inner), enable_nested_tensor=False)
        self.leave = nn.Linear(inner, pixels)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        x = self.enter(x)
        patches = self.hidden.to(x.dtype).expand(*hidden.shape, -1).masked_scatter(~hidden[..., None], x[:, self.prefix :])
        mixed = self.mixing(torch.cat([x[:, : self.prefix], patches + self.places.to(x.dtype)], 1))
        return self.leave(mixed[:, self.prefix :])


def positions(grid: int, width: int) -> Tensor:
    """Sine and cosine of each cell's row and column at width / 4 frequencies from 1 down to 1 / 10000: [grid * grid, width], as MAE."""
    rates = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    angles = torch.arange(grid)[:, None] * rates
    one = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.cat([one.repeat_interleave(grid, 0), one.repeat(grid, 1)], 1)


def _of_tokens(net: Net, opts: Options, first: int, last: int, frozen: int) -> tuple[nn.Module, Loss]:
    prefix, side = net.prefix_tokens, net.prepare.size
    cells = self_supervised.blank(net, first + 1).shape[1] - prefix
    grid, share = round(cells**0.5), opts.ratio or 0.75
    patch = side // max(grid, 1)
    if grid * grid != cells or grid < 2 or patch * grid != side:
        raise OptionError(f"Method 'inpaint' needs patches in a square grid, and this body cuts images into {cells}; use --method simclr.")
    if opts.block not in (None, patch):
        raise OptionError(f"method.block = {opts.block}, but this body's patches are of {patch} pixels; leave it out.")
    _check_fewer(net, first, last, cells // 4 + prefix)
    decoder = TokenDecoder(net.widths[last], opts.decoder_width, opts.decoder_depth, grid, prefix, 3 * patch * patch)

    def loss(live: Net, batches: dict[str, Batch]) -> Tensor:
        self_supervised.rest(live, frozen)
        images = batches["train"].inputs
        hidden = masked_image.blocks(len(images), cells, share).to(images.device)
        x = live.advance(images, 0, first + 1)["x"]
        seen = x[:, prefix:][~hidden].unflatten(0, (len(x), -1))
        x = live.advance({"x": torch.cat([x[:, :prefix], seen], 1)}, first + 1, last + 1)["x"]
        return masked_image.guessed(decoder(x, hidden), masked_image.patches(images, patch), hidden, opts.normalise)

    return decoder, loss


def _check_fewer(net: Net, first: int, last: int, count: int) -> None:
    """Raises OptionError where the body's blocks take no fewer tokens than the whole grid has (rotary or relative positions, windows)."""
    x = self_supervised.blank(net, first + 1)[:, :count]
    try:
        fits = self_supervised.blank(net, last + 1, x, first + 1).shape[1] == count
    except (RuntimeError, ValueError, AssertionError, IndexError):
        fits = False
    if not fits:
        raise OptionError("Method 'inpaint' leaves out patches, and this body's blocks need all of them; use --method simclr.")
