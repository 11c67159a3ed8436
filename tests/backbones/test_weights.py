import hashlib
import json

import pytest
import timm
import torch
from safetensors.torch import save_file

from graft.backbones import weights
from graft.errors import WeightsError


@pytest.fixture
def model():
    torch.manual_seed(0)
    return timm.create_model("test_resnet", num_classes=0)


@pytest.fixture
def tensors():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", num_classes=7).state_dict()


def _same(model, tensors):
    return all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())


WRAPPED = {
    "plain": lambda t: t,
    "state_dict": lambda t: {"state_dict": t, "epoch": 3},
    "model with module.": lambda t: {"model": {f"module.{k}": v for k, v in t.items()}},
    "ema first": lambda t: {"model_ema": t, "model": {k: v + 1 for k, v in t.items()}},
    "lightning": lambda t: {"state_dict": {f"model.{k}": v for k, v in t.items()}, "lr": 0.1},
    "compiled": lambda t: {"net": {f"_orig_mod.{k}": v for k, v in t.items()}},
    "backbone of a detector": lambda t: {**{f"backbone.{k}": v for k, v in t.items()}, "neck.weight": torch.zeros(2)},
    "half": lambda t: {k: v.half() if v.is_floating_point() else v for k, v in t.items()},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_prefixed_and_half_files_are_understood_whatever_the_head(kind, model, tensors, tmp_path):
    rounded = {k: v.half().float() if v.is_floating_point() else v for k, v in tensors.items()}
    torch.save(WRAPPED[kind](rounded), tmp_path / "w.pth")
    read, sha256 = weights.read(tmp_path / "w.pth")
    weights.fit(model, read)
    assert _same(model, rounded)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert sha256 == hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()


def test_safetensors(model, tensors, tmp_path):
    save_file(tensors, tmp_path / "w.safetensors")
    weights.fit(model, weights.read(tmp_path / "w.safetensors")[0])
    assert _same(model, tensors)


def test_a_file_that_needs_unpickling_is_refused_and_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return open, (str(marker), "w")

    torch.save({"model": Evil()}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="needs unpickling, which graft never does; convert it to safetensors"):
        weights.read(tmp_path / "w.pth")
    assert not marker.exists()
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(WeightsError, match="needs unpickling"):
        weights.read(tmp_path / "whole.pt")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("damage", ["empty", "garbage", "cut"])
def test_damaged_files(suffix, damage, tensors, tmp_path):
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "garbage": b"not weights at all" * 50, "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(WeightsError, match="damaged"):
        weights.read(path)


def test_missing_unknown_and_without_tensors(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        weights.read(tmp_path / "nothing.pth")
    (tmp_path / "w.h5").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"convert it to \.safetensors"):
        weights.read(tmp_path / "w.h5")
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="no tensors"):
        weights.read(tmp_path / "w.pth")


def test_a_mismatch_is_three_lines_and_a_likely_cause(model):
    other = timm.create_model("test_convnext", num_classes=5).state_dict()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        weights.fit(model, other, source="w.pth")
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "w.pth does not fit test_resnet" in lines[0] and "another network" in lines[0] and "--backbone" in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["missing", "unexpected", "of"]
    assert _same(model, before)


def test_causes(model, tensors):
    graft = {f"stages.0.body.{k}": v for k, v in tensors.items()}
    with pytest.raises(WeightsError, match="run:PATH"):
        weights.fit(model, graft)
    wide = {k: torch.cat([v, v]) if k == "conv1.0.weight" else v for k, v in tensors.items()}
    with pytest.raises(WeightsError, match=r"another size(.|\n)*of another shape 1, e\.g\. conv1\.0\.weight"):
        weights.fit(model, wide)
    short = {k: v for k, v in tensors.items() if not k.startswith("layer4")}
    with pytest.raises(WeightsError, match="incomplete"):
        weights.fit(model, short)


def test_values_that_are_not_finite_are_refused(model, tensors):
    bad = {k: v.clone() for k, v in tensors.items()}
    bad["layer1.0.conv1.weight"].view(-1)[0] = float("nan")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(WeightsError, match="not finite"):
        weights.fit(model, bad)
    assert _same(model, before)


@pytest.mark.parametrize(("value", "finite"), [(float("nan"), False), (float("inf"), False), (6e4, True)])
def test_sums_that_overflow_are_not_taken_for_values_that_do(value, finite):
    assert weights._finite(torch.full((1000,), value, dtype=torch.float16)) == finite
    both = torch.tensor([float("inf"), -float("inf")])
    assert not weights._finite(both) and weights._finite(torch.full((2,), 3e38)) and weights._finite(torch.tensor([True]))


def test_torchvision_files_of_the_same_architecture():
    """torchvision's DenseNet differs from timm's in nothing but the classifier's name; its old files name norms otherwise."""
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.densenet121().eval()
    old = {k.replace(".norm1.", ".norm.1.").replace(".conv1.", ".conv.1."): v for k, v in theirs.state_dict().items()}
    ours = timm.create_model("densenet121", num_classes=0).eval()
    weights.fit(ours, old)
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = torch.relu(theirs.features(image))
        assert torch.allclose(torch.relu(ours.forward_features(image)), expected, atol=1e-5)


def test_position_embeddings_are_resampled_for_another_image_size():
    small = timm.create_model("test_vit", num_classes=0, img_size=96)
    native = timm.create_model("test_vit", num_classes=3).state_dict()
    weights.fit(small, native)
    assert small.pos_embed.shape[1] == 6 * 6 + 1
    assert torch.equal(small.pos_embed[:, 0], native["pos_embed"][:, 0])
    assert torch.equal(small.blocks[0].mlp.fc1.weight, native["blocks.0.mlp.fc1.weight"])


@pytest.mark.data
def test_real_mobilenet_weights_load_whole(weights_dir):
    tensors, _ = weights.read(weights_dir / "mobilenet_v2_imagenet.timm.bncal.safetensors")
    model = timm.create_model("mobilenetv2_100", num_classes=0)
    weights.fit(model, tensors)
    assert all(torch.equal(value, tensors[name].to(value.dtype)) for name, value in model.state_dict().items() if name in tensors)


def test_a_folder_of_parts(tmp_path, tensors):
    save_file({"a.weight": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "two.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a.weight": "one.safetensors", "encoder.weight": "../elsewhere/two.safetensors"}})
    )
    read, sha256 = weights.read_folder(tmp_path)
    assert set(read) == {"a.weight", "encoder.weight"}  # as they are, though all of one part begin alike
    parts = [hashlib.sha256((tmp_path / f"{name}.safetensors").read_bytes()).hexdigest() for name in ("two", "one")]
    assert sha256 in {hashlib.sha256("".join(order).encode()).hexdigest() for order in (parts, parts[::-1])}
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(WeightsError, match=r"index\.json is damaged"):
        weights.read_folder(tmp_path)


def test_a_folder_without_safetensors(tmp_path):
    with pytest.raises(WeightsError, match="has no weights; give model"):
        weights.read_folder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"has pytorch_model\.bin, which graft does not read because it may run code"):
        weights.read_folder(tmp_path)


def _cache(folder, name, files):
    commit = "0" * 40
    held = folder / f"models--{name.replace('/', '--')}"
    (held / "snapshots" / commit).mkdir(parents=True)
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text(commit)
    for file in files:
        (held / "snapshots" / commit / file).write_text("{}")
    return held / "snapshots" / commit


@pytest.mark.parametrize("fetch", [True, False])
def test_files_of_the_hub_come_from_the_cache_where_it_has_all(fetch, monkeypatch, tmp_path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    held = _cache(tmp_path, "a/b", ["config.json", "vocab.txt"])
    found = weights.hub_files("a/b", ("*.json", "*.txt"), ("config.json", "tokenizer.json|vocab.txt"), fetch, "a/b", "do this")
    assert found == held
    with pytest.raises(WeightsError, match="do this"):
        weights.hub_files("a/b", ("*",), ("config.json", "*.safetensors"), fetch, "a/b", "do this")
    with pytest.raises(WeightsError, match="do this"):
        weights.hub_files("a/c", ("*",), ("config.json",), fetch, "a/c", "do this")


def test_files_of_the_hub_that_the_cache_lacks_are_fetched(monkeypatch, tmp_path):
    import huggingface_hub

    calls = []

    def snapshot_download(repository, allow_patterns, local_files_only=False, etag_timeout=10):
        calls.append(local_files_only)
        if not local_files_only and repository == "a/whole":
            (tmp_path / "model-2.safetensors").write_bytes(b"")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.setattr(weights, "_no_network", lambda: False)
    needed = ("config.json", "model*.safetensors")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"no safetensors file for b \(a/bare\); do this"):
        weights.hub_files("a/bare", ("*",), needed, True, "b", "do this")
    (tmp_path / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    )
    (tmp_path / "model-1.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="not in the local cache and fetching is off"):
        weights.hub_files("a/whole", ("*",), needed, False, "b", "do this")
    calls.clear()
    assert weights.hub_files("a/whole", ("*",), needed, True, "b", "do this") == tmp_path and calls == [True, False]
    calls.clear()
    assert weights.hub_files("a/whole", ("*",), needed, True, "b", "do this") == tmp_path and calls == [True]
