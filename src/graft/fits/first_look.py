"""The quick check before a fit: what costs next to nothing to see in the data."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from ..core import Data, name_column
from ..data.streams import Streams
from ..inspect import duplicates, table
from ..inspect.finding import ordered

SPLITS = ("train", "val", "test", "target", "unlabelled")


@dataclass(frozen=True)
class Sheet:
    """All readable rows of all splits, one after the other: path, label (a name, a list, a number, or None) and split of each."""

    table: pa.Table
    splits: tuple[str, ...]
    labels: tuple

    @property
    def paths(self) -> list[str]:
        return self.table["path"].to_pylist()


def quick(data: Data, streams: Streams) -> dict:
    """What costs next to nothing to see before a fit, in the form of check.json: labels, classes, groups, equal files."""
    found = table.findings(replace(data, notes=()))
    # Rows that select and are scored too are one table, and no copies of each other.
    both = data.val is not None and data.test is not None and data.val.equals(data.test)
    rows = sheet_of(replace(data, val=None) if both else data)
    known = duplicates.Rows(streams.digests(rows.table), rows.paths, rows.labels, rows.splits, f"{data.schema.modality}s")
    groups = duplicates.grouped(len(rows.paths), duplicates.same(known.digests))
    found += duplicates.findings(known, groups, np.empty((0, 2), np.int64), duplicates.Copies())
    return {
        "modality": data.schema.modality, "source": data.source,
        "counts": {name: rows.splits.count(name) for name in SPLITS if name in rows.splits},
        "classes": list(data.schema.classes), "findings": [one.as_dict() for one in ordered(found)],
        "looked_for": ["labels spelt alike", "missing and small classes", "imbalance", "groups across splits", "equal files"],
        "left_out": ["near duplicates, label errors, outliers and shortcuts: graft check looks for them"],
    }  # fmt: skip


def sheet_of(data: Data) -> Sheet:
    tables, splits, labels = [], [], []
    for name in SPLITS:
        one = getattr(data, name)
        if one is None or not len(one):
            continue
        told = {name: one[name] for name in ("group", data.schema.input, "context", "window", "ids") if name in one.column_names}
        tables.append(pa.table({**told, "path": one[name_column(one, data.schema.input)]}))
        splits += [name] * len(one)
        labels += one[data.schema.label].to_pylist() if data.schema.label in one.column_names else [None] * len(one)
    return Sheet(pa.concat_tables(tables, promote_options="default"), tuple(splits), tuple(labels))
