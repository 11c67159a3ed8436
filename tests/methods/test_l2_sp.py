"""The pull is half its strength times the squared distance from the start."""

import pytest
import torch
from tests import nets
from tests.methods.phases import collect

from graft.core import Batch


def test_the_pull_is_the_papers(tmp_path):
    made = nets.task()
    net = nets.net(made).eval()
    _, phase = collect("l2_sp", net, made, nets.data(tmp_path), pull=0.3, smoothing=0.0)
    batch = {"train": Batch(torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 0, 1]), torch.arange(4))}
    start = {n: p.detach().clone() for n, p in net.named_parameters()}
    with torch.no_grad():
        for parameter in net.stages.parameters():
            parameter.add_(0.01)
        net.head(torch.zeros(1, 16))
    loss = made.loss(net(batch["train"].inputs), batch["train"].targets)
    moved = sum(float(((p.detach() - start[n]) ** 2).sum()) for n, p in net.named_parameters() if n.startswith("stages."))
    assert float(phase.objective(net, batch).detach()) == pytest.approx(float(loss.detach()) + 0.5 * 0.3 * moved, rel=1e-4)
