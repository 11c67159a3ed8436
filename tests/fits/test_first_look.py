"""What a fit looks at in its data before it begins."""

import json
import shutil

import pyarrow as pa

from graft import api
from graft.core import Data, Schema
from graft.fits import first_look


def test_a_fit_checks_quickly_before_and_says_problems(photos, tmp_path):
    root = tmp_path / "data"
    for split in ("train", "val"):
        shutil.copytree(photos, root / split)
    heard = []
    run = api.fit(
        str(root), backbone="graft-mini", method="extract", image_size=32, evidence="off", out=str(tmp_path / "run"), on_event=heard.append
    )
    kept = {one["kind"]: one for one in json.loads((run.folder / "check.json").read_text())["findings"]}
    assert kept["duplicates_across_splits"]["level"] == "problem"
    said = kept["duplicates_across_splits"]["text"]
    assert any(e["text"].startswith(said) for e in heard if e["event"] == "note")


def test_a_sheet_has_the_rows_of_all_splits_with_labels_where_there_are_some():
    table = pa.table({"path": ["a", "b"], "label": ["x", "y"]})
    more = {"test": table.slice(1), "unlabelled": pa.table({"path": ["c"]})}
    data = Data(train=table, schema=Schema("image", "class", ("x", "y")), fingerprint="0", source="here", **more)
    sheet = first_look.sheet_of(data)
    assert sheet.paths == ["a", "b", "b", "c"] and sheet.splits == ("train", "train", "test", "unlabelled")
    assert sheet.labels == ("x", "y", "y", None)
