"""Precision is tried, and the trial leaves nothing behind."""

import torch
from tests import nets

from graft.engine import precision
from graft.engine.device import Machine


def test_the_trial_changes_neither_weights_nor_random_state():
    net = nets.net(nets.task())
    net.train()
    net.stages[0].requires_grad_(False)
    before, state = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    dtype, why = precision.choose_dtype(Machine(torch.device("cpu")), net, torch.zeros(2, 3, 16, 16), "auto")
    assert dtype in (torch.float32, torch.bfloat16) and why
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state()) and net.training
    assert not next(net.stages[0].parameters()).requires_grad and all(p.grad is None for p in net.parameters())


def test_the_users_word_wins():
    net, images = nets.net(nets.task()), torch.zeros(2, 3, 16, 16)
    assert precision.choose_dtype(Machine(torch.device("cpu")), net, images, "exact")[0] == torch.float32
    assert precision.choose_dtype(Machine(torch.device("cpu")), net, images, "fast")[0] == torch.bfloat16
