"""Passes without learning leave nothing behind, and kept states give the same outputs as images."""

import numpy as np
import pytest
import torch
from tests import nets

from graft.engine import forward


def test_states_can_be_learnt_from_and_statistics_do_not_move(tmp_path):
    made = nets.task()
    net, rows = nets.net(made), nets.data(tmp_path)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    seen = []
    kept = nets.passes(made).kept(net, net.pooled, rows.train, tick=seen.append)
    state = kept.take(np.arange(len(rows.train)))
    assert sum(seen) == len(rows.train) and state["x"].shape == (len(rows.train), 16)
    net.head(state["x"]).sum().backward()
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_kept_states_give_the_same_outputs_as_images(depth, tmp_path):
    made = nets.task()
    net, rows, passes = nets.net(made), nets.data(tmp_path), nets.passes(made)
    whole = forward.outputs(net, passes.streams.plain(rows.train), passes.machine)
    torch.testing.assert_close(forward.scored(passes, net, rows.train, depth), whole, rtol=1e-4, atol=1e-5)
    kept = passes.kept(net, depth, rows.train)
    again = forward.outputs(net, forward.slices(kept, made.encode(rows.train), depth, 5), passes.machine)
    torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)
