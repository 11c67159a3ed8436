import pytest
import torch
from torch import nn

from graft.losses.proximal import l2_distance


def test_it_is_the_sum_over_every_number_and_its_gradient_points_back():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 1))
    start = {name: torch.randn_like(p) for name, p in net.named_parameters() if not name.startswith("2.")}
    slow = 0.0
    for name, first in start.items():
        for now, then in zip(net.get_parameter(name).flatten().tolist(), first.flatten().tolist(), strict=True):
            slow += (now - then) ** 2
    distance = l2_distance(net, start)
    assert distance.ndim == 0 and distance.item() == pytest.approx(slow, rel=1e-5)
    distance.backward()
    assert torch.allclose(net[0].weight.grad, 2 * (net[0].weight - start["0.weight"])) and net[2].weight.grad is None


def test_what_does_not_learn_is_skipped_and_an_unknown_name_is_refused():
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    assert l2_distance(net, {"weight": torch.zeros(2, 2)}).item() == 0
    with pytest.raises(KeyError):
        l2_distance(net, {"other": torch.zeros(2)})


def test_each_number_has_its_weight():
    torch.manual_seed(1)
    net = nn.Linear(3, 2)
    start, weights = ({name: torch.rand_like(p) for name, p in net.named_parameters()} for _ in range(2))
    slow = sum(
        w * (now - then) ** 2
        for name, p in net.named_parameters()
        for now, then, w in zip(p.flatten().tolist(), start[name].flatten().tolist(), weights[name].flatten().tolist(), strict=True)
    )
    assert l2_distance(net, start, weights).item() == pytest.approx(slow, rel=1e-5)
