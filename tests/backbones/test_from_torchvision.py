"""Networks of torchvision as bodies: cut as timm's are, filled strictly, and what does not fit is said."""

import csv

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torchvision import models

from graft import catalog
from graft.backbones import from_torchvision
from graft.backbones.from_torchvision import Options, load
from graft.errors import OptionError, WeightsError
from graft.spec import backbone_row
from graft.testing import check_backbone

FAST = [("squeezenet1_0", 64), ("squeezenet1_1", 64), ("alexnet", 64), ("shufflenet_v2_x0_5", 64), ("mnasnet0_5", 64), ("googlenet", 64)]
SLOW = [
    ("regnet_y_400mf", 64), ("mobilenet_v3_small", 64), ("efficientnet_v2_s", 64), ("swin_t", 64), ("swin_v2_t", 64), ("maxvit_t", 224),
    ("mobilenet_v2", 64), ("densenet121", 64), ("torchvision:resnet18", 64), ("torchvision:vgg11", 64), ("torchvision:convnext_tiny", 64),
    ("torchvision:inception_v3", 96),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "size"),
    [pytest.param(*row, id=row[0]) for row in FAST] + [pytest.param(*row, id=row[0], marks=pytest.mark.slow) for row in SLOW],
)
def test_contract(name, size):
    check_backbone(load, name, Options(weights="none", image_size=size))


def test_the_names_that_need_no_prefix_are_those_that_timm_has_not():
    for name in models.list_models(module=models):
        assert catalog.is_torchvision_body(name) != timm.is_model(name), name
    assert not any(catalog.is_torchvision_body(name) for name in timm.list_models())
    assert backbone_row("squeezenet1_0").name == backbone_row("torchvision:resnet18").name == "torchvision"
    assert backbone_row("resnet18").name == "timm"


def test_features_are_what_the_network_gives_to_its_classifier(tmp_path):
    torch.manual_seed(3)
    whole = models.squeezenet1_0(num_classes=7).eval()
    save_file({name: value.half() for name, value in whole.state_dict().items()}, tmp_path / "w.safetensors")
    whole.load_state_dict(load_file(tmp_path / "w.safetensors"))
    body = load("squeezenet1_0", Options(weights=str(tmp_path / "w.safetensors")))
    assert {p.dtype for p in body.stages.parameters()} == {torch.float32}
    image = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(whole.classifier(body.forward(image)).flatten(1), whole(image), atol=1e-5)
    assert body.origin.weights == "file:w.safetensors" and len(body.origin.sha256) == 64


def test_published_preprocessing():
    body = load("torchvision:resnet50", Options(weights="none"))
    assert (body.prepare.size, body.prepare.resize, body.prepare.interpolation) == (224, 256, "bilinear")
    # GoogLeNet turns ImageNet's normalisation into that of [-1, 1] inside; graft does it outside, once.
    image = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    network = models.googlenet(weights=None, transform_input=True, aux_logits=False, init_weights=False)
    prepared = load("googlenet", Options(weights="none")).prepare
    ours = (image - torch.tensor(prepared.mean)[:, None, None]) / torch.tensor(prepared.std)[:, None, None]
    assert torch.allclose(network._transform_input((image - mean) / std), ours, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("features.0.weight"), r"missing 1, e\.g\. features\.0\.weight"),
        (lambda t: t.update({"features.99.weight": torch.ones(2)}), r"unexpected 1, e\.g\. features\.99\.weight"),
        (lambda t: t.update({"features.0.weight": torch.ones(2, 3, 7, 7)}), r"\[2, 3, 7, 7\] in the file, \[96, 3, 7, 7\] in the network"),
        (lambda t: t["features.0.bias"].fill_(float("nan")), "not finite"),
    ],
)
def test_a_file_that_does_not_fit_is_told_how(tmp_path, change, said):
    tensors = dict(models.squeezenet1_0().state_dict())
    change(tensors)
    save_file(tensors, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=said):
        load("squeezenet1_0", Options(weights=str(tmp_path / "w.safetensors")))


def test_what_is_asked_wrongly():
    with pytest.raises(OptionError, match="Did you mean 'squeezenet1_0'"):
        load("torchvision:squeezenet1_00", Options(weights="none"))
    with pytest.raises(OptionError, match=r"no chain .* take timm's"):
        load("vit_b_32", Options(weights="none"))
    with pytest.raises(OptionError, match="leave image_size out for its own 224"):
        load("alexnet", Options(weights="none", image_size=8))
    with pytest.raises(OptionError, match="yes, no, fit-only"):
        load("alexnet", Options(fetch="perhaps"))


def test_published_weights_come_from_torchs_cache_and_else_from_the_site(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    with pytest.raises(WeightsError, match="not in the local cache and fetching is off; give --weights FILE"):
        load("squeezenet1_1", Options(fetch="no"))
    torch.manual_seed(4)
    network = models.squeezenet1_1()

    def published(url, path, start, progress):
        assert url.endswith("squeezenet1_1-b8a52dc0.pth") and start == "b8a52dc0"
        torch.save(network.state_dict(), path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", published)
    body = load("squeezenet1_1", Options())
    assert body.origin.weights == "hub:torchvision/squeezenet1_1.IMAGENET1K_V1" and body.origin.trained_on == "ImageNet-1k"
    assert torch.equal(next(iter(body.stages.parameters())), next(iter(network.parameters())))
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    load("squeezenet1_1", Options(fetch="no"))  # now from the cache


def test_a_site_out_of_reach_is_one_sentence(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refused)
    with pytest.raises(WeightsError, match=r"site cannot be reached .* --backbone graft-mini"):
        load("alexnet", Options())


def test_the_source_head_is_that_of_the_file(tmp_path):
    network = models.resnet18(num_classes=5)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    weight, bias = from_torchvision.source_head("torchvision:resnet18", Options(weights=str(tmp_path / "w.safetensors")), 512)
    assert torch.equal(weight, network.fc.weight) and torch.equal(bias, network.fc.bias)
    save_file(models.squeezenet1_0(num_classes=5).state_dict(), tmp_path / "s.safetensors")
    assert from_torchvision.source_head("squeezenet1_0", Options(weights=str(tmp_path / "s.safetensors")), 512) is None


@pytest.mark.data
def test_the_published_squeezenet_names_real_images_as_torchvision_does(data_dir, weights_dir, capsys):
    """torchvision's own network with its own preprocessing has 0.600 on every fourth image (0.540 on all 1,000), and so has the body."""
    from PIL import Image

    from graft.data import images

    file = weights_dir / "squeezenet1_0_imagenet.torchvision.fp16.safetensors"
    body = load("squeezenet1_0", Options(weights=str(file)))
    whole = models.squeezenet1_0().eval()
    whole.load_state_dict({name: value.float() for name, value in load_file(file).items()})
    preset = models.SqueezeNet1_0_Weights.DEFAULT.transforms()
    with open(data_dir / "imagenet_sample" / "labels.csv", newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))[::4]
    right, same = 0, 0
    with torch.no_grad():
        for start in range(0, len(rows), 25):
            files = [data_dir / "imagenet_sample" / row["path"] for row in rows[start : start + 25]]
            maps = body.forward(images.normalise(images.load_images(files, body.prepare), body.prepare))
            answers = whole.classifier(maps).flatten(1).argmax(1)
            theirs = whole(torch.stack([preset(Image.open(one).convert("RGB")) for one in files])).argmax(1)
            labels = torch.tensor([int(row["index"]) for row in rows[start : start + 25]])
            right, same = right + int((answers == labels).sum()), same + int((answers == theirs).sum())
    with capsys.disabled():
        print(f"\nsqueezenet1_0: top-1 {right / len(rows):.3f} on {len(rows)} images; torchvision answers {same} of them alike")
    assert same >= 0.98 * len(rows) and right / len(rows) > 0.55
