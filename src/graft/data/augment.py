"""Random changes of training images that keep what the label says: geometry, colour, erasing.

Every random number comes from the generator that is passed in, so an image's augmentation depends on nothing but its
seed: not on threads, order, or torch's global state.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import OptionError, nearest

Box = tuple[float, float, float, float]
"""left, top, width, height in pixels of the source."""


@dataclass(frozen=True)
class Options:
    """preset: a set of the knobs below; a knob that is not None overrides the preset's number.

    "none"    the centre crop, as in scoring.
    "light"   crop 0.5, flip 0.5. The default: the two changes that almost any photograph bears. Colour stays as it is
              because it may be what tells the classes apart (a leaf's disease, a bird), and a few epochs of fine-tuning
              do not overfit what a pre-trained body already ignores. Half of the area is the middle between fastai's
              0.35 and no crop: smaller crops lose the object more often than they help when images are few.
    "medium"  crop 0.35 (fastai), flip 0.5, rotation 10, brightness, contrast and saturation 0.2: for longer training,
              and for photographs whose light and camera angle vary at use.
    "strong"  crop 0.2, flip 0.5, rotation 15, shear 5, brightness, contrast and saturation 0.4, hue 0.05, erasing 0.25,
              mixup 0.2, cutmix 1.0: for many epochs or a body that starts at random. The colour numbers are SimCLR's
              halved; erasing, mixup and cutmix are those of timm's recipes (Wightman et al., 2021).

    flip, flip_vertical: probability, 0..1. Set flip=0 where left and right differ in meaning (digits, letters, traffic
      signs); flip_vertical=0.5 for pictures with no up (microscopes, satellites).
    rotation: up to so many degrees either way, 0..180.     shift: up to this fraction of the side, each way, 0..0.5.
    shear: up to so many degrees, 0..45.                    zoom: 0.2 scales by 0.8..1.2 (both sides alike), 0..0.9.
    crop: smallest share of the area in a random crop resized to the input (Szegedy et al., 2015; sides' ratio 3/4..4/3);
      1 switches it off, then the centre crop is the start. 0.01..1.
    brightness, contrast, saturation: 0.2 multiplies by 0.8..1.2, 0..1.    hue: up to this part of the colour circle, 0..0.5.
    erasing: probability that a box of 2..33 % of the area becomes noise (Zhong et al., 2020), 0..1.
    mixup, cutmix: alpha of the Beta distribution the share is drawn from, see graft.data.mix; 0 is off, 0..10.
    views: draw so many augmented views of each image once and keep what the frozen stages make of them; 0 draws anew in
      every epoch, which needs the whole body each time. 4 is nearly as good and many times faster. 0..64.
    """

    preset: str = "light"
    flip: float | None = None
    flip_vertical: float | None = None
    rotation: float | None = None
    shift: float | None = None
    shear: float | None = None
    zoom: float | None = None
    crop: float | None = None
    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None
    erasing: float | None = None
    mixup: float | None = None
    cutmix: float | None = None
    views: int = 0


_COLOURS = ("brightness", "contrast", "saturation")
_PRESETS: dict[str, dict[str, float]] = {
    "none": {},
    "light": {"crop": 0.5, "flip": 0.5},
    "medium": {"crop": 0.35, "flip": 0.5, "rotation": 10.0, **dict.fromkeys(_COLOURS, 0.2)},
    "strong": {
        "crop": 0.2, "flip": 0.5, "rotation": 15.0, "shear": 5.0, **dict.fromkeys(_COLOURS, 0.4), "hue": 0.05,
        "erasing": 0.25, "mixup": 0.2, "cutmix": 1.0,
    },
}  # fmt: skip
_RANGES: dict[str, tuple[float, float]] = {
    "flip": (0, 1), "flip_vertical": (0, 1), "rotation": (0, 180), "shift": (0, 0.5), "shear": (0, 45), "zoom": (0, 0.9),
    "crop": (0.01, 1), "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1), "hue": (0, 0.5), "erasing": (0, 1),
    "mixup": (0, 10), "cutmix": (0, 10),
}  # fmt: skip
_NEUTRAL = {name: 1.0 if name == "crop" else 0.0 for name in _RANGES}


def resolve(options: Options) -> Options:
    """The options with every knob a number: the preset's, where it is not given. Raises OptionError for a preset that
    does not exist or a number out of its range."""
    if options.preset not in _PRESETS:
        raise OptionError(f"There is no augmentation preset '{options.preset}'.{nearest(options.preset, list(_PRESETS))}")
    numbers = {**_NEUTRAL, **_PRESETS[options.preset]}
    for field in fields(options):
        value = getattr(options, field.name)
        if field.name in ("preset", "views") or value is None:
            continue
        low, high = _RANGES[field.name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise OptionError(f"augment.{field.name} is {value!r}; set it to a number from {low:g} to {high:g}.")
        numbers[field.name] = float(value)
    if not 0 <= options.views <= MOST_VIEWS:
        raise OptionError(f"augment.views is {options.views!r}; set it to a whole number from 0 to {MOST_VIEWS}, for example --views 4.")
    mixed = [name for name in ("mixup", "cutmix") if numbers[name] > 0]
    if options.views and mixed:
        off = " ".join(f"--set augment.{name}=0" for name in mixed)
        raise OptionError(f"--views keeps augmented images, but {' and '.join(mixed)} would mix them anew in each step; add {off}.")
    return replace(options, **numbers)


MOST_VIEWS = 64


class Augment:
    """options: resolved, every knob a number. active: whether training batches differ from the centre crop at all."""

    def __init__(self, options: Options):
        self.options = resolve(options)

    @property
    def active(self) -> bool:
        return any(getattr(self.options, name) != neutral for name, neutral in _NEUTRAL.items())

    @property
    def mixes(self) -> bool:
        """Whether batches are mixed (mixup or CutMix), so that class targets become soft."""
        return self.options.mixup > 0 or self.options.cutmix > 0

    def describe(self) -> str:
        """What is active, in words, on one line."""
        words = [text for name, text in self._words().items() if getattr(self.options, name) != _NEUTRAL[name]]
        return ", ".join(words) or "none (centre crop)"

    def _words(self) -> dict[str, str]:
        o = self.options
        return {
            "crop": f"random crop of {o.crop:.0%} to 100% of the area",
            "flip": f"horizontal flip ({o.flip:.0%})",
            "flip_vertical": f"vertical flip ({o.flip_vertical:.0%})",
            "rotation": f"rotation up to {o.rotation:g} degrees",
            "shift": f"shift up to {o.shift:.0%}",
            "shear": f"shear up to {o.shear:g} degrees",
            "zoom": f"zoom by {1 - o.zoom:.2g} to {1 + o.zoom:.2g}",
            "brightness": f"brightness by {1 - o.brightness:.2g} to {1 + o.brightness:.2g}",
            "contrast": f"contrast by {1 - o.contrast:.2g} to {1 + o.contrast:.2g}",
            "saturation": f"saturation by {1 - o.saturation:.2g} to {1 + o.saturation:.2g}",
            "hue": f"hue up to {o.hue:.0%} of the circle",
            "erasing": f"random erasing ({o.erasing:.0%})",
            "mixup": f"mixup (alpha {o.mixup:g})",
            "cutmix": f"CutMix (alpha {o.cutmix:g})",
        }

    def image(self, image: Tensor, rng: np.random.Generator, size: int) -> Tensor:
        """uint8 [3, h, w], any h and w -> uint8 [3, size, size]. All randomness comes from `rng`; `image` is not changed.

        A random crop is cut out and resized with antialiasing. Where rotation, shift, shear or zoom are drawn, crop,
        flips and those are one affine map and one interpolation. It is sampled from the whole image, not from the crop,
        so that what turns in from outside the crop is real; only beyond the image's own border is it mirrored. Black
        corners, which a network learns to read as "this was turned", never occur.
        """
        o = self.options
        height, width = image.shape[-2:]
        box = _random_box(height, width, o.crop, rng) if o.crop < 1 else _centre_box(height, width, size)
        flips = (bool(o.flip) and rng.random() < o.flip, bool(o.flip_vertical) and rng.random() < o.flip_vertical)
        if o.rotation or o.shift or o.shear or o.zoom:
            out = _affine(image, box, size, _linear(o, flips, rng), rng.uniform(-o.shift, o.shift, 2))
        else:
            out = _resized(image, box, size)
            axes = [axis for axis, flip in zip((-1, -2), flips, strict=True) if flip]
            out = out.flip(axes) if axes else out
        if o.brightness or o.contrast or o.saturation or o.hue:
            out = _colour(out, *_jitter(o, rng))
        if o.erasing and rng.random() < o.erasing:
            out = _erase(out, rng)
        return out


def _random_box(height: int, width: int, smallest: float, rng: np.random.Generator) -> Box:
    """A box of the area share smallest..1 and the ratio 3/4..4/3, inside the image; after ten misses the largest
    centred one with such a ratio."""
    for _ in range(10):
        area = height * width * rng.uniform(smallest, 1)
        ratio = math.exp(rng.uniform(-math.log(4 / 3), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (width - w) // 2, (height - h) // 2, w, h


def _centre_box(height: int, width: int, size: int) -> Box:
    """The centre crop, or the largest centred square of an image that is smaller."""
    side = min(height, width, size)
    return round((width - side) / 2), round((height - side) / 2), side, side


def _resized(image: Tensor, box: Box, size: int) -> Tensor:
    left, top, width, height = (int(value) for value in box)
    if (width, height) == (size, size):
        return image[:, top : top + size, left : left + size].clone()
    # Bilinear whatever the body's own interpolation: resampled detail is jittered here anyway, and it is faster.
    return _scaled(image[:, top : top + height, left : left + width], (size, size))


def _scaled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 [3, h, w] -> uint8 [3, *size], bilinear with antialiasing; torch's kernel for bytes, the one that torchvision calls."""
    return torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


def _linear(o: Options, flips: tuple[bool, bool], rng: np.random.Generator) -> np.ndarray:
    """[2, 2]: directions in the output -> directions in the crop; rotation, shear, zoom and flips."""
    turn, shear = np.radians(rng.uniform(-o.rotation, o.rotation)), np.tan(np.radians(rng.uniform(-o.shear, o.shear)))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    mirror = np.diag([-1.0 if flip else 1.0 for flip in flips])
    return rotation @ np.array([[1.0, shear], [0.0, 1.0]]) @ mirror / rng.uniform(1 - o.zoom, 1 + o.zoom)


def _affine(image: Tensor, box: Box, size: int, linear: np.ndarray, shift: np.ndarray) -> Tensor:
    """The box after the linear map and the shift (fractions of the box), bilinear, mirrored beyond the image's border."""
    left, top, width, height = box
    step = np.diag([width / size, height / size]) @ linear  # source pixels per output pixel, [xy, xy]
    middle = np.array([left + width / 2 + shift[0] * width, top + height / 2 + shift[1] * height])
    # Only the part that is sampled is converted to float, with a margin of two pixels for the interpolation.
    reach = np.abs(step).sum(1) * size / 2 + 2
    low = np.clip(np.floor(middle - reach), 0, [image.shape[2] - 1, image.shape[1] - 1]).astype(int)
    high = np.clip(np.ceil(middle + reach), low + 1, [image.shape[2], image.shape[1]]).astype(int)
    part = image[:, low[1] : high[1], low[0] : high[0]]
    # Sampling steps of more than a pixel alias; then the part is first made smaller, with antialiasing.
    coarse = float(np.sqrt(abs(np.linalg.det(step))))
    if coarse > 1.25:
        smaller = [max(1, round(side / coarse)) for side in part.shape[1:]]
        part = _scaled(part, tuple(smaller))
    # To grid_sample's coordinates: -1 and 1 are the outer edges of the part.
    scale = 2 / (high - low)
    step, origin = (step * scale[:, None]).astype(np.float32), (middle - low) * scale - 1
    place = np.arange(size, dtype=np.float32) + np.float32(0.5 - size / 2)
    grid = np.empty((1, size, size, 2), dtype=np.float32)
    for axis in range(2):
        grid[0, :, :, axis] = (step[axis, 1] * place)[:, None] + (step[axis, 0] * place + np.float32(origin[axis]))
    sampled = torch.nn.functional.grid_sample(
        part[None].float(), torch.from_numpy(grid), mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return sampled[0].round_().to(torch.uint8)


_LUMA = np.array([0.2989, 0.587, 0.114])
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def _jitter(o: Options, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """One [3, 3] matrix on RGB for brightness, saturation and hue, and the contrast factor.

    All of them are linear, so they cost one pass together and round only once. Saturation blends with the luma, as in
    torchvision; hue turns the chroma plane of YIQ, which keeps the luma (torchvision turns HSV, which does not).
    """
    brightness, saturation = rng.uniform(1 - o.brightness, 1 + o.brightness), rng.uniform(1 - o.saturation, 1 + o.saturation)
    contrast, turn = rng.uniform(1 - o.contrast, 1 + o.contrast), 2 * np.pi * rng.uniform(-o.hue, o.hue)
    matrix = saturation * np.eye(3) + (1 - saturation) * np.tile(_LUMA / _LUMA.sum(), (3, 1))
    if o.hue:
        rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
        matrix = np.linalg.inv(_YIQ) @ rotation @ _YIQ @ matrix
    return brightness * matrix, float(contrast)


def _colour(image: Tensor, matrix: np.ndarray, contrast: float) -> Tensor:
    """contrast * (matrix rgb) + (1 - contrast) * mean luma of (matrix rgb), clamped to 0..255."""
    image = image.contiguous()
    # An integer sum, because a sum of floats depends on its order.
    grey = float(_LUMA @ matrix @ image.sum((1, 2)).numpy()) / image[0].numel()
    red, green, blue = image.float()
    out = torch.empty_like(image)
    # Written out rather than a matrix product: BLAS may order its sums by how memory happens to be aligned.
    for channel, (r, g, b) in enumerate((contrast * matrix).tolist()):
        value = (red * r).add_(green, alpha=g).add_(blue, alpha=b).add_((1 - contrast) * grey)
        out[channel] = value.clamp_(0, 255).round_()
    return out


def _erase(image: Tensor, rng: np.random.Generator) -> Tensor:
    """A box of 2..33 % of the area, ratio 0.3..3.3, becomes noise. Changes `image`, which is a copy by now."""
    size = image.shape[-1]
    area, ratio = rng.uniform(0.02, 1 / 3), math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
    height, width = (min(size, max(1, round(size * math.sqrt(part)))) for part in (area * ratio, area / ratio))
    top, left = int(rng.integers(size - height + 1)), int(rng.integers(size - width + 1))
    image[:, top : top + height, left : left + width] = torch.from_numpy(rng.integers(0, 256, (3, height, width), dtype=np.uint8))
    return image
