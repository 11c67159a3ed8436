"""The images that the user's words mean: files, folders, or a list on stdin."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".jfif", ".avif")
"""In folders, only files that end so are taken; a file named by itself is always tried."""


def find(words: Sequence[str]) -> list[str]:
    """Paths in the order of the words; a folder's in the order of their names, through its sub-folders, without hidden ones.

    Raises DataError where nothing is left to predict, or a folder holds no image.
    """
    paths: list[str] = []
    for word in words:
        if word == "-":
            paths += [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
        elif os.path.isdir(word):
            inside = _inside(word)
            if not inside:
                raise DataError(f"There is no image in '{word}'; give images ({', '.join(SUFFIXES[:3])}, ...) or a folder that holds some.")
            paths += inside
        else:
            paths.append(word)
    if not paths:
        raise DataError("There is no image to predict; give images, folders, or a list of paths on stdin with -.")
    return paths


def _inside(folder: str) -> list[str]:
    found = []
    for base, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [str(Path(base) / name) for name in sorted(files) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return found
