import copy

import pytest
import timm
import torch
from torch import nn

from graft.backbones import cuts


def _model(name, **arguments):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0, **arguments)


def _run(found, x):
    for module in found.modules:
        x = module(x)
    return x


NAMES = {
    "test_resnet": ("stem", "stage1", "stage2", "stage3", "stage4"),
    "test_convnext": ("stem", "stage1", "stage2", "stage3", "stage4", "neck"),
    "test_efficientnet": ("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "neck"),
    "test_vit": ("embed", "block1", "block2", "block3", "block4", "block5", "block6", "norm"),
    "mobilenetv4_conv_small_050": ("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "neck"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_a_person_would_give(name):
    assert cuts.cut(_model(name), 160).names == NAMES[name]


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_vit2", "test_vit3", "mobilenetv3_small_050"])
@torch.no_grad()
def test_pooled_stages_are_the_networks_own_features(name):
    model = _model(name).eval()
    image = torch.randn(2, 3, 160, 160)
    found = cuts.cut(model, 160)
    x = _run(found, image)
    expected = model.forward_head(model.forward_features(image), pre_logits=True)
    if found.forms[-1] == "map":
        x = x.mean((2, 3))
    elif found.forms[-1] == "tokens":
        x = x[:, 0] if found.pool == "cls" else x[:, found.prefix_tokens :].mean(1)
    assert torch.allclose(x, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["test_vit", "mobilenetv2_050", "test_convnext"])
@torch.no_grad()
def test_dropout_and_drop_path_draw_the_same_numbers_in_train_mode(name):
    extra = {"proj_drop_rate": 0.2} if name == "test_vit" else {}
    model = _model(name, drop_path_rate=0.5, **extra)
    for name, parameter in model.named_parameters():
        if name.endswith("gamma"):
            parameter.fill_(1.0)  # layer scale begins at 1e-6, at which no dropped path would show
    found = cuts.cut(model, 160)
    image = torch.randn(4, 3, 160, 160)
    model.train()
    other = copy.deepcopy(model)
    torch.manual_seed(3)
    expected = other.forward_features(image)
    if found.kind.endswith("+head"):
        expected = other.forward_head(expected, pre_logits=True)
    for module in found.modules:
        module.train()
    torch.manual_seed(3)
    x = _run(found, image)
    assert torch.allclose(x, expected, atol=1e-5)
    torch.manual_seed(4)
    assert not torch.allclose(_run(found, image), x, atol=1e-5), "this test has to see some randomness"


def test_a_cut_leaves_the_network_and_the_random_state_as_they_were():
    model = _model("test_resnet").train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    cuts.cut(model, 160)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert all(m.training for m in model.modules())


def test_a_known_kind_gives_the_same_stages_without_the_check():
    found = cuts.cut(_model("test_vit2"), 160)
    again = cuts.cut(_model("test_vit2"), 160, found.kind)
    assert (again.names, again.widths, again.forms, again.pool) == (found.names, found.widths, found.forms, found.pool)


class Hidden(nn.Module):
    """A chain by its children, but not by its forward pass: the glue doubles what is between two of them."""

    def __init__(self, glue: bool):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
        self.two = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 3))
        self.glue = glue

    def forward_features(self, x):
        y = self.one(x)
        if self.glue and x.sum() > -1e9:  # control flow, so that it cannot be traced
            y = y * 2
        return self.two(y)

    def forward_head(self, x, pre_logits=False):
        return x.mean((2, 3))

    def forward(self, x):
        return self.forward_head(self.forward_features(x))


def test_the_check_decides_and_not_hope():
    assert cuts.cut(Hidden(False), 32).kind == "chain"
    found = cuts.cut(Hidden(True), 32)
    assert (found.kind, len(found.names)) == ("whole", 1)


class InPlace(Hidden):
    def __init__(self):
        super().__init__(False)
        self.two = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 3))


@torch.no_grad()
def test_no_stage_changes_what_it_is_given():
    found = cuts.cut(InPlace(), 32)
    x = found.modules[0](torch.randn(1, 3, 32, 32))
    kept = x.clone()
    found.modules[1](x)
    assert len(found.names) == 2 and torch.equal(x, kept)


def test_zero_initialised_branches_do_not_hide_a_wrong_cut():
    model = Hidden(True)
    nn.init.zeros_(model.two[1].weight)
    nn.init.zeros_(model.two[1].bias)
    assert cuts.cut(model, 32).kind == "whole"
    assert model.two[1].weight.abs().max() == 0
