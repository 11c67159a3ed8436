import json
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from graft.errors import OptionError
from graft.heads import rebuild
from graft.heads.trained import ACTIVATIONS, build


def test_the_classic_recipes():
    vgg = build(64, 5, (256,), dropout=0.5)
    kinds = [type(m).__name__ for m in vgg.modules() if not list(m.children())]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear"]
    deep = build(64, 5, (1024, 512))
    assert [tuple(m.weight.shape) for m in deep.modules() if isinstance(m, nn.Linear)] == [(1024, 64), (512, 1024), (5, 512)]
    assert [type(m) for m in build(64, 5, dropout=0.2).body] == [nn.Dropout]
    assert list(build(64, 5).state_dict()) == ["final.weight", "final.bias"]


@pytest.mark.parametrize("hidden", [(), (32,), (64, 32)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_new_head_knows_nothing_and_follows_the_seed(hidden, activation):
    x, y = torch.randn(50, 20), torch.arange(50) % 10
    torch.manual_seed(3)
    head = build(20, 10, hidden, activation)
    torch.manual_seed(3)
    again = build(20, 10, hidden, activation)
    assert torch.equal(head(x), again(x))
    assert F.cross_entropy(head(x), y).item() == pytest.approx(math.log(10), abs=0.05)


def test_normalised_features_do_not_depend_on_the_batch_or_their_size():
    torch.manual_seed(0)
    head = build(16, 3, normalise=True)
    x = torch.randn(4, 16)
    assert torch.allclose(head(x)[:1], head(x[:1])) and torch.allclose(head(x), head(7 * x), atol=1e-5)


def test_it_is_rebuilt_from_its_config():
    head = build(6, 2, (4, 3), "gelu", 0.1, True).eval()
    again = rebuild(head.config).eval()
    again.load_state_dict(head.state_dict())
    x = torch.randn(3, 6)
    assert again.config == head.config and torch.equal(again(x), head(x))


def test_a_head_that_mixes_layers_works_on_their_mean_at_first():
    torch.manual_seed(0)
    head = build(12, 3, mix=3).eval()
    x = torch.randn(5, 12)
    assert torch.allclose(head(x), head.final(x.reshape(5, 3, 4).mean(1)), atol=1e-6)
    assert head.config["mix"] == 3 and head.config["width"] == 12 and head.final.weight.shape == (3, 4)


def test_a_head_with_attention_takes_the_mask():
    torch.manual_seed(0)
    x, mask = torch.randn(2, 4, 12), torch.tensor([[True, True, True, False], [True, False, False, False]])
    head = build(12, 3, (5,), mix=2, attend=True).eval()
    again = rebuild(json.loads(json.dumps(head.config))).eval()
    again.load_state_dict(head.state_dict())
    assert head.takes_mask and head(x, mask).shape == (2, 3) and torch.equal(again(x, mask), head(x, mask))
    assert not build(12, 3).takes_mask


def test_what_older_versions_wrote_still_rebuilds():
    old = {"kind": "linear", "width": 6, "outputs": 2, "hidden": [4], "activation": "relu", "dropout": 0.0, "normalise": False}
    assert rebuild(old).config == old == build(6, 2, (4,)).config
    assert list(rebuild(old).state_dict()) == ["body.0.weight", "body.0.bias", "final.weight", "final.bias"]


def test_layers_of_different_widths_are_not_mixed():
    with pytest.raises(OptionError, match=r"task\.mix"):
        build(13, 3, mix=2)


def test_rebuilding_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="pyramid"):
        rebuild({"kind": "pyramid"})
