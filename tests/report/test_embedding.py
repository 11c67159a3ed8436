"""The page of features is made of its folder alone, and of whatever part of it is there."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from graft.report import embedding


def test_the_page_draws_every_sample_and_escapes_what_it_says(tmp_path):
    table = pa.table({
        "path": ["a.png", "b.png", "c.png"], "label": ["<b>", "cat", "cat"], "cluster": pa.array([0, 0, -1], pa.int32()),
        "x": [0.0, 1.0, 2.0], "y": [1.0, 1.0, 1.0],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "rows.parquet")
    tried = [{"k": 2, "stability": 0.9, "error": 0.01}, {"k": 3, "stability": 0.7, "error": 0.02}]
    clusters = {"how": "auto", "number": 1, "sizes": [2], "left_out": 1, "why": "they agree", "tried": tried, "null": 0.3}
    about = {"source": "photos", "modality": "image", "body": "tiny", "layers": ["top"], "rows": 3, "width": 4, "map": "two axes"}
    (tmp_path / "embedding.json").write_text(json.dumps(about | {"clusters": clusters}))
    page = embedding.write(tmp_path).read_text()
    assert page.count("<g transform") == 3 and "<b>cat" not in page and "&lt;b&gt;" in page
    assert "they agree" in page and "Number of groups" in page and "1 samples belong to none" in page.replace("1 sample ", "1 samples ")


def test_a_folder_with_nothing_in_it_gives_a_page_that_says_so(tmp_path):
    assert "no features here" in embedding.write(tmp_path).read_text()
