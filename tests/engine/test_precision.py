"""Training precision: the user's word wins; the trial times what learns and leaves nothing behind."""

import pytest
import torch
from tests import nets

from graft.core import Phase, Stream
from graft.engine import precision, train, ways
from graft.engine.device import Machine
from graft.methods import groups

CPU = Machine(torch.device("cpu"))


def chosen(word, frozen=0, start=0, monkeypatch=None, seconds=None):
    net = nets.net(nets.task())
    who = groups.layerwise(net, 1e-3, 0.8, 0.0, frozen) + groups.head(net, 1e-3, 0.0)
    phase = Phase("p", {"train": Stream(None)}, 1, who, frozen=frozen)
    if seconds is not None:
        monkeypatch.setattr(ways, "short_is_native", lambda: True)
        monkeypatch.setattr(train, "pass_seconds", lambda machine, *a: seconds[machine.dtype])
    return precision.choose_dtype(CPU, net, phase, start, word), net


def test_the_users_word_wins():
    assert chosen("exact")[0][0] == torch.float32 and chosen("fast")[0][0] == torch.bfloat16


@pytest.mark.parametrize(("short", "dtype"), [(0.5, torch.bfloat16), (0.9, torch.float32), (2.0, torch.float32)])
def test_bfloat16_must_pay_clearly(short, dtype, monkeypatch):
    (found, why), _ = chosen("auto", monkeypatch=monkeypatch, seconds={torch.float32: 1.0, torch.bfloat16: short})
    assert found == dtype and "1000 ms in float32" in why


@pytest.mark.parametrize(("frozen", "start"), [(0, 0), (2, 2)])
def test_the_trial_runs_what_learns_and_leaves_nothing_behind(frozen, start, monkeypatch):
    monkeypatch.setattr(ways, "short_is_native", lambda: True)
    net = nets.net(nets.task()).train()
    who = groups.layerwise(net, 1e-3, 0.8, 0.0, frozen) + groups.head(net, 1e-3, 0.0)
    phase = Phase("p", {"train": Stream(None)}, 1, who, frozen=frozen)
    before, random = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    ran = []
    for number, stage in enumerate(net.stages):
        stage.register_forward_hook(lambda *a, number=number: ran.append(number))
    dtype, why = precision.choose_dtype(CPU, net, phase, start, "auto")
    assert dtype in (torch.float32, torch.bfloat16) and "trial pass" in why
    assert ran.count(2) > ran.count(0) if frozen else ran.count(0) == ran.count(2)
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert torch.equal(random, torch.get_rng_state()) and net.training and net.stages[0].training
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


@pytest.mark.parametrize(("native", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_that_only_emulates_bfloat16_learns_in_float32(native, dtype, monkeypatch):
    """A simulation: nothing is computed on the GPU before the answer."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert precision.choose_dtype(Machine(torch.device("cuda")), None, None, 0, "auto")[0] == dtype
