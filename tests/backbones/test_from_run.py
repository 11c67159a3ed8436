import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file
from tests import texts

from graft.backbones import describe, from_run, from_timm, from_torchvision, from_transformers, gabor
from graft.backbones.from_run import Options, load
from graft.errors import OptionError, WeightsError
from graft.testing import check_backbone


def _run(folder, body):
    (folder / "model").mkdir(parents=True)
    tensors = {f"stages.{name}": value.contiguous() for name, value in body.stages.state_dict().items()}
    save_file({**tensors, "head.weight": torch.zeros(3, 4)}, folder / "model" / "weights.safetensors")
    (folder / "model" / "graft.json").write_text(json.dumps({"format": 1, "backbone": describe(body)}))
    (folder / "data.json").write_text(json.dumps({"source": "/photos/flowers"}))
    return folder


@pytest.fixture
def body():
    return from_timm.load("test_vit", from_timm.Options(weights="none"), seed=4)


def test_contract(tmp_path, body):
    check_backbone(load, f"run:{_run(tmp_path / 'one', body)}", Options())


def test_the_body_and_its_chain_of_origins(tmp_path, body):
    first = load(f"run:{_run(tmp_path / 'one', body)}", Options())
    assert all(torch.equal(v, body.stages.state_dict()[k]) for k, v in first.stages.state_dict().items())
    second = load(f"run:{_run(tmp_path / 'two', first)}", Options())
    old = {k: v for k, v in asdict(body.origin).items() if k != "parents"}
    assert [parent["weights"] for parent in second.origin.parents] == ["random", f"run:{tmp_path / 'one'}"]
    assert second.origin.parents[0] == old
    assert second.origin.weights == f"run:{tmp_path / 'two'}" and second.origin.sha256 == first_hash(tmp_path / "two")
    assert second.origin.trained_on == "nothing, then flowers, then flowers"
    assert second.origin.architecture == "timm:test_vit"


def first_hash(run):
    import hashlib

    return hashlib.sha256((run / "model" / "weights.safetensors").read_bytes()).hexdigest()


def test_another_image_size_resamples_position_embeddings(tmp_path, body):
    run = _run(tmp_path / "one", body)
    small = load(f"run:{run}", Options(image_size=96))
    assert small.prepare.size == 96
    assert small.forward(torch.zeros(1, 3, 96, 96)).shape[1] == 6 * 6 + 1
    name = "0.body.shell.pos_embed"
    assert torch.equal(small.stages.state_dict()[name][:, 0], body.stages.state_dict()[name][:, 0])
    check_backbone(load, f"run:{run}", Options(image_size=96))
    with pytest.raises(OptionError, match="nearest possible"):
        load(f"run:{run}", Options(image_size=100))


def test_random_control(tmp_path, body):
    run = _run(tmp_path / "one", body)
    one, two = (load(f"run:{run}", Options(weights="none"), seed=s) for s in (4, 5))
    assert one.origin.weights == "random" and one.origin.parents == ()
    assert all(torch.equal(v, body.stages.state_dict()[k]) for k, v in one.stages.state_dict().items())  # the same seed
    assert not all(torch.equal(v, body.stages.state_dict()[k]) for k, v in two.stages.state_dict().items())


def test_a_body_of_torchvision_that_ends_early_comes_back_at_another_size_and_from_another_seed(tmp_path):
    asked = from_torchvision.Options(weights="none", image_size=64, until=2)
    short = from_torchvision.load("squeezenet1_0", asked, seed=4)
    assert len(short.names) == 2 and short.origin.name == f"squeezenet1_0@{short.names[-1]}"
    run = _run(tmp_path / "s", short)
    check_backbone(load, f"run:{run}", Options(image_size=96))
    same, other = (load(f"run:{run}", Options(weights="none"), seed=seed) for seed in (4, 5))
    assert len(same.names) == 2 and all(torch.equal(v, short.stages.state_dict()[k]) for k, v in same.stages.state_dict().items())
    assert not all(torch.equal(v, short.stages.state_dict()[k]) for k, v in other.stages.state_dict().items())


def test_a_gabor_body_comes_back(tmp_path):
    bank = gabor.load("gabor", gabor.Options(image_size=64, kernel=31))
    check_backbone(load, f"run:{_run(tmp_path / 'g', bank)}", Options())


def test_what_is_not_a_finished_run_is_refused(tmp_path, body):
    with pytest.raises(WeightsError, match="no finished model"):
        load(f"run:{tmp_path / 'nowhere'}", Options())
    run = _run(tmp_path / "one", body)
    with pytest.raises(OptionError, match="brings its own weights"):
        load(f"run:{run}", Options(weights="w.pth"))
    config = json.loads((run / "model" / "graft.json").read_text())
    tensors = {k: v for k, v in body.stages.state_dict().items()}
    save_file({f"stages.{k}": v for k, v in list(tensors.items())[1:]}, run / "model" / "weights.safetensors")
    with pytest.raises(WeightsError, match="differs from its description in 1 tensors"):
        load(f"run:{run}", Options())
    config["backbone"]["origin"]["architecture"] = "elsewhere:net"
    (run / "model" / "graft.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="install the plug-in"):
        load(f"run:{run}", Options())
    del config["backbone"]["prepare"]
    (run / "model" / "graft.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="damaged"):
        load(f"run:{run}", Options())
    (run / "model" / "graft.json").write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        load(f"run:{run}", Options())


def test_folder_of_the_model_itself(tmp_path, body):
    assert from_run.load(f"run:{_run(tmp_path / 'one', body) / 'model'}", Options()).names == body.names


def test_a_body_whose_stages_were_called_otherwise_is_rebuilt_under_its_old_names():
    from graft.backbones import describe, from_timm, rebuild

    body = from_timm.load("test_resnet", from_timm.Options(weights="none"), 0)
    described = describe(body) | {"names": [f"old{i}" for i in range(len(body.names))]}
    assert rebuild(described).names == tuple(described["names"])


def _text_run(folder, kind="bert", **options):
    model = folder.parent / f"{folder.name}-{kind}"
    texts.write(model, kind)
    body = from_transformers.load(str(model), from_transformers.Options(**options))
    run = _run(folder, body)
    (run / "model" / "tokenizer.json").write_text(body.prepare.tokenizer, encoding="utf-8")
    return run, body


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "gpt2"])
def test_a_body_of_texts_comes_back(tmp_path, kind):
    run, body = _text_run(tmp_path / "one", kind)
    check_backbone(load, f"run:{run}", Options())
    found = load(f"run:{run}", Options())
    assert all(torch.equal(v, body.stages.state_dict()[k]) for k, v in found.stages.state_dict().items())
    assert found.prepare == body.prepare and found.causal == body.causal
    assert found.origin.weights == f"run:{run}" and [p["weights"] for p in found.origin.parents] == [f"file:one-{kind}"]
    words = found.language_head().decoder.weight
    assert torch.equal(words, next(p for p in found.stages[0].parameters() if p.shape == words.shape))


def test_a_body_of_texts_with_another_length_or_random_weights(tmp_path):
    run, body = _text_run(tmp_path / "one", length=20)
    assert load(f"run:{run}", Options()).prepare.length == 20
    found = load(f"run:{run}", Options(length=40))
    assert found.prepare.length == found.origin.build["length"] == 40
    one, same, other = (load(f"run:{run}", Options(weights="none"), seed=s) for s in (4, 4, 5))
    a, b, c = (found.stages.state_dict() for found in (one, same, other))
    assert all(torch.equal(a[k], b[k]) for k in a) and not all(torch.equal(a[k], c[k]) for k in a)
    assert one.origin.weights == "random" and one.prepare == body.prepare and one.pool == body.pool


def test_what_does_not_suit_a_body_of_texts_is_refused(tmp_path, body):
    run, _ = _text_run(tmp_path / "one")
    with pytest.raises(OptionError, match="reads from 8 to 40 tokens"):
        load(f"run:{run}", Options(length=41))
    with pytest.raises(OptionError, match="reads texts, which have no image_size"):
        load(f"run:{run}", Options(image_size=64))
    with pytest.raises(OptionError, match="looks at images, which have no length"):
        load(f"run:{_run(tmp_path / 'image', body)}", Options(length=20))
    (run / "model" / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"has no tokenizer\.json that can be read; export the run again"):
        load(f"run:{run}", Options())
