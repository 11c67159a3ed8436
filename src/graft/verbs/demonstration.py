"""`graft demo`: the real handwritten digits that ship with scikit-learn, with ten labels a class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..core import Run
from ..spec import Spec

LABELS_A_CLASS = 10


def digits(folder: Path, labels: int = LABELS_A_CLASS, seed: int = 0) -> Path:
    """Write 1,797 digits of 8x8 pixels (Alpaydin & Kaynak, 1998) as PNG: `labels` a class into train/, the others into test/."""
    from PIL import Image
    from sklearn.datasets import load_digits

    held = load_digits()
    order, taken = np.random.default_rng(seed).permutation(len(held.target)), dict.fromkeys(range(10), 0)
    for number in order:
        name = int(held.target[number])
        split = "train" if taken[name] < labels else "test"
        taken[name] += 1
        place = folder / split / str(name)
        place.mkdir(parents=True, exist_ok=True)
        pixels = (held.images[number] * (255 / 16)).round().astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:04d}.png")
    return folder


def demo(out: Path, fit: Callable[..., Run], on_event) -> dict:
    """Transfer against scratch on the same rows; scratch gets at least the time that transfer took, and twice its steps."""
    from ..metrics.bootstrap import paired_difference

    data = str(digits(out / "digits"))
    transfer = fit(Spec.make(data, backbone="graft-mini", out=str(out / "transfer"), augment="none"), on_event=on_event)
    scratch = fit(Spec.make(data, backbone="graft-mini", method="scratch", out=str(out / "scratch"), augment="none"), on_event=on_event)
    right = [_right(run.folder) for run in (transfer, scratch)]
    gain, low, high = paired_difference(*right)
    return {"transfer": transfer, "scratch": scratch, "difference": {"value": gain, "interval": [low, high]}, "rows": len(right[0])}


def _right(folder: Path) -> np.ndarray:
    """1 where the prediction is right, in the order of the paths, so that two runs pair."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "predictions.parquet", columns=["path", "label", "predicted"]).sort_by("path")
    return np.asarray([a == b for a, b in zip(table["label"].to_pylist(), table["predicted"].to_pylist(), strict=True)], float)
