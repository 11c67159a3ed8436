"""A control that an earlier run has trained is not trained again."""

import json

import pytest

from graft import api
from graft.spec import Spec


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))


def fit(photos, out, method="extract", **values):
    sets = ["backbone.image_size=32"] + ([] if method == "extract" else ["method.epochs=1"])
    heard = []
    spec = Spec.make(str(photos), backbone="graft-mini", method=method, out=str(out), sets=sets, **{"folds": 0, **values})
    run = api.fit(spec, on_event=heard.append)
    arms = {row["name"]: row for row in json.loads((run.folder / "evidence.json").read_text())["arms"]}
    return arms, [e for e in heard if e["event"] == "epoch" and e["run"].startswith("scratch")], run


def test_the_second_fit_takes_the_control_of_the_first(photos, tmp_path):
    first, trained, _ = fit(photos, tmp_path / "one")
    again, none, run = fit(photos, tmp_path / "two")
    assert trained and not none and again["scratch"]["value"] == first["scratch"]["value"]
    assert again["scratch"]["seconds"] == first["scratch"]["seconds"]
    assert any(what == "epochs from scratch" and "earlier run" in reason for what, _, reason, _ in run.decisions)


def test_another_head_takes_it_too_and_another_seed_does_not(photos, tmp_path):
    fit(photos, tmp_path / "one")
    _, none, _ = fit(photos, tmp_path / "two", head="lda")
    _, trained, _ = fit(photos, tmp_path / "three", seed=1)
    assert trained and not none


def test_in_folds_each_fold_has_its_own(photos, tmp_path):
    first, trained, _ = fit(photos, tmp_path / "one", folds=3)
    again, none, _ = fit(photos, tmp_path / "two", folds=3)
    assert len({e["run"] for e in trained}) == 3 and not none
    assert again["scratch"]["value"] == first["scratch"]["value"]
    assert again["scratch"]["seconds"] == pytest.approx(first["scratch"]["seconds"])


def test_a_damaged_one_is_trained_again(photos, tmp_path):
    fit(photos, tmp_path / "one")
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file() and path.suffix not in (".json", ".safetensors", ".toml"):
            path.write_bytes(b"damaged")
    _, trained, _ = fit(photos, tmp_path / "two")
    assert trained


def test_without_a_store_it_is_trained_each_time(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", "off")
    fit(photos, tmp_path / "one")
    _, trained, _ = fit(photos, tmp_path / "two")
    assert trained
