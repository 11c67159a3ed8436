"""A fixed bank of Gabor filters: a body in which nothing is learnt, the honest floor for what pre-training is worth."""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core import Backbone, Origin, Prepare, Stage
from ..errors import OptionError

_LUMINANCE = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Options:
    """frequencies: scales, spaced geometrically from `low` to `high` cycles a pixel (0.5 is the finest grating an image can
    hold). orientations: evenly over half a turn. kernel: side of the filters in pixels, odd; 39 holds 2.4 standard
    deviations of the widest default filter. grid: the energies are pooled over grid x grid cells. image_size: pixels of the
    square input; smaller is faster and makes the filters see larger structures.
    """

    frequencies: int = 5
    orientations: int = 8
    image_size: int = 128
    kernel: int = 39
    low: float = 0.07
    high: float = 0.35
    grid: int = 4


def kernels(options: Options) -> Tensor:
    """The bank, complex as [frequencies * orientations, 2, kernel, kernel] float32 (real and imaginary parts).

    g(x, y) = exp(-(x'^2 + y'^2) / (2 s^2)) * (exp(2 pi i f x') - c) / z,  x' = x cos t + y sin t,  y' = y cos t - x sin t,
    s = 0.56 / f (one octave of bandwidth), c such that the filter is blind to a constant, z the sum of the Gaussian, so
    that a grating of amplitude 1 at its own frequency gives 1/2 at every scale. (Daugman, "Uncertainty relation for
    resolution in space, spatial frequency, and orientation", 1985; as a bank for texture: Manjunath and Ma, 1996.)
    """
    half = options.kernel // 2
    y, x = torch.meshgrid(*[torch.arange(-half, half + 1, dtype=torch.float64)] * 2, indexing="ij")
    steps = max(options.frequencies - 1, 1)
    bank = []
    for i in range(options.frequencies):
        frequency = options.low * (options.high / options.low) ** (i / steps) if options.frequencies > 1 else options.high
        for j in range(options.orientations):
            angle = math.pi * j / options.orientations
            along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
            envelope = torch.exp(-(along**2 + across**2) * frequency**2 / (2 * 0.56**2))
            envelope = envelope / envelope.sum()
            real, imaginary = torch.cos(2 * math.pi * frequency * along), torch.sin(2 * math.pi * frequency * along)
            bank.append(torch.stack([envelope * (real - (envelope * real).sum()), envelope * imaginary]))
    return torch.stack(bank).float()


class Bank(nn.Module):
    """RGB [n, 3, h, w] in 0..1 -> local energies [n, filters, h/2, w/2]: the modulus of the luminance filtered by each."""

    def __init__(self, options: Options):
        super().__init__()
        self.register_buffer("filters", kernels(options).flatten(0, 1).unsqueeze(1))
        self.register_buffer("luminance", torch.tensor(_LUMINANCE).reshape(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        grey = (x * self.luminance).sum(1, keepdim=True)
        half = self.filters.shape[-1] // 2
        both = F.conv2d(F.pad(grey, (half, half, half, half), mode="reflect"), self.filters, stride=2)
        real, imaginary = both[:, 0::2], both[:, 1::2]
        return (real**2 + imaginary**2 + 1e-12).sqrt()


class Energy(nn.Module):
    """Energies [n, filters, h, w] -> [n, 2 * filters * grid * grid]: mean and standard deviation in each cell of a grid."""

    def __init__(self, grid: int):
        super().__init__()
        self.grid = grid

    def forward(self, x: Tensor) -> Tensor:
        mean = F.adaptive_avg_pool2d(x, self.grid)
        spread = (F.adaptive_avg_pool2d(x**2, self.grid) - mean**2).clamp_min(1e-12).sqrt()
        return torch.cat([mean, spread], 1).flatten(1)


def load(name: str, options: Options, seed: int = 0) -> Backbone:
    """The bank as two stages: "bank" (map) and "energy" (vector). `seed` changes nothing.

    Of an image only the luminance is used (Rec. 601); colour is left to bodies that learn. Raises OptionError.
    """
    _check(options)
    count = options.frequencies * options.orientations
    return Backbone(
        stages=nn.ModuleList([Stage(Bank(options)), Stage(Energy(options.grid))]).eval(),
        names=("bank", "energy"),
        widths=(count, 2 * count * options.grid**2),
        strides=(2, 0),
        forms=("map", "vector"),
        prepare=Prepare(options.image_size, 1.0, "bilinear", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        origin=Origin("gabor", "gabor", "fixed", asdict(options), "", "Apache-2.0", "nothing"),
    )


def rebuild(build: dict) -> Backbone:
    """The same bank again, from the options that its origin keeps."""
    return load("gabor", Options(**build))


def _check(options: Options) -> None:
    if min(options.frequencies, options.orientations, options.grid) < 1:
        raise OptionError("gabor needs at least 1 frequency, 1 orientation and a grid of 1; raise the option that is below.")
    if options.kernel % 2 == 0 or options.kernel < 3:
        raise OptionError(f"gabor's kernel is {options.kernel}, but it has to be odd and at least 3; try {options.kernel + 1}.")
    if not 0 < options.low <= options.high <= 0.5:
        raise OptionError("gabor's frequencies have to be 0 < low <= high <= 0.5 cycles a pixel; try low=0.07, high=0.35.")
    least = max(options.kernel // 2 + 1, 2 * options.grid)
    if options.image_size < least:
        raise OptionError(f"gabor's image_size is {options.image_size}, but its kernel and grid need at least {least} pixels.")
