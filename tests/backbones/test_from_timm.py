import pytest
import timm
import torch
from safetensors.torch import save_file

from graft.backbones import describe, from_timm, rebuild
from graft.backbones.from_timm import Options, load
from graft.errors import OptionError, WeightsError
from graft.testing import check_backbone

RANDOM = "none"

FAST = [
    ("test_resnet", None), ("test_convnext", 96), ("test_efficientnet", 96), ("test_vit", None), ("test_vit2", None), ("test_vit3", None),
    ("test_byobnet", 96), ("test_nfnet", 96), ("mobilenetv3_small_050", 64), ("mobilenetv4_conv_small_050", 96), ("regnety_002", 64),
    ("convnext_atto", 64), ("vit_tiny_patch16_224", 64), ("densenet121", 64), ("mobilenetv2_050", 64),
]  # fmt: skip
SLOW = [
    ("vgg16", 64), ("resnet50", None), ("inception_v3", None), ("mobilenetv2_100", None), ("mobilenetv3_small_100", None),
    ("efficientnet_b0", None), ("convnext_tiny", None), ("vit_small_patch16_224", None), ("swin_tiny_patch4_window7_224", None),
    ("densenet121", None), ("regnety_016", None), ("eva02_tiny_patch14_224", None), ("vit_small_patch16_dinov3", 96), ("dpn68", 96),
    ("selecsls42b", 96), ("hrnet_w18_small", 96), ("xcit_nano_12_p16_224", None), ("deit_tiny_distilled_patch16_224", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "size"),
    [pytest.param(*row, id=row[0]) for row in FAST] + [pytest.param(*row, id=f"{row[0]}-large", marks=pytest.mark.slow) for row in SLOW],
)
def test_contract(name, size):
    check_backbone(load, name, Options(weights=RANDOM, image_size=size))


def test_a_file_of_another_head_size_gives_the_networks_own_features(tmp_path):
    torch.manual_seed(5)
    whole = timm.create_model("test_efficientnet", num_classes=11).eval()
    save_file(whole.state_dict(), tmp_path / "w.safetensors")
    body = load("timm:test_efficientnet", Options(weights=str(tmp_path / "w.safetensors")))
    image = torch.randn(2, 3, body.prepare.size, body.prepare.size)
    with torch.no_grad():
        assert torch.allclose(
            body.forward(image).mean((2, 3)), whole.forward_head(whole.forward_features(image), pre_logits=True), atol=1e-5
        )
    assert body.origin.weights == "file:w.safetensors" and len(body.origin.sha256) == 64
    assert body.origin.architecture == "timm:test_efficientnet"


def test_preprocessing_is_that_of_the_weights():
    config = timm.create_model("test_vit").pretrained_cfg
    body = load("test_vit", Options(weights=RANDOM))
    assert body.prepare.size == config["input_size"][-1]
    assert body.prepare.mean == config["mean"] and body.prepare.std == config["std"]
    assert (body.prepare.crop, body.prepare.interpolation) == (config["crop_pct"], config["interpolation"])


def test_random_weights_follow_the_seed_and_leave_the_random_state_alone():
    state = torch.get_rng_state()
    one, same, other = (load("test_resnet", Options(weights=RANDOM), seed=s).stages.state_dict() for s in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert not all(torch.equal(one[k], other[k]) for k in one)


def test_other_image_sizes():
    assert load("test_resnet", Options(weights=RANDOM, image_size=96)).prepare.size == 96
    body = load("test_vit", Options(weights=RANDOM, image_size=96))
    assert body.forward(torch.zeros(1, 3, 96, 96)).shape[1] == 6 * 6 + 1
    again = rebuild(describe(body))
    again.stages.load_state_dict(body.stages.state_dict())
    assert again.prepare.size == 96


def test_an_impossible_size_names_the_nearest_possible_ones():
    with pytest.raises(OptionError, match="the nearest possible: 96 or 112"):
        load("test_vit", Options(weights=RANDOM, image_size=100))
    with pytest.raises(OptionError, match="at least 1"):
        load("test_vit", Options(weights=RANDOM, image_size=0))


def test_unknown_names():
    with pytest.raises(OptionError, match="Did you mean 'resnet50'"):
        load("resnet5o", Options(weights=RANDOM))
    with pytest.raises(OptionError, match=r"no weights 'a1_in1x' for resnet50\. Did you mean 'a1_in1k'"):
        load("resnet50.a1_in1x", Options(weights=RANDOM))
    with pytest.raises(OptionError, match="yes, no, fit-only"):
        load("test_vit", Options(fetch="perhaps"))


@pytest.mark.parametrize("fetch", ["no", "yes", "fit-only"])
def test_without_a_network_one_sentence_says_what_to_do(fetch, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="--weights FILE, or use --backbone graft-mini") as caught:
        load("test_resnet", Options(fetch=fetch))
    assert "\n" not in str(caught.value)


def test_weights_in_the_local_cache_are_used_offline(monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    torch.manual_seed(9)
    model = timm.create_model("test_resnet", num_classes=1000)
    folder = tmp_path / f"models--timm--test_resnet.{model.pretrained_cfg['tag']}"
    commit = "0" * 40
    (folder / "snapshots" / commit).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    save_file(model.state_dict(), folder / "snapshots" / commit / "model.safetensors")
    body = load("test_resnet", Options(fetch="no"))
    assert body.origin.weights == f"hub:timm/test_resnet.{model.pretrained_cfg['tag']}"
    assert body.origin.trained_on == "ImageNet-1k"
    first = next(iter(body.stages.parameters()))
    assert torch.equal(first, next(iter(model.parameters())))


def test_names_of_training_data_come_in_order():
    config = {"tag": "augreg_in21k_ft_in1k", "license": "apache-2.0"}
    assert from_timm._credits(config, "hub:x") == ("apache-2.0", "ImageNet-21k, then ImageNet-1k")


@pytest.mark.data
def test_real_mobilenet(weights_dir):
    file = weights_dir / "mobilenet_v2_imagenet.timm.bncal.safetensors"
    body = load("mobilenetv2_100", Options(weights=str(file)))
    assert body.names == ("stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "neck")
    assert body.widths[-1] == 1280
    with pytest.raises(WeightsError, match="does not fit resnet18"):
        load("resnet18", Options(weights=str(file)))


def test_the_classifier_that_the_weights_hold(tmp_path):

    model = timm.create_model("mobilenetv3_small_050", pretrained=False, num_classes=7)
    file = tmp_path / "w.safetensors"
    save_file(model.state_dict(), file)
    options = from_timm.Options(weights=str(file))
    width = model.classifier.in_features
    weight, bias = from_timm.source_head("mobilenetv3_small_050", options, width)
    assert torch.equal(weight, model.classifier.weight.detach()) and torch.equal(bias, model.classifier.bias.detach())
    assert from_timm.source_head("mobilenetv3_small_050", options, width + 1) is None
    assert from_timm.source_head("mobilenetv3_small_050", from_timm.Options(weights="none"), width) is None
