"""A body that ends early has the lower stages of the whole one, and nothing else, wherever it goes."""

import pytest
import torch
from tests.backbones.test_from_run import _run

from graft.backbones import embedded, from_run, from_timm
from graft.backbones.ending import upto
from graft.errors import OptionError
from graft.testing import check_backbone

SIZE = {"weights": "none", "image_size": 64}


@pytest.mark.parametrize(("name", "until"), [("mobilenetv2_100", "stage3"), ("vit_tiny_patch16_224", "3"), ("vgg11", 2)])
def test_contract(name, until):
    check_backbone(from_timm.load, name, from_timm.Options(**SIZE, until=until))


def test_the_lower_stages_are_those_of_the_whole():
    whole, short = embedded.load("graft-mini", embedded.Options()), embedded.load("graft-mini", embedded.Options(until="stage2"))
    count = len(short.names)
    assert short.names == whole.names[:count] and short.names[-1] == "stage2" and short.widths == whole.widths[:count]
    image = torch.randn(1, 3, whole.prepare.size, whole.prepare.size)
    state = {"x": image}
    for stage in whole.stages[:count]:
        state = stage(state)
    assert torch.equal(short.forward(image), state["x"])
    assert short.origin.name == "graft-mini@stage2" and short.origin.build["stages"] == count
    assert sum(p.numel() for p in short.stages.parameters()) < sum(p.numel() for p in whole.stages.parameters())


def test_a_run_keeps_its_end_and_may_end_earlier_still(tmp_path):
    body = from_timm.load("mobilenetv2_100", from_timm.Options(**SIZE, until="stage3"))
    run = _run(tmp_path, body)
    again = from_run.load(f"run:{run}", from_run.Options())
    assert again.names == body.names and again.origin.name == "mobilenetv2_100@stage3"
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(again.forward(image), body.stages.eval() and body.forward(image))
    for options in (from_run.Options(image_size=96), from_run.Options(weights="none")):
        other = from_run.load(f"run:{run}", options)
        assert other.names == body.names and other.origin.build["stages"] == len(body.names)
    earlier = from_run.load(f"run:{run}", from_run.Options(until="stage1"))
    assert earlier.names == body.names[:2] and torch.equal(earlier.stages[0]({"x": image})["x"], again.stages[0]({"x": image})["x"])


def test_pooling_suits_the_last_stage_and_a_stage_that_is_none_is_refused():
    body = from_timm.load("vgg11", from_timm.Options(**SIZE))
    assert upto(body, 2).pool == "avg" and upto(body, None) is body and upto(body, len(body.names)) is body
    with pytest.raises(OptionError, match=r"no stage 'stag1' to end at\. Did you mean 'stage1'"):
        upto(body, "stag1")
    with pytest.raises(OptionError, match="cannot end after 99 stages"):
        upto(body, 99)
