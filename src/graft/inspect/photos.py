"""What can be told of image files from one quick look at each: size, kind, mean colours, a thumbnail."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data.images import decode
from .files import _quiet, defect
from .finding import Finding

SMALL = 32
"""Pixels a side of a thumbnail."""
LOOK = 64
"""Every image is first averaged down to LOOK .. 2 x LOOK - 1 pixels a side (where it has as many), however large it is and
whatever its format, so that its statistics do not depend on the scale at which it was decoded."""
EDGE = 0.05  # of the width and of the height: how wide the border is on each side
SPREAD = 4  # ratio of areas, between the 5th and the 95th percentile, from which sizes are called mixed
LONG = 3  # ratio of the sides from which the square centre crop shows a third of the image or less
SHARE = 0.05  # of all files: what is odd about fewer of them cannot decide a score

_KINDS = {
    "L": "grey", "1": "grey", "LA": "transparent", "La": "transparent", "RGBA": "transparent", "RGBa": "transparent", "PA": "transparent",
    "P": "palette", "CMYK": "CMYK", "I": "grey of more than 8 bits", "F": "grey of more than 8 bits",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Facts:
    """One entry for each image that could be decoded, n in all, in the order given.

    bytes: file sizes, int64 [n]. width, height: pixels as stored, before the EXIF rotation, int32 [n]. mode, format: as Pillow
    names them. orientation: EXIF's 1 .. 8, 1 where absent, int8 [n]. digest: 16 bytes, blake2b of the file's content.
    colour, border: mean RGB of all pixels and of the outermost twentieth on each side, 0 .. 255, float32 [n, 3].
    spread: standard deviation of the grey values, float32 [n]. small: upright thumbnails, the whole image squashed, uint8
    [n, 32, 32, 3]. unreadable: (path, why) of the others.
    """

    path: tuple[str, ...]
    bytes: np.ndarray
    width: np.ndarray
    height: np.ndarray
    mode: tuple[str, ...]
    orientation: np.ndarray
    format: tuple[str, ...]
    digest: tuple[bytes, ...]
    colour: np.ndarray
    border: np.ndarray
    spread: np.ndarray
    small: np.ndarray
    unreadable: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.path)

    @property
    def shorter(self) -> np.ndarray:
        """The shorter side in pixels, int32 [n]."""
        return np.minimum(self.width, self.height)

    @property
    def kind(self) -> list[str]:
        """The mode in words: "colour", "grey", "transparent", "palette", "CMYK" or "grey of more than 8 bits"."""
        return ["grey of more than 8 bits" if mode.startswith("I;") else _KINDS.get(mode, "colour") for mode in self.mode]


def gather(paths: Sequence[str], threads: int = 2, tick: Callable[[int], None] = lambda n: None) -> Facts:
    """One decode of each file, of JPEGs at a fraction of their size; tick(files) is called as they are done. Never raises for
    a file: those that cannot be decoded are in `unreadable`, with the words of `files.defect`. The same whatever `threads` is."""
    seen, lost = [], []
    with _quiet(), ThreadPoolExecutor(max(1, threads)) as pool:
        for path, row in zip(paths, pool.map(_look, paths), strict=True):
            (lost if isinstance(row, str) else seen).append((path, row))
            tick(1)
    columns = list(zip(*(row for _, row in seen), strict=True)) or [()] * 11
    size, width, height, mode, turned, kind, digest, colour, border, spread, small = columns
    return Facts(
        path=tuple(path for path, _ in seen), bytes=np.array(size, np.int64), width=np.array(width, np.int32),
        height=np.array(height, np.int32), mode=tuple(mode), orientation=np.array(turned, np.int8), format=tuple(kind),
        digest=tuple(digest), colour=np.array(colour, np.float32).reshape(-1, 3), border=np.array(border, np.float32).reshape(-1, 3),
        spread=np.array(spread, np.float32), small=np.array(small, np.uint8).reshape(-1, SMALL, SMALL, 3), unreadable=tuple(lost),
    )  # fmt: skip


def _look(path: str) -> tuple | str:
    """The facts of one file in the order of Facts' fields, or what is wrong with it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # Before it is opened, because a pipe would wait for ever.
            return defect(path)
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
            size = file.tell()
            width, height, mode, turned, kind = _header(file)
        picture = decode(path, at_least=LOOK)
    except Exception:  # Whatever a damaged file makes of a decoder; `defect` knows the words for it.
        return defect(path) or "damaged"
    image = Image.fromarray(picture)
    factor = (max(1, image.width // LOOK), max(1, image.height // LOOK))
    if factor != (1, 1):
        image = image.reduce(factor)
    rgb = np.asarray(image, np.float32)
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    small = np.asarray(image.resize((SMALL, SMALL), Image.Resampling.BILINEAR))
    return size, width, height, mode, turned, kind, digest, rgb.mean((0, 1)), _frame(rgb).mean(0), float(grey.std()), small


def _header(file) -> tuple[int, int, str, int, str]:
    """(width, height, mode, orientation, format) as stored."""
    file.seek(0)
    with Image.open(file) as image:
        turned = 1
        # Pillow decodes the whole of a PNG to look for EXIF data behind its pixels, where hardly any has them.
        if image.format != "PNG" or "exif" in image.info:
            turned = image.getexif().get(0x0112, 1)
        turned = turned if isinstance(turned, int) and 1 <= turned <= 8 else 1
        return image.width, image.height, image.mode, turned, "JPEG" if image.format == "MPO" else image.format


def _frame(rgb: np.ndarray) -> np.ndarray:
    """The border pixels of an image [h, w, 3], as [m, 3]."""
    down, across = (max(1, round(EDGE * side)) for side in rgb.shape[:2])
    inside = np.zeros(rgb.shape[:2], bool)
    inside[down:-down, across:-across] = True
    return rgb[~inside]


def findings(facts: Facts, labels: Sequence | None = None, size: int = 224) -> list[Finding]:
    """What is mixed or odd about the files as files. Whether it goes with the label, which is worse, `shortcuts` tells.

    labels [n], shown beside the examples. size: pixels a side of the body's input.
    """
    show = _Shown(facts, labels)
    made = [
        _unreadable(facts),
        _enlarged(show, size),
        _sizes(show),
        _elongated(show),
        _deep(show),
        _modes(show),
        _formats(show),
        _turned(show),
    ]
    return [one for one in made if one]


@dataclass(frozen=True)
class _Shown:
    """Makes findings of row numbers."""

    facts: Facts
    labels: Sequence | None

    def finding(self, kind: str, level: str, rows: np.ndarray, text: str, effect: str, repair: str, column: Sequence, **numbers) -> Finding:
        """column [n]: what is worth showing beside each file, under the name of `kind`."""
        examples = []
        for i in rows[:12]:
            one = {"files": [self.facts.path[i]], "what": str(column[i])}
            examples.append(one | ({"label": self.labels[i]} if self.labels is not None else {}))
        files = tuple(self.facts.path[i] for i in rows)
        return Finding(kind, level, len(rows), text, effect, repair, files, tuple(examples), numbers)

    @property
    def pixels(self) -> list[str]:
        return [f"{w} x {h}" for w, h in zip(self.facts.width.tolist(), self.facts.height.tolist(), strict=True)]


def _unreadable(facts: Facts) -> Finding | None:
    lost, total = facts.unreadable, len(facts) + len(facts.unreadable)
    if not lost:
        return None
    why = ", ".join(f"{count} {words}" for words, count in Counter(words for _, words in lost).most_common())
    fails = len(lost) > SHARE * total
    return Finding(
        "unreadable", "problem" if fails else "warning", len(lost), f"{len(lost)} of {total} images cannot be read ({why}).",
        "A fit refuses to start with so many, and leaves out fewer." if fails else "A fit leaves them out.",
        "Replace or remove them" + (f", or allow them with --set data.bad_share={_allow(len(lost), total):g}." if fails else "."),
        tuple(path for path, _ in lost), tuple({"files": [path], "what": words} for path, words in lost[:12]),
        {"unreadable": len(lost), "of": total},
    )  # fmt: skip


def _allow(bad: int, total: int) -> float:
    return min(1.0, -(-bad * 1000 // total) / 1000)


def _enlarged(show: _Shown, size: int) -> Finding | None:
    """Images whose shorter side is below the body's input; a warning where some are enlarged more than twice."""
    facts = show.facts
    rows = np.flatnonzero(facts.shorter < size)
    if not len(rows):
        return None
    rows = rows[np.argsort(facts.shorter[rows], kind="stable")]
    twice = int((2 * facts.shorter < size).sum())
    least = int(facts.shorter[rows[0]])
    some = "All images are" if len(rows) == len(facts) else f"{len(rows)} of {len(facts)} images {'is' if len(rows) == 1 else 'are'}"
    mixed = "" if len(rows) == len(facts) else " If they are more of one class than of another, blur itself tells the classes apart."
    return show.finding(
        "small_images", "warning" if twice > SHARE * len(facts) else "note", rows,
        f"{some} smaller than the body's input of {size} pixels; the smallest has a shorter side of {least}.",
        f"They are enlarged and blurred, and the body was trained on sharp images.{mixed}",
        "Use the originals where there are larger ones, or a body or --image-size nearer to what you have.",
        show.pixels, size=size, smallest=least, enlarged_more_than_twice=twice,
    )  # fmt: skip


def _sizes(show: _Shown) -> Finding | None:
    facts = show.facts
    area = facts.width.astype(float) * facts.height
    low, high = np.quantile(area, [0.05, 0.95]) if len(area) else (1.0, 1.0)
    if high < SPREAD * low:
        return None
    order = np.argsort(area, kind="stable")
    # How far from the usual size, in doublings; where 90 % of the areas span SPREAD = 4 or more, some are off by one at least.
    off = np.abs(np.log2(area / np.median(area)))
    rows = np.flatnonzero(off >= 1)
    rows = rows[np.argsort(-off[rows], kind="stable")]
    pixels = show.pixels
    return show.finding(
        "mixed_sizes", "note", rows, f"Image sizes differ widely, from {pixels[order[0]]} to {pixels[order[-1]]} pixels.",
        "After resizing, small images are blurred and large ones have lost detail; scores can differ between the two.",
        "Nothing, where new images will be as mixed; else collect images like those that the model will meet.",
        pixels, low=float(low), high=float(high),
    )  # fmt: skip


def _elongated(show: _Shown) -> Finding | None:
    facts = show.facts
    ratio = np.maximum(facts.width, facts.height) / np.maximum(facts.shorter, 1)
    rows = np.flatnonzero(ratio >= LONG)
    if not len(rows):
        return None
    rows = rows[np.argsort(-ratio[rows], kind="stable")]
    return show.finding(
        "elongated", "warning" if len(rows) > SHARE * len(facts) else "note", rows,
        f"{len(rows)} of {len(facts)} images {'is' if len(rows) == 1 else 'are'} {LONG} or more times as long as wide.",
        "The body sees the square in the middle, a third of such an image or less, and what matters may lie outside of it.",
        "Crop them to what matters, or cut them into several images.", show.pixels, longest=float(ratio.max()),
    )  # fmt: skip


def _deep(show: _Shown) -> Finding | None:
    kinds = show.facts.kind
    rows = np.array([i for i, kind in enumerate(kinds) if kind == "grey of more than 8 bits"], int)
    if not len(rows):
        return None
    return show.finding(
        "deep_grey", "warning", rows, f"{len(rows)} images hold grey values of more than 8 bits.",
        "Only the upper 8 bits are kept, so where the values fill a small part of the range little or nothing of the image is left.",
        "Scale them to 8 bits yourself, the same way for all images and for those that the model will meet.", show.facts.mode,
    )  # fmt: skip


def _modes(show: _Shown) -> Finding | None:
    kinds = show.facts.kind
    counts = Counter(kinds).most_common()
    if len(counts) < 2:
        return None
    rows = np.array([i for i, kind in enumerate(kinds) if kind != counts[0][0]], int)
    return show.finding(
        "mixed_modes", "note", rows, f"The images are of several kinds: {_counted(counts)}.",
        "All are turned into colour (transparency becomes white), so a kind that goes with a class gives the class away.",
        "Save all images the same way, and see whether the shortcuts name 'format and mode'.", kinds, counts=dict(counts),
    )  # fmt: skip


def _formats(show: _Shown) -> Finding | None:
    counts = Counter(show.facts.format).most_common()
    if len(counts) < 2:
        return None
    rows = np.array([i for i, kind in enumerate(show.facts.format) if kind != counts[0][0]], int)
    return show.finding(
        "mixed_formats", "note", rows, f"The files are of several formats: {_counted(counts)}.",
        "Compression leaves traces that a body can see, so a format that goes with a class gives the class away.",
        "Save all images in one format, and see whether the shortcuts name 'format and mode'.", show.facts.format, counts=dict(counts),
    )  # fmt: skip


def _turned(show: _Shown) -> Finding | None:
    rows = np.flatnonzero(show.facts.orientation != 1)
    if not len(rows):
        return None
    return show.finding(
        "rotated", "note", rows, f"{len(rows)} of {len(show.facts)} images are stored turned or mirrored, with an EXIF note on it.",
        "They are set upright here; a program that serves the model without doing so would show it images lying on their side.",
        "Nothing for graft; elsewhere, apply the EXIF orientation before the model.",
        [f"orientation {o}" for o in show.facts.orientation.tolist()],
    )  # fmt: skip


def _counted(counts: list[tuple[str, int]]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts)
