"""A fit without labels from the images to the report, and its body in a fit that has labels."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.readers.folders import tree
from tests.report.pages import Page

from graft import api
from graft.errors import OptionError
from graft.spec import Spec

SETS = ["backbone.image_size=32", "method.batch=30"]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """120 images of noise in folders whose names say nothing."""
    return tree(tmp_path_factory.mktemp("many"), {"monday": 60, "tuesday": 60})


@pytest.fixture(scope="module")
def learnt(many, tmp_path_factory):
    """A run of one epoch with rotation, and what its journal said."""
    told = []
    spec = asked(many, tmp_path_factory.mktemp("runs") / "turned")
    return api.fit(spec, on_event=told.append), told


def asked(photos, out, method="rotation", **values):
    sets = [*SETS, *values.pop("sets", ())]
    given = {"reader": "images", "backbone": "graft-mini", "method": method, "epochs": 1, "precision": "exact", "out": str(out)}
    return Spec.make(str(photos), sets=sets, **given, **values)


def test_it_says_what_changed_and_scores_nothing(learnt):
    run, told = learnt
    scores = run.scores
    assert (scores["primary"], scores["target"], scores["scored"], scores["test"]) == ("effective_rank", "none", "val", None)
    assert scores["n"] == {"train": 108, "val": 12} and scores["folds"] == 0 and scores["collapse"] is None
    for name in ("effective_rank", "spread", "uniformity"):
        after, before = scores["val"][name]["value"], scores["before"][name]
        assert np.isfinite([after, before]).all() and after != before, name
    assert 1 <= scores["val"]["effective_rank"]["value"] <= 12
    events = [row["event"] for row in told]
    assert "opened" not in events and "evidence" not in events and not (run.folder / "evidence.json").exists()
    assert pq.read_table(run.folder / "predictions.parquet").column_names == ["split", "path", "norm"]
    assert set(pq.read_table(run.folder / "splits.parquet")["role"].to_pylist()) == {"train", "select"}
    assert api.runs(run.folder.parent)[0]["primary"] == "effective_rank" and api.show(run.folder)["scores"]["before"]


def test_the_report_has_what_was_learnt_and_nothing_that_labels_would_say(learnt):
    run, _ = learnt
    page = Page(api.report(run.folder).read_text(encoding="utf-8"))
    assert "representation" in page.ids and "learning" in page.ids
    assert not {"scores", "mistakes", "calibration", "images", "evidence"} & set(page.ids)
    assert "Effective rank" in page.text and "Training loss" in page.text and "Could not be read" not in page.text
    assert f"run:{run.folder.name}" in page.text and "nothing is scored" not in page.text


def test_its_model_says_what_to_do_instead_of_predicting(learnt, many):
    run, _ = learnt
    model = api.load(run.folder)
    with pytest.raises(OptionError, match=r"learnt without labels.*graft embed.*run:"):
        model.predict([str(many / "monday" / "000.png")])
    with pytest.raises(OptionError, match="learnt without labels"):
        model.probabilities([str(many / "monday" / "000.png")])
    assert "features of an image" in model.card and "--backbone run:" in model.card and "effective_rank" in model.card


def test_its_body_goes_on_with_labels(learnt, photos, tmp_path):
    run, _ = learnt
    found = api.fit(
        Spec.make(
            str(photos),
            backbone=f"run:{run.folder}",
            method="extract",
            out=str(tmp_path / "then"),
            evidence="off",
            folds=0,
            precision="exact",
        )
    )
    assert found.scores["primary"] == "accuracy" and found.scores["backbone"] == f"run:{run.folder}"
    described = json.loads((found.model / "graft.json").read_text())["backbone"]["origin"]
    assert described["parents"] and "many" in described["trained_on"]


def test_a_run_that_was_stopped_goes_on_to_the_same(learnt, many, tmp_path):
    def stop(event):
        if event["event"] == "exported":
            raise KeyboardInterrupt

    spec = asked(many, tmp_path / "run")
    with pytest.raises(api.Stopped):
        api.fit(spec, on_event=stop)
    again, whole = api.resume(tmp_path / "run").scores, learnt[0].scores
    assert {name: again[name] for name in ("val", "before", "n", "collapse")} == {
        name: whole[name] for name in ("val", "before", "n", "collapse")
    }


def test_images_that_are_all_alike_end_in_a_warning(tmp_path):
    for i in range(100):
        pixels = np.full((16, 16, 3), 100, np.uint8)
        pixels[0, 0] = i
        Image.fromarray(pixels).save(tmp_path / f"{i:03d}.png")
    told = []
    run = api.fit(asked(tmp_path, tmp_path.parent / f"{tmp_path.name}-run"), on_event=told.append)
    assert "collapsed" in run.scores["collapse"]
    assert any(row["event"] == "note" and row["level"] == "warning" and row["text"] == run.scores["collapse"] for row in told)
    assert "Collapsed" in Page(run.report.read_text(encoding="utf-8")).text


def test_of_few_rows_a_collapse_is_neither_told_nor_denied(photos, tmp_path):
    run = api.fit(asked(photos, tmp_path / "run"))
    assert "collapse" not in run.scores and run.scores["n"] == {"train": 32, "val": 4}
    assert any("too few to tell" in row.get("text", "") for row in api.show(run.folder)["notes"])


def test_without_a_method_named_views_are_compared(many, tmp_path):
    told = []
    run = api.fit(asked(many, tmp_path / "run", method=None), on_event=told.append)
    chosen = {row["what"]: row["value"] for row in told if row["event"] == "decision"}
    assert (run.scores["method"], chosen["method"], chosen["task"]) == ("simclr", "simclr", "representation")
    assert chosen["augment"].startswith("strong") and not any("scored" in row for row in [chosen["roles"]])
    spec = Spec.load(run.folder / "spec.toml").augment
    assert (spec.name, spec.values["mixup"], spec.values["cutmix"]) == ("strong", 0.0, 0.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "finetune"}, "'finetune' learns from labels.*simclr, byol, rotation or inpaint"),
        ({"folds": 5}, "--folds 5"),
        ({"task": "classification"}, "--task representation"),
        ({"select_on": "val"}, "val split"),
    ],
)
def test_what_needs_labels_is_refused_before_anything_is_written(values, words, many, tmp_path):
    values = {"method": "rotation", **values}
    with pytest.raises(OptionError, match=words):
        api.fit(asked(many, tmp_path / "run", **values))
    assert not (tmp_path / "run").exists()


def test_a_flat_folder_of_images_says_how_to_do_without_labels(many):
    with pytest.raises(api.DataError, match="--reader images with -m simclr"):
        api.fit(Spec.make(str(many / "monday"), out=str(many.parent / "never")))
