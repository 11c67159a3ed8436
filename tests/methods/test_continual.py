"""What is shared: who is asked, what is refused, and BatchNorm that stays."""

from dataclasses import replace

import pyarrow as pa
import pytest
import torch
from tests import nets
from tests.methods import tasks, words
from tests.methods.phases import collect

from graft import catalog
from graft.assembly import lineage
from graft.core import Batch, Earlier, Phase
from graft.errors import OptionError
from graft.losses import distillation
from graft.methods import continual

METHODS = ("lwf", "ewc", "rehearsal", "extend")


@pytest.mark.parametrize("method", METHODS)
def test_a_body_that_has_learnt_nothing_before_is_refused(method, tmp_path):
    words = f"Method '{method}' needs a body that has learnt a task before; start from one with --backbone run:RUN."
    with pytest.raises(OptionError, match=words):
        collect(method, nets.net(nets.task()), nets.task(), nets.data(tmp_path))


def test_what_is_missing_is_named_with_its_repair(tmp_path):
    net = tasks.net()
    rows = tasks.data(tmp_path, net)
    known = rows.earlier["first"]
    bare = replace(rows, train=rows.train.drop_columns(["earlier.first"]))
    holes = bare.train.append_column("earlier.first", pa.nulls(len(bare.train), pa.list_(pa.float32())))
    empty = replace(rows, earlier={"first": replace(known, table=known.table[:0])})
    fixed = replace(rows, earlier={"first": replace(known, task=nets.task(head="knn"))})
    tags = replace(rows, earlier={"first": replace(known, task=replace(known.task, schema=replace(known.task.schema, target="tags")))})
    cases = [
        ("lwf", bare, "earlier.first.*--backbone run:RUN"), ("lwf", replace(bare, train=holes), "was not recorded"),
        ("rehearsal", empty, "--method lwf"), ("ewc", empty, "--method lwf"),
        ("lwf", fixed, "knn.*--head linear"), ("lwf", replace(rows, earlier={}), "only the head"), ("lwf", tags, "tags"),
    ]  # fmt: skip
    for method, given, said in cases:
        with pytest.raises(OptionError, match=said):
            collect(method, tasks.net(), tasks.task(), given)
    with pytest.raises(OptionError, match=r"earlier\.first"):
        collect("rehearsal", tasks.net(), tasks.task(), bare, distil=True)
    assert [phase.name for phase in collect("rehearsal", tasks.net(), tasks.task(), bare)] == ["head", "rehearsal"]
    assert collect("lwf", tasks.net(), tasks.task(), empty) and collect("ewc", tasks.net(), tasks.task(), bare)


def test_rows_that_are_shown_again_have_no_labels_of_either_task(tmp_path):
    rows = tasks.data(tmp_path, tasks.net())
    table = rows.earlier["first"].table
    other = replace(nets.task(), schema=replace(nets.task().schema, label="kind"))
    both = replace(rows, earlier={"first": Earlier(other, table.append_column("kind", table["label"]))})
    assert continual.rows("first", rows, "x").column_names == continual.rows("first", both, "x").column_names == ["path"]


def test_an_earlier_task_is_kept_by_the_loss_of_its_kind():
    torch.manual_seed(0)
    now, was = torch.randn(4, 3), torch.randn(4, 3)
    assert continual.distance(now, was, "class", 2.0).item() == distillation.soft_labels(now, was, 2.0).item()
    assert continual.distance(now, was, "labels", 2.0).item() == distillation.soft_bits(now, was, 2.0).item()
    assert continual.distance(now, was, "number", 2.0).item() == pytest.approx(float(((now - was) ** 2).mean()))


def test_retention_adds_up_the_heads_and_takes_the_rows_of_the_batch(tmp_path):
    net = tasks.net()
    net.earlier["second"] = nets.task().head(16)
    rows = tasks.data(tmp_path, net)
    rows = tasks.record(replace(rows, train=rows.train.drop_columns(["earlier.first"])), net, ("first", "second"))
    rows = replace(rows, earlier={**rows.earlier, "second": rows.earlier["first"]})
    state, numbers = {"x": torch.randn(3, 16)}, torch.tensor([4, 0, 2])
    slow = 0.0
    for name in ("first", "second"):
        was = torch.tensor([rows.train[f"earlier.{name}"][i].as_py() for i in numbers.tolist()])
        slow += float(distillation.soft_labels(net.earlier[name](state["x"]), was, 3.0).detach())
    found = continual.retention(rows, ("first", "second"), 3.0, "x")(net, state, numbers)
    assert found.item() == pytest.approx(slow, rel=1e-5)


def test_methods_that_compare_with_what_was_said_ask_for_it():
    assert continual.OUTPUTS == lineage.NEEDS_OUTPUTS
    assert [name for name in METHODS if lineage.needs_outputs(name)] == ["lwf", "rehearsal", "extend"]


def test_held_statistics_are_used_and_stay_and_others_move():
    net, batch = nets.net(nets.task()), Batch(torch.randn(8, 3, 16, 16) + 2, torch.zeros(8), torch.arange(8))
    phase = Phase("x", {}, objective=lambda live, batches: live(batches["train"].inputs).sum())
    before = net.stages[0].body[1].running_mean.clone()
    net.train()
    continual.held(phase, True).objective(net, {"train": batch})
    assert torch.equal(net.stages[0].body[1].running_mean, before) and net.stages[1].body[3].training
    net.train()
    continual.held(phase, False).objective(net, {"train": batch})
    assert not torch.equal(net.stages[0].body[1].running_mean, before)


def test_mixed_images_are_refused():
    mixed = Batch(torch.zeros(2, 3, 16, 16), torch.full((2, 2), 0.5), torch.arange(2))
    with pytest.raises(OptionError, match=r"augment\.mixup=0"):
        continual.refuse_mixed(nets.task(), mixed, "lwf")
    continual.refuse_mixed(nets.task(), replace(mixed, targets=torch.zeros(2, dtype=torch.int64)), "lwf")


@pytest.mark.parametrize("values", [{"strength": -1.0}, {"strength": float("nan")}, {"temperature": 0.0}])
def test_numbers_outside_their_range_are_refused(values, tmp_path):
    net = tasks.net()
    with pytest.raises(OptionError, match=next(iter(values))):
        collect("lwf", net, tasks.task(), tasks.data(tmp_path, net), **values)


@pytest.mark.parametrize("method", ["finetune", "lp_ft", "l2_sp"])
def test_methods_that_know_nothing_of_earlier_heads_leave_them_as_they_are(method, tmp_path):
    start = tasks.net()
    rows = tasks.data(tmp_path, start)
    outcome, after = tasks.learn(tmp_path / "run", method, start, rows, epochs=2, lr=1e-2, batch=4)
    before = start.earlier.state_dict()
    assert before and all(torch.equal(value, before[name]) for name, value in after.earlier.state_dict().items())
    assert outcome.phases


@pytest.mark.parametrize("method", ["lwf", "ewc", "rehearsal"])
def test_bodies_of_texts_keep_what_they_learnt_too(method, tmp_path):
    made, rows = words.task(), words.data()
    net = words.net(made)
    net.earlier["first"] = words.task().head(words.WIDTH)
    given = pa.array([[0.5, -0.5]] * len(rows.train), pa.list_(pa.float32()))
    train = rows.train.append_column("earlier.first", given)
    rows = replace(rows, train=train, plan=replace(rows.plan, drawn=False), earlier={"first": Earlier(made, rows.test, 10)})
    options = catalog.options("method", method)(epochs=2, batch=8)
    outcome = words.run(lambda *given: catalog.resolve("method", method)(*given, options), tmp_path / "run", net, made, rows)
    assert outcome.phases[-1]["phase"] == method


@pytest.mark.parametrize("method", ["ewc", "lwf"])
def test_less_is_forgotten_than_by_plain_fine_tuning(method, taught, tmp_path):
    start, learnt, scored = taught
    rows = tasks.data(tmp_path, start, rows=72, first=learnt)
    kept, new = {}, {}
    for one in ("finetune", method):
        outcome, net = tasks.learn(tmp_path / one, one, start, rows, epochs=10, lr=1e-2, batch=8, patience=0)
        kept[one], new[one] = tasks.accuracy(net, scored), outcome.scores["accuracy"]
    assert tasks.accuracy(start, scored) > 0.9 and kept["finetune"] < 0.8
    assert kept[method] > kept["finetune"] + 0.1 and min(new.values()) > 0.8
