"""Passes without learning leave nothing behind and can enter a graph afterwards."""

import torch
from tests import nets

from graft.engine import forward
from graft.engine.device import Machine


def test_states_can_be_learnt_from_and_statistics_do_not_move(tmp_path):
    made = nets.task()
    net, rows = nets.net(made), nets.data(tmp_path)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    seen = []
    state = forward.states(net, nets.streams(made).plain(rows.train, 3), net.pooled, Machine(torch.device("cpu")), seen.append)
    assert sum(seen) == len(rows.train) and state["x"].shape == (len(rows.train), 16)
    net.head(state["x"]).sum().backward()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
