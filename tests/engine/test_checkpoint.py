"""Snapshots are whole or absent, and hold exactly what can change."""

import pytest
import torch
from tests import nets

from graft.core import Group, Phase, Stream
from graft.engine import checkpoint
from graft.errors import OutputError


def test_round_trip_keeps_bits_and_state(tmp_path):
    tensors = {"a": torch.randn(3, 4), "b": torch.arange(5), "c": torch.tensor(1.5), "d": torch.randn(2).bfloat16()}
    checkpoint.save(tmp_path / "x" / "s.safetensors", tensors, {"epoch": 3, "key": [0.1, float("-inf")]})
    back, state = checkpoint.load(tmp_path / "x" / "s.safetensors")
    assert all(torch.equal(back[k], v) for k, v in tensors.items())
    assert state["epoch"] == 3 and state["key"][0] == 0.1
    assert checkpoint.load(tmp_path / "none.safetensors") is None


def test_a_full_disk_leaves_the_former_snapshot_whole(tmp_path, monkeypatch):
    path = tmp_path / "run" / "checkpoints" / "s.safetensors"
    checkpoint.save(path, {"a": torch.zeros(2)}, {"epoch": 1})

    def full(tensors, target, metadata=None):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OutputError, match="disk is full"):
        checkpoint.save(path, {"a": torch.ones(2)}, {"epoch": 2})
    assert checkpoint.load(path)[1] == {"epoch": 1}
    assert [p.name for p in path.parent.iterdir()] == ["s.safetensors"]


def test_what_changes_and_what_does_not_are_a_partition():
    net = nets.net(nets.task())
    names = tuple(n for n, _ in net.named_parameters() if n.startswith("stages.2."))
    phase = Phase("p", {"train": Stream(None)}, 1, (Group("top", names, 0.1),), frozen=2)
    moving, still = set(checkpoint.changing(net, phase)), set(checkpoint.constant(net, phase))
    assert moving | still == set(net.state_dict()) and not moving & still
    assert "stages.2.body.1.running_mean" in moving and "stages.0.body.1.running_mean" in still
    assert all(n in moving for n in net.state_dict() if n.startswith("head."))


def test_a_digest_sees_every_bit():
    net = nets.net(nets.task())
    names = list(net.state_dict())
    before = checkpoint.digest(net, names)
    assert checkpoint.digest(net, names) == before
    with torch.no_grad():
        weight = net.stages[0].body[0].weight
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], torch.tensor(9.0))
    assert checkpoint.digest(net, names) != before


def test_a_snapshot_of_another_net_is_refused():
    with pytest.raises(KeyError, match="does not fit"):
        checkpoint.restore({"a": torch.zeros(1)}, {"b": torch.zeros(1)})
