import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tests.report import folders

from graft.report.record import Record, picture


def test_journal_leaves_out_lines_that_are_no_events(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"event": "start", "t": 0}\n\n[1]\n"x"\n{"no": 1}\n{"event": "epoch", "t": 1}\n{"event": "ep')
    run = Record(tmp_path)
    assert [row["event"] for row in run.journal] == ["start", "epoch"] and run.unread == []
    assert run.last("epoch", "start")["t"] == 1 and run.last("done") == {} and len(run.all("start")) == 1


def test_missing_files_are_empty_and_broken_ones_are_named(tmp_path):
    run = Record(tmp_path)
    assert (run.scores, run.data, run.spec, run.predictions, run.classes, run.target(), run.unread) == ({}, {}, {}, None, [], "", [])
    (tmp_path / "scores.json").write_text("[]")
    (tmp_path / "spec.toml").write_text("= 3")
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 not really")
    run = Record(tmp_path)
    assert (run.scores, run.spec, run.predictions) == ({}, {}, None)
    assert set(run.unread) == {"scores.json", "spec.toml", "predictions.parquet"}


def test_predictions_are_the_scored_rows(tmp_path):
    columns = {"split": ["val", "test", "test"], "path": ["a", "b", "c"], "label": ["x", "y", "x"], "predicted": ["x", "x", "x"]}
    pq.write_table(pa.table(columns), tmp_path / "predictions.parquet")
    assert Record(tmp_path).predictions["path"].to_pylist() == ["b", "c"]
    (tmp_path / "scores.json").write_text(json.dumps({"scored": "val"}))
    assert Record(tmp_path).predictions["path"].to_pylist() == ["a"]


def test_target_and_matrix(tmp_path):
    assert Record(folders.classification(tmp_path / "a", ["x", "y"], n=20)).target() == "class"
    assert Record(folders.several_labels(tmp_path / "b")).target() == "labels"
    run = Record(folders.regression(tmp_path / "c"))
    assert run.target() == "number" and run.matrix("probabilities").shape == (120, 1) and run.matrix("absent") is None
    ragged = pa.table({"label": ["x", "y"], "predicted": ["x", "y"], "raw": [[1.0], [1.0, 2.0]]})
    pq.write_table(ragged, tmp_path / "predictions.parquet")
    assert Record(tmp_path).matrix("raw") is None


def test_picture_is_a_data_uri_of_files_in_the_folder_only(tmp_path):
    inside = tmp_path / "explain"
    inside.mkdir()
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(inside / "a.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    (inside / "cut.png").write_bytes((inside / "a.png").read_bytes()[:40])
    assert picture(inside, "a.png").startswith("data:image/webp;base64,")
    assert (
        picture(inside, "../b.png") == picture(inside, str(tmp_path / "b.png")) == picture(inside, "cut.png") == picture(inside, None) == ""
    )
