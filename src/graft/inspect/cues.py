"""Trivial cues of images, as columns of numbers: what tells nothing of what is shown, but may go with the label."""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .photos import Facts

COMMON = 16  # exact image sizes, formats and modes that get an indicator of their own
BUCKETS = 128  # of the hashed pieces of file names
NAME, ALL = "file name", "all together"


@dataclass(frozen=True, eq=False)
class Cues:
    """The cues of n samples. tables: [n, d] by the name of each set. path [n]. told(name, rows): what a set is like in some
    rows, in words, "" where there is nothing to say. effects, repairs: of a set that tells the classes apart, as of a Finding."""

    path: Sequence[str]
    tables: Mapping[str, np.ndarray]
    told: Callable[[str, np.ndarray], str]
    effects: Mapping[str, str]
    repairs: Mapping[str, str]


def of_photos(facts: Facts, names: Sequence[str]) -> Cues:
    """File sizes, dimensions, mean colours, border pixels, formats and file names, without the classes' `names` in these."""
    size, width, height = (np.log2(np.maximum(x, 1)) for x in (facts.bytes, facts.width, facts.height))
    ring = _ring(facts.small)
    exact = [f"{w} x {h}" for w, h in zip(facts.width.tolist(), facts.height.tolist(), strict=True)]
    forms = [
        f"{form} {mode} {turned != 1}" for form, mode, turned in zip(facts.format, facts.mode, facts.orientation.tolist(), strict=True)
    ]
    tables = {
        "file size": curved(size[:, None]),
        "dimensions": np.concatenate([curved(np.stack([width, height, width - height], 1)), indicators(exact)], 1),
        "mean colour": curved(np.concatenate([facts.colour, facts.spread[:, None]], 1)),
        "border pixels": curved(np.concatenate([facts.border, ring.std(1)], 1)),
        "format and mode": indicators(forms),
        NAME: spelt(facts.path, names),
    }
    return Cues(facts.path, tables, lambda name, rows: _told(facts, name, rows), _EFFECTS, _REPAIRS)


def _ring(small: np.ndarray) -> np.ndarray:
    """The two outermost rows and columns of thumbnails [n, s, s, 3], as float32 [n, m, 3]."""
    inside = np.zeros(small.shape[1:3], bool)
    inside[2:-2, 2:-2] = True
    return small[:, ~inside].astype(np.float32)


def curved(x: np.ndarray) -> np.ndarray:
    """Standardised columns with their squares and products: classes that differ in spread, or lie between others."""
    spread = x.std(0, dtype=np.float64)
    x = (x - x.mean(0, dtype=np.float64)) / np.where(spread > 1e-6, spread, np.inf)
    first, second = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, first] * x[:, second]], 1)


def indicators(values: Sequence[str], most: int = COMMON) -> np.ndarray:
    """0 or 1 [n, m] for each of the `most` commonest values, m of them; all 0 for a rarer one."""
    kept = [value for value, count in Counter(values).most_common(most) if count > 1] or [""]
    return np.array([[float(value == one) for one in kept] for value in values]).reshape(-1, len(kept))


def spelt(paths: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """[n, d]: of each file's stem its length, kinds of signs and hashed pieces; the classes' own names are cut out."""
    return np.stack([_spelt(path, names) for path in paths]) if len(paths) else np.empty((0, 1))


def _spelt(path: str, names: Sequence[str]) -> np.ndarray:
    """Length, kinds of signs and hashed pieces of two and three signs of a file's stem; the classes' own names are cut out."""
    stem = re.split(r"[\\/]", path)[-1].rsplit(".", 1)[0].lower()
    for name in sorted(names, key=len, reverse=True):
        if len(name) > 1:
            stem = stem.replace(name.lower(), "")
    digits, letters = sum(c.isdigit() for c in stem), sum(c.isalpha() for c in stem)
    pieces = np.zeros(BUCKETS)
    for long in (2, 3):
        for i in range(len(stem) - long + 1):
            pieces[zlib.crc32(stem[i : i + long].encode()) % BUCKETS] += 1
    first = int((re.search(r"\d{1,15}", stem) or "0")[0])
    return np.concatenate([[len(stem), digits, letters, len(stem) - digits - letters, np.log1p(first)], np.sqrt(pieces)])


def _told(facts: Facts, name: str, inside: np.ndarray) -> str:
    """What the cue is like: the median, or the commonest."""
    if name == "file size":
        return f"{np.median(facts.bytes[inside]) / 1000:.1f} kB"
    if name == "dimensions":
        (size, count), *_ = Counter(zip(facts.width[inside].tolist(), facts.height[inside].tolist(), strict=True)).most_common(1)
        return f"{count / len(inside):.0%} are {size[0]} x {size[1]}"
    if name in ("mean colour", "border pixels"):
        values = (facts.colour if name == "mean colour" else facts.border)[inside]
        return "rgb({}, {}, {})".format(*np.rint(np.median(values, 0)).astype(int).tolist())
    if name == "format and mode":
        (kind, count), *_ = Counter((facts.format[j], facts.mode[j]) for j in inside).most_common(1)
        return f"{count / len(inside):.0%} are {' '.join(kind)}"
    return ""


_EFFECTS = {
    "file size": "The size itself is not seen, but what makes it is: sharpness, compression, how much there is in the picture.",
    "dimensions": "After resizing, sizes show as blur and proportions, which a network sees.",
    "mean colour": "Light and colour can stand in for what the images show; under other light the model would then fail.",
    "border pixels": "The background alone gives the class away, so the model need not look at the object, and fails on another ground.",
    "format and mode": "Compression and lost colours leave traces that a network sees.",
    ALL: "Together such cues give the class away without a look at the object, and a network sees most of them.",
}
_REPAIRS = {
    "file size": "Save all images the same way from originals of the same quality.",
    "dimensions": "Crop or resize all classes alike, from originals of the same kind.",
    "mean colour": "Nothing where colour is what the classes are about; else take all classes under the same light, or --augment strong.",
    "border pixels": "Crop to the object, or take every class on the same and on several grounds; test on images from elsewhere.",
    "format and mode": "Save all images in one format and mode.",
    ALL: "Collect all classes in the same way, and test on images from elsewhere.",
}
