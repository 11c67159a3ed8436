"""Tiny data with what a made-up teacher says of each row, and unlabelled rows beside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from tests import nets

from graft.core import Data

WIDTH = 5


def heard(table: pa.Table, seed: int = 0, k: int = 2) -> pa.Table:
    """The table with columns "teacher" [k], logits that lean to the row's class where it has one, and "teacher_features" [WIDTH]."""
    rng = np.random.default_rng(seed)
    light = [label == "light" for label in table["label"].to_pylist()] if "label" in table.column_names else rng.random(len(table)) < 0.5
    logits = rng.normal(size=(len(table), k)) + 3 * np.eye(k)[np.array(light, int) % k]
    table = table.append_column("teacher", pa.array(logits.astype(np.float32).tolist(), pa.list_(pa.float32())))
    features = rng.normal(2, 3, (len(table), WIDTH)).astype(np.float32)
    return table.append_column("teacher_features", pa.array(features.tolist(), pa.list_(pa.float32())))


def data(folder: Path, rows: int = 24, unlabelled: int = 10) -> Data:
    """nets.data with a teacher's words for the learning and selecting rows, and so many rows without labels."""
    found = nets.data(folder / "labelled", rows)
    more = heard(nets.photos(folder / "more", unlabelled, seed=5).select(["path"]), 3) if unlabelled else None
    return replace(found, train=heard(found.train, 1), val=heard(found.val, 2), unlabelled=more)
