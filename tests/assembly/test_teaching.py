"""What a teacher says of rows: the right numbers in the right order, computed once; what does not fit is named."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests import nets

from graft import catalog
from graft.assembly import teaching
from graft.core import Schema
from graft.data.images import load_images, normalise
from graft.engine import store, ways
from graft.engine.device import Machine
from graft.engine.journal import Journal
from graft.errors import OptionError
from graft.export.model import Model
from graft.spec import Part, Spec

CPU = Machine(torch.device("cpu"))


def model(folder, schema=None, name="classification", seed=0):
    schema = schema or Schema("image", "class", ("dark", "light"))
    made = catalog.resolve("task", name)(schema, catalog.options("task", name)())
    return Model(nets.net(made, seed), made, {"temperature": 1.5}, folder / "run" / "model")


def slow(teacher, table):
    """Logits of one image at a time."""
    net = teacher.net.eval()
    with torch.no_grad():
        rows = [net(normalise(load_images([path], net.prepare), net.prepare))[0] for path in table["path"].to_pylist()]
    return torch.stack(rows)


def test_it_says_its_own_logits_and_features_in_the_order_of_the_data(tmp_path):
    teacher, table = model(tmp_path), nets.photos(tmp_path / "photos", 7)
    schema = Schema("image", "class", ("light", "dark"))  # the other way round
    bare = table.select(["path"])
    said, again = teaching.say(teacher, [table, bare], schema, CPU)
    assert torch.allclose(said.outputs, slow(teacher, table)[:, [1, 0]], atol=1e-5) and torch.equal(said.outputs, again.outputs)
    assert torch.allclose(teacher.net.head(said.features)[:, [1, 0]], said.outputs, atol=1e-5)
    columns, plain = (teaching.record(teacher, [table], schema, CPU, features=on)[0] for on in (True, False))
    assert columns.schema.field("teacher").type == pa.list_(pa.float32()) and "teacher_features" not in plain.column_names
    assert torch.equal(torch.tensor(columns["teacher"].to_pylist()), said.outputs)
    assert torch.equal(torch.tensor(columns["teacher_features"].to_pylist()), said.features)


def test_classes_that_the_data_do_not_have_are_left_out(tmp_path):
    teacher = model(tmp_path, Schema("image", "class", ("black", "dark", "light")))
    table = nets.photos(tmp_path / "photos", 3)
    (said,) = teaching.say(teacher, [table], Schema("image", "class", ("light", "dark")), CPU)
    assert torch.allclose(said.outputs, slow(teacher, table)[:, [2, 1]], atol=1e-5)


def test_numbers_are_told_in_the_data_s_own_unit(tmp_path):
    teacher = model(tmp_path, Schema("image", "number", centre=10.0, spread=4.0), "regression")
    table = nets.photos(tmp_path / "photos", 4)
    schema = Schema("image", "number", centre=2.0, spread=8.0)
    (said,) = teaching.say(teacher, [table], schema, CPU)
    assert torch.allclose(said.outputs * 8 + 2, slow(teacher, table) * 4 + 10, atol=1e-4)


def test_what_was_computed_is_kept(tmp_path, monkeypatch):
    table, runs, real = nets.photos(tmp_path / "photos", 5, seed=11), [], ways.Way.states
    kept, passed = store.Store(tmp_path / "store"), []
    monkeypatch.setattr(ways.Way, "states", lambda *args: passed.append(1) or real(*args))
    for _ in range(2):
        teacher = model(tmp_path)
        (said,) = teaching.say(teacher, [table], teacher.task.schema, CPU, kept)
        runs.append(said.outputs)
    assert torch.equal(*runs) and len(passed) == 1


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (
            Schema("image", "class", ("dark", "green", "light")),
            r"not know 'green' of these data's 3 classes \(it knows 'dark', 'light'\)",
        ),
        (Schema("image", "labels", ("dark", "light")), "gives one class a row, and these data have any number of labels a row"),
        (Schema("image", "number"), "these data have a number a row"),
        (Schema("text", "class", ("dark", "light"), "text"), "knows images, and these data are texts"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_by_name(schema, words, tmp_path):
    with pytest.raises(OptionError, match=words) as caught:
        teaching.check(model(tmp_path), schema)
    assert str(tmp_path / "run") in str(caught.value)


def test_rows_that_it_has_learnt_from_are_known_by_its_run(tmp_path):
    teacher, table = model(tmp_path), pa.table({"path": ["a", "b", "c", "d"], "label": ["dark"] * 4})
    assert not teaching.seen(teacher, table).any()  # A model alone says nothing of it.
    (tmp_path / "run").mkdir()
    roles = {"path": ["a", "b", "c"], "label": ["dark"] * 3, "role": ["train", "select", "score"], "fold": [-1, -1, -1]}
    pq.write_table(pa.table(roles), tmp_path / "run" / "splits.parquet")
    assert teaching.seen(teacher, table).tolist() == [True, True, False, False]
    pq.write_table(pa.table(roles | {"role": ["score"] * 3, "fold": [0, 1, 2]}), tmp_path / "run" / "splits.parquet")
    assert teaching.seen(teacher, table).tolist() == [True, True, True, False]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """taught(spec values, unlabelled) with a made-up teacher."""
    teacher, rows = model(tmp_path), nets.data(tmp_path / "photos", 24)
    monkeypatch.setattr(teaching, "load", lambda run: teacher)

    def taught(method="distill", unlabelled=None, told=None, **values):
        spec = Spec(Part("image_folder", {"path": str(tmp_path)}), method=Part(method), **values)
        journal = Journal((told if told is not None else []).append)
        return teaching.taught(spec, replace(rows, unlabelled=unlabelled), nets.task(), CPU, journal)

    return taught


def test_all_tables_that_learn_or_select_get_the_columns(asked, tmp_path):
    told = []
    _, data = asked(teacher="run", unlabelled=nets.photos(tmp_path / "more", 6, seed=4).select(["path"]), told=told)
    assert all("teacher" in table.column_names for table in (data.train, data.val, data.unlabelled, data.learning()))
    assert "teacher" not in data.test.column_names and "teacher_features" not in data.train.column_names
    (row,) = [event for event in told if event["event"] == "teacher"]
    assert row["rows"] == len(data.train) and row["unlabelled"] == 6 and row["seen"] == 0


def test_a_teacher_belongs_to_distill_and_distill_to_a_teacher(asked):
    _, data = asked(method="lp_ft")
    assert "teacher" not in data.train.column_names
    with pytest.raises(OptionError, match="'lp_ft' learns from no teacher; use --method distill"):
        asked(method="lp_ft", teacher="run")
    with pytest.raises(OptionError, match="needs a teacher; name a finished run with --teacher RUN"):
        asked()


def test_mixing_is_switched_off_and_refused_where_it_was_asked_for(asked):
    told = []
    spec, _ = asked(teacher="run", augment=Part("strong"), told=told)
    assert spec.augment.values == {"mixup": 0.0, "cutmix": 0.0} and any(e.get("what") == "mixing" for e in told)
    with pytest.raises(OptionError, match="mixed images"):
        asked(teacher="run", augment=Part("light", {"mixup": 0.2}))


def test_a_run_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(OptionError, match=r"no run in .*--teacher RUN"):
        teaching.load(tmp_path / "gone")


def test_logits_of_rows_stay_with_them_in_columns():
    values = torch.arange(6.0).reshape(3, 2)
    assert teaching._lists(values).to_pylist() == [[0, 1], [2, 3], [4, 5]]
    assert np.allclose(np.array(teaching._lists(values).take(pa.array([2, 0])).to_pylist()), [[4, 5], [0, 1]])
