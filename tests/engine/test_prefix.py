"""How deep the constant prefix goes, and the reason."""

import pytest
import torch
from tests import nets

from graft.core import Phase, Stream
from graft.engine import forward, prefix
from graft.engine.device import Machine


@pytest.mark.parametrize(
    ("frozen", "augment", "limit", "depth", "words"),
    [
        (3, False, 100, 4, "only the head"),
        (2, False, 100, 2, "next stage learns"),
        (0, False, 100, 0, "first stage learns"),
        (3, True, 100, 0, "augmentation"),
        (2, False, 0.0001, 0, "would not fit"),
    ],
)
def test_depth_and_reason(frozen, augment, limit, depth, words, tmp_path):
    net = nets.net(nets.task())
    phase = Phase("p", {"train": Stream(None, augment=augment)}, 1, frozen=frozen)
    found, why = prefix.depth(net, phase, 10, limit)
    assert found == depth and words in why


def test_kept_states_give_the_same_outputs_as_images(tmp_path):
    made = nets.task()
    net, rows, machine = nets.net(made), nets.data(tmp_path), Machine(torch.device("cpu"))
    streams = nets.streams(made)
    whole = forward.outputs(net, streams.plain(rows.train), machine)
    for depth in (1, 2, 3, net.pooled):
        state = forward.states(net, streams.plain(rows.train, 3), depth, machine)
        again = forward.outputs(net, forward.slices(state, made.encode(rows.train), depth, 5), machine)
        torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)
