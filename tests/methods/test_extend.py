"""Old classes first, new ones beside them: the head's start, the formulas, the balance; the contract."""

import copy
from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.methods import tasks
from tests.methods.phases import collect

from graft import catalog, testing
from graft.core import Batch
from graft.errors import OptionError
from graft.heads import trained
from graft.methods import extend

CLASSES = ("dark", "light", "warm")


def wide(head=None):
    """A net that knows two classes and is to know three."""
    return tasks.net(tasks.task(CLASSES), head=head)


def test_the_head_starts_from_the_old_rows_and_new_ones_are_small():
    net = wide()
    torch.nn.init.normal_(net.earlier["first"].final.weight)
    drawn = net.head.final.weight[2:].detach().clone()
    assert extend.grow(net.head, net.earlier["first"], 2)
    assert torch.equal(net.head.final.weight[:2], net.earlier["first"].final.weight)
    assert torch.equal(net.head.final.bias[:2], net.earlier["first"].final.bias)
    assert torch.equal(net.head.final.weight[2:], drawn) and drawn.norm() < 0.1
    deep = [tasks.task(classes, hidden=(5,), dropout=drop).head(16) for classes, drop in ((CLASSES, 0.3), (CLASSES[:2], 0.0))]
    assert extend.grow(*deep, 2) and torch.equal(deep[0].body[0].weight, deep[1].body[0].weight)
    before = copy.deepcopy(deep[0].state_dict())
    assert not extend.grow(deep[0], net.earlier["first"], 2)
    assert all(torch.equal(value, before[name]) for name, value in deep[0].state_dict().items())


def test_a_head_that_grows_from_one_on_directions_reads_them_too():
    old, new = trained.build(4, 2, unit=True), trained.build(4, 3)
    drawn, x = new.final.weight[2:].clone(), torch.randn(5, 4)
    assert extend.grow(new, old, 2) and new.config == {**trained.build(4, 3, unit=True).config}
    torch.testing.assert_close(new(3 * x)[:, :2], old(x))
    assert torch.equal(new.final.weight[2:], drawn) and not extend.grow(trained.build(4, 3, unit=True), trained.build(4, 2), 2)


def test_aligned_new_rows_are_as_long_as_the_old_on_average():
    final = torch.nn.Linear(4, 5)
    before = final.weight.detach().clone()
    lengths = [sum(v * v for v in row) ** 0.5 for row in before.tolist()]
    gamma = (sum(lengths[:3]) / 3) / (sum(lengths[3:]) / 2)
    assert extend.align(final, 3) == pytest.approx(gamma, rel=1e-5)
    torch.testing.assert_close(final.weight, torch.cat([before[:3], gamma * before[3:]]))


def test_the_loss_weighs_labels_and_what_the_old_head_said(tmp_path):
    net, made = wide(), tasks.task(CLASSES)
    rows = tasks.grown(tmp_path, net)
    (phase,) = collect("extend", net, made, rows)
    torch.nn.init.normal_(net.head.final.weight)
    batch = Batch({"x": torch.randn(3, 16)}, torch.tensor([0, 2, 1]), torch.tensor([1, 8, 4]), net.pooled)
    with torch.no_grad():
        out, slow = net.head(batch.inputs["x"]), 0.0
        for i, row in enumerate(batch.rows.tolist()):
            was = torch.tensor(rows.train["earlier.first"][row].as_py())
            p, q = [(one / 2).exp() / (one / 2).exp().sum() for one in (was, out[i, :2])]
            slow -= (1 - 2 / 3) * float(out[i].log_softmax(0)[batch.targets[i]]) / 3
            slow += 2 / 3 * sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True)) / 3
        assert phase.objective(net, {"train": batch}).item() == pytest.approx(slow, rel=1e-4)
    assert phase.frozen == 3 and phase.epochs == 100 and phase.streams["train"].balanced


def test_the_task_is_found_whose_classes_come_first(tmp_path):
    net, made = wide(), tasks.task(CLASSES)
    rows = tasks.grown(tmp_path, net)
    assert extend.extended(net, made, rows) == ("first", 2)
    net.earlier["longer"] = tasks.task((*CLASSES[:2], "other")).head(16)
    known = {**rows.earlier, "longer": replace(rows.earlier["first"], task=tasks.task((*CLASSES[:2], "other")))}
    assert extend.extended(net, made, replace(rows, earlier=known)) == ("first", 2)
    four = tasks.task((*CLASSES[:2], "other", "warm"))
    assert extend.extended(net, four, replace(rows, earlier=known)) == ("longer", 3)
    for classes in (CLASSES[:2], ("light", "dark", "warm"), ("dark", "warm")):
        with pytest.raises(OptionError, match=r"'first' has dark, light.*--method lwf"):
            collect("extend", wide(), tasks.task(classes), rows)


def test_an_old_head_that_cannot_be_copied_is_no_hindrance(tmp_path):
    net = wide(head=tasks.task(CLASSES[:2], hidden=(5,)).head(16))
    rows = tasks.grown(tmp_path / "photos", net)
    rows = replace(rows, earlier={"first": replace(rows.earlier["first"], task=nets.task(head="knn"))})
    outcome, _ = tasks.learn(tmp_path / "run", "extend", net, rows, tasks.task(CLASSES), epochs=3, align=True)
    assert [row["phase"] for row in outcome.phases] == ["extend", "aligned"] and outcome.outputs.shape[1] == 3


def test_old_classes_are_kept_where_plain_learning_loses_them_and_nothing_else_moves(tmp_path):
    start, _, _ = tasks.taught(tmp_path)
    torch.manual_seed(7)
    start.head = tasks.task(CLASSES).head(16)
    rows, made = tasks.grown(tmp_path, start, stored=4, new=40), tasks.task(CLASSES)
    found = {}
    for name, values in (("extract", {"augment": False}), ("extend", {"align": True}), ("finetune", {"freeze": "all", "epochs": 20})):
        _, net = tasks.learn(tmp_path / name, name, start, rows, tasks.task(CLASSES, head="linear"), batch=8, **values)
        body = {key: value for key, value in net.state_dict().items() if key.startswith(("stages.", "earlier."))}
        assert all(torch.equal(value, start.state_dict()[key]) for key, value in body.items()), name
        net.earlier["first"] = net.head
        truth = made.encode(rows.test)
        right = (tasks.outputs(net, rows.test).argmax(1) == truth).float()
        found[name] = float(right[truth < 2].mean()), float(right[truth == 2].mean())
    assert found["extend"][0] > found["finetune"][0] and found["extend"][1] > 0.5


@pytest.mark.parametrize("values", [{}, {"freeze": "stem", "align": True}])
def test_the_contract_is_kept(values, tmp_path):
    rows, options = tasks.grown(tmp_path / "photos", wide()), catalog.options("method", "extend")(epochs=2, batch=4, **values)
    testing.check_method(extend.phases, options, wide, tasks.task(CLASSES), rows, tmp_path)
