"""The machine: memory errors, the environment, widths."""

import torch
from tests import nets

from graft.engine import device


def test_memory_errors_are_told_from_others():
    assert device.is_out_of_memory(torch.OutOfMemoryError("x")) and device.is_out_of_memory(MemoryError())
    assert device.is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not device.is_out_of_memory(RuntimeError("size mismatch")) and not device.is_out_of_memory(ValueError("memory"))


def test_the_environment_and_the_pooled_width_are_described():
    told = device.describe(device.find())
    assert told["torch"] == torch.__version__ and told["cores"] >= 1
    assert device.pooled_width(nets.net(nets.task())) == 16
    assert device.peak_memory_mb(device.find()) > 10


def test_a_forgotten_peak_is_not_told_again(monkeypatch):
    machine = device.Machine(torch.device("cpu"))
    monkeypatch.setattr(device, "_highest", [1e9])
    assert device.peak_memory_mb(machine) == 1e9
    device.forget_peak()
    assert 0 < device.peak_memory_mb(machine) < 1e9


def test_float32_on_an_accelerator_is_float32(monkeypatch):
    """By simulation: no accelerator is asked for anything."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.find().device.type == "cpu" and torch.backends.cudnn.allow_tf32
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.find().device.type == "cuda" and not torch.backends.cudnn.allow_tf32
