import timm
import torch

from graft.backbones import parts


def _order(model, image):
    return parts.called(model, parts.candidates(model), "forward_features", image)


def _model(name, size=64):
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=0).eval(), torch.randn(2, 3, size, size)


def test_chain_names_children_in_the_order_they_run():
    model, image = _model("test_resnet")
    paths = [path for path, _ in parts.chain(model, _order(model, image), image)]
    assert paths[:2] == ["conv1", "bn1"] or paths[0] == "conv1"
    assert paths[-4:] == ["layer1", "layer2", "layer3", "layer4"]


@torch.no_grad()
def test_hollow_keeps_the_embedding_glue():
    model, image = _model("test_vit", 160)
    x = image
    for _, module in parts.hollow(model, _order(model, image), image):
        x = module(x)
    assert torch.equal(x, model.forward_features(image))


@torch.no_grad()
def test_hollow_passes_rotary_embeddings_on():
    torch.manual_seed(0)
    model = timm.create_model("vit_small_patch16_dinov3", num_classes=0, img_size=32).eval()
    image = torch.randn(2, 3, 32, 32)
    items = parts.hollow(model, _order(model, image), image)
    assert isinstance(items[1][1], parts.Given)
    x = image
    for _, module in items:
        x = module(x)
    assert torch.allclose(x, model.forward_features(image), atol=1e-5)


@torch.no_grad()
def test_traced_cuts_only_where_one_value_is_alive():
    model, image = _model("selecsls42b")
    items = parts.traced(model, _order(model, image), image)
    x = image
    for _, module in items:
        x = module(x)
    assert len(items) > 3
    assert torch.allclose(x, model.forward_features(image), atol=1e-5)


def test_part_shares_what_it_keeps_and_holds_nothing_else():
    model, _ = _model("test_vit", 160)
    part = parts.Part(model, "forward_features", {"patch_embed"})
    assert part.shell.patch_embed is model.patch_embed
    assert not any("blocks" in name for name in part.state_dict())
    assert len(model.blocks) > 0  # the network itself is left whole
    assert parts.Part(model, "forward_head", set(), parameters=False).state_dict() == {}


def test_layout_and_settle():
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(parts.Layout(torch.nn.Identity(), False, True)(x), x.permute(0, 3, 1, 2))
    assert torch.equal(parts.Layout(torch.nn.Identity(), True, True)(x), x)
    relu = torch.nn.Sequential(torch.nn.ReLU(inplace=True))
    parts.settle(relu)
    kept = x.clone()
    relu(x)
    assert torch.equal(x, kept)


def test_channels_last_is_told_by_the_square():
    assert parts.is_channels_last(torch.Size([2, 7, 7, 96]), False)
    assert not parts.is_channels_last(torch.Size([2, 96, 7, 7]), True)
    assert parts.is_channels_last(torch.Size([2, 7, 7, 7]), True)
