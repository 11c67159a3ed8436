"""Advice from real measurements on drawn images."""

import json
import tomllib

import pytest
from tests import sets, texts

from graft import api
from graft.assembly import wiring
from graft.engine.journal import Journal
from graft.errors import OptionError
from graft.spec import Spec
from graft.verbs import advising

BODIES = ("graft-mini", "gabor")


@pytest.fixture(scope="module")
def advice(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("advice") / "out"
    return api.advise(str(photos), backbones=BODIES, out=str(out), folds=0), out


def test_every_body_and_layer_is_measured(advice):
    found, _ = advice
    assert [body["name"] for body in found["bodies"]] == list(BODIES)
    for body in found["bodies"]:
        assert all(0 <= layer["probe"] <= 1 and layer["interval"][0] <= layer["probe"] <= layer["interval"][1] for layer in body["layers"])
        assert body["best_layer"] in [layer["name"] for layer in body["layers"]]
    assert len(found["bodies"][0]["layers"]) > 2 and found["rule"]["cell"].startswith("small")


def test_the_first_strategy_is_a_spec_that_fits(advice, tmp_path):
    found, out = advice
    spec = Spec.load(out / "advice.toml")
    assert spec.method.name == found["strategies"][0]["method"] and spec.backbone.name == found["strategies"][0]["backbone"]
    run = api.fit(Spec.make(base=spec, out=str(tmp_path / "run"), sets=["method.epochs=1"] if spec.method.name != "extract" else ()))
    assert run.scores["primary"] == "accuracy"


def test_the_files_are_whole(advice):
    found, out = advice
    assert json.loads((out / "advice.json").read_text())["order"] == found["order"]
    assert tomllib.loads((out / "advice.toml").read_text())["method"]["name"]
    assert "<html" in (out / "advice.html").read_text()


def test_no_scored_row_is_looked_at(photos, monkeypatch):
    """The measured rows are those that learn."""
    seen = []
    from graft.assembly import measuring

    features = measuring.features
    monkeypatch.setattr(
        measuring, "features", lambda net, table, *rest: seen.extend(table["path"].to_pylist()) or features(net, table, *rest)
    )
    advising.advise(Spec.make(str(photos), folds=0), Journal(), ["graft-mini"])
    from graft.assembly import wiring

    _, data = wiring.read(Spec.make(str(photos), folds=0), Journal())
    assert seen and not set(seen) & set(data.test["path"].to_pylist())


def test_features_are_compared_with_the_reference_where_one_is_kept(advice):
    found, _ = advice
    mini, gabor = (body["similarity"] for body in found["bodies"])
    assert {"batch_norm_frechet", "mmd", "frechet", "proxy_a_distance"} <= set(mini["measures"])
    assert "500 kept rows of ImageNet" in mini["beside"]
    assert gabor["measures"] == {} and gabor["beside"] == ""


def test_a_body_that_was_named_and_cannot_be_loaded_is_an_error(photos):
    with pytest.raises(OptionError, match="no network called"):
        api.advise(str(photos), backbones=["resnet5O"], folds=0)


def test_a_folder_that_is_not_empty_is_refused(photos, tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(Exception, match="not empty"):
        api.advise(str(photos), backbones=["gabor"], out=str(tmp_path), folds=0)


def test_fine_tuning_of_texts_is_estimated_with_the_rounds_that_a_fit_takes(tmp_path, monkeypatch):
    texts.write(tmp_path / "bert", "bert")
    data = str(sets.table(tmp_path / "data.csv", rows=400))
    monkeypatch.setattr(advising.measuring, "step_cost", lambda *given: (1.0, 100.0))
    found = advising.advise(Spec.make(data, folds=0), Journal(), [f"{tmp_path / 'bert'}"])
    (row,) = [one for one in found["strategies"] if one["method"] == "finetune"]
    spec = Spec.make(data, folds=0, backbone=str(tmp_path / "bert"), method="finetune", evidence="off")
    rounds = wiring.assemble(spec, Journal()).spec.method.values["epochs"]
    assert rounds == 10 and abs(row["seconds"] - 1.25 * found["rows"] * rounds) < 60
