"""Any split of a net at any depth gives the whole."""

import pytest
import torch
from tests import nets

from graft.core import Net
from graft.heads.pool import pooling


@pytest.mark.parametrize("taps", [(2,), (0,), (0, 2), (1, 2)])
@pytest.mark.parametrize("depth", range(5))
def test_prefix_then_suffix_is_the_whole(taps, depth):
    net = Net(nets.body(), pooling("avg", "avg", 0), torch.nn.Identity(), taps).eval()
    x = torch.randn(3, 3, 16, 16)
    whole = net(x)
    state = net.advance(x, 0, depth)
    torch.testing.assert_close(net(state, depth), whole)
    assert whole.shape == (3, sum((8, 12, 16)[t] for t in taps))


def test_stages_past_the_last_tap_are_not_run():
    net = Net(nets.body(), pooling("avg", "avg", 0), torch.nn.Identity(), (1,)).eval()
    net.stages[2].register_forward_hook(lambda *_: pytest.fail("a stage past the last tap was run"))
    net(torch.randn(1, 3, 16, 16))


def test_an_earlier_head_reads_the_same_features_and_nothing_is_copied():
    net = Net(nets.body(), pooling("avg", "avg", 0), torch.nn.Linear(16, 2), (2,)).eval()
    net.earlier["before"] = torch.nn.Linear(16, 5)
    x = torch.randn(3, 3, 16, 16)
    own, other = net(x), net.seen_as("before")
    torch.testing.assert_close(other(x), net.earlier["before"](net.advance(x, 0, net.pooled)["x"]))
    assert other.stages is net.stages and torch.equal(net(x), own) and own.shape == (3, 2)
    other.head.weight.data.zero_()
    assert not net.earlier["before"].weight.any()
