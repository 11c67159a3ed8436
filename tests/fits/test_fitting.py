"""Pieces of a fit that the whole does not show: counts, atomic JSON, folds that are read back."""

import json

import pytest
from tests import nets

from graft import api
from graft.backbones import match
from graft.data.streams import Streams
from graft.fits import fitting
from graft.spec import Spec


def test_counts_by_class(tmp_path):
    data = nets.data(tmp_path)
    assert fitting.tally(data.train, data) == {"dark": 4, "light": 4}
    told = fitting.describe_data(data)
    assert told["counts"]["test"] == {"dark": 4, "light": 4} and json.dumps(told)


def test_json_is_replaced_whole(tmp_path):
    fitting.write_json(tmp_path / "a.json", {"x": 1})
    fitting.write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 2} and [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_run_killed_between_folds_does_not_run_finished_ones_again(photos, tmp_path):
    opened = []

    def stop(event):
        if event["event"] == "opened":
            opened.append(event["split"])
            if len(opened) == 3:
                raise KeyboardInterrupt

    sets = ["backbone.image_size=32"]
    spec = Spec.make(str(photos), backbone="graft-mini", method="extract", out=str(tmp_path / "run"), sets=sets)
    with pytest.raises(api.Stopped):
        api.fit(spec, on_event=stop)
    again = []
    resumed = api.resume(tmp_path / "run", on_event=lambda e: again.append(e["split"]) if e["event"] == "opened" else None)
    whole = api.fit(Spec.make(str(photos), backbone="graft-mini", method="extract", out=str(tmp_path / "whole"), sets=sets))
    assert again == ["fold 3", "fold 4", "fold 5"] and resumed.scores["test"] == whole.scores["test"]


def fit(photos, out, **values):
    return api.fit(Spec.make(str(photos), backbone="graft-mini", out=str(out), sets=["backbone.image_size=32"], seed=3, **values))


@pytest.mark.parametrize("values", [{"method": "extract"}, {"method": "extract", "views": 2, "epochs": 3}])
def test_the_second_fit_of_the_same_photos_runs_no_body(values, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    first, asked, drawings = fit(photos, tmp_path / "one", folds=0, **values), [], []
    inputs, draw = Streams.inputs, match.picture
    monkeypatch.setattr(Streams, "inputs", lambda self, *a: asked.append(a) or inputs(self, *a))
    monkeypatch.setattr(match, "picture", lambda *a: drawings.append(a) or draw(*a))
    again = fit(photos, tmp_path / "two", folds=0, **values)
    assert not asked and not drawings and first.scores["test"] == again.scores["test"]
    filters = [(run.folder / "explain" / "filters.png").read_bytes() for run in (first, again)]
    assert filters[0] == filters[1]
    monkeypatch.setenv("GRAFT_CACHE", "off")
    without = fit(photos, tmp_path / "three", folds=0, **values)
    assert asked and without.scores["test"] == first.scores["test"]
    assert any("GRAFT_CACHE is off" in row.get("text", "") for row in api.show(without.folder)["notes"])


def test_the_stages_above_learn_from_kept_views_of_the_stages_below(photos, tmp_path):
    run = fit(photos, tmp_path / "run", folds=0, method="finetune", freeze="1", views=2, epochs=2, precision="exact")
    (phase,) = (row for row in api.show(run.folder)["phases"] if row["run"] == "final")
    assert phase["constant_prefix"] == 1 and "the next stage learns" in phase["why"]
