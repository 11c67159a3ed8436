"""From an image file, or an image in memory, to the tensor a body expects; the usual evaluation recipe and nothing random."""

import io
import warnings
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..core import Prepare
from ..errors import DataError, OptionError

# What Pillow warns of (odd EXIF data, many pixels) is either harmless here or ends in an error that names the file.
warnings.filterwarnings("ignore", module=r"PIL\.")

MAX_PIXELS = 100_000_000
"""Larger images are refused from their header, before any memory is spent on them."""

LONGEST = 8
"""A longer side beyond this many times the shorter one is squashed; see `shrink`."""

# PostScript is left out because opening it starts another program; video and fax formats because they are not photos.
_WANTED = ("JPEG", "PNG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "PCX", "SGI", "MPO")
_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@cache
def _formats() -> tuple[str, ...]:
    """Those of _WANTED that this build of Pillow knows; it fails on an unknown name."""
    Image.init()
    return tuple(name for name in _WANTED if name in Image.OPEN)


def decode(path: str | Path, at_least: int = 0, content: bytes | None = None) -> np.ndarray:
    """The image as uint8 [h, w, 3] in RGB, upright (EXIF orientation applied).

    Palette, grey and CMYK are converted, 16-bit grey keeps its upper 8 bits, transparency is laid on white, and of an
    animation the first frame is taken. at_least: where the shorter side may be smaller than in the file but not below
    this; a large JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, several times faster. 0 for the full size.
    content: the file's bytes, where they have been read already.
    Raises DataError, naming the path, for a file that is missing, empty, no image, damaged or above MAX_PIXELS.
    """
    try:
        with Image.open(path if content is None else io.BytesIO(content), formats=_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(_too_large(path, f"{image.width} x {image.height} pixels"))
            if at_least:
                # The size asked for is a lower bound of both sides, whichever way up the picture is stored.
                image.draft(None, (at_least, at_least))
            image.load()
            return _rgb(image)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(_too_large(path, "too many pixels")) from error
    except MemoryError as error:
        raise DataError(f"There is not enough memory to decode '{path}'; make the image smaller or remove it.") from error
    except Exception as error:  # A decoder fed with damaged bytes may raise anything.
        raise DataError(_why(path, error)) from error


def _too_large(path: str | Path, size: str) -> str:
    return f"'{path}' has {size}, more than the {MAX_PIXELS // 1_000_000} million that are decoded; make it smaller or remove it."


def _why(path: str | Path, error: Exception) -> str:
    file = Path(path)
    if isinstance(error, FileNotFoundError):
        return f"'{path}' does not exist; put it back, or remove it from the data."
    if isinstance(error, PermissionError):
        return f"'{path}' cannot be read; give this user the right to read it."
    if file.is_dir():
        return f"'{path}' is a folder, not an image; name the images in it."
    if file.is_file() and file.stat().st_size == 0:
        return f"'{path}' is empty (0 bytes); replace or remove it."
    if isinstance(error, UnidentifiedImageError):
        return f"'{path}' is not an image, or of a format that is not read; convert it to PNG or JPEG, or remove it."
    return f"'{path}' cannot be decoded ({error or type(error).__name__}); it is damaged: replace or remove it."


def _rgb(image: Image.Image) -> np.ndarray:
    with suppress(Exception):  # Damaged EXIF data do not make the pixels any worse.
        image = ImageOps.exif_transpose(image)
    if image.mode in ("F", "I") or image.mode.startswith("I;16"):
        grey = _grey8(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image.alpha_composite(layer)
    return np.array(image.convert("RGB"))


def _grey8(grey: np.ndarray) -> np.ndarray:
    """uint8 from grey of more bits. 32-bit integers hold 16-bit data almost always, so only larger values mean 32 bits;
    floats are 0..1 where none is above 1, else 0..255."""
    if grey.dtype.kind == "u" and grey.dtype.itemsize == 2:
        return (grey >> 8).astype(np.uint8)
    if grey.dtype.kind == "f":
        grey = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
        return np.rint(np.clip(grey * (255.0 if grey.max() <= 1 else 1.0), 0, 255)).astype(np.uint8)
    grey = np.clip(grey.astype(np.int64), 0, None)
    return np.clip(grey >> (8 if grey.max() < 2**16 else 23), 0, 255).astype(np.uint8)


def shrink(image: np.ndarray, prepare: Prepare) -> np.ndarray:
    """uint8 [h, w, 3] -> uint8 [h', w', 3] whose shorter side is prepare.resize, with antialiasing.

    Small images are enlarged. The longer side follows in proportion (rounded down, as torchvision does), but a side
    beyond LONGEST times the shorter is squashed to that: a strip of 3 x 5000 pixels would otherwise become one of
    256 x 426666, and the centre crop would show nothing of it either way.
    """
    size = _shrunk_size(image, prepare)
    if size == (image.shape[1], image.shape[0]):
        return np.ascontiguousarray(image)
    return np.array(Image.fromarray(image).resize(size, _filter(prepare)))


def _shrunk_size(image: np.ndarray, prepare: Prepare) -> tuple[int, int]:
    """(width, height) that `shrink` makes of the image."""
    height, width = image.shape[:2]
    shorter = _shorter(prepare)
    longer = min(int(shorter * max(height, width) / min(height, width)), LONGEST * shorter)
    return (shorter, longer) if width <= height else (longer, shorter)


def _filter(prepare: Prepare) -> Image.Resampling:
    if prepare.interpolation not in _FILTERS:
        raise OptionError(f"There is no interpolation '{prepare.interpolation}'; use one of {', '.join(_FILTERS)}.")
    return _FILTERS[prepare.interpolation]


def _shorter(prepare: Prepare) -> int:
    # A crop above 1 would ask for more pixels than there are; the whole image is then the crop.
    return max(prepare.resize, prepare.size)


def small(path: str | Path, prepare: Prepare, content: bytes | None = None) -> np.ndarray:
    """decode and shrink: what is worth keeping of a file. A large JPEG is decoded at no less than twice the size needed,
    so that the antialiased resize still does the visible part of the reduction."""
    return shrink(decode(path, 2 * _shorter(prepare), content), prepare)


def crop(path: str | Path, prepare: Prepare, content: bytes | None = None) -> np.ndarray:
    """decode and `centre`: uint8 [size, size, 3], what scoring sees of a file."""
    return centre(decode(path, 2 * _shorter(prepare), content), prepare)


def centre(image: np.ndarray, prepare: Prepare) -> np.ndarray:
    """The centre crop of the image as `shrink` would make it: uint8 [h, w, 3] -> uint8 [size, size, 3].

    Only what the crop shows is resampled, at the same places, in a third of the time. Of a photo, a value in a thousand is rounded
    differently from that of the shrunk image, by two levels of 255 at most.
    """
    (height, width), (across, down), size = image.shape[:2], _shrunk_size(image, prepare), prepare.size
    left, top = round((across - size) / 2), round((down - size) / 2)
    if (across, down) == (width, height):
        return np.ascontiguousarray(image[top : top + size, left : left + size])
    box = (left * width / across, top * height / down, (left + size) * width / across, (top + size) * height / down)
    # Rounding must not carry the box beyond the image.
    box = (box[0], box[1], min(box[2], width), min(box[3], height))
    return np.array(Image.fromarray(image).resize((size, size), _filter(prepare), box=box))


def normalise(batch: Tensor, prepare: Prepare) -> Tensor:
    """uint8 [n, 3, s, s] -> float32 (pixel / 255 - mean) / std, in channels_last memory format."""
    n, _, height, width = batch.shape
    # Channels last, a row of pixels is one run of memory: means and deviations repeated along it vectorise.
    mean, std = (torch.tensor(values).mul_(255).repeat(width) for values in (prepare.mean, prepare.std))
    rows = batch.permute(0, 2, 3, 1).reshape(n, height, width * 3).to(torch.float32)
    return rows.sub_(mean).div_(std).view(n, height, width, 3).permute(0, 3, 1, 2)


def stack(images: Sequence[np.ndarray], size: int) -> Tensor:
    """uint8 [size, size, 3] each -> [n, 3, size, size] in channels_last memory format."""
    # Copied by numpy: torch would wake all its threads for each image, and while other threads decode, they wait on each other.
    batch = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for place, image in zip(batch, images, strict=True):
        place[...] = image
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def load_images(images: Sequence[str | Path | Image.Image | np.ndarray | Tensor], prepare: Prepare) -> Tensor:
    """Images of any kind -> uint8 [n, 3, size, size], as `graft fit` prepares them for scoring.

    Paths are decoded. Arrays are [h, w], [h, w, 1], [h, w, 3] (RGB) or [h, w, 4] (RGBA); tensors the same or with the
    channels first. Their values are uint8 or uint16, booleans, or floats from 0 to 1.
    Raises DataError, naming the path or the number of the image, for what cannot be read.
    """
    return stack([centre(pixels_of(image, number, prepare), prepare) for number, image in enumerate(images)], prepare.size)


def pixels_of(image: object, number: int, prepare: Prepare) -> np.ndarray:
    """One image of any kind that `load_images` takes as uint8 [h, w, 3]; `number` names it in an error."""
    if isinstance(image, (str, Path)):
        return decode(image, 2 * _shorter(prepare))
    if isinstance(image, Image.Image):
        try:
            image.load()
            return _rgb(image)
        except Exception as error:
            raise DataError(f"Image {number} cannot be decoded ({error or type(error).__name__}); replace or remove it.") from error
    if isinstance(image, Tensor):
        image = image.detach().cpu()
        if image.ndim == 3 and image.shape[0] in (1, 3, 4) and image.shape[2] not in (3, 4):
            image = image.permute(1, 2, 0)
        image = image.float().numpy() if image.is_floating_point() else image.numpy()
    if not isinstance(image, np.ndarray):
        raise DataError(f"Image {number} is a {type(image).__name__}; give a path, a PIL image, an array or a tensor.")
    return _array(image, number)


def _array(array: np.ndarray, number: int) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise DataError(f"Image {number} has the shape {list(array.shape)}; give [height, width] or [height, width, 3].")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise DataError(f"Image {number} holds floats outside 0..1; divide by its largest possible value first.")
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise DataError(f"Image {number} is an array of {array.dtype}; convert it to uint8, or to floats from 0 to 1.")
    return _rgb(Image.fromarray(np.ascontiguousarray(array)))
