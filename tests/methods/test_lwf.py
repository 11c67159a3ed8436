"""Earlier heads go on saying what they said, so less is forgotten; the formula; the contract."""

import pytest
import torch
from tests.methods import tasks
from tests.methods.phases import collect

from graft import catalog, testing
from graft.core import Batch
from graft.methods import lwf


def test_the_head_is_first_and_then_everything_learns(tmp_path):
    net = tasks.net()
    head, phase = collect("lwf", net, tasks.task(), tasks.data(tmp_path, net), freeze=1, lr=1e-3, decay=0.5)
    assert head.solve is not None
    rates = {group.name: group.lr for group in phase.groups}
    assert rates == pytest.approx({"middle": 5e-4, "top": 1e-3, "head": 1e-3, "head of first": 1e-3})
    assert [group.parameters for group in phase.groups][-1] == ("earlier.first.final.weight", "earlier.first.final.bias")
    probe, _ = collect("lwf", tasks.net(), tasks.task(head="linear"), tasks.data(tmp_path, net), head_epochs=7)
    assert probe.epochs == 7 and probe.frozen == 3


def test_the_loss_is_the_papers(tmp_path):
    net, made = tasks.net(), tasks.task()
    rows = tasks.data(tmp_path, net)
    *_, phase = collect("lwf", net, made, rows, strength=0.3, temperature=2.0)
    net.train()
    for module in (*net.stages[1].modules(), *net.stages.modules()):
        module.eval()  # Without dropout, so that both passes see the same.
    torch.nn.init.normal_(net.earlier["first"].final.weight)
    batch = Batch(torch.randn(3, 3, 16, 16), torch.tensor([0, 1, 1]), torch.tensor([5, 1, 3]))
    with torch.no_grad():
        loss = phase.objective(net, {"train": batch})
        features = net.stages[2](net.stages[1](net.stages[0]({"x": batch.inputs})))["x"].mean((2, 3))
        new, old = net.head(features), net.earlier["first"](features)
    slow = 0.0
    for i, row in enumerate(batch.rows.tolist()):
        was = torch.tensor(rows.train["earlier.first"][row].as_py())
        slow -= float(new[i].log_softmax(0)[batch.targets[i]]) / 3
        p, q = [(one / 2).exp() / (one / 2).exp().sum() for one in (was, old[i])]
        slow += 0.3 * 4 * sum(float(a * (a / b).log()) for a, b in zip(p, q, strict=True)) / 3
    assert loss.item() == pytest.approx(slow, rel=1e-4)


def test_it_is_the_remedy_that_keeps_and_not_the_statistics_alone(taught, tmp_path):
    start, learnt, scored = taught
    rows = tasks.data(tmp_path, start, rows=48, first=learnt)
    strong = lwf.Options().strength
    found = tasks.strengths(tmp_path, "lwf", start, rows, scored, (0.0, strong), tasks.outputs(start, scored))
    assert found[strong][0] < 0.6 * found[0.0][0] and found[strong][1] >= 0.8


def test_the_contract_is_kept(tmp_path):
    net = tasks.net()
    rows, options = tasks.data(tmp_path / "photos", net), catalog.options("method", "lwf")(epochs=2, batch=4)
    testing.check_method(lwf.phases, options, tasks.net, tasks.task(), rows, tmp_path)
