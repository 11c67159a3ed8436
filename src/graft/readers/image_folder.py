"""A folder of class folders: PHOTOS/cat/1.jpg, or PHOTOS/train/cat/1.jpg beside PHOTOS/val and PHOTOS/test."""

from dataclasses import dataclass

import pyarrow as pa

from ..core import Data, Schema
from .labels import fingerprint
from .walk import Walk as _Walk
from .walk import Wanted, kinds, read_classes

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_KINDS = kinds("image", "images")
_REPAIR = "put the images of each class into a folder of its own, for example PHOTOS/cat and PHOTOS/dog"
_BARE = "; for images without labels use --reader images with -m simclr (graft embed needs no labels)"
_IMAGES = Wanted(EXTENSIONS, "images", _KINDS, _REPAIR, "csv_table", _BARE)


@dataclass(frozen=True)
class Options:
    """How a folder is read.

    bad_share: largest share of the files that may be unreadable before the run refuses to start; 0.05 because a few
    broken downloads are normal in real collections, and more mean that something went wrong with all of them.
    fewest: classes that there have to be; 2, because one alone cannot be told from anything, and 1 for method extend, which adds to others.
    """

    bad_share: float = 0.05
    fewest: int = 2


def read(path: str, options: Options) -> Data:
    """Read class folders, in split folders or not, as `walk.read_classes` finds them.

    The tables have the columns path and label (strings), sorted by path. Raises DataError.
    """
    walk = _Walk(_IMAGES)
    root, found, classes, notes = read_classes(path, walk, options.fewest)
    tables = {split: _table(rows) for split, rows in found.items()}
    return Data(
        train=tables["train"],
        val=tables.get("val"),
        test=tables.get("test"),
        schema=Schema("image", "class", classes),
        fingerprint=fingerprint(tables.values()),
        source=root,
        notes=tuple(walk.notes() + notes),
    )


def _table(classes: dict[str, list[str]]) -> pa.Table:
    rows = sorted((path, label) for label, paths in classes.items() for path in paths)
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in (0, 1)]
    return pa.Table.from_arrays(columns, names=["path", "label"])
