import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

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


def test_rebuilding_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="pyramid"):
        rebuild({"kind": "pyramid"})
