"""The model folder: whole or not at all, and the same model when it is read back."""

import errno
import hashlib
import json
import os

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from graft.core import Schema
from graft.data.images import normalise
from graft.errors import OutputError, WeightsError
from graft.export import bundle, earlier
from graft.export.earlier import Known
from graft.export.model import former, read

from .conftest import make, make_task


def by_hand(made) -> np.ndarray:
    """Probabilities by their definition, from the outputs of the net in memory."""
    with torch.no_grad():
        outputs = made.net.eval()(normalise(made.samples, made.net.prepare)).double().numpy()
    if made.task.schema.target == "class":
        raised = np.exp(outputs / made.temperature)
        return raised / raised.sum(1, keepdims=True)
    if made.task.schema.target == "labels":
        return 1 / (1 + np.exp(-outputs / made.temperature))
    return outputs * made.task.schema.spread + made.task.schema.centre


def test_what_is_read_back_predicts_the_same(made, tmp_path):
    told = bundle.write(tmp_path / "model", *made.arguments())
    assert told["parity"] == 0.0
    assert told["bytes"] == sum(file.stat().st_size for file in (tmp_path / "model").iterdir())
    model = read(tmp_path, make_task)
    np.testing.assert_allclose(model._decode(made.samples), by_hand(made), rtol=1e-5, atol=1e-6)


def test_several_taps_survive(photos, tmp_path):
    made = make("classification", photos, taps=(1, -1))
    assert bundle.write(tmp_path / "model", *made.arguments())["parity"] == 0.0
    assert read(tmp_path / "model", make_task).net.taps == made.net.taps


def test_the_folder_holds_all_tensors_and_a_description(classifier, tmp_path):
    bundle.write(tmp_path / "model", *classifier.arguments({"scores": {"primary": "accuracy"}}))
    assert sorted(os.listdir(tmp_path / "model")) == ["README.md", "graft.json", "weights.safetensors"]
    tensors, wanted = load_file(tmp_path / "model" / "weights.safetensors"), classifier.net.state_dict()
    assert tensors.keys() == wanted.keys() and all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    described = json.loads((tmp_path / "model" / "graft.json").read_text(encoding="utf-8"))
    assert described["format"] == 1 and described["classes"] == ["circle", "cross", "stripes"]
    assert described["backbone"]["origin"]["sha256"] == classifier.backbone.origin.sha256
    assert described["backbone"]["origin"]["licence"] == classifier.backbone.origin.licence
    assert described["scores"] == {"primary": "accuracy"} and described["temperature"] == 1.7
    assert described["weights"]["sha256"] == hashlib.sha256((tmp_path / "model" / "weights.safetensors").read_bytes()).hexdigest()


def test_files_may_be_read_by_whom_the_user_lets_read(classifier, tmp_path):
    before = os.umask(0o022)
    try:
        bundle.write(tmp_path / "model", *classifier.arguments())
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "model").iterdir()} == {0o644}


def test_the_net_in_memory_is_left_as_it_was(classifier, tmp_path):
    classifier.net.train()
    before = {name: tensor.clone() for name, tensor in classifier.net.state_dict().items()}
    bundle.write(tmp_path / "model", *classifier.arguments())
    after = classifier.net.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(module.training for module in classifier.net.modules())


def test_memory_layout_does_not_matter(classifier, tmp_path):
    classifier.net.to(memory_format=torch.channels_last)
    assert bundle.write(tmp_path / "model", *classifier.arguments())["parity"] == 0.0


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, so no clean-up runs."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("rename", [1, 2])
def test_a_kill_between_the_renames_leaves_the_old_or_the_new(photos, classifier, tmp_path, monkeypatch, rename, when):
    other = make("classification", photos, seed=1)
    bundle.write(tmp_path / "model", *classifier.arguments())
    real, count = os.rename, 0

    def rename_and_die(source, target):
        nonlocal count
        if "model" not in os.path.basename(source):
            return real(source, target)  # safetensors and others rename too
        count += 1
        if count == rename and when == "before":
            raise Killed
        real(source, target)
        if count == rename:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", rename_and_die)
        with pytest.raises(Killed):
            bundle.write(tmp_path / "model", *other.arguments())
    found = read(tmp_path, make_task)._decode(classifier.samples)
    wanted = other if (rename, when) == (2, "after") else classifier
    np.testing.assert_allclose(found, by_hand(wanted), rtol=1e-5, atol=1e-6)
    bundle.write(tmp_path / "model", *other.arguments())  # and the next export puts all in order
    assert os.listdir(tmp_path) == ["model"]
    np.testing.assert_allclose(read(tmp_path, make_task)._decode(classifier.samples), by_hand(other), rtol=1e-5, atol=1e-6)


def test_a_kill_while_files_are_written_leaves_the_old(photos, classifier, tmp_path, monkeypatch):
    bundle.write(tmp_path / "model", *classifier.arguments())
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "text", lambda *a: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            bundle.write(tmp_path / "model", *make("classification", photos, seed=1).arguments())
    np.testing.assert_allclose(read(tmp_path, make_task)._decode(classifier.samples), by_hand(classifier), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error: No space left on device (os error 28)")],
    ids=["os", "safetensors"],
)
def test_a_full_disk_is_one_sentence_and_the_old_model_stays(photos, classifier, tmp_path, monkeypatch, error):
    bundle.write(tmp_path / "model", *classifier.arguments())

    def full(*arguments, **named):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "save_file", full)
        with pytest.raises(OutputError, match=r"the disk is full; make room, then go on with: graft resume"):
            bundle.write(tmp_path / "model", *make("classification", photos, seed=1).arguments())
    assert os.listdir(tmp_path) == ["model"]
    assert read(tmp_path, make_task).classes == ("circle", "cross", "stripes")


def test_a_place_that_cannot_be_written_is_one_sentence(classifier, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="could not be written"):
        bundle.write(tmp_path / "file" / "model", *classifier.arguments())


def test_a_model_that_would_predict_otherwise_is_not_kept(photos, classifier, tmp_path):
    bundle.write(tmp_path / "model", *classifier.arguments())
    other = make("classification", photos, seed=1)
    other.net.head.register_forward_hook(lambda module, inputs, outputs: outputs * 2)  # no file can hold this
    with pytest.raises(WeightsError, match=r"predicts something else than the trained one \(by 0\.\d+"):
        bundle.write(tmp_path / "model", *other.arguments())
    assert os.listdir(tmp_path) == ["model"] and not former(tmp_path / "model").exists()
    np.testing.assert_allclose(read(tmp_path, make_task)._decode(classifier.samples), by_hand(classifier), rtol=1e-5, atol=1e-6)


def test_outputs_that_are_not_numbers_are_not_kept(classifier, tmp_path):
    with torch.no_grad():
        next(classifier.net.head.parameters()).fill_(float("nan"))
    with pytest.raises(WeightsError):
        bundle.write(tmp_path / "model", *classifier.arguments())
    assert os.listdir(tmp_path) == []


def with_earlier(classifier, name="birds"):
    """The net with the head of another task, and what the bundle is told of it."""
    task = make_task("multilabel", Schema("image", "labels", ("crow", "gull")), {})
    torch.manual_seed(5)
    classifier.net.earlier[name] = task.head(classifier.net.head.config["width"])
    for parameter in classifier.net.earlier.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Known(name, task, classifier.net.earlier[name], 1.3, {"data": name, "sha256": "a" * 64, "rows": 50, "method": "finetune"})


def test_earlier_heads_are_saved_and_predict_the_same(classifier, tmp_path):
    known = with_earlier(classifier)
    told = bundle.write(tmp_path / "model", *classifier.arguments({"earlier": [known], "data": {"source": "/somewhere/bugs"}}))
    model = read(tmp_path, make_task)
    assert told["parity"] == 0.0 and model.tasks == ("birds", "bugs") and model.on("birds").classes == ("crow", "gull")
    with torch.no_grad():
        features = classifier.net.advance(normalise(classifier.samples, classifier.net.prepare), 0, classifier.net.pooled)["x"]
        outputs = known.head(features).double().numpy()
    np.testing.assert_allclose(model.on("birds")._decode(classifier.samples), 1 / (1 + np.exp(-outputs / 1.3)), rtol=1e-5, atol=1e-6)
    assert model.on("bugs") is model


def test_a_head_that_changes_when_it_is_saved_is_noticed(classifier, tmp_path, monkeypatch):
    known = with_earlier(classifier)
    rebuild = earlier.heads.rebuild
    monkeypatch.setattr(earlier.heads, "rebuild", lambda config: rebuild({**config, "normalise": True}))
    with pytest.raises(WeightsError, match="predicts something else"):
        bundle.write(tmp_path / "model", *classifier.arguments({"earlier": [known]}))
    assert not (tmp_path / "model").exists()
