import pytest
import torch

from graft.backbones import embedded
from graft.backbones.embedded import Options, load
from graft.errors import OptionError, WeightsError
from graft.testing import check_backbone


def test_contract():
    check_backbone(load, "graft-mini", Options())


def test_the_origin_says_what_the_card_says():
    card, body = embedded.card(), load("graft-mini", Options())
    assert (body.origin.sha256, body.origin.licence, body.origin.trained_on) == (card["sha256"], card["licence"], card["trained_on"])
    assert (body.prepare.size, body.prepare.crop, body.origin.weights) == (card["image_size"], 1.0, "embedded")
    assert sum(p.numel() for p in body.stages.parameters()) == card["parameters"]


def test_another_size_and_random_weights():
    trained, random = load("graft-mini", Options(image_size=64)), load("graft-mini", Options(weights="none", image_size=64), seed=2)
    assert trained.prepare.size == random.prepare.size == 64
    assert trained.names == random.names
    one, two = trained.stages.state_dict(), random.stages.state_dict()
    assert not any(torch.equal(one[k], two[k]) for k in one if k.endswith("conv.weight"))
    assert (random.origin.weights, random.origin.sha256, random.origin.trained_on) == ("random", "", "nothing")
    with pytest.raises(OptionError):
        load("graft-mini", Options(image_size=0))


def test_a_changed_file_is_refused(monkeypatch, tmp_path):
    changed = tmp_path / "graft_mini.safetensors"
    changed.write_bytes(embedded._WEIGHTS.read_bytes()[:-1] + b"\x01")
    monkeypatch.setattr(embedded, "_WEIGHTS", changed)
    with pytest.raises(WeightsError, match="install graft again"):
        load("graft-mini", Options())
