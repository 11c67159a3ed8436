"""Small pictures of the user's own files, where they are still there."""

import base64
import io
import os
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

PIXELS = 64_000_000
"""A larger file is not opened for the sake of a thumbnail."""

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF", "MPO")
"""PostScript is left out because opening it starts another program."""


class Thumbnails:
    """Data URIs of image files until `most` pictures or `total` bytes are spent; a file that is shown again is not read again."""

    def __init__(self, source: str = "", most: int = 40, side: int = 96, total: int = 1_000_000):
        """source: the folder that relative paths start from. side: pixels of the longer side. total: characters of all URIs."""
        self.source, self.most, self.side, self.left = source, most, side, total
        self._made: dict[str, str] = {}

    def of(self, path) -> str:
        """The file as a data URI; "" where it is gone, no image or too large, or where the allowance is spent. Never raises."""
        if not isinstance(path, str) or not path:
            return ""
        if self.most < 1:
            return ""
        if path not in self._made:
            self._made[path] = _small(os.path.join(self.source, path), self.side)
        uri = self._made[path]
        if not uri or len(uri) > self.left:
            return ""
        self.most, self.left = self.most - 1, self.left - len(uri)
        return uri


def _small(path: str, side: int) -> str:
    out = io.BytesIO()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            return ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.init()
            with Image.open(Path(path), formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                if image.width * image.height > PIXELS:
                    return ""
                image.draft("RGB", (2 * side, 2 * side))
                picture = _rgb(ImageOps.exif_transpose(image))
        picture.thumbnail((side, side))
        picture.save(out, "WEBP", quality=78)
    except Exception:  # a decoder fed with damaged bytes may raise anything
        return ""
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()


def _rgb(image: Image.Image) -> Image.Image:
    """In RGB on white; 16-bit grey keeps its upper 8 bits."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
