"""Small trees of images for the tests of the readers."""

from pathlib import Path

import numpy as np
from PIL import Image

from graft.core import Data, Schema
from graft.readers.labels import fingerprint


def image(path: Path, seed: int = 0) -> Path:
    """A file of 8 x 8 noise; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


def tree(root: Path, counts: dict[str, int]) -> Path:
    """{"train/cat": 3, ...}: so many images in each folder, no two alike."""
    root.mkdir(parents=True, exist_ok=True)
    for number, (folder, count) in enumerate(sorted(counts.items())):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image(root / folder / f"{i:03d}.png", seed=1000 * number + i)
    return root


def rows(labels: list, kind: str = "class", groups: list[str] | None = None, name: str = "a") -> "object":
    """An Arrow table of paths that need not exist."""
    import pyarrow as pa

    types = {"class": pa.string(), "labels": pa.list_(pa.string()), "number": pa.float64()}
    columns = {"path": pa.array([f"/x/{name}{i:04d}.png" for i in range(len(labels))]), "label": pa.array(labels, types[kind])}
    if groups is not None:
        columns["group"] = pa.array(groups)
    return pa.table(columns)


def data(train, val=None, test=None, kind: str = "class") -> Data:
    labels = train.column("label").to_pylist()
    names = {name for label in labels for name in (label if isinstance(label, list) else [label])} if kind != "number" else ()
    return Data(train, Schema("image", kind, tuple(sorted(names))), fingerprint([train]), "/x", val=val, test=test)
