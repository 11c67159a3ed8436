"""Rows of earlier tasks beside the new ones: streams, formula, and less forgetting; the contract."""

from dataclasses import replace

import pytest
import torch
from tests import nets
from tests.methods import tasks
from tests.methods.phases import collect

from graft import catalog, testing
from graft.core import Batch
from graft.methods import rehearsal


def test_every_earlier_task_has_a_stream_of_its_share(tmp_path):
    net = tasks.net()
    net.earlier["second"] = nets.task().head(16)
    rows = tasks.data(tmp_path, net)
    rows = replace(rows, earlier={**rows.earlier, "second": rows.earlier["first"]})
    _, phase = collect("rehearsal", net, tasks.task(), rows, batch=8, share=0.5, distil=False)
    assert set(phase.streams) == {"train", "earlier.first", "earlier.second"} and phase.streams["earlier.first"].batch == 2
    assert phase.streams["earlier.first"].table.column_names == ["path"] and phase.streams["earlier.first"].augment
    assert {"head of first", "head of second"} <= {group.name for group in phase.groups}


@pytest.mark.parametrize("distil", [False, True])
def test_the_loss_adds_the_earlier_heads_own(distil, tmp_path):
    net, made = tasks.net(), tasks.task()
    rows = tasks.data(tmp_path, net)
    first = rows.earlier["first"]
    learn = rehearsal.objective(made, rows, ("first",), rehearsal.Options(strength=0.4, distil=distil, temperature=3.0))
    net.eval()
    torch.nn.init.normal_(net.earlier["first"].final.weight)
    new = Batch(torch.randn(3, 3, 16, 16), torch.tensor([0, 1, 1]), torch.tensor([5, 1, 3]))
    shown = Batch(torch.randn(2, 3, 16, 16), torch.zeros(2), torch.tensor([7, 2]))
    with torch.no_grad():
        loss = learn(net, {"train": new, "earlier.first": shown})
        slow = made.loss(net(new.inputs), new.targets)
        labels = [first.table["label"][row].as_py() for row in (7, 2)]
        logits = net.seen_as("first")(shown.inputs).log_softmax(1)
        slow = slow - 0.4 * sum(logits[i, ("dark", "light").index(label)] for i, label in enumerate(labels)) / 2
        if distil:
            was = torch.tensor([rows.train["earlier.first"][row].as_py() for row in (5, 1, 3)])
            p, q = (was / 3).log_softmax(1), (net.seen_as("first")(new.inputs) / 3).log_softmax(1)
            slow = slow + 0.4 * 9 * (p.exp() * (p - q)).sum() / 3
    assert loss.item() == pytest.approx(slow.item(), rel=1e-4)


def test_epochs_follow_the_longest_stream(tmp_path):
    net = tasks.net()
    rows = tasks.data(tmp_path, net, first=nets.photos(tmp_path / "more", 80))
    _, few = collect("rehearsal", net, tasks.task(), rows, batch=8)
    _, many = collect("rehearsal", net, tasks.task(), rows, batch=8, share=8.0)
    assert few.epochs == round(300 * 8 / 80) and many.epochs == 40


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return tasks.taught(tmp_path_factory.mktemp("taught"))


def test_less_is_forgotten_than_by_plain_fine_tuning(taught, tmp_path):
    start, learnt, scored = taught
    rows = tasks.data(tmp_path, start, rows=72, first=learnt[:12])
    kept, new = {}, {}
    for method in ("finetune", "rehearsal"):
        outcome, net = tasks.learn(tmp_path / method, method, start, rows, epochs=10, lr=1e-2, batch=8, patience=0)
        kept[method], new[method] = tasks.accuracy(net, scored), outcome.scores["accuracy"]
    assert tasks.accuracy(start, scored) > 0.9 and kept["finetune"] < 0.8
    assert kept["rehearsal"] > kept["finetune"] + 0.1 and min(new.values()) > 0.8


def test_it_is_the_remedy_that_keeps_and_not_the_statistics_alone(taught, tmp_path):
    start, learnt, scored = taught
    rows = tasks.data(tmp_path, start, rows=48, first=learnt[:12])
    strong = rehearsal.Options().strength
    found = tasks.strengths(tmp_path, "rehearsal", start, rows, scored, (0.0, strong), tasks.outputs(start, scored))
    assert found[strong][0] < 0.6 * found[0.0][0] and found[strong][1] >= 0.8


@pytest.mark.parametrize("distil", [False, True])
def test_the_contract_is_kept(distil, tmp_path):
    net = tasks.net()
    rows, options = tasks.data(tmp_path / "photos", net), catalog.options("method", "rehearsal")(epochs=2, batch=4, distil=distil)
    testing.check_method(rehearsal.phases, options, tasks.net, tasks.task(), rows, tmp_path)
