import pytest
import torch
from torch import nn

from graft.backbones.dropout import Dropout, quicker


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_share_the_scale_and_the_gradient(p):
    torch.manual_seed(0)
    x = torch.ones(200, 501, requires_grad=True)
    out = Dropout(p).train()(x)
    share, exact = (out == 0).float().mean().item(), round(p * 256) / 256
    assert abs(share - exact) < 5 * (exact * (1 - exact) / x.numel()) ** 0.5
    assert torch.allclose(out[out != 0], torch.tensor(1 / (1 - exact)))
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_neighbours_are_dropped_independently():
    torch.manual_seed(1)
    kept = (Dropout(0.5).train()(torch.ones(80_000)) != 0).float()
    for apart in (1, 2, 7, 8, 64):
        both = (kept[:-apart] * kept[apart:]).mean().item()
        assert abs(both - 0.25) < 0.01, apart
    assert abs(kept.view(-1, 8).mean(0) - 0.5).max() < 0.03, "every byte of a draw, the one with the sign too"


def test_nothing_happens_in_evaluation_or_without_a_share_and_everything_goes_with_all_of_it():
    x = torch.randn(5, 7)
    assert torch.equal(Dropout(0.3).eval()(x), x) and torch.equal(Dropout(0.0).train()(x), x)
    assert torch.equal(Dropout(1.0).train()(x), torch.zeros(5, 7))


def test_the_same_seed_draws_alike_and_bfloat16_stays():
    x = torch.randn(64, 33).bfloat16()
    torch.manual_seed(3)
    first = Dropout(0.2).train()(x)
    torch.manual_seed(3)
    assert torch.equal(first, Dropout(0.2).train()(x)) and first.dtype == torch.bfloat16


def test_every_dropout_of_a_network_is_replaced_and_nothing_else():
    net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.4), nn.Sequential(nn.Dropout(0.2), nn.ReLU())).eval()
    names = list(net.state_dict())
    quicker(net)
    assert [type(net[1]), type(net[2][0])] == [Dropout, Dropout] and (net[1].p, net[2][0].p) == (0.4, 0.2)
    assert list(net.state_dict()) == names and not net[1].training
