"""Bodies that are at hand, and which of them is taken where none is named."""

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from graft.assembly import measuring, nominating, wiring
from graft.engine.journal import Journal
from graft.spec import Spec


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub, and a folder of torch's, with nothing in them; keep(name) puts random weights there."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))

    def keep(name: str) -> str:
        model = timm.create_model(name, num_classes=10)
        whole = f"{name}.{model.pretrained_cfg['tag']}"
        folder = tmp_path / "hub" / f"models--timm--{whole}"
        commit = "0" * 40
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(commit)
        save_file(model.state_dict(), folder / "snapshots" / commit / "model.safetensors")
        return whole

    return keep


def chosen(photos, **values) -> dict:
    heard = []
    wiring.assemble(Spec.make(str(photos), **{"folds": 0, "method": "extract", **values}), Journal(heard.append))
    return next(event for event in heard if event["event"] == "decision" and event["what"] == "backbone")


def test_with_nothing_else_kept_the_embedded_body_stays_and_it_is_said_what_another_would_need(photos, hub):
    found = chosen(photos)
    assert found["value"] == "graft-mini" and "no other is kept here" in found["reason"] and found["flag"] == "--backbone"
    assert nominating.cached() == []


def test_bodies_that_are_kept_are_measured_on_learning_rows_alone(photos, hub, monkeypatch):
    name, seen, features = hub("test_resnet"), [], measuring.features
    monkeypatch.setattr(
        measuring, "features", lambda net, table, *rest: seen.extend(table["path"].to_pylist()) or features(net, table, *rest)
    )
    found = chosen(photos)
    _, data = wiring.read(Spec.make(str(photos), folds=0), Journal())
    assert f"{name} 0." in found["reason"] and "graft-mini 1.000" in found["reason"]
    assert seen and not set(seen) & set(data.test["path"].to_pylist())


def test_in_folds_every_row_is_scored_so_none_is_measured_on(photos, hub, monkeypatch):
    name = hub("test_resnet")
    monkeypatch.setattr(measuring, "features", lambda *given: pytest.fail("labels of scored rows chose"))
    found = chosen(photos, folds=3)
    assert found["value"] == name and "every row is scored in its fold" in found["reason"]


@pytest.mark.parametrize("better", [True, False])
def test_the_better_one_is_taken(photos, hub, monkeypatch, better):
    name = hub("test_resnet")

    def probe(body, *_):
        value = 0.9 if (body.origin.name == "graft-mini") != better else 0.5
        return {"name": "last", "probe": value, "interval": [value - 0.1, value + 0.1], "logme": 0.0}, 20

    monkeypatch.setattr(measuring, "last_probe", probe)
    found = chosen(photos)
    assert found["value"] == (name if better else "graft-mini") and "20 learning rows: " in found["reason"]


def test_time_size_and_number_are_bounded_and_what_was_left_out_is_said(photos, hub, monkeypatch):
    names = [hub(one) for one in ("test_resnet", "test_vit")]
    monkeypatch.setattr(nominating, "MOST", 1)
    found = chosen(photos)["reason"]
    assert sum(f"{name} 0." in found or f"{name} 1." in found for name in names) == 1 and "not measured: " in found
    monkeypatch.setattr(nominating, "SECONDS", 0.0)
    assert "none could be measured" in chosen(photos)["reason"]
    monkeypatch.setattr(nominating, "LARGEST", 0.0)
    assert chosen(photos)["value"] == "graft-mini"


def test_a_kept_file_that_is_damaged_is_passed_over(photos, hub, tmp_path):
    name = hub("test_resnet")
    next((tmp_path / "hub").rglob("model.safetensors")).write_bytes(b"torn")
    found = chosen(photos)
    assert found["value"] == "graft-mini" and name in found["reason"]


def test_what_torchvision_keeps_counts_too(hub, tmp_path):
    folder = tmp_path / "torch" / "checkpoints"
    folder.mkdir(parents=True)
    for weights in (models.SqueezeNet1_1_Weights.DEFAULT, models.ResNet18_Weights.DEFAULT, models.ViT_B_16_Weights.DEFAULT):
        (folder / weights.url.rpartition("/")[2]).write_bytes(b"x")
    assert {one.name for one in nominating.cached()} == {"squeezenet1_1", "torchvision:resnet18"}


def test_a_named_body_scratch_and_weights_of_none_are_not_measured(photos, hub, monkeypatch):
    hub("test_resnet")
    monkeypatch.setattr(nominating, "best", None)
    heard = []
    wiring.assemble(Spec.make(str(photos), folds=0, backbone="gabor", method="extract"), Journal(heard.append))
    wiring.assemble(Spec.make(str(photos), folds=0, method="scratch"), Journal(heard.append))
    assert [event["value"] for event in heard if event.get("what") == "backbone"] == ["graft-mini"]


def test_candidates_of_advice(photos, hub):
    spec = Spec.make(str(photos), folds=0)
    parts = nominating.candidates(spec, ["graft-mini", "graft-mini=none"])
    assert parts[1].values["weights"].endswith("none")
    name = hub("test_resnet")
    assert [part.name for part in nominating.candidates(spec, ())] == ["graft-mini", "gabor", name]
