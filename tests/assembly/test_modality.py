"""Texts take the same road as images: chosen by themselves, compared, resumed, checked, and refused where a body cannot read them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from tests import nets, sets, texts
from tests.methods import words

from graft import api, catalog
from graft.assembly import modality
from graft.core import Stream, apart
from graft.data.streams import Streams
from graft.data.texts import Texts
from graft.data.tokens import Tokenizer, collate
from graft.errors import OptionError, Stopped
from graft.heads.pool import bare
from graft.spec import Part, Spec


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("body") / "bert"
    texts.write(folder, "bert")
    return str(folder)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return str(sets.table(tmp_path_factory.mktemp("table") / "data.csv"))


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    for seed, name in enumerate(("train", "val", "test")):
        sets.table(folder / f"{name}.csv", rows=24, seed=seed)
    return str(folder)


def test_batches_are_those_of_the_body(tmp_path):
    made, photo = words.task(), nets.task()
    assert isinstance(modality.streams(words.body(), made.encode, made.schema, 0), Texts)
    with modality.streams(nets.body(), photo.encode, photo.schema, 0) as images:
        assert isinstance(images, Streams) and not images.augment.active and images.classes == 2


def test_again_draws_the_same_batches_from_another_seed(tmp_path):
    made, photo, rows = words.task(), nets.task(), nets.photos(tmp_path / "photos", 12)
    tables = ((modality.streams(words.body(), made.encode, made.schema, 0), made, words.table(12, 0)), (nets.streams(photo), photo, rows))
    for held, task, table in tables:
        with held, modality.again(held, task.schema, 1) as other, modality.again(held, task.schema, 0) as same:
            stream = Stream(table, 4)
            drawn = [[batch.rows.tolist() for batch in one.epoch(stream, ("x",))] for one in (held, other, same)]
            assert drawn[0] == drawn[2] != drawn[1] and sorted(row for rows in drawn[1] for row in rows) == list(range(12))
            assert torch.equal(other.encode(table), task.encode(table))


def test_inputs_are_in_the_order_of_the_table(tmp_path):
    made, rows = words.task(), words.table(6, 0)
    state = modality.inputs(words.body(), made, rows)
    assert state["mask"].sum(1).tolist() == [len(text.split()) for text in rows["text"].to_pylist()]
    pixels = modality.inputs(nets.body(), nets.task(), nets.photos(tmp_path / "photos", 3))
    assert pixels.shape == (3, 3, nets.SIZE, nets.SIZE) and pixels.dtype == torch.float32


def test_a_body_of_the_other_kind_is_refused_in_one_sentence(bert, table, photos):
    for data, body, better in ((table, "graft-mini", "minilm"), (str(photos), bert, "graft-mini")):
        for verb in (api.fit, api.check):
            with pytest.raises(OptionError, match=f"--backbone {better}") as caught:
                verb(Spec.make(data, backbone=body))
            assert "\n" not in str(caught.value) and str(caught.value).count(". ") == 0


@pytest.mark.parametrize("values", [{"augment": "light"}, {"views": 2}, {"method": "extract", "views": 2}])
def test_texts_are_not_augmented(values, bert, table, tmp_path):
    with pytest.raises(OptionError, match="not augmented"):
        api.fit(table, backbone=bert, out=str(tmp_path / "run"), **values)
    assert not (tmp_path / "run").exists()


def test_a_text_longer_than_the_body_reads_is_said(bert, tmp_path):
    data = sets.table(tmp_path / "long.csv", rows=40, most=60)
    run = api.fit(str(data), backbone=bert, method="extract", evidence="off", folds=0, out=str(tmp_path / "run"))
    notes = [note for note in api.show(run.folder)["notes"] if "longer than 40 tokens" in note["text"]]
    long = [len(line.split(",")[0].split()) + 2 > 40 for line in data.read_text().splitlines()[1:]]
    rows = pq.read_table(run.folder / "splits.parquet").to_pylist()
    wanted = sum(long[int(row["path"].split(":")[1]) - 2] for row in rows if row["role"] == "train")
    assert [note["count"] for note in notes] == [wanted] and wanted and notes[0]["level"] == "warning"


def test_the_alternatives_run_on_the_same_texts(bert, table, tmp_path):
    run = api.fit(table, backbone=bert, method="lp_ft", evidence="quick", epochs=1, folds=0, out=str(tmp_path / "run"))
    told = json.loads((run.folder / "evidence.json").read_text())
    assert {row["name"] for row in told["arms"]} == {"chosen", "probe", "scratch", "majority"}
    assert all(np.isfinite(row["value"]) for row in told["arms"]) and (run.folder / "report.html").exists()


@pytest.mark.parametrize("method", ["finetune", "extract", "few_shot", "lora"])
def test_the_same_fit_twice_is_the_same_to_the_bit(method, bert, splits, tmp_path):
    one, two = (fit(splits, bert, tmp_path / name, method=method) for name in ("one", "two"))
    tensors = [load_file(run.model / "weights.safetensors") for run in (one, two)]
    assert all(torch.equal(value, tensors[1][name]) for name, value in tensors[0].items()) and one.scores["test"] == two.scores["test"]


@pytest.mark.parametrize(
    ("method", "pairs", "more"),
    [
        ("extract", "together", []), ("few_shot", "together", []), ("adapt", "together", ["method.then=lp_ft"]),
        ("extract", "apart", ["task.layers=[1, -1]"]), ("few_shot", "apart", []), ("adapt", "apart", ["method.then=lp_ft"]),
        ("finetune", "apart", ["method.freeze=layer1", "task.pool=attention"]), ("lora", "apart", ["task.layers=[1, -1]", "task.mix=true"]),
    ],
)  # fmt: skip
def test_pairs_take_every_road_and_evidence_too(method, pairs, more, bert, tmp_path):
    data, sets_ = sets.paired(tmp_path / "pairs.csv"), [f"task.pairs={pairs}", *more]
    run = api.fit(
        str(data), backbone=bert, method=method, evidence="quick", folds=0, out=str(tmp_path / "run"), sets=sets_,
        **({} if method == "extract" else {"epochs": 1}),
    )  # fmt: skip
    told = json.loads((run.folder / "evidence.json").read_text())
    assert {"chosen", "scratch", "majority"} <= {row["name"] for row in told["arms"]}
    rows = pq.read_table(run.folder / "predictions.parquet")
    items = list(zip(rows["text"].to_pylist(), rows["context"].to_pylist(), strict=True))
    assert np.allclose(api.load(run.folder).probabilities(items), rows["probabilities"].to_pylist(), atol=1e-4)


def test_what_is_read_apart_is_what_each_text_gives_alone(bert, tmp_path):
    read = catalog.resolve("reader", "text_table")(str(sets.paired(tmp_path / "pairs.csv")), catalog.options("reader", "text_table")())
    body = modality.load(Part(bert), 0)
    assert not modality.suited(body, read).prepare.apart and modality.suited(replace(body, compares=True), read).prepare.apart
    net, alone = bare(modality.suited(body, read, "apart"), (1, 2)).eval(), bare(body, (1, 2)).eval()
    rows = read.train.slice(0, 7)
    pairs, first, second = (
        collate(made, body.prepare.pad)
        for made in (
            Tokenizer(net.prepare).pairs(*(rows[name].to_pylist() for name in ("text", "context"))),
            *(Tokenizer(body.prepare).texts(rows[name].to_pylist()) for name in ("text", "context")),
        )
    )
    with torch.inference_mode():
        u, v = [one.chunk(2, 1) for one in (alone(first), alone(second))]
        wanted = torch.cat([apart.compared(torch.stack([a, b], 1).flatten(0, 1)) for a, b in zip(u, v, strict=True)], 1)
        torch.testing.assert_close(net(pairs), wanted, atol=1e-5, rtol=1e-4)
        for depth in range(len(net.stages) + 2):
            state = net.advance(pairs, 0, depth)
            # Wherever it is kept, it may be padded.
            state = state if depth > len(net.stages) else {
                key: value if key.startswith("tap") else torch.cat([value, value.new_zeros(value.shape[0], 4, *value.shape[2:])], 1)
                for key, value in state.items()
            }  # fmt: skip
            torch.testing.assert_close(net(state, depth), wanted, atol=1e-5, rtol=1e-4)


def test_pairs_need_a_body_that_can_read_so_and_labels(bert, tmp_path):
    from graft.backbones.elmo import Options, load

    data, one = sets.paired(tmp_path / "pairs.csv"), sets.table(tmp_path / "one.csv")
    read, single = (catalog.resolve("reader", "text_table")(str(x), catalog.options("reader", "text_table")()) for x in (data, one))
    elmo = load("elmo", Options(weights="none", size="tiny"), 0)
    assert modality.suited(elmo, read).prepare.apart and not modality.suited(elmo, single).prepare.apart
    with pytest.raises(OptionError, match=r"reads one text at a time.*task\.pairs=apart"):
        modality.suited(elmo, read, "together")
    with pytest.raises(OptionError, match=r"one text a row.*data\.second"):
        modality.suited(elmo, single, "apart")
    with pytest.raises(OptionError, match="Pairs of texts"):
        api.fit(str(data), backbone=bert, target=str(data), out=str(tmp_path / "run"))


def fit(data, body, out, **values):
    if values.get("method") != "extract":
        values = {"epochs": 2, **values}
    return api.fit(Spec.make(data, backbone=body, evidence="off", precision="exact", out=str(out), **values))


def killed(data, body, out, when, **values):
    def stop(event):
        if when(event):
            raise KeyboardInterrupt

    spec = Spec.make(data, backbone=body, evidence="off", precision="exact", out=str(out), **values)
    with pytest.raises(Stopped):
        api.fit(spec, on_event=stop)
    return api.resume(out)


def test_a_run_that_was_killed_while_it_learnt_ends_as_one_that_was_not(bert, splits, tmp_path, monkeypatch):
    monkeypatch.setattr("graft.engine.execute.SAVE_EVERY", 0.0)
    values = {"method": "finetune", "epochs": 3}
    whole = fit(splits, bert, tmp_path / "whole", **values)
    done = killed(splits, bert, tmp_path / "run", lambda e: e["event"] == "epoch" and e["epoch"] == 2, **values)
    one, two = (load_file(run.model / "weights.safetensors") for run in (whole, done))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert done.scores["test"] == whole.scores["test"] and done.scores["val"] == whole.scores["val"]


@pytest.mark.parametrize(("write", "values"), [
    (sets.tagged, {}), (sets.asked, {}), (sets.running, {"task": "language", "sets": ["task.block=20"]}),
], ids=["tags", "spans", "language"])  # fmt: skip
def test_folds_of_every_kind_go_on_after_a_kill(write, values, bert, tmp_path):
    data = write(tmp_path / {sets.tagged: "data.conll", sets.asked: "data.json"}.get(write, "data"))
    opened = []

    def when(event):
        opened.extend([event["split"]] if event["event"] == "opened" else [])
        return event["event"] == "opened" and len(opened) == 2

    values = {"folds": 3, "epochs": 1, **values}
    whole = fit(str(data), bert, tmp_path / "whole", **values)
    done = killed(str(data), bert, tmp_path / "run", when, **values)
    assert done.scores["test"] == whole.scores["test"] and done.scores["folds"] == 3
    parts = pq.read_table(whole.folder / "splits.parquet")
    assert set(parts["fold"].to_pylist()) == {0, 1, 2} and len(set(parts["path"].to_pylist())) == len(parts)


def test_a_block_of_running_text_stays_in_one_fold(tmp_path):
    """Else what is scored would stand in a block that was learnt from."""
    from graft.readers import plain_text, split

    data = split.assign(plain_text.read(str(sets.running(tmp_path / "data")), plain_text.Options()), "auto", 3, 0)
    task = catalog.resolve("task", "language")(data.schema, catalog.options("task", "language")(block=20, kind="causal"))
    prepare, source = words.body().prepare, dict(zip(data.train["path"].to_pylist(), data.train["fold"].to_pylist(), strict=True))
    made = task.expand(data, prepare).train
    assert all(
        source[path.partition("#")[0]] == fold for path, fold in zip(made["path"].to_pylist(), made["fold"].to_pylist(), strict=True)
    )
    for fold in range(3):
        inside = {
            path: text for path, text, k in zip(*(data.train[n].to_pylist() for n in ("path", "text", "fold")), strict=True) if k == fold
        }
        alone = task.expand(split_of(data, inside), prepare).train
        assert [i for i, k in zip(made["ids"].to_pylist(), made["fold"].to_pylist(), strict=True) if k == fold] == alone["ids"].to_pylist()


def split_of(data, inside):
    """The same data with these texts alone, in their order."""
    from dataclasses import replace

    table = data.train.drop_columns(["fold"])
    return replace(data, train=table.filter(pa.array([path in inside for path in table["path"].to_pylist()])), plan=None)


def test_a_copy_in_the_scored_split_is_found(bert, splits, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    held = {name: (tmp_path / splits / f"{name}.csv").read_text().splitlines() for name in ("train", "test")}
    held["test"].append(held["train"][5])
    for name, lines in held.items():
        (data / f"{name}.csv").write_text("\n".join(lines) + "\n")
    told = api.check(Spec.make(str(data), backbone=bert), out=str(tmp_path / "check"))
    (found,) = [one for one in told["findings"] if one["kind"] == "duplicates_across_splits"]
    assert found["files"] == ["train.csv:6"] and found["level"] == "problem" and (tmp_path / "check" / "check.html").exists()
    assert told["modality"] == "text" and told["counts"] == {"train": 24, "test": 25}


@pytest.mark.parametrize("write", [sets.tagged, sets.asked, sets.running], ids=["tags", "spans", "language"])
def test_every_kind_of_text_can_be_checked(write, bert, tmp_path):
    data = write(tmp_path / {sets.tagged: "data.conll", sets.asked: "data.json"}.get(write, "data"))
    told = api.check(Spec.make(str(data), backbone=bert))
    assert told["modality"] == "text" and told["counts"]["train"] and any("one class" in words for words in told["left_out"])


def test_one_question_about_two_contexts_is_no_copy(bert, tmp_path):
    data = sets.asked(tmp_path / "data.json")
    copies = ("exact_duplicates", "near_duplicates", "duplicates_with_other_labels")
    assert not [one for one in api.check(Spec.make(str(data), backbone=bert))["findings"] if one["kind"] in copies]
    held = json.loads(data.read_text())
    again = json.loads(json.dumps(held["data"][0]["paragraphs"][7]))
    again["qas"][0]["id"] = "again"
    held["data"][0]["paragraphs"].append(again)
    data.write_text(json.dumps(held))
    found = {one["kind"]: one for one in api.check(Spec.make(str(data), backbone=bert))["findings"]}
    assert set(found["exact_duplicates"]["files"]) <= {"again", "q07"} and found["exact_duplicates"]["count"] == 1


def test_frozen_texts_take_the_measured_layer_from_learning_rows_alone(bert, splits, table, tmp_path, monkeypatch):
    from graft.assembly import choosing, measuring, wiring
    from graft.engine.journal import Journal

    def assembled(data, **values):
        heard = []
        parts = wiring.assemble(Spec.make(data, backbone=bert, method="extract", evidence="off", **values), Journal(heard.append))
        return parts, [row for row in heard if row["event"] == "decision" and row["what"] == "layer"]

    seen, features = [], measuring.features
    monkeypatch.setattr(measuring, "features", lambda net, rows, *rest: seen.extend(rows["path"].to_pylist()) or features(net, rows, *rest))
    parts, (told,) = assembled(splits)
    assert told["flag"] == "--layers" and seen and not set(seen) & set(parts.data.test["path"].to_pylist())
    probe = lambda name, value: {"name": name, "probe": value, "interval": [value - 0.02, value + 0.02]}  # noqa: E731
    each = [probe("embeddings", 0.6), probe("layer1", 0.9), probe("layer2", 0.7), probe("layer3", 0.7)]
    monkeypatch.setattr(choosing.measuring, "probes", lambda *given: each)
    parts, (told,) = assembled(splits)
    assert told["value"] == "layer1" and "0.900" in told["reason"] and parts.task.layers == ("layer1",)
    assert assembled(splits, layers="layer2")[1] == [] and assembled(splits, sets=["task.pool=attention"])[1] == []
    parts, (told,) = assembled(table)
    assert parts.data.plan.folds and told["value"] == "layer3" and parts.task.layers == () and "free" in told["reason"]
    assert wiring.assemble(Spec.make(splits, backbone=bert, method="finetune"), Journal()).task.layers == ()


def test_frozen_embeddings_are_not_kept(bert, splits, tmp_path, monkeypatch):
    """They are asked for by name, learn nothing, and fill no disk."""
    from graft.engine.passes import Passes

    monkeypatch.setattr(Passes, "kept", lambda *given, **more: pytest.fail("states were kept"))
    run = api.fit(splits, backbone=bert, method="finetune", freeze="embeddings", epochs=1, evidence="off", out=str(tmp_path / "run"))
    (phase,) = api.show(run.folder)["phases"]
    assert phase["frozen"] == 1 and phase["constant_prefix"] == 0 and "looked up" in phase["why"]
