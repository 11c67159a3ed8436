"""What a fit on texts shows of its mistakes: a file for each kind of label, from the rows that were scored."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import sets, texts

from graft import api
from graft.fits import passages

KINDS = {"class": "texts.json", "number": "texts.json", "tags": "entities.json", "spans": "answers.json", "language": None}


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explained")
    texts.write(folder / "bert", "bert")

    def run(kind):
        data = {"tags": sets.tagged, "spans": sets.asked, "language": sets.running}.get(kind, sets.table)
        suffix = {"tags": ".conll", "spans": ".json", "language": ""}.get(kind, ".csv")
        path = data(folder / f"{kind}{suffix}", **({"target": kind} if data is sets.table else {}))
        values = {"task": "language", "sets": ["task.block=20"]} if kind == "language" else {}
        values |= {"epochs": 1, "folds": 0, "evidence": "off"}
        return api.fit(str(path), backbone=str(folder / "bert"), out=str(folder / f"run {kind}"), **values)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_mistakes_are_written_and_are_those_of_the_scored_rows(kind, fit):
    run = fit(kind)
    held = sorted((run.folder / "explain").glob("*.json")) if (run.folder / "explain").exists() else []
    assert [file.name for file in held] == ([KINDS[kind]] if KINDS[kind] else [])
    if not held:
        return
    told, rows = json.loads(held[0].read_text()), pq.read_table(run.folder / "predictions.parquet")
    if kind == "tags":
        assert told["of"] == len(rows) and told["wrong"] == sum(row["label"] != row["predicted"] for row in rows.to_pylist())
    shown = {row["path"] for row in (told if isinstance(told, list) else next(v for v in told.values() if isinstance(v, list)))}
    assert shown <= set(rows["path"].to_pylist())
    if kind == "spans":
        assert shown <= {row["path"] for row in rows.to_pylist() if not row["exact_match"]}


def test_answers_are_read_from_the_columns_of_predictions():
    rows = pa.table({
        "path": ["q1", "q2"], "text": ["who", "what"], "context": ["the cat sat", "a dog ran"], "label": [["cat"], ["dog"]],
        "starts": [[4], [2]], "predicted": ["cat", "ran"], "exact_match": [1.0, 0.0], "f1": [1.0, 0.0],
    })  # fmt: skip
    (found,) = passages.answers(rows)
    assert found["path"] == "q2" and found["predicted"] == "ran" and found["truth"] == ["dog"]
