"""Rows without labels get targets of zeros; labels are encoded as the task says."""

import pyarrow as pa
import torch

from graft.data.targets import encoder


def test_labels_are_encoded_and_their_absence_is_zeros():
    encode = encoder(lambda table: torch.tensor([len(label) for label in table["label"].to_pylist()]), "label")
    table = pa.table({"path": ["a", "b"], "label": ["x", "yyy"]})
    assert encode(table).tolist() == [1, 3]
    assert encode(table.drop_columns(["label"])).tolist() == [0.0, 0.0]
