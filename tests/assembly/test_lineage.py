"""Runs that start from runs: heads that outlive them, rows that may be shown again, and classes that are added."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests import sets
from tests.chained import fit, task

import graft
from graft import api, catalog
from graft.assembly import lineage, wiring
from graft.core import Schema
from graft.data.images import load_images, normalise
from graft.engine.journal import Journal
from graft.errors import DataError, OptionError
from graft.readers import split
from graft.spec import Spec, options


@pytest.fixture(scope="module")
def made(photos, tmp_path_factory):
    """Two tasks, a run on the first, and a run on the second that starts from it and leaves the body as it is."""
    root = tmp_path_factory.mktemp("lineage")
    first, second = task(photos, root, "shapes"), task(photos, root, "marks")
    one = fit(first, root / "one")
    two = fit(second, root / "two", one.folder, "extract")
    return SimpleNamespace(root=root, first=first, second=second, one=one, two=two)


def assemble(made, method="lwf", data=None, start=None, **values):
    heard = []
    asked = {"evidence": "off", "precision": "exact", "backbone": f"run:{start or made.one.folder}", **values}
    spec = Spec.make(str(data or made.second), method=method, **asked)
    return wiring.assemble(spec, Journal(heard.append)), [row["text"] for row in heard if row["event"] == "note"]


def roles(folder):
    rows = pq.read_table(folder / "splits.parquet").to_pylist()
    return {role: {row["path"] for row in rows if row["role"] == role} for role in ("train", "select", "score")}


def test_a_model_keeps_the_head_of_the_run_before(made):
    before, after = graft.load(made.one.folder), graft.load(made.two.folder)
    assert before.tasks == ("shapes",) and after.tasks == ("shapes", "marks")
    images = sorted(map(str, (made.first / "test").rglob("*.png")))
    # The body was left as it was, so its earlier head says what it said, bit for bit.
    assert after.predict(images, task="shapes") == before.predict(images)
    assert after.predict(images, task="marks") == after.predict(images)
    assert {one.label for one in after.predict(images)} <= {"cross", "stripes"}
    with pytest.raises(OptionError, match=r"no task 'shape'.*Did you mean 'shapes'"):
        after.predict(images, task="shape")


def test_the_description_says_where_each_task_was_learnt(made):
    told = json.loads((made.two.model / "graft.json").read_text())
    first = json.loads((made.one.model / "graft.json").read_text())
    (entry,) = told["earlier"]
    assert entry["name"] == "shapes" and entry["task"]["schema"]["classes"] == ["circle", "cross"]
    assert entry["run"]["sha256"] == first["weights"]["sha256"] and entry["temperature"] == first["temperature"]
    assert entry["run"]["fingerprint"] == json.loads((made.one.folder / "data.json").read_text())["fingerprint"]
    card = (made.two.model / "README.md").read_text()
    assert "What it learnt, in this order" in card and card.index("| 1 | shapes") < card.index("| 2 | marks")
    assert all(one["weights"]["sha256"] in card for one in (first, told))
    assert "What it learnt" not in (made.one.model / "README.md").read_text()


def test_every_net_of_a_fit_has_the_earlier_heads(made):
    parts, _ = assemble(made, "finetune")
    one, two = parts.net("final"), parts.net("fold1")
    saved = graft.load(made.one.folder).net.head.state_dict()
    for net in (one, two):
        assert list(net.earlier) == ["shapes"]
        assert all(torch.equal(net.earlier["shapes"].state_dict()[name], value) for name, value in saved.items())
    next(one.earlier.parameters()).data.add_(1)
    assert not torch.equal(next(one.earlier.parameters()), next(two.earlier.parameters()))


def test_stored_rows_have_learnt_are_balanced_and_drawn_alike(made):
    parts, _ = assemble(made, "rehearsal", sets=["method.keep=3"])
    again, _ = assemble(made, "rehearsal", sets=["method.keep=3"])
    other, _ = assemble(made, "rehearsal", sets=["method.keep=3"], seed=1)
    table, learnt = parts.data.earlier["shapes"].table, roles(made.one.folder)["train"]
    labels = table["label"].to_pylist()
    assert sorted(labels) == ["circle"] * 3 + ["cross"] * 3 and set(table["path"].to_pylist()) <= learnt
    assert table.equals(again.data.earlier["shapes"].table) and not table.equals(other.data.earlier["shapes"].table)
    assert parts.data.earlier["shapes"].learnt == len(learnt)


def test_rows_are_told_what_the_earlier_head_says_of_them(made):
    parts, _ = assemble(made, "lwf")
    model = graft.load(made.one.folder)
    for table in (parts.data.train, parts.data.val):
        with torch.inference_mode():
            wanted = model.net(normalise(load_images(table["path"].to_pylist(), model.net.prepare), model.net.prepare))
        assert table.schema.field("earlier.shapes").type == pa.list_(pa.float32())
        np.testing.assert_allclose(table["earlier.shapes"].to_pylist(), wanted.numpy(), rtol=1e-4, atol=1e-4)
    plain, _ = assemble(made, "finetune")
    assert "earlier.shapes" not in plain.data.train.column_names
    assert len(parts.data.learning()) == len(parts.data.train) + len(parts.data.val)


def test_folds_have_the_columns_too(made, photos):
    data = assemble(made, "lwf", photos, folds=2)[0].data
    known = dict(zip(data.train["path"].to_pylist(), data.train["earlier.shapes"].to_pylist(), strict=True))
    for k in range(2):
        part = split.fold_data(data, k)
        for table in (part.train, part.val, part.test):
            assert all(known[row["path"]] == row["earlier.shapes"] for row in table.to_pylist())
    assert "earlier.shapes" in split.final_data(data).train.column_names


def test_a_resumed_run_has_what_it_began_with(made, tmp_path):
    data = assemble(made, "lwf")[0].data
    assert lineage.held(data, tmp_path / "kept.safetensors") is data
    moved = lineage._with(data, lambda name, table: torch.full((len(table), 2), 7.0))
    assert moved.train["earlier.shapes"].to_pylist()[0] == [7.0, 7.0]
    again = lineage.held(moved, tmp_path / "kept.safetensors")
    assert again.train.equals(data.train) and again.val.equals(data.val)
    bare = assemble(made, "finetune")[0].data
    assert lineage.held(bare, tmp_path / "none.safetensors") is bare and not (tmp_path / "none.safetensors").exists()


def test_heads_that_cannot_read_the_features_are_left_out_and_that_is_said(made):
    parts, notes = assemble(made, "finetune", layers="1")
    assert not parts.net("final").earlier and not parts.data.earlier
    assert any("shapes" in text and "other layers" in text for text in notes)
    pooled, notes = assemble(made, "finetune", pool="max")
    assert not pooled.net("final").earlier and any("pooled otherwise" in text for text in notes)


def test_random_weights_and_other_bodies_have_no_past(made):
    control, _ = assemble(made, "scratch", backbone="graft-mini")
    assert not control.net("final").earlier
    empty, _ = assemble(made, "finetune", weights="none")
    assert not empty.net("final").earlier and not empty.data.earlier


def test_rows_are_found_through_the_runs_before(made, photos):
    third = task(photos, made.root, "third", ("circle", "stripes"))
    parts, _ = assemble(made, "rehearsal", third, made.two.folder)
    assert list(parts.data.earlier) == ["shapes", "marks"] == list(parts.net("final").earlier)
    for name, run in (("shapes", made.one), ("marks", made.two)):
        assert set(parts.data.earlier[name].table["path"].to_pylist()) <= roles(run.folder)["train"]
    found = [folder for _, folder in lineage.runs(made.two.folder)]
    assert found == [made.two.folder, made.one.folder]


def test_files_that_are_gone_are_not_shown_again(made, photos, tmp_path):
    data = task(photos, tmp_path, "shapes")
    run = fit(data, tmp_path / "run", method="extract", head="linear")
    gone = sorted(roles(run.folder)["train"])[:4]
    for path in gone:
        (tmp_path / path).unlink()
    parts, notes = assemble(made, "finetune", start=run.folder)
    assert not set(parts.data.earlier["shapes"].table["path"].to_pylist()) & set(gone)
    assert any(text.startswith("4 of the ") and "'shapes' are gone" in text for text in notes)
    (run.folder / "splits.parquet").unlink()
    bare, notes = assemble(made, "finetune", start=run.folder)
    assert len(bare.data.earlier["shapes"].table) == 0 and list(bare.net("final").earlier) == ["shapes"]
    assert any("not known any more" in text for text in notes)


def test_all_rows_of_a_run_in_folds_have_learnt(made, photos, tmp_path):
    run = fit(photos, tmp_path / "run", method="extract", folds=2)
    schema = Schema("image", "class", ("circle", "cross", "stripes"))
    assert len(lineage.rows(run.folder, schema, "train")) == 36 and len(lineage.rows(run.folder, schema, "score")) == 0
    new = task(photos, tmp_path, "new", ("circle", "cross"), "plus")
    with pytest.raises(OptionError, match="kept no rows locked"):
        assemble(made, "extend", new, run.folder)


@pytest.mark.parametrize("write", [sets.table, sets.paired])
def test_rows_of_texts_are_read_again(write, tmp_path):
    file = write(tmp_path / "said.csv")
    spec = Spec.make(str(file))
    spec = replace(spec, data=replace(spec.data, name="text_table"))
    data = catalog.resolve("reader", "text_table")(str(file), options("data", spec.data))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.toml").write_text(spec.to_toml())
    table, count = data.train, len(data.train)
    known = {"role": ["train"] * (count - 5) + ["score"] * 5, "fold": pa.array([-1] * count, pa.int64())}
    pq.write_table(pa.table({"path": table["path"], "label": table["label"], **known}), tmp_path / "run" / "splits.parquet")
    found = lineage.rows(tmp_path / "run", data.schema, "train")
    names = [name for name in ("text", "context") if name in table.column_names]
    texts = dict(zip(table["path"].to_pylist(), table.select(names).to_pylist(), strict=True))
    assert len(found) == count - 5 and all(texts[row["path"]] == {name: row[name] for name in names} for row in found.to_pylist())
    file.unlink()
    assert lineage.rows(tmp_path / "run", data.schema, "train") is None


@pytest.mark.parametrize(("target", "most"), [("labels", 2 * 2), ("number", 2 * lineage.NUMBER_BINS)])
def test_rows_that_have_no_one_class_are_drawn_as_many(target, most):
    schema = Schema("image", target, ("a", "b") if target == "labels" else ())
    labels = [["a"]] * 50 if target == "labels" else [float(i) for i in range(50)]
    table = pa.table({"path": [str(i) for i in range(50)], "label": labels})
    found = lineage.some(table, schema, 2, 0, "x")
    assert len(found) == most and found["path"].to_pylist() == sorted(found["path"].to_pylist(), key=int)


def test_added_classes_stand_behind_the_old_ones_and_rows_keep_their_roles(made, photos):
    new = task(photos, made.root, "added", ("cross", "stripes"), "bars")
    parts, _ = assemble(made, "extend", new, sets=["method.keep=2"])
    data, old = parts.data, roles(made.one.folder)
    assert data.schema.classes == ("circle", "cross", "bars") and data.plan.folds == 0 and not data.plan.drawn
    train, val, test = ([row for row in getattr(data, part).to_pylist()] for part in ("train", "val", "test"))
    stored = [row for row in train if row["path"] in old["train"]]
    assert sorted(row["label"] for row in stored) == ["circle", "circle", "cross", "cross"]
    assert old["select"] <= {row["path"] for row in val} and old["score"] <= {row["path"] for row in test}
    assert {"circle", "bars"} <= {row["label"] for row in test} and {"circle", "bars"} <= {row["label"] for row in val}
    paths = [{row["path"] for row in part} for part in (train, val, test)]
    assert not (paths[0] & paths[2] or paths[1] & paths[2] or paths[0] & paths[1])
    assert parts.spec.folds == 0 and assemble(made, "extend", new, sets=["method.keep=2"])[0].data.fingerprint == data.fingerprint


def test_a_row_that_both_have_keeps_its_role(made, photos):
    """The old data grown by a class, in other splits: what was locked stays locked."""
    grown = made.root / "grown"
    for file in sorted((made.first).rglob("*.png")):
        place = grown / file.parent.name / file.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(file)
    for file in sorted((photos / "stripes").iterdir()):
        (grown / "stripes").mkdir(exist_ok=True)
        (grown / "stripes" / file.name).write_bytes(file.read_bytes())
    run = fit(grown, made.root / "grown-run", method="extract", folds=0, head="linear")
    wider = task(photos, made.root, "wider", ("circle", "cross"), "plus")
    for file in (grown / "circle").iterdir():
        (wider / "train" / "circle" / f"again-{file.name}").symlink_to(file)
    had = roles(run.folder)
    table = pq.read_table(run.folder / "splits.parquet")
    moved = table.set_column(0, "path", pa.array([str(wider / "train" / "circle" / f"again-{p.rsplit('/', 1)[1]}") if "/circle/" in p else p
                                                  for p in table["path"].to_pylist()]))  # fmt: skip
    pq.write_table(moved, run.folder / "splits.parquet")
    locked = roles(run.folder)["score"]
    data = assemble(made, "extend", wider, run.folder)[0].data
    assert len(locked) == len(had["score"]) and not locked & set(data.train["path"].to_pylist())
    assert locked <= set(data.test["path"].to_pylist()) and len(set(data.test["path"].to_pylist())) == len(data.test)


def test_what_cannot_be_added_to_is_refused(made, photos, tmp_path):
    with pytest.raises(OptionError, match="--backbone run:PATH"):
        assemble(made, "extend", backbone="graft-mini")
    with pytest.raises(OptionError, match="leave --folds out"):
        assemble(made, "extend", folds=3)
    rows = "\n".join(f"{file},{i / 7:.2f}" for i, file in enumerate(sorted(made.second.rglob("*.png"))))
    (tmp_path / "numbers.csv").write_text(f"path,label\n{rows}\n")
    with pytest.raises(OptionError, match="classes only"):
        assemble(made, "extend", tmp_path / "numbers.csv")


def test_an_extended_run_knows_all_classes(made, photos):
    new = task(photos, made.root, "more", ("cross", "stripes"), "bars")
    run = fit(new, made.root / "extended", made.one.folder, "extend")
    model = graft.load(run.folder)
    assert model.classes == ("circle", "cross", "bars") and model.tasks == ("shapes", "more")
    assert set(pq.read_table(run.folder / "predictions.parquet")["label"].to_pylist()) == {"circle", "cross", "bars"}


def test_one_class_alone_is_added_where_a_fit_of_its_own_is_refused(made, photos, tmp_path):
    bars = tmp_path / "bars"
    for file in sorted((photos / "stripes").iterdir()):
        (bars / "bars").mkdir(parents=True, exist_ok=True)
        (bars / "bars" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="Only one class, 'bars'"):
        fit(bars, tmp_path / "alone")
    run = fit(bars, tmp_path / "extended", made.one.folder, "extend")
    assert graft.load(run.folder).classes == ("circle", "cross", "bars")
    assert set(pq.read_table(run.folder / "predictions.parquet")["label"].to_pylist()) == {"circle", "cross", "bars"}
    rows = "\n".join(f"{file},bars" for file in sorted(bars.rglob("*.png")))
    (tmp_path / "bars.csv").write_text(f"path,label\n{rows}\n")
    assert assemble(made, "extend", tmp_path / "bars.csv")[0].data.schema.classes == ("circle", "cross", "bars")


def test_a_run_of_an_older_graft_is_a_past_too(made, tmp_path):
    import shutil

    shutil.copytree(made.one.folder, tmp_path / "old")
    file = tmp_path / "old" / "model" / "graft.json"
    told = json.loads(file.read_text())
    del told["learnt"], told["earlier"]
    file.write_text(json.dumps(told))
    parts, _ = assemble(made, "finetune", start=tmp_path / "old")
    assert list(parts.net("final").earlier) == ["shapes"] and len(parts.data.earlier["shapes"].table)
    assert graft.load(tmp_path / "old").tasks == ("classification",)


def test_a_killed_run_goes_on_with_its_heads(made, tmp_path):
    def stop(event):
        if event["event"] == "kept":
            raise KeyboardInterrupt

    sets_ = ["method.epochs=1", "method.batch=8"]
    values = {"backbone": f"run:{made.one.folder}", "method": "lwf", "evidence": "off", "precision": "exact", "sets": sets_}
    whole = api.fit(Spec.make(str(made.second), out=str(tmp_path / "whole"), **values))
    with pytest.raises(graft.errors.Stopped):
        api.fit(Spec.make(str(made.second), out=str(tmp_path / "cut"), **values), on_event=stop)
    cut = api.resume(tmp_path / "cut")
    tensors = [graft.load(run.folder).net.state_dict() for run in (whole, cut)]
    assert tensors[0].keys() == tensors[1].keys() and any(name.startswith("earlier.shapes.") for name in tensors[0])
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
